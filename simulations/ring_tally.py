"""What is counted in a run of the local ring, phase by phase, and what it comes to.

Rules:
- An operation counts in the phase in which it returned, a violation where it was found; so the
  counts of the phases add up to those of the run.
- A lost, stale or resurrected change counts once, however many clients read it.
- Changes count as outside the fault windows if no window was open at any time from their asking
  to their answer.
"""

from collections.abc import Iterable
from statistics import median
from typing import Any, Final

from attrs import asdict, define, field

from simulations.history import Kind, Operation, Outcome
from simulations.violation import Harm, Violation

CHANGES: Final = frozenset({Kind.CREATE, Kind.SAVE, Kind.END, Kind.ROTATE})


@define
class Counts:
    """How often something happened."""

    sessions: int = 0
    """Sessions that clients set out to create."""
    attempted: int = 0
    """Changes that were asked for: creations, saves, ends."""
    acknowledged: int = 0
    """Changes with a receipt."""
    degraded: int = 0
    """Receipts that name fewer than was asked for."""
    lost: int = 0
    stale: int = 0
    resurrected: int = 0
    refused: int = 0
    """Requests that certainly did not happen: nobody could carry them out in time."""
    unknown: int = 0
    """Changes whose outcome their client does not know."""

    @property
    def harmed(self) -> int:
        """Broken promises of any kind."""
        return self.lost + self.stale + self.resurrected


@define
class Phase:
    """One part of the script, and what was seen in it."""

    name: str
    counts: Counts = field(factory=Counts)
    skipped: str | None = None
    """Why it was not played."""
    unavailable_ms: list[float] = field(factory=list)
    """For each probe: milliseconds from the kill until its session was readable and writable."""
    readable_ms: list[float] = field(factory=list)
    """The same, until it was readable."""
    recovery_s: float | None = None
    """Seconds from the start of the node (the last of them) until it was ready."""
    seconds: float = 0.0
    remark: str = ""
    """What happened, in words."""
    away: str = ""
    """What the times of the probes are to people, in words."""
    recovery: str = ""
    """What the recovery is to people, in words."""

    def as_json(self) -> dict[str, Any]:
        """Return the phase as the script prints it."""
        times = self.unavailable_ms
        return {
            "name": self.name,
            "skipped": self.skipped,
            **asdict(self.counts),
            "unavailable_ms_median": round(median(times), 1) if times else None,
            "unavailable_ms_max": round(max(times), 1) if times else None,
            "recovery_s": None if self.recovery_s is None else round(self.recovery_s, 3),
        }


class Tally:
    """Counts what clients are told."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.total = Counts()
        self.reads = 0
        self.excused = 0
        """Reads that missed something which the faults may have taken, or keep apart."""
        self.outside_acknowledged = 0
        self.outside_degraded = 0
        self.violations: list[Violation] = []
        """Each harm once."""
        self._harmed: set[tuple[Harm, str, int | None]] = set()
        self._window_open = False
        self._window_closed_at = float("-inf")

    @property
    def phase(self) -> Phase:
        """The phase that is played now."""
        return self.phases[-1]

    def begin(self, name: str) -> Phase:
        """Begin the next phase."""
        self.phases.append(Phase(name))
        return self.phase

    def open_window(self) -> None:
        """A fault happens: from now on degraded receipts are no surprise."""
        self._window_open = True

    def close_window(self, now: float) -> None:
        """The fault is over, and its consequences ought to be."""
        self._window_open, self._window_closed_at = False, now

    def add_session(self) -> None:
        """Count a session that a client sets out to create."""
        for counts in (self.phase.counts, self.total):
            counts.sessions += 1

    def add_operation(self, operation: Operation) -> None:
        """Count an operation that has returned."""
        # A session that is gone was ended by another client: that is an answer.
        refused = operation.outcome is Outcome.FAILED and operation.reason != "gone"
        for counts in (self.phase.counts, self.total):
            counts.refused += refused
        if operation.kind not in CHANGES:
            self.reads += 1
            return
        acknowledged = operation.outcome is Outcome.OK
        degraded = acknowledged and operation.degraded
        for counts in (self.phase.counts, self.total):
            counts.attempted += 1
            counts.acknowledged += acknowledged
            counts.degraded += degraded
            counts.unknown += operation.outcome is Outcome.UNKNOWN
        if not self._window_open and operation.invoked > self._window_closed_at:
            self.outside_acknowledged += acknowledged
            self.outside_degraded += degraded

    def add_violations(self, violations: Iterable[Violation]) -> None:
        """Count violations, each harm once."""
        for violation in violations:
            harm = violation.harm
            assert harm is not None, "every promise that clients can see broken harms somebody"
            key = (harm, violation.session, violation.writer)
            if key not in self._harmed:
                self._harmed.add(key)
                self.violations.append(violation)
                for counts in (self.phase.counts, self.total):
                    counts.lost += harm is Harm.LOST
                    counts.stale += harm is Harm.STALE
                    counts.resurrected += harm is Harm.RESURRECTED

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return not self.total.harmed

    @property
    def undegraded_outside_percent(self) -> float | None:
        """The share of undegraded receipts outside the fault windows; None if there were none."""
        if not self.outside_acknowledged:
            return None
        return 100 * (1 - self.outside_degraded / self.outside_acknowledged)

    def as_json(self, nodes: int, seed: int) -> dict[str, Any]:
        """Return the run as the script prints it."""
        percent = self.undegraded_outside_percent
        return {
            "nodes": nodes,
            "seed": seed,
            **asdict(self.total),
            "undegraded_outside_faults_percent": None if percent is None else round(percent, 3),
            "ok": self.ok,
            "phases": [phase.as_json() for phase in self.phases],
        }
