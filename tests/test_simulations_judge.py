"""Hand-made histories: the judge reports what is broken, by name and harm, and nothing else."""

import pytest

from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.violation import Harm, Violation

SESSION = "a.0123456789abcdef0123"


class Told:
    """A judge, and the operations it is told of; times do not matter to it."""

    def __init__(self) -> None:
        self.judge = Judge()

    def begin(self, client: int, kind: Kind, version: int = 0) -> Operation:
        operation = Operation(client, kind, SESSION, "a", 0.0, version)
        self.judge.on_invoked(operation)
        return operation

    def finish(
        self,
        operation: Operation,
        outcome: Outcome = Outcome.OK,
        *,
        read: dict[int, int] | None = None,
        degraded: bool = False,
        reason: str = "",
    ) -> None:
        operation.returned, operation.outcome = 1.0, outcome
        operation.found, operation.read = read is not None, read
        operation.degraded, operation.reason = degraded, reason
        if operation.kind is not Kind.FIND and outcome is Outcome.OK:
            operation.holders = ("a", "b")
        self.judge.on_returned(operation)

    def change(self, client: int, kind: Kind, version: int = 0, *, degraded: bool = False) -> None:
        self.finish(self.begin(client, kind, version), degraded=degraded)

    def fail(self, client: int, kind: Kind, outcome: Outcome, version: int = 0) -> None:
        reason = "gone" if outcome is Outcome.FAILED else ""
        self.finish(self.begin(client, kind, version), outcome, reason=reason)

    def read(self, client: int, versions: dict[int, int] | None) -> None:
        self.finish(self.begin(client, Kind.FIND), read=versions)

    @property
    def found(self) -> list[tuple[str, Harm | None, int | None]]:
        return [(each.promise, each.harm, each.writer) for each in self.judge.violations]


@pytest.fixture
def told() -> Told:
    """A judge that knows of one session, created by client 0 with version 1."""
    told = Told()
    told.change(0, Kind.CREATE, 1)
    return told


def test_what_was_acknowledged_and_is_read_is_no_violation(told: Told) -> None:
    told.change(1, Kind.SAVE, 2)
    told.read(1, {0: 1, 1: 2})
    told.change(0, Kind.SAVE, 3)
    told.read(1, {0: 3, 1: 2})
    told.change(1, Kind.END)
    told.read(0, None)
    assert told.found == []


def test_a_session_that_nobody_ended_and_is_not_found_is_lost(told: Told) -> None:
    told.read(1, None)
    assert told.found == [("durable", Harm.LOST, None)]


def test_an_attribute_that_is_missing_is_lost(told: Told) -> None:
    told.change(1, Kind.SAVE, 2)
    told.read(2, {0: 1})
    assert told.found == [("no-lost-attribute", Harm.LOST, 1)]


def test_an_older_version_is_stale(told: Told) -> None:
    told.change(1, Kind.SAVE, 2)
    told.change(1, Kind.SAVE, 3)
    told.read(2, {0: 1, 1: 2})
    assert told.found == [("durable", Harm.STALE, 1)]


def test_an_older_version_of_ones_own_breaks_reading_ones_writes(told: Told) -> None:
    told.change(1, Kind.SAVE, 2)
    told.change(1, Kind.SAVE, 3)
    told.read(1, {0: 1, 1: 2})
    assert told.found == [("read-your-writes", Harm.STALE, 1)]


def test_each_attribute_that_is_stale_or_lost_is_reported(told: Told) -> None:
    told.change(0, Kind.SAVE, 2)
    told.change(1, Kind.SAVE, 3)
    told.read(2, {0: 1})
    assert told.found == [("durable", Harm.STALE, 0), ("no-lost-attribute", Harm.LOST, 1)]


def test_a_version_that_nobody_wrote_is_reported(told: Told) -> None:
    told.read(1, {0: 2})
    assert told.found == [("isolation", Harm.LOST, 0)]


def test_a_session_that_is_found_after_its_end_is_resurrected(told: Told) -> None:
    told.change(1, Kind.END)
    told.read(0, {0: 1})
    assert told.found == [("ended-is-final", Harm.RESURRECTED, None)]


def test_a_change_that_is_acknowledged_after_the_end_resurrects(told: Told) -> None:
    told.change(1, Kind.END)
    told.change(0, Kind.SAVE, 2)
    assert told.found == [("ended-is-final", Harm.RESURRECTED, None)]


def test_being_told_that_a_session_is_gone_which_nobody_ended_is_a_loss(told: Told) -> None:
    told.fail(1, Kind.SAVE, Outcome.FAILED, 2)
    assert told.found == [("durable", Harm.LOST, None)]


def test_a_session_that_cannot_be_read_any_more_is_lost(told: Told) -> None:
    question = told.begin(1, Kind.FIND)
    told.finish(question, Outcome.FAILED, reason="not known yet")
    assert told.found == []
    told.judge.on_unreadable(question)
    assert told.found == [("durable", Harm.LOST, None)]


def test_a_session_that_somebody_tried_to_end_need_not_be_readable(told: Told) -> None:
    told.fail(1, Kind.END, Outcome.UNKNOWN)
    question = told.begin(1, Kind.FIND)
    told.finish(question, Outcome.FAILED, reason="not known yet")
    told.judge.on_unreadable(question)
    assert told.found == []


def test_degraded_receipts_promise_nothing() -> None:
    told = Told()
    told.change(0, Kind.CREATE, 1, degraded=True)
    told.read(1, None)
    told.change(0, Kind.SAVE, 2)
    told.change(0, Kind.SAVE, 3, degraded=True)
    told.read(1, {0: 2})
    told.change(1, Kind.END, degraded=True)
    told.read(0, {0: 3})
    assert told.found == []


def test_an_unknown_outcome_may_be_read_or_not(told: Told) -> None:
    told.fail(1, Kind.SAVE, Outcome.UNKNOWN, 2)
    told.read(0, {0: 1})
    told.read(0, {0: 1, 1: 2})
    told.fail(1, Kind.END, Outcome.UNKNOWN)
    told.read(0, {0: 1})
    told.read(0, None)
    assert told.found == []


def test_a_read_is_judged_by_what_was_acknowledged_before_it_began(told: Told) -> None:
    question = told.begin(1, Kind.FIND)
    told.change(0, Kind.SAVE, 2)
    told.finish(question, read={0: 1})
    late = told.begin(1, Kind.FIND)
    told.change(0, Kind.END)
    told.finish(late, read={0: 2})
    assert told.found == []


def test_a_session_may_vanish_while_somebody_is_ending_it(told: Told) -> None:
    question = told.begin(1, Kind.FIND)
    end = told.begin(0, Kind.END)
    told.finish(question, read=None)
    told.finish(end)
    assert told.found == []


def test_a_violation_tells_its_story_and_whose_it_is(told: Told) -> None:
    told.change(1, Kind.SAVE, 2)
    told.read(2, {0: 1})
    (violation,) = told.judge.violations
    assert violation == Violation(
        "no-lost-attribute",
        "client 2 read nothing of client 1 after 2 was acknowledged by a and b at 1.000 s, "
        f"session {SESSION}, asked at a at 0.000 s",
        Harm.LOST,
        SESSION,
        1,
    )
