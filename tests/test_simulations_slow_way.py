"""A slow way: in order, later, whole; and broken at once where one side is."""

import pytest
import trio
import trio.testing

from simulations.slow_way import join

DELAY_S = 0.25


async def opened(nursery: trio.Nursery) -> tuple[trio.abc.HalfCloseableStream, ...]:
    """Return the two ends of a slow way; what is joined in the middle is closed when it ends."""
    one, near = trio.testing.memory_stream_pair()
    far, other = trio.testing.memory_stream_pair()

    async def carry() -> None:
        async with near, far:
            await join(near, far, DELAY_S)

    nursery.start_soon(carry)
    return one, other


async def test_each_piece_arrives_later_by_the_same_time_in_both_directions(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    one, other = await opened(nursery)
    began = trio.current_time()
    for source, sink in ((one, other), (other, one)):
        await source.send_all(b"first")
        await trio.sleep(0.1)
        await source.send_all(b"second")
        assert await sink.receive_some() == b"first"
        assert trio.current_time() - began == pytest.approx(DELAY_S)
        assert await sink.receive_some() == b"second"
        assert trio.current_time() - began == pytest.approx(DELAY_S + 0.1)
        began = trio.current_time()


async def test_an_end_arrives_after_all_else_and_the_other_direction_goes_on(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    one, other = await opened(nursery)
    await one.send_all(b"the last words")
    await one.send_eof()
    assert await other.receive_some() == b"the last words"
    assert await other.receive_some() == b""
    await other.send_all(b"an answer")
    assert await one.receive_some() == b"an answer"
    await other.send_eof()
    assert await one.receive_some() == b""


async def test_what_breaks_on_one_side_breaks_on_the_other(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    one, other = await opened(nursery)
    await one.aclose()
    await other.send_all(b"to nobody")
    await trio.sleep(2 * DELAY_S)
    with pytest.raises(trio.BrokenResourceError):
        await other.send_all(b"still to nobody")
