"""Long-lived connections while a ring is in trouble, and at their limits."""

import logging

import pytest
import trio
import trio.testing
from durable import MINUTE_S, Calls, Ring, a_node, over
from shelf import repository

from node import (
    ConfigError,
    RingFullError,
    ValueNotStorableError,
)
from node.durable import RETRY_INTERVAL_S, open_durable
from node.durable_connection import METADATA, RESOURCE, ROOMS
from ring.errors import (
    SessionTooLargeError,
)
from ring.messages import Failure

# --- A ring in trouble ----------------------------------------------------------------------------


@pytest.mark.parametrize("trouble", [Failure.UNAVAILABLE, Failure.OUTCOME_UNKNOWN, Failure.FULL])
async def test_a_new_connection_works_while_the_ring_is_in_trouble_and_is_saved_afterwards(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture, trouble: Failure
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ring.trouble = trouble
        connection = await durable.connect(None, "socket")
        assert not await connection.join("lobby")
        assert connection.rooms == {"lobby"}
        assert durable.unsaved == 1
        ring.trouble = None
        await trio.sleep(RETRY_INTERVAL_S + 1)
        assert durable.unsaved == 0
        session = await repository(ring).find(connection.token)
        assert session is not None
        assert session[ROOMS] == {"lobby"}
    assert "durable_not_saved_yet" in caplog.text
    assert str(connection.token) not in caplog.text


@pytest.mark.parametrize("is_silent", [False, True])
async def test_who_comes_back_while_the_ring_is_in_trouble_gets_the_rest_later(
    autojump_clock: trio.testing.MockClock, is_silent: bool
) -> None:
    """What it joined and left meanwhile counts as well; the token stays."""
    ring = Ring()
    async with over(ring) as durable:
        before = await durable.connect(None, "socket-1")
        await before.join("lobby", "attic")
        await before.disconnect()
        ring.is_silent, ring.trouble = is_silent, Failure.UNAVAILABLE
        found = Calls()
        began = trio.current_time()
        again = await durable.connect(before.token, "socket-2", on_found=found)
        assert trio.current_time() - began <= durable.patience_s
        assert (again.token, again.rooms) == (before.token, frozenset())
        await again.join("cellar")
        await again.leave("attic")
        again.metadata["x"] = 1
        assert again.rooms == {"cellar"}
        assert found.count == 0
        ring.is_silent, ring.trouble = False, None
        await trio.sleep(RETRY_INTERVAL_S + 3)
        assert found.count == 1
        assert again.is_restored
        assert again.token == before.token
        assert again.rooms == {"cellar", "lobby"}
        session = await repository(ring).find(again.token)
        assert session is not None
        assert session[ROOMS] == {"cellar", "lobby"}
        assert session[METADATA] == {"x": 1}
        assert session[RESOURCE] == "socket-2"


async def test_a_token_that_turns_out_to_be_nobodys_is_replaced_and_the_application_told(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ring.trouble = Failure.UNAVAILABLE
        found, token = Calls(), "a." + "x" * 22
        connection = await durable.connect(token, "socket", on_found=found)
        await connection.join("lobby")
        assert connection.token == token
        ring.trouble = None
        await trio.sleep(RETRY_INTERVAL_S + 1)
        assert found.count == 1
        assert connection.token != token
        assert not connection.is_restored
        assert token.encode() not in ring.records
        assert durable.connections(token) == ()
        assert durable.connections(str(connection.token)) == (connection,)


async def test_one_that_was_closed_meanwhile_is_saved_when_the_ring_is_back(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(None, "socket")
        ring.trouble = Failure.UNAVAILABLE
        await connection.join("lobby")
        await connection.disconnect()
        assert (len(durable), durable.unsaved) == (0, 1)
        ring.trouble = None
        await trio.sleep(RETRY_INTERVAL_S + 1)
        assert durable.unsaved == 0
        session = await repository(ring).find(connection.token)
        assert session is not None
        assert session[ROOMS] == {"lobby"}


async def test_of_those_that_were_closed_meanwhile_only_so_many_are_kept(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Ring()
    async with over(ring, unsaved_max=2) as durable:
        ring.trouble = Failure.UNAVAILABLE
        for number in range(5):
            connection = await durable.connect(None, f"socket-{number}")
            await connection.disconnect()
        assert durable.unsaved == 2
        assert caplog.text.count("durable_lost") == 3
        ring.trouble = None
    assert durable.unsaved == 0


async def test_a_session_that_the_ring_cannot_be_asked_about_is_not_taken_for_ended(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ended = Calls()
        connection = await durable.connect(None, "socket", on_ended=ended)
        ring.trouble = Failure.UNAVAILABLE
        await trio.sleep(10 * MINUTE_S)
        assert ended.count == 0
        ring.trouble = None
        ring.asked.clear()
        await trio.sleep(MINUTE_S + 1)
        assert ring.touches()
        assert not connection.is_ended


async def test_leaving_the_block_waits_for_a_silent_ring_only_so_long(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        for number in range(70):
            await durable.connect(None, f"socket-{number}")
        ring.is_silent = True
        began = trio.current_time()
    assert trio.current_time() - began <= 3 * durable.patience_s
    assert "durable_lost" in caplog.text


# --- Limits ---------------------------------------------------------------------------------------


async def test_only_so_many_connections_are_open(autojump_clock: trio.testing.MockClock) -> None:
    async with over(Ring(), connections_max=2) as durable:
        first = await durable.connect(None, "socket-1")
        await durable.connect(None, "socket-2")
        with pytest.raises(RingFullError, match="2 connections are open, which is connections_max"):
            await durable.connect(None, "socket-3")
        await first.disconnect()
        await durable.connect(None, "socket-3")


async def test_rooms_that_come_and_go_fill_no_session_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A member that was removed counts for days; what others have joined meanwhile stays."""
    async with a_node(attributes_max=20) as node, open_durable(node.sessions) as durable:
        connection = await durable.connect(None, "socket-1")
        connection.metadata["name"] = "Ada"
        other = await durable.connect(connection.token, "socket-2")
        await other.join("attic")
        for number in range(50):
            assert await connection.join(f"room-{number}")
            assert await connection.leave(f"room-{number}")
        again = await durable.connect(connection.token, "socket-3")
        assert again.rooms == {"attic"}
        assert again.metadata == {"name": "Ada"}


async def test_who_is_in_too_many_rooms_is_told_and_saved_again_with_fewer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_node(attributes_max=20) as node, open_durable(node.sessions) as durable:
        connection = await durable.connect(None, "socket-1")
        rooms = [f"room-{number}" for number in range(20)]
        with pytest.raises(SessionTooLargeError):
            await connection.join(*rooms)
        assert connection.rooms == set(rooms)
        assert await connection.leave(*rooms[10:])
        again = await durable.connect(connection.token, "socket-2")
        assert again.rooms == set(rooms[:10])


async def test_what_cannot_be_kept_is_an_error_for_who_saves_and_a_line_in_the_log_in_the_end(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with over(Ring()) as durable:
        connection = await durable.connect(None, "socket")
        connection.metadata["x"] = [object()]
        with pytest.raises(ValueNotStorableError):
            await connection.save()
        assert durable.unsaved == 0
        await connection.disconnect()
        assert durable.unsaved == 0
    lines = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert [each.getMessage().split()[0] for each in lines] == ["durable_not_saved"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patience_s": 0}, "patience_s is 0; use a number of seconds above 0"),
        ({"connections_max": 0}, "connections_max is 0; use a whole number"),
        ({"unsaved_max": True}, "unsaved_max is True; use a whole number"),
    ],
    ids=range(3),
)
async def test_numbers_that_cannot_be_used_are_refused(
    options: dict[str, int], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        async with open_durable(repository(Ring()), **options):  # type: ignore[arg-type]
            pass
