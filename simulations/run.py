"""One run of a plan: a ring under load and faults, and a verdict.

Rules:
- In safety mode faults go on until the load ends; then everything is healed and restarted, every
  session is read once more, and all holders of a home have to hold the same, whole records.
- In liveness mode the faults outside the core stay; requests of the core have to be answered, and
  its holders have to agree.
"""

from collections.abc import Sequence
from typing import Final

from attrs import evolve, frozen

from simulations.budget import Budget
from simulations.census import Census
from simulations.convergence import FORGETTING_S, check_convergence
from simulations.face import AnyWorld
from simulations.hearing import HearingJudge
from simulations.judge import Judge
from simulations.moments import Moment
from simulations.plan import Kind, Level, Mode, Plan, Trigger
from simulations.rest import check_rest
from simulations.scheduler import StuckError
from simulations.striking import Striking
from simulations.violation import Violation
from simulations.witness import Witness
from simulations.workload import Workload
from simulations.world import World

SETTLE_LIMIT_S: Final = 60.0
QUIET_S: Final = 12.0
"""Without faults, until everybody has to be settled: longer than any request or time-out."""

REST_LIMIT_S: Final = 30.0
"""Reading everything takes its time over slow ways that carry few frames at once."""

HEARING_LIMIT_S: Final = 120.0
"""The same for applications that are slow to hear what has happened."""

PROGRESS_AFTER_S: Final = 25.0
"""How long after faults have become permanent the core has to answer every request."""

STEP_S: Final = 0.25


@frozen
class Report:
    """What came of a run."""

    plan: Plan
    violations: tuple[Violation, ...]
    counts: dict[str, int]
    """What clients were told, by kind of operation and outcome."""
    faults: dict[str, int]
    moments: dict[str, int]
    excused: int
    """Reads that missed something which the faults may have taken."""
    operations: int
    events: int
    simulated_s: float
    trace_hash: str


def run(plan: Plan, witnesses: Sequence[Witness] = (), level: Level = Level.CORE) -> Report:
    """Play ``plan`` and judge what its clients saw; ``witnesses`` see it as well."""
    if level is Level.CORE:
        return _play(plan, World(plan, witnesses))
    from simulations.whole.world import NodeWorld

    world = NodeWorld(plan, witnesses)
    world.begin()
    try:
        report = _play(plan, world)
    except BaseException:
        world.end(at_rest=False)
        raise
    return evolve(report, violations=(*report.violations, *world.end()))


def _play(plan: Plan, world: AnyWorld) -> Report:
    budget = Budget(min(plan.copies, plan.members))
    judge = judge_of(plan, budget)
    workload = Workload(world, judge, plan, lambda node: world.on_trigger(Trigger.RECEIPT, node))
    striking = Striking(world, plan, budget, workload)
    listen(plan, world, judge, striking)
    workload.witnesses = world.scheduler.witnesses
    for witness in workload.witnesses:
        witness.on_begun(world, judge)
    for name in world.ring.names:
        world.start(name)
    striking.watch_settling()
    try:
        if plan.mode is Mode.SAFETY:
            _play_safely(plan, world, judge, workload, striking)
        else:
            _play_lively(plan, world, judge, workload, striking)
    except StuckError as error:
        judge.violations.append(Violation("bounded", str(error)))
    for witness in workload.witnesses:
        witness.on_ended(world.now)
    striking.moments[Moment.READ_IN_DOUBT] += workload.doubted
    return Report(
        plan,
        tuple(judge.violations),
        workload.counts,
        dict(striking.faults),
        dict(striking.moments),
        judge.excused,
        sum(workload.counts.values()),
        world.scheduler.events,
        world.now,
        world.scheduler.trace_hash(),
    )


def judge_of(plan: Plan, budget: Budget) -> Census:
    """Return who judges what clients see in a plan."""
    retention_s = plan.settings.retention_s - FORGETTING_S
    late_s, clock_error = _late_s(plan), 0.01
    if plan.listening_s is None:
        judge = Census(budget, late_s, clock_error, retention_s)
    else:
        judge = HearingJudge(plan, budget, late_s, clock_error, retention_s)
    judge.have_all_met = False
    return judge


def listen(plan: Plan, world: AnyWorld, judge: Judge, striking: Striking) -> None:
    """Have the faults, and the judge, hear of what happens in the world."""
    retention_s = plan.settings.retention_s - FORGETTING_S
    world.on_trigger = striking.on_trigger
    world.on_release = lambda session_ids: judge.on_released(session_ids, world.now)
    world.on_set_aside = lambda session_ids: judge.on_set_aside(session_ids, world.now)

    def on_notice(event: str) -> None:
        striking.circumstances.on_notice(event)
        if event == "comparison_given_up":
            judge.may_be_untold = True
        elif event == "home_yielded":
            judge.on_forgotten(world.now - retention_s)

    world.on_notice = on_notice
    if isinstance(judge, HearingJudge):
        world.on_heard = judge.on_heard


def _play_safely(
    plan: Plan, world: AnyWorld, judge: Judge, workload: Workload, striking: Striking
) -> None:
    world.scheduler.run_until(plan.duration_s)
    striking.heal()
    workload.stopped = True
    world.scheduler.run_until(world.now + QUIET_S)
    settle(world, judge)
    judge.have_all_met = True
    workload.read_everything(homes=world.ring.homes)
    world.scheduler.run_until(world.now + QUIET_S)
    world.scheduler.run_while(lambda: any(check_rest(world)), REST_LIMIT_S, STEP_S)
    judge.violations += check_convergence(world, world.ring.names, judge.is_required)
    judge.violations += check_rest(world)
    if isinstance(judge, HearingJudge):
        # Applications may be busy for long with what has come together.
        world.scheduler.run_while(lambda: has_unannounced(world), HEARING_LIMIT_S, STEP_S)
        judge.end()


def _play_lively(
    plan: Plan, world: AnyWorld, judge: Judge, workload: Workload, striking: Striking
) -> None:
    world.scheduler.run_until(plan.permanent_from_s + PROGRESS_AFTER_S)
    workload.only = plan.core
    judge.demands_progress = True
    world.scheduler.run_until(plan.duration_s)
    workload.stopped = True
    world.scheduler.run_until(world.now + QUIET_S)
    # Who comes and goes for ever is a holder now and then; all others are the same to everybody.
    if not any(
        fault.kind is Kind.RESET for fault in plan.faults if fault.at >= plan.permanent_from_s
    ):

        def differing() -> list[Violation]:
            return [*check_convergence(world, plan.core, judge.is_required)]

        world.scheduler.run_while(lambda: bool(differing()), REST_LIMIT_S, STEP_S)
        judge.violations += differing()


def has_unannounced(world: AnyWorld) -> bool:
    """Return whether applications have not heard of all that is to be announced."""
    return any(process.replica.unannounced for process in world.processes.values())


def settle(world: AnyWorld, judge: Judge) -> None:
    """Demand that the ring settles, now that nothing is wrong any more."""
    if not world.scheduler.run_while(lambda: not world.all_settled(), SETTLE_LIMIT_S, STEP_S):
        unsettled = [
            f"{name} ({'settled' if process.replica.settled else 'not settled'}, sees "
            + ", ".join(f"{n} {it.value}" for n, it in process.replica.liveness.items())
            + ")"
            for name, process in world.processes.items()
        ]
        story = f"the ring has not settled: {'; '.join(unsettled) or 'nobody lives'}"
        judge.violations.append(Violation("convergence", story))


def _late_s(plan: Plan) -> float:
    holding_up = (Kind.STALL, Kind.SLOW, Kind.CUT, Kind.SPLIT, Kind.SWIZZLE, Kind.FREEZE)
    longest = [fault.for_s for fault in plan.faults if fault.kind in holding_up]
    return late_s_after(max(longest, default=0.0))


def late_s_after(held_up_s: float) -> float:
    """Return how long after max idle a session may be found: the transit of an access.

    An access is aged by its receiver from when it was sent, so what holds it up makes it younger.
    """
    return 4.0 + 2 * held_up_s


def failing_promises(report: Report) -> Sequence[str]:
    """Return the promises that a run has broken, each once, in the order of their names."""
    return sorted({violation.promise for violation in report.violations})
