"""A client as the tests of applications use it: ``client.sessions``, in a simulated ring.

Rules:
- It is what nodes and clients of real rings offer, over the same code; only the requests go into
  the simulation.
- Each of its saves carries one entry more, with a version that rises. By that every answer is
  judged like those of the built-in clients; applications never see it, and no attribute of theirs
  can have its name, which is no UTF-8.
- After a change whose outcome is unknown no later version is demanded of a session: the lost one
  may still arrive, and be the one that counts.
"""

from collections.abc import Callable, Iterator
from math import inf
from random import Random
from typing import Final

import msgpack
from attrs import evolve

from node.receipts import Wish
from node.sections import SessionsConfig
from node.session import Session, Terms
from node.sessions import SessionRepository, Sessions
from node.writers import Writers
from ring import Record, SessionId
from ring.entry import LIFETIME, MAX_IDLE
from ring.identity import new_session_id
from ring.messages import (
    Absent,
    Durability,
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
from simulations.asking import DOWN_PAUSE_S, OPERATION_LIMIT_S, note_outcome, route
from simulations.ground import Ground
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.process import WALL_MS
from simulations.tasks import Later

_SLEEP_MIN_S: Final = 0.001
"""Whoever waits for nothing, again and again, waits for time to pass."""
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
        config, wish = SessionsConfig(), Wish(Durability.BACKUP, "accept")
        terms = Terms(wish, wish, config.session_bytes_max, config.attribute_bytes_max)
        found = Found(0, self._hidden(record.portable(self.now)))
        return Session(self, session_id, found, terms)

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

    def new_session_id(self, home: str | None = None) -> SessionId:
        """See ``Backend``."""
        homes = self._ground.running()
        return new_session_id(home or self._random.choice(homes or ["a"]), self._random)

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
        operation, request = self._noted(request)

        def begin(go_on: Callable[[Reply | None], None]) -> None:
            self._submit(operation.node, request, once(go_on))

        reply = await Later[Reply | None](begin)
        self._judge_reply(operation, reply)
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
        for key in _marks_in(record):
            del record.entries[key]
        return record.portable(self.now)


def _marks_in(record: Record) -> list[bytes]:
    return [key for key in record.entries if key.startswith(_MARK)]


def _seconds(packed: bytes | None) -> float:
    """Return what ``max_idle`` or ``lifetime`` says; inf: never."""
    seconds = msgpack.unpackb(packed) if packed else 0.0
    return float(seconds) if seconds > 0 else inf


def _nobody(node: str) -> None:
    """Nobody wants to know."""


def once(go_on: Callable[[Reply | None], None]) -> Callable[[Reply | None], None]:
    """Return a function that goes on at its first call, and not again."""
    called = False

    def first(reply: Reply | None) -> None:
        nonlocal called
        if not called:
            called = True
            go_on(reply)

    return first
