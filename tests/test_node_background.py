"""Background tasks: the block's errors as they are, the tasks' errors loud."""

import random

import pytest
import trio
import trio.testing

from node.background import background_nursery
from node.randomness import checked_random
from ring.errors import ConfigError


async def test_what_the_block_raises_comes_out_as_it_is() -> None:
    async def block() -> None:
        async with background_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await block()


async def test_tasks_end_with_the_block() -> None:
    with trio.fail_after(1):
        async with background_nursery() as nursery:
            nursery.start_soon(trio.sleep_forever)


async def test_tasks_are_still_there_for_what_a_cancelled_block_does_last() -> None:
    done: list[str] = []
    asked = trio.Event()

    async def serve() -> None:
        await asked.wait()
        done.append("served")

    with trio.CancelScope() as scope:
        async with background_nursery() as nursery:
            nursery.start_soon(serve)
            scope.cancel()
            try:
                await trio.sleep_forever()
            finally:
                asked.set()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
    assert done == ["served"]


async def test_a_bug_in_a_task_cancels_the_block_and_is_raised() -> None:
    async def fail() -> None:
        raise ZeroDivisionError("ours")

    async def block() -> None:
        async with background_nursery() as nursery:
            nursery.start_soon(fail)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await block()
    assert caught.group_contains(ZeroDivisionError)


async def test_a_cancelled_block_is_cancelled_not_failed() -> None:
    with trio.move_on_after(0) as scope:
        async with background_nursery():
            await trio.sleep_forever()
    assert scope.cancelled_caught


def test_randomness_that_can_be_foretold_is_refused_outside_simulations() -> None:
    assert isinstance(checked_random(None, simulated=False), random.SystemRandom)
    system = random.SystemRandom()
    assert checked_random(system, simulated=False) is system
    plain = random.Random(1)
    assert checked_random(plain, simulated=True) is plain
    with pytest.raises(ConfigError, match="foretold"):
        checked_random(plain, simulated=False)
