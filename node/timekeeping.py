"""Time as a node sees it: the only module of the package that reads a clock.

Rules:
- The wall clock is read once, when the node starts; from then on the monotonic clock carries it.
- The monotonic clock is trio's, so that a test with ``trio.testing.MockClock`` has virtual time
  in the whole node. It stands still while the machine is suspended, so the time of suspension is
  added: sessions age while their machine sleeps.
"""

import time
from collections.abc import Callable

import trio


def real_wall_ms() -> int:
    """Return the wall clock: milliseconds since 1970."""
    return time.time_ns() // 1_000_000


def real_suspended_s() -> float:
    """Return the seconds this machine has been suspended since it booted; 0 where unknown."""
    if not hasattr(time, "CLOCK_BOOTTIME"):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)


class Timekeeper:
    """Tells one node the time. Made inside ``trio.run``, when the node starts.

    Args:
        wall_ms: reads the wall clock, in milliseconds since 1970; called once, here.
        suspended_s: reads how long the machine has been suspended, in seconds.
    """

    def __init__(
        self,
        wall_ms: Callable[[], int] = real_wall_ms,
        suspended_s: Callable[[], float] = real_suspended_s,
    ) -> None:
        self._suspended_s = suspended_s
        self._suspended_before = suspended_s()
        self._suspended = 0.0
        self.started = self.now()
        """``now()`` when the node started."""
        self.wall_ms_at_start = wall_ms()
        """The wall clock at ``started``, in milliseconds since 1970."""

    def now(self) -> float:
        """Return monotonic seconds that also passed while the machine was suspended."""
        return trio.current_time() + self._suspended

    def wall_ms(self) -> int:
        """Return the wall clock as this node carries it on, in milliseconds since 1970."""
        return self.wall_ms_at_start + int((self.now() - self.started) * 1000)

    def deadline(self, moment: float) -> float:
        """Return ``moment`` (as of ``now()``) on trio's clock, for a cancel scope."""
        return moment - self._suspended

    def notice_suspension(self) -> None:
        """Count the time for which the machine was suspended since the last call.

        Called at every heartbeat and not at every ``now()``, where it cost twice the rest.
        """
        # The two clocks are read one after the other, so their difference wavers by microseconds:
        # only growth that no gap between two readings explains counts, and time never runs back.
        grown = self._suspended_s() - self._suspended_before
        if grown > self._suspended + 0.1:
            self._suspended = grown
