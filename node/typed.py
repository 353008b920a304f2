"""Attributes as the types that an application asks for: strictly, and without changing them.

Rules:
- What is stored plain, as dicts and lists, is structured by cattrs into attrs classes, dataclasses,
  TypedDicts and typing's forms. What is stored as a registered class has to be of that very class.
- cattrs by itself turns None into "None", True into 1, 3.9 into 3 and a str into a list. Here each
  type has a hook that takes that type and nothing else; a type without one is a TypeError.
- An error names the attribute, the path inside it and the types, never the value, which may be a
  secret.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Final,
    Literal,
    NewType,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    is_typeddict,
)

import attrs
from cattrs import Converter, transform_error
from cattrs.errors import (
    ForbiddenExtraKeysError,
    IterableValidationError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn
from cattrs.gen.typeddicts import make_dict_structure_fn as make_typeddict_structure_fn

from node.errors import AttributeDecodeError
from node.registered import registered_class
from node.values import IMMUTABLE_TYPES

_Hook: TypeAlias = Callable[[Any, Any], Any]

_LISTS: Final = frozenset({list, Sequence})
_PREFERRED: Final = (str, bytes, int, float, Path)
"""For these, and for what derives from them, cattrs has hooks that come before all rules."""
_DICTS: Final = frozenset({dict, Mapping})
_SETS: Final = frozenset({set, frozenset})


class _Misfit(ValueError):
    """A value is not of the type that was asked for; it repeats nothing of the value."""


class _NoRuleError(TypeError):
    """Nothing is strictly read as a type."""


def read_as(name: str, value: object, kind: Any) -> Any:
    """Return ``value``, the attribute ``name``, as ``kind``.

    A value that is of the class ``kind`` already is returned as it is, any other as a new object.

    Raises:
        AttributeDecodeError: it does not fit. Nothing changed.
        TypeError: there is no strict way to make a ``kind`` of anything.
    """
    try:
        return _CONVERTER.structure(value, kind)
    except Exception as error:
        if (refused := _no_rule_in(error)) is not None:
            raise TypeError(str(refused)) from error
        # All of them: the constructor of a class of the application's may raise anything.
        why = "; ".join(transform_error(error, path=name, format_exception=_said))
        raise AttributeDecodeError(
            f"attribute {name!r} cannot be read as {_called(kind)}: {why}"
        ) from error


def _no_rule_in(error: BaseException) -> _NoRuleError | None:
    """Return what is wrong with the type that was asked for, if anything is."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_no_rule_in, error.exceptions)), None)
    return error if isinstance(error, _NoRuleError) else None


def _said(error: BaseException, kind: type | None) -> str:
    """Return what an error says, if it is sure to repeat no value."""
    match error:
        case _Misfit():
            return str(error)
        case KeyError():
            return "a field is missing"
        case ForbiddenExtraKeysError():
            return "it has a field too many"
        case _:
            return f"{type(error).__name__} was raised"


def _called(kind: Any) -> str:
    return kind.__qualname__ if isinstance(kind, type) and not get_args(kind) else str(kind)


# --- Hooks ----------------------------------------------------------------------------------------


def _demand(value: object, *kinds: type) -> None:
    """Check that a value is of one of these types itself."""
    if type(value) not in kinds:
        names = " or ".join(kind.__qualname__ for kind in kinds)
        raise _Misfit(f"it is of type {type(value).__qualname__}, not {names}")


def _exactly(kind: Any) -> _Hook:
    def read(value: Any, _: Any) -> Any:
        _demand(value, NoneType if kind is None else kind)
        return value

    return read


def _each(items: Any, kind: Any) -> list[Any]:
    """Return the items, given with the step to each, as ``kind``; all that do not fit are told."""
    read, errors = list[Any](), list[Exception]()
    for step, item in items:
        try:
            read.append(_CONVERTER.structure(item, kind))
        except Exception as error:  # noqa: BLE001 - raised again, with the others
            error.__notes__ = [
                *getattr(error, "__notes__", ()),
                IterableValidationNote(f"at {step!r}", step, kind),
            ]
            errors.append(error)
    if errors:
        raise IterableValidationError("items do not fit", errors, list)
    return read


def _args(kind: Any, count: int) -> tuple[Any, ...]:
    """Return what a generic type is made of; ``dict`` alone is of anything."""
    return get_args(kind) or (Any,) * count


def _list(kind: Any) -> _Hook:
    (item,) = _args(kind, 1)
    kinds = (list, tuple) if (get_origin(kind) or kind) is Sequence else (list,)

    def read(value: Any, _: Any) -> Any:
        _demand(value, *kinds)
        return type(value)(_each(enumerate(value), item))

    return read


def _set(kind: Any) -> _Hook:
    (item,), made = _args(kind, 1), get_origin(kind) or kind

    def read(value: Any, _: Any) -> Any:
        _demand(value, made)
        return made(_each(enumerate(value), item))

    return read


def _dict(kind: Any) -> _Hook:
    key, item = _args(kind, 2)

    def read(value: Any, _: Any) -> Any:
        _demand(value, dict)
        keys = _each(((each, each) for each in value), key)
        return dict(zip(keys, _each(value.items(), item), strict=True))

    return read


def _tuple(kind: Any) -> _Hook:
    kinds = get_args(kind) or (() if kind == tuple[()] else (Any, ...))

    def read(value: Any, _: Any) -> Any:
        _demand(value, tuple)
        if len(kinds) == 2 and kinds[1] is ...:
            return tuple(_each(enumerate(value), kinds[0]))
        if len(value) != len(kinds):
            raise _Misfit(f"it has {len(value)} items, not {len(kinds)}")
        return tuple(
            each
            for step, (item, one) in enumerate(zip(value, kinds, strict=True))
            for each in _each([(step, item)], one)
        )

    return read


def _union(kind: Any) -> _Hook:
    def read(value: Any, _: Any) -> Any:
        for one in get_args(kind):
            try:
                return _CONVERTER.structure(value, one)
            except Exception as error:
                if _no_rule_in(error) is not None:
                    raise
        raise _Misfit(f"it is of type {type(value).__qualname__}, and fits none of {kind}")

    return read


def _literal(kind: Any) -> _Hook:
    allowed = get_args(kind)

    def read(value: Any, _: Any) -> Any:
        if not any(type(value) is type(one) and value == one for one in allowed):
            raise _Misfit(f"it is none of {', '.join(map(repr, allowed))}")
        return value

    return read


def _enum(kind: type[Enum]) -> _Hook:
    def read(value: Any, _: Any) -> Any:
        for member in kind:
            if type(value) is type(member.value) and value == member.value:
                return member
        raise _Misfit(f"it is the value of no {kind.__qualname__}")

    return read


def _class(kind: Any) -> _Hook:
    made = get_origin(kind) or kind
    from_fields: list[_Hook] = []

    def read(value: Any, _: Any) -> Any:
        if type(value) is made:
            return value
        if registered_class(made) is not None:
            _demand(value, made)
        _demand(value, dict)
        if not from_fields:  # Not before: of a registered class the fields need no rule.
            from_fields.append(_made_of_fields(kind, made))
        return from_fields[0](value, kind)

    return read


def _made_of_fields(kind: Any, made: type) -> _Hook:
    if attrs.has(made):
        attrs.resolve_types(made)
    if is_typeddict(made):
        return make_typeddict_structure_fn(kind, _CONVERTER, _cattrs_forbid_extra_keys=True)
    return make_dict_structure_fn(kind, _CONVERTER, _cattrs_forbid_extra_keys=True)


def _as_it_is(kind: Any) -> _Hook:
    return lambda value, _: value


def _beneath(kind: Any) -> _Hook:
    beneath: Any = kind.__supertype__ if isinstance(kind, NewType) else get_args(kind)[0]
    return lambda value, _: _CONVERTER.structure(value, beneath)


def _refused(kind: Any) -> _Hook:
    raise _NoRuleError(
        f"nothing is strictly read as {_called(kind)}; use an attrs class, a dataclass, a "
        "TypedDict, or a type that an attribute may have"
    )


def _is_generic(kind: Any, kinds: frozenset[Any]) -> bool:
    return (get_origin(kind) or kind) in kinds


def _is_class(kind: Any) -> bool:
    made = get_origin(kind) or kind
    return isinstance(made, type) and (attrs.has(made) or is_dataclass(made) or is_typeddict(made))


_RULES: Final[tuple[tuple[Callable[[Any], bool], Callable[[Any], _Hook]], ...]] = (
    (lambda kind: True, _refused),
    (lambda kind: kind is Any or kind is object, _as_it_is),
    (lambda kind: isinstance(kind, NewType) or get_origin(kind) is Annotated, _beneath),
    (lambda kind: kind is None or (isinstance(kind, type) and kind in IMMUTABLE_TYPES), _exactly),
    (lambda kind: isinstance(kind, type) and issubclass(kind, Enum), _enum),
    (lambda kind: get_origin(kind) is Literal, _literal),
    (lambda kind: get_origin(kind) in (Union, UnionType), _union),
    (lambda kind: _is_generic(kind, _LISTS), _list),
    (lambda kind: _is_generic(kind, _SETS), _set),
    (lambda kind: _is_generic(kind, _DICTS), _dict),
    (lambda kind: _is_generic(kind, frozenset({tuple})), _tuple),
    (_is_class, _class),
)
"""The later one counts, where two apply."""


def _make_converter() -> Converter:
    converter = Converter(forbid_extra_keys=True)
    for applies, make in _RULES:
        converter.register_structure_hook_factory(applies, make)
    for kind in _PREFERRED:
        converter.register_structure_hook(kind, _read_by_rules)
    return converter


def _read_by_rules(value: Any, kind: Any) -> Any:
    make = next(make for applies, make in reversed(_RULES) if applies(kind))
    return make(kind)(value, kind)


_CONVERTER: Final = _make_converter()
