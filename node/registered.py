"""The application's classes whose values may be kept in sessions.

Rules:
- A class is registered for the whole process, since a class is the same in all of it.
- Only attrs classes, and only by their constructor: a value is its fields, and comes back by
  calling the class with them. No other code of a class runs.
- A class has one name, and a name one class.
- A class has a version, which stands in the bytes if it is above 1. What was written by an older
  one is brought up to date when it is read, step by step; what a newer one wrote is not read.
- A field that is not known here, in a value of the same version, is of a newer release that has
  only added it: the object comes without it, and takes it along (``node.unknown_fields``).
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

import attrs

from node.errors import ValueNotStorableError

NAME_BYTES_MAX: Final = 255

VERSION_MAX: Final = 2**31 - 1

Upcast: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Makes the fields of one version from those of the version before; it may change what it gets."""

_C = TypeVar("_C")


@attrs.frozen
class RegisteredClass:
    """A class, the name that stands for it, and its fields."""

    name: str
    cls: type
    fields: tuple[tuple[str, str], ...]
    """Name of each field, and of the argument of the constructor that takes it."""
    version: int = 1
    upcasts: Mapping[int, Upcast] = attrs.Factory(dict)
    """By version: what makes the next one of its fields."""


_by_class: dict[type, RegisteredClass] = {}
_by_name: dict[str, RegisteredClass] = {}


def register(
    cls: type[_C],
    name: str | None = None,
    *,
    version: int = 1,
    upcast: Mapping[int, Upcast] | None = None,
) -> type[_C]:
    """Let values of the attrs class ``cls`` be kept in sessions; return ``cls``.

    Each field's value must itself be storable. Every process that reads such a value must have
    registered a class of this name. Fields that are missing take their defaults; those that its
    constructor does not know are kept with the object, and saved with it.

    A process that has an older version of the class raises ``AttributeDecodeError`` for an
    attribute of a newer one, which stays as it is. What was only read is not written anew.

    Args:
        cls: a class made by attrs whose fields all are arguments of its constructor.
        name: what stands for the class in the bytes, for ever: 1 to 255 bytes of UTF-8;
            ``cls.__name__`` if not given.
        version: of the class, from 1 to 2**31 - 1: raise it when its fields change.
        upcast: by older version, what makes of its fields, by name, those of the next version.
            What was written by a version without it cannot be read any more.

    Raises:
        ValueNotStorableError: ``cls`` is no such class, or has another name, or another class
            has this one; or no such version. Nothing was registered.
    """
    if not _is_made_by_attrs(cls):
        raise ValueNotStorableError(
            f"{cls!r} cannot be registered: it is not an attrs class; decorate it with attrs.define"
        )
    fields: tuple[attrs.Attribute[Any], ...] = vars(cls)["__attrs_attrs__"]
    derived = [field.name for field in fields if not field.init]
    if derived:
        raise ValueNotStorableError(
            f"class {cls.__name__} cannot be registered: its field {derived[0]!r} is no argument "
            "of its constructor, so it could not be given back; make it a property"
        )
    name = cls.__name__ if name is None else name
    _check_name(cls, name)
    upcasts = dict(upcast or {})
    _check_versions(cls, version, upcasts)
    known = _by_name.get(name)
    if known is not None:  # The module was loaded again: the new class takes the old one's place.
        del _by_class[known.cls]
    _by_class[cls] = _by_name[name] = RegisteredClass(
        name,
        cls,
        tuple((field.name, field.alias or field.name) for field in fields),
        version,
        upcasts,
    )
    return cls


def registered_class(cls: type) -> RegisteredClass | None:
    """Return how ``cls`` itself, not one it derives from, was registered, if it was."""
    return _by_class.get(cls)


def registered_as(name: str) -> RegisteredClass | None:
    """Return the class that was registered as ``name``, if there is one."""
    return _by_name.get(name)


def _is_made_by_attrs(cls: object) -> bool:
    """Tell a class of attrs from one that only derives from such a class."""
    return isinstance(cls, type) and "__attrs_attrs__" in vars(cls)


def _check_name(cls: type, name: str) -> None:
    refused = f"class {cls.__name__} cannot be registered as {name!a}"
    if type(name) is not str or not 1 <= _utf8_bytes(name) <= NAME_BYTES_MAX:
        raise ValueNotStorableError(f"{refused}; use 1 to {NAME_BYTES_MAX} bytes of UTF-8")
    own = _by_class.get(cls)
    if own is not None and own.name != name:
        raise ValueNotStorableError(
            f"{refused}: {cls.__name__} is registered as {own.name!r}; it has one name for ever"
        )
    known = _by_name.get(name)
    if known is not None and _origin(known.cls) != _origin(cls):
        raise ValueNotStorableError(
            f"{refused}: {known.cls!r} has that name; give another with name="
        )


def _check_versions(cls: type, version: int, upcasts: dict[int, Upcast]) -> None:
    refused = f"class {cls.__name__} cannot be registered"
    if type(version) is not int or not 1 <= version <= VERSION_MAX:
        raise ValueNotStorableError(f"{refused} with version {version!r}; use 1 to {VERSION_MAX}")
    for old, step in upcasts.items():
        if type(old) is not int or not 1 <= old < version:
            raise ValueNotStorableError(
                f"{refused} with an upcast of version {old!r}: only those before {version} have one"
            )
        if not callable(step):
            raise ValueNotStorableError(
                f"{refused}: its upcast of version {old} is {step!r}; give a function of the fields"
            )


def _utf8_bytes(name: str) -> int:
    """Return the length of ``name`` in UTF-8; 0 if it has a lone surrogate, and so none."""
    try:
        return len(name.encode())
    except UnicodeEncodeError:
        return 0


def _origin(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
