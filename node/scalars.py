"""The payloads of dates, times, UUIDs and decimals: fixed forms, and strict about them.

The table of the forms is in ``node.values``.
"""

import struct
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from typing import Final
from uuid import UUID

Scalar = datetime | date | timedelta | UUID | Decimal

_DATETIME: Final = 4
_DATE: Final = 5
_TIMEDELTA: Final = 6
_UUID: Final = 7
_DECIMAL: Final = 8

SCALARS: Final[dict[type, int]] = {
    datetime: _DATETIME,
    date: _DATE,
    timedelta: _TIMEDELTA,
    UUID: _UUID,
    Decimal: _DECIMAL,
}
"""The types of this module and their extension codes."""

_NAIVE: Final = struct.Struct(">HBBBBBIB")
_AWARE: Final = struct.Struct(">HBBBBBIBq")
_DAY: Final = struct.Struct(">HBB")
_SPAN: Final = struct.Struct(">iII")
_MICROSECOND: Final = timedelta(microseconds=1)


def pack_scalar(value: Scalar) -> bytes:
    """Return the payload of ``value``, whose type is a key of ``SCALARS``.

    Raises:
        ValueError: a datetime has a tzinfo that gives no offset. The message begins with "is".
    """
    match value:
        case datetime():  # before date: every datetime is a date as well
            return _pack_datetime(value)
        case date():
            return _DAY.pack(value.year, value.month, value.day)
        case timedelta():
            return _SPAN.pack(value.days, value.seconds, value.microseconds)
        case UUID():
            return value.bytes
        case Decimal():
            return str(value).encode("ascii")


def unpack_scalar(code: int, payload: bytes) -> Scalar:
    """Return the value of extension ``code`` with this ``payload``.

    Raises:
        ValueError: no such code, or the payload is not what ``pack_scalar`` writes.
    """
    try:
        if code == _DATETIME:
            return _unpack_datetime(payload)
        if code == _DATE:
            return date(*_DAY.unpack(payload))
        if code == _TIMEDELTA:
            return _unpack_timedelta(payload)
        if code == _UUID:
            return UUID(bytes=payload)
        if code == _DECIMAL:
            return _unpack_decimal(payload)
    except (struct.error, OverflowError, InvalidOperation) as error:
        raise ValueError(f"extension {code} has a payload of another form") from error
    raise ValueError(f"extension {code} is not known")


def _pack_datetime(moment: datetime) -> bytes:
    parts = (moment.year, moment.month, moment.day, moment.hour, moment.minute, moment.second)
    offset = moment.utcoffset()
    if offset is None:
        if moment.tzinfo is not None:
            raise ValueError("is a datetime whose tzinfo gives no offset; give it a timezone")
        return _NAIVE.pack(*parts, moment.microsecond, moment.fold)
    return _AWARE.pack(*parts, moment.microsecond, moment.fold, offset // _MICROSECOND)


def _unpack_datetime(payload: bytes) -> datetime:
    if len(payload) == _NAIVE.size:
        *parts, fold = _NAIVE.unpack(payload)
        return datetime(*parts, fold=fold)  # noqa: DTZ001 - it went in without an offset
    *parts, fold, offset_us = _AWARE.unpack(payload)
    local = datetime(*parts, fold=fold)  # noqa: DTZ001 - its offset comes next
    return local.replace(tzinfo=timezone(timedelta(microseconds=offset_us)))


def _unpack_timedelta(payload: bytes) -> timedelta:
    days, seconds, microseconds = _SPAN.unpack(payload)
    if seconds >= 86_400 or microseconds >= 1_000_000:
        raise ValueError("a timedelta has seconds below a day and microseconds below a second")
    return timedelta(days, seconds, microseconds)


def _unpack_decimal(payload: bytes) -> Decimal:
    text = payload.decode("ascii")
    number = Decimal(text)
    if str(number) != text:  # The constructor also takes spaces and underscores.
        raise ValueError("a Decimal is not spelled as it would be written")
    return number
