"""A backend that is one dict of records: what sessions are tested against."""

from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from itertools import count
from random import Random
from typing import Any, TypeVar

import trio

from node.sections import SessionsConfig
from node.session import Session
from node.sessions import SessionRepository
from node.writers import Writers
from ring.clock import Stamp
from ring.entry import CREATED, PRINCIPAL, EndReason
from ring.identity import SessionId, namespace_of
from ring.messages import (
    Absent,
    Durability,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Request,
    Rotate,
    Save,
    Saved,
)
from ring.questions import Matches, Query
from ring.record import Record
from ring.state import is_as_expected
from ring.structured import SHARD, entries_for, why_not_written

Reply = Found | Absent | Saved | Failed
T = TypeVar("T")


class Shelf:
    """Keeps every record, stamps every change with the next number, and remembers the requests.

    ``replies`` are given instead of what would be true, the first one first; a failure in them
    that is indefinite takes effect all the same. Those of ``held_back`` wait for their event.
    """

    def __init__(self) -> None:
        self.records: dict[SessionId, Record] = {}
        self.writers = Writers(Random(0))
        self.asked: list[Request] = []
        self.replies: deque[Reply | Failure] = deque()
        self.held_back: deque[trio.Event] = deque()
        self.reads_locally = False
        self.questions: list[Query] = []
        self.missing: deque[tuple[tuple[str, ...], tuple[str, ...]]] = deque()
        """What the next answers to questions say is missing and unreachable; then nothing is."""
        self.wall = 1_000_000_000_000
        self._stamps = count(self.wall << 16)
        self._numbers = count(1)
        self._ids = count(1)

    def next_number(self) -> int:
        return next(self._numbers)

    def new_session_id(self, home: str | None = None, namespace: str = "") -> SessionId:
        place = f"{home or 'a'}.{namespace}." if namespace else f"{home or 'a'}."
        return SessionId(place.encode() + b"%022d" % next(self._ids))

    def wall_ms(self) -> int:
        return self.wall

    def read(self, session_id: SessionId, touch: bool) -> Found | Absent | None:
        return self._find(session_id, 0) if self.reads_locally else None

    async def perform(self, request: Request) -> Reply:
        self.asked.append(request)
        reply = self._carry_out(request)
        if self.held_back:
            await self.held_back.popleft().wait()
        return reply

    async def query(self, query: Query) -> Matches | Failed:
        self.questions.append(query)
        planned = self.replies.popleft() if self.replies else None
        if isinstance(planned, Failure):
            return Failed(query.number, planned, f"planned: {planned.name}")
        flat, counts = list[bytes](), list[bytes | int]()
        for session_id, record in self.records.items():
            of_it = namespace_of(session_id) == query.namespace
            value = record.value(query.index) if of_it else None
            if value is not None and not query.value:
                counts += (value, 1)
            elif value is not None and value == query.value:
                flat += (session_id, record.portable(0.0, (PRINCIPAL, CREATED)))
        missing, down = self.missing.popleft() if self.missing else ((), ())
        return Matches(query.number, flat, counts, b"", ("a",), missing, down, "")

    async def perform_all(
        self, works: Sequence[Callable[[], Awaitable[None]]], at_once_max: int
    ) -> None:
        for work in works:
            await work()

    async def pause(self, seconds: float) -> None:
        self.wall += int(seconds * 1000)

    def _carry_out(self, request: Request) -> Reply:
        planned = self.replies.popleft() if self.replies else None
        if isinstance(planned, Failure):
            planned = Failed(request.number, planned, f"planned: {planned.name}")
        indefinite = (Failure.OUTCOME_UNKNOWN, Failure.NOT_REPLICATED)
        if planned is None or (isinstance(planned, Failed) and planned.failure in indefinite):
            true = self._truth(request)
            return planned or true
        return planned

    def _truth(self, request: Request) -> Reply:
        match request:
            case Find(number, session_id):
                return self._find(session_id, number)
            case Save():
                return self._save(request)
            case End(number, session_id):
                record = self.records.setdefault(session_id, Record())
                record.end(EndReason.DELETED, "a", self._stamp())
                return Saved(number, ("a", "b"), (), degraded=False)
            case Rotate():
                return self._rotate(request)

    def _rotate(self, request: Rotate) -> Saved | Failed:
        old = self.records.get(request.session_id)
        if old is not None and not old.ended:
            if not is_as_expected(old, request.expected):
                return Failed(request.number, Failure.CONFLICT, "somebody has changed the session")
            self.records[request.new_id] = Record()
            self.records[request.new_id].merge(old)
            old.end(EndReason.ROTATED, "a", self._stamp(), new_id=request.new_id)
        if request.new_id not in self.records:
            return Failed(request.number, Failure.GONE, "the session is gone")
        save = Save(
            request.number,
            request.new_id,
            False,
            request.changes,
            request.durability,
            request.refuse,
            False,
        )
        return self._save(save)

    def _find(self, session_id: SessionId, number: int) -> Found | Absent:
        record = self.records.get(session_id)
        if record is None or record.ended:
            return Absent(number)
        return Found(number, record.portable(0.0))

    def _save(self, request: Save) -> Saved | Failed:
        record = self.records.get(request.session_id)
        if record is None and request.create:
            record = self.records[request.session_id] = Record()
            record.make_whole()
        if record is None or record.ended:
            return Failed(request.number, Failure.GONE, "the session is gone")
        if not is_as_expected(record, request.expected):
            return Failed(request.number, Failure.CONFLICT, "somebody has changed the session")
        stamp = self._stamp()
        reason = why_not_written(record.entries, request.changes)
        if reason is not None:
            return Failed(request.number, Failure.INVALID, reason)
        for key, entry in entries_for(record.entries, request.changes, stamp, self._stamp()):
            record.put(key, entry)
        return Saved(request.number, ("a", "b"), ("a",), degraded=False)

    def _stamp(self) -> Stamp:
        return Stamp(next(self._stamps))

    def saved_keys(self) -> list[list[bytes]]:
        """Return the keys of each save that was asked for, without the reserved ones."""
        return [
            [key for key, _ in request.changes if not key.startswith(b"\0")]
            for request in self.asked
            if isinstance(request, Save)
        ]


def repository(
    shelf: Shelf, durability: Durability = Durability.BACKUP, **config: Any
) -> SessionRepository:
    """Return a repository over ``shelf``, with this configuration of sessions."""
    return SessionRepository(shelf, SessionsConfig(**config), durability)


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run what needs not wait, without an event loop; it fails if it waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    raise AssertionError("it waited")


def saved(shelf: Shelf, **attributes: object) -> Session:
    """Return a session that was saved with these attributes, and forget the requests."""
    session = repository(shelf).create()
    session.update(attributes)
    at_once(session.save())
    shelf.asked.clear()
    return session


def found(shelf: Shelf, session: Session) -> Session:
    """Return another copy of the same session, and forget the requests."""
    copy = at_once(repository(shelf).find(session.id))
    assert copy is not None
    shelf.asked.clear()
    return copy


def last_save(shelf: Shelf) -> Save:
    request = shelf.asked[-1]
    assert isinstance(request, Save)
    return request


def stocked(shelf: Shelf) -> Session:
    """Return a session with a map of two, a set of two, and a counter that stands at 2."""
    session = saved(shelf)
    session.map("cart").update(apple=1, pear=[1])
    session.set("rooms").update(["attic", "lobby"])
    session.counter("visits").add(2)
    at_once(session.save())
    return found(shelf, session)


def shards(shelf: Shelf, session: Session) -> int:
    entries = shelf.records[SessionId(session.id.encode())].entries
    return sum(1 for key in entries if key[0] == SHARD)
