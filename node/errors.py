"""Errors of the application's values; all others that a node raises are in ``ring.errors``."""

from ring.errors import SessionRingError


class ValueNotStorableError(SessionRingError, TypeError):
    """A value cannot be kept in a session. Definite: nothing was sent.

    The message names the attribute, the path inside it, and what to store instead.
    """


class AttributeDecodeError(SessionRingError):
    """An attribute cannot be decoded here. Definite: its bytes stay as they are in the ring.

    It was written by a newer version of the software, or of a registered class that this
    process does not know or knows otherwise.
    """
