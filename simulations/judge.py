"""What clients may expect, by name of the promise; judged as it streams, so that nothing is kept.

Each client writes rising versions into its own part of a session, so that a read tells which of
its writes are in force. What is expected is drawn from what the nodes claimed (receipts, answers,
"settled"), never from what a simulator knows of their memory.

Rules:
- **durable**: what a read may not miss is the latest change that was acknowledged undegraded before
  it was asked, unless faults have taken more than the receipt covers (`simulations.budget`).
- **read-your-writes** is the same for the client that wrote, **no-lost-attribute** where another
  client's change to the same session was acknowledged meanwhile, **recovery-first** at a node that
  was restarted since; each is reported under its own name.
- **ended-is-final**: once an end was acknowledged undegraded, no later read finds the session. A
  rotation is an end of the old id; what was written under it is expected under the new one.
- What a session has under the id that it was rotated into is not asked for under the old one: if
  the rotation holds, that one has ended. What a side of a cut did to the old id need not be known
  under the id into which the other side has rotated it, until all members have met.
- Where ends are forgotten within the run, what a member yields that was apart for longer is
  excused, and so is what had ended that long ago, in whatever state a disk still has it. Once a
  comparison was given up, somebody may not be told of an end as long as it is remembered: then
  each is excused as soon as it is that old.
- **expiry**: a session that was used, by an acknowledged change, less than its max idle ago is
  there; one that nobody has used for max idle and all allowances is not. Nobody need know of its
  use on the other side of a cut.
- **isolation**: nothing is ever read that nobody wrote there.
"""

from collections.abc import Iterable, Mapping
from math import inf

from attrs import frozen

from ring.identity import SessionId, home_of
from simulations.budget import Budget, Claim
from simulations.history import NOT_REPLICATED, Kind, Operation, Outcome
from simulations.known import Change, Known
from simulations.violation import Harm, Violation

CLAIMS_KEPT = 8
"""Acknowledged versions of one client and session that are remembered: if faults may have taken
the latest, an earlier one counts."""

_ANSWERS = frozenset({"gone", NOT_REPLICATED})
"""Reasons of failures with which a node has done what it was asked."""


@frozen
class _Expectation:
    changes: tuple[tuple[int, Change], ...]
    """Client and change: all that was acknowledged before the operation was asked for."""
    ended: tuple[Claim, ...]
    has_expired: bool
    demands_progress: bool
    losses: int
    """What faults had taken before: a holder may be lost while the receipt is on its way."""


class Judge:
    """Judges operations as they are invoked and as they return.

    Args:
        budget: knows what faults may have taken; by default nothing.
        late_s: how long after max idle a session may still be found.
        clock_error: by how much a clock may go wrong, as a share of the time.
        retention_s: how long ends and rotations are remembered for certain.
    """

    def __init__(
        self,
        budget: Budget | None = None,
        late_s: float = inf,
        clock_error: float = 0.0,
        retention_s: float = inf,
    ) -> None:
        self.budget = budget or Budget(1)
        self.violations: list[Violation] = []
        self.sessions: dict[str, Known] = {}
        self.excused = 0
        """Reads that missed something which faults may have taken."""
        self.late_s = late_s
        self.demands_progress = False
        """Every request has to be answered from now on."""
        self.have_all_met = True
        """Each member has compared with each other one since the last cut."""
        self.may_be_untold = False
        """Somebody may not be told of an end before the others have forgotten it."""
        self._clock_error = clock_error
        self._retention_s = retention_s
        self._expected: dict[int, _Expectation] = {}
        self._rotating: dict[int, str] = {}

    def on_created(self, session: str, max_idle_s: float) -> None:
        """A client makes up a session with this max idle (inf: none)."""
        family = self.sessions.setdefault(session, Known()).family
        family.max_idle_s = family.idle_least_s = max_idle_s

    def on_unknown(self, operation: Operation) -> None:
        """A client goes on without knowing what became of a write: it may count in the end."""
        self.sessions[operation.session].family.concurrent.add(operation.client)

    def on_invoked(self, operation: Operation) -> None:
        """Note what the operation may rely on, having begun now."""
        known = self.sessions.setdefault(operation.session, Known())
        idle = known.family.max_idle_s
        self._expected[id(operation)] = _Expectation(
            tuple((client, each) for client, them in known.family.changes.items() for each in them),
            (*known.ended, *(known.ended_before if self.have_all_met else ())),
            operation.invoked > known.tried_at + idle * (1 + self._clock_error) + self.late_s,
            self.demands_progress,
            self.budget.losses,
        )
        known.tried_at = inf  # Until it has returned, it may count at any moment.
        if operation.kind in (Kind.CREATE, Kind.SAVE, Kind.ROTATE):
            known.family.attempted[operation.client] = operation.version
        if operation.kind is Kind.ROTATE:
            new = known.rotate(operation.new_session, operation.invoked)
            new.tried_at = inf
            self._rotating[id(operation)] = operation.new_session
            self.sessions[operation.new_session] = new
        if operation.kind is Kind.END:
            known.family.end_attempted_at = min(known.family.end_attempted_at, operation.invoked)

    def on_returned(self, operation: Operation) -> None:
        """Judge the operation by what it was told."""
        expected = self._expected.pop(id(operation))
        known = self.sessions[operation.session]
        if self.may_be_untold:
            self.on_forgotten(operation.told_at - self._retention_s)
        # What has an unknown outcome may still happen; its deadline bounds that.
        late = operation.told_at + (10.0 if operation.outcome is Outcome.UNKNOWN else 0.0)
        known.tried_at = max(late, known.tried_at if known.tried_at < inf else late)
        if operation.kind is Kind.ROTATE:
            new = self._name_rotation(known, self._rotating.pop(id(operation)), operation)
            new.tried_at = max(late, new.tried_at if new.tried_at < inf else late)
        match operation.kind:
            case Kind.FIND if operation.outcome is Outcome.OK:
                self._judge_find(operation, expected, known)
            case Kind.CREATE | Kind.SAVE if operation.outcome is Outcome.OK:
                if self._counts(expected.ended, operation):
                    what = "changed a session that had ended"
                    self.report("ended-is-final", operation, what, Harm.RESURRECTED)
                self._note_change(operation, expected, known)
            case Kind.ROTATE if operation.outcome is Outcome.OK:
                self._judge_rotation(operation, expected, known)
            case Kind.SAVE | Kind.ROTATE if operation.reason == "gone":
                self._judge_absence(operation, expected, known, "was told of the end of")
            case Kind.END if operation.outcome is Outcome.OK and not operation.degraded:
                if operation.holders:
                    claim = self._claim(operation, expected, known)
                    claim.asked_at = known.family.end_attempted_at
                    # A rotation is forgotten like any end: then nothing leads on from the old id.
                    for each in known.descendants(operation.told_at - self._retention_s):
                        (known.ended if each is known else each.ended_before).append(claim)
            case _ if operation.outcome is not Outcome.OK and operation.reason not in _ANSWERS:
                if expected.demands_progress:
                    why = operation.reason or "no answer in time"
                    self.report("progress", operation, f"was refused by a healthy core: {why},")
            case _:
                pass

    def on_unreadable(self, operation: Operation) -> None:
        """Judge a find that has failed for the last time: nobody will ask again."""
        known = self.sessions[operation.session]
        if known.family.changes and not known.may_be_absent:
            what = "could not read a session that nobody ended"
            self.report("durable", operation, what, Harm.LOST)

    def may_be_forgotten(self, operation: Operation) -> bool:
        """Return whether an earlier end or rotation need not be remembered by now."""
        known = self.sessions.get(operation.session, Known())
        rotated_at = min((each.began_at for each in known.rotations.values()), default=inf)
        gone_at = min(known.family.end_attempted_at, rotated_at)
        return operation.told_at - gone_at > self._retention_s

    def was_dropped(self, operation: Operation) -> bool:
        """Return whether a holder has dropped its copy by the rules since this was asked for."""
        known = self.sessions.get(operation.session, Known())
        # What was written under one id may have been dropped under that which it has got since.
        dropped_at = [max(it.released_at, it.set_aside_at) for it in known.descendants(-inf)]
        return max(dropped_at) >= operation.invoked

    def is_concurrent(self, operation: Operation) -> bool:
        """Return whether a write may lose against another one of its own client."""
        known = self.sessions.get(operation.session, Known())
        return operation.client in known.family.concurrent

    def on_released(self, session_ids: Iterable[object], now: float) -> None:
        """A node may drop its copies of these sessions: the claims do not name who has them."""
        for session_id in session_ids:
            assert isinstance(session_id, bytes)
            known = self.sessions.get(session_id.decode(), Known())
            known.released_at = now
            for claim in (*known.ended, *known.ended_before):
                claim.anywhere = True
            for claim in known.born:
                claim.anywhere = True
            for changes in known.family.changes.values():
                for change in changes:
                    change.claim.anywhere = True

    def on_set_aside(self, session_ids: Iterable[bytes], now: float) -> None:
        """A member has yielded these, having been apart for too long: others may have less.

        What ended stays ended.
        """
        for session_id in session_ids:
            known = self.sessions.get(session_id.decode(), Known())
            known.set_aside_at = now
            for changes in known.family.changes.values():
                for change in changes:
                    change.claim.lost = True
                    self.budget.forget(change.claim)

    def on_forgotten(self, before: float) -> None:
        """What ended before this may be forgotten, and somebody goes on with the sessions.

        Who does has it as it was on an old disk, perhaps, and nobody knows it any better.
        """
        for known in self.sessions.values():
            for claim in (*known.ended, *known.ended_before):
                claim.lost |= claim.asked_at < before
            ended_at = known.family.end_attempted_at
            if ended_at < before:
                for changes in known.family.changes.values():
                    for change in changes:
                        change.claim.lost |= change.invoked < ended_at

    def is_required(self, session_id: SessionId) -> bool:
        """Return whether a change of a session was acknowledged that has to be there."""
        home = home_of(session_id)
        known = self.sessions.get(session_id.decode(), Known())
        # A home that nobody reaches speaks for nobody: what counts is who else was named.
        asked = "" if self.budget.is_apart(home) else home
        return self._is_born(known, asked, home) and any(
            self.budget.must_hold(change.claim, asked, home)
            for changes in known.family.changes.values()
            for change in changes
            if not known.leads_to(change.under)
        )

    # --- Parts ---

    def _claim(self, operation: Operation, expected: _Expectation, known: Known) -> Claim:
        """Return what a receipt promises that was on its way when holders may have changed."""
        claim = self.budget.claim(operation.holders, operation.on_disk, expected.losses)
        claim.anywhere = known.released_at >= operation.invoked
        claim.lost = known.set_aside_at >= operation.invoked
        return claim

    def _note_change(self, operation: Operation, expected: _Expectation, known: Known) -> None:
        client, family = operation.client, known.family
        if operation.holders and not self._follows(operation, known):
            family.concurrent.add(client)
        if operation.degraded or client in family.concurrent:
            family.wrote_at[client] = (operation.holders or ("",))[0], None
            return
        claim = self._claim(operation, expected, known)
        family.wrote_at[client] = (operation.holders or ("",))[0], claim
        changes = family.changes.setdefault(client, [])
        asked, told = operation.invoked, operation.told_at
        changes.append(Change(operation.version, claim, known, asked, told))
        for each in changes[:-CLAIMS_KEPT]:
            self.budget.forget(each.claim)
        del changes[:-CLAIMS_KEPT]

    def _name_rotation(self, known: Known, called: str, operation: Operation) -> Known:
        """Return what is known under the new id, which its client may only know by now."""
        new_id = operation.new_session
        if called != new_id:
            known.rotations[new_id] = known.rotations.pop(called)
            self.sessions[new_id] = self.sessions.pop(called)
        return known.rotations[new_id]

    def _judge_rotation(self, operation: Operation, expected: _Expectation, known: Known) -> None:
        """Take the old id for ended, and expect under the new one what was written there."""
        # Repeated after an answer that was lost, it is carried out under the new id.
        if len(known.rotations) > 1 and self._counts(expected.ended, operation):
            what = "rotated a session that had ended"
            self.report("ended-is-final", operation, what, Harm.RESURRECTED)
        new = known.rotations[operation.new_session]
        if not operation.degraded and operation.holders:
            claim = self._claim(operation, expected, known)
            claim.asked_at = new.began_at
            known.ended.append(claim)
            new.born.append(claim)
        self._note_change(operation, expected, new)

    def _follows(self, operation: Operation, known: Known) -> bool:
        """Return whether a write was stamped by who knew the client's last one, for certain."""
        if operation.client not in known.family.wrote_at:
            return True
        stamped_by, claim = known.family.wrote_at[operation.client]
        if stamped_by == operation.holders[0] and stamped_by not in self.budget.restarted:
            return True
        return claim is not None and self._must_hold(claim, operation)

    def _must_hold(self, claim: Claim, operation: Operation) -> bool:
        return self.budget.must_hold(claim, operation.node, operation.home)

    def _is_born(self, known: Known, node: str, home: str) -> bool:
        """Return whether it has to be known under this id, and the rotations that led here hold."""
        if known.parent is None:
            return True
        held = any(self.budget.must_hold(claim, node, home) for claim in known.born)
        return held and self._is_born(known.parent, node, home)

    def _counts(self, claims: tuple[Claim, ...], operation: Operation) -> bool:
        """Return whether one of these claims has to hold for whoever asks there now."""
        return any(self._must_hold(claim, operation) for claim in claims)

    def _required(
        self, expected: _Expectation, operation: Operation, known: Known
    ) -> dict[int, Change]:
        """Return, by client, the latest change that has to be there; none if all may be idle."""
        # Until both halves of a rotation have met, or if one is lost, each id has its own.
        met = self.have_all_met or not known.is_contested
        follows = met and self._is_born(known, operation.node, operation.home)
        held = [
            (client, change)
            for client, change in expected.changes
            if change.under is known or (follows and not known.leads_to(change.under))
            if self._must_hold(change.claim, operation)
        ]
        idle = known.family.idle_least_s * (1 - self._clock_error)
        since = operation.told_at
        if since >= known.family.expires_at - 0.01:
            return {}
        for used_at in sorted((change.invoked for _, change in held), reverse=True):
            if since - used_at > idle:
                break  # It may have expired then; an old disk may have brought a part of it back.
            since = used_at
        return {client: change for client, change in held if change.invoked >= since}

    def _judge_find(self, operation: Operation, expected: _Expectation, known: Known) -> None:
        if not operation.found:
            self._judge_absence(operation, expected, known, "did not find")
            return
        if self._counts(expected.ended, operation):
            what = "found a session after its end"
            self.report("ended-is-final", operation, what, Harm.RESURRECTED)
        if expected.has_expired:
            what = "found a session that nobody has used for too long"
            self.report("expiry", operation, what, Harm.RESURRECTED)
        read = operation.read or {}
        for client, change in self._required(expected, operation, known).items():
            seen = read.get(client, 0)
            if seen < change.version:
                self._report_missed(operation, client, change, seen)
        for client, changes in known.family.changes.items():
            self.excused += read.get(client, 0) < min(each.version for each in changes)
        for client, seen in read.items():
            if seen > known.family.attempted.get(client, 0):
                story = f"read version {seen} of client {client}, which was never written"
                self.report("isolation", operation, story, Harm.LOST, client)

    def _report_missed(self, operation: Operation, client: int, change: Change, seen: int) -> None:
        if operation.node in self.budget.restarted:
            promise = "recovery-first"
        elif client == operation.client:
            promise = "read-your-writes"
        else:
            promise = "durable" if seen else "no-lost-attribute"
        harm = Harm.STALE if seen else Harm.LOST
        holders = " and ".join(sorted(change.claim.named))
        story = (
            f"read {f'version {seen}' if seen else 'nothing'} of client {client} after "
            f"{change.version} was acknowledged by {holders} at {change.returned:.3f} s"
        )
        self.report(promise, operation, story, harm, client)

    def _judge_absence(
        self, operation: Operation, expected: _Expectation, known: Known, what: str
    ) -> None:
        if known.may_be_absent or not self._is_born(known, operation.node, operation.home):
            return
        required = self._required(expected, operation, known)
        if not required:
            self.excused += bool(expected.changes)
            return
        latest = max(required.values(), key=lambda each: each.version)
        holders = " and ".join(sorted(latest.claim.named))
        story = (
            f"{what} a session that nobody ended, and whose version {latest.version} was "
            f"acknowledged by {holders} at {latest.returned:.3f} s"
        )
        early = known.family.max_idle_s < inf and operation.invoked > _last_use(required) + 1.0
        self.report("expiry" if early else "durable", operation, story, Harm.LOST)

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


def _last_use(changes: Mapping[int, Change]) -> float:
    """Return when the last of these was asked for: it counts as a use from then at the earliest."""
    return max((change.invoked for change in changes.values()), default=-inf)
