"""The node's clock: virtual in tests, and on when the machine slept."""

import trio.testing

from node.timekeeping import Timekeeper, real_suspended_s, real_wall_ms


async def test_time_is_virtual_under_a_mock_clock(mock_clock: trio.testing.MockClock) -> None:
    timekeeper = Timekeeper(wall_ms=lambda: 1_000_000)
    started = timekeeper.now()
    mock_clock.jump(5)
    assert timekeeper.now() - started == 5
    assert timekeeper.wall_ms() == 1_005_000


async def test_a_suspension_counts_and_time_never_runs_back(
    mock_clock: trio.testing.MockClock,
) -> None:
    suspended = [100.0]
    timekeeper = Timekeeper(wall_ms=lambda: 0, suspended_s=lambda: suspended[0])
    started = timekeeper.now()
    for reading, expected in [(100.00001, 0), (99.99999, 0), (3700.0, 3600), (3699.9999, 3600)]:
        suspended[0] = reading
        timekeeper.notice_suspension()
        assert timekeeper.now() - started == expected
    assert timekeeper.deadline(timekeeper.now()) == trio.current_time()


def test_the_real_clocks_read() -> None:
    assert real_wall_ms() > 1_500_000_000_000
    assert real_suspended_s() > -1
