"""Hypothesis strategies for what the ring keeps: stamps, records, ids, rings and views.

Rule: small alphabets, so that equal stamps, equal keys and equal records meet often.
"""

from collections.abc import Mapping
from hashlib import blake2b

from attrs import evolve
from hypothesis import strategies as st
from samples import IDS, NOW, ring_of

from ring.clock import Stamp
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    EXPIRED,
    LIFETIME,
    MAX_IDLE,
    NIL,
    PRINCIPAL,
    EndReason,
    make_entry,
)
from ring.record import Record
from ring.structured import Kind, marker, member_key, shard_key

ids = st.sampled_from(IDS)
stamps = st.integers(1, 9).map(Stamp)
values = st.sampled_from(
    [None, NIL, b"\x01", b"\xa3red", b"\x1e", b"\xcd\x0e\x10", marker(Kind.MAP)]
)
"""Packed: removed, nil, 1, "red", 30, 3600, "a map"; any may stand under any key."""
PARTS = (
    member_key(b"cart", b"apple"),
    member_key(b"cart", b"pear"),
    shard_key(b"visits", Stamp(3), b"writer-1"),
    shard_key(b"visits", Stamp(6), b"writer-1"),
)
"""Keys of members and shards."""
entry_keys = st.sampled_from(
    [
        *(b"cart", b"color", b"visits", b"\x00new"),
        *(CREATED, EXPIRED, LIFETIME, MAX_IDLE, PRINCIPAL),
        *PARTS,
    ]
)
ages = st.integers(0, 900)

_entries = st.dictionaries(entry_keys, st.builds(make_entry, stamps, values), max_size=5)
_accesses = st.none() | st.tuples(stamps, ages)


def record_of(
    entries: Mapping[bytes, bytes], access: tuple[Stamp, int] | None, whole: bool
) -> Record:
    """Return a record made entry by entry."""
    record = Record()
    for key, entry in entries.items():
        record.put(key, entry)
    if access is not None:
        record.touch(access[0], NOW - access[1])
    if whole:
        record.make_whole()
    return record


def tombstone_of(record: Record, reason: EndReason, node: str, stamp: Stamp) -> Record:
    """Return ``record``, ended."""
    record.end(reason, node, stamp)
    return record


fragments = st.builds(record_of, _entries, _accesses, st.just(False))
"""Parts of records."""
whole_records = st.builds(record_of, _entries, _accesses, st.just(True))
live_records = st.builds(record_of, _entries, _accesses, st.booleans())
tombstones = st.builds(
    tombstone_of, live_records, st.sampled_from(EndReason), st.sampled_from("ab"), stamps
)
records = st.one_of(live_records, live_records, tombstones)


def copy(record: Record) -> Record:
    """Return a record that shares nothing with ``record``."""
    return evolve(record, entries=dict(record.entries))


def merged(*parts: Record) -> Record:
    """Return the merge of ``parts``, which are left as they are."""
    result = Record()
    for part in parts:
        result.merge(part)
    return result


def said(record: Record) -> tuple[object, ...]:
    """Return everything in which two records have to agree to be the same for the ring."""
    return record.entries, record.whole, record.accessed


def hash_of(key: bytes, entry: bytes) -> int:
    """Return what an entry adds to a digest, written down once more."""
    content = len(key).to_bytes(2, "big") + key + entry
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


def digest_of(record: Record) -> int:
    """Return a record's digest from nothing but what it says: the dumb definition."""
    parts = [hash_of(key, entry) for key, entry in record.entries.items()]
    if record.accessed:
        parts.append(hash_of(ACCESSED, record.accessed.to_bytes(8, "big")))
    if record.whole:
        parts.append(hash_of(b"", b"whole"))
    return sum(parts) % 2**64


def is_tombstone(record: Record) -> bool:
    """Return whether a record is just an end, as ends have to be."""
    return list(record.entries) == [ENDED] and record.whole and not record.accessed


rings = st.builds(
    ring_of, st.lists(st.sampled_from("abcdefgh"), min_size=1, unique=True), st.integers(1, 4)
)
