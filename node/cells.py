"""What one copy of a session has under each entry key, and what of it the ring has not got.

Rules:
- A cell is the value of a plain attribute, under its name, or of a member, under the key of that
  part (``ring.structured``). It is decoded when first asked for.
- What has to be sent is what was put, discarded, or changed in place. In-place changes are found
  by packing once more what was handed out, if its type lets it change.
- Nothing is forgotten before it is answered: what a save carries stays a change until that save
  succeeds. So a save that failed can be repeated, and a save that begins while another is under
  way carries all that the other does, or newer; whichever is answered, nothing is lost.
- What the ring never heard of needs no removal.
- A new floor ends the parts under its name here at once, as it will there.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from node.errors import AttributeDecodeError, ValueNotStorableError
from node.packing import pack_value, step_to
from node.unpacking import unpack_value
from node.values import IMMUTABLE_TYPES
from ring.clock import STAMP_BYTES, Stamp
from ring.entry import EXPIRED, entry_stamp
from ring.errors import SessionTooLargeError
from ring.structured import (
    MEMBER,
    SHARD,
    Kind,
    floor_after,
    is_new_floor,
    is_part,
    kind_of,
    marker,
    member_key,
    name_of,
    says_removed,
)

MISSING: Final = object()
"""What no value is."""

NO_STAMP: Final = bytes(STAMP_BYTES)
"""In the place of the stamp of what was saved here: nobody has told it."""


class Cells:
    """Values by entry key, and beside them packed changes: of reserved entries and of floors.

    Args:
        known: what the ring has: entry key to stamp and packed value. Taken over, not copied.
    """

    __slots__ = (
        "_answered_turn",
        "_changed",
        "_ended",
        "_floored",
        "_packed",
        "_removed",
        "_sent",
        "known",
        "on_change",
        "turn",
        "values",
    )

    def __init__(self, known: dict[bytes, bytes]) -> None:
        self.known = known
        self.turn = 0
        """Rises with every change."""
        self.on_change: Callable[[], None] | None = None
        """Is called after every change but those in place, if somebody watches."""
        self.values: dict[bytes, Any] = {}
        """What was decoded or put, parts included."""
        self._changed: dict[bytes, int] = {}
        """Put or changed in place, and not answered for: key to the turn of the change."""
        self._removed: dict[bytes, int] = {}
        """The same for what was discarded."""
        self._packed: dict[bytes, tuple[int, bytes]] = {}
        """The same for what is packed already: reserved entries and floors."""
        self._floored: dict[bytes, int] = {}
        """The same for names of which all parts were ended."""
        self._ended: dict[bytes, bytes] = {}
        """What was known of the parts of those."""
        self._sent: dict[bytes, int] = {}
        """Keys of saves that were not answered for: the ring may have heard of them."""
        self._answered_turn = -1

    # --- Values -------------------------------------------------------------------------------

    def has(self, key: bytes) -> bool:
        """Return whether there is a value."""
        return key in self.values or bool(self._known_packed(key))

    def get(self, key: bytes, default: object) -> Any:
        """Return a value, or else the default.

        Raises:
            AttributeDecodeError: it is none that this process knows. Nothing changed.
        """
        value = self.values.get(key, MISSING)
        if value is MISSING:
            packed = self._known_packed(key)
            if not packed:
                return default
            value = self.values[key] = unpack_value(label(key), packed)
        return value

    def put(self, key: bytes, value: object) -> None:
        """Have a value under a key."""
        self.turn += 1
        self.values[key] = value
        self._changed[key] = self.turn
        self._removed.pop(key, None)
        self._packed.pop(key, None)
        if self.on_change is not None:
            self.on_change()

    def discard(self, key: bytes) -> None:
        """Have nothing under a key, neither a value nor a floor."""
        self.turn += 1
        if key in self._sent or len(self.known.get(key, b"")) > STAMP_BYTES:
            self._removed[key] = self.turn
        self.values.pop(key, None)
        self._changed.pop(key, None)
        self._packed.pop(key, None)
        if self.on_change is not None:
            self.on_change()

    def is_removed(self, key: bytes) -> bool:
        """Return whether what the ring has was discarded here."""
        return key in self._removed

    def touched(self) -> Iterator[bytes]:
        """Return the keys of the values that were asked for or put."""
        return iter(self.values)

    def members(self, name: bytes) -> list[bytes]:
        """Return the keys of the members under a name that are there."""
        prefix = member_key(name, b"")
        keys = dict.fromkeys(key for key in self.values if key.startswith(prefix))
        if self.floor_kind(name) in (Kind.MAP, Kind.SET):
            keys |= dict.fromkeys(
                key
                for key, entry in self.known.items()
                if key.startswith(prefix) and len(entry) > STAMP_BYTES and key not in self._removed
            )
        return list(keys)

    def _known_packed(self, key: bytes) -> bytes:
        """Return the bytes that the ring has of a value; empty if none, or discarded here."""
        if key in self._removed or key in self._floored:
            return b""
        entry = self.known.get(key, b"")
        return entry[STAMP_BYTES:] if kind_of(entry) is None else b""

    # --- Packed changes -----------------------------------------------------------------------

    def packed(self, key: bytes) -> bytes:
        """Return what stands under a reserved key; empty bytes for nothing."""
        changed = self._packed.get(key)
        if changed is not None:
            return changed[1]
        return self.known.get(key, b"")[STAMP_BYTES:] if key not in self._removed else b""

    def is_changed(self, key: bytes) -> bool:
        """Return whether what stands under a reserved key was put or discarded here."""
        return key in self._packed or key in self._removed

    def put_packed(self, key: bytes, packed: bytes) -> None:
        """Have a packed value under a reserved key."""
        self.turn += 1
        self._packed[key] = (self.turn, packed)
        self._removed.pop(key, None)
        if self.on_change is not None:
            self.on_change()

    def floor_kind(self, name: bytes) -> Kind | None:
        """Return of which kind the attribute is by its floor; None: plain, or not there."""
        changed = self._packed.get(name)
        if changed is not None:
            return kind_of(NO_STAMP + changed[1])
        if name in self._removed or name in self._floored or name in self.values:
            return None
        return kind_of(self.known.get(name))

    def has_floor(self, name: bytes) -> bool:
        """Return whether there is a structured attribute even if nothing is in it."""
        if self.floor_kind(name) is None:
            return False
        return name in self._packed or not says_removed(self.known[name])

    def end_parts(self, name: bytes) -> None:
        """End what is there under a name; a new floor, or its removal, has to follow."""
        self.turn += 1
        if not self._floored:
            self._ended = {}
        self._floored[name] = self.turn
        for part in [key for key in self.known if is_part(key) and name_of(key) == name]:
            self._ended[part] = self.known.pop(part)
        prefix = member_key(name, b"")
        for cells in (self.values, self._changed, self._removed):
            for part in [key for key in cells if key.startswith(prefix)]:
                del cells[part]
        if self.on_change is not None:
            self.on_change()

    def put_floor(self, name: bytes, kind: Kind) -> None:
        """Have an empty map or set under a name, whatever was there."""
        self.end_parts(name)
        self.discard(name)
        self._removed.pop(name, None)
        self._packed[name] = (self.turn, marker(kind))

    def take_floor(self, name: bytes) -> None:
        """End what is there under a name; its floor is sent by whoever calls this."""
        self.end_parts(name)
        self._removed.pop(name, None)

    def learn_floor(self, name: bytes, entries: Mapping[bytes, bytes]) -> bool:
        """Take over which floor the ring has now, with its shards; return whether it counts here.

        It does not if another one is on its way.
        """
        if name in self._packed or name in self._removed or name in self._floored:
            return False
        self.known.pop(name, None)
        for key in [key for key in self.known if _is_shard_of(name, key)]:
            del self.known[key]
        self.known |= {
            key: entry for key, entry in entries.items() if key == name or _is_shard_of(name, key)
        }
        if self.floor_kind(name) not in (Kind.MAP, Kind.SET):
            # What was to be taken out has gone already, with all the rest.
            prefix = member_key(name, b"")
            for key in [key for key in self._removed if key.startswith(prefix)]:
                del self._removed[key]
        return True

    # --- What has to be sent ------------------------------------------------------------------

    def bytes_before(self) -> int:
        """Return how many bytes the ring has of the session, as far as this copy knows."""
        return sum(len(key) + len(entry) for key, entry in self._known_before().items())

    def _known_before(self) -> dict[bytes, bytes]:
        """Return what the ring has, as far as this copy knows, with what is ended only here."""
        if not self._floored:
            return self.known
        ended = {key: entry for key, entry in self._ended.items() if name_of(key) in self._floored}
        return ended | self.known

    def changes(self, attribute_bytes_max: int) -> dict[bytes, bytes | None]:
        """Return what the ring has not got: entry key to packed value, None for removed.

        Raises:
            ValueNotStorableError: a value cannot be kept. Nothing is forgotten.
            SessionTooLargeError: a value takes more bytes than allowed. Nothing is forgotten.
        """
        changes: dict[bytes, bytes | None] = {}
        for key, value in self.values.items():
            is_changed = key in self._changed
            if not is_changed and type(value) in IMMUTABLE_TYPES:
                continue
            packed = _packed(key, value, attribute_bytes_max)
            if not is_changed:
                known = self.known.get(key, b"")[STAMP_BYTES:]
                if packed == known or packed == _respelt(key, known, attribute_bytes_max):
                    continue
                # From here on like one that was put: it stays a change until it is answered for,
                # also if it is changed back before that.
                self.turn += 1
                self._changed[key] = self.turn
            changes[key] = packed
        for key in self._removed:
            changes[key] = None
        for key, (_, packed) in self._packed.items():
            changes[key] = packed
        return changes

    def plain(self) -> dict[bytes, bytes | None]:
        """Return the packed values of the plain attributes that the ring has."""
        keys = [key for key in self.known if key[0] > SHARD]
        values = {key: self._known_packed(key) for key in keys}
        return {key: packed for key, packed in values.items() if packed}

    def knows(self, entries: Mapping[bytes, bytes]) -> bool:
        """Return whether the ring, which has these entries, has nothing that is news here."""
        known = self._known_before()
        for key in {*known, *entries} - {EXPIRED}:
            ours, theirs = known.get(key, NO_STAMP), entries.get(key, NO_STAMP)
            told = NO_STAMP not in (ours[:STAMP_BYTES], theirs[:STAMP_BYTES])
            if ours != theirs if told else _value_in(ours) != _value_in(theirs):
                return False
        return True

    def note_sent(self, changes: dict[bytes, bytes | None]) -> int:
        """Note that ``changes``, just taken, go to the ring; return the turn to answer with."""
        self._sent.update(dict.fromkeys(changes, self.turn))
        return self.turn

    def note_answered(self, turn: int, changes: dict[bytes, bytes | None]) -> bool:
        """Note that the ring has ``changes``, sent at ``turn``; return whether that is news.

        It is not if a save that began later was answered first: that one carried all of it.
        """
        if turn < self._answered_turn:
            return False
        self._answered_turn = turn
        for key, packed in changes.items():
            if key[0] > SHARD and is_new_floor(packed):
                self.known[key] = NO_STAMP + (packed or b"")
            else:
                self._note_known(key, packed, turn)
        waiting = (self._changed, self._removed, self._sent, self._floored)
        if turn >= self.turn:
            for turns in waiting:
                turns.clear()
            self._packed.clear()
            return True
        for turns in waiting:
            for key in [key for key, at in turns.items() if at <= turn]:
                del turns[key]
        for key in [key for key, (at, _) in self._packed.items() if at <= turn]:
            del self._packed[key]
        return True

    def _note_known(self, key: bytes, packed: bytes | None, turn: int) -> None:
        if is_part(key):
            if self._floored.get(name_of(key), turn) > turn:
                return  # It was ended here meanwhile.
            self.known[key] = packed if key[0] == SHARD and packed else NO_STAMP + (packed or b"")
        elif is_new_floor(packed):
            self.known[key] = NO_STAMP + (packed or b"")  # a reserved one
        else:
            old = self.known.get(key)
            floor = floor_after(old, packed, Stamp(0)) or old or b""
            # What is derived from a floor whose stamp nobody has told is not known either.
            told = old is None or entry_stamp(old)
            self.known[key] = floor if told else NO_STAMP + floor[STAMP_BYTES:]


def _value_in(entry: bytes) -> bytes:
    """Return the packed value in an entry; empty bytes if it says that there is none."""
    return b"" if says_removed(entry) else entry[STAMP_BYTES:]


def _packed(key: bytes, value: object, bytes_max: int) -> bytes:
    """Return the bytes of a value; raises as ``pack_value``."""
    try:
        return pack_value("", value, bytes_max)
    except (ValueNotStorableError, SessionTooLargeError):
        return pack_value(label(key), value, bytes_max)  # Only an error needs to say which it is.


def _respelt(key: bytes, known: bytes, bytes_max: int) -> bytes:
    """Return how this process spells what the ring has.

    What was written by an older version of a class, and only read here, is left to those who may
    still have that version.
    """
    try:
        return _packed(key, unpack_value(label(key), known), bytes_max)
    except (AttributeDecodeError, SessionTooLargeError):
        return b""


def label(key: bytes) -> str:
    """Return what people call a value: the name, and the member if it is one."""
    if key[0] != MEMBER:
        return key.decode()
    name = name_of(key)
    member = key[len(member_key(name, b"")) :]
    return f"{name.decode()}{step_to(unpack_value(name.decode(), member))}"


def _is_shard_of(name: bytes, key: bytes) -> bool:
    return key[0] == SHARD and name_of(key) == name
