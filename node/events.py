"""What happens to sessions, as the application is told of it.

Rule: an event is a value; its session is as it was then, whatever has become of it.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from attrs import frozen

from node.snapshot import SessionSnapshot
from node.writers import Writers
from ring.announcements import LIFE_CYCLE, Announcement, Takeover
from ring.announcements import EventKind as Code
from ring.clock import stamp_ms

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class EventKind(StrEnum):
    """What an event tells."""

    CREATED = "created"
    """A session was saved for the first time."""
    DELETED = "deleted"
    """A session was ended."""
    EXPIRED = "expired"
    """A session was not used for its max idle, or its lifetime is over."""
    ROTATED = "rotated"
    """A session goes on under another id."""
    CHANGED = "changed"
    """Attributes of a session were changed. At most once."""
    EXPIRING = "expiring"
    """A session expires soon, unless it is used. At most once for each access."""
    FAILED_OVER = "failed_over"
    """Another node acts for all sessions of a home, or the home again. At most once."""


_KINDS: Final = {code: EventKind[code.name] for code in Code}
_CODES: Final = {kind: code for code, kind in _KINDS.items()}
LASTING: Final = frozenset(_KINDS[code] for code in LIFE_CYCLE)
"""Kinds that are delivered at least once."""


@frozen
class Event:
    """Something that has happened to a session or, failed over, to all sessions of a home."""

    kind: EventKind
    session_id: str
    """Its id, or for a failover nothing: a secret, like that of a live session."""
    stamp: int
    """When, as the ring counts; of an expiry, the access that was judged."""
    at: datetime
    """When, in UTC; of an expiry that is passed or coming, when it was told."""
    node: str
    """The node that tells it."""
    home: str
    """The home of the session, or of all sessions."""
    session: SessionSnapshot
    """The session as it last was; after an end, as it was before that."""
    new_id: str | None = None
    """Rotated: the id under which it goes on. ``session_id`` is the old one."""
    names: tuple[str, ...] = ()
    """Changed: the names of the attributes."""
    before: str | None = None
    """Failed over: the node that acted before; ``node`` acts now."""
    sessions: int = 0
    """Failed over: how many records of the home the node has, those of ended sessions included."""
    lost: int = 0
    """How many events this listener has lost before this one, being too slow for its buffer."""

    @property
    def id(self) -> str:
        """The same for an event that is told again, and for no other."""
        return f"{self.session_id or self.home}/{self.kind}/{self.stamp}"


def kinds_of(kinds: Sequence[EventKind | str]) -> frozenset[EventKind]:
    """Return the kinds that were asked for; with none, those that are sure to be delivered.

    Raises:
        ValueError: there is no such kind. It names those that there are.
    """
    try:
        return frozenset(map(EventKind, kinds)) or LASTING
    except ValueError:
        allowed = ", ".join(repr(str(each)) for each in EventKind)
        raise ValueError(f"kinds are {', '.join(map(repr, kinds))}; use {allowed}") from None


def mask_of(kinds: Iterable[EventKind]) -> int:
    """Return these kinds as the replica names them together."""
    return sum(1 << _CODES[kind] for kind in kinds)


def event_of(what: Announcement | Takeover, node: str, writers: Writers, wall_ms: int) -> Event:
    """Return what the application is told of what is announced.

    Args:
        what: as the replica says it.
        node: who tells it.
        writers: of this process.
        wall_ms: now, in milliseconds since 1970.
    """
    if isinstance(what, Takeover):
        return Event(
            EventKind.FAILED_OVER,
            session_id="",
            stamp=what.stamp,
            at=_EPOCH + timedelta(milliseconds=stamp_ms(what.stamp)),
            node=node,
            home=what.home,
            session=SessionSnapshot(b"", writers),
            before=what.before,
            sessions=what.sessions,
        )
    kind = _KINDS[what.kind]
    expires = kind in (EventKind.EXPIRED, EventKind.EXPIRING)
    at_ms = wall_ms if expires else stamp_ms(what.stamp)
    return Event(
        kind,
        session_id=what.session_id.decode("ascii"),
        stamp=what.stamp,
        at=_EPOCH + timedelta(milliseconds=at_ms),
        node=node,
        home=what.home,
        session=SessionSnapshot(what.state, writers),
        new_id=what.new_id.decode("ascii") if what.new_id is not None else None,
        names=tuple(name.decode(errors="replace") for name in what.names),
    )
