"""The hybrid logical clock: stamps that order changes across the ring without shared time.

Rules:
- A stamp is one 64-bit integer: milliseconds since 1970 in the upper 48 bits, a counter in the
  lower 16. Stamps of one clock rise strictly, and above every stamp that it has observed.
- The wall clock is read once, at start, and brought in; the monotonic clock carries it on. So a
  wall clock that jumps moves no stamp.

Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014; the packing into one integer
follows CockroachDB's and many others'.
"""

from typing import Final, NewType

Stamp = NewType("Stamp", int)
"""A reading of the hybrid logical clock, 0 to 2**64 - 1; 0 is before every reading."""

STAMP_BYTES: Final = 8
_COUNTER_BITS: Final = 16
_STAMP_MAX: Final = (1 << 64) - 1


def stamp_ms(stamp: Stamp) -> int:
    """Return the physical part of ``stamp``: milliseconds since 1970."""
    return stamp >> _COUNTER_BITS


def earliest(ms: int) -> Stamp:
    """Return the first stamp of a millisecond since 1970; of one before that, the first of all."""
    return Stamp(max(0, ms) << _COUNTER_BITS)


class Clock:
    """A hybrid logical clock driven by the ``now`` of its callers.

    Args:
        wall_ms: the wall clock at ``now``, in milliseconds since 1970.
        now: the monotonic clock at the same moment, in seconds.
    """

    def __init__(self, wall_ms: int, now: float) -> None:
        self._epoch = now - wall_ms / 1000
        self._last = Stamp(0)

    @property
    def epoch(self) -> float:
        """The monotonic time, in seconds, at which this clock's physical part would be 0."""
        return self._epoch

    @property
    def last(self) -> Stamp:
        """The greatest stamp that was given out or observed."""
        return self._last

    def physical_ms(self, now: float) -> int:
        """Return milliseconds since 1970 as this clock carries them, without a new stamp."""
        return int((now - self._epoch) * 1000)

    def reading(self, now: float) -> Stamp:
        """Return the stamp of this moment for a note; it is given out again."""
        return Stamp(max(self.physical_ms(now) << _COUNTER_BITS, self._last))

    def tick(self, now: float) -> Stamp:
        """Return a new stamp, greater than every stamp given out or observed before.

        Raises:
            OverflowError: the clock was pushed to the end of its range, some 8,900 years away.
        """
        stamp = Stamp(max(self.physical_ms(now) << _COUNTER_BITS, self._last + 1))
        if stamp > _STAMP_MAX:
            raise OverflowError("the hybrid logical clock has reached the end of its range")
        self._last = stamp
        return stamp

    def observe(self, stamp: Stamp) -> None:
        """Let every later stamp be greater than ``stamp``, which came from elsewhere."""
        if stamp > self._last:
            self._last = stamp
