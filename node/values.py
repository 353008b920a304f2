"""What an application may keep in a session, and its bytes.

Rules:
- Each value comes back as the type it went in as. What would come back as another type (a
  subclass, an enum, a named tuple) is refused when it is packed, with the path to it.
- Equal sets give equal bytes: members are written in the order of their bytes. The order of a
  dict is kept. (``1``, ``1.0`` and ``True`` are equal members with different bytes.)
- Decoding is strict and bounded, and runs no code but constructors of registered classes.

The bytes are msgpack. What msgpack has no type for is an extension; big-endian, without padding:

==== ============ ==========================================================================
code type         payload
==== ============ ==========================================================================
1    tuple        msgpack array of the items
2    set          msgpack array of the members, in ascending order of their bytes
3    frozenset    the same
4    datetime     year u16, month u8, day u8, hour u8, minute u8, second u8, microsecond u32,
                  fold u8; for an aware one, its offset from UTC in microseconds, i64
5    date         year u16, month u8, day u8
6    timedelta    days i32, seconds u32 (0 to 86399), microseconds u32 (0 to 999999)
7    UUID         its 16 bytes
8    Decimal      its text in ASCII, as ``str`` writes it
9    registered   msgpack array of the registered name and a map of field name to value
==== ============ ==========================================================================

An aware datetime keeps its offset, not the rules of its time zone: it comes back with a
``timezone`` of that offset. None, bool, int, float, str, bytes, list and dict are msgpack's own.
Codes below 0 are msgpack's (its timestamp is not used here); codes are never given a new meaning.
"""

import re
from collections.abc import Iterable
from functools import partial
from typing import Any, Final

import msgpack

from node.errors import AttributeDecodeError, ValueNotStorableError
from node.registered import RegisteredClass, registered_as, registered_class
from node.scalars import SCALARS, pack_scalar, unpack_scalar
from ring.errors import SessionTooLargeError

NESTING_MAX: Final = 64
"""Containers inside one another; comparing or printing deeper ones may exhaust Python's stack."""

IMMUTABLE_TYPES: Final = frozenset({type(None), bool, int, float, str, bytes, *SCALARS})
"""Types whose values cannot change in place. A tuple is not among them: its items may."""

_TUPLE: Final = 1
_SET: Final = 2
_FROZENSET: Final = 3
_REGISTERED: Final = 9

_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1


class _NotStorable(Exception):
    """A value has no bytes: why, and the steps to it, innermost first. Never leaves the module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []


# --- Values to bytes ----------------------------------------------------------------------------


def pack_value(attribute: str, value: object, bytes_max: int) -> bytes:
    """Return the bytes of ``value``, which is the attribute ``attribute`` of a session.

    Args:
        attribute: the attribute's name, for the errors.
        value: what is to be kept.
        bytes_max: the most bytes that it may take, inclusive.

    Raises:
        ValueNotStorableError: it holds something that cannot be kept. Definite.
        SessionTooLargeError: its bytes are more than ``bytes_max``. Definite.
    """
    try:
        packed = _pack(_Shaper(bytes_max).shape(value, 0))
    except _NotStorable as fault:
        path = attribute + "".join(reversed(fault.steps))
        raise ValueNotStorableError(
            f"attribute {attribute!r} cannot be stored: {path} {fault}"
        ) from None
    except _TooManyError:
        raise SessionTooLargeError(
            f"attribute {attribute!r} is over sessions.attribute_bytes_max, which is {bytes_max}; "
            "store less in it, or raise that limit on every node"
        ) from None
    if len(packed) > bytes_max:
        raise SessionTooLargeError(
            f"attribute {attribute!r} takes {len(packed)} bytes, more than "
            f"sessions.attribute_bytes_max, which is {bytes_max}; store less in it, or raise that "
            "limit on every node"
        )
    return packed


class _TooManyError(Exception):
    """There are more items than the bytes that are allowed."""


def _pack(shaped: object) -> bytes:
    packed: bytes = msgpack.packb(shaped)
    return packed


class _Shaper:
    """Turns one value into what msgpack packs as it is.

    It counts items, each of which takes a byte at least: a small graph of shared lists can stand
    for more than the memory holds.
    """

    def __init__(self, items_max: int) -> None:
        self._items_left = items_max

    def shape(self, value: Any, depth: int) -> object:
        """Return ``value`` in msgpack's own types, extensions included."""
        kind = type(value)
        if kind is str:
            return _check_text(value)
        if kind is int:
            if not _INT_MIN <= value <= _INT_MAX:
                raise _NotStorable("is an int of more than 64 bits; store it as str or Decimal")
            return value
        if kind in _AS_THEY_ARE:
            return value
        if kind in SCALARS:
            try:
                return msgpack.ExtType(SCALARS[kind], pack_scalar(value))
            except ValueError as error:
                raise _NotStorable(str(error)) from None
        if depth >= NESTING_MAX:
            raise _NotStorable(f"is nested more than {NESTING_MAX} deep; flatten it")
        return self._shape_container(kind, value, depth + 1)

    def _shape_container(self, kind: type, value: Any, depth: int) -> object:
        if kind is list:
            return self._shape_items(value, depth)
        if kind is dict:
            return self._shape_dict(value, depth)
        if kind is tuple:
            return msgpack.ExtType(_TUPLE, _pack(self._shape_items(value, depth)))
        if kind is set or kind is frozenset:
            code = _SET if kind is set else _FROZENSET
            return msgpack.ExtType(code, self._pack_members(value, depth))
        registered = registered_class(kind)
        if registered is not None:
            fields = self._shape_fields(registered, value, depth)
            return msgpack.ExtType(_REGISTERED, _pack([registered.name, fields]))
        raise _NotStorable(_refusal(kind))

    def _count(self, items: int) -> None:
        self._items_left -= items
        if self._items_left < 0:
            raise _TooManyError

    def _shape_items(self, items: Iterable[object], depth: int) -> list[object]:
        shaped: list[object] = []
        try:
            for item in items:
                self._count(1)
                shaped.append(self.shape(item, depth))
        except _NotStorable as fault:
            fault.steps.append(f"[{len(shaped)}]")
            raise
        return shaped

    def _shape_dict(self, value: dict[Any, object], depth: int) -> dict[Any, object]:
        self._count(2 * len(value))
        shaped: dict[Any, object] = {}
        for key, item in value.items():
            if type(key) is not str and type(key) is not int:
                raise _NotStorable(
                    f"has a key of type {type(key).__qualname__}; only str and int keys come back "
                    "as what they were"
                )
            try:
                shaped[self.shape(key, depth)] = self.shape(item, depth)
            except _NotStorable as fault:
                fault.steps.append(_step(key))
                raise
        return shaped

    def _pack_members(self, members: Iterable[object], depth: int) -> bytes:
        packed: list[bytes] = []
        for member in members:
            self._count(1)
            try:
                packed.append(_pack(self.shape(member, depth)))
            except _NotStorable as fault:
                fault.steps.append("{member}")
                raise
        return _array_header(len(packed)) + b"".join(sorted(packed))

    def _shape_fields(
        self, registered: RegisteredClass, value: Any, depth: int
    ) -> dict[str, object]:
        self._count(len(registered.fields))
        shaped: dict[str, object] = {}
        for name, _ in registered.fields:
            try:
                if not hasattr(value, name):
                    raise _NotStorable("has been deleted")
                shaped[name] = self.shape(getattr(value, name), depth)
            except _NotStorable as fault:
                fault.steps.append(f".{name}")
                raise
        return shaped


def _check_text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise _NotStorable("is a str with a lone surrogate; store bytes instead") from None
    return text


def _step(key: str | int) -> str:
    return f".{key}" if isinstance(key, str) and key.isidentifier() else f"[{key!a}]"


def _refusal(kind: type) -> str:
    for base in kind.__mro__[1:]:
        if base in _STORABLE:
            remedy = f"it would come back as {base.__name__}: convert it to that yourself"
            break
    else:
        remedy = "store its parts, or register its class if attrs made it"
    return f"is of type {kind.__qualname__}, which cannot be stored; {remedy}"


def _array_header(length: int) -> bytes:
    header: bytes = msgpack.Packer().pack_array_header(length)
    return header


_AS_THEY_ARE: Final = frozenset({type(None), bool, float, bytes})
_STORABLE: Final = IMMUTABLE_TYPES | {list, dict, tuple, set, frozenset}


# --- Bytes to values ----------------------------------------------------------------------------


def unpack_value(attribute: str, packed: bytes) -> Any:
    """Return the value whose bytes are ``packed``.

    Args:
        attribute: the attribute's name, for the error.
        packed: what ``pack_value`` made, here or elsewhere.

    Raises:
        AttributeDecodeError: the bytes are of no value that this process knows. Nothing changed.
    """
    try:
        if packed[:1] in _PLAIN_HEADS:  # most attributes: no container, so nothing to look for
            return msgpack.unpackb(packed)
        value = _unpack(packed, 0)
        if _may_be_strange(packed):
            _check(value, 0)
    except Exception as error:
        # All of them: the constructor of a class of the application's may raise anything.
        raise AttributeDecodeError(
            f"attribute {attribute!r} cannot be decoded: {type(error).__name__}: {error}; it may "
            "be of a newer version, or of a class that is not registered here"
        ) from error
    return value


def _unpack(packed: bytes, depth: int) -> Any:
    """Return the value; every length in the bytes is at most theirs, by msgpack's defaults."""
    if depth > NESTING_MAX:
        raise ValueError(_TOO_DEEP)
    return msgpack.unpackb(
        packed,
        strict_map_key=False,
        object_pairs_hook=_make_dict,
        ext_hook=_HOOKS[depth],
    )


def _make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("it has a dict with the same key twice")
    for key in made:
        if type(key) is not str and type(key) is not int:
            raise ValueError(f"it has a dict with a key of type {type(key).__name__}")
    return made


def _unpack_extension(depth: int, code: int, payload: bytes) -> Any:
    if code == _TUPLE:
        return tuple(_unpack_items(payload, depth))
    if code in (_SET, _FROZENSET):
        items = _unpack_items(payload, depth)
        members = frozenset(items) if code == _FROZENSET else set(items)
        if len(members) != len(items):
            raise ValueError("it has a set with the same member twice")
        return members
    if code == _REGISTERED:
        match _unpack(payload, depth):
            case [str(name), dict(fields)]:
                return _construct(name, fields)
        raise ValueError("it has a registered class without its name and fields")
    return unpack_scalar(code, payload)


def _unpack_items(payload: bytes, depth: int) -> list[Any]:
    items = _unpack(payload, depth)
    if type(items) is not list:
        raise ValueError("it has a tuple or set without its items")
    return items


def _construct(name: str, fields: dict[Any, Any]) -> object:
    registered = registered_as(name)
    if registered is None:
        raise ValueError(f"no class is registered as {name!r}")
    arguments = dict(registered.fields)
    unknown = next((field for field in fields if field not in arguments), None)
    if unknown is not None:
        raise ValueError(f"the class registered as {name!r} has no field {unknown!r}")
    return registered.cls(**{arguments[field]: value for field, value in fields.items()})


_HOOKS: Final = tuple(partial(_unpack_extension, depth) for depth in range(1, NESTING_MAX + 2))
"""What takes the extensions found at each depth; made once, not for every value."""

_PLAIN_HEADS: Final = frozenset(
    bytes([head])
    for head in (
        *range(0x80),
        *range(0xA0, 0xC7),
        *range(0xCA, 0xD4),
        *range(0xD9, 0xDC),
        *range(0xE0, 0x100),
    )
)
"""How values begin that are neither containers nor extensions."""

_TOO_DEEP: Final = f"it is nested more than {NESTING_MAX} deep"
_CONTAINER_HEADS: Final = bytes(
    (*range(0x80, 0xA0), *range(0xC7, 0xCA), *range(0xD4, 0xD9), *range(0xDC, 0xE0))
)
_TIMESTAMP_HEADS: Final = re.compile(rb"[\xd6\xd7]\xff|\xc7\x0c\xff")


def _may_be_strange(packed: bytes) -> bool:
    """Return whether the value has to be looked through for what msgpack itself lets pass.

    msgpack takes its own timestamps, and containers in 1,024 others. Each shows in the bytes: a
    timestamp by its head, and as many containers by as many heads. So nearly every value is
    cleared by two searches in C instead of a walk over its items.
    """
    others = packed.translate(None, _CONTAINER_HEADS)
    return len(packed) - len(others) > NESTING_MAX or bool(_TIMESTAMP_HEADS.search(packed))


def _check(value: Any, depth: int) -> None:
    kind = type(value)
    items: Iterable[Any]
    if kind is msgpack.Timestamp:
        raise ValueError("it has a timestamp of msgpack's, which is not used here")
    registered = registered_class(kind)
    if registered is not None:
        items = [getattr(value, name) for name, _ in registered.fields]
    elif kind is dict:
        items = value.values()
    elif kind in _ITEMS:
        items = value
    else:
        return
    if depth >= NESTING_MAX:
        raise ValueError(_TOO_DEEP)
    for item in items:
        _check(item, depth + 1)


_ITEMS: Final = frozenset({list, tuple, set, frozenset})
