"""Row 16: how long the loop of events is kept waiting while changes stream at full rate."""

from benchmarks.payload import SMALL
from benchmarks.pinning import placements
from benchmarks.run import Run
from benchmarks.writing import WRITERS


def measure(run: Run) -> None:
    """Measure the owner's loop, and that of the backup."""
    ring = run.ring
    amount = {"session_bytes": SMALL, "seconds": max(run.scale.seconds, 0.05), "change": "all"}
    for _ in run.rounds():
        for placement in placements():
            run.place(placement)
            for member in ring.members.values():
                member.ask("watch_lag")
            ring["a"].ask("rate", writers=WRITERS, **amount)
            for name, who in (("a", "owner"), ("b", "backup")):
                lag = ring[name].ask("lag")["p99_ms"]
                run.note("16 streaming", f"{placement.name}, {who}", lag)
