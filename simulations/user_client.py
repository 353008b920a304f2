"""A client as the tests of applications use it: ``client.sessions``, in a simulated ring.

Rules:
- It is what nodes and clients of real rings offer, over the same code; only the requests go into
  the simulation.
- Each of its saves carries one entry more, with a version that rises. By that every answer is
  judged like those of the built-in clients; applications never see it, and no attribute of theirs
  can have its name, which is no UTF-8.
- What it reads of a member's own copy may be old: that is not judged.
- After a change whose outcome is unknown no later version is demanded of a session: the lost one
  may still arrive, and be the one that counts.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from math import inf
from random import Random
from typing import Any, Final

import msgpack
from attrs import evolve

from node.sections import SessionsConfig
from node.session import Session
from node.sessions import SessionRepository, Sessions
from node.terms import Terms
from node.writers import Writers
from ring import Record, SessionId
from ring.entry import LIFETIME, MAX_IDLE
from ring.identity import new_session_id
from ring.messages import (
    Absent,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Reply,
    Request,
    Rotate,
    Save,
    Saved,
)
from ring.questions import Matches, Query
from ring.state import state_of
from simulations.asking import DOWN_PAUSE_S, OPERATION_LIMIT_S, note_outcome, route
from simulations.ground import Answer, Ground
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.process import WALL_MS
from simulations.tasks import Later

_SLEEP_MIN_S: Final = 0.001
"""Whoever waits for nothing, again and again, waits for time to pass."""
_STATES_MAX: Final = 1024
_MARK: Final = b"\xff"
"""How the keys of the clients' marks begin."""


class Client:
    """One client of a simulated ring.

    Args:
        number: names it, from 0.
        ground: where it is.
        judge: is told what it asks for and is told.
        versions: numbers for its saves, which it shares with all others.
        random: for ids.
    """

    sessions: Sessions

    def __init__(
        self, number: int, ground: Ground, judge: Judge, versions: Iterator[int], random: Random
    ) -> None:
        self.number = number
        """Which client it is, from 0."""
        self._ground = ground
        self._judge = judge
        self._versions = versions
        self._random = random
        self._requests = 0
        self._is_changing = False
        self._states: dict[int, int] = {}
        """By the state that an application sees, the one with the marks of the clients."""
        self.writers = Writers(random)
        """See ``Backend``."""
        self.sessions = SessionRepository(self, SessionsConfig())
        self.on_receipt: Callable[[str], None] = _nobody
        """Is told the node that has just given an undegraded receipt."""

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self._ground.now

    def opened(self, session_id: SessionId, record: Record) -> Session:
        """Return a session as a member has it, to look at."""
        found = Found(0, self._hidden(record.portable(self.now)))
        return Session(self, session_id, found, Terms.of(SessionsConfig()))

    async def sleep(self, seconds: float) -> None:
        """Let so many simulated seconds pass, a thousandth at least."""

        def begin(go_on: Callable[[None], None]) -> None:
            self._ground.after(max(_SLEEP_MIN_S, seconds), lambda: go_on(None))

        await Later[None](begin)

    # --- Backend ---

    def next_number(self) -> int:
        """See ``Backend``."""
        self._requests += 1
        return self._requests

    def new_session_id(self, home: str | None = None, namespace: str = "") -> SessionId:
        """See ``Backend``."""
        homes = self._ground.running()
        home = home or self._random.choice(homes or ["a"])
        return new_session_id(home, self._random, namespace)

    def wall_ms(self) -> int:
        """See ``Backend``."""
        return WALL_MS + int(self.now * 1000)

    def read(self, session_id: SessionId, touch: bool) -> Found | Absent | None:
        """See ``Backend``; a client has no memory of its own."""
        return None

    async def perform(self, request: Request) -> Found | Absent | Saved | Failed:
        """See ``Backend``. Of two changes at a time nobody could say which came first."""
        if isinstance(request, Find):
            return await self._ask(request)
        if self._is_changing:
            raise RuntimeError(
                f"client {self.number} is to change something before it is told what became of "
                "another change: what goes on at the same time is for several clients"
            )
        self._is_changing = True
        try:
            return await self._ask(request)
        finally:
            self._is_changing = False

    async def _ask(self, request: Request) -> Found | Absent | Saved | Failed:
        if isinstance(request, Find) and request.local:
            return self._shown(
                request, await self._answer(route(self._ground, request.session_id), request)
            )
        operation, request = self._noted(request)

        reply = await self._answer(operation.node, request)
        self._judge_reply(operation, reply)
        return self._shown(request, reply)

    async def _answer(self, node: str, request: Request) -> Reply | None:
        def begin(go_on: Callable[[Reply | None], None]) -> None:
            self._submit(node, request, once(go_on))

        return await Later[Reply | None](begin)

    def _shown(self, request: Request, reply: Reply | None) -> Found | Absent | Saved | Failed:
        """Return what the application is told."""
        if isinstance(reply, Found):
            return evolve(reply, number=request.number, portable=self._hidden(reply.portable))
        if reply is None:
            return Failed(request.number, Failure.OUTCOME_UNKNOWN, "there was no answer in time")
        if isinstance(reply, Saved) and reply.holders and not reply.degraded:
            self.on_receipt(reply.holders[0])
        assert isinstance(reply, Absent | Saved | Failed), "no node sends a redirect to a client"
        return reply

    def _submit(self, node: str, request: Request, go_on: Callable[[Reply | None], None]) -> None:
        if self._ground.submit(node, lambda number: evolve(request, number=number), go_on):
            self._ground.after(OPERATION_LIMIT_S, lambda: go_on(None))
        else:
            unavailable = Failed(request.number, Failure.UNAVAILABLE, "no node answers")
            self._ground.after(DOWN_PAUSE_S, lambda: go_on(unavailable))

    async def query(self, query: Query) -> Matches | Failed:
        """See ``Backend``."""

        def begin(go_on: Callable[[Answer | None], None]) -> None:
            node = (self._ground.running() or self._ground.alive() or ["a"])[0]
            first = once(go_on)
            if self._ground.query(node, lambda number: evolve(query, number=number), first):
                self._ground.after(OPERATION_LIMIT_S, lambda: first(None))
            else:
                self._ground.after(DOWN_PAUSE_S, lambda: first(None))

        answer = await Later[Answer | None](begin)
        return answer or Failed(query.number, Failure.UNAVAILABLE, "no node answers")

    async def perform_all(
        self, works: Sequence[Callable[[], Awaitable[None]]], at_once_max: int
    ) -> None:
        """See ``Backend``; one after the other, since changes of one client are in order."""
        for work in works:
            await work()

    async def pause(self, seconds: float) -> None:
        """See ``Backend``."""
        await self.sleep(seconds)

    # --- What the judge sees ---

    def _noted(self, request: Request) -> tuple[Operation, Request]:
        """Return what the judge is to know of a request, and the request with its mark."""
        session_id = request.session_id
        kind = {Find: Kind.FIND, End: Kind.END, Rotate: Kind.ROTATE}.get(type(request), Kind.SAVE)
        version = next(self._versions)
        if isinstance(request, Save | Rotate):
            self._note_life(request)
            mark = (_MARK + b"%d" % self.number, msgpack.packb(version))
            request = evolve(request, changes=(*request.changes, mark))
        if isinstance(request, Save | Rotate):
            expected = self._states.get(request.expected, request.expected)
            request = evolve(request, expected=expected)
        if isinstance(request, Save) and request.create:
            kind = Kind.CREATE
        node = route(self._ground, session_id)
        operation = Operation(self.number, kind, session_id.decode(), node, self.now, version)
        if isinstance(request, Rotate):
            operation.new_session, operation.attempt = request.new_id.decode(), 1
        self._judge.on_invoked(operation)
        return operation, request

    def _note_life(self, request: Save | Rotate) -> None:
        """Tell the judge how long a session may live, should these changes count."""
        changes, session = dict(request.changes), request.session_id.decode()
        max_idle_s = _seconds(changes[MAX_IDLE]) if MAX_IDLE in changes else None
        if session not in self._judge.sessions:
            self._judge.on_created(session, inf if max_idle_s is None else max_idle_s)
            self._judge.sessions[session].family.created_at = self.now
        self._judge.sessions[session].family.may_live(max_idle_s, _seconds(changes.get(LIFETIME)))

    def _judge_reply(self, operation: Operation, reply: Reply | None) -> None:
        record = note_outcome(operation, reply, self.now)
        if record is not None:
            operation.read = self._versions_in(record)
        if operation.outcome is Outcome.UNKNOWN and operation.kind is not Kind.FIND:
            self._judge.on_unknown(operation)
        self._judge.on_returned(operation)

    @staticmethod
    def _versions_in(record: Record) -> dict[int, int]:
        values = {key: record.value(key) for key in _marks_in(record)}
        return {int(key[1:]): msgpack.unpackb(value) for key, value in values.items() if value}

    def _hidden(self, portable: bytes) -> bytes:
        """Return a record without the marks of the clients."""
        record = Record.from_portable(portable, self.now)
        state = state_of(record)
        for key in _marks_in(record):
            del record.entries[key]
        hidden = record.portable(self.now)
        self._states[state_of(Record.from_portable(hidden, self.now))] = state
        if len(self._states) > _STATES_MAX:
            del self._states[next(iter(self._states))]
        return hidden


def _marks_in(record: Record) -> list[bytes]:
    return [key for key in record.entries if key.startswith(_MARK)]


def _seconds(packed: bytes | None) -> float:
    """Return what ``max_idle`` or ``lifetime`` says; inf: never."""
    seconds = msgpack.unpackb(packed) if packed else 0.0
    return float(seconds) if seconds > 0 else inf


def _nobody(node: str) -> None:
    """Nobody wants to know."""


def once(go_on: Callable[[Any], None]) -> Callable[[Any], None]:
    """Return a function that goes on at its first call, and not again."""
    called = False

    def first(reply: object) -> None:
        nonlocal called
        if not called:
            called = True
            go_on(reply)

    return first
