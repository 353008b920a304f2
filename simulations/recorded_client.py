"""A client of a real ring, of which everything is recorded: judged, counted, and written down.

Rules:
- It is the shipped client: an answer is what an application gets.
- Each client writes rising versions under its own key of a session.
- After an unknown outcome it does not write to that session again: the lost request might still
  arrive, and overwrite what came after it.
"""

import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import IO, Final

import trio
from attrs import asdict

from node import Client, Receipt, Session
from ring.errors import (
    OutcomeUnknownError,
    ReplicationTimeoutError,
    SessionEnded,
    SessionUnavailableError,
)
from ring.identity import SessionId, home_of
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.ring_tally import Tally

KEY_PREFIX: Final = "client-"
ROTATION_ATTEMPTS_MAX: Final = 5

_asking: Final[ContextVar[Operation]] = ContextVar("_asking")
"""What the task asks for just now."""


class History:
    """Takes every operation of a run: for the checker, the counts, and (if kept) a file.

    Args:
        judge: judges.
        tally: counts.
        file: gets a line of JSON for each operation, or None.
    """

    def __init__(self, judge: Judge, tally: Tally, file: IO[str] | None) -> None:
        self.judge = judge
        self.tally = tally
        self._file = file
        self._began = trio.current_time()
        self._first_ids: dict[str, str] = {}

    def now(self) -> float:
        """Return the seconds since the beginning of the run."""
        return trio.current_time() - self._began

    def first_id(self, session_id: str) -> str:
        """Return the id under which a session was created."""
        return self._first_ids.get(session_id, session_id)

    def note_rotation(self, old_id: str, new_id: str) -> None:
        """Note under which id a session has gone on."""
        self._first_ids[new_id] = self.first_id(old_id)

    def on_invoked(self, operation: Operation) -> None:
        """Take an operation that begins."""
        self.judge.on_invoked(operation)

    def on_returned(self, operation: Operation) -> None:
        """Take an operation that has returned."""
        operation.returned = self.now()
        self.judge.on_returned(operation)
        self.tally.add_operation(operation)
        self.tally.excused = self.judge.excused
        self.count_violations()
        if self._file is not None:
            self._file.write(json.dumps(asdict(operation)) + "\n")

    def count_violations(self) -> None:
        """Count what the checker has found since."""
        self.tally.add_violations(self.judge.violations)
        self.judge.violations.clear()


class RecordedClient:
    """One client, numbered; ``versions`` are shared by all.

    Args:
        number: which client it is.
        client: the connection that it uses.
        history: takes what it does.
        versions: rises.
    """

    def __init__(
        self, number: int, client: Client, history: History, versions: Iterator[int]
    ) -> None:
        self.number = number
        self._client = client
        self._history = history
        self._versions = versions
        self._unanswered: set[str] = set()
        client.on_asked = self._note_asked

    def may_write(self, session_id: str) -> bool:
        """Whether all its earlier writes to this session were answered."""
        return self._history.first_id(session_id) not in self._unanswered

    async def create(self, note_id: Callable[[str], None]) -> Operation | None:
        """Create a session; None: no node could be reached, and nothing was asked for.

        Args:
            note_id: is told the id before anything is sent, since a creation whose outcome is
                unknown may have happened.
        """
        try:
            session = self._client.sessions.create()
        except SessionUnavailableError:
            return None
        note_id(session.id)
        return await self._write(Kind.CREATE, session)

    async def find(self, session_id: str) -> tuple[Operation, Session | None]:
        """Read a session."""
        operation = self._invoke(Kind.FIND, session_id)
        session = None
        try:
            session = await self._client.sessions.find(session_id)
        except SessionUnavailableError as error:
            operation.outcome, operation.reason = Outcome.FAILED, str(error)
        else:
            operation.outcome, operation.found = Outcome.OK, session is not None
        if session is not None:
            operation.read = {
                int(key.removeprefix(KEY_PREFIX)): version
                for key, version in session.items()
                if key.startswith(KEY_PREFIX)
            }
        self._history.on_returned(operation)
        return operation, session

    async def save(self, session: Session) -> Operation:
        """Change a session that was found."""
        return await self._write(Kind.SAVE, session)

    async def rotate(self, session: Session) -> Operation:
        """Change a session that was found, and give it a new id; repeat it until that is known."""
        old_id = session.id
        operation = self._invoke(Kind.ROTATE, old_id, next(self._versions))
        session[f"{KEY_PREFIX}{self.number}"] = operation.version
        self._unanswered.add(self._history.first_id(old_id))
        may_be_in_force = False
        for _ in range(ROTATION_ATTEMPTS_MAX):
            try:
                self._take_receipt(operation, await session.rotate_id())
            except (SessionUnavailableError, SessionEnded, ReplicationTimeoutError) as error:
                self._take_error(operation, error)
                may_be_in_force |= operation.outcome is Outcome.UNKNOWN
            if session.id != old_id or not may_be_in_force:
                break
        if operation.outcome is not Outcome.OK and may_be_in_force:
            operation.outcome = Outcome.UNKNOWN
        else:
            self._unanswered.discard(self._history.first_id(old_id))
        if session.id != old_id:
            self._history.note_rotation(old_id, session.id)
            operation.new_session = session.id
        self._history.on_returned(operation)
        return operation

    async def end(self, session_id: str) -> Operation:
        """End a session."""
        operation = self._invoke(Kind.END, session_id)
        try:
            self._take_receipt(operation, await self._client.sessions.end(session_id))
        except (SessionUnavailableError, SessionEnded, ReplicationTimeoutError) as error:
            self._take_error(operation, error)
        self._history.on_returned(operation)
        return operation

    async def _write(self, kind: Kind, session: Session) -> Operation:
        operation = self._invoke(kind, session.id, next(self._versions))
        session[f"{KEY_PREFIX}{self.number}"] = operation.version
        first_id = self._history.first_id(session.id)
        self._unanswered.add(first_id)
        try:
            self._take_receipt(operation, await session.save())
        except (SessionUnavailableError, SessionEnded, ReplicationTimeoutError) as error:
            self._take_error(operation, error)
        if operation.outcome is not Outcome.UNKNOWN:
            self._unanswered.discard(first_id)
        self._history.on_returned(operation)
        return operation

    def _invoke(self, kind: Kind, session_id: str, version: int = 0) -> Operation:
        home = home_of(SessionId(session_id.encode()))
        operation = Operation(
            self.number, kind, session_id, home, self._history.now(), version=version
        )
        if kind is Kind.ROTATE:
            operation.new_session = f"{session_id} rotated by {self.number}, {version}"
        self._history.on_invoked(operation)
        _asking.set(operation)
        return operation

    @staticmethod
    def _note_asked(member: str) -> None:
        """Note who is asked: whoever was asked last has given the answer."""
        _asking.get().node = member

    def _take_receipt(self, operation: Operation, receipt: Receipt) -> None:
        operation.outcome, operation.degraded = Outcome.OK, receipt.degraded
        operation.holders, operation.on_disk = receipt.holders, receipt.on_disk

    def _take_error(self, operation: Operation, error: Exception) -> None:
        match error:
            case OutcomeUnknownError() | ReplicationTimeoutError():
                operation.outcome, operation.reason = Outcome.UNKNOWN, str(error)
            case SessionEnded():
                operation.outcome, operation.reason = Outcome.FAILED, "gone"
            case _:
                operation.outcome, operation.reason = Outcome.FAILED, str(error)
