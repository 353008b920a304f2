"""The members of one map or set in a copy of a session.

Rules:
- Members that are equal are one member, as in a dict or set, though their bytes may differ.
- A member of whose bytes this process knows no value stays as it is. What concerns all of the
  attribute's members says so; what concerns another one does not.
- The order is the same everywhere: first ints, then strs, each ascending, then all others by
  their bytes.
"""

from typing import Any, Final

from node.cells import Cells
from node.errors import AttributeDecodeError
from node.packing import pack_value
from node.unpacking import unpack_value
from node.values import KEY_TYPES
from ring.entry import KEY_BYTES_MAX
from ring.errors import SessionTooLargeError
from ring.structured import Kind, ensuring, member_key

_MEMBER_PACKED_MAX: Final = 65_536


class Members:
    """What is in a map or set, by member.

    Args:
        cells: where the values are.
        name: the attribute's.
        kind: map or set.
    """

    __slots__ = ("_cells", "_keys", "_name", "_prefix", "_strange", "kind")

    def __init__(self, cells: Cells, name: bytes, kind: Kind) -> None:
        self.kind = kind
        self._cells = cells
        self._name = name
        self._prefix = member_key(name, b"")
        self._keys: dict[Any, list[bytes]] = {}
        """By member, the keys of all that are equal to it."""
        self._strange: AttributeDecodeError | None = None
        text, start = name.decode(), len(self._prefix)
        for key in cells.members(name):
            try:
                self._keys.setdefault(self._member(text, key[start:]), []).append(key)
            except AttributeDecodeError as error:
                self._strange = error

    def _member(self, name: str, packed: bytes) -> Any:
        member = unpack_value(name, packed)
        if type(member) in KEY_TYPES:
            return member
        try:
            hash(member)
        except TypeError:
            is_one = False
        else:
            is_one = self.kind is Kind.SET
        if not is_one:
            raise AttributeDecodeError(
                f"attribute {name!r} cannot be decoded: a member of it is a "
                f"{type(member).__name__}, which this version does not take for one"
            )
        return member

    @property
    def exists(self) -> bool:
        """Whether there is such an attribute, be it empty."""
        return bool(self._keys) or self._strange is not None or self._cells.has_floor(self._name)

    # --- One member ---------------------------------------------------------------------------

    def has(self, member: object) -> bool:
        """Return whether it is there; a member that cannot be hashed is a TypeError."""
        return member in self._keys

    def value(self, member: object) -> Any:
        """Return the value of a member; KeyError if it is not there."""
        return self._cells.get(self._keys[member][0], None)

    def put(self, member: object, value: object) -> None:
        """Have a member in it, with this value.

        Raises:
            TypeError: it cannot be one. Nothing changed.
            ValueNotStorableError: it cannot be kept. Nothing changed.
            ValueError: its bytes are too many. Nothing changed.
        """
        keys = self._keys.get(member)
        key = keys[0] if keys else self._key(member)
        if self._cells.is_removed(self._name):
            self._cells.put_floor(self._name, self.kind)
        if not keys and not self._has_key(key):
            # What is not equal to itself, not a number, has its bytes all the same.
            self._keys[member] = [key]
        self._cells.put(key, value)

    def _has_key(self, key: bytes) -> bool:
        if key in self._cells.values:
            return True
        # What others have put under a floor of another kind is known, and not shown.
        is_shown = self._cells.floor_kind(self._name) in (Kind.MAP, Kind.SET)
        return is_shown and self._cells.has(key)

    def discard(self, member: object) -> None:
        """Have a member in it no more; KeyError if it is not there."""
        for key in self._keys.pop(member):
            self._cells.discard(key)

    def _key(self, member: object) -> bytes:
        hash(member)
        name = self._name.decode()
        if self.kind is Kind.MAP and type(member) not in KEY_TYPES:
            raise TypeError(f"a key of the map {name!r} is a str or an int, not {member!r}")
        try:
            key = self._prefix + pack_value(f"{name}{{member}}", member, _MEMBER_PACKED_MAX)
            size = len(key) - len(self._prefix)
        except SessionTooLargeError:
            key, size = b"", _MEMBER_PACKED_MAX
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise ValueError(
                f"a member of attribute {name!r} takes {size} bytes packed; use at most "
                f"{KEY_BYTES_MAX - len(self._prefix)}, and keep what is larger as a map's value"
            )
        return key

    # --- All of them --------------------------------------------------------------------------

    def size(self) -> int:
        """Return how many there are; raises as ``ordered`` does."""
        self._check_known()
        return len(self._keys)

    def ordered(self) -> list[Any]:
        """Return the members in their order.

        Raises:
            AttributeDecodeError: one of them cannot be decoded here. Nothing changed.
        """
        self._check_known()
        return sorted(self._keys, key=self._order)

    def _check_known(self) -> None:
        if self._strange is not None:
            raise self._strange

    def _order(self, member: Any) -> tuple[int, Any]:
        if type(member) is int:
            return 0, member
        return (1, member) if type(member) is str else (2, self._keys[member][0])

    def clear(self) -> None:
        """End all of them, those that others have added and this copy does not know included."""
        self._keys.clear()
        self._strange = None
        self._cells.put_floor(self._name, self.kind)

    def copy(self) -> dict[Any, Any]:
        """Return the values by member, in their order; raises as ``ordered`` and ``value`` do."""
        return {member: self.value(member) for member in self.ordered()}

    # --- What has to be sent ------------------------------------------------------------------

    def complete(self, changes: dict[bytes, bytes | None]) -> None:
        """Add to changes that have members of this attribute what else they need."""
        if self._name in changes or self._cells.floor_kind(self._name) is self.kind:
            return
        if any(key.startswith(self._prefix) for key in changes):
            changes[self._name] = ensuring(self.kind)
