"""What is found of many sessions at once: of their life, not of their attributes.

Rules:
- A result names what it may lack: homes and members of which not all is known.
- Of each session there is one row, whoever has told of it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import field, frozen

from node.receipts import Backend
from node.reserved import unpack_principal
from ring.clock import Stamp, stamp_ms
from ring.entry import CREATED, PRINCIPAL, entry_stamp
from ring.errors import SessionUnavailableError, UnknownIndexError
from ring.identity import SessionId
from ring.messages import Failed
from ring.questions import Matches, Query
from ring.record import Record

QUERY_TIMEOUT_S: Final = 8.0
"""How long all pages of one question may take."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@frozen
class SessionSummary:
    """What the ring says of a session's life when it is found by a value."""

    id: str
    created_at: datetime
    last_accessed: datetime
    max_idle: float
    """Seconds without access after which it expires; 0 or less: never."""
    lifetime: float
    """Seconds after its creation at which it expires; 0 or less: never."""
    principal: str | None
    expires_at: datetime | None
    """When it expires if nobody uses it again; None: never."""


@frozen
class SessionMatches:
    """The sessions that were found."""

    sessions: Mapping[str, SessionSummary]
    """By id."""
    unreachable: tuple[str, ...] = ()
    """Members that could not be asked, and homes of which not all is known yet: there may be more
    sessions. None: these are all."""


@frozen
class PrincipalCounts:
    """All principals that have sessions."""

    counts: Mapping[str, int]
    """How many sessions each of them has."""
    unreachable: tuple[str, ...] = ()
    """As in ``SessionMatches``."""


@frozen
class EndedSessions:
    """What came of ending all sessions of a principal."""

    ended: int
    """How many were ended, as durably as was asked for."""
    unsure: int = 0
    """How many were found and could not be ended for certain in time: end all once more."""
    unreachable: tuple[str, ...] = ()
    """As in ``SessionMatches``: there may be sessions that were not found."""

    @property
    def is_complete(self) -> bool:
        """Whether no session of the principal is left, for certain."""
        return not (self.unsure or self.unreachable)


@frozen
class Sought:
    """What is asked for of many sessions."""

    index: bytes
    """The key of the attribute."""
    value: bytes
    """Packed; empty bytes for counts of all values."""
    namespace: str
    """Of which application; empty: the default one."""


@frozen
class Gathered:
    """The whole answer to a question."""

    records: dict[SessionId, Record] = field(factory=dict)
    """Fragments, aged as of the moment 0."""
    counts: dict[bytes, int] = field(factory=dict)
    missing: frozenset[str] = frozenset()
    """What may be known soon."""
    down: frozenset[str] = frozenset()

    @property
    def unreachable(self) -> tuple[str, ...]:
        """The names of all that may be lacking."""
        return tuple(sorted(self.missing | self.down))

    def in_order(self) -> list[SessionId]:
        """Return the ids in the order in which the sessions came to their principal."""
        return sorted(self.records, key=lambda each: (owned_since(self.records[each]), each))


def owned_since(record: Record) -> Stamp:
    """Return the stamp of a session's principal."""
    return entry_stamp(record.entries.get(PRINCIPAL, bytes(8)))


async def gather(backend: Backend, sought: Sought, deadline_ms: float | None = None) -> Gathered:
    """Ask for all pages of a question.

    Args:
        backend: is asked.
        sought: what is asked for.
        deadline_ms: until when, by the backend's clock; None: for ``QUERY_TIMEOUT_S``.

    Raises:
        UnknownIndexError: a node has no such index.
        SessionUnavailableError: nobody could be asked, or it takes too long. Definite.
    """
    deadline_ms = deadline_ms or backend.wall_ms() + QUERY_TIMEOUT_S * 1000
    records, counts, cursor = dict[SessionId, Record](), dict[bytes, int](), b""
    while True:
        query = Query(
            number=backend.next_number(),
            index=sought.index,
            value=sought.value,
            cursor=cursor,
            forwarded=False,
            namespace=sought.namespace,
        )
        match await backend.query(query):
            case Failed(_, _, reason):
                raise SessionUnavailableError(reason)
            case Matches(reason=reason) if reason:
                raise UnknownIndexError(reason)
            case page:
                pass
        fields = iter(page.flat)
        for session_id, portable in zip(fields, fields, strict=True):
            records[SessionId(session_id)] = Record.from_portable(portable, 0.0)
        _add_up(counts, page.counts)
        cursor = page.cursor
        if not cursor:
            return Gathered(records, counts, frozenset(page.missing), frozenset(page.unreachable))
        if backend.wall_ms() > deadline_ms:
            raise SessionUnavailableError(
                f"there are more sessions than could be listed in time, {len(records)} so far"
            )


def _add_up(counts: dict[bytes, int], rows: list[bytes | int]) -> None:
    fields = iter(rows)
    for value, number in zip(fields, fields, strict=True):
        assert isinstance(value, bytes)
        assert isinstance(number, int)
        counts[value] = counts.get(value, 0) + number


def summary_of(session_id: SessionId, record: Record, wall_ms: int) -> SessionSummary:
    """Return what a fragment says of a session's life.

    Args:
        session_id: which session.
        record: aged as of the moment 0.
        wall_ms: when it was asked for, in milliseconds since 1970.
    """
    created_ms = stamp_ms(entry_stamp(record.entries.get(CREATED, bytes(8))))
    accessed_ms = wall_ms + int(record.accessed_at * 1000) if record.accessed else created_ms
    max_idle, lifetime = record.max_idle_s, record.lifetime_s
    ends_ms = [accessed_ms + max_idle * 1000] if max_idle > 0 else []
    ends_ms += [created_ms + lifetime * 1000] if lifetime > 0 else []
    return SessionSummary(
        id=session_id.decode("ascii"),
        created_at=_moment(created_ms),
        last_accessed=_moment(accessed_ms),
        max_idle=max_idle,
        lifetime=lifetime,
        principal=unpack_principal(record.value(PRINCIPAL) or b""),
        expires_at=_moment(min(ends_ms)) if ends_ms else None,
    )


def _moment(ms: float) -> datetime:
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        return datetime.max.replace(tzinfo=UTC)
