"""What is announced of a session's life, and what members tell each other of it.

Rules:
- An announcement is known by session, kind and stamp. All but an expiry happens to an id once, so
  two of one kind are one, whatever their stamps.
- Members never send what each of them can see for itself in the changes that it is sent: they tell
  what was delivered, and what was not by the time when somebody begins to look.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from attrs import frozen

from ring.clock import Stamp
from ring.identity import SessionId, home_of


class EventKind(IntEnum):
    """What may be announced; listeners are a mask with one bit for each, ``1 << kind``."""

    CREATED = 1
    DELETED = 2
    EXPIRED = 3
    ROTATED = 4
    CHANGED = 5
    EXPIRING = 6
    FAILED_OVER = 7


LIFE_CYCLE: Final = frozenset(
    {EventKind.CREATED, EventKind.DELETED, EventKind.EXPIRED, EventKind.ROTATED}
)
"""Kinds that are delivered at least once. The others are hints, lost with their node."""
LIFE_CYCLE_MASK: Final = sum(1 << kind for kind in LIFE_CYCLE)

Key: TypeAlias = tuple[SessionId, int, int]
"""By what repeats are told: session, kind and, of an expiry, the stamp."""


def key_of(session_id: SessionId, kind: int, stamp: int) -> Key:
    """Return by what an announcement is told from others."""
    return session_id, int(kind), stamp if kind == EventKind.EXPIRED else 0


@frozen
class Announcement:
    """Something that has happened to one session."""

    session_id: SessionId
    kind: EventKind
    stamp: Stamp
    state: bytes = b""
    """The session as it last was, in portable form; empty: it is not known here."""
    new_id: SessionId | None = None
    """Under which a rotated session goes on."""
    names: tuple[bytes, ...] = ()
    """Of a change: the attributes that changed."""

    @property
    def key(self) -> Key:
        """By what repeats are told."""
        return key_of(self.session_id, self.kind, self.stamp)

    @property
    def home(self) -> str:
        """The home of the session."""
        return home_of(self.session_id)


@frozen
class Takeover:
    """A member acts for a home in another one's place, or its own again."""

    home: str
    before: str
    """Who acted for it."""
    after: str
    """Who does now."""
    sessions: int
    """How many records of the home it holds; tombstones count."""
    stamp: Stamp


@frozen
class Announced:
    """Dialler: these were delivered; announce them no more.

    ``flat`` repeats ``id: bytes, kind: int, stamp: int``.
    """

    flat: list[bytes | int]


@frozen
class Announcements:
    """Dialler: these of ``home`` were not delivered, as far as it knows.

    ``flat`` repeats ``id: bytes, kind: int, stamp: int, portable: bytes, new id: bytes``; the last
    two may be empty.
    """

    home: str
    since: Stamp
    """Not 0, from who acts for the home: all that it announces of it by itself later is stamped
    above this. It begins a list of all that is not delivered before that."""
    is_handed_over: bool
    """From who acted for the home: nothing of it is in the hands of its process any more."""
    flat: list[bytes | int]


ANNOUNCED_MAX: Final = 1024
"""Rows in one message."""
