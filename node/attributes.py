"""A session's attributes as a dict that knows what of it the ring has not got.

Rules:
- An attribute is plain: one value, of which one of two concurrent ones wins. Or it is structured:
  a map, a set or a counter, of which every member and every addition counts.
- What is assigned under a name takes the place of whatever was there, of all its members too. But
  an int does not take that of a counter: who assigns one has read it, and means to add.
- Read under its name, a structured attribute is a copy that cannot be changed: what is put into
  that would be lost.
"""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from functools import lru_cache, partial
from typing import Any, Final, TypeVar, overload

from node.cells import MISSING, Cells
from node.copies import assignable, copy_of
from node.counting import Counting
from node.members import Members
from node.structures import SessionCounter, SessionMap, SessionSet
from node.typed import read_as
from node.writers import Writers
from ring.clock import STAMP_BYTES
from ring.errors import SessionTooLargeError
from ring.largest import Measure, largest
from ring.structured import SHARD, Kind, is_part, kind_of, name_of

NAME_BYTES_MAX: Final = 255
"""The longest name of an attribute, in UTF-8."""

_T = TypeVar("_T")
_D = TypeVar("_D")

_AS_IT_IS: Final = object()
"""In the place of a type that nobody has asked for."""

_FIRST_OF_NAMES: Final = bytes([SHARD + 1])
"""The least name of an attribute: what is less are keys of other entries."""
_CALLS: Final = {Kind.MAP: "map", Kind.SET: "set", Kind.COUNTER: "counter"}


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
            "UTF-8 without NUL, and not begin with U+0001 or U+0002"
        )


@lru_cache(maxsize=256)  # An application has few names, and asks for them with every request.
def _key_of(name: object) -> bytes:
    """Return the key of an attribute; empty if nothing can have this name."""
    try:
        key = name.encode() if isinstance(name, str) else b""
    except UnicodeEncodeError:
        return b""
    return key if key >= _FIRST_OF_NAMES else b""


class Attributes(MutableMapping[str, Any]):
    """Attributes by name, and beside them the entries under reserved keys.

    Args:
        known: what the ring has: entry key to stamp and packed value. Taken over, not copied.
        writers: of this process, for counters.
    """

    __slots__ = ("_cells", "_structures", "_writers")

    def __init__(self, known: dict[bytes, bytes], writers: Writers) -> None:
        self._cells = Cells(known)
        self._structures: dict[bytes, Members | Counting] = {}
        """The structured attributes that were asked for, by name; some are not there."""
        self._writers = writers

    # --- As a dict ----------------------------------------------------------------------------

    def __getitem__(self, name: str) -> Any:
        key = _key_of(name)
        if key in self._cells.values:
            return self._cells.values[key]  # Most are asked for more than once.
        if key and (value := self._cells.get(key, MISSING)) is not MISSING:
            return value
        structure = self._structure(key)
        if structure is None:
            raise KeyError(name)
        return copy_of(structure, name)

    @overload
    def get(self, name: str, default: object = None, /) -> Any: ...

    @overload
    def get(self, name: str, default: None = None, /, *, as_: type[_T]) -> _T | None: ...

    @overload
    def get(self, name: str, default: _D, /, *, as_: type[_T]) -> _T | _D: ...

    @overload
    def get(self, name: str, default: object = None, /, *, as_: object) -> Any: ...

    def get(self, name: str, default: object = None, /, *, as_: object = _AS_IT_IS) -> Any:
        """Return an attribute, or else the default.

        Args:
            name: the attribute's.
            default: given back as it is if there is no such attribute.
            as_: as what it is wanted, strictly: a class given to ``register``, of which it has to
                be; or an attrs class, a dataclass, a TypedDict, ``list[int]`` and the like, made of
                the dicts and lists in which it is stored. What is made is a new object: assign
                what is to be kept of its changes, as it was stored.

        Raises:
            AttributeDecodeError: it cannot be decoded here, or does not fit. Nothing changed.
            TypeError: nothing is strictly read as ``as_``.
        """
        try:
            value = self[name]
        except KeyError:
            return default
        return value if as_ is _AS_IT_IS else read_as(name, assignable(value), as_)

    def __setitem__(self, name: str, value: Any) -> None:
        check_attribute_name(name)
        key = name.encode()
        value = assignable(value)
        if key in self._structures or kind_of(self._cells.known.get(key)) is not None:
            if type(value) is int and isinstance(self._structure(key), Counting):
                raise TypeError(
                    f"attribute {name!r} is a counter, to which others may be adding; use session."
                    f"counter({name!r}).add(...) or .set(...), or del session[{name!r}] first"
                )
            self._end_structure(key)
        self._cells.put(key, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        key = name.encode()
        self._end_structure(key)
        self._cells.discard(key)

    def __contains__(self, name: object) -> bool:
        key = _key_of(name)
        return bool(key) and (self._cells.has(key) or self._structure(key) is not None)

    def __iter__(self) -> Iterator[str]:
        cells = self._cells
        keys = [key for key in cells.known if key[0] > SHARD]
        keys += (name_of(key) if is_part(key) else key for key in cells.touched())
        for key in dict.fromkeys([*keys, *self._structures]):
            try:
                name = key.decode()
            except UnicodeDecodeError:
                continue  # No name that can be asked for: not from an application.
            if cells.has(key) or self._structure(key) is not None:
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove every attribute, decoding none."""
        for name in list(self):
            del self[name]

    # --- Structured attributes ----------------------------------------------------------------

    def map(self, name: str) -> SessionMap:
        """Return the map under a name, as a dict: what is done to it is done to the session.

        It is there as soon as something is put into it, or was before. What is put into it, here
        and by others at the same time, is all there afterwards; of two values of one key, the
        later one. Keys are str and int; values may be what attributes may be, and as large.

        Raises:
            TypeError: ``name`` is not a str, or that of an attribute of another kind: delete that
                first, or use another name.
            ValueError: nothing can have that name.
        """
        check_attribute_name(name)
        return SessionMap(name, partial(self._members, name, Kind.MAP))

    def set(self, name: str) -> SessionSet:
        """Return the set under a name: what is done to it is done to the session; see ``map``.

        Its members may be whatever an attribute may be and has a hash, in at most 254 bytes or,
        if the name is shorter than the longest, as many more.
        """
        check_attribute_name(name)
        return SessionSet(name, partial(self._members, name, Kind.SET))

    def counter(self, name: str) -> SessionCounter:
        """Return the counter under a name: what is done to it is done to the session; see ``map``.

        It begins at 0. Whatever is added to it, here and by others at the same time, counts once.
        """
        check_attribute_name(name)
        return SessionCounter(name, partial(self._counting, name))

    def _members(self, name: str, kind: Kind) -> Members:
        members = self._open(name.encode(), kind)
        assert isinstance(members, Members)
        return members

    def _counting(self, name: str) -> Counting:
        counting = self._open(name.encode(), Kind.COUNTER)
        assert isinstance(counting, Counting)
        return counting

    def _open(self, key: bytes, kind: Kind) -> Members | Counting:
        """Return the structured attribute of this kind under a name, be it not there."""
        there = self._structure(key)
        if there is None and not self._cells.has(key):
            found = self._structures.get(key)
            if found is None or found.kind is not kind:
                # One of another kind was only looked at: it takes nothing along.
                found = self._structures[key] = self._make(key, kind)
            return found
        if there is None or there.kind is not kind:
            name = key.decode()
            what = "a plain attribute" if there is None else f"a {_CALLS[there.kind]}"
            remedy = f"session[{name!r}]" if there is None else f".{_CALLS[there.kind]}({name!r})"
            raise TypeError(
                f"session.{_CALLS[kind]}({name!r}): attribute {name!r} is {what}; use {remedy}, or "
                f"del session[{name!r}] first, or another name"
            )
        return there

    def _structure(self, key: bytes) -> Members | Counting | None:
        """Return the structured attribute under a name, if there is one."""
        found = self._structures.get(key)
        if found is None:
            kind = self._cells.floor_kind(key) if key in self._cells.known else None
            if kind is None:
                return None
            found = self._structures[key] = self._make(key, kind)
        return found if found.exists else None

    def _make(self, key: bytes, kind: Kind) -> Members | Counting:
        if kind is Kind.COUNTER:
            return Counting(self._cells, key, self._writers)
        return Members(self._cells, key, kind)

    def _end_structure(self, key: bytes) -> None:
        """End what is structured under a name, whose cell is going to change."""
        was_asked_for = self._structures.pop(key, None) is not None
        if was_asked_for or kind_of(self._cells.known.get(key)) is not None:
            self._cells.end_parts(key)

    @property
    def lacks_floors(self) -> bool:
        """Whether ``learn`` is needed before ``changes``, for a counter that was set anew."""
        if not self._structures:
            return False
        counters = (each for each in self._structures.values() if isinstance(each, Counting))
        return any(counter.lacks_floor for counter in counters)

    def learn(self, entries: Mapping[bytes, bytes]) -> None:
        """Take over from what the ring has now what structured attributes count from.

        Nothing else: this stays the copy that it is.
        """
        for key, structure in self._structures.items():
            if self._cells.learn_floor(key, entries) and isinstance(structure, Counting):
                structure.learn()

    # --- Reserved keys ------------------------------------------------------------------------

    def reserved(self, key: bytes) -> bytes:
        """Return the packed value under a reserved key; empty bytes for none."""
        return self._cells.packed(key)

    def change_reserved(self, key: bytes, packed: bytes) -> None:
        """Put a packed value under a reserved key; sent like any other change."""
        self._cells.put_packed(key, packed)

    def discard_reserved(self, key: bytes) -> None:
        """Have nothing under a reserved key; sent like any other change."""
        self._cells.discard(key)

    def is_changed(self, key: bytes) -> bool:
        """Return whether what stands under a reserved key was put or discarded here."""
        return self._cells.is_changed(key)

    def known_reserved(self, key: bytes) -> bytes:
        """Return the packed value that the ring has under a reserved key; empty bytes for none."""
        return self._cells.known.get(key, b"")[STAMP_BYTES:]

    def watch(self, on_change: Callable[[], None]) -> None:
        """Have ``on_change`` called after everything that is assigned, removed, or added."""
        self._cells.on_change = on_change

    # --- What has to be sent ------------------------------------------------------------------

    def changes(
        self, attribute_bytes_max: int, *, everything: bool = False
    ) -> dict[bytes, bytes | None]:
        """Return what the ring has not got: entry key to packed value, None for removed.

        With ``everything``, what it has of plain attributes as well. Not of structured ones, whose
        members each stand for themselves.

        Raises:
            ValueNotStorableError: a value cannot be kept. Nothing is forgotten.
            SessionTooLargeError: an attribute takes more bytes than allowed. Nothing is forgotten.
        """
        changes = self._cells.changes(attribute_bytes_max)
        for structure in self._structures.values():
            structure.complete(changes)
        return self._cells.plain() | changes if everything else changes

    def knows(self, entries: Mapping[bytes, bytes]) -> bool:
        """Return whether the ring, which has these entries, has nothing that is news to this copy.

        What was saved here is compared by its value: nobody has told its stamp.
        """
        return self._cells.knows(entries)

    def check_size(self, changes: dict[bytes, bytes | None], bytes_max: int) -> None:
        """Check that the session is not too large after ``changes``, or at least no larger.

        Raises:
            SessionTooLargeError: it is. Nothing is forgotten.
        """
        sizes = self.entry_sizes(changes)
        total = sum(sizes.values())
        if total <= bytes_max or total <= self._cells.bytes_before():
            return
        after = {key: entry[STAMP_BYTES:] for key, entry in self._cells.known.items()} | changes
        removed = {key for key, packed in after.items() if not packed}
        raise SessionTooLargeError(
            f"the session takes {total} bytes, more than sessions.session_bytes_max, which is "
            f"{bytes_max}{largest(sizes, removed, Measure.BYTES)}"
        )

    def entry_sizes(self, changes: dict[bytes, bytes | None]) -> dict[bytes, int]:
        """Return the bytes of each entry after ``changes``: of its key, stamp and value."""
        sizes = {key: len(key) + len(entry) for key, entry in self._cells.known.items()}
        for key, packed in changes.items():
            stamp_bytes = 0 if key[0] == SHARD else STAMP_BYTES
            sizes[key] = len(key) + stamp_bytes + len(packed or b"")
        return sizes

    def note_sent(self, changes: dict[bytes, bytes | None]) -> int:
        """Note that ``changes``, just taken, go to the ring; return the turn to answer with."""
        return self._cells.note_sent(changes)

    def note_answered(self, turn: int, changes: dict[bytes, bytes | None]) -> bool:
        """Note that the ring has ``changes``, sent at ``turn``; return whether that is news.

        It is not if a save that began later was answered first: that one carried all of it.
        """
        if not self._cells.note_answered(turn, changes):
            return False
        for structure in self._structures.values():
            if isinstance(structure, Counting):
                structure.note_answered(turn, changes)
        return True
