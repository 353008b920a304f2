"""Connections of level 2 carry bytes as TCP does: in order, once, in pieces, until they break."""

from collections.abc import Awaitable, Callable
from random import Random

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from simulations.plan import Way
from simulations.ways import Road
from simulations.whole.guest import GuestScheduler
from simulations.whole.network import UNREAD_MAX, ByteConnection, ByteEnd


class Wire:
    """Two ends, and all that arrives and ends."""

    def __init__(self, seed: int = 1) -> None:
        self.scheduler = GuestScheduler(seed)
        self.near, self.far = ByteEnd(1, "a", "b"), ByteEnd(2, "b", "a")
        self.there = Road(Way(0.01, 0.1), Random(seed))
        self.back = Road(Way(0.01, 0.1), Random(seed + 1))
        self.pieces = list[int]()
        self.gone = list[str]()
        self.connection = ByteConnection(
            self.scheduler,
            Random(seed),
            self.near,
            self.far,
            self.there,
            self.back,
            on_arrival=lambda sender, receiver, piece: self.pieces.append(len(piece)),
            on_gone=lambda end: self.gone.append(end.node),
        )

    def play(self, main: Callable[[], Awaitable[None]], until: float = 60.0) -> None:
        """Run ``main`` in trio, to its end."""
        self.scheduler.host(main)
        self.scheduler.run_until(until)
        self.scheduler.end()


async def everything(end: ByteEnd, size: int = 100) -> bytes:
    received = b""
    while data := await end.receive_some(size):
        received += data
    return received


@given(st.integers(0, 50), st.lists(st.binary(min_size=1, max_size=60_000), max_size=6))
def test_bytes_arrive_in_order_and_once_in_pieces(seed: int, sent: list[bytes]) -> None:
    wire, received = Wire(seed), list[bytes]()

    async def send() -> None:
        for data in sent:
            await wire.near.send_all(data)
        await wire.near.aclose()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            received.append(await everything(wire.far, 5000))

    wire.play(main)
    assert received == [b"".join(sent)]
    assert sum(wire.pieces) == len(received[0])
    assert wire.gone == ["a", "b"]


def test_who_sends_more_than_is_read_waits() -> None:
    wire = Wire()
    sent = trio.Event()

    async def send() -> None:
        await wire.near.send_all(bytes(3 * wire.connection.unread_max))
        sent.set()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(30)
            assert not sent.is_set()
            for _ in range(1000):
                await wire.far.receive_some(UNREAD_MAX[0])
                if sent.is_set():
                    break
            await wire.far.aclose()

    wire.play(main)
    assert sent.is_set()


def test_a_stalled_way_keeps_what_it_carries_until_it_is_free() -> None:
    wire = Wire()
    at = list[float]()

    async def main() -> None:
        wire.there.stalls = 1
        wire.scheduler.after(5.0, wire.there.free)
        await wire.near.send_all(b"x")
        assert await wire.far.receive_some(10) == b"x"
        at.append(trio.current_time())

    wire.play(main)
    assert at == [5.0]


def test_a_reset_loses_what_is_under_way_and_both_ends_are_told() -> None:
    wire = Wire()

    async def main() -> None:
        await wire.near.send_all(b"lost")
        wire.connection.break_off(noticed_by=(wire.near, wire.far))
        for end in (wire.near, wire.far):
            with pytest.raises(ConnectionResetError):
                await end.receive_some(10)
        with pytest.raises(BrokenPipeError):
            await wire.near.send_all(b"more")

    wire.play(main)
    assert sorted(wire.gone) == ["a", "b"]


def test_an_end_that_does_not_notice_gets_what_was_sent_to_it_and_then_silence() -> None:
    wire = Wire()

    async def main() -> None:
        await wire.near.send_all(b"late")
        wire.connection.break_off(noticed_by=(wire.near,))
        assert await wire.far.receive_some(10) == b"late"
        await wire.far.send_all(b"into the void")
        with trio.move_on_after(20) as silence:
            await wire.far.receive_some(10)
        assert silence.cancelled_caught

    wire.play(main)


def test_what_is_closed_here_is_of_no_use_here() -> None:
    wire = Wire()

    async def main() -> None:
        await wire.near.aclose()
        await wire.near.aclose()
        with pytest.raises(ConnectionAbortedError):
            await wire.near.receive_some(10)
        with pytest.raises(ConnectionAbortedError):
            await wire.near.send_all(b"x")

    wire.play(main)


def test_who_sends_into_the_void_waits_when_nobody_takes_it() -> None:
    """Else nothing would ever find out, by its sends, that the far end is gone."""
    wire = Wire()

    async def main() -> None:
        wire.connection.break_off(noticed_by=(wire.near,))
        with trio.move_on_after(30) as waits:
            await wire.far.send_all(bytes(4 * wire.connection.unread_max))
        assert waits.cancelled_caught

    wire.play(main)


def test_who_waits_for_room_is_told_that_the_far_end_has_closed() -> None:
    wire = Wire()

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            await trio.sleep(5)
            await wire.far.aclose()

    async def send() -> None:
        with pytest.raises(OSError, match="far end"):
            await wire.near.send_all(bytes(4 * wire.connection.unread_max))

    wire.play(main)
