"""Durations as people write them in a configuration: ``0.5``, ``"500ms"``, ``"30m"``, ``"7d"``."""

import re
from typing import Final

import msgpack

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(-?[0-9]{1,12}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)?", re.ASCII)

SECONDS_MAX: Final = 1e12
"""The longest duration, some 31,000 years: what is longer was not meant."""

DURATION_FORMS: Final = 'seconds, or a text such as "500ms", "30s", "30m", "12h" or "7d"'
"""What can be written, for an error's remedy."""


def parse_duration(value: object) -> float | None:
    """Return ``value`` in seconds, at most 1e12 either way; None if it is no duration.

    A number is seconds; a text is a number and one unit of ms, s, m, h and d, without a space, or
    a number alone. True is not 1, and neither infinity nor "not a number" is a duration.
    """
    if isinstance(value, str):
        parts = _DURATION.fullmatch(value)
        if parts is None:
            return None
        value = float(parts[1]) * _UNITS[parts[2] or "s"]
    if type(value) is not int and type(value) is not float:
        return None
    return float(value) if abs(value) <= SECONDS_MAX else None


def pack_seconds(name: str, seconds: float) -> bytes:
    """Return the packed form of ``max_idle`` or ``lifetime``.

    Raises:
        TypeError: it is not a number.
        ValueError: it is more than 1e12 either way, or not a number.
    """
    if type(seconds) is not int and type(seconds) is not float:
        raise TypeError(f"{name} is {seconds!r}; give seconds as a number, 0 for never")
    if not abs(seconds) <= SECONDS_MAX:
        raise ValueError(f"{name} is {seconds!r}; give at most 1e12 seconds, 0 for never")
    packed: bytes = msgpack.packb(float(seconds))
    return packed
