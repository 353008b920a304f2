"""Bytes to values, strictly; the bytes are in ``node.values``.

Rule: what cannot be read otherwise is read once more, carefully: then each registered class is
taken apart first, and its fields that are not known here are left packed (``node.unknown_fields``).
"""

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import msgpack

from node.errors import AttributeDecodeError
from node.registered import RegisteredClass, registered_as, registered_class
from node.scalars import unpack_scalar
from node.unknown_fields import cut, keep_with
from node.values import FROZENSET, KEY_TYPES, NESTING_MAX, REGISTERED, SET, TUPLE


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
        value = _unpacked(packed)
        if _may_be_strange(packed):
            _check(value, 0)
    except Exception as error:
        # All of them: the constructor of a class of the application's may raise anything.
        raise AttributeDecodeError(
            f"attribute {attribute!r} cannot be decoded: {type(error).__name__}: {error}; it may "
            "be of a newer version, or of a class that is not registered here"
        ) from error
    return value


def _unpacked(packed: bytes) -> Any:
    try:
        return _unpack(packed, 0)
    except Exception as error:  # noqa: BLE001 - raised below, if care is of no help
        try:
            return _unpack(packed, 0, careful=True)
        except Exception:  # noqa: BLE001 - the first one says what it is about
            raise error from None


def _unpack(packed: bytes, depth: int, *, careful: bool = False) -> Any:
    """Return the value; every length in the bytes is at most theirs, by msgpack's defaults."""
    if depth > NESTING_MAX:
        raise ValueError(_TOO_DEEP)
    return msgpack.unpackb(
        packed,
        strict_map_key=False,
        object_pairs_hook=_make_dict,
        ext_hook=(_CAREFUL_HOOKS if careful else _HOOKS)[depth],
    )


def _make_dict(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("it has a dict with the same key twice")
    if not KEY_TYPES.issuperset(map(type, made)):
        raise ValueError("it has a dict with a key that is neither str nor int")
    return made


def _unpack_extension(depth: int, careful: bool, code: int, payload: bytes) -> Any:
    if code == TUPLE:
        return tuple(_unpack_items(payload, depth, careful))
    if code in (SET, FROZENSET):
        items = _unpack_items(payload, depth, careful)
        members = frozenset(items) if code == FROZENSET else set(items)
        if len(members) != len(items):
            raise ValueError("it has a set with the same member twice")
        return members
    if code == REGISTERED and careful:
        return _construct_carefully(payload, depth)
    if code == REGISTERED:
        match _unpack(payload, depth):
            case [str(name), dict(fields)]:
                return _construct(name, fields, 1)
            case [str(name), dict(fields), version] if type(version) is int and version > 1:
                return _construct(name, fields, version)
        raise ValueError("it has a registered class without its name and fields")
    return unpack_scalar(code, payload)


def _unpack_items(payload: bytes, depth: int, careful: bool) -> list[Any]:
    items = _unpack(payload, depth, careful=careful)
    if type(items) is not list:
        raise ValueError("it has a tuple or set without its items")
    return items


def _construct(name: str, fields: dict[Any, Any], version: int) -> object:
    registered = _registered(name, version)
    for older in range(version, registered.version):
        if older not in registered.upcasts:
            raise ValueError(f"version {older} of the class registered as {name!r} has no upcast")
        fields = registered.upcasts[older](fields)
    return _made(registered, fields)


def _construct_carefully(payload: bytes, depth: int) -> object:
    """Return the object, which takes along what it has no fields for."""
    name, packed, version = cut(payload)
    if type(name) is not str:
        raise ValueError("it has a registered class without its name and fields")
    registered = _registered(name, version)
    unknown: dict[str, bytes] = {}
    if version == registered.version:
        known = {field for field, _ in registered.fields}
        unknown = {field: bytes_ for field, bytes_ in packed.items() if field not in known}
    fields = {
        field: _unpack(bytes_, depth, careful=True)
        for field, bytes_ in packed.items()
        if field not in unknown
    }
    value = _construct(name, fields, version)
    if unknown:
        keep_with(value, unknown)
    return value


def _registered(name: str, version: int) -> RegisteredClass:
    registered = registered_as(name)
    if registered is None:
        raise ValueError(f"no class is registered as {name!r}")
    if version > registered.version:
        raise ValueError(
            f"it is of version {version} of the class registered as {name!r}, which has version "
            f"{registered.version} here"
        )
    return registered


def _made(registered: RegisteredClass, fields: Mapping[Any, Any]) -> object:
    arguments = dict(registered.fields)
    unknown = next((field for field in fields if field not in arguments), None)
    if unknown is not None:
        raise ValueError(f"the class registered as {registered.name!r} has no field {unknown!r}")
    return registered.cls(**{arguments[field]: value for field, value in fields.items()})


_HOOKS, _CAREFUL_HOOKS = (
    tuple(partial(_unpack_extension, depth, careful) for depth in range(1, NESTING_MAX + 2))
    for careful in (False, True)
)
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
_TIMESTAMP_HEADS: Final = re.compile(
    rb"(?:[\xd6\xd7]|(?:\xc7|\xc8\x00|\xc9\x00\x00\x00)[\x04\x08\x0c])\xff"
)
"""Each length of a timestamp can be written in several ways."""


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
