"""A record: what the ring knows of one session, as stamped entries, and how two of them merge.

Rules:
- Merge is commutative, associative and idempotent; a tombstone wins over everything but a
  stronger tombstone.
- A record is *whole*, or a fragment that is merged and compared like any other but never served.
- Parts of structured attributes that are not above their floor are gone (``ring.structured``).
- ``accessed`` is an entry whose value is an idle age: on this node a moment of its monotonic
  clock, in a frame the age then. Digests see its key and stamp only.
- The digest is the 64-bit sum of the entries' hashes, plus a constant for a whole record. No record
  has the digest 0 of nothing, but for one chance in 2**64. It is made when it is asked for, and
  kept incrementally from then on: most records that arrive, or are read, are never asked.

Source: last-writer-wins maps after Shapiro et al., "A comprehensive study of CRDTs", 2011.
"""

import struct
from collections.abc import Iterable
from math import inf
from typing import Final

import msgpack
from attrs import define, field

from ring.clock import STAMP_BYTES, Stamp, stamp_ms
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    EXPIRED,
    LIFETIME,
    MAX_IDLE,
    WHOLE_HASH,
    EndReason,
    coalescing_s,
    end_order,
    entry_hash,
    entry_stamp,
    make_entry,
)
from ring.errors import RecordFormatError
from ring.identity import SessionId
from ring.packed import (
    ACCESS,
    ENDED_FLAG,
    FULL,
    HAS_ACCESSED,
    HELD,
    IDLE_MS_MAX,
    NEVER_S,
    WHOLE,
    pack,
    spell_portable,
    unpack,
)
from ring.structured import (
    REMOVAL_BYTES_MAX,
    SHARD,
    check_parts,
    is_gone,
    name_of,
    parts_by_name,
    says_removed,
)

_MASK: Final = (1 << 64) - 1
_STAMP: Final = struct.Struct(">Q")
_NUMBER_BYTES_MAX: Final = 9


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
    _digest: int | None = field(default=None, eq=False, repr=False)
    """None: nobody has asked yet."""
    _in_order: bool = field(default=True, eq=False, repr=False)
    """Whether the keys ascend, as they do in every byte form."""
    _parts: dict[bytes, dict[bytes, None]] | None = field(
        default=None, init=False, eq=False, repr=False
    )
    """The keys of members and shards, by name; None: nobody has asked yet."""

    # --- What it says ---

    @property
    def digest(self) -> int:
        """The 64 bits that name all that is in it, but for when it was accessed; 0: nothing is."""
        if self._digest is None:
            digest = _hash_sum(self.entries) + (WHOLE_HASH if self.whole else 0)
            if self.accessed:
                digest += entry_hash(ACCESSED, _STAMP.pack(self.accessed))
            self._digest = digest & _MASK
        return self._digest

    @property
    def ended(self) -> bool:
        """Whether this is a tombstone."""
        return ENDED in self.entries

    @property
    def expired(self) -> bool:
        """Whether an acting owner judged the last access known here to be too long ago.

        It did not know, perhaps, that the session does not expire any more.
        """
        marker = self.entries.get(EXPIRED)
        if marker is None or entry_stamp(marker) < self.accessed:
            return False
        return self.max_idle_s > 0 or self.lifetime_s > 0

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

    def parts(self, name: bytes) -> tuple[bytes, ...]:
        """Return the keys of the members and shards under ``name``."""
        return tuple(self._known_parts().get(name, ()))

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
        if not self.whole and self.entries.keys() == {EXPIRED}:
            # What it was about has gone everywhere while the marker was on its way.
            return epoch + stamp_ms(entry_stamp(self.entries[EXPIRED])) / 1000
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
            if old is not None and end_order(old) >= end_order(entry):
                return False
            self._become_tombstone(entry)
            return True
        if self.ended or (old is not None and old >= entry):
            return False
        if key[0] != 0:
            if key[0] <= SHARD:
                name = name_of(key)
                if is_gone(key, entry, self.entries.get(name)):
                    return False
                self._known_parts().setdefault(name, {})[key] = None
            elif self._known_parts():
                self._raise_floor(key, entry)
        if self._digest is not None:
            gone = entry_hash(key, old) if old is not None else 0
            self._digest = (self._digest + entry_hash(key, entry) - gone) & _MASK
        self.entries[key] = entry
        self._in_order &= old is not None
        return True

    def _known_parts(self) -> dict[bytes, dict[bytes, None]]:
        if self._parts is None:
            self._sort()
            self._parts = parts_by_name(self.entries)
        return self._parts

    def _raise_floor(self, name: bytes, floor: bytes) -> None:
        """Drop the parts that are gone by this floor."""
        parts = self._known_parts().get(name, {})
        for part in [part for part in parts if is_gone(part, self.entries[part], floor)]:
            del parts[part]
            self._remove(part)

    def _remove(self, key: bytes) -> None:
        entry = self.entries.pop(key)
        if self._digest is not None:
            self._digest = (self._digest - entry_hash(key, entry)) & _MASK

    def touch(self, accessed: Stamp, accessed_at: float) -> bool:
        """Merge an access; return whether its stamp is news. On equal stamps the older age wins."""
        if self.ended or accessed < self.accessed:
            return False
        if accessed == self.accessed:
            self.accessed_at = min(self.accessed_at, accessed_at)
            return False
        if self._digest is not None:
            old, new = _STAMP.pack(self.accessed), _STAMP.pack(accessed)
            gone = entry_hash(ACCESSED, old) if self.accessed else 0
            self._digest = (self._digest + entry_hash(ACCESSED, new) - gone) & _MASK
        self.accessed, self.accessed_at = accessed, accessed_at
        return True

    def make_whole(self) -> bool:
        """Note that nothing of the record is missing here; return whether that is news."""
        if self.whole:
            return False
        self.whole = True
        if self._digest is not None:
            self._digest = (self._digest + WHOLE_HASH) & _MASK
        return True

    def end(
        self, reason: EndReason, node: str, stamp: Stamp, *, new_id: SessionId | None = None
    ) -> None:
        """Turn the record into a tombstone that remembers by whom, its creation and last access.

        Args:
            reason: why it ends.
            node: who acts for it.
            stamp: when.
            new_id: the id under which the session goes on, if it was rotated.
        """
        created = self.entries.get(CREATED, bytes(STAMP_BYTES))
        story: list[object] = [node, entry_stamp(created), self.accessed]
        if new_id is not None:
            story.append(new_id)
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
        if self._parts:
            # A floor that came behind its parts has ended them again.
            changed.intersection_update((*self.entries, ACCESSED))
        return changed

    def forget(self, before: Stamp) -> bool:
        """Drop what was removed before this stamp; a tombstone that is older becomes nothing.

        Returns:
            Whether there was anything to drop.
        """
        old = [
            key
            for key, entry in self.entries.items()
            if (key == ENDED or says_removed(entry))
            and entry_stamp(entry) < before
            # What was added while others deleted the attribute needs its floor, to be of a kind.
            and not self.parts(key)
        ]
        self._parts = None
        for key in old:
            self._remove(key)
        if ENDED in old:
            self.whole, self._digest = False, 0
        return bool(old)

    def trust(self, digest: int) -> None:
        """Become whole if ``digest``, of a whole copy, names just what is here."""
        if not self.whole and self.digest and (self.digest + WHOLE_HASH) & _MASK == digest:
            self.make_whole()

    def _become_tombstone(self, entry: bytes) -> None:
        self.entries, self._parts = {ENDED: entry}, None
        self.whole, self.accessed, self.accessed_at = True, Stamp(0), 0.0
        self._digest = None

    # --- Byte forms ---

    def portable(self, now: float, keys: Iterable[bytes] | None = None) -> bytes:
        """Return the portable form of the record, or of a fragment with these keys only.

        A tombstone is never cut into fragments: it is what has to arrive.
        """
        if keys is None or self.ended:
            flags = FULL | (WHOLE if self.whole else 0)
            return spell_portable(flags, self.accessed, self.accessed_at, now, self._pack())
        wanted = set(keys)
        entries = {key: self.entries[key] for key in sorted(wanted) if key in self.entries}
        accessed = self.accessed if ACCESSED in wanted else Stamp(0)
        return spell_portable(0, accessed, self.accessed_at, now, pack(entries))

    @classmethod
    def from_portable(cls, portable: bytes, now: float) -> "Record":
        """Return the record or fragment that ``portable`` spells, for merging at ``now``.

        Raises:
            RecordFormatError: the bytes are not the portable form of a record. Definite.
        """
        if not portable or portable[0] & ~(WHOLE | FULL | HAS_ACCESSED):
            raise RecordFormatError("a record begins with a byte of known flags")
        flags, start = portable[0], 1
        if flags & WHOLE and not flags & FULL:
            raise RecordFormatError("a fragment cannot be whole")
        record = cls()
        if flags & HAS_ACCESSED:
            start += ACCESS.size
            if len(portable) < start:
                raise RecordFormatError("a record ends inside its access stamp")
            accessed, idle_ms = ACCESS.unpack_from(portable, 1)
            if not accessed or idle_ms > IDLE_MS_MAX:
                raise RecordFormatError("an access has a stamp, and an age of at most 2**48 ms")
            record.touch(Stamp(accessed), now - idle_ms / 1000)
        record.entries = unpack(portable[start:])
        check_parts(record.entries)
        if ENDED in record.entries:
            _check_tombstone(record, whole=bool(flags & WHOLE))
        record.whole = bool(flags & WHOLE)
        return record

    def held(self, epoch: float) -> bytes:
        """Return the form in which a table holds the record."""
        flags = (WHOLE if self.whole else 0) | (ENDED_FLAG if self.ended else 0)
        due = -inf if self.expired else self.due(epoch)
        header = HELD.pack(
            flags, self.digest, self.accessed, self.accessed_at, due, self._forgettable_s()
        )
        return header + self._pack()

    def _forgettable_s(self) -> int:
        """Return the second, since 1970, of the oldest end or removal."""
        if self.ended:
            oldest = self.entries[ENDED]
        else:
            short = [each for each in self.entries.values() if len(each) <= REMOVAL_BYTES_MAX]
            removals = [each for each in short if says_removed(each)]
            if not removals:
                return NEVER_S
            oldest = min(removals)
        return min(NEVER_S, stamp_ms(entry_stamp(oldest)) // 1000)

    def _pack(self) -> bytes:
        self._sort()
        return pack(self.entries)

    def _sort(self) -> None:
        if not self._in_order:
            self.entries = dict(sorted(self.entries.items()))
            self._in_order = True

    @classmethod
    def from_held(cls, held: bytes) -> "Record":
        """Return the record that a table held; its bytes were made here and are not checked."""
        flags, digest, accessed, accessed_at, _, _ = HELD.unpack_from(held)
        flat = msgpack.unpackb(held[HELD.size :])
        entries = dict(zip(flat[::2], flat[1::2], strict=True))
        return cls(entries, bool(flags & WHOLE), accessed, accessed_at, digest)


def _hash_sum(entries: dict[bytes, bytes]) -> int:
    return sum(map(entry_hash, entries.keys(), entries.values()))


def _check_tombstone(record: Record, *, whole: bool) -> None:
    entry = record.entries[ENDED]
    if len(record.entries) > 1 or record.accessed or not whole:
        raise RecordFormatError("a tombstone is whole and has no other entry")
    if entry[STAMP_BYTES : STAMP_BYTES + 1] not in {bytes([reason]) for reason in EndReason}:
        raise RecordFormatError("a tombstone gives a known reason")
