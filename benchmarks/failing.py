"""Row 17: an owner is killed; how long until its sessions can be read and written elsewhere.

Rule: the clock starts with the kill, and stops when the successor has found every session, and
when it has saved every one. Both processes read the same monotonic clock.
"""

import time

from benchmarks.payload import SMALL
from benchmarks.pinning import pin, placements
from benchmarks.rings import local_ring
from benchmarks.run import Run

_SESSIONS = 20


def measure(run: Run) -> None:
    """Kill one of three members, in a new ring in each round."""
    placement = placements()[-1]
    for _ in run.rounds(run.scale.rounds_of_many):
        with local_ring(3) as ring:
            ring["a"].ask("create", count=_SESSIONS, session_bytes=SMALL)
            pin([ring["a"].id], placement.here)
            pin(ring.others("a"), placement.there)
            ids = ring["a"].ask("ids")
            killed = time.monotonic()
            ring.stop("a")
            when = ring["b"].ask("await_taken_over", ids=ids)
            for what in ("readable", "writable"):
                run.note("17", what, when[what] - killed)
