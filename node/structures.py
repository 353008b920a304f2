"""Maps, sets and counters of a session, as the built-in types for which they stand.

Rules:
- Each is a view of what is under its name in the session: two of one name are the same.
- They merge member by member, and addition by addition, when the session is saved.
- The order is that of ``node.members``, the same everywhere.
"""

from collections.abc import (
    Callable,
    Iterable,
    Iterator,
    Mapping,
    MutableMapping,
    MutableSet,
)
from typing import Any

from node.counting import Counting
from node.errors import AttributeDecodeError
from node.members import Members


class SessionMap(MutableMapping[Any, Any]):
    """A dict in a session, of which every key is merged on its own. Made by ``Session.map``.

    Changes inside a value are found when the session is saved, as those of attributes are. ``|``
    and ``copy`` make plain dicts.
    """

    __slots__ = ("_find", "name")

    def __init__(self, name: str, find: Callable[[], Members]) -> None:
        self.name = name
        """The attribute's."""
        self._find = find
        find()

    def __getitem__(self, key: Any) -> Any:
        return self._find().value(key)

    def __setitem__(self, key: Any, value: Any) -> None:
        self._find().put(key, value)

    def __delitem__(self, key: Any) -> None:
        self._find().discard(key)

    def __contains__(self, key: object) -> bool:
        return self._find().has(key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._find().ordered())

    def __reversed__(self) -> Iterator[Any]:
        return iter(self._find().ordered()[::-1])

    def __len__(self) -> int:
        return self._find().size()

    def __or__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return self.copy() | dict(other)

    def __ror__(self, other: Mapping[Any, Any]) -> dict[Any, Any]:
        return dict(other) | self.copy()

    def __ior__(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]]) -> "SessionMap":
        self.update(other)
        return self

    def __repr__(self) -> str:
        return _shown(self, self.copy)

    def popitem(self) -> tuple[Any, Any]:
        """Take the last member out, and return it; KeyError if it is empty."""
        for key in reversed(self):
            return key, self.pop(key)
        raise KeyError("popitem(): the map is empty")

    def clear(self) -> None:
        """Take everything out, also what others have put in that this copy does not know."""
        self._find().clear()

    def copy(self) -> dict[Any, Any]:
        """Return a dict of what is in it now."""
        return self._find().copy()


class SessionSet(MutableSet[Any]):
    """A set in a session, of which every member is merged on its own. Made by ``Session.set``.

    What is added is sent even if it is there: somebody may be taking it out just now. The
    operators and ``copy`` make plain sets, but for those that change it in place.
    """

    __slots__ = ("_find", "name")

    def __init__(self, name: str, find: Callable[[], Members]) -> None:
        self.name = name
        """The attribute's."""
        self._find = find
        find()

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> set[Any]:
        return set(it)

    def __contains__(self, member: object) -> bool:
        return self._find().has(member)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._find().ordered())

    def __len__(self) -> int:
        return self._find().size()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return _shown(self, lambda: self._find().ordered())

    def add(self, value: Any) -> None:
        """Have a member in it."""
        self._find().put(value, None)

    def discard(self, value: Any) -> None:
        """Have a member in it no more, if it is there."""
        members = self._find()
        if members.has(value):
            members.discard(value)

    def clear(self) -> None:
        """Take everything out, also what others have added that this copy does not know."""
        self._find().clear()

    def copy(self) -> set[Any]:
        """Return a set of what is in it now."""
        return set(self)

    def update(self, *others: Iterable[Any]) -> None:
        """Add all that is in others."""
        for other in others:
            for member in list(other):
                self.add(member)

    def difference_update(self, *others: Iterable[Any]) -> None:
        """Take out all that is in others."""
        for other in others:
            for member in list(other):
                self.discard(member)

    def intersection_update(self, *others: Iterable[Any]) -> None:
        """Take out all that is not in each of the others."""
        for member in self.copy().difference(self.intersection(*others)):
            self.discard(member)

    def symmetric_difference_update(self, other: Iterable[Any]) -> None:
        """Add what is only in the other, and take out what is in both."""
        self ^= set(other)

    def union(self, *others: Iterable[Any]) -> set[Any]:
        """Return a set of what is in it or in others."""
        return self.copy().union(*others)

    def intersection(self, *others: Iterable[Any]) -> set[Any]:
        """Return a set of what is in it and in all others."""
        return self.copy().intersection(*others)

    def difference(self, *others: Iterable[Any]) -> set[Any]:
        """Return a set of what is in it and in none of the others."""
        return self.copy().difference(*others)

    def symmetric_difference(self, other: Iterable[Any]) -> set[Any]:
        """Return a set of what is in it or in the other, but not in both."""
        return self.copy().symmetric_difference(other)

    def issubset(self, other: Iterable[Any]) -> bool:
        """Return whether all that is in it is in the other."""
        return self.copy().issubset(other)

    def issuperset(self, other: Iterable[Any]) -> bool:
        """Return whether all that is in the other is in it."""
        return self.copy().issuperset(other)


class SessionCounter:
    """An int in a session to which all may add at the same time. Made by ``Session.counter``.

    It compares, prints and adds up as what it stands at, and ``int()`` gives that; ``+=`` and
    ``-=`` of the counter itself are ``add`` and ``subtract``.
    """

    __slots__ = ("_find", "name")

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __init__(self, name: str, find: Callable[[], Counting]) -> None:
        self.name = name
        """The attribute's."""
        self._find = find
        find()

    @property
    def value(self) -> int:
        """What it stands at, as far as this copy of the session knows."""
        return self._find().value

    def add(self, number: int = 1) -> None:
        """Add a number, which may be negative.

        Raises:
            TypeError: it is not an int.
            ValueError: the counter would have more than 64 bits.
        """
        self._find().add(number)

    def subtract(self, number: int = 1) -> None:
        """Take a number away; raises as ``add`` does."""
        if type(number) is int:
            number = -number
        self._find().add(number)

    def set(self, number: int) -> None:
        """Have it stand at a number. What others add at the same time is gone, as ``add`` raises.

        Raises:
            TypeError: it is not an int.
            ValueError: it has more than 64 bits.
        """
        self._find().set(number)

    def __int__(self) -> int:
        return self.value

    def __index__(self) -> int:
        return self.value

    def __bool__(self) -> bool:
        return self.value != 0

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SessionCounter | int | float):
            return self.value == (other.value if isinstance(other, SessionCounter) else other)
        return NotImplemented

    def __lt__(self, other: "SessionCounter | float") -> bool:
        return bool(self.value < _number(other))

    def __le__(self, other: "SessionCounter | float") -> bool:
        return bool(self.value <= _number(other))

    def __gt__(self, other: "SessionCounter | float") -> bool:
        return bool(self.value > _number(other))

    def __ge__(self, other: "SessionCounter | float") -> bool:
        return bool(self.value >= _number(other))

    def __add__(self, other: Any) -> Any:
        return self.value + _number(other)

    def __radd__(self, other: Any) -> Any:
        return other + self.value

    def __sub__(self, other: Any) -> Any:
        return self.value - _number(other)

    def __rsub__(self, other: Any) -> Any:
        return other - self.value

    def __iadd__(self, number: int) -> "SessionCounter":  # type: ignore[misc]  # not an int
        self.add(number)
        return self

    def __isub__(self, number: int) -> "SessionCounter":  # type: ignore[misc]  # not an int
        self.subtract(number)
        return self

    def __str__(self) -> str:
        return str(self.value)

    def __format__(self, spec: str) -> str:
        return format(self.value, spec)

    def __repr__(self) -> str:
        return _shown(self, lambda: self.value)


def _number(other: Any) -> Any:
    return other.value if isinstance(other, SessionCounter) else other


def _shown(view: SessionMap | SessionSet | SessionCounter, content: Callable[[], object]) -> str:
    """Return how a view is printed; a member that cannot be decoded hinders nobody."""
    try:
        shown = repr(content())
    except AttributeDecodeError:
        shown = "not decoded here"
    return f"{type(view).__name__}({view.name!r}, {shown})"
