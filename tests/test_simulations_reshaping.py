"""The ring of a simulated run changes while it is under load, and under faults."""

from unittest.mock import patch

import pytest
from attrs import evolve

from ring.adopting import Adopting
from ring.draining import Draining
from simulations.drawing import draw_plan
from simulations.moments import Moment
from simulations.plan import Disk, Fault, Kind, Plan, Trigger, Workload
from simulations.run import Report, run


def calm(members: int, *faults: Fault, duration_s: float = 25.0, copies: int = 2) -> Plan:
    """Return a plan of a ring with even ways, and only these faults."""
    drawn = next(p for p in map(draw_plan, range(1000)) if p.members == members)
    load = Workload(
        clients=6,
        think_s=(0.05, 0.4),
        sessions_max=12,
        durabilities=("local", "backup"),
        refuse=0.0,
        max_idles_s=(0.0,),
        wander=0.2,
    )
    return evolve(drawn, copies=copies, workload=load, faults=faults, duration_s=duration_s)


def check_kept(report: Report, *moments: Moment) -> None:
    assert [str(violation) for violation in report.violations] == []
    assert {moment: report.moments.get(moment, 0) > 0 for moment in moments} == dict.fromkeys(
        moments, True
    )


@pytest.mark.parametrize(("members", "copies"), [(3, 2), (4, 2), (5, 3)])
@pytest.mark.parametrize("disk", [Disk.KEPT, Disk.LOST])
def test_a_member_is_removed_and_added_again_elsewhere(
    members: int, copies: int, disk: Disk
) -> None:
    fault = Fault(Kind.RESIZE, 6.0, tuple("abcdefg"[:members]), 4.0, disk=disk, amount=0.7)
    report = run(calm(members, fault, copies=copies))
    check_kept(report, Moment.REMOVED, Moment.LEFT_THE_RING, Moment.ADDED)
    assert report.counts.get("save-unknown", 0) + report.counts.get("find-failed", 0) == 0


def test_a_member_that_was_away_when_it_was_removed_hands_over_when_it_is_back() -> None:
    crash = Fault(Kind.CRASH, 5.0, ("b",), 4.0)
    removal = Fault(Kind.RESIZE, 6.0, ("b", "a", "c", "d"), 9.0)
    report = run(calm(4, crash, removal))
    check_kept(report, Moment.REMOVED_WHILE_AWAY, Moment.LEFT_THE_RING, Moment.ADDED)


def test_a_member_of_which_only_the_heir_is_known_comes_back_as_a_stranger() -> None:
    fault = Fault(Kind.RESIZE, 6.0, tuple("dabc"), 8.0, disk=Disk.LOST, amount=0.3)
    report = run(calm(4, fault))
    check_kept(report, Moment.LEFT_THE_RING, Moment.ADDRESS_FORGOTTEN, Moment.ADDED)


def test_members_change_places_again_and_again() -> None:
    orders = ("bcda", "dbac", "acbd", "cdab")
    faults = [Fault(Kind.REORDER, 4.0 + 3 * n, tuple(each), 0.0) for n, each in enumerate(orders)]
    report = run(calm(4, *faults))
    check_kept(report, Moment.REORDERED)
    assert report.moments[Moment.REORDERED] == 4


@pytest.mark.parametrize("seed", range(4))
def test_a_crash_while_the_ring_changes_loses_nothing(seed: int) -> None:
    removal = Fault(Kind.RESIZE, 8.0, tuple("abcd"), 5.0)
    crash = Fault(Kind.CRASH, 7.9, ("abcd"[seed],), 2.0, Trigger.ADOPTED, 0.03 * seed)
    report = run(evolve(calm(4, removal, crash), seed=seed))
    check_kept(report, Moment.REMOVED, Moment.CRASH_DURING_RESHAPING)


def test_who_stands_still_before_the_others_know_that_it_was_added_is_told_apart() -> None:
    """Whether they had called it down could not be looked up, and the run ended."""
    removal = Fault(Kind.RESIZE, 6.0, tuple("bca"), 8.0)
    report = run(calm(3, removal, Fault(Kind.FREEZE, 14.2, ("b",), 4.0)))
    check_kept(report, Moment.ADDED)


def test_without_handing_over_what_only_the_leaver_had_is_missed() -> None:
    """Ablation: a removed member that goes at once takes with it what was saved locally."""
    fault = Fault(Kind.RESIZE, 6.0, tuple("abc"), 10.0, disk=Disk.LOST)
    plan = evolve(calm(3, fault), ways=dict.fromkeys(calm(3).ways, calm(3).ways["a b"]))
    with patch.object(Draining, "drained", True):
        broken = [run(evolve(plan, seed=seed)).violations for seed in range(10, 14)]
    assert any(broken)


def test_without_telling_the_ring_the_others_never_follow() -> None:
    """Ablation: who is set a ring keeps it to itself."""
    fault = Fault(Kind.REORDER, 6.0, tuple("cba"), 0.0)
    with patch.object(Adopting, "_tell", lambda self: None):
        report = run(calm(3, fault, duration_s=10.0))
    assert "convergence" in {violation.promise for violation in report.violations}
