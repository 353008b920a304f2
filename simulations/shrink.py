"""Smaller plans that still break the same promise: what is left tells what it takes.

Rules:
- A step is kept if the smaller plan breaks one of the promises that the first one broke.
- Streams of randomness are separate, so that removing one fault leaves the rest as it was; still,
  a smaller plan is another run, and only running it tells.
"""

from collections.abc import Callable, Iterator
from typing import Final

from attrs import evolve

from simulations.plan import Clocks, Plan, Trigger
from simulations.run import failing_promises, run

ROUNDS_MAX: Final = 8


def shrink(plan: Plan, on_step: Callable[[Plan], None] = lambda plan: None) -> Plan:
    """Return a smaller plan that breaks one of the promises that ``plan`` breaks.

    Args:
        plan: breaks at least one promise.
        on_step: is told each smaller plan that does so too.
    """
    wanted = set(failing_promises(run(plan)))
    if not wanted:
        return plan
    for _ in range(ROUNDS_MAX):
        before = plan
        for smaller in _fewer_faults(plan, wanted):
            plan = smaller
            on_step(plan)
        for candidate in _simpler(plan):
            if wanted & set(failing_promises(run(candidate))):
                plan = candidate
                on_step(plan)
        if plan == before:
            break
    return plan


def _fewer_faults(plan: Plan, wanted: set[str]) -> Iterator[Plan]:
    """Yield plans with fewer and fewer faults: halves first, then one by one."""
    size = len(plan.faults)
    while size:
        start = 0
        while start < len(plan.faults):
            rest = plan.faults[:start] + plan.faults[start + size :]
            candidate = evolve(plan, faults=rest)
            if wanted & set(failing_promises(run(candidate))):
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
