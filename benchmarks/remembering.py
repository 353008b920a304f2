"""Rows 13 and 14: what a session takes in memory, at its owner and at a backup.

Rule: it is what the process has in memory with the sessions, less what it had before the first of
them; what creating them has left behind counts.
"""

from typing import Final

from benchmarks.payload import LARGE, SMALL
from benchmarks.processes import memory_bytes
from benchmarks.redis_servers import RedisServer
from benchmarks.rings import local_ring
from benchmarks.run import Run

_KINDS: Final = {"hash": "hashes", "blob": "blobs"}


def measure(run: Run) -> None:
    """Measure small sessions and large ones."""
    if run.leaves_out("memory of sessions"):
        return
    rows = ((13, SMALL, run.scale.held), (14, LARGE, max(1, run.scale.held // 8)))
    for _ in run.rounds(run.scale.rounds_of_many):
        for row, session_bytes, count in rows:
            ours = node_bytes(count, session_bytes)
            for kind, kinds in _KINDS.items():
                theirs = _redis_bytes(run, count, session_bytes, kinds)
                for member, each in zip(("owner", "backup"), ours, strict=True):
                    run.note(f"{row} {kind}", member, each, theirs)


def node_bytes(count: int, session_bytes: int) -> tuple[float, float]:
    """Return what each of so many sessions takes at its owner, and at its backup."""
    with local_ring() as ring:
        # The first session brings what all of them need, such as modules and the room of a link.
        ring["a"].ask("create", count=1, session_bytes=session_bytes)
        owner, backup = ring["a"].id, ring["b"].id
        before = memory_bytes(owner), memory_bytes(backup)
        ring["a"].ask("create", count=count, session_bytes=session_bytes)
        return (memory_bytes(owner) - before[0]) / count, (memory_bytes(backup) - before[1]) / count


def _redis_bytes(run: Run, count: int, session_bytes: int, kind: str) -> float:
    client, server = run.redis.client, RedisServer()
    try:
        more = {"session_bytes": session_bytes, "kind": kind}
        client.ask("fill", port=server.port, count=1, **more)
        before = memory_bytes(server.id)
        client.ask("fill", port=server.port, count=count, **more)
        return (memory_bytes(server.id) - before) / count
    finally:
        server.stop()
