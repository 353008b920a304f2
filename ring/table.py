"""The records that a node holds, by home and shard, with their digests added up by bucket.

Rules:
- One packed bytes object per record (``ring.record``), in 64 dicts per home, chosen by the first
  character of the id's random part: one dict of 1.4 M entries pauses 255 ms when it grows, a
  shard at most 4 ms (measured).
- A bucket's digest is the 64-bit sum, over its records, of the record's digest times an odd
  number made of the id; so equal tables have equal buckets, and records that swap their contents
  do not cancel out.
- Whoever walks a table walks it shard by shard.
"""

import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping
from heapq import nsmallest
from typing import Final
from zlib import crc32

from attrs import frozen

from ring.clock import Stamp, stamp_ms
from ring.identity import RANDOM_CHARS, SessionId, home_of, place_of
from ring.index import Index, indexes_of
from ring.packed import (
    EMPTY_FRAGMENT,
    NEVER_S,
    held_digest,
    held_due,
    held_forgettable_s,
    held_is_alive,
    held_is_ended,
    held_is_whole,
    held_portable,
    is_sendable,
)
from ring.record import Record

BUCKETS: Final = 1024
"""Digests of a home are added up in this many buckets; 8 KiB to compare a home."""
SHARDS: Final = 64
BUCKETS_PER_SHARD: Final = BUCKETS // SHARDS
BUCKET_DIGESTS_BYTES: Final = 8 * BUCKETS

_MASK: Final = (1 << 64) - 1
_COMPARED_AT_ONCE: Final = 64
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_SIX_BITS: Final = {char: number for number, char in enumerate(_BASE64)}


def shard_of(session_id: SessionId) -> int:
    """Return the shard of an id, 0 to 63: the first six bits of its random part."""
    return _SIX_BITS[session_id[-RANDOM_CHARS]]


def bucket_of(session_id: SessionId) -> int:
    """Return the bucket of an id, 0 to 1023: the first ten bits of its random part."""
    return shard_of(session_id) * BUCKETS_PER_SHARD + (_SIX_BITS[session_id[1 - RANDOM_CHARS]] >> 2)


def weight(session_id: SessionId) -> int:
    """Return the odd number by which a record's digest counts in its bucket."""
    return crc32(session_id) << 1 | 1


@frozen
class Merged:
    """What a merge into the table did."""

    changed: frozenset[bytes]
    """Keys whose entries changed."""
    digest: int
    """The record's digest afterwards."""
    news: bool
    """Whether the digest changed: an entry, or the record became whole."""
    was_here: bool = True
    """Whether there was anything of the session before."""


class Table:
    """Every record that this node holds.

    Args:
        homes: the members' names; a table has room for no other home.
        epoch: the monotonic time of the clock's zero (``Clock.epoch``), in seconds.
        indexes: by what sessions can be found, by the key of the attribute; None: the principal.
    """

    def __init__(
        self, homes: Iterable[str], epoch: float, indexes: Mapping[bytes, Index] | None = None
    ) -> None:
        self.epoch = epoch
        self.indexes = indexes_of() if indexes is None else indexes
        """By the key of the attribute."""
        self._indexes = tuple(self.indexes.items())
        self._homes: dict[str, list[dict[SessionId, bytes]]] = {}
        self._counts: dict[str, int] = {}
        self._alive: dict[bytes, int] = {}
        """How many sessions live, by what their ids begin with: home and namespace."""
        self._ended: dict[str, int] = {}
        self._buckets: dict[str, array[int]] = {}
        self.occupations = 0
        """How often a home has got its first record here, or lost its last."""
        self.tombstone_bytes = 0
        """What all tombstones take, their ids included."""
        self._oldest_s = NEVER_S
        """No end or removal was ever older than this second: there may be nothing to look for."""
        for home in homes:
            self._make_room(home)

    def have_homes(self, homes: Iterable[str]) -> dict[str, int]:
        """Make room for these homes, and forget what is held of others; return how much that is."""
        wanted = set(homes)
        for home in homes:
            if home not in self._homes:
                self._make_room(home)
        held = {home: count for home, count in self._counts.items() if count}
        forgotten = {home: count for home, count in held.items() if home not in wanted}
        for home in forgotten:
            # The home keeps its place: its ids may still be asked for, by what is under way.
            for session_id in list(self.ids(home)):
                self.drop(session_id)
        return forgotten

    def _make_room(self, home: str) -> None:
        self._homes[home] = [{} for _ in range(SHARDS)]
        self._counts[home] = self._ended[home] = 0
        self._buckets[home] = array("Q", bytes(BUCKET_DIGESTS_BYTES))

    def __len__(self) -> int:
        return sum(self.count(home) for home in self._homes)

    def count(self, home: str) -> int:
        """Return how many records of ``home`` are held, tombstones and fragments included."""
        return self._counts[home]

    def alive(self, home: str, namespace: str) -> int:
        """Return how many sessions of a home and namespace live, as far as is known here.

        One whose time has come counts until a sweep has found that, and marked it as expired.
        """
        place = f"{home}.{namespace}." if namespace else f"{home}."
        return self._alive.get(place.encode(), 0)

    def ended(self, home: str) -> int:
        """Return how many of them are tombstones."""
        return self._ended[home]

    def held(self, session_id: SessionId) -> bytes | None:
        """Return the held form of a record; None if there is none."""
        return self._homes[home_of(session_id)][shard_of(session_id)].get(session_id)

    def get(self, session_id: SessionId) -> Record | None:
        """Return the decoded record, a copy; None if there is none."""
        held = self.held(session_id)
        return Record.from_held(held) if held is not None else None

    def digest(self, session_id: SessionId) -> int:
        """Return the digest of a record; 0 if there is none."""
        held = self.held(session_id)
        return held_digest(held) if held is not None else 0

    def portable(
        self, session_id: SessionId, now: float, keys: Iterable[bytes] | None = None
    ) -> bytes:
        """Return a record, or a fragment with ``keys``, to be sent; empty bytes for no record."""
        held = self.held(session_id)
        if held is None:
            return b""
        if keys is None:
            return held_portable(held, now)
        return Record.from_held(held).portable(now, keys)

    def sayable(self, session_id: SessionId, now: float) -> bytes:
        """Return a record that answers a peer; empty bytes for none.

        One that has outgrown every frame is answered by a fragment without an entry.
        """
        portable = self.portable(session_id, now)
        return portable if not portable or is_sendable(portable) else EMPTY_FRAGMENT

    def put(self, session_id: SessionId, record: Record) -> None:
        """Hold ``record`` under this id in place of what was there."""
        home = home_of(session_id)
        shard = self._homes[home][shard_of(session_id)]
        old = shard.get(session_id)
        before = held_digest(old) if old is not None else 0
        if old is None:
            self._count(home, 1)
        held = shard[session_id] = record.held(self.epoch)
        self._oldest_s = min(self._oldest_s, held_forgettable_s(held))
        if held_is_ended(held):
            self._count_tombstone(home, session_id, held, 1)
        was_alive = False
        if old is not None:
            was_alive = held_is_alive(old)
            if held_is_ended(old):
                self._count_tombstone(home, session_id, old, -1)
        if held_is_alive(held) is not was_alive:
            self._count_alive(session_id, -1 if was_alive else 1)
        self._add(home, session_id, record.digest - before)
        entries = record.entries
        for key, index in self._indexes:
            if key in entries or session_id in index:
                index.note(session_id, entries.get(key))

    def drop(self, session_id: SessionId) -> None:
        """Forget a record; nothing remembers that it was there."""
        home = home_of(session_id)
        held = self._homes[home][shard_of(session_id)].pop(session_id, None)
        if held is not None:
            self._count(home, -1)
            if held_is_ended(held):
                self._count_tombstone(home, session_id, held, -1)
            elif held_is_alive(held):
                self._count_alive(session_id, -1)
            self._add(home, session_id, -held_digest(held))
            for _, index in self._indexes:
                if session_id in index:
                    index.note(session_id, None)

    def merge(self, session_id: SessionId, incoming: Record, digest: int = 0) -> Merged:
        """Merge ``incoming`` into what is held.

        Args:
            session_id: an id whose home is in this table.
            incoming: a record or fragment; taken over if there was none.
            digest: the sender's digest of all it has of this session; 0 if it did not say.
        """
        record = self.get(session_id)
        before = record.digest if record is not None else 0
        if record is None:
            record, changed = incoming, incoming.keys()
        else:
            changed = frozenset(record.merge(incoming))
        record.trust(digest)
        if record.digest:
            self.put(session_id, record)
        return Merged(changed, record.digest, record.digest != before, bool(before))

    def buckets(self, home: str) -> bytes:
        """Return the bucket digests of a home, big-endian; empty bytes if nothing is held."""
        if not self.count(home):
            return b""
        return _big_endian(self._buckets[home]).tobytes()

    def differing(self, home: str, theirs: bytes) -> tuple[list[int], list[int]]:
        """Compare a peer's bucket digests with what is held here.

        Returns:
            The buckets in which the peer has nothing and this table has something, and the
            buckets in which both have something and it differs, or only the peer has something.
        """
        digests = _big_endian(array("Q", theirs or bytes(BUCKET_DIGESTS_BYTES)))
        ours, apart = self._buckets[home], list[int]()
        # Mostly few differ or none: many are compared at once, and one by one where they do.
        for start in range(0, BUCKETS, _COMPARED_AT_ONCE):
            end = start + _COMPARED_AT_ONCE
            if ours[start:end] != digests[start:end]:
                apart += [number for number in range(start, end) if ours[number] != digests[number]]
        missing = [number for number in apart if not digests[number]]
        return missing, [number for number in apart if digests[number]]

    def in_bucket(self, home: str, bucket: int) -> Iterator[tuple[SessionId, int]]:
        """Yield id and digest of every record in a bucket, in the order of their arrival."""
        shard = self._homes[home][bucket // BUCKETS_PER_SHARD]
        low = bucket % BUCKETS_PER_SHARD
        for session_id, held in shard.items():
            if _SIX_BITS[session_id[1 - RANDOM_CHARS]] >> 2 == low:
                yield session_id, held_digest(held)

    def due(self, shard: int, now: float) -> list[SessionId]:
        """Return the ids in one shard of all homes whose time had come by ``now``.

        Tombstones are never among them.
        """
        return [
            session_id
            for shards in self._homes.values()
            for session_id, held in shards[shard].items()
            if held_due(held) <= now
        ]

    def is_forgotten(self, session_id: SessionId, before: Stamp) -> bool:
        """Return whether a record is a tombstone that is older than a stamp."""
        held = self.held(session_id)
        return (
            held is not None
            and held_is_ended(held)
            and held_forgettable_s(held) < stamp_ms(before) // 1000
        )

    def forgettable(self, shard: int, before: Stamp) -> list[SessionId]:
        """Return what, in one shard of all homes, may have ended, or lost an entry, before a stamp.

        It may name too much, and never too little.
        """
        before_s = stamp_ms(before) // 1000
        if before_s < self._oldest_s:
            return []
        return [
            session_id
            for shards in self._homes.values()
            for session_id, held in shards[shard].items()
            if held_forgettable_s(held) <= before_s
        ]

    def ids(self, home: str) -> Iterator[SessionId]:
        """Yield the ids of a home's records, shard by shard; do not change the table meanwhile."""
        for shard in self._homes[home]:
            yield from shard

    def in_shard(self, home: str, shard: int) -> list[SessionId]:
        """Return the ids of a home's records in one shard."""
        return list(self._homes[home][shard])

    def shard_size(self, home: str, shard: int) -> int:
        """Return how many records of a home are in one shard."""
        return len(self._homes[home][shard])

    def following(
        self, home: str, shard: int, after: SessionId, count: int, *, with_ended: bool
    ) -> list[SessionId]:
        """Return the next ids in one shard of a home, ascending; it looks at all of that shard.

        Args:
            home: which home.
            shard: which of its shards.
            after: an id; all that are returned are greater.
            count: how many are returned at most.
            with_ended: whether tombstones are among them.
        """
        return nsmallest(
            count,
            [
                session_id
                for session_id, held in self._homes[home][shard].items()
                if session_id > after and (with_ended or not held_is_ended(held))
            ],
        )

    def fragments(self, home: str) -> int:
        """Return how many records of a home are not whole: for checks, it walks the whole home."""
        return sum(
            not held_is_whole(held) for shard in self._homes[home] for held in shard.values()
        )

    def _count(self, home: str, difference: int) -> None:
        before = self._counts[home]
        self._counts[home] = before + difference
        if not (before and before + difference):
            self.occupations += 1

    def _count_alive(self, session_id: SessionId, difference: int) -> None:
        place = place_of(session_id)
        count = self._alive.get(place, 0) + difference
        if count:
            self._alive[place] = count
        else:
            # Clients name as many namespaces as they like: only what is there takes room.
            del self._alive[place]

    def _count_tombstone(
        self, home: str, session_id: SessionId, held: bytes, difference: int
    ) -> None:
        self._ended[home] += difference
        self.tombstone_bytes += difference * (len(session_id) + len(held))

    def _add(self, home: str, session_id: SessionId, difference: int) -> None:
        bucket = bucket_of(session_id)
        digests = self._buckets[home]
        digests[bucket] = (digests[bucket] + difference * weight(session_id)) & _MASK


def _big_endian(digests: "array[int]") -> "array[int]":
    """Return a copy in the order of bytes that is sent, or from that in this machine's own."""
    copy = digests[:]
    if sys.byteorder == "little":
        copy.byteswap()
    return copy
