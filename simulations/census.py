"""Whose sessions there are, as clients may expect to be told: the judge of questions.

Rules:
- **principals**: a question to which nothing is missing names every session of the principal that
  came to it by a change that was acknowledged undegraded before, and that still has to hold, each
  once; none that had ended undegraded; none that nobody ever gave to that principal; and none of
  another namespace, where the same name is another principal.
- Nothing is demanded of a session to which something else happens that bears on it while it is
  asked for: another principal, a rotation, an end. Nor if the outcome of such a thing was unknown,
  since it may still come; nor of a session that may expire.
"""

from collections.abc import Mapping
from math import inf

from attrs import define, field, frozen

from ring.identity import SessionId, namespace_of
from simulations.budget import Budget, Claim
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.known import Change, Family, Known
from simulations.violation import Harm

_MOVES = frozenset({Kind.END, Kind.ROTATE})


@frozen(eq=False)
class _Owner:
    """Whose a session is for certain."""

    principal: str
    changes: tuple[Change, ...]
    """What has made it so; all of them have to hold."""
    session: str
    known: Known


@define(eq=False)
class _Ownership:
    """What was done to whose a session is."""

    owner: _Owner | None = None
    """None: it is not known for certain."""
    tries: int = 0
    under_way: int = 0
    """Those whose outcome is not known, or never will be."""
    principals: set[str] = field(factory=set)
    """To whom it was ever to be given."""


@frozen
class _Try:
    """Something that bears on whose a session is, while it is under way."""

    number: int
    is_alone: bool
    before: _Owner | None


@frozen(eq=False)
class Question:
    """A question that a client has asked."""

    client: int
    node: str
    namespace: str
    principal: str
    invoked: float
    expected: tuple[tuple[_Ownership, _Owner], ...]
    ended: Mapping[str, tuple[Claim, ...]]
    """By session: the ends that have to hold."""


class Census(Judge):
    """A judge who knows whose sessions there are; see ``Judge``."""

    def __init__(
        self,
        budget: Budget | None = None,
        late_s: float = inf,
        clock_error: float = 0.0,
        retention_s: float = inf,
    ) -> None:
        super().__init__(budget, late_s, clock_error, retention_s)
        self._ownerships: dict[Family, _Ownership] = {}
        self._tries: dict[int, _Try] = {}

    def on_invoked(self, operation: Operation) -> None:
        """See ``Judge``."""
        super().on_invoked(operation)
        if not _bears(operation):
            return
        ownership = self._of(operation)
        ownership.tries += 1
        ownership.under_way += 1
        if operation.principal:
            ownership.principals.add(operation.principal)
        alone = ownership.under_way == 1
        self._tries[id(operation)] = _Try(ownership.tries, alone, ownership.owner)
        ownership.owner = None

    def on_returned(self, operation: Operation) -> None:
        """See ``Judge``."""
        super().on_returned(operation)
        tried = self._tries.pop(id(operation), None)
        if tried is None or operation.outcome is Outcome.UNKNOWN:
            return  # It may still happen, at any time.
        ownership = self._of(operation)
        ownership.under_way -= 1
        if not tried.is_alone or tried.number != ownership.tries or operation.degraded:
            return
        if operation.outcome is Outcome.OK and operation.kind is not Kind.END:
            ownership.owner = self._owner(operation, tried.before)
        elif operation.outcome is Outcome.FAILED and operation.reason != "gone":
            ownership.owner = tried.before

    def on_asked(
        self, client: int, node: str, namespace: str, principal: str, now: float
    ) -> Question:
        """A client asks for the sessions of a principal; what it may expect is as of now."""
        owners = [
            (each, each.owner)
            for each in self._ownerships.values()
            if each.owner is not None
            and (_namespace_of(each.owner.session), each.owner.principal) == (namespace, principal)
        ]
        ended = {
            session: (*known.ended, *(known.ended_before if self.have_all_met else ()))
            for session, known in self.sessions.items()
            if known.ended or known.ended_before
        }
        return Question(client, node, namespace, principal, now, tuple(owners), ended)

    def on_answered(self, question: Question, sessions: list[str]) -> None:
        """Judge an answer to which nothing is missing, by its own word."""
        named = set(sessions)
        if len(named) < len(sessions):
            twice = next(each for each in sessions if sessions.count(each) > 1)
            self._blame(question, twice, "was told twice of a session of its principal", None)
        for ownership, owner in question.expected:
            if (
                ownership.owner is owner
                and owner.session not in named
                and self._counts_now(owner, question)
            ):
                holders = " and ".join(sorted(owner.changes[-1].claim.named))
                what = (
                    f"was not told of a session of {owner.principal} that was acknowledged by "
                    f"{holders} at {owner.changes[-1].returned:.3f} s"
                )
                self._blame(question, owner.session, what, Harm.LOST)
        for session in sessions:
            if _namespace_of(session) != question.namespace:
                self._blame(question, session, "was told of a session of another namespace", None)
            given = self._given(session)
            if question.principal not in given:
                what = f"was told of a session that nobody gave to {question.principal}"
                self._blame(question, session, what, Harm.LOST)
            operation = _asking(question, session)
            if self._counts(question.ended.get(session, ()), operation):
                what = f"was told of a session of {question.principal} after its end"
                self._blame(question, session, what, Harm.RESURRECTED)

    # --- Parts ---

    def _owner(self, operation: Operation, before: _Owner | None) -> _Owner | None:
        """Return whose a session is after a change that was acknowledged; None: nobody's."""
        session = operation.new_session or operation.session
        known = self.sessions[session]
        made = [
            change
            for change in known.family.changes.get(operation.client, ())
            if change.version == operation.version and change.under is known
        ]
        if not made:
            return None
        if operation.principal is not None:
            return _Owner(operation.principal, (made[-1],), session, known)
        if before is None:
            return None
        return _Owner(before.principal, (*before.changes, made[-1]), session, known)

    def _given(self, session: str) -> set[str]:
        """Return to whom a session was ever to be given."""
        known = self.sessions.get(session)
        ownership = self._ownerships.get(known.family) if known is not None else None
        return ownership.principals if ownership is not None else set()

    def _counts_now(self, owner: _Owner, question: Question) -> bool:
        """Return whether whoever asks now has to be told of a session."""
        family, operation = owner.known.family, _asking(question, owner.session)
        if min(family.idle_least_s, family.expires_at) < inf:
            return False
        if owner.known.is_contested and not self.have_all_met:
            return False
        remembered = [each for changes in family.changes.values() for each in changes]
        return self._is_born(owner.known, question.node, operation.home) and all(
            change in remembered and self._must_hold(change.claim, operation)
            for change in owner.changes
        )

    def _blame(self, question: Question, session: str, what: str, harm: Harm | None) -> None:
        self.report("principals", _asking(question, session), what, harm)

    def _of(self, operation: Operation) -> _Ownership:
        family = self.sessions[operation.session].family
        return self._ownerships.setdefault(family, _Ownership())


def _namespace_of(session: str) -> str:
    return namespace_of(SessionId(session.encode()))


def _bears(operation: Operation) -> bool:
    """Return whether an operation bears on whose its session is."""
    return operation.principal is not None or operation.kind in _MOVES


def _asking(question: Question, session: str) -> Operation:
    """Return an operation that stands for a question about one session."""
    return Operation(question.client, Kind.QUERY, session, question.node, question.invoked)
