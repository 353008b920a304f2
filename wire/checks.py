"""Checks of single values that a peer sent: exact types, ranges and forms; nothing is coerced.

Rule: the errors are ValueErrors that name the field and never the value, because a value may be
a session id, and those appear in no log.
"""

import re
from typing import Final, TypeVar

from ring.clock import Stamp
from ring.errors import ConfigError
from ring.identity import (
    SESSION_ID_FORM,
    SessionId,
    check_member_name,
    check_namespace,
    parse_session_id,
)
from ring.messages import Durability
from wire.limits import NAMES_MAX, U64_MAX

_T = TypeVar("_T")

_IDS: Final = re.compile(rb"(?:" + SESSION_ID_FORM + rb"\n)*+")
"""Any number of session ids, each with a newline behind it; no id contains one."""

_DURABILITIES: Final = {durability.value: durability for durability in Durability}


def exactly(kind: type[_T], value: object, what: str) -> _T:
    """Return ``value`` if its type is ``kind`` itself: True is no int here."""
    if type(value) is not kind:
        raise ValueError(f"{what} is not {kind.__name__} but {type(value).__name__}")
    return value


def u64(value: object, what: str) -> int:
    """Return an integer of 0 to 2**64 - 1."""
    number = exactly(int, value, what)
    if not 0 <= number <= U64_MAX:
        raise ValueError(f"{what} is not of 0 to 2**64 - 1")
    return number


def stamp(value: object, what: str) -> Stamp:
    """Return a stamp, which may be 0 for none."""
    return Stamp(u64(value, what))


def text(value: object, what: str, chars_max: int) -> str:
    """Return a str of at most ``chars_max`` characters."""
    checked = exactly(str, value, what)
    if len(checked) > chars_max:
        raise ValueError(f"{what} has {len(checked)} characters; {chars_max} are allowed")
    return checked


def member_name(value: object, what: str) -> str:
    """Return a well-formed member name; whether the ring has such a member is not asked here."""
    name = exactly(str, value, what)
    try:
        return check_member_name(name)
    except ConfigError as error:
        raise ValueError(f"{what} is not a member name") from error


def member_names(value: object, what: str) -> tuple[str, ...]:
    """Return an array of at most 64 member names as a tuple."""
    names = exactly(list, value, what)
    if len(names) > NAMES_MAX:
        raise ValueError(f"{what} has {len(names)} names; {NAMES_MAX} are allowed")
    return tuple(member_name(name, what) for name in names)


def namespace(value: object, what: str) -> str:
    """Return a well-formed name of a namespace; empty is the default one's."""
    name = exactly(str, value, what)
    try:
        return check_namespace(name)
    except ConfigError as error:
        raise ValueError(f"{what} is not the name of a namespace") from error


def session_id(value: object, what: str) -> SessionId:
    """Return bytes in the form of a session id."""
    checked = parse_session_id(exactly(bytes, value, what))
    if checked is None:
        raise ValueError(f"{what} is not home.random, nor home.namespace.random")
    return checked


def durability(value: object, what: str) -> Durability:
    """Return one of the four durabilities, from its name."""
    found = _DURABILITIES.get(exactly(str, value, what))
    if found is None:
        raise ValueError(f"{what} is none of {', '.join(_DURABILITIES)}")
    return found


def flat_columns(value: object, stride: int, rows_max: int) -> list[list[object]]:
    """Return the columns of a flat list that repeats ``stride`` values, at most ``rows_max`` times.

    Raises:
        ValueError: it is not a list, has an incomplete row, or has too many rows.
    """
    flat = exactly(list, value, "flat")
    if len(flat) % stride:
        raise ValueError(f"flat has {len(flat)} elements, not a multiple of {stride}")
    if len(flat) > rows_max * stride:
        raise ValueError(f"flat has {len(flat) // stride} rows; {rows_max} are allowed")
    return [flat[start::stride] for start in range(stride)]


def check_session_ids(values: list[object]) -> None:
    """Check a column of session ids by one regular expression: 0.3 us per id, one by one 0.9."""
    if not set(map(type, values)) <= {bytes}:
        raise ValueError("a session id is not bytes")
    ids: list[bytes] = values  # type: ignore[assignment]  # just checked, by all their types
    joined = b"\n".join([*ids, b""])
    if _IDS.fullmatch(joined) is None or joined.count(b"\n") != len(ids):
        raise ValueError("a session id is not home.random, nor home.namespace.random")


def check_u64s(values: list[object]) -> None:
    """Check a column of integers as msgpack gave them, which are below 2**64 already."""
    if not set(map(type, values)) <= {int}:
        raise ValueError("a number is not int")
    numbers: list[int] = values  # type: ignore[assignment]  # just checked, by all their types
    if min(numbers, default=0) < 0:
        raise ValueError("a number is not of 0 to 2**64 - 1")


def check_portables(values: list[object]) -> None:
    """Check a column of records; what is inside is for ``ring.record`` to check."""
    if not set(map(type, values)) <= {bytes} or not all(values):
        raise ValueError("a record is not bytes, or has none")
