"""Values that tell what is special about them, in few words: failures are read by people.

Rule: what is told is told as in Python; a word of a fixed set as the text that it equals.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, ClassVar

from attrs import fields


class Brief:
    """A frozen attrs class whose ``repr`` leaves out what has its default.

    Hypothesis and IPython break its lines, by ``_repr_pretty_``.
    """

    __slots__ = ()
    __attrs_attrs__: ClassVar[Any]

    def special(self) -> Iterator[tuple[str, object]]:
        """Yield the names and values that are worth telling."""
        for each in fields(type(self)):
            value = getattr(self, each.name)
            if value != each.default:
                yield each.name, value

    def __repr__(self) -> str:
        told = ", ".join(f"{name}={_plain(value)!r}" for name, value in self.special())
        return f"{type(self).__name__}({told})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        with printer.group(1, f"{type(self).__name__}(", ")"):
            for number, (name, value) in enumerate(self.special()):
                if number:
                    printer.text(",")
                    printer.breakable()
                printer.text(f"{name}=")
                printer.pretty(_plain(value))


def _plain(value: object) -> object:
    return str(value) if isinstance(value, StrEnum) else value
