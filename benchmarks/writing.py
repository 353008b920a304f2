"""Rows 4 to 7 and 9: what a write costs, alone and among many, against Redis.

Rules:
- The peer's client is the one of its kind that does best: a write and its WAIT go out together,
  and many writes go out as a pipeline.
- What is written is one attribute of a session, as a request does it, or all of them. A store of
  values gets the whole session either way.
"""

from typing import Final

from benchmarks.payload import SMALL
from benchmarks.pinning import placements
from benchmarks.run import Run, Side

WRITERS: Final = 64

_CHANGES: Final = {"one": "one attribute", "all": "all attributes"}


def measure_latency(run: Run) -> None:
    """Measure single writes: rows 4 and 5."""
    if run.leaves_out("single writes"):
        return
    ring, peer = run.ring, run.redis
    amount = {"session_bytes": SMALL, "seconds": run.scale.seconds}

    def save(change: str) -> Side:
        return Side(
            lambda: float(ring["a"].ask("latency", change=change, **amount)), ring.processes
        )

    def put(wait: bool) -> Side:
        server = peer.primary if wait else peer.alone
        return Side(lambda: float(peer.ask(server, "latency", wait=wait, **amount)), peer.processes)

    for number in run.rounds():
        for placement in placements():
            run.place(placement)
            for change, words in _CHANGES.items():
                run.compare(f"4 {placement.name}", words, number, save(change), put(wait=True))
                variant = f"{placement.name}, {words}"
                run.compare("5", variant, number, save(change), put(wait=False))


def measure_rate(run: Run) -> None:
    """Measure how many writes there are in a second: rows 6, 7 and 9."""
    if run.leaves_out("writes in a second"):
        return
    ring, peer = run.ring, run.redis
    amount = {"session_bytes": SMALL, "seconds": run.scale.seconds}

    def save(change: str) -> Side:
        more = {"writers": WRITERS, "change": change, **amount}
        return Side(lambda: float(ring["a"].ask("rate", **more)), ring.processes)

    def stream(change: str) -> Side:
        return Side(lambda: float(ring["a"].ask("stream", change=change, **amount)), ring.processes)

    def pipeline(wait: bool) -> Side:
        server = peer.primary if wait else peer.alone
        return Side(
            lambda: float(peer.ask(server, "pipelined", wait=wait, **amount)), peer.processes
        )

    tasks = Side(
        lambda: float(peer.ask(peer.primary, "tasks", writers=WRITERS, **amount)), peer.processes
    )
    for number in run.rounds():
        for placement in placements():
            run.place(placement)
            for change, words in _CHANGES.items():
                variant = f"{placement.name}, {words}"
                run.compare("6", variant, number, save(change), tasks)
                run.compare("7", variant, number, save(change), pipeline(wait=True))
                run.compare("9", variant, number, stream(change), pipeline(wait=False))
    ids = ring["a"].ask("ids")
    assert ring["a"].ask("values", ids=ids) == ring["b"].ask("values", ids=ids), "b lacks changes"
