"""What applications may expect to be told of sessions, judged as it streams: the promise "events".

Rules:
- A creation, an end and a rotation that were acknowledged undegraded are announced by some node, at
  the latest when the ring has rested, unless faults have taken more than the receipt covers.
- No process is told the same twice. Where nothing but planned stops happens, nobody is.
- What is announced as created was created, under that id.
- With an end comes the session as it was before: all that was acknowledged before the end was
  asked for, as far as it would have to be read by then.
- A session that has expired may be ended: then one of both is announced. An end of an id that was
  rotated ends what that has become, and is announced for that.
"""

from collections.abc import Iterable

from attrs import define, field

from ring import Record
from ring.announcements import Announcement, EventKind, Takeover
from simulations.budget import Budget, Claim
from simulations.census import Census
from simulations.history import Kind, Operation, Outcome
from simulations.known import Family, Known
from simulations.plan import Kind as FaultKind
from simulations.plan import Plan
from simulations.versions import version_in
from simulations.violation import Harm, Violation

_ENDS = frozenset({EventKind.DELETED, EventKind.EXPIRED})


@define(eq=False)
class _Expected:
    """What has to be announced."""

    operation: Operation
    claim: Claim
    kind: EventKind
    was_there: bool = True
    """Of an end: what was ended had to be there when that was acknowledged."""


@define(eq=False)
class _End:
    """What had been acknowledged when a session was first to be ended."""

    changes: dict[int, tuple[int, Claim]] = field(factory=dict)
    """By client: its latest version, and what was promised of that."""


class HearingJudge(Census):
    """A judge who hears, too, what is announced.

    Args:
        plan: what goes wrong.
        budget: knows what faults may have taken.
        late_s: as of the judge.
        clock_error: as of the judge.
        retention_s: as of the judge.
    """

    def __init__(
        self, plan: Plan, budget: Budget, late_s: float, clock_error: float, retention_s: float
    ) -> None:
        super().__init__(budget, late_s, clock_error, retention_s)
        self.is_exact = all(fault.kind is FaultKind.STOP for fault in plan.faults)
        self.heard = 0
        """How much was announced."""
        self.repeated = 0
        """How much of that had been announced before."""
        self._losses_at: dict[int, int] = {}
        self._awaited: dict[Family, list[_Expected]] = {}
        self._born: dict[Family, Claim] = {}
        """Claims that stay in the budget when the creation is announced: an end asks for them."""
        self._ends: dict[Family, _End] = {}
        self._told: dict[tuple[str, EventKind, int], set[tuple[str, int]]] = {}
        """By session, kind and, of an expiry, stamp: the lives of nodes that were told."""
        self._ended: dict[Family, set[EventKind]] = {}

    # --- What clients do ---

    def on_invoked(self, operation: Operation) -> None:
        """See ``Judge``."""
        super().on_invoked(operation)
        self._losses_at[id(operation)] = self.budget.losses
        if operation.kind is not Kind.END:
            return
        known = self.sessions[operation.session]
        if known.family not in self._ends:
            # A rotation on one side of a cut, and changes of the old id on the other, have to meet.
            required = self._required(self._expected[id(operation)], operation, known)
            changes = {
                client: (change.version, change.claim)
                for client, change in required.items()
                if client not in known.family.concurrent
            }
            self._ends[known.family] = _End(changes)

    def on_returned(self, operation: Operation) -> None:
        """See ``Judge``."""
        super().on_returned(operation)
        losses = self._losses_at.pop(id(operation))
        if operation.outcome is not Outcome.OK or operation.degraded or not operation.holders:
            return
        kinds = {
            Kind.CREATE: EventKind.CREATED,
            Kind.END: EventKind.DELETED,
            Kind.ROTATE: EventKind.ROTATED,
        }
        kind = kinds.get(operation.kind)
        if kind is None:
            return
        known = self.sessions[operation.session]
        claim = self.budget.claim(operation.holders, (), losses)
        claim.anywhere = known.released_at >= operation.invoked
        claim.lost = known.set_aside_at >= operation.invoked
        if operation.kind is Kind.CREATE:
            self._born[known.family] = claim
        expected = _Expected(operation, claim, kind, self._was_there(operation, known))
        if not self._is_told(expected, known):
            self._awaited.setdefault(known.family, []).append(expected)

    def on_released(self, session_ids: Iterable[object], now: float) -> None:
        """See ``Judge``."""
        named = list(session_ids)
        super().on_released(named, now)
        for claim in self._claims_of(named):
            claim.anywhere = True

    def on_set_aside(self, session_ids: Iterable[bytes], now: float) -> None:
        """See ``Judge``."""
        named = list(session_ids)
        super().on_set_aside(named, now)
        for claim in self._claims_of(named):
            claim.lost = True

    def _claims_of(self, session_ids: Iterable[object]) -> Iterable[Claim]:
        for session_id in session_ids:
            assert isinstance(session_id, bytes)
            family = self.sessions.get(session_id.decode(), Known()).family
            yield from (expected.claim for expected in self._awaited.get(family, ()))
            if family in self._born:
                yield self._born[family]

    # --- What applications hear ---

    def on_heard(self, node: str, life: int, what: Announcement | Takeover) -> None:
        """The process of a node is told something."""
        if isinstance(what, Takeover):
            return
        self.heard += 1
        session = what.session_id.decode()
        known = self.sessions.get(session)
        if known is None:
            self._report(what, node, "was never created")
            return
        stamp = what.stamp if what.kind is EventKind.EXPIRED else 0
        lives = self._told.setdefault((session, what.kind, stamp), set())
        if lives:
            self.repeated += 1
        if (node, life) in lives:
            self._report(what, node, "was announced to the same process before")
        elif lives and self.is_exact:
            self._report(what, node, f"was announced by {sorted(lives)} before")
        lives.add((node, life))
        if what.kind is EventKind.CREATED and known.parent is not None:
            self._report(what, node, "is one that was rotated")
        if what.kind in _ENDS:
            if not lives - {(node, life)} and what.kind is EventKind.DELETED:
                self._judge_state(what, node, known)
            self._ended.setdefault(known.family, set()).add(what.kind)
        awaited = self._awaited.get(known.family, [])
        for expected in [each for each in awaited if self._is_told(each, known)]:
            awaited.remove(expected)
            if expected.kind is not EventKind.CREATED:
                self.budget.forget(expected.claim)

    def _is_told(self, expected: _Expected, known: Known) -> bool:
        """Return whether what is expected was announced."""
        operation = expected.operation
        if (operation.session, expected.kind, 0) in self._told:
            return True
        return expected.kind is not EventKind.CREATED and bool(self._ended.get(known.family))

    def _judge_state(self, what: Announcement, node: str, known: Known) -> None:
        """Demand that an end carries what was acknowledged before it was asked for."""
        before = self._ends.get(known.family)
        if before is None:
            self._report(what, node, "was ended by nobody")
            return
        promised = (
            each.claim
            for each in self._awaited.get(known.family, ())
            if each.kind is EventKind.DELETED
        )
        if not any(not claim.lost and not claim.asleep for claim in promised):
            return  # Nobody need know of it any more: a disk has the end, and not what was ended.
        record = Record.from_portable(what.state, 0.0) if what.state else Record()
        for client, (version, claim) in before.changes.items():
            seen = version_in(record, client) or 0
            if seen < version and self.budget.must_hold(claim, node, what.home):
                story = f"carries version {seen} of client {client}, who had written {version}"
                self._report(what, node, story)

    def end(self) -> None:
        """Judge what was never announced, now that nothing is under way any more."""
        for awaited in self._awaited.values():
            for expected in awaited:
                operation, claim = expected.operation, expected.claim
                if claim.lost or claim.asleep or not expected.was_there:
                    self.excused += 1
                    continue
                holders = " and ".join(sorted(claim.named))
                story = (
                    f"nobody was told that session {operation.session} was "
                    f"{expected.kind.name.lower()}, which {holders} had acknowledged at "
                    f"{operation.told_at:.3f} s"
                )
                self.violations.append(Violation("events", story, Harm.LOST, operation.session))

    def _was_there(self, operation: Operation, known: Known) -> bool:
        """Return whether faults may not have taken what is ended before that."""
        if operation.kind is not Kind.END:
            return True
        born = self._born.get(known.family)
        return born is not None and self._must_hold(born, operation)

    def _report(self, what: Announcement, node: str, story: str) -> None:
        kind = what.kind.name.lower()
        session = what.session_id.decode()
        told = f"{node} was told that session {session} was {kind}, which {story}"
        self.violations.append(Violation("events", told, Harm.LOST, session))
