"""Errors of the application's own doing; all others that a node raises are in ``ring.errors``."""

from typing import TYPE_CHECKING

from ring.errors import SessionRingError

if TYPE_CHECKING:
    from node.session import Session


class ValueNotStorableError(SessionRingError, TypeError):
    """A value cannot be kept in a session. Definite: nothing was sent.

    The message names the attribute, the path inside it, and what to store instead.
    """


class AttributeDecodeError(SessionRingError):
    """An attribute cannot be decoded here. Definite: its bytes stay as they are in the ring.

    It was written by a newer version of the software, or of a registered class that this
    process does not know or knows otherwise.
    """


class ConflictError(SessionRingError):
    """Somebody has changed the session, and the save was not to overwrite that. Definite.

    Nothing was written, and what this copy has changed is still to be saved: make those changes in
    ``other`` and save that, or save this one without ``if_unchanged``.

    Attributes:
        other: the session as it is now; None: that cannot be asked for just now.
    """

    def __init__(self, reason: str, other: "Session | None" = None) -> None:
        super().__init__(reason)
        self.other = other
