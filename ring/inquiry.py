"""What people ask about sessions: what has happened to one, and which there are.

Rules:
- Whoever holds the ring's secret may ask; the answers hold ids, which are secrets as well.
- The member that was asked has the others tell what they know, once: ``forwarded``.
- A list is told by whoever acts for a home, a page at a time, each of bounded work.
"""

from enum import IntEnum
from typing import Final, TypeAlias

from attrs import frozen

from ring.clock import Stamp
from ring.identity import SessionId
from ring.journal import Note

NOTES_MAX: Final = 4096
"""Notes in one answer: the newest."""
ROWS_MAX: Final = 256
"""Sessions on one page."""
PRINCIPAL_CHARS_MAX: Final = 128
"""Of a principal; the rest is cut off."""


class State(IntEnum):
    """What a member has of a session."""

    ALIVE = 1
    PARTIAL = 2
    """A part of it has arrived; it is not served before the rest is there."""
    EXPIRED = 3
    """Hidden, and removed a while later."""
    ENDED = 4
    ROTATED = 5
    """It goes on under another id."""


@frozen
class Why:
    """What has happened to this session?"""

    number: int
    session_id: SessionId
    forwarded: bool = False


@frozen
class Story:
    """What members remember of a session, in order."""

    number: int
    notes: tuple[Note, ...]
    unheard: tuple[str, ...] = ()
    """The members that could not be asked, or did not answer in time."""


@frozen
class Inspect:
    """Which sessions of a home are there, from here on?"""

    number: int
    home: str
    shard: int = 0
    """Where the page begins (``ring.table``), 0 to 64; and in that shard:"""
    after: bytes = b""
    """behind this id, or at the beginning for none."""
    rows_max: int = ROWS_MAX
    """0: only the counts are asked for."""
    only: bytes = b""
    """Only the session with this id, with its attributes; empty: all of the home, without them."""
    with_ended: bool = False
    with_values: bool = False
    """Of the attributes of one session; else only their names are told."""
    forwarded: bool = False


@frozen
class Row:
    """One session, as the member sees it that acts for it."""

    session_id: SessionId
    state: State
    size: int
    """Bytes in memory."""
    attributes: int
    created: Stamp
    """0: not known."""
    accessed_ms: int
    """Milliseconds since 1970; 0: not known."""
    due_ms: int
    """The same; 0: it does not expire."""
    principal: str
    """Empty: none is known."""
    holders: tuple[str, ...]
    """Who is known to have it as it is."""
    portable: bytes = b""
    """The record, if only this one was asked for and it fits; see ``with_values``."""


@frozen
class Inspected:
    """A page of sessions, and how many there are."""

    number: int
    acting: str
    """Who acts for the home, as who answers sees it."""
    told: bool
    """Whether it is the one that answers; else nothing else here counts."""
    sessions: int
    """How many are there; those that have expired and were not removed yet count."""
    ended: int
    """How many ends are remembered."""
    rows: tuple[Row, ...]
    shard: int
    """Where the next page begins, and behind which id; 64: this was the last one."""
    after: bytes


Inquiry: TypeAlias = Why | Inspect
Account: TypeAlias = Story | Inspected
