"""One run: how much is measured, what is running meanwhile, and what is taken down.

Rules:
- In each round both sides are measured one right after the other, and who begins changes.
- What is started stays for all that is measured with it, and is ended with the run.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property

from attrs import frozen

from benchmarks.payload import SMALL
from benchmarks.pinning import Placement, pin
from benchmarks.processes import cpu_s
from benchmarks.redis_servers import RedisPeer, redis_peer
from benchmarks.report import Report, Sample
from benchmarks.rings import LocalRing, local_ring


@frozen
class Scale:
    """How much is measured."""

    rounds: int = 5
    seconds: float = 0.5
    """For each side of each figure, in each round."""
    sessions: int = 1000
    """That are read and written in turn."""
    recovered: int = 100_000
    """Sessions of a recovery."""
    held: int = 50_000
    """Sessions whose memory is measured; of the large ones, an eighth of it."""
    changes: int = 2_000
    """Changes whose bytes are counted."""
    sizes: tuple[int, ...] = (3, 4, 5, 6, 7, 8)
    """Of rings; the first one is what the others are compared with."""

    @property
    def rounds_of_many(self) -> int:
        """Rounds of what takes many seconds each: at most 3."""
        return min(self.rounds, 3)


@frozen
class Side:
    """How one side is measured."""

    measure: Callable[[], float]
    processes: Sequence[int] = ()
    """All that work for it; their CPU time is noted."""


@frozen
class Run:
    """What all measurements share."""

    scale: Scale
    report: Report
    say: Callable[[str], None]
    lacks_peer: str | None
    """Why there is no Redis; None: there is."""
    _stack: ExitStack
    """Ends what was started."""

    # --- What runs meanwhile ------------------------------------------------------------------

    @cached_property
    def ring(self) -> LocalRing:
        """A ring of two, in which ``a`` has created sessions of 516 bytes."""
        ring = self._stack.enter_context(local_ring())
        ring["a"].ask("create", count=self.scale.sessions, session_bytes=SMALL)
        return ring

    @cached_property
    def redis(self) -> RedisPeer:
        """Redis, whose two servers have such sessions as well, as values."""
        peer = self._stack.enter_context(redis_peer())
        self.report.machine.update(peer.versions)
        for server in (peer.primary, peer.alone):
            more = {"count": self.scale.sessions, "session_bytes": SMALL, "kind": "blobs"}
            peer.client.ask("fill", port=server.port, **more)
        return peer

    def place(self, placement: Placement) -> None:
        """Put the applications on one core, and what they talk to on the other."""
        ring = self.ring
        pin([ring["a"].id], placement.here)
        pin(ring.others("a"), placement.there)
        if self.lacks_peer is None:
            peer = self.redis
            pin([peer.client.id], placement.here)
            pin(peer.servers, placement.there)

    # --- What is taken down -------------------------------------------------------------------

    def rounds(self, count: int | None = None) -> Iterable[int]:
        """Count the rounds, aloud."""
        count = count or self.scale.rounds
        for number in range(count):
            self.say(f"  round {number + 1} of {count}")
            yield number

    def compare(
        self, key: str, variant: str, round_number: int, ours: Side, theirs: Side | None = None
    ) -> None:
        """Measure both sides, and keep what they say."""
        values: dict[str, float] = {}
        sides = {"ours": ours, "theirs": theirs}
        for name in ("theirs", "ours") if round_number % 2 else ("ours", "theirs"):
            if (side := sides[name]) is not None:
                before = sum(map(cpu_s, side.processes))
                values[name] = side.measure()
                values[f"{name}_cpu_s"] = sum(map(cpu_s, side.processes)) - before
        sample = Sample(**values)
        self.report.add(key, variant, sample)

    def note(self, key: str, variant: str, ours: float, theirs: float | None = None) -> None:
        """Keep what was measured otherwise."""
        self.report.add(key, variant, Sample(ours, theirs))

    def leaves_out(self, what: str) -> bool:
        """Return whether something is left out, for want of Redis; say so if it is."""
        if self.lacks_peer is None:
            return False
        self.leave_out(what, self.lacks_peer)
        return True

    def leave_out(self, what: str, why: str) -> None:
        """Say that something is not measured."""
        line = f"not measured: {what}: {why}"
        self.report.left_out.append(line)
        self.say(f"  {line}")
