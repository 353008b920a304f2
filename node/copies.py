"""What is read of a structured attribute under its name, and what of it can be assigned.

Rule: what is put into a copy would be lost, so a copy refuses it. All else about it is as the
built-in type: it prints, compares, and is written as JSON as that.
"""

from typing import Any, NoReturn

from node.counting import Counting
from node.members import Members
from node.structures import SessionCounter, SessionMap, SessionSet
from ring.structured import Kind


class MapCopy(dict[Any, Any]):
    """A dict of what was in a map of the session; a plain one is ``dict(...)`` or ``copy()`` of it.

    Whatever would change it is a TypeError.
    """

    __slots__ = ("_name",)

    def __init__(self, members: dict[Any, Any], name: str) -> None:
        super().__init__(members)
        self._name = name

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        name = self._name
        raise TypeError(
            f"session[{name!r}] is a copy that cannot be changed; use session.map({name!r}), or "
            "its copy()"
        )

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __reduce__(self) -> tuple[type[dict[Any, Any]], tuple[dict[Any, Any]]]:
        """Have copies of it be plain dicts: they are nobody's attribute."""
        return dict, (dict(self),)


def copy_of(structure: Members | Counting, name: str) -> object:
    """Return what a structured attribute is now; raises as ``Members.copy`` does."""
    if isinstance(structure, Counting):
        return structure.value
    if structure.kind is Kind.SET:
        return frozenset(structure.ordered())
    return MapCopy(structure.copy(), name)


def assignable(value: object) -> object:
    """Return a value to be assigned, and of a structured one what is in it now."""
    match value:
        case SessionCounter():
            return value.value
        case SessionMap() | SessionSet() | MapCopy():
            return value.copy()
        case _:
            return value
