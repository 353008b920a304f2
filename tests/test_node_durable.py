"""Long-lived connections: what outlives them, who keeps them alive, and a ring in trouble."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing
from memory_transport import SECRETS, MemoryNetwork, memory_ring
from shelf import Shelf, repository

from node import (
    ConfigError,
    Node,
    NodeConfig,
    RingFullError,
    SecurityConfig,
    ValueNotStorableError,
    open_node,
)
from node.durable import RETRY_INTERVAL_S, DurableSessions, open_durable
from node.durable_connection import METADATA, RESOURCE, ROOMS, SEEN, TOPICS
from node.sections import SessionsConfig
from node.stores import MemoryStore, Store
from ring.errors import (
    ReplicationTimeoutError,
    SessionTooLargeError,
    SessionUnavailableError,
)
from ring.messages import Failure, Find, Reply, Request, Save

MINUTE_S = 60.0


class Ring(Shelf):
    """A ring that may be in trouble, and then answers nothing of use, or nothing at all."""

    trouble: Failure | None = None
    is_silent = False

    async def perform(self, request: Request) -> Reply:
        if self.is_silent:
            self.asked.append(request)
            await trio.sleep_forever()
        if self.trouble is not None:
            self.replies.append(self.trouble)
        await trio.lowlevel.checkpoint()
        return await super().perform(request)

    def saves(self) -> list[Save]:
        return [each for each in self.asked if isinstance(each, Save)]

    def touches(self) -> int:
        return sum(isinstance(each, Find) and each.touch for each in self.asked)


class Calls:
    """Counts how often it is called."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@asynccontextmanager
async def over(
    ring: Ring, *, connections_max: int = 100, unsaved_max: int = 100
) -> AsyncIterator[DurableSessions]:
    async with open_durable(
        repository(ring), connections_max=connections_max, unsaved_max=unsaved_max
    ) as durable:
        yield durable


@asynccontextmanager
async def a_node(
    store: Store | None = None, max_idle: float = 1800, attributes_max: int = 2048
) -> AsyncIterator[Node]:
    config = NodeConfig(
        name="a",
        ring=memory_ring("a"),
        security=SecurityConfig(SECRETS),
        sessions=SessionsConfig(max_idle=max_idle, attributes_max=attributes_max),
    )
    async with open_node(
        config, store=store, transport=MemoryNetwork(), random=Random(1), simulated=True
    ) as node:
        await node.wait_ready()
        yield node


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
