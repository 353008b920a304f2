"""Rows 10 to 12, and 16 in part: an empty member gets everything again from the other one.

Rules:
- Time counts from the start of its node until it is ready; for Redis from the order to follow until
  the link is up and every key is there. Neither counts the start of a process.
- The surviving member and the recovering one are on two cores, and so are the two servers.
- Bytes are those of the sessions, packed, whatever more crosses the wire.
"""

from contextlib import ExitStack
from typing import Final

from attrs import frozen

from benchmarks.payload import SMALL
from benchmarks.pinning import pin, placements, starting_on
from benchmarks.processes import Worker, forget_peak, memory_bytes, memory_peak_bytes
from benchmarks.redis_servers import RedisServer
from benchmarks.rings import LocalRing, local_ring
from benchmarks.run import Run

_KINDS: Final = ("hashes", "blobs")
_MB: Final = 1e6


def measure(run: Run) -> None:
    """Measure recoveries, all of the same sessions."""
    count = run.scale.recovered
    without_peer = run.leaves_out("full resync of a replica")
    if not (loopbacks := run.report.loopback):
        run.leave_out(
            "recovery against the loopback", "there is no C compiler (apt-get install gcc)"
        )
    with ExitStack() as stack:
        ring = stack.enter_context(local_ring())
        run.say(f"  creating {count} sessions")
        ring["a"].ask("create", count=count, session_bytes=SMALL)
        primaries = {}
        if not without_peer:
            for kind in _KINDS:
                run.say(f"  filling Redis with as many {kind}")
                primaries[kind] = _Primary.filled(run.redis.client, count, kind, stack)
        for _ in run.rounds(run.scale.rounds_of_many):
            seconds = _recovery(run, ring)
            for kind, primary in primaries.items():
                run.note(f"10 {kind}", "", seconds, primary.resync())
            if loopbacks:
                run.note("11", "", count * SMALL / seconds / _MB, loopbacks[-1].mb_per_s)


def _recovery(run: Run, ring: LocalRing) -> float:
    """Kill b and start it again; return the seconds until it had everything."""
    count, placement = run.scale.recovered, placements()[-1]
    survivor = ring["a"]
    ring.stop("b")
    with starting_on(placement.there):
        ring.prepare("b")
    pin([survivor.id], placement.here)
    steady = memory_bytes(survivor.id)
    forget_peak(survivor.id)
    survivor.ask("watch_lag")
    ring.open("b")
    run.note("16 recovery", "survivor", survivor.ask("lag")["p99_ms"])
    run.note("16 recovery", "recovering", ring.began["b"]["p99_ms"])
    peak, recovered = memory_peak_bytes(survivor.id), ring["b"]
    run.note("12", "survivor", peak / _MB, steady / _MB)
    ring.wait_linked()
    now = memory_bytes(recovered.id)
    run.note("12", "recovering", memory_peak_bytes(recovered.id) / _MB, now / _MB)
    held = recovered.ask("status")["records"]["a"]
    assert held == count, f"b is ready with {held} of {count} sessions"
    return ring.began["b"]["ready_s"]


@frozen
class _Primary:
    """A server that has all sessions."""

    client: Worker
    server: RedisServer

    @classmethod
    def filled(cls, client: Worker, count: int, kind: str, stack: ExitStack) -> "_Primary":
        with starting_on(placements()[-1].here):
            server = RedisServer()
        stack.callback(server.stop)
        more = {"count": count, "session_bytes": SMALL, "kind": kind}
        client.ask("fill", port=server.port, **more)
        return cls(client, server)

    def resync(self) -> float:
        """Have an empty replica follow it; return the seconds until it had everything."""
        with starting_on(placements()[-1].there):
            replica = RedisServer()
        try:
            return float(self.client.ask("follow", port=replica.port, primary=self.server.port))
        finally:
            replica.stop()
