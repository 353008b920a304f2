"""What is measured, against whom, and what has to come of it.

Rules:
- A figure is what the medians of one round make of both sides, so that what the machine does in
  that round meets both. Only figures are judged, never absolute times.
- The bar has to hold. The goal is what the project is after.
"""

from enum import StrEnum
from typing import Final

from attrs import frozen


class Judged(StrEnum):
    """What is made of the two sides, and which way is better."""

    FASTER = "faster"
    """Times faster: theirs over ours, at least."""
    MORE = "more"
    """Times as many: ours over theirs, at least."""
    PART = "part"
    """Which part of theirs is reached: ours over theirs, at least."""
    COST = "cost"
    """How much of theirs it takes: ours over theirs, at most."""
    PLAIN = "plain"
    """Ours alone, at most."""


@frozen
class Goal:
    """One thing that is measured."""

    row: int
    """Where it stands in the table."""
    part: str
    """Which part of the row, if it has several with bars of their own."""
    title: str
    peer: str
    """Against what; empty: against nothing."""
    unit: str
    """Of both sides."""
    judged: Judged
    bar: float
    goal: float

    @property
    def key(self) -> str:
        """What it is called in files."""
        return f"{self.row} {self.part}".strip()

    @property
    def is_at_least(self) -> bool:
        """Whether more is better."""
        return self.judged in (Judged.FASTER, Judged.MORE, Judged.PART)

    def figure(self, ours: float, theirs: float | None) -> float:
        """Return what the two sides make."""
        if self.judged is Judged.PLAIN:
            return ours
        assert theirs is not None, "it is compared with something"
        return theirs / ours if self.judged is Judged.FASTER else ours / theirs

    def holds(self, figure: float) -> bool:
        """Return whether a figure is within the bar."""
        return figure >= self.bar if self.is_at_least else figure <= self.bar

    def said(self, figure: float) -> str:
        """Return a figure in words."""
        match self.judged:
            case Judged.FASTER | Judged.MORE:
                return f"{figure:.3g}x"
            case Judged.PART:
                return f"{100 * figure:.3g} %"
            case Judged.COST:
                return f"{figure:.2f}"
            case Judged.PLAIN:
                return f"{figure:.3g} {self.unit}"


_GET: Final = "redis-py GET, decoded"
_WAIT: Final = "redis-py SET + WAIT 1"
_EX: Final = "redis-py SET EX, no replica"
_TASKS: Final = "redis.asyncio SET + WAIT, 64 tasks"
_PIPELINE: Final = "redis-py pipeline of 100 SET + WAIT"
_PIPELINE_ALONE: Final = "redis-py pipeline of 100 SET, no replica"
_RECOVERY: Final = "full recovery of a member"
_HASHES: Final = "full resync of a replica, hashes"
_BLOBS: Final = "full resync of a replica, blobs"
_LARGER: Final = "acknowledged write in a larger ring"

FASTER, MORE, PART, COST, PLAIN = Judged

GOALS: Final = {
    goal.key: goal
    for goal in (
        Goal(1, "", "read of a whole session, p50", _GET, "µs", FASTER, 7, 9),
        Goal(2, "", "read of one attribute, p50", _GET, "µs", FASTER, 10, 14),
        Goal(3, "", "read of one attribute, again, p50", _GET, "µs", FASTER, 40, 80),
        Goal(4, "one core", "acknowledged write, p50", _WAIT, "µs", FASTER, 1.5, 2),
        Goal(4, "split", "acknowledged write, p50", _WAIT, "µs", FASTER, 1.2, 1.5),
        Goal(5, "", "acknowledged write, p50", _EX, "µs", FASTER, 0.75, 1),
        Goal(6, "", "acknowledged writes, 64 writers", _TASKS, "/s", MORE, 6, 10),
        Goal(7, "", "acknowledged writes, 64 writers", _PIPELINE, "/s", MORE, 1.2, 1.8),
        Goal(9, "", "replicated changes, durability local", _PIPELINE_ALONE, "/s", MORE, 3, 6),
        Goal(10, "hashes", _RECOVERY, _HASHES, "s", FASTER, 3, 5),
        Goal(10, "blobs", _RECOVERY, _BLOBS, "s", FASTER, 2, 3.5),
        Goal(11, "", "recovery, bytes of sessions", "loopback in C", "MB/s", PART, 0.05, 0.1),
        Goal(12, "", "peak memory while recovering", "steady memory", "MB", COST, 1.1, 1.03),
        Goal(13, "hash", "memory per session of 516 B", "hash", "B", COST, 0.7, 0.6),
        Goal(13, "blob", "memory per session of 516 B", "blob", "B", COST, 1.05, 0.9),
        Goal(14, "hash", "memory per session of 4.09 KB", "hash", "B", COST, 0.9, 0.85),
        Goal(14, "blob", "memory per session of 4.09 KB", "blob", "B", COST, 0.95, 0.88),
        Goal(15, "change", "wire bytes beyond the value", "", "B", PLAIN, 64, 52),
        Goal(15, "read", "wire bytes of a read", "", "B", PLAIN, 0, 0),
        Goal(16, "streaming", "lag of the event loop, p99", "", "ms", PLAIN, 15, 8),
        Goal(16, "recovery", "lag of the event loop, p99", "", "ms", PLAIN, 15, 8),
        Goal(17, "", "owner killed, until its successor serves", "", "s", PLAIN, 2, 0.2),
        Goal(18, "", _LARGER, "in a ring of 3", "µs", COST, 1.5, 1.1),
    )
}
"""Row 8, writes from many threads, waits for a way from threads to the node."""
