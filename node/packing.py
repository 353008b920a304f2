"""Values to bytes, with the path to whatever cannot be kept; the bytes are in ``node.values``."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final

import msgpack

from node.errors import ValueNotStorableError
from node.registered import RegisteredClass, registered_class
from node.scalars import SCALARS, pack_scalar
from node.unknown_fields import kept_with
from node.values import (
    FROZENSET,
    IMMUTABLE_TYPES,
    KEY_TYPES,
    NESTING_MAX,
    PLAIN_TYPES,
    REGISTERED,
    SET,
    TUPLE,
)
from ring.errors import SessionTooLargeError
from ring.index import INDEXED_BYTES_MAX

_SOUGHT_BYTES_MAX: Final = 1 << 20
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**64 - 1


class _NotStorable(Exception):
    """A value has no bytes: why, and the steps to it, innermost first. Never leaves the module."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.steps: list[str] = []


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
        packed = _pack_quickly(value, bytes_max)
        if packed is None:
            packed = _pack(_Shaper(bytes_max, thorough=True).shape(value, 0))
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


def pack_sought(attribute: str, value: object) -> bytes:
    """Return the bytes of a value by which sessions are sought.

    Raises:
        TypeError: it has no hash, or cannot be kept in a session at all.
        ValueError: it takes more bytes than what is indexed.
    """
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"{attribute} is sought by a {type(value).__name__}; sessions are found only by values "
            "that have a hash"
        ) from None
    packed = pack_value(attribute, value, _SOUGHT_BYTES_MAX)
    if len(packed) > INDEXED_BYTES_MAX:
        raise ValueError(
            f"{attribute} is sought by a value of {len(packed)} packed bytes; sessions are found "
            f"by values of at most {INDEXED_BYTES_MAX}, such as a digest of it"
        )
    return packed


class _TooManyError(Exception):
    """There are more items than the bytes that are allowed."""


def _pack(shaped: object) -> bytes:
    packed: bytes = msgpack.packb(shaped)
    return packed


def _pack_with(parts: list[Any], unknown: Mapping[str, bytes]) -> bytes:
    """Return the content of a registered class, with fields that are packed already."""
    name, fields, *version = parts
    header: bytes = msgpack.Packer().pack_map_header(len(fields) + len(unknown))
    content = [_array_header(len(parts)), _pack(name), header]
    content += [_pack(each) for field in fields.items() for each in field]
    content += [part for field, packed in unknown.items() for part in (_pack(field), packed)]
    return b"".join([*content, *map(_pack, version)])


def _pack_quickly(value: object, bytes_max: int) -> bytes | None:
    """Return the bytes; None if an int or a str somewhere in ``value`` has none.

    Whether they have is left to msgpack here, which looks at each of them anyway.
    """
    try:
        return _pack(_Shaper(bytes_max, thorough=False).shape(value, 0))
    except (OverflowError, UnicodeEncodeError):
        return None


class _Shaper:
    """Turns one value into what msgpack packs as it is.

    It counts items, each of which takes a byte at least: a small graph of shared lists can stand
    for more than the memory holds.

    Args:
        items_max: how many items there may be.
        thorough: whether every plain item is looked at too, to find the path to a bad one.
    """

    def __init__(self, items_max: int, *, thorough: bool) -> None:
        self._items_left = items_max
        self._thorough = thorough

    def shape(self, value: Any, depth: int) -> object:
        """Return ``value`` in msgpack's own types, extensions included."""
        kind = type(value)
        if kind in PLAIN_TYPES:
            return _check_plain(value) if self._thorough else value
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
            return msgpack.ExtType(TUPLE, _pack(self._shape_items(value, depth)))
        if kind is set or kind is frozenset:
            code = SET if kind is set else FROZENSET
            return msgpack.ExtType(code, self._pack_members(value, depth))
        registered = registered_class(kind)
        if registered is not None:
            fields = self._shape_fields(registered, value, depth)
            version = [registered.version] if registered.version > 1 else []
            unknown = kept_with(value)
            if unknown:
                self._count(len(unknown))
                content = _pack_with([registered.name, fields, *version], unknown)
            else:
                content = _pack([registered.name, fields, *version])
            return msgpack.ExtType(REGISTERED, content)
        raise _NotStorable(_refusal(kind))

    def _count(self, items: int) -> None:
        self._items_left -= items
        if self._items_left < 0:
            raise _TooManyError

    def _all_plain(self, items: Iterable[object]) -> bool:
        return not self._thorough and PLAIN_TYPES.issuperset(map(type, items))

    def _shape_items(self, items: Sequence[object], depth: int) -> Sequence[object]:
        self._count(len(items))
        if self._all_plain(items):
            return items
        shaped: list[object] = []
        try:
            for item in items:
                shaped.append(self.shape(item, depth))  # noqa: PERF401 - its length is a step
        except _NotStorable as fault:
            fault.steps.append(f"[{len(shaped)}]")
            raise
        return shaped

    def _shape_dict(self, value: dict[Any, object], depth: int) -> dict[Any, object]:
        self._count(2 * len(value))
        if self._all_plain(value.values()) and KEY_TYPES.issuperset(map(type, value)):
            return value
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
                fault.steps.append(step_to(key))
                raise
        return shaped

    def _pack_members(self, members: Set[object], depth: int) -> bytes:
        self._count(len(members))
        packed: list[bytes] = []
        for member in members:
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


def _check_plain(value: object) -> object:
    if type(value) is int and not _INT_MIN <= value <= _INT_MAX:
        raise _NotStorable("is an int of more than 64 bits; store it as str or Decimal")
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _NotStorable("is a str with a lone surrogate; store bytes instead") from None
    return value


def step_to(key: object) -> str:
    """Return how the path to what is under a key goes on."""
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


_STORABLE: Final = IMMUTABLE_TYPES | {list, dict, tuple, set, frozenset}
