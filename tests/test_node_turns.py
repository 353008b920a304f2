"""Turns: changes of one session in the order of asking, of different ones together."""

import trio
import trio.testing

from node.turns import Turns
from ring.identity import SessionId

ONE = SessionId(b"a.0000000000000000000001")
OTHER = SessionId(b"a.0000000000000000000002")


async def test_turns_of_one_session_come_in_the_order_of_asking(nursery: trio.Nursery) -> None:
    turns = Turns()
    order: list[int] = []

    async def wait(number: int) -> None:
        await turns.enter(ONE)
        order.append(number)

    await turns.enter(ONE)
    for number in range(3):
        nursery.start_soon(wait, number)
        await trio.testing.wait_all_tasks_blocked()
    for done in range(3):
        turns.leave(ONE)
        await trio.testing.wait_all_tasks_blocked()
        assert order == list(range(done + 1))
    turns.leave(ONE)
    assert len(turns) == 0


async def test_sessions_do_not_wait_for_each_other() -> None:
    turns = Turns()
    await turns.enter(ONE)
    await turns.enter(OTHER)
    assert len(turns) == 2


async def test_who_gives_up_waiting_is_passed_over(nursery: trio.Nursery) -> None:
    turns = Turns()
    await turns.enter(ONE)
    with trio.move_on_after(0):
        await turns.enter(ONE)
    turns.leave(ONE)
    assert len(turns) == 0


async def test_a_turn_that_comes_in_the_moment_of_giving_up_is_passed_on() -> None:
    turns = Turns()
    await turns.enter(ONE)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(turns.enter, ONE)
            await trio.testing.wait_all_tasks_blocked()
            turns.leave(ONE)
            scope.cancel()
    # The task had its turn or passed it on; either way exactly one turn is there to be left.
    if len(turns):
        turns.leave(ONE)
    assert len(turns) == 0


async def test_a_turn_that_does_not_come_in_time_is_not_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    turns = Turns()
    async with turns.within(ONE, trio.current_time() + 1) as mine:
        assert mine
        async with turns.within(ONE, trio.current_time() + 1) as second:
            assert not second
        async with turns.within(OTHER, trio.current_time() + 1) as other:
            assert other
    assert len(turns) == 0
