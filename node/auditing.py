"""What people ask about sessions: why one is as it is, which there are, and how many.

Rules:
- Nothing here counts as an access, or changes anything.
- Ids are secrets: whoever is told of sessions holds the ring's secret, and has to keep them.
- A page is asked for when the one before was taken, so a list of any length costs little memory.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import trio
from attrs import evolve, frozen

from node.attributes import Attributes
from node.errors import AttributeDecodeError
from node.writers import Writers
from ring.clock import stamp_ms
from ring.errors import SessionUnavailableError
from ring.identity import SessionId, home_of, parse_session_id
from ring.inquiry import Account, Inquiry, Inspect, Inspected, Row, Story, Why
from ring.journal import Note
from ring.messages import Failed, Failure
from ring.record import Record
from ring.table import SHARDS

ASKED_AGAIN_S: Final = 0.1
"""The pause before a question is asked again that nobody could answer."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS: Final = 253_402_300_799_000
"""The last second that a datetime can name."""


@frozen
class HistoryNote:
    """Something that happened to a session, once or several times in a row."""

    what: str
    """``created``, ``changed``, ``merged``, ``moved``, ``expired``, ``ended``, ``rotated``,
    ``continued``, ``released``, ``set aside`` or ``accessed``: see ``ring.journal.Happening``."""
    member: str | None
    """Where; None: only the record tells that it happened."""
    at: datetime
    """When it happened first, in UTC."""
    until: datetime
    """When it happened last."""
    times: int
    """How often, from 1."""
    other: str | None
    """The member whose state was merged, or who said that others had the session again; the id
    under which a rotated session goes on, or had before."""


@frozen
class History:
    """What the members of a ring remember of one session, in order."""

    notes: tuple[HistoryNote, ...]
    """Empty: nobody who was asked knows of it."""
    unheard: tuple[str, ...]
    """The members that could not be asked: they may know more."""


@frozen
class InspectedSession:
    """One session, as the member sees it that acts for it."""

    id: str
    """A secret."""
    home: str
    acting: str
    """Who answers for it now."""
    state: str
    """``alive``, ``partial`` (the rest is on its way), ``expired``, ``ended`` or ``rotated``."""
    bytes: int
    """What it takes in memory there."""
    attributes: int
    created_at: datetime | None
    """None: not known."""
    last_accessed: datetime | None
    expires_at: datetime | None
    """None: it does not expire, or is over."""
    holders: tuple[str, ...]
    """The members that are known to have it as it is."""
    principal: str | None
    names: tuple[str, ...] | None
    """Of its attributes, if it was asked for by its id; None otherwise, or if they are too many."""
    values: Mapping[str, Any] | None
    """Its attributes, if that was asked for; an `AttributeDecodeError` in place of what cannot be
    decoded here."""


@frozen
class HomeCount:
    """How many sessions a home has."""

    home: str
    acting: str
    sessions: int
    """Those that have expired count until they are removed."""
    ended: int
    """Ends that are remembered."""


class Audit(Protocol):
    """What people ask a node, or a client of the ring; both have it."""

    writers: Writers

    @property
    def homes(self) -> tuple[str, ...]:
        """The homes that sessions have, in ring order: members, and those that have departed."""

    def next_number(self) -> int:
        """Return a number that no request here has had."""

    async def inquire(self, question: Inquiry) -> Account | Failed:
        """Return what the ring tells, before the deadline of a request."""

    async def why(self, session_id: str) -> History:
        """Return what has happened to a session, also after its end.

        Each member remembers in memory, of a bounded number of sessions, what has happened to them
        there. After a restart of a member, and of what was long ago, it is only known what the
        record tells: creation and last access, and when and by whom the session was ended.

        Raises:
            ValueError: ``session_id`` is not the id of a session.
            SessionUnavailableError: nobody can be asked.
        """
        parsed = _parsed(session_id)
        if home_of(parsed) not in self.homes:
            return History((), ())
        story = await self._told(Why(self.next_number(), parsed))
        assert isinstance(story, Story)
        return History(tuple(map(_note, story.notes)), story.unheard)

    async def inspect(
        self,
        *session_ids: str,
        home: str | None = None,
        ended: bool = False,
        values: bool = False,
    ) -> AsyncIterator[InspectedSession]:
        """Yield the sessions of the ring, home by home, as those see them who act for them.

        A session that comes or goes meanwhile is among them or not.

        Args:
            session_ids: only these, with the names of their attributes; who is not there is left
                out.
            home: only the sessions of this home.
            ended: also those that have ended and are remembered.
            values: of the sessions with these ids, the values of their attributes as well.

        Raises:
            ValueError: one is not the id of a session, there is no such home, or values are asked
                for without ids.
            SessionUnavailableError: nobody who acts for a home can be asked.
        """
        if values and not session_ids:
            raise ValueError("values are told of few sessions only; pass their ids as well")
        for parsed in [_parsed(each) for each in session_ids]:
            if home_of(parsed) in self.homes and home in (None, home_of(parsed)):
                question = Inspect(
                    self.next_number(), home_of(parsed), only=parsed, with_values=values
                )
                page = await self._page(question)
                for row in page.rows:
                    yield self._summary(page, row, question)
        if session_ids:
            return
        for each in self._homes_named(home):
            question = Inspect(self.next_number(), each, with_ended=ended)
            while question.shard < SHARDS:
                page = await self._page(question)
                for row in page.rows:
                    yield self._summary(page, row, question)
                question = evolve(
                    question, number=self.next_number(), shard=page.shard, after=page.after
                )

    async def count_sessions(self) -> tuple[HomeCount, ...]:
        """Return how many sessions there are, by home in ring order; it costs next to nothing.

        Raises:
            SessionUnavailableError: nobody who acts for a home can be asked.
        """
        counts = list[HomeCount]()
        for home in self.homes:
            page = await self._page(Inspect(self.next_number(), home, rows_max=0))
            counts.append(HomeCount(home, page.acting, page.sessions, page.ended))
        return tuple(counts)

    def _homes_named(self, home: str | None) -> tuple[str, ...]:
        if home is None:
            return self.homes
        if home not in self.homes:
            raise ValueError(f"home is {home!r}; use one of {', '.join(self.homes)}")
        return (home,)

    async def _page(self, question: Inspect) -> Inspected:
        page = await self._told(question)
        assert isinstance(page, Inspected)
        return page

    async def _told(self, question: Inquiry) -> Account:
        account = await self.inquire(question)
        if isinstance(account, Failed):
            raise SessionUnavailableError(account.reason)
        return account

    def _summary(self, page: Inspected, row: Row, question: Inspect) -> InspectedSession:
        names: tuple[str, ...] | None = None
        values: dict[str, Any] | None = None
        if row.portable:
            attributes = Attributes(
                dict(Record.from_portable(row.portable, 0.0).entries), self.writers
            )
            names = tuple(attributes)
            if question.with_values:
                values = {name: _value(attributes, name) for name in names}
        return InspectedSession(
            id=row.session_id.decode("ascii"),
            home=question.home,
            acting=page.acting,
            state=row.state.name.lower(),
            bytes=row.size,
            attributes=row.attributes,
            created_at=_when(stamp_ms(row.created)),
            last_accessed=_when(row.accessed_ms),
            expires_at=_when(row.due_ms),
            holders=row.holders,
            principal=row.principal or None,
            names=names,
            values=values,
        )


async def ask_again_until(
    deadline: float,
    inquire: Callable[[Inquiry], Awaitable[Account | Failed]],
    question: Inquiry,
    next_number: Callable[[], int],
) -> Account | Failed:
    """Ask until there is an answer, or ``deadline`` (trio's): members may be comparing."""
    while not is_final(answer := await inquire(question)):
        if trio.current_time() + ASKED_AGAIN_S > deadline:
            break
        await trio.sleep(ASKED_AGAIN_S)
        question = evolve(question, number=next_number())
    return answer


def is_final(answer: Account | Failed) -> bool:
    """Return whether a question need not be asked again: it was answered, or never will be."""
    return not isinstance(answer, Failed) or answer.failure is not Failure.UNAVAILABLE


def _parsed(session_id: object) -> SessionId:
    parsed = parse_session_id(session_id) if isinstance(session_id, str) else None
    if parsed is None:
        # What is no str is no secret, and is shown.
        shown = "that" if isinstance(session_id, str) else repr(session_id)
        raise ValueError(f"{shown} is not the id of a session: home.random, as session.id gives it")
    return parsed


def _note(note: Note) -> HistoryNote:
    first, last = _when(stamp_ms(note.first)), _when(stamp_ms(note.last))
    return HistoryNote(
        what=note.happening.name.lower().replace("_", " "),
        member=note.member or None,
        at=first or _EPOCH,
        until=last or _EPOCH,
        times=max(1, note.times),
        other=note.other.decode("ascii", "backslashreplace") or None,
    )


def _when(ms: int) -> datetime | None:
    return _EPOCH + timedelta(milliseconds=ms) if 0 < ms <= _LAST_MS else None


def _value(attributes: Attributes, name: str) -> Any:
    try:
        return attributes[name]
    except AttributeDecodeError as error:
        return error
