"""Single settings: how they are converted, and what is refused.

Rules:
- Nothing is coerced but durations, which may be written as text: True is not 1, "1" is not 1.
- What is refused is named with its key, its value and the remedy; secrets show nowhere.
- What cannot be converted is left to the check, which knows the key.
"""

from collections.abc import Iterable
from typing import Any, Final, cast

from attrs import Attribute

from node.attributes import check_attribute_name
from node.durations import DURATION_FORMS, parse_duration
from ring.errors import ConfigError
from ring.messages import Durability

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 1024

INTERVAL_MIN_S: Final = 0.01
"""The shortest time that a node can keep doing something at."""


def to_seconds(value: float | str) -> float:
    """Convert a duration; leave anything else for the validator, which knows the key."""
    seconds = parse_duration(value)
    return cast(float, value) if seconds is None else seconds


def to_durability(value: Durability | str | None) -> Durability | None:
    """Convert the name of a durability; leave anything else for the validator."""
    try:
        return None if value is None else Durability(value)
    except ValueError:
        return cast(Durability, value)


def to_secrets(value: Iterable[bytes | str] | bytes | str) -> tuple[bytes, ...]:
    """Return one secret or several, texts or bytes, as bytes."""
    each = [value] if isinstance(value, bytes | str) else value
    return tuple(_to_bytes(one) if isinstance(one, str) else one for one in each)


def _to_bytes(secret: str) -> bytes:
    try:
        return secret.encode(errors="surrogateescape")  # As the environment is read.
    except UnicodeEncodeError:
        return cast(bytes, secret)  # The validator knows the key.


def key_of(section: Any, attribute: "Attribute[Any]") -> str:
    """Return the key of a setting in the file."""
    return f"{section.SECTION}.{attribute.name}"


def check_duration(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no duration."""
    if parse_duration(value) is None or not isinstance(value, float):
        raise ConfigError(f"{key_of(section, attribute)} is {value!r}; use {DURATION_FORMS}")


def check_positive(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no duration, or none above 0."""
    check_duration(section, attribute, value)
    if not cast(float, value) > 0:
        raise ConfigError(f"{key_of(section, attribute)} is {value!r}; use more than 0 seconds")


def check_interval(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what would keep a core busy with nothing else, or time out at once."""
    check_positive(section, attribute, value)
    if cast(float, value) < INTERVAL_MIN_S:
        raise ConfigError(
            f"{key_of(section, attribute)} is {value!r} s; use at least {INTERVAL_MIN_S:g} seconds"
        )


def check_count(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no whole number from 1 on."""
    if type(value) is not int or value < 1:
        raise ConfigError(
            f"{key_of(section, attribute)} is {value!r}; use a whole number from 1 on"
        )


def check_from_0(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no whole number from 0 on."""
    if type(value) is not int or value < 0:
        raise ConfigError(
            f"{key_of(section, attribute)} is {value!r}; use a whole number, or 0 for no limit"
        )


def to_texts(value: Iterable[str] | str) -> tuple[str, ...]:
    """Return several texts; leave anything else for the validator, which knows the key."""
    return tuple(value) if isinstance(value, list | tuple) else cast(tuple[str, ...], value)


def check_indexes(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what are no names of attributes, or not each once."""
    key = key_of(section, attribute)
    if not isinstance(value, tuple):
        raise ConfigError(f"{key} is {value!r}; use a list of names of attributes")
    for number, name in enumerate(value):
        try:
            check_attribute_name(name)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key}[{number}] is {name!a}; {error}") from error
    if len(set(value)) != len(value):
        raise ConfigError(f"{key} is {list(value)!r}; name each attribute once")


def check_policy(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no policy for principals with too many sessions."""
    if value not in ("end_oldest", "refuse"):
        raise ConfigError(
            f'{key_of(section, attribute)} is {value!r}; use "end_oldest" or "refuse"'
        )


def check_flag(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is neither true nor false."""
    if type(value) is not bool:
        raise ConfigError(f"{key_of(section, attribute)} is {value!r}; use true or false")


def check_text(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is neither None nor a text with something in it."""
    if not (value is None or (type(value) is str and value)):
        raise ConfigError(
            f"{key_of(section, attribute)} is {value!r}; use a text that is not empty"
        )


def check_durability(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no durability."""
    if not (value is None or isinstance(value, Durability)):
        forms = ", ".join(f'"{each}"' for each in Durability)
        raise ConfigError(f"{key_of(section, attribute)} is {value!r}; use one of {forms}")


def check_answer(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no answer to a live member that is too slow."""
    if value not in ("accept", "refuse"):
        raise ConfigError(f'{key_of(section, attribute)} is {value!r}; use "accept" or "refuse"')


def check_alone(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what a node cannot do that finds nobody."""
    if value not in ("serve", "wait"):
        raise ConfigError(f'{key_of(section, attribute)} is {value!r}; use "serve" or "wait"')


def check_save_mode(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what is no save mode."""
    if value not in ("on_save", "immediate", "on_shutdown"):
        forms = '"on_save", "immediate" or "on_shutdown"'
        raise ConfigError(f"{key_of(section, attribute)} is {value!r}; use {forms}")


def check_secrets(section: object, attribute: "Attribute[Any]", value: tuple[object, ...]) -> None:
    """Refuse secrets of which one has not the form of one."""
    for number, secret in enumerate(value):
        check_secret(f"{key_of(section, attribute)}[{number}]", secret)


def check_secret(key: str, secret: object) -> None:
    """Check the form of a secret, which stands at ``key`` and is never shown.

    Raises:
        ConfigError: it is no text or bytes, or too short or too long.
    """
    if isinstance(secret, str):
        raise ConfigError(f"{key} has characters that are none; use a text in UTF-8")
    if not isinstance(secret, bytes):
        raise ConfigError(f"{key} is of type {type(secret).__name__}; use a text")
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise ConfigError(
            f"{key} has {len(secret)} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, "
            'for example from "openssl rand -base64 32"'
        )
    if not secret.strip(b"\0"):
        # A key of zeros is as good as none: HMAC fills up with them.
        raise ConfigError(f'{key} is all zeros; use one from "openssl rand -base64 32"')
