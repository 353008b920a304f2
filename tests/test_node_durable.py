"""Long-lived connections: what outlives them, and who keeps them alive."""

import pytest
import trio
import trio.testing
from durable import MINUTE_S, Calls, Ring, a_node, over
from shelf import repository

from node.durable import open_durable
from node.durable_connection import METADATA, RESOURCE, ROOMS, SEEN, TOPICS
from node.stores import MemoryStore
from ring.errors import (
    ReplicationTimeoutError,
    SessionUnavailableError,
)
from ring.messages import Failure

# --- Coming back ----------------------------------------------------------------------------------


async def test_a_client_that_comes_back_after_a_restart_has_its_memberships(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Of the whole process, with nothing but the store left."""
    store = MemoryStore()
    async with a_node(store) as node, open_durable(node.sessions) as durable:
        first = await durable.connect(None, "socket-1")
        assert not first.is_restored
        await first.join("lobby", "attic")
        await first.leave("attic")
        await first.subscribe("news")
        first.metadata["name"] = "Ada"
        token = first.token
        created_at = first.created_at
    async with a_node(store) as node, open_durable(node.sessions) as durable:
        again = await durable.connect(token, "socket-2")
        assert again.is_restored
        assert again.token == token
        assert again.rooms == {"lobby"}
        assert again.topics == {"news"}
        assert dict(again.metadata) == {"name": "Ada"}
        assert abs((again.created_at - created_at).total_seconds()) < 1
        session = await node.sessions.find(token)
        assert session is not None
        assert session[RESOURCE] == again.resource == "socket-2"


async def test_a_kill_takes_nothing_that_was_joined(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is saved when it is told, and not in the end only."""
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(None, "socket-1")
        await connection.join("lobby")
        async with over(ring) as elsewhere:
            again = await elsewhere.connect(connection.token, "socket-2")
            assert again.rooms == {"lobby"}


@pytest.mark.parametrize("token", [None, "", "nonsense", "a." + "x" * 22, "a.shop." + "x" * 22])
async def test_a_token_that_names_no_session_is_never_adopted(
    autojump_clock: trio.testing.MockClock, token: str | None
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(token, "socket-1")
        assert connection.token not in (None, token)
        assert not connection.is_restored
        assert connection.is_known
        assert token is None or token.encode() not in ring.records


async def test_an_ended_or_expired_token_gets_a_new_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_node(max_idle=100) as node, open_durable(node.sessions) as durable:
        tokens = []
        for _ in range(2):
            connection = await durable.connect(None, "socket")
            await connection.join("lobby")
            await connection.disconnect()
            tokens.append(connection.token)
        await node.sessions.end(tokens[0])
        assert (await durable.connect(tokens[0], "socket")).rooms == frozenset()
        await trio.sleep(111)
        connection = await durable.connect(tokens[1], "socket")
        assert connection.rooms == frozenset()
        assert connection.token not in tokens


async def test_it_says_when_the_session_was_seen_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with a_node() as node, open_durable(node.sessions, wall_ms=node.wall_ms) as durable:
        connection = await durable.connect(None, "socket-1")
        began = connection.created_at
        await trio.sleep(100)
        await connection.disconnect()
        await trio.sleep(500)
        again = await durable.connect(connection.token, "socket-2")
        assert round((again.last_seen - began).total_seconds()) == 100
        assert round((again.created_at - began).total_seconds()) == 0


# --- Being saved ----------------------------------------------------------------------------------


async def test_it_is_saved_once_in_the_end_however_often_it_is_said(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A server may tell of a disconnection and of a closed socket, one after the other, or both at
    once."""
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(None, "socket")
        connection.metadata["x"] = 1
        ring.asked.clear()
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(connection.disconnect)
        await connection.disconnect()
        (save,) = ring.saves()
        keys = [key for key, _ in save.changes]
        assert SEEN.encode() in keys
        assert any(METADATA.encode() in key for key in keys)
        assert len(durable) == 0
        assert not await connection.join("late")
    assert len(ring.saves()) == 1


async def test_all_calls_return_when_it_is_saved_and_not_before(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(None, "socket")
        go_on = trio.Event()
        ring.held_back.append(go_on)
        returned = Calls()

        async def disconnect() -> None:
            await connection.disconnect()
            returned()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(disconnect)
            nursery.start_soon(disconnect)
            await trio.testing.wait_all_tasks_blocked()
            assert returned.count == 0
            go_on.set()
        assert returned.count == 2


async def test_a_handler_that_is_cancelled_has_it_saved(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        connection = await durable.connect(None, "socket")
        connection.metadata["x"] = 1
        ring.asked.clear()
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.disconnect()
        assert len(ring.saves()) == 1


async def test_leaving_the_block_disconnects_who_is_still_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        for number in range(3):
            connection = await durable.connect(None, f"socket-{number}")
            connection.metadata["x"] = number
        ring.asked.clear()
    assert len(ring.saves()) == 3


async def test_what_it_is_told_goes_into_sets_and_a_map_of_its_session(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """So two connections of one session, on two nodes, take nothing from each other."""
    ring = Ring()
    async with over(ring) as durable:
        one = await durable.connect(None, "socket-1")
        other = await durable.connect(one.token, "socket-2")
        await one.join("lobby")
        await other.join("attic")
        await other.subscribe("news")
        await other.unsubscribe("news")
        session = await repository(ring).find(one.token)
        assert session is not None
        assert session[ROOMS] == {"lobby", "attic"}
        assert session[TOPICS] == frozenset()
        assert session[RESOURCE] == "socket-2"


# --- Staying alive --------------------------------------------------------------------------------


async def test_the_session_of_an_open_connection_does_not_expire(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """But that of a closed one does."""
    async with a_node(max_idle=20) as node, open_durable(node.sessions) as durable:
        ended = Calls()
        connection = await durable.connect(None, "socket", on_ended=ended)
        await trio.sleep(300)
        assert await node.sessions.find(connection.token, touch=False) is not None
        assert ended.count == 0
        await connection.disconnect()
        await trio.sleep(23)
        assert await node.sessions.find(connection.token, touch=False) is None


async def test_all_connections_of_a_session_access_it_once_per_interval(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """And nobody does once they are closed."""
    ring = Ring()
    async with over(ring) as durable:
        first = await durable.connect(None, "socket-1")
        others = [await durable.connect(first.token, f"socket-{n}") for n in range(2, 5)]
        ring.asked.clear()
        await trio.sleep(10.5 * MINUTE_S)
        assert ring.touches() == 10
        for each in (first, *others):
            await each.disconnect()
        ring.asked.clear()
        await trio.sleep(10.5 * MINUTE_S)
        assert not ring.asked


async def test_connections_that_come_and_go_leave_nothing_behind(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        for number in range(200):
            connection = await durable.connect(None, f"socket-{number}")
            await connection.disconnect()
        kept = [each for each in vars(durable).values() if isinstance(each, dict | set | list)]
        assert kept
        assert not any(kept)


# --- Being ended ----------------------------------------------------------------------------------


async def test_ending_the_session_closes_its_connections_and_saves_nothing_more(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ended, other = Calls(), Calls()
        one = await durable.connect(None, "socket-1", on_ended=ended)
        two = await durable.connect(one.token, "socket-2", on_ended=ended)
        await durable.connect(None, "socket-3", on_ended=other)
        assert one.token is not None
        assert durable.connections(one.token) == (one, two)
        ring.asked.clear()
        await durable.end(one.token)
        assert (ended.count, other.count) == (2, 0)
        assert one.is_ended
        assert durable.connections(one.token) == ()
        assert not await two.join("lobby")
        await one.disconnect()
        assert not ring.saves()
        assert len(durable) == 1


async def test_an_end_elsewhere_is_noticed_within_an_interval(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ended = Calls()
        connection = await durable.connect(None, "socket", on_ended=ended)
        await repository(ring).end(connection.token)
        await trio.sleep(MINUTE_S + 1)
        assert ended.count == 1
        assert len(durable) == 0


async def test_an_end_elsewhere_is_noticed_at_the_next_save(
    autojump_clock: trio.testing.MockClock,
) -> None:
    ring = Ring()
    async with over(ring) as durable:
        ended = Calls()
        connection = await durable.connect(None, "socket", on_ended=ended)
        await repository(ring).end(connection.token)
        assert not await connection.join("lobby")
        assert ended.count == 1
        assert durable.unsaved == 0


async def test_an_end_that_is_less_durable_than_asked_for_closes_them_all_the_same(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It is in force. One that did not happen closes nothing."""
    ring = Ring()
    async with over(ring) as durable:
        ended = Calls()
        connection = await durable.connect(None, "socket", on_ended=ended)
        assert connection.token is not None
        ring.trouble = Failure.UNAVAILABLE
        with pytest.raises(SessionUnavailableError):
            await durable.end(connection.token)
        assert ended.count == 0
        ring.trouble = Failure.NOT_REPLICATED
        with pytest.raises(ReplicationTimeoutError):
            await durable.end(connection.token)
        assert ended.count == 1
        ring.trouble = None


async def test_a_callback_that_fails_harms_no_other_connection(
    autojump_clock: trio.testing.MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise KeyError("of the application")

    ring = Ring()
    async with over(ring) as durable:
        ended = Calls()
        one = await durable.connect(None, "socket-1", on_ended=fails)
        await durable.connect(one.token, "socket-2", on_ended=ended)
        assert one.token is not None
        await durable.end(one.token)
        assert ended.count == 1
    assert "durable_callback_failed" in caplog.text
