"""A link: what is read, what is written, and how it ends."""

from collections import deque

import pytest
import trio
import trio.testing
from memory_transport import (
    MemoryStream,
    authenticated_pair,
    client_identity,
    lockstep_pair,
    member_identity,
    memory_ring,
    new_connection,
    stream_pair,
)

from node.link import RECEIVE_BYTES, SEND_TIMEOUT_S, Link, LinkEnd, shake_hands
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId
from ring.messages import Absent, Answer, Ask, Find, Message
from wire import Connection

RING = memory_ring()
SESSION = SessionId(b"a.0123456789012345678901")


class Desk:
    """A link owner that says what is put into ``outbox`` and keeps what comes."""

    def __init__(self) -> None:
        self.outbox: deque[Message] = deque()
        self.received: list[list[Message]] = []
        self.error: Exception | None = None

    def take(self, link_id: LinkId) -> Message | None:
        return self.outbox.popleft() if self.outbox else None

    def on_messages(self, link_id: LinkId, messages: list[Message]) -> None:
        self.received.append(messages)
        if self.error is not None:
            raise self.error


class Bench:
    """A link from a to b, and b's bare end of the connection."""

    def __init__(self, link: Link, desk: Desk, near: MemoryStream, far: MemoryStream) -> None:
        self.link = link
        self.desk = desk
        self.near = near
        self.far = far
        self.far_connection: Connection
        self.end: LinkEnd | None = None

    async def run(self) -> None:
        self.end = await self.link.run()

    async def received_far(self) -> list[Message]:
        self.far_connection.receive_data(await self.far.receive_some(1 << 20))
        return self.far_connection.next_events()  # type: ignore[return-value]


async def make_bench(ends: tuple[MemoryStream, MemoryStream] | None = None) -> Bench:
    near, far = ends or stream_pair()
    connection, far_connection = await authenticated_pair(
        member_identity(RING, "a"), member_identity(RING, "b"), (near, far)
    )
    near.sends.clear()
    desk = Desk()
    bench = Bench(Link(LinkId(7), near, connection, desk), desk, near, far)
    bench.far_connection = far_connection
    return bench


async def test_both_sides_of_a_handshake_learn_who_the_other_is() -> None:
    near, far = stream_pair()
    dialler, acceptor = await authenticated_pair(
        member_identity(RING, "a"), member_identity(RING, "b"), (near, far)
    )
    assert (dialler.peer, acceptor.peer) == ("b", "a")


async def test_a_client_is_nobody_to_the_node_but_learns_its_name() -> None:
    near, far = stream_pair()
    dialler = new_connection(client_identity(), dialler=True)
    acceptor = new_connection(member_identity(RING, "b"), dialler=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, near, dialler)
        nursery.start_soon(shake_hands, far, acceptor)
    assert (dialler.peer, acceptor.peer) == ("b", None)


async def test_a_wrong_secret_is_told_to_the_one_who_has_it() -> None:
    near, far = stream_pair()
    dialler = new_connection(client_identity((b"wrong",)), dialler=True)
    acceptor = new_connection(member_identity(RING, "b"), dialler=False)
    errors = []

    async def expect_refusal(stream: MemoryStream, connection: Connection) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            await shake_hands(stream, connection)
        errors.append(str(caught.value))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_refusal, near, dialler)
        nursery.start_soon(expect_refusal, far, acceptor)
    assert all("secret" in error for error in errors)


async def test_a_peer_that_closes_during_the_handshake_is_a_remote_error() -> None:
    near, far = stream_pair()
    await far.aclose()
    with pytest.raises((RemoteProtocolError, OSError)):
        await shake_hands(near, new_connection(member_identity(RING, "b"), dialler=False))


async def test_all_messages_of_one_read_come_in_one_go(nursery: trio.Nursery) -> None:
    bench = await make_bench()
    nursery.start_soon(bench.run)
    frames = [bench.far_connection.send(Absent(number)) for number in range(1, 6)]
    await bench.far.send_all(b"".join(frames))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.desk.received == [[Absent(number) for number in range(1, 6)]]
    bench.link.close("done")


async def test_what_followed_the_handshake_in_one_read_is_not_lost(nursery: trio.Nursery) -> None:
    bench = await make_bench()
    frame = bench.far_connection.send(Absent(1))
    bench.link._connection.receive_data(frame)
    nursery.start_soon(bench.run)
    await trio.testing.wait_all_tasks_blocked()
    assert bench.desk.received == [[Absent(1)]]
    bench.link.close("done")


async def test_a_message_arrives_byte_by_byte(nursery: trio.Nursery) -> None:
    bench = await make_bench()
    nursery.start_soon(bench.run)
    for byte in bench.far_connection.send(Absent(300)):
        await bench.far.send_all(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    assert bench.desk.received == [[Absent(300)]]
    bench.link.close("done")


async def test_a_read_is_small_until_much_comes_and_small_again_afterwards(
    nursery: trio.Nursery,
) -> None:
    """What is kept of a large read stays in the middle of the room that was made for it."""
    bench = await make_bench()
    bench.near.reads.clear()
    nursery.start_soon(bench.run)
    await trio.testing.wait_all_tasks_blocked()
    await bench.far.send_all(bench.far_connection.send(Answer(1, bytes(300_000))))
    await trio.testing.wait_all_tasks_blocked()
    least, most = RECEIVE_BYTES
    assert bench.near.reads[:4] == [least, 4 * least, most, most]
    assert bench.near.reads[-1] == least
    assert [len(messages) for messages in bench.desk.received] == [1]
    nursery.cancel_scope.cancel()


async def test_nothing_is_sent_before_the_wake_and_then_all_in_one_send(
    nursery: trio.Nursery,
) -> None:
    bench = await make_bench()
    nursery.start_soon(bench.run)
    bench.desk.outbox.extend(Ask(number, SESSION) for number in range(1, 101))
    await trio.testing.wait_all_tasks_blocked()
    assert bench.near.sends == []
    bench.link.wake()
    bench.link.wake()
    await bench.link.wait_idle()
    assert len(bench.near.sends) == 1
    assert await bench.received_far() == [Ask(number, SESSION) for number in range(1, 101)]
    assert bench.link.sent == {"Ask": 100}
    assert bench.link.sent_bytes == sum(bench.near.sends)
    bench.link.close("done")


async def test_one_send_is_bounded(nursery: trio.Nursery) -> None:
    bench = await make_bench()
    nursery.start_soon(bench.run)
    bench.desk.outbox.extend(Find(number, SESSION, True, True) for number in range(1, 20_001))
    bench.link.wake()
    await bench.link.wait_idle()
    assert len(bench.near.sends) > 3
    assert max(bench.near.sends) < 140_000
    bench.link.close("done")


async def test_a_peer_that_never_reads_loses_its_link(
    autojump_clock: trio.testing.MockClock,
) -> None:
    bench = await make_bench(lockstep_pair())
    began = trio.current_time()
    bench.desk.outbox.append(Ask(1, SESSION))
    bench.link.wake()
    end = await bench.link.run()
    assert end.broken_off
    assert "read nothing" in end.reason
    assert trio.current_time() - began == pytest.approx(SEND_TIMEOUT_S)
    assert bench.near.is_closed


async def test_a_broken_send_ends_the_link() -> None:
    bench = await make_bench()
    await bench.far.aclose()
    bench.desk.outbox.append(Ask(1, SESSION))
    bench.link.wake()
    with trio.fail_after(1):
        end = await bench.link.run()
    assert not end.broken_off
    assert bench.near.is_closed


@pytest.mark.parametrize("garbage", [b"\xff" * 64, b"\x00\x00\x00\x04spam", b"\x7f" + b"x" * 9])
async def test_garbage_ends_its_own_link_and_is_the_peers_fault(garbage: bytes) -> None:
    bench = await make_bench()
    await bench.far.send_all(garbage)
    with trio.fail_after(1):
        end = await bench.link.run()
    assert end.broken_off
    assert "\n" not in end.reason
    assert bench.desk.received == []


async def test_good_messages_before_garbage_are_used() -> None:
    bench = await make_bench()
    good = bench.far_connection.send(Absent(1))
    await bench.far.send_all(good + b"\x00\x00\x00\x04spam")
    assert (await bench.link.run()).broken_off
    assert bench.desk.received == [[Absent(1)]]


async def test_a_peer_that_closes_ends_the_link_and_inside_a_frame_that_is_told() -> None:
    bench = await make_bench()
    await bench.far.aclose()
    assert await bench.link.run() == LinkEnd("the peer closed the connection", broken_off=False)

    bench = await make_bench()
    await bench.far.send_all(bench.far_connection.send(Absent(1))[:-1])
    await bench.far.aclose()
    assert (await bench.link.run()).reason == "the peer closed inside a frame"


@pytest.mark.parametrize("pause", [1000.0, 1.0])
async def test_a_frame_that_never_becomes_whole_ends_the_link(
    pause: float, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Whether it stops in the middle or comes ever so slowly."""
    bench = await make_bench()
    whole = bench.far_connection.send(Absent(1))
    slow = bench.far_connection.send(Answer(2, b"x" * 5000))

    async def send_slowly() -> None:
        await bench.far.send_all(whole)
        await trio.sleep(50)
        for byte in slow:
            await bench.far.send_all(bytes([byte]))
            await trio.sleep(pause)

    nursery.start_soon(send_slowly)
    began = trio.current_time()
    end = await bench.link.run()
    assert end.broken_off
    assert "not complete within 10 s" in end.reason
    assert trio.current_time() - began == pytest.approx(60, abs=1)
    assert bench.desk.received == [[Absent(1)]]
    nursery.cancel_scope.cancel()


async def test_a_message_that_the_owner_refuses_ends_the_link() -> None:
    bench = await make_bench()
    bench.desk.error = RemoteProtocolError("not yours to say")
    await bench.far.send_all(bench.far_connection.send(Absent(1)))
    assert await bench.link.run() == LinkEnd("not yours to say", broken_off=True)


async def test_a_bug_of_the_owner_is_not_swallowed() -> None:
    bench = await make_bench()
    bench.desk.error = ZeroDivisionError("our bug")
    await bench.far.send_all(bench.far_connection.send(Absent(1)))
    with pytest.raises(ExceptionGroup) as caught:
        await bench.link.run()
    assert caught.group_contains(ZeroDivisionError)
    assert bench.near.is_closed


async def test_close_ends_the_link_for_its_first_reason_even_before_it_runs() -> None:
    bench = await make_bench()
    bench.link.close("replaced")
    bench.link.close("second thoughts")
    assert await bench.link.run() == LinkEnd("replaced", broken_off=True)
    assert bench.near.is_closed


async def test_after_the_end_is_decided_nothing_is_read_or_sent(nursery: trio.Nursery) -> None:
    bench = await make_bench()
    nursery.start_soon(bench.run)
    await trio.testing.wait_all_tasks_blocked()
    bench.desk.outbox.append(Ask(1, SESSION))
    bench.link.wake()
    bench.link.close("closed in the same moment")
    await trio.testing.wait_all_tasks_blocked()
    assert bench.near.sends == []
    assert bench.desk.outbox


async def test_a_cancelled_link_closes_its_stream_and_says_it_is_idle(
    nursery: trio.Nursery,
) -> None:
    bench = await make_bench(lockstep_pair())
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            inner.start_soon(bench.run)
            bench.desk.outbox.append(Ask(1, SESSION))
            bench.link.wake()
            await trio.testing.wait_all_tasks_blocked()
            scope.cancel()
    assert bench.near.is_closed
    with trio.fail_after(1):
        await bench.link.wait_idle()
