"""Which attribute of a session takes most, for the errors of its limits.

Rule: a map, set or counter is one attribute, with all its parts; who reads the error knows its
name, and none of the keys.
"""

from collections import Counter
from collections.abc import Container, Mapping
from enum import Enum

from ring.structured import SHARD, is_part, name_of


class Measure(Enum):
    """What there is too much of."""

    BYTES = "bytes"
    ENTRIES = "entries"


def largest(entries: Mapping[bytes, int], removed: Container[bytes], measure: Measure) -> str:
    """Return a clause that names the largest attribute, and what helps; empty if none stands out.

    Args:
        entries: the bytes of each entry, by its key.
        removed: keys of what has been removed, and counts all the same.
        measure: by what it is the largest.
    """
    sizes: Counter[bytes] = Counter()
    members: dict[bytes, list[bytes]] = {}
    for key, size in entries.items():
        if key[0] == 0:
            continue
        name = name_of(key) if is_part(key) else key
        sizes[name] += size
        if is_part(key):
            members.setdefault(name, []).append(key)
    counts = {name: len(parts) for name, parts in members.items()}
    by = sizes if measure is Measure.BYTES else counts
    if not by:
        return ""
    name = max(by, key=by.__getitem__)
    clause = (
        f"; its largest attribute is {name.decode(errors='replace')!r} with {sizes[name]} bytes"
    )
    parts = members.get(name, [])
    if not parts:
        return clause
    gone = sum(part in removed for part in parts)
    shares = sum(part[0] == SHARD for part in parts)
    if shares:
        return f"{clause}, in the shares of {shares} processes; set it anew"
    live = len(parts) - gone
    return f"{clause}, {live} members and {gone} removed ones; clear() it, or assign it anew"
