"""Classes that attrs would make, spelled out: what mypyc can make native classes of.

mypyc takes a class for what its source says. Of one that attrs finishes later it makes an ordinary
class, whose attributes are looked up by name; of one that is spelled out it makes a struct.

Rules:
- A class is spelled out if it has no bases and no hooks of attrs, and only fields of the kinds that
  are in use. Every other one is left to attrs.
- What is spelled out takes the same arguments, compares, matches, prints and pickles as before.
  ``evolve`` still works; of attrs' other functions none does.
"""

import ast
from collections.abc import Iterator
from typing import Final

from attrs import frozen

_DECORATORS: Final = ("define", "frozen")
_NEVER_WITH: Final = ("__attrs_post_init__", "cached_property")

_EVOLVE: Final = """
from typing import Any as _Any
from typing import TypeVar as _TypeVar

_Each = _TypeVar("_Each")


def evolve(each: _Each, **changes: _Any) -> _Each:
    this: _Any = each
    old = {name: getattr(this, name) for name in this.__match_args__}
    new: _Each = type(this)(**old | changes)
    return new


"""


@frozen
class _Field:
    """One attribute of a class."""

    name: str
    annotation: str
    default: str | None
    """The value of an argument that is not given; None: it has to be given."""
    factory: str | None
    """What makes that value instead, from ``self``."""
    is_argument: bool = True
    is_compared: bool = True
    is_shown: bool = True

    @property
    def argument(self) -> str:
        """Its name among the arguments."""
        return self.name.lstrip("_")


def spell_out(source: str) -> str:
    """Return a module in which as many classes as can be are made without attrs."""
    lines = source.splitlines()
    imported = 0
    # From the end, so that what comes before keeps its place.
    for statement in reversed(ast.parse(source).body):
        if isinstance(statement, ast.ClassDef) and (fields := _fields(statement)) is not None:
            _spell_out_class(lines, statement, fields)
        elif isinstance(statement, ast.ImportFrom):
            assert statement.end_lineno is not None
            imported = imported or statement.end_lineno
            names = [name.name for name in statement.names]
            if statement.module == "attrs" and "evolve" in names:
                lines.insert(imported, _EVOLVE)
                lines[statement.lineno - 1 : statement.end_lineno] = [
                    f"from attrs import {name}" for name in names if name != "evolve"
                ]
    return "\n".join(lines) + "\n"


def _fields(made: ast.ClassDef) -> list[_Field] | None:
    """Return the attributes of a class that can be spelled out; None: it cannot be."""
    by_attrs = any(ast.unparse(each).split("(")[0] in _DECORATORS for each in made.decorator_list)
    plain = all(
        isinstance(each, ast.Name) or ast.unparse(each) == "define(eq=False)"
        for each in made.decorator_list
    )
    text = ast.unparse(made)
    if not by_attrs or not plain or made.bases or any(each in text for each in _NEVER_WITH):
        return None
    return [_field(each) for each in made.body if isinstance(each, ast.AnnAssign)]


def _field(declared: ast.AnnAssign) -> _Field:
    name, annotation = ast.unparse(declared.target), ast.unparse(declared.annotation)
    value = declared.value
    if not isinstance(value, ast.Call) or ast.unparse(value.func) not in ("field", "Factory"):
        return _Field(name, annotation, ast.unparse(value) if value is not None else None, None)
    if ast.unparse(value.func) == "Factory":
        made = value.args[0]
        assert isinstance(made, ast.Lambda), "a factory of attrs that takes something else"
        return _Field(name, annotation, None, ast.unparse(made.body))
    said = {each.arg: ast.unparse(each.value) for each in value.keywords}
    unknown = said.keys() - {"default", "factory", "init", "eq", "repr"}
    assert not unknown, f"attrs' field with {', '.join(map(str, unknown))}"
    return _Field(
        name,
        annotation,
        said.get("default"),
        f"{said['factory']}()" if "factory" in said else None,
        "init" not in said,
        "eq" not in said,
        "repr" not in said,
    )


def _spell_out_class(lines: list[str], made: ast.ClassDef, fields: list[_Field]) -> None:
    """Put methods in the place of the attributes of a class."""
    decorator = ast.unparse(made.decorator_list[0])
    # A string behind an attribute describes it; the first one is the class's.
    gone = [each for each in made.body[1:] if isinstance(each, ast.AnnAssign) or _is_text(each)]
    gone += [each for each in made.body[:1] if isinstance(each, ast.AnnAssign)]
    for each in sorted(gone, key=lambda each: -each.lineno):
        del lines[each.lineno - 1 : each.end_lineno]
    first = made.body[0]
    after = first.end_lineno if _is_text(first) else made.lineno
    lines[after:after] = [f"    {line}" for line in _methods(made.name, fields, decorator)]
    del lines[made.decorator_list[0].lineno - 1 : made.lineno - 1]


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _methods(name: str, fields: list[_Field], decorator: str) -> Iterator[str]:
    """Yield the lines of what attrs would have made."""
    given = [each for each in fields if each.is_argument]
    yield f"__match_args__ = ({''.join(f'{each.name!r}, ' for each in given)})"
    yield f"def __init__(self, {', '.join(map(_parameter, given))}) -> None:"
    for each in fields:
        yield f"    self.{each.name}: {each.annotation} = {_initial(each)}"
    if not fields:
        yield "    pass"
    if decorator != "define(eq=False)":
        same = "".join(
            f" and self.{each.name} == other.{each.name}" for each in fields if each.is_compared
        )
        yield "def __eq__(self, other: object) -> bool:"
        yield f"    return isinstance(other, {name}){same}"
        if decorator == "frozen":
            yield "def __hash__(self) -> int:"
            yield f"    return hash(({''.join(f'self.{each.name}, ' for each in fields)}))"
    shown = ", ".join(f"{each.name}={{self.{each.name}!r}}" for each in fields if each.is_shown)
    yield "def __repr__(self) -> str:"
    yield f"    return f'{name}({shown})'"
    yield "def __reduce__(self) -> tuple[object, ...]:"
    yield f"    return ({name}, ({''.join(f'self.{each.name}, ' for each in given)}))"


def _parameter(field: _Field) -> str:
    if field.factory is not None:
        return f"{field.argument}: {field.annotation} | None = None"
    default = f" = {field.default}" if field.default is not None else ""
    return f"{field.argument}: {field.annotation}{default}"


def _initial(field: _Field) -> str:
    if not field.is_argument:
        return field.factory or field.default or "None"
    if field.factory is not None:
        return f"{field.factory} if {field.argument} is None else {field.argument}"
    return field.argument
