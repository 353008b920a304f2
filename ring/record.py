"""A record: what the ring knows of one session, as stamped entries, and how two of them merge.

Rules:
- An entry is 8 bytes of stamp, big-endian, then a packed value; nothing after the stamp means
  "removed". So the greater stamp wins, and on equal stamps the greater bytes, by one comparison
  of bytes.
- Merge is commutative, associative and idempotent; a tombstone wins over everything but a
  stronger tombstone.
- A record is *whole*, or a fragment that is merged and compared like any other but never served.
- ``accessed`` is an entry whose value is an idle age: on this node a moment of its monotonic
  clock, in a frame the age then. Digests see its key and stamp only.
- The digest is the 64-bit sum of the entries' hashes, plus a constant for a whole record; it is
  kept incrementally. No record has the digest 0 of nothing, but for one chance in 2**64.

Two byte forms. *Portable*: one byte of flags, the access stamp and idle age if there is one,
then a msgpack array of key, entry, key, entry, ... in ascending order of keys. *Held*: a fixed
header with digest and due time in front of the same array; one bytes object per session costs
758 B for 512 B of attributes, where decoded dicts cost 3,563 B (measured), and the garbage
collector never looks at it.

Source: last-writer-wins maps after Shapiro et al., "A comprehensive study of CRDTs", 2011.
"""

import operator
import struct
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from itertools import chain
from math import inf
from typing import Final

import msgpack
from attrs import define, field

from ring.clock import STAMP_BYTES, Stamp, stamp_ms
from ring.errors import RecordFormatError

ACCESSED: Final = b"\x00a"
CREATED: Final = b"\x00c"
EXPIRED: Final = b"\x00e"
MAX_IDLE: Final = b"\x00i"
LIFETIME: Final = b"\x00l"
PRINCIPAL: Final = b"\x00p"
ENDED: Final = b"\x00x"
RESERVED: Final = frozenset({ACCESSED, CREATED, EXPIRED, MAX_IDLE, LIFETIME, PRINCIPAL, ENDED})

BUCKETS: Final = 1024
"""Digests of a home are added up in this many buckets; 8 KiB to compare a home."""

KEY_BYTES_MAX: Final = 512
ENTRIES_MAX: Final = 4096
SENDABLE_BYTES_MAX: Final = (1 << 20) - 4096
"""A record's portable form and an envelope fit into a frame of 1 MiB."""
EMPTY_FRAGMENT: Final = b"\x00\x90"
"""A fragment without an entry, in portable form: asks whether the peer holds."""
IDLE_MS_MAX: Final = 1 << 48
NIL: Final = b"\xc0"
"""msgpack's nil: the value of an entry that says all by its stamp."""

_WHOLE: Final = 1
_FULL: Final = 2
_HAS_ACCESSED: Final = 4
_ENDED_FLAG: Final = 8
_MASK: Final = (1 << 64) - 1
_ACCESS: Final = struct.Struct(">QQ")
_HELD: Final = struct.Struct(">BQQdd")
_STAMP: Final = struct.Struct(">Q")
_BODY_BYTES_MAX: Final = 1 << 20
_NUMBER_BYTES_MAX: Final = 9


class EndReason(IntEnum):
    """Why a session ended. The greater one wins: a deletion also ends what a rotation moved."""

    ROTATED = 1
    DELETED = 2


def entry_hash(key: bytes, entry: bytes) -> int:
    """Return 64 bits that name this entry under this key: a part of the digest."""
    content = len(key).to_bytes(2, "big") + key + entry
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


WHOLE_HASH: Final = entry_hash(b"", b"whole")
"""What being whole adds to a digest."""


def make_entry(stamp: Stamp, value: bytes | None) -> bytes:
    """Return the entry of a packed value, or of "removed" for None."""
    return _STAMP.pack(stamp) + (value or b"")


def entry_stamp(entry: bytes) -> Stamp:
    """Return the stamp of an entry."""
    return Stamp(int.from_bytes(entry[:STAMP_BYTES], "big"))


@lru_cache(maxsize=64)
def coalescing_s(max_idle_s: float) -> float:
    """Return how long after an access the next one is not written: min(60 s, max idle / 10).

    A session that never expires has no max idle to go by: 60 s.
    """
    return min(60.0, max_idle_s / 10) if max_idle_s > 0 else 60.0


@define
class Record:
    """The decoded form of a record: made from bytes, merged, and turned into bytes again."""

    entries: dict[bytes, bytes] = field(factory=dict)
    """Every entry but ``accessed``, by key."""
    whole: bool = False
    accessed: Stamp = Stamp(0)
    """The stamp of the last access that became an entry; 0: none known."""
    accessed_at: float = 0.0
    """The same moment on this node's monotonic clock, in seconds."""
    digest: int = 0
    _in_order: bool = field(default=True, eq=False, repr=False)
    """Whether the keys ascend, as they do in every byte form."""

    # --- What it says ---

    @property
    def ended(self) -> bool:
        """Whether this is a tombstone."""
        return ENDED in self.entries

    @property
    def expired(self) -> bool:
        """Whether an acting owner judged the last access known here to be too long ago."""
        marker = self.entries.get(EXPIRED)
        return marker is not None and entry_stamp(marker) >= self.accessed

    @property
    def max_idle_s(self) -> float:
        """Seconds without access after which the session expires; 0 or less: never."""
        return self._number(MAX_IDLE)

    @property
    def lifetime_s(self) -> float:
        """Seconds after its creation at which the session expires; 0 or less: never."""
        return self._number(LIFETIME)

    def _number(self, key: bytes) -> float:
        value = self.value(key)
        if value is None or len(value) > _NUMBER_BYTES_MAX:
            return 0.0
        try:
            number = msgpack.unpackb(value)
        except (ValueError, msgpack.UnpackException):
            return 0.0  # A newer version's spelling: kept and passed on, not understood.
        return float(number) if isinstance(number, int | float) else 0.0

    def value(self, key: bytes) -> bytes | None:
        """Return the packed value under ``key``; None if it is removed or was never there."""
        entry = self.entries.get(key)
        return entry[STAMP_BYTES:] or None if entry is not None else None

    def keys(self) -> frozenset[bytes]:
        """Return the keys of all entries, the access included."""
        return frozenset((*self.entries, ACCESSED) if self.accessed else self.entries)

    def keys_unlike(self, other: "Record") -> frozenset[bytes]:
        """Return the keys whose entries here are not those of ``other``."""
        unlike = {key for key, entry in self.entries.items() if other.entries.get(key) != entry}
        return frozenset(unlike | {ACCESSED} if self.accessed != other.accessed else unlike)

    def stamp(self) -> Stamp:
        """Return the greatest stamp in the record."""
        # The greatest bytes begin with the greatest stamp.
        greatest = entry_stamp(max(self.entries.values(), default=b""))
        return max(greatest, self.accessed)

    def due(self, epoch: float) -> float:
        """Return when the session expires on this node's monotonic clock; inf: never.

        Everyone allows for the touches that are still kept beside the entry elsewhere, the
        owner included: it may have taken over a moment ago.
        """
        due, max_idle = inf, self.max_idle_s
        if self.accessed and max_idle > 0:
            due = self.accessed_at + max_idle + coalescing_s(max_idle)
        lifetime = self.lifetime_s
        if lifetime > 0 and CREATED in self.entries:
            created_at = epoch + stamp_ms(entry_stamp(self.entries[CREATED])) / 1000
            due = min(due, created_at + lifetime)
        return due

    def touch_due(self, now: float) -> bool:
        """Return whether an access at ``now`` is to be written: the last one is long enough ago."""
        return now - self.accessed_at >= coalescing_s(self.max_idle_s)

    # --- Changing it ---

    def put(self, key: bytes, entry: bytes) -> bool:
        """Merge one entry; return whether it changed the record."""
        old = self.entries.get(key)
        if key == ENDED:
            if old is not None and _end_order(old) >= _end_order(entry):
                return False
            self._become_tombstone(entry)
            return True
        if self.ended or (old is not None and old >= entry):
            return False
        if old is not None:
            self.digest -= entry_hash(key, old)
        self.digest = (self.digest + entry_hash(key, entry)) & _MASK
        self.entries[key] = entry
        self._in_order &= old is not None
        return True

    def touch(self, accessed: Stamp, accessed_at: float) -> bool:
        """Merge an access; return whether its stamp is news. On equal stamps the older age wins."""
        if self.ended or accessed < self.accessed:
            return False
        if accessed == self.accessed:
            self.accessed_at = min(self.accessed_at, accessed_at)
            return False
        if self.accessed:
            self.digest -= entry_hash(ACCESSED, _STAMP.pack(self.accessed))
        self.digest = (self.digest + entry_hash(ACCESSED, _STAMP.pack(accessed))) & _MASK
        self.accessed, self.accessed_at = accessed, accessed_at
        return True

    def make_whole(self) -> bool:
        """Note that nothing of the record is missing here; return whether that is news."""
        if self.whole:
            return False
        self.whole = True
        self.digest = (self.digest + WHOLE_HASH) & _MASK
        return True

    def end(self, reason: EndReason, node: str, stamp: Stamp) -> None:
        """Turn the record into a tombstone that remembers by whom, its creation and last access."""
        created = self.entries.get(CREATED, bytes(STAMP_BYTES))
        story = [node, entry_stamp(created), self.accessed]
        self.put(ENDED, make_entry(stamp, bytes([reason]) + msgpack.packb(story)))

    def merge(self, other: "Record") -> set[bytes]:
        """Merge ``other``; return the keys under which something changed.

        Becoming whole is reported as a change of no key: compare digests to see it.
        """
        changed = {key for key, entry in other.entries.items() if self.put(key, entry)}
        if other.accessed and self.touch(other.accessed, other.accessed_at):
            changed.add(ACCESSED)
        if other.whole:
            self.make_whole()
        return changed

    def trust(self, digest: int) -> None:
        """Become whole if ``digest``, of a whole copy, names just what is here."""
        if not self.whole and self.digest and (self.digest + WHOLE_HASH) & _MASK == digest:
            self.make_whole()

    def _become_tombstone(self, entry: bytes) -> None:
        self.entries = {ENDED: entry}
        self.whole, self.accessed, self.accessed_at = True, Stamp(0), 0.0
        self.digest = (entry_hash(ENDED, entry) + WHOLE_HASH) & _MASK

    # --- Byte forms ---

    def portable(self, now: float, keys: Iterable[bytes] | None = None) -> bytes:
        """Return the portable form of the record, or of a fragment with these keys only.

        A tombstone is never cut into fragments: it is what has to arrive.
        """
        if keys is None or self.ended:
            flags = _FULL | (_WHOLE if self.whole else 0)
            return _portable(flags, self.accessed, self.accessed_at, now, self._pack())
        wanted = set(keys)
        entries = {key: self.entries[key] for key in sorted(wanted) if key in self.entries}
        accessed = self.accessed if ACCESSED in wanted else Stamp(0)
        return _portable(0, accessed, self.accessed_at, now, _pack(entries))

    @classmethod
    def from_portable(cls, portable: bytes, now: float) -> "Record":
        """Return the record or fragment that ``portable`` spells, for merging at ``now``.

        Raises:
            RecordFormatError: the bytes are not the portable form of a record. Definite.
        """
        if not portable or portable[0] & ~(_WHOLE | _FULL | _HAS_ACCESSED):
            raise RecordFormatError("a record begins with a byte of known flags")
        flags, start = portable[0], 1
        if flags & _WHOLE and not flags & _FULL:
            raise RecordFormatError("a fragment cannot be whole")
        record = cls()
        if flags & _HAS_ACCESSED:
            start += _ACCESS.size
            if len(portable) < start:
                raise RecordFormatError("a record ends inside its access stamp")
            accessed, idle_ms = _ACCESS.unpack_from(portable, 1)
            if not accessed or idle_ms > IDLE_MS_MAX:
                raise RecordFormatError("an access has a stamp, and an age of at most 2**48 ms")
            record.touch(Stamp(accessed), now - idle_ms / 1000)
        record.entries = _unpack(portable[start:])
        if ENDED in record.entries:
            _check_tombstone(record, whole=bool(flags & _WHOLE))
        record.digest = (record.digest + _hash_sum(record.entries)) & _MASK
        if flags & _WHOLE:
            record.make_whole()
        return record

    def held(self, epoch: float) -> bytes:
        """Return the form in which a table holds the record."""
        flags = (_WHOLE if self.whole else 0) | (_ENDED_FLAG if self.ended else 0)
        due = -inf if self.expired else self.due(epoch)
        header = _HELD.pack(flags, self.digest, self.accessed, self.accessed_at, due)
        return header + self._pack()

    def _pack(self) -> bytes:
        if not self._in_order:
            self.entries = dict(sorted(self.entries.items()))
            self._in_order = True
        return _pack(self.entries)

    @classmethod
    def from_held(cls, held: bytes) -> "Record":
        """Return the record that a table held; its bytes were made here and are not checked."""
        flags, digest, accessed, accessed_at, _ = _HELD.unpack_from(held)
        flat = msgpack.unpackb(held[_HELD.size :])
        entries = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(entries, bool(flags & _WHOLE), accessed, accessed_at, digest)


def is_sendable(portable: bytes) -> bool:
    """Return whether a record in portable form, if there is one, fits into a frame.

    Two sides of a cut may together make of a session more than either of them would let a client
    write. Such a record stays where it is, until its client makes it smaller.
    """
    return 0 < len(portable) <= SENDABLE_BYTES_MAX and _count(portable) <= ENTRIES_MAX


def held_digest(held: bytes) -> int:
    """Return the digest of a held record without decoding it."""
    return int.from_bytes(held[1:9], "big")


def held_due(held: bytes) -> float:
    """Return when a held record expires, in monotonic seconds; -inf: it is marked expired."""
    due: float = _HELD.unpack_from(held)[4]
    return due


def held_serves(held: bytes, now: float) -> bool:
    """Return whether a held record is whole, not ended and not expired at ``now``."""
    flags, _, _, _, due = _HELD.unpack_from(held)
    return bool(flags & _WHOLE) and not flags & _ENDED_FLAG and due > now


def held_is_whole(held: bytes) -> bool:
    """Return whether a held record is whole; tombstones always are."""
    return bool(held[0] & _WHOLE)


def held_touch_may_be_due(held: bytes, now: float) -> bool:
    """Return False if an access at ``now`` is too close to the last one to be written.

    Max idle itself is not in the header. An idle session is due 11 tenths of max idle after its
    access, or max idle and 60 s; so an 11th of that, at most 60 s, is what may be kept back. Near
    the end of a lifetime the answer is True too early: ``Record.touch_due`` decides.
    """
    _, _, _, accessed_at, due = _HELD.unpack_from(held)
    return bool(now - accessed_at >= min(60.0, (due - accessed_at) / 11))


def held_portable(held: bytes, now: float) -> bytes:
    """Return the portable form of a held record without decoding it."""
    flags, _, accessed, accessed_at, _ = _HELD.unpack_from(held)
    return _portable(_FULL | (flags & _WHOLE), accessed, accessed_at, now, held[_HELD.size :])


def aged(portable: bytes, absence_s: float) -> bytes:
    """Return ``portable`` with its idle age grown by ``absence_s``, as after lying on a disk."""
    if not portable or not portable[0] & _HAS_ACCESSED or len(portable) < 1 + _ACCESS.size:
        return portable
    accessed, idle_ms = _ACCESS.unpack_from(portable, 1)
    older = min(IDLE_MS_MAX, idle_ms + max(0, round(absence_s * 1000)))
    return portable[:1] + _ACCESS.pack(accessed, older) + portable[1 + _ACCESS.size :]


def _count(portable: bytes) -> int:
    """Return how many entries a portable form made here has, by its array's header."""
    start = 1 + _ACCESS.size if portable[0] & _HAS_ACCESSED else 1
    head = portable[start]
    if head < 0xDC:
        return (head & 15) // 2
    length = 2 if head == 0xDC else 4
    return int.from_bytes(portable[start + 1 : start + 1 + length], "big") // 2


def _portable(flags: int, accessed: Stamp, accessed_at: float, now: float, body: bytes) -> bytes:
    if not accessed:
        return bytes([flags]) + body
    idle_ms = min(IDLE_MS_MAX, max(0, int((now - accessed_at) * 1000)))
    return bytes([flags | _HAS_ACCESSED]) + _ACCESS.pack(accessed, idle_ms) + body


def _pack(entries: dict[bytes, bytes]) -> bytes:
    packed: bytes = msgpack.packb(list(chain.from_iterable(entries.items())))
    return packed


def _unpack(body: bytes) -> dict[bytes, bytes]:
    """Return checked entries; what a peer or a disk can get wrong is a RecordFormatError."""
    try:
        flat = msgpack.unpackb(
            body,
            max_bin_len=_BODY_BYTES_MAX,
            max_array_len=2 * ENTRIES_MAX,
            max_str_len=0,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RecordFormatError(f"a record's entries are not msgpack: {error}") from error
    if type(flat) is not list or len(flat) % 2:
        raise RecordFormatError("a record's entries are not a flat list of key, entry")
    if not flat:
        return {}
    # Every received record passes here: C-level loops take a third of the time of a written one.
    if set(map(type, flat)) != {bytes}:
        raise RecordFormatError("keys and entries are bytes")
    keys, entries = flat[::2], flat[1::2]
    if not (keys[0] and all(map(operator.lt, keys, keys[1:]))):
        raise RecordFormatError("keys are not empty, and ascend")
    if max(map(len, keys)) > KEY_BYTES_MAX or ACCESSED in keys:
        raise RecordFormatError("a key has at most 512 bytes, and is never the access")
    if min(map(len, entries)) < STAMP_BYTES:
        raise RecordFormatError("an entry begins with a stamp of 8 bytes")
    return dict(zip(keys, entries, strict=True))


def _hash_sum(entries: dict[bytes, bytes]) -> int:
    return sum(map(entry_hash, entries.keys(), entries.values()))


def _check_tombstone(record: Record, *, whole: bool) -> None:
    entry = record.entries[ENDED]
    if len(record.entries) > 1 or record.accessed or not whole:
        raise RecordFormatError("a tombstone is whole and has no other entry")
    if entry[STAMP_BYTES : STAMP_BYTES + 1] not in {bytes([reason]) for reason in EndReason}:
        raise RecordFormatError("a tombstone gives a known reason")


def _end_order(entry: bytes) -> tuple[bytes, bytes]:
    return entry[STAMP_BYTES : STAMP_BYTES + 1], entry
