"""The other messages, spelled by cattrs from their classes.

Rules:
- cattrs by itself turns None into "None", True into 1, 3.9 into 3 and a list into a str. Here
  every type has a check that takes that type and nothing else, and a class with a field for
  which there is no rule is refused as a whole.
- Text, bytes and lists have no general check at all: each such field is named below, with its
  limit.

Source: cattrs' advice to keep the rules of conversion apart from the models.
"""

from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import Any, Final, TypeVar

import attrs
import cattrs

from ring.clock import Stamp
from ring.identity import SessionId
from ring.messages import Durability, Failure, Members
from ring.placement import Ring
from wire import checks, rings
from wire.limits import (
    ADDRESS_CHARS_MAX,
    BUCKETS_BYTES,
    NAMES_MAX,
    REASON_CHARS_MAX,
    RING_NAME_CHARS_MAX,
)

_T = TypeVar("_T")
_Check = Callable[[object, str], Any]


def _buckets(value: object, what: str) -> bytes:
    buckets = checks.exactly(bytes, value, what)
    if len(buckets) not in (0, BUCKETS_BYTES):
        raise ValueError(f"{what} has {len(buckets)} bytes; 0 or {BUCKETS_BYTES} are allowed")
    return buckets


def _addresses(value: object, what: str) -> tuple[str, ...]:
    addresses = checks.exactly(list, value, what)
    if len(addresses) > NAMES_MAX:
        raise ValueError(f"{what} has {len(addresses)} elements; {NAMES_MAX} are allowed")
    return tuple(checks.text(address, what, ADDRESS_CHARS_MAX) for address in addresses)


def _failure(value: object, what: str) -> Failure:
    return Failure(checks.exactly(int, value, what))


_CHECKS_BY_FIELD: Final[dict[str, _Check]] = {
    "addresses": _addresses,
    "buckets": _buckets,
    "backups": checks.member_names,
    "claims": checks.member_names,
    "departed": checks.member_names,
    "heirs": checks.member_names,
    "home": checks.member_name,
    "missing": checks.member_names,
    "names": checks.member_names,
    "portable": lambda value, what: checks.exactly(bytes, value, what),
    "reason": lambda value, what: checks.text(value, what, REASON_CHARS_MAX),
    "to": checks.member_name,
    "ring_name": lambda value, what: checks.text(value, what, RING_NAME_CHARS_MAX),
}
"""Text, bytes and lists, by the name of the field; a name means the same in every message."""

_CHECKS_BY_TYPE: Final[dict[Any, _Check]] = {
    bool: lambda value, what: checks.exactly(bool, value, what),
    int: checks.u64,
    Stamp: checks.u64,
    SessionId: checks.session_id,
    Ring: rings.read,
    Durability: checks.durability,
    Failure: _failure,
}


def _rule(field: "attrs.Attribute[Any]") -> tuple[_Check, str] | None:
    """Return what checks a field, and its name; None: there is no rule for it."""
    check = _CHECKS_BY_FIELD.get(field.name) or _CHECKS_BY_TYPE.get(field.type)
    return (check, field.name) if check is not None else None


def _reader(kind: Any) -> Callable[[Any, Any], Any]:
    """Return a hook that makes a message of the attrs class ``kind`` from a list of its fields."""
    rules = list[tuple[_Check, str]]()
    for field in attrs.fields(kind):
        # cattrs would take its own rule here, and float(True) or str(None) with it.
        if (rule := _rule(field)) is None:
            raise TypeError(f"there is no rule for {kind.__name__}.{field.name}: {field.type}")
        rules.append(rule)

    def read_message(value: Any, _: Any) -> Any:
        parts = checks.exactly(list, value, "the message")
        if len(parts) != len(rules):
            raise ValueError(f"{len(parts)} fields came; there are {len(rules)}")
        # Asking cattrs for each field's hook took two thirds of the time.
        return kind(*[check(part, name) for (check, name), part in zip(rules, parts, strict=True)])

    return read_message


def _make_converter() -> cattrs.Converter:
    # Detailed validation gathers errors in groups that repeat the values, which may be ids.
    converter = cattrs.Converter(detailed_validation=False)
    converter.register_structure_hook_factory(attrs.has, _reader)
    return converter


_CONVERTER: Final = _make_converter()

_AS_THEY_ARE: Final = frozenset({bool, int, str, bytes, type(None)})


def spell(message: attrs.AttrsInstance) -> list[object]:
    """Return the fields of ``message`` in the order of its class."""
    names = _names(type(message))
    parts = [getattr(message, name) for name in names]
    return [part if type(part) in _AS_THEY_ARE else _spell_part(part) for part in parts]


@cache
def _names(kind: type[attrs.AttrsInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in attrs.fields(kind))


def _spell_part(part: Any) -> object:
    match part:
        case Enum():
            return part.value
        case tuple():
            return list(part)
        case Ring():
            return rings.spell(part)
        case _:
            return part


def read(kind: type[_T], fields: list[object]) -> _T:
    """Return the message of class ``kind`` that ``fields`` spell.

    Raises:
        ValueError: a field is missing, is too many, or is not exactly what it has to be.
    """
    message = _CONVERTER.structure(fields, kind)
    if isinstance(message, Members) and len(message.names) != len(message.addresses):
        raise ValueError("there is not one address for each name")
    if isinstance(message, Members) and len(message.departed) != len(message.heirs):
        raise ValueError("there is not one heir for each that has departed")
    return message
