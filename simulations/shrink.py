"""Smaller plans that still break the same promise: what is left tells what it takes.

Rules:
- A step is kept if the smaller plan breaks one of the promises that the first one broke.
- Streams of randomness are separate, so that removing one fault leaves the rest as it was; still,
  a smaller plan is another run, and only running it tells.
"""

from collections.abc import Callable, Iterator

from attrs import evolve

from simulations.plan import Clocks, Level, Plan, Trigger
from simulations.run import failing_promises, run


def shrink(
    plan: Plan, on_step: Callable[[Plan], None] = lambda plan: None, level: Level = Level.CORE
) -> Plan:
    """Return a smaller plan that breaks one of the promises that ``plan`` breaks.

    Args:
        plan: breaks at least one promise.
        on_step: is told each smaller plan that does so too.
        level: at which it is played.
    """

    def broken(candidate: Plan) -> set[str]:
        return set(failing_promises(run(candidate, level=level)))

    wanted = broken(plan)
    if not wanted:
        return plan

    def still_breaks(candidate: Plan) -> bool:
        return not wanted.isdisjoint(broken(candidate))

    before = None
    while plan != before:
        before = plan
        for smaller in _fewer_faults(plan, still_breaks):
            plan = smaller
            on_step(plan)
        while (simpler := next(filter(still_breaks, _simpler(plan)), None)) is not None:
            plan = simpler
            on_step(plan)
    return plan


def _fewer_faults(plan: Plan, still_breaks: Callable[[Plan], bool]) -> Iterator[Plan]:
    """Yield plans with fewer and fewer faults: halves first, then one by one."""
    size = len(plan.faults)
    while size:
        start = 0
        while start < len(plan.faults):
            candidate = evolve(plan, faults=plan.faults[:start] + plan.faults[start + size :])
            if still_breaks(candidate):
                plan = candidate
                yield plan
            else:
                start += size
        size //= 2


def _simpler(plan: Plan) -> Iterator[Plan]:
    """Yield plans that differ from this one by being simpler in one respect."""
    load = plan.workload
    if load.clients > 1:
        yield evolve(plan, workload=evolve(load, clients=load.clients - 1))
    if len(load.durabilities) > 1:
        yield evolve(plan, workload=evolve(load, durabilities=load.durabilities[:1]))
    if load.wander:
        yield evolve(plan, workload=evolve(load, wander=0.0))
    if load.max_idles_s != (0.0,):
        yield evolve(plan, workload=evolve(load, max_idles_s=(0.0,)))
    if plan.clocks != {name: Clocks() for name in plan.clocks}:
        yield evolve(plan, clocks={name: Clocks() for name in plan.clocks})
    if plan.faults:
        end = max(fault.at + fault.for_s for fault in plan.faults) + 8.0
        if end < plan.duration_s - 1:
            yield evolve(plan, duration_s=round(end, 1))
    for number, fault in enumerate(plan.faults):
        for simpler in (
            evolve(fault, trigger=None) if isinstance(fault.trigger, Trigger) else fault,
            evolve(fault, gated=False),
            evolve(fault, nodes=fault.nodes[:1]) if len(fault.nodes) > 2 else fault,
        ):
            if simpler != fault:
                faults = (*plan.faults[:number], simpler, *plan.faults[number + 1 :])
                yield evolve(plan, faults=faults)
