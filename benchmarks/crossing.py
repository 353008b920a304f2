"""Row 15: the bytes on the wire, as a transport sees them that counts.

Rule: whatever crosses counts, digests, acknowledgements and heartbeats included; only the packed
values that were written do not.
"""

from statistics import median
from typing import Final

from benchmarks.payload import SMALL
from benchmarks.processes import Worker
from benchmarks.rings import local_ring
from benchmarks.run import Run

_READS: Final = 200
_SLICES: Final = 11
"""Of reads; a heartbeat falls into few of them, so that it does not move the median."""


def measure(run: Run) -> None:
    """Measure changes that go out together, changes one by one, and reads."""
    with local_ring(counted=True) as ring:
        member = ring["a"]
        member.ask("create", count=run.scale.sessions, session_bytes=SMALL)
        for _ in run.rounds(run.scale.rounds_of_many):
            sent, received = _beyond(member, run.scale.changes, "local")
            run.note("15 change", "many at once, sent", sent)
            run.note("15 change", "many at once, both ways", sent + received)
            sent, received = _beyond(member, max(2, run.scale.changes // 10), "backup")
            run.note("15 change", "one by one, sent", sent)
            run.note("15 change", "one by one, both ways", sent + received)
            run.note("15 read", "both ways", _read(member))


def _beyond(member: Worker, count: int, durability: str) -> tuple[float, float]:
    """Return what a change of one attribute sends beyond its value, and what comes back."""
    before = member.ask("crossed")
    more = {"change": "one", "session_bytes": SMALL, "durability": durability}
    value_bytes = member.ask("write", count=count, **more)
    after = member.ask("crossed")
    sent, received = (after[way] - before[way] for way in ("sent", "received"))
    return sent / count - value_bytes, received / count


def _read(member: Worker) -> float:
    slices: list[int] = []
    for _ in range(_SLICES):
        before = sum(member.ask("crossed").values())
        member.ask("read_many", count=_READS)
        slices.append(sum(member.ask("crossed").values()) - before)
    return median(slices) / _READS
