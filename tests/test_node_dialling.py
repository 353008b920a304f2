"""Dialling one member: at once, then with back-off, and told when it fails."""

import logging
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing
from memory_transport import MemoryNetwork, member_identity, memory_ring, new_connection

from node.dialling import Dialling
from node.link import shake_hands
from node.timekeeping import Timekeeper
from node.transport import Stream
from wire import Connection

RING = memory_ring()
HOST = "b.memory:1"


class Caller:
    """Member a, which keeps a connection to b, and what it heard of it."""

    def __init__(self, secret: bytes = b"the secret of the tests") -> None:
        self.network = MemoryNetwork()
        self.events: list[tuple[float, str]] = []
        self.linked: Stream | None = None
        self.is_hung_up_on = False
        self.dialling = Dialling(
            "b",
            HOST,
            transport=self.network,
            new_connection=lambda: new_connection(
                member_identity(RING, "a", (secret,)), dialler=True, peer="b"
            ),
            run_link=self._run_link,
            on_unreachable=lambda: self._note("unreachable"),
            timekeeper=Timekeeper(),
            random=Random(1),
            timeout_s=2.0,
            wait_max_s=4.0,
        )

    def _note(self, event: str) -> None:
        self.events.append((trio.current_time(), event))

    async def _run_link(self, stream: Stream, connection: Connection) -> None:
        self._note("linked")
        self.linked = stream
        try:
            while not self.is_hung_up_on and await stream.receive_some(1024):
                pass
        except OSError:
            pass
        self._note("lost")

    async def answer(self) -> None:
        """Be b, for ever."""
        (listener,) = await self.network.listen(HOST)
        async with trio.open_nursery() as nursery:
            while True:
                stream = await listener.accept()
                nursery.start_soon(self._welcome, stream)

    async def _welcome(self, stream: Stream) -> None:
        await shake_hands(stream, new_connection(member_identity(RING, "b"), dialler=False))

    @property
    def moments(self) -> list[float]:
        return [moment for moment, _ in self.events]


async def test_it_dials_when_first_told_to(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    caller = Caller()
    nursery.start_soon(caller.answer)
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(10)
    assert caller.events == []
    caller.dialling.dial_now()
    await trio.sleep(10)
    assert [event for _, event in caller.events] == ["linked"]
    assert caller.dialling.outage is None
    nursery.cancel_scope.cancel()


async def test_refused_dials_are_told_each_time_and_come_ever_more_rarely(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    caller = Caller()
    caller.dialling.dial_now()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(60)
    assert {event for _, event in caller.events} == {"unreachable"}
    waits = [b - a for a, b in zip(caller.moments, caller.moments[1:], strict=False)]
    assert waits[0] == 0
    assert 0.05 <= waits[1] <= 0.1
    assert all(2 <= wait <= 4 for wait in waits[8:])
    assert len(waits) < 40
    assert len(caplog.records) == 1, "an outage is one line, however long it lasts"
    assert caplog.records[0].getMessage().startswith("dial_failed peer=b")
    nursery.cancel_scope.cancel()


async def test_a_dial_effect_cuts_the_pause_short(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    caller = Caller()
    caller.dialling.dial_now()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(30)
    before = len(caller.events)
    await trio.sleep(0.001)
    caller.dialling.dial_now()
    await trio.testing.wait_all_tasks_blocked()
    assert len(caller.events) == before + 1
    nursery.cancel_scope.cancel()


async def test_after_a_lost_link_it_dials_at_once(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    caller = Caller()
    nursery.start_soon(caller.answer)
    caller.dialling.dial_now()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(10)
    assert caller.linked is not None
    await caller.linked.aclose()
    await trio.lowlevel.checkpoint()
    await trio.testing.wait_all_tasks_blocked()
    assert [event for _, event in caller.events] == ["linked", "lost", "linked"]
    assert caller.moments[1] == caller.moments[2]
    nursery.cancel_scope.cancel()


async def test_a_peer_that_hangs_up_at_once_is_not_dialled_in_a_circle(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    caller = Caller()
    caller.is_hung_up_on = True
    nursery.start_soon(caller.answer)
    caller.dialling.dial_now()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(20)
    assert len([event for _, event in caller.events if event == "linked"]) < 20
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("silent", ["dial", "handshake"])
async def test_who_does_not_answer_within_the_time_out_is_unreachable(
    silent: str,
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    caller = Caller()
    if silent == "dial":
        caller.network.unreachable.add(HOST)
    else:
        await caller.network.listen(HOST)
    caller.dialling.dial_now()
    began = trio.current_time()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(2.5)
    moment, event = caller.events[0]
    assert event == "unreachable"
    assert moment - began == pytest.approx(2)
    assert all(stream.is_closed for stream in caller.network.streams[::2][:1])
    assert "within 2 s" in caplog.records[0].getMessage()
    nursery.cancel_scope.cancel()


async def test_a_wrong_secret_is_a_warning_that_names_it(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caller = Caller(secret=b"another")

    async def refuse() -> None:
        (listener,) = await caller.network.listen(HOST)
        stream = await listener.accept()
        with pytest.raises(Exception, match="secret"):
            await caller._welcome(stream)

    nursery.start_soon(refuse)
    await trio.testing.wait_all_tasks_blocked()
    caller.dialling.dial_now()
    nursery.start_soon(caller.dialling.run)
    await trio.sleep(1)
    (record, *_) = caplog.records
    assert record.levelno == logging.WARNING
    assert "secret" in record.getMessage()
    nursery.cancel_scope.cancel()
