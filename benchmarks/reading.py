"""Rows 1 to 3: what a read costs where the session is, against fetching it.

Source: a request reads its session at least once; that read is most of what a session store does.
"""

from benchmarks.pinning import placements
from benchmarks.run import Run, Side


def measure(run: Run) -> None:
    """Measure reads of whole sessions, of one attribute, and of one that was just read."""
    if run.leaves_out("reads"):
        return
    member, peer, seconds = run.ring["a"], run.redis, run.scale.seconds

    def read(what: str) -> Side:
        return Side(lambda: float(member.ask("read", what=what, seconds=seconds)), [member.id])

    get = Side(lambda: float(peer.ask(peer.primary, "read", seconds=seconds)), peer.processes)
    for number in run.rounds():
        for placement in placements():
            run.place(placement)
            for key, what in (("1", "session"), ("2", "attribute"), ("3", "again")):
                run.compare(key, placement.name, number, read(what), get)
