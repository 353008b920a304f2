"""A session's attributes as a dict that knows what of it the ring has not got.

Rules:
- Attributes are decoded when first asked for.
- What has to be sent is what was assigned, removed, or changed in place. In-place changes are
  found by packing once more what was handed out, if its type lets it change.
- Nothing is forgotten before it is answered: what a save carries stays a change until that save
  succeeds. So a save that failed can be repeated, and a save that begins while another is under
  way carries all that the other does, or newer; whichever is answered, nothing is lost.
- An attribute of which the ring never heard needs no removal.
- Structured attributes (``ring.structured``) are left alone here, and not shown.
"""

from collections.abc import Iterator, MutableMapping
from typing import Any, Final

from node.packing import pack_value
from node.unpacking import unpack_value
from node.values import IMMUTABLE_TYPES
from ring.clock import STAMP_BYTES
from ring.structured import MEMBER, SHARD, kind_of

NAME_BYTES_MAX: Final = 255
"""The longest name of an attribute, in UTF-8."""

_NO_STAMP: Final = bytes(STAMP_BYTES)
_NOT_ATTRIBUTES: Final = (b"\0", bytes([MEMBER]), bytes([SHARD]))
"""How keys begin that are not the names of attributes."""


def check_attribute_name(name: str) -> None:
    """Check that an attribute may have this name.

    Raises:
        TypeError: it is not a str.
        ValueError: it is empty, too long, has a NUL, begins with U+0001 or U+0002, which mark the
            keys of members and shards, or has no UTF-8.
    """
    if not isinstance(name, str):
        raise TypeError(f"an attribute's name is a str, not {name!r}")
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError(f"attribute name {name!a} has a lone surrogate, and so no UTF-8") from None
    if not 1 <= length <= NAME_BYTES_MAX or "\0" in name or name[0] in "\1\2":
        raise ValueError(
            f"attribute name {name!r} cannot be used: it must be 1 to {NAME_BYTES_MAX} bytes of "
            "UTF-8 without NUL, and not begin with a control character"
        )


def _is_plain(key: bytes, entry: bytes) -> bool:
    """Return whether this is an attribute of one value, not something reserved or structured."""
    return not key.startswith(_NOT_ATTRIBUTES) and kind_of(entry) is None


class Attributes(MutableMapping[str, Any]):
    """Attributes by name, and beside them the entries under reserved keys.

    Args:
        known: what the ring has: entry key to stamp and packed value. Taken over, not copied.
    """

    __slots__ = (
        "_answered_turn",
        "_changed",
        "_changed_reserved",
        "_known",
        "_removed",
        "_sent",
        "_turn",
        "_values",
    )

    def __init__(self, known: dict[bytes, bytes]) -> None:
        self._known = known
        self._values: dict[str, Any] = {}
        """What was decoded or assigned, by name."""
        self._changed: dict[str, int] = {}
        """Assigned or changed in place, and not answered for: name to the turn of the change."""
        self._removed: dict[str, int] = {}
        """The same for what was removed."""
        self._changed_reserved: dict[bytes, tuple[int, bytes]] = {}
        """The same for reserved keys, with the packed value."""
        self._sent: dict[bytes, int] = {}
        """Keys of saves that were not answered for: the ring may have heard of them."""
        self._turn = 0
        self._answered_turn = -1

    # --- As a dict ----------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        if name in self._values:
            return self._values[name]
        packed = self._known_packed(name)
        if not packed:
            raise KeyError(name)
        value = self._values[name] = unpack_value(name, packed)
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        check_attribute_name(name)
        self._turn += 1
        self._values[name] = value
        self._changed[name] = self._turn
        self._removed.pop(name, None)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self._turn += 1
        if self._known_packed(name) or name.encode() in self._sent:
            self._removed[name] = self._turn
        self._values.pop(name, None)
        self._changed.pop(name, None)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (name in self._values or bool(self._known_packed(name)))

    def __iter__(self) -> Iterator[str]:
        known = (name for name in self._known_names() if name not in self._removed)
        return iter(dict.fromkeys(known) | dict.fromkeys(self._values))

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove every attribute, decoding none."""
        for name in self:
            del self[name]

    def _known_names(self) -> Iterator[str]:
        for key, entry in self._known.items():
            if len(entry) > STAMP_BYTES and _is_plain(key, entry):
                try:
                    yield key.decode()
                except UnicodeDecodeError:
                    continue  # No name that can be asked for: not from an application.

    def _known_packed(self, name: str) -> bytes:
        """Return the bytes that the ring has of an attribute; empty if none, or removed here."""
        if name in self._removed or not isinstance(name, str):
            return b""
        try:
            key = name.encode()
        except UnicodeEncodeError:
            return b""
        entry = self._known.get(key, b"")
        return entry[STAMP_BYTES:] if _is_plain(key, entry) else b""

    # --- Reserved keys ------------------------------------------------------------------------

    def reserved(self, key: bytes) -> bytes:
        """Return the packed value under a reserved key; empty bytes for none."""
        changed = self._changed_reserved.get(key)
        return changed[1] if changed is not None else self._known.get(key, b"")[STAMP_BYTES:]

    def change_reserved(self, key: bytes, packed: bytes) -> None:
        """Put a packed value under a reserved key; sent like any other change."""
        self._turn += 1
        self._changed_reserved[key] = (self._turn, packed)

    # --- What has to be sent ------------------------------------------------------------------

    def changes(self, attribute_bytes_max: int) -> dict[bytes, bytes | None]:
        """Return what the ring has not got: entry key to packed value, None for removed.

        Raises:
            ValueNotStorableError: a value cannot be kept. Nothing is forgotten.
            SessionTooLargeError: an attribute takes more bytes than allowed. Nothing is forgotten.
        """
        changes: dict[bytes, bytes | None] = {}
        for name, value in self._values.items():
            is_changed = name in self._changed
            if not is_changed and type(value) in IMMUTABLE_TYPES:
                continue
            packed = pack_value(name, value, attribute_bytes_max)
            key = name.encode()
            if not is_changed:
                if packed == self._known.get(key, b"")[STAMP_BYTES:]:
                    continue
                # From here on like one assigned: it stays a change until it is answered for,
                # also if it is changed back before that.
                self._turn += 1
                self._changed[name] = self._turn
            changes[key] = packed
        for name in self._removed:
            changes[name.encode()] = None
        for key, (_, packed) in self._changed_reserved.items():
            changes[key] = packed
        return changes

    def entry_sizes(self, changes: dict[bytes, bytes | None]) -> dict[bytes, int]:
        """Return the bytes of each entry after ``changes``: of its key, stamp and value."""
        sizes = {key: len(key) + len(entry) for key, entry in self._known.items()}
        for key, packed in changes.items():
            sizes[key] = len(key) + STAMP_BYTES + len(packed or b"")
        return sizes

    def note_sent(self, changes: dict[bytes, bytes | None]) -> int:
        """Note that ``changes``, just taken, go to the ring; return the turn to answer with."""
        self._sent.update(dict.fromkeys(changes, self._turn))
        return self._turn

    def note_answered(self, turn: int, changes: dict[bytes, bytes | None]) -> bool:
        """Note that the ring has ``changes``, sent at ``turn``; return whether that is news.

        It is not if a save that began later was answered first: that one carried all of it.
        """
        if turn < self._answered_turn:
            return False
        self._answered_turn = turn
        for key, packed in changes.items():
            self._known[key] = _NO_STAMP + (packed or b"")
        self._changed = {name: at for name, at in self._changed.items() if at > turn}
        self._removed = {name: at for name, at in self._removed.items() if at > turn}
        self._sent = {key: at for key, at in self._sent.items() if at > turn}
        self._changed_reserved = {
            key: change for key, change in self._changed_reserved.items() if change[0] > turn
        }
        return True
