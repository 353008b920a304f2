"""Fields of registered classes that a newer release has and this one has not.

Rules:
- An object that is made without them has them kept beside it, as the bytes that they are: whoever
  saves the object, changed or not, passes them on. What is in them is never decoded here.
- They belong to that one object, as long as it lives: one that is made anew has none.
"""

import weakref
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import msgpack

_NONE: Final[Mapping[str, bytes]] = MappingProxyType({})

_kept: Final[dict[int, tuple["weakref.ref[Any]", Mapping[str, bytes]]]] = {}
"""By identity: the objects may have no hash."""


def keep_with(value: object, fields: Mapping[str, bytes]) -> None:
    """Keep packed fields with an object.

    Raises:
        TypeError: nothing can be kept with it: its class has ``weakref_slot=False``.
    """
    key = id(value)
    _kept[key] = weakref.ref(value, lambda gone: _forget(key, gone)), dict(fields)


def _forget(key: int, gone: "weakref.ref[Any]") -> None:
    if key in _kept and _kept[key][0] is gone:
        del _kept[key]


def kept_with(value: object) -> Mapping[str, bytes]:
    """Return the packed fields that are kept with an object, by name."""
    kept = _kept.get(id(value)) if _kept else None
    return kept[1] if kept is not None and kept[0]() is value else _NONE


def cut(content: bytes) -> tuple[object, dict[str, bytes], int]:
    """Return name, packed fields and version of a registered class, decoding no field.

    Raises:
        ValueError: that is not what the bytes are; or another exception of msgpack's.
    """
    reader = msgpack.Unpacker(max_buffer_size=len(content))
    reader.feed(content)
    parts, name = reader.read_array_header(), reader.unpack()
    fields: dict[str, bytes] = {}
    for _ in range(reader.read_map_header()):
        field, start = reader.unpack(), reader.tell()
        reader.skip()
        if type(field) is not str or field in fields:
            raise ValueError("it has a registered class with a field that has no name of its own")
        fields[field] = content[start : reader.tell()]
    version = reader.unpack() if parts == 3 else 1
    is_spelled = type(version) is int and (version > 1 or parts == 2)
    if reader.tell() != len(content) or parts not in (2, 3) or not is_spelled:
        raise ValueError("it has a registered class without its name and fields")
    return name, fields, version
