"""The doorbell: never lost, never queued."""

import pytest
import trio
import trio.testing

from node.doorbell import Doorbell


async def test_a_ring_before_the_wait_is_not_lost_and_two_are_one() -> None:
    bell = Doorbell()
    bell.ring()
    bell.ring()
    await bell.wait()
    with trio.move_on_after(0) as scope:
        await bell.wait()
    assert scope.cancelled_caught


async def test_a_ring_wakes_the_waiting_task(nursery: trio.Nursery) -> None:
    bell = Doorbell()
    woken = []

    async def wait_twice() -> None:
        for turn in range(2):
            await bell.wait()
            woken.append(turn)

    nursery.start_soon(wait_twice)
    await trio.testing.wait_all_tasks_blocked()
    bell.ring()
    bell.ring()
    await trio.testing.wait_all_tasks_blocked()
    assert woken == [0, 1]


async def test_a_cancelled_wait_leaves_the_bell_usable() -> None:
    bell = Doorbell()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    bell.ring()
    with trio.CancelScope() as scope:
        scope.cancel()
        await bell.wait()
    assert bell.rung, "a ring that nobody took is kept"
    await bell.wait()


async def test_two_waiters_are_our_bug(nursery: trio.Nursery) -> None:
    bell = Doorbell()
    nursery.start_soon(bell.wait)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(AssertionError):
        await bell.wait()
    bell.ring()
