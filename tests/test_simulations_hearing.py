"""Applications in simulated rings hear what happens to sessions, at both levels, and are judged."""

import json

import pytest
from teeth import plan_of

from ring.announcements import Announcement, EventKind
from ring.clock import Stamp
from simulations.budget import Budget
from simulations.hearing import HearingJudge
from simulations.history import Kind, Operation, Outcome
from simulations.plan import Level, Plan, plan_from_json, plan_to_json, read_plan
from simulations.run import run
from simulations.witness import Witness

STOPS = read_plan(plan_of("wait for no word of who acted"))
CRASHES = read_plan(plan_of("note nothing as a holder"))


class Listener(Witness):
    """Counts what is heard."""

    def __init__(self) -> None:
        self.heard = 0

    def on_event(self, now: float, event: str, who: tuple[str | int | float, ...]) -> None:
        """See ``Witness``."""
        self.heard += event == "heard"


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("plan", [STOPS, CRASHES], ids=["stops", "crashes"])
def test_all_that_is_acknowledged_is_announced(plan: Plan, level: Level) -> None:
    listener = Listener()
    assert run(plan, [listener], level).violations == ()
    assert listener.heard > 20


def test_a_plan_says_how_busy_applications_are_and_an_older_one_that_they_do_not_listen() -> None:
    assert plan_from_json(plan_to_json(STOPS)) == STOPS
    older = json.loads(plan_to_json(STOPS))
    del older["listening_s"]
    assert plan_from_json(json.dumps(older)).listening_s is None


ID = "a.AAAAAAAAAAAAAAAAAAAABw"


def judge_of_a_creation(*, lost: bool = False, copies: int = 2) -> HearingJudge:
    budget = Budget(copies)
    judge = HearingJudge(STOPS, budget, 1.0, 0.0, 1e9)
    judge.on_created(ID, 60.0)
    operation = Operation(0, Kind.CREATE, ID, "a", 1.0, version=1)
    judge.on_invoked(operation)
    operation.returned, operation.outcome, operation.holders = 1.1, Outcome.OK, ("a", "b")
    judge.on_returned(operation)
    for name in "ab" if lost else "":
        budget.on_lost(name, disk_kept=True)
    return judge


CREATED = Announcement(ID.encode(), EventKind.CREATED, Stamp(7))  # type: ignore[arg-type]


def test_what_nobody_was_told_is_reported_unless_faults_have_taken_it() -> None:
    judge = judge_of_a_creation()
    judge.end()
    (violation,) = judge.violations
    assert "nobody was told" in violation.story
    judge = judge_of_a_creation(lost=True)
    judge.end()
    assert judge.violations == []


def test_what_is_told_twice_is_reported_where_nothing_goes_wrong() -> None:
    judge = judge_of_a_creation()
    judge.on_heard("a", 1, CREATED)
    judge.end()
    assert judge.violations == []
    judge.on_heard("b", 1, CREATED)
    assert ["before" in violation.story for violation in judge.violations] == [True]


@pytest.mark.parametrize("lost", [False, True])
def test_an_end_is_announced_unless_what_is_ended_had_been_lost(lost: bool) -> None:
    judge = judge_of_a_creation()
    judge.on_heard("a", 1, CREATED)
    for name in "ab" if lost else "":
        judge.budget.on_lost(name, disk_kept=False)
    end = Operation(0, Kind.END, ID, "c", 2.0, version=2)
    judge.on_invoked(end)
    end.returned, end.outcome, end.holders = 2.1, Outcome.OK, ("c", "d")
    judge.on_returned(end)
    judge.end()
    assert [violation.promise for violation in judge.violations] == ["events"] * (not lost)


def test_who_loses_a_session_after_its_end_was_acknowledged_has_to_announce_the_end() -> None:
    judge = judge_of_a_creation(copies=3)
    judge.on_heard("a", 1, CREATED)
    end = Operation(0, Kind.END, ID, "a", 2.0, version=2)
    judge.on_invoked(end)
    end.returned, end.outcome, end.holders = 2.1, Outcome.OK, ("a", "b", "c")
    judge.on_returned(end)
    for name in "ab":
        judge.budget.on_lost(name, disk_kept=False)
    judge.end()
    assert ["was deleted" in violation.story for violation in judge.violations] == [True]
