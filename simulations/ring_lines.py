"""A run of the local ring in plain lines: for pipes, for logs, and after the picture is gone.

Rules:
- A line is printed when it is true, so that a pipe shows the progress.
- Lines fit into 80 columns.
"""

from collections.abc import Callable, Iterator
from statistics import median
from typing import Final

import trio

from simulations.local_ring import Scene, Watcher
from simulations.ring_tally import Phase, Tally

STORIES_MAX: Final = 10

_HEADS: Final = ("s", "changes", "acknowledged", "degraded", "refused", "unknown", "broken")


class Lines(Watcher):
    """Says what happens.

    Args:
        say: takes a line, without its end.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    async def follow(
        self, scene: Scene, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Say what is about to happen."""
        options = scene.options
        self._say(
            f"{scene.title}: {counted(options.nodes, 'node')} ({', '.join(scene.nodes.names)}), "
            f"{counted(options.clients, 'client')}, {counted(options.sessions, 'session')}, "
            f"seed {options.seed}"
        )
        self._say(f"{options.seconds:g} s of load, every change to be held by {options.durability}")
        task_status.started()

    def on_started(self, scene: Scene, seconds: float) -> None:
        """Say what was started."""
        kept = f"; its files are kept in {scene.nodes.place.directory}"
        self._say(f"all ready after {seconds:.1f} s{kept if scene.nodes.place.kept else ''}")
        self._say("")
        self._say(_row("", *_HEADS))

    def on_phase(self, scene: Scene, phase: Phase) -> None:
        """Say what was seen in a phase."""
        for line in phase_lines(phase):
            self._say(line)

    def on_checked(self, scene: Scene, sessions: int) -> None:
        """Say what was checked."""
        self._say(f"checked: {counted(sessions, 'session')} read once more by another client")


def counted(number: int, what: str) -> str:
    """Return a number of things in words, such as "1 node" or "1,000 sessions"."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _row(name: str, *figures: str) -> str:
    widths = (5, 10, 13, 9, 8, 8, 7)
    cells = (f"{figure:>{width}}" for figure, width in zip(figures, widths, strict=True))
    return f"{name:<20}{''.join(cells)}"


def phase_lines(phase: Phase) -> Iterator[str]:
    """Yield what was seen in a phase: its figures, then what happened."""
    if phase.skipped:
        yield f"{phase.name:<20} skipped: {phase.skipped}"
        return
    counts = phase.counts
    figures = (counts.attempted, counts.acknowledged, counts.degraded)
    failures = (counts.refused, counts.unknown, counts.harmed)
    cells = (f"{figure:,}" for figure in (*figures, *failures))
    yield _row(phase.name, f"{phase.seconds:.1f}", *cells)
    if phase.remark:
        recovery = "" if phase.recovery_s is None else f" after {phase.recovery_s:.2f} s"
        yield f"  {phase.remark}{recovery}"
    if phase.unavailable_ms:
        yield (
            f"  away to clients: to read {_spread(phase.readable_ms)}, "
            f"and to write {_spread(phase.unavailable_ms)}"
        )


def _spread(times: list[float]) -> str:
    return f"{median(times):,.0f} ms (max {max(times):,.0f})"


def verdict_lines(tally: Tally, seed: int) -> Iterator[str]:
    """Yield what the run comes to, in plain words."""
    total = tally.total
    figures = f"lost {total.lost}, stale {total.stale}, resurrected {total.resurrected}"
    yield ""
    if tally.ok:
        yield f"kept every acknowledged change: {figures}"
    else:
        yield f"BROKEN: {figures}"
        for violation in tally.violations[:STORIES_MAX]:
            yield f"  {violation}"
        if (left_out := len(tally.violations) - STORIES_MAX) > 0:
            yield f"  and {left_out} more"
        yield f"  to look at logs and histories, run it again with --seed {seed} --keep DIR"
    yield from (f"  {what:<40}{figure}" for what, figure in _figures(tally))


def _figures(tally: Tally) -> Iterator[tuple[str, str]]:
    """Yield what was measured, by what it is called."""
    total = tally.total
    yield "changes acknowledged", f"{total.acknowledged:,} of {total.attempted:,}"
    yield "  degraded", f"{total.degraded:,}"
    percent = tally.undegraded_outside_percent
    if percent is not None:
        yield "  undegraded outside the fault windows", f"{percent:.2f} %"
    yield "outcome unknown to the client", f"{total.unknown:,}"
    yield "requests refused, and not carried out", f"{total.refused:,}"
    yield "reads", f"{tally.reads:,}"
    if tally.excused:
        yield "reads that missed what was out of reach", f"{tally.excused:,}"
    for phase in tally.phases:
        if phase.away and (times := phase.unavailable_ms):
            yield phase.away, f"median {median(times):,.0f} ms, at most {max(times):,.0f} ms"
    for phase in tally.phases:
        if phase.recovery and (seconds := phase.recovery_s) is not None:
            yield phase.recovery, f"{seconds:.2f} s"
