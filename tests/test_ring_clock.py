"""The hybrid logical clock: stamps rise, whatever the other clocks do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.clock import Clock, Stamp, stamp_ms

WALL_MS = 1_700_000_000_000
steps = st.lists(st.floats(-5, 5) | st.integers(0, 2**63).map(Stamp), max_size=20)


@given(steps)
def test_stamps_rise_strictly_and_above_everything_observed(inputs: list[float | Stamp]) -> None:
    """So a write is stamped above every stamp in the record that it changes.

    Source: Kulkarni et al., "Logical Physical Clocks", OPODIS 2014.
    """
    clock, now, greatest = Clock(WALL_MS, 100.0), 100.0, 0
    for each in inputs:
        if isinstance(each, int):
            clock.observe(Stamp(each))
            greatest = max(greatest, each)
        else:
            now += each
            stamp = clock.tick(now)
            assert stamp > greatest
            assert stamp_ms(stamp) >= clock.physical_ms(now)
            greatest = stamp
        assert clock.last == greatest


def test_the_monotonic_clock_carries_the_wall_clock_on() -> None:
    """The wall clock is read once: if it jumps later, no stamp moves."""
    clock = Clock(WALL_MS, 100.0)
    assert clock.physical_ms(100.0) == pytest.approx(WALL_MS, abs=1)
    assert clock.physical_ms(160.0) - clock.physical_ms(100.0) == 60_000
    assert stamp_ms(clock.tick(160.0)) == clock.physical_ms(160.0)
    assert clock.epoch == pytest.approx(100.0 - WALL_MS / 1000)


def test_stamps_of_one_millisecond_are_told_apart() -> None:
    clock = Clock(WALL_MS, 100.0)
    first, second = clock.tick(100.0), clock.tick(100.0)
    assert second == first + 1
    assert stamp_ms(first) == stamp_ms(second)


def test_a_stamp_from_the_future_is_passed_by_counting() -> None:
    """A member whose clock is ahead drags the others along, by its lead and no more."""
    clock = Clock(WALL_MS, 100.0)
    ahead = Stamp(WALL_MS + 5000 << 16)
    clock.observe(ahead)
    assert clock.tick(100.0) == ahead + 1
    assert stamp_ms(clock.tick(110.0)) == clock.physical_ms(110.0)


def test_an_older_stamp_is_no_news() -> None:
    clock = Clock(WALL_MS, 100.0)
    last = clock.tick(100.0)
    clock.observe(Stamp(1))
    assert clock.last == last


def test_a_clock_at_its_end_says_so_and_gives_out_nothing() -> None:
    clock = Clock(WALL_MS, 100.0)
    clock.observe(Stamp(2**64 - 1))
    with pytest.raises(OverflowError, match="end of its range"):
        clock.tick(100.0)
    assert clock.last == 2**64 - 1
