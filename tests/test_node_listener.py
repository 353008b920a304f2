"""The reception: who is let in, who gives way, and how little a flood costs."""

import errno
import logging

import pytest
import trio
import trio.testing
from memory_transport import (
    MemoryListener,
    MemoryNetwork,
    client_identity,
    member_identity,
    memory_ring,
    new_connection,
)

from node.link import shake_hands
from node.listener import Reception
from node.timekeeping import Timekeeper
from node.transport import Stream
from ring.errors import RemoteProtocolError
from wire import Connection, Identity

RING = memory_ring()
HOST = "a.memory:1"


class House:
    """A reception of member a at an address in memory, and the guests that were let in."""

    def __init__(self, **limits: int) -> None:
        self.network = MemoryNetwork()
        self.guests: list[Connection] = []
        self.seeds = 0
        self.reception = Reception(
            new_connection=self._acceptor,
            run_link=self._run_link,
            timekeeper=Timekeeper(),
            timeout_s=2.0,
            connections_max=limits.get("connections_max", 20),
            unauthenticated_max=limits.get("unauthenticated_max", 5),
            members_max=limits.get("members_max", 4),
        )

    def _acceptor(self) -> Connection:
        self.seeds += 1
        return new_connection(member_identity(RING, "a"), dialler=False, seed=self.seeds)

    async def _run_link(self, stream: Stream, connection: Connection) -> None:
        self.guests.append(connection)
        try:
            while await stream.receive_some(1024):
                pass
        finally:
            self.guests.remove(connection)

    async def open(self, nursery: trio.Nursery) -> MemoryListener:
        (listener,) = await self.network.listen(HOST)
        nursery.start_soon(self.reception.serve, listener, nursery)
        assert isinstance(listener, MemoryListener)
        return listener

    async def visit(self, identity: Identity | None = None) -> Stream:
        """Come in as a client, or as whoever ``identity`` is."""
        self.seeds += 1
        stream = await self.network.dial(HOST)
        guest = new_connection(
            identity or client_identity(), dialler=True, peer="a", seed=self.seeds
        )
        await shake_hands(stream, guest)
        await trio.testing.wait_all_tasks_blocked()
        return stream


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


async def test_members_and_clients_are_let_in_and_counted(nursery: trio.Nursery) -> None:
    house = House()
    await house.open(nursery)
    client = await house.visit()
    await house.visit(member_identity(RING, "b"))
    assert [guest.peer for guest in house.guests] == [None, "b"]
    assert (house.reception.clients, house.reception.unauthenticated) == (1, 0)
    await client.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert house.reception.clients == 0
    nursery.cancel_scope.cancel()


async def test_who_says_nothing_is_sent_away_in_time_with_one_line(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    await house.open(nursery)
    began = trio.current_time()
    stream = await house.network.dial(HOST)
    assert await stream.receive_some(1024) == b""
    assert trio.current_time() - began == pytest.approx(2)
    assert messages(caplog) == ['connection_refused reason="no handshake within 2 s" remote=memory']
    nursery.cancel_scope.cancel()


async def test_a_thousand_idle_connections_keep_nobody_out_and_fill_no_log(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House(unauthenticated_max=50)
    await house.open(nursery)
    idle = []
    for number in range(1000):
        idle.append(await house.network.dial(HOST))
        await trio.lowlevel.checkpoint()
        assert house.reception.unauthenticated <= 50
        if number == 500:
            await house.visit()
            await house.visit(member_identity(RING, "b"))
    await trio.testing.wait_all_tasks_blocked()
    assert house.reception.unauthenticated == 50
    await house.visit(member_identity(RING, "c"))
    assert [guest.peer for guest in house.guests] == [None, "b", "c"]
    await trio.sleep(5)
    assert house.reception.unauthenticated == 0
    assert len(messages(caplog)) <= 3
    assert "too many others have not authenticated" in messages(caplog)[0]
    nursery.cancel_scope.cancel()


async def test_clients_fill_their_own_places_only_and_are_told_when_there_are_none(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    house = House(connections_max=12, unauthenticated_max=5, members_max=4)
    await house.open(nursery)
    clients = [await house.visit() for _ in range(3)]
    stream = await house.network.dial(HOST)
    fourth = new_connection(client_identity(), dialler=True, seed=99)
    await shake_hands(stream, fourth)
    fourth.receive_data(await stream.receive_some(1024))
    with pytest.raises(RemoteProtocolError, match=r"(?i)busy|too many"):
        fourth.next_events()
    await house.visit(member_identity(RING, "b"))
    await house.visit(member_identity(RING, "c"))
    assert messages(caplog) == ['connection_refused reason="too many clients" remote=memory']
    await clients[0].aclose()
    await trio.testing.wait_all_tasks_blocked()
    await house.visit()
    assert house.reception.clients == 3
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    "bytes_of_a_stranger",
    [b"\xff" * 4096, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\x00\x00\x00\x05SRNG\x01", b"\x00"],
)
async def test_a_stranger_is_one_line_and_changes_nothing(
    bytes_of_a_stranger: bytes,
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    house = House()
    await house.open(nursery)
    stream = await house.network.dial(HOST)
    await stream.send_all(bytes_of_a_stranger)
    await trio.sleep(3)
    assert len(messages(caplog)) == 1
    assert "connection_refused" in messages(caplog)[0]
    assert house.guests == []
    await house.visit()
    nursery.cancel_scope.cancel()


async def test_a_guest_that_breaks_off_during_the_handshake_is_one_line(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    house = House()
    await house.open(nursery)
    stream = await house.network.dial(HOST)
    await stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert len(messages(caplog)) == 1
    nursery.cancel_scope.cancel()


async def test_without_descriptors_it_waits_a_moment_and_goes_on(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    house = House()
    (listener,) = await house.network.listen(HOST)
    assert isinstance(listener, MemoryListener)
    listener.failures += [OSError(errno.EMFILE, "too many open files")] * 50
    nursery.start_soon(house.reception.serve, listener, nursery)
    await house.visit()
    assert trio.current_time() == pytest.approx(5)
    assert len(messages(caplog)) == 1
    assert "accept_failed" in messages(caplog)[0]
    nursery.cancel_scope.cancel()


async def test_without_descriptors_the_oldest_that_says_nothing_gives_way(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Else strangers who hold what descriptors there are keep everybody out, time after time."""
    house = House()
    listener = await house.open(nursery)
    idle = [await house.network.dial(HOST) for _ in range(4)]
    await trio.testing.wait_all_tasks_blocked()
    assert house.reception.unauthenticated == 4
    listener.failures += [OSError(errno.EMFILE, "too many open files")] * 2
    await house.network.dial(HOST)  # It was being waited for already.
    with trio.fail_after(1):
        await house.visit()
        assert await idle[0].receive_some(1) == await idle[1].receive_some(1) == b""
    assert house.reception.unauthenticated == 3
    nursery.cancel_scope.cancel()


async def test_when_it_stops_listening_its_guests_stay(nursery: trio.Nursery) -> None:
    house = House()
    (listener,) = await house.network.listen(HOST)
    accepting = trio.CancelScope()

    async def serve() -> None:
        with accepting:
            await house.reception.serve(listener, nursery)

    nursery.start_soon(serve)
    await house.visit()
    accepting.cancel()
    await trio.testing.wait_all_tasks_blocked()
    assert len(house.guests) == 1
    with pytest.raises(ConnectionRefusedError):
        await house.network.dial(HOST)
    nursery.cancel_scope.cancel()
    await trio.testing.wait_all_tasks_blocked()
