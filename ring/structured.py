"""Maps, sets and counters: several entries under one name, which merge each on its own.

Rules:
- The entry under the bare name is the *floor*; its value is a plain value, or the marker of a kind.
  Under the same name there are *parts*: members of a map or a set, shards of a counter. A part that
  is not above its floor is gone: a member whose stamp is not greater, a shard that counts from an
  older floor. So to set, delete and clear, and to change the kind, are one mechanism: a new floor.
- What is gone stays gone, whatever comes in which order: floors only rise. Parts that are above a
  floor of another kind are kept, and not shown.
- Who adds to an attribute of another kind, or to none, derives the floor from the one that was
  there. So two who do so at once derive the same, and neither ends what the other adds.
- A shard is written by one writer. Where other entries have a stamp it has that writer's count of
  its changes; so a total that is sent twice, or comes late, or by another road, counts once.

Source: the observed-remove map with a causal reset, after Shapiro et al., "A comprehensive study
of CRDTs", 2011; here everything seen by a stamp is observed.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Final

import msgpack

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp, make_entry
from ring.errors import RecordFormatError

MEMBER: Final = 1
"""How the key of a member begins: then a u16, the length of the name, the name, the member."""
SHARD: Final = 2
"""How the key of a shard begins: then a u16, the name, the floor's stamp, the writer's token."""
TOKEN_BYTES: Final = 8

_LENGTH_BYTES: Final = 2
_NAME_AT: Final = 1 + _LENGTH_BYTES
_MARKER: Final = b"\xc1"
"""No packed value begins with this byte: msgpack has no use for it."""
_ENSURE: Final = b"?"

REMOVAL_BYTES_MAX: Final = STAMP_BYTES + 2
"""The longest entry that says "removed"."""

NUMBER_MAX: Final = (1 << 63) - 1


class Kind(Enum):
    """What a structured attribute is; the value stands in its marker."""

    MAP = b"m"
    SET = b"s"
    """A map whose values are all nil."""
    COUNTER = b"c"


def marker(kind: Kind, *, present: bool = True, base: int = 0) -> bytes:
    """Return the value of a floor.

    Args:
        kind: of the attribute.
        present: whether the attribute is there while nothing is in it. One that was deleted is
            not; what somebody who has not heard of that adds at the same time brings it back.
        base: what a counter begins at, in 64 bits with a sign.
    """
    letter = kind.value if present else kind.value.upper()
    return _MARKER + letter + (msgpack.packb(base) if base else b"")


def ensuring(kind: Kind) -> bytes:
    """Return what asks for a floor of this kind: it stays as it is if it is there already."""
    return _MARKER + kind.value + _ENSURE


_KINDS: Final = {_MARKER + kind.value: kind for kind in Kind} | {
    marker(kind, present=False): kind for kind in Kind
}
_ABSENT: Final = frozenset(marker(kind, present=False) for kind in Kind)
_ENSURED: Final = {ensuring(kind): kind for kind in Kind}


def kind_of(floor: bytes | None) -> Kind | None:
    """Return of which kind the attribute with this floor is; None: plain, removed, or not there."""
    return _KINDS.get(floor[STAMP_BYTES : STAMP_BYTES + 2]) if floor is not None else None


def says_removed(entry: bytes) -> bool:
    """Return whether an entry, in the floor's place, says that there is no attribute."""
    return len(entry) == STAMP_BYTES or entry[STAMP_BYTES:] in _ABSENT


def member_key(name: bytes, member: bytes) -> bytes:
    """Return the key of a member of the map or set ``name``."""
    return bytes([MEMBER]) + len(name).to_bytes(_LENGTH_BYTES, "big") + name + member


def shard_key(name: bytes, floor: Stamp, token: bytes) -> bytes:
    """Return the key of a writer's shard of the counter ``name``, counted from this floor."""
    length = len(name).to_bytes(_LENGTH_BYTES, "big")
    return bytes([SHARD]) + length + name + make_entry(floor, token)


def shard_entry(changes: int, total: int) -> bytes:
    """Return the entry of a shard after so many changes of its writer, with their sum."""
    return make_entry(Stamp(changes), msgpack.packb(total))


def is_part(key: bytes) -> bool:
    """Return whether this is the key of a member or a shard."""
    return key[0] in (MEMBER, SHARD)


def name_of(part: bytes) -> bytes:
    """Return under which name a part belongs.

    Raises:
        RecordFormatError: the key is not that of a part. Definite.
    """
    end = _NAME_AT + int.from_bytes(part[1:_NAME_AT], "big")
    name, rest = part[_NAME_AT:end], part[end:]
    if not name or name[0] in (0, MEMBER, SHARD) or not rest:
        raise RecordFormatError("the key of a part has a name, and something of its own")
    if part[0] == SHARD and len(rest) != STAMP_BYTES + TOKEN_BYTES:
        raise RecordFormatError("the key of a shard has a floor and a token")
    return name


def is_gone(part: bytes, entry: bytes, floor: bytes | None) -> bool:
    """Return whether a part is not above its floor; None: there is no floor here."""
    if floor is None:
        return False
    if part[0] == SHARD:
        return _counts_from(part) < floor[:STAMP_BYTES]
    return entry[:STAMP_BYTES] <= floor[:STAMP_BYTES]


def _counts_from(shard: bytes) -> bytes:
    return shard[-STAMP_BYTES - TOKEN_BYTES : -TOKEN_BYTES]


def recounted(shard: bytes, stamps: Mapping[Stamp, Stamp]) -> bytes:
    """Return the key of a shard whose floor has another stamp now, if it has."""
    floor = Stamp(int.from_bytes(_counts_from(shard), "big"))
    return shard_key(name_of(shard), stamps.get(floor, floor), shard[-TOKEN_BYTES:])


def parts_by_name(entries: Mapping[bytes, bytes]) -> dict[bytes, dict[bytes, None]]:
    """Return the keys of all parts, by name; ``entries`` have ascending keys.

    Raises:
        RecordFormatError: a key is not what it says. Definite.
    """
    parts: dict[bytes, dict[bytes, None]] = {}
    for key in entries:
        if key[0] > SHARD:
            break  # Few records have parts, and this is asked of every one: they come early.
        if key[0] != 0:
            parts.setdefault(name_of(key), {})[key] = None
    return parts


def check_parts(entries: Mapping[bytes, bytes]) -> None:
    """Check that every part in a record's entries, whose keys ascend, is above its floor.

    Raises:
        RecordFormatError: one is not, so whoever wrote the record did not merge it. Definite.
    """
    for name, parts in parts_by_name(entries).items():
        floor = entries.get(name)
        if any(is_gone(part, entries[part], floor) for part in parts):
            raise RecordFormatError("a part that is not above its floor")


# --- What is there ---


def members(entries: Mapping[bytes, bytes], name: bytes) -> dict[bytes, bytes] | None:
    """Return the packed values of a map or set by member; None: there is no such attribute."""
    floor = entries.get(name)
    if floor is None or kind_of(floor) not in (Kind.MAP, Kind.SET):
        return None
    prefix = member_key(name, b"")
    found = {
        key[len(prefix) :]: entry[STAMP_BYTES:]
        for key, entry in entries.items()
        if key.startswith(prefix) and len(entry) > STAMP_BYTES
    }
    return found if found or _is_present(floor) else None


def total(entries: Mapping[bytes, bytes], name: bytes) -> int | None:
    """Return what a counter has come to; None: there is no such attribute."""
    floor = entries.get(name)
    if floor is None or kind_of(floor) is not Kind.COUNTER:
        return None
    prefix = shard_key(name, entry_stamp(floor), b"")
    shards = [
        _number(entry[STAMP_BYTES:])
        for key, entry in entries.items()
        if key[: len(prefix)] == prefix
    ]
    if not shards and not _is_present(floor):
        return None
    return _number(floor[STAMP_BYTES + 2 :]) + sum(shards)


def _is_present(floor: bytes) -> bool:
    return floor[STAMP_BYTES + 1 : STAMP_BYTES + 2].islower()


def _number(packed: bytes) -> int:
    try:
        number = msgpack.unpackb(packed) if packed else 0
    except (ValueError, msgpack.UnpackException):
        return 0  # A newer version's spelling: kept and passed on, not understood.
    return number if type(number) is int else 0


# --- What a client asks for ---


def floor_after(floor: bytes | None, value: bytes | None, stamp: Stamp) -> bytes | None:
    """Return the floor that a client's change of a bare name makes; None: it stays as it is.

    Args:
        floor: the entry that is there.
        value: what the client asks for: a packed value, a marker, ``ensuring``; None: to remove it.
        stamp: of the change.
    """
    wanted = _ENSURED.get(value) if value is not None else None
    if wanted is None:
        kind = kind_of(floor)
        if value is None and kind is not None:
            value = marker(kind, present=False)
        return make_entry(stamp, value)
    if floor is not None and kind_of(floor) is wanted and _is_present(floor):
        return None
    derived = Stamp(entry_stamp(floor) + 1) if floor is not None else Stamp(1)
    return make_entry(derived, marker(wanted))


def is_new_floor(value: bytes | None) -> bool:
    """Return whether a client's change of a bare name ends all parts that are there."""
    return value not in _ENSURED


def why_not_written(
    entries: Mapping[bytes, bytes], changes: Iterable[tuple[bytes, bytes | None]]
) -> str | None:
    """Return what is wrong with the parts among a client's changes; None: nothing."""
    asked = dict(changes)
    for key, value in asked.items():
        if not is_part(key):
            continue
        try:
            name = name_of(key)
        except RecordFormatError as error:
            return str(error)
        floor = entries.get(name)
        if name in asked:
            # Its stamp is that of the change, and later than what any client can count from.
            floor = floor_after(floor, asked[name], Stamp(NUMBER_MAX)) or floor
        kinds = {Kind.COUNTER} if key[0] == SHARD else {Kind.MAP, Kind.SET}
        if kind_of(floor) not in kinds:
            return "a part of an attribute that is of another kind, or not there"
        if key[0] == SHARD:
            if value is None or len(value) <= STAMP_BYTES:
                return "a shard has a count and a total"
            if floor is None or _counts_from(key) != floor[:STAMP_BYTES]:
                return "the counter was set since its total was read; read it again"
    return None


def entries_for(
    entries: Mapping[bytes, bytes],
    changes: Iterable[tuple[bytes, bytes | None]],
    floors_at: Stamp,
    parts_at: Stamp,
) -> list[tuple[bytes, bytes]]:
    """Return the entries that a client's changes make.

    Args:
        entries: what is there.
        changes: what is asked for, by key.
        floors_at: the stamp of plain values and of floors.
        parts_at: the stamp of members; the greater one if a floor is changed as well.
    """
    made = []
    for key, value in changes:
        if key[0] == SHARD:
            assert value is not None, "a shard is never removed"
            made.append((key, value))
        elif key[0] == MEMBER:
            made.append((key, make_entry(parts_at, value)))
        else:
            entry = floor_after(entries.get(key), value, floors_at)
            if entry is not None:
                made.append((key, entry))
    return made
