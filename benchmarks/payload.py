"""The session that is kept: eight attributes of text, as large as the documents say.

Rule: both sides keep the same session, and both start from its attributes: what packing them
costs is part of every write, what unpacking them costs is part of every read.
"""

import os
from typing import Final

import msgpack

ATTRIBUTES: Final = tuple(f"attribute-{number}" for number in range(8))

MAX_IDLE_S: Final = 1800
"""Both sides let sessions expire: what that takes is part of every figure."""

SMALL: Final = 516
LARGE: Final = 4090
"""Bytes of a session, packed with msgpack."""

_TEXTS: Final = {SMALL: (50, 3), LARGE: (496, 1)}
"""Characters of each value, and by how many the first one is longer, for those sizes."""


def text(characters: int) -> str:
    """Return text that does not compress by more than half."""
    return os.urandom((characters + 1) // 2).hex()[:characters]


def attributes(session_bytes: int) -> dict[str, str]:
    """Return the attributes of a session of this size: one of the two above, or about any."""
    each, more = _TEXTS.get(session_bytes, (max(1, session_bytes // 8 - 15), 0))
    first, *others = ATTRIBUTES
    return {first: text(each + more), **{name: text(each) for name in others}}


def packed(session: dict[str, str]) -> bytes:
    """Return the session as one value, which is what a store of values is given."""
    content: bytes = msgpack.packb(session)
    return content


def unpacked(content: bytes) -> dict[str, str]:
    """Return the session in a value."""
    session: dict[str, str] = msgpack.unpackb(content)
    return session
