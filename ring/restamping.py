"""Stamping records anew that a wrong clock has stamped in the future.

Rules:
- Nothing but stamps that lie ahead of a limit changes, and their order stays. So every record
  merges with every other one from the same disk as before.
- A shard names the floor from which it counts by its stamp, so it follows it.
- What is stamped anew counts as written now: it wins over what others have written meanwhile. So
  it is for people to decide (``sessionring repair``).
"""

from collections.abc import Iterable, Mapping

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp, make_entry
from ring.record import Record
from ring.structured import SHARD, recounted


def stamps_ahead(record: Record, limit: Stamp) -> set[Stamp]:
    """Return the stamps in ``record`` that are greater than ``limit``."""
    stamps = {entry_stamp(entry) for entry in record.entries.values()} | {record.accessed}
    return {stamp for stamp in stamps if stamp > limit}


def new_stamps(ahead: Iterable[Stamp], limit: Stamp) -> dict[Stamp, Stamp]:
    """Return a stamp just above ``limit`` for each of these, in their order."""
    return {old: Stamp(limit + number) for number, old in enumerate(sorted(set(ahead)), 1)}


def restamped(record: Record, stamps: Mapping[Stamp, Stamp]) -> Record:
    """Return ``record`` with other stamps, where there are any."""
    result = Record()
    for key, entry in record.entries.items():
        old = entry_stamp(entry)
        if key[0] == SHARD:
            key = recounted(key, stamps)
        result.put(key, make_entry(stamps.get(old, old), entry[STAMP_BYTES:]))
    if record.accessed:
        result.touch(stamps.get(record.accessed, record.accessed), record.accessed_at)
    if record.whole:
        result.make_whole()
    return result
