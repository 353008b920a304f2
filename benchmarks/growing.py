"""Row 18: what a write costs in a larger ring of real processes.

Rule: the owner has a core for itself, if there are two, and all others share the other one, so that
what more members cost the owner is told apart from what they cost the machine.
"""

from contextlib import ExitStack

from benchmarks.payload import SMALL
from benchmarks.pinning import pin, placements
from benchmarks.processes import cpu_s
from benchmarks.rings import local_ring
from benchmarks.run import Run
from benchmarks.writing import WRITERS


def measure(run: Run) -> None:
    """Measure single writes in rings of each size, and the CPU time of one among many."""
    first, *larger = run.scale.sizes
    for _ in run.rounds(run.scale.rounds_of_many):
        alone_us, many_us = write_costs(first, run.scale.seconds)
        for size in larger:
            alone, many = write_costs(size, run.scale.seconds)
            run.note("18", f"{size} members, p50", alone, alone_us)
            run.note("18", f"{size} members, owner's CPU time", many, many_us)


def write_costs(size: int, seconds: float) -> tuple[float, float]:
    """Return a write's median time, and the owner's CPU time for one of many, in microseconds."""
    placement = placements()[-1]
    with ExitStack() as stack:
        ring = stack.enter_context(local_ring(size))
        owner = ring["a"]
        owner.ask("create", count=WRITERS, session_bytes=SMALL)
        pin([owner.id], placement.here)
        pin(ring.others("a"), placement.there)
        amount = {"change": "one", "session_bytes": SMALL, "seconds": seconds}
        alone = owner.ask("latency", **amount)
        before = cpu_s(owner.id)
        done = owner.ask("rate", writers=WRITERS, **amount) * seconds
        return float(alone), (cpu_s(owner.id) - before) / done * 1e6
