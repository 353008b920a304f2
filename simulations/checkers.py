"""What clients may expect, by name of the promise; streamed, so that a long run keeps no history.

Each client writes rising versions under its own key of a session, so that a read tells which of
its writes are in force. What is expected is drawn from what the nodes claimed (receipts, answers),
never from what a simulator knows of their memory.

Rules:
- **durable**: once a change was acknowledged undegraded, no later read shows an older version, and
  no later answer says that the session is not there; until somebody tries to end it.
- **ended-is-final**: once an end was acknowledged undegraded, no later read finds the session.
- **read-your-writes** is the same as durable for the client that wrote; it is reported as such.
- Nothing is ever read that nobody wrote.
"""

from enum import StrEnum

from attrs import define, field, frozen

from simulations.history import Kind, Operation, Outcome


class Harm(StrEnum):
    """What a broken promise means to the user of a session."""

    LOST = "lost"
    """What was acknowledged is not there, or cannot have been written by anybody."""
    STALE = "stale"
    """An older version stands where a newer one was acknowledged."""
    RESURRECTED = "resurrected"
    """What had ended is there again."""


@frozen
class Violation:
    """A broken promise, and its story in one sentence."""

    promise: str
    story: str
    harm: Harm | None = None
    """None: it harms no session by itself."""
    session: str = ""
    writer: int | None = None
    """The client whose change is concerned; None: the session as a whole."""

    def __str__(self) -> str:
        return f"{self.promise}: {self.story}"


@define
class Known:
    """What the clients together know of one session."""

    acknowledged: dict[int, int] = field(factory=dict)
    """By client: the greatest version acknowledged undegraded."""
    attempted: dict[int, int] = field(factory=dict)
    created: bool = False
    """Its creation was acknowledged undegraded."""
    end_attempted: bool = False
    ended: bool = False


@frozen
class _Expectation:
    acknowledged: dict[int, int]
    must_exist: bool
    must_be_gone: bool


class Checker:
    """Judges operations as they are invoked and as they return."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []
        self.sessions: dict[str, Known] = {}
        self._expected: dict[int, _Expectation] = {}

    def on_invoked(self, operation: Operation) -> None:
        """Note what the operation may rely on, having begun now."""
        known = self.sessions.setdefault(operation.session, Known())
        self._expected[id(operation)] = _Expectation(
            dict(known.acknowledged), known.created and not known.end_attempted, known.ended
        )
        if operation.kind in (Kind.CREATE, Kind.SAVE):
            known.attempted[operation.client] = operation.version
        if operation.kind is Kind.END:
            known.end_attempted = True

    def on_returned(self, operation: Operation) -> None:
        """Judge the operation by what it was told."""
        expected = self._expected.pop(id(operation))
        known = self.sessions[operation.session]
        must_exist = expected.must_exist and not known.end_attempted
        match operation.kind:
            case Kind.FIND if operation.outcome is Outcome.OK:
                self._judge_find(operation, expected, must_exist, known)
            case Kind.CREATE | Kind.SAVE if operation.outcome is Outcome.OK:
                if expected.must_be_gone:
                    what = "changed a session that had ended"
                    self.report("ended-is-final", operation, what, Harm.RESURRECTED)
                if not operation.degraded:
                    known.acknowledged[operation.client] = operation.version
                    known.created = True
            case Kind.SAVE if operation.reason == "gone" and must_exist:
                self.report("durable", operation, "was told that a session is gone", Harm.LOST)
            case Kind.END if operation.outcome is Outcome.OK and not operation.degraded:
                known.ended = True
            case _:
                pass

    def on_unreadable(self, operation: Operation) -> None:
        """Judge a find that has failed for the last time: nobody will ask again."""
        known = self.sessions[operation.session]
        if known.created and not known.end_attempted:
            what = "could not read a session that nobody ended"
            self.report("durable", operation, what, Harm.LOST)

    def _judge_find(
        self, operation: Operation, expected: _Expectation, must_exist: bool, known: Known
    ) -> None:
        if not operation.found:
            if must_exist:
                what = "did not find a session that nobody ended"
                self.report("durable", operation, what, Harm.LOST)
            return
        if expected.must_be_gone:
            what = "found a session after its end"
            self.report("ended-is-final", operation, what, Harm.RESURRECTED)
        read = operation.read or {}
        for client, version in expected.acknowledged.items():
            seen = read.get(client, 0)
            if seen < version:
                promise = "read-your-writes" if client == operation.client else "durable"
                harm = Harm.STALE if seen else Harm.LOST
                story = f"read version {seen} of client {client} after {version} was acknowledged"
                self.report(promise, operation, story, harm, client)
        for client, seen in read.items():
            if seen > known.attempted.get(client, 0):
                story = f"read version {seen} of client {client}, which was never written"
                self.report("durable", operation, story, Harm.LOST, client)

    def report(
        self,
        promise: str,
        operation: Operation,
        what: str,
        harm: Harm | None = None,
        writer: int | None = None,
    ) -> None:
        """Add a violation by ``operation``."""
        story = (
            f"client {operation.client} {what}, session {operation.session}, asked at "
            f"{operation.node} at {operation.invoked:.3f} s"
        )
        self.violations.append(Violation(promise, story, harm, operation.session, writer))
