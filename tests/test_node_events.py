"""What an application is told of sessions, and what becomes of what it is not told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.lowlevel

from node import Event, EventKind, Node, NodeConfig, open_node


@asynccontextmanager
async def a_node() -> AsyncIterator[Node]:
    async with open_node(NodeConfig.single(None)) as node:
        await node.wait_ready()
        yield node


async def an_ended_session(node: Node) -> str:
    session = node.sessions.create()
    session["cart"] = ["apples"]
    await session.save()
    await session.end()
    return session.id


async def test_whoever_iterates_is_told_what_happens() -> None:
    async with a_node() as node, node.events() as events:
        session = node.sessions.create()
        session["cart"] = ["apples"]
        await session.save()
        old_id = session.id
        await session.rotate_id()
        await session.end()
        told = [await anext(events) for _ in range(3)]
    assert [event.kind for event in told] == ["created", "rotated", "deleted"]
    assert [event.session_id for event in told] == [old_id, old_id, session.id]
    assert told[1].new_id == session.id
    assert all(dict(event.session) == {"cart": ["apples"]} for event in told)
    assert len({event.id for event in told}) == 3


async def test_who_iterates_outside_the_block_is_told_to_enter_it() -> None:
    async with a_node() as node:
        with pytest.raises(RuntimeError, match="async with"):
            await anext(node.events())


async def test_what_cannot_be_called_is_refused_at_once() -> None:
    """Every event failed in it, and counted as delivered."""
    async with a_node() as node:
        with pytest.raises(TypeError, match="callback is None; use a function of one event"):
            node.on("created", None)  # type: ignore[arg-type]


async def test_who_listens_to_some_kinds_is_told_of_no_others() -> None:
    async with a_node() as node, node.events("deleted") as events:
        session_id = await an_ended_session(node)
        assert (await anext(events)).session_id == session_id


async def test_changes_are_told_by_the_names_of_their_attributes() -> None:
    async with a_node() as node, node.events(EventKind.CHANGED) as events:
        session = node.sessions.create()
        await session.save()
        session["user"] = "anne"
        session.set("rooms").add("lobby")
        await session.save()
        assert (await anext(events)).names == ("rooms", "user")


async def test_callbacks_are_called_and_one_that_fails_harms_no_other() -> None:
    told = list[tuple[str, str]]()

    def fails(event: Event) -> None:
        told.append(("fails", event.kind))
        raise RuntimeError("of the application's")

    async def waits(event: Event) -> None:
        await trio.lowlevel.checkpoint()
        told.append(("waits", event.kind))

    async with a_node() as node:
        node.on(("created", "deleted"), fails)
        ended = node.on("deleted", waits)
        await an_ended_session(node)
        await trio.testing.wait_all_tasks_blocked()
        ended.close()
        await an_ended_session(node)
        await trio.testing.wait_all_tasks_blocked()
    assert told.count(("waits", "deleted")) == 1
    assert [kind for who, kind in told if who == "fails"] == ["created", "deleted"] * 2


async def test_a_callback_runs_no_more_often_at_a_time_than_it_may() -> None:
    running, most = 0, 0

    async def slow(event: Event) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await trio.testing.wait_all_tasks_blocked()
        running -= 1

    async with a_node() as node:
        node.on("created", slow, concurrency=2)
        for _ in range(5):
            await node.sessions.create().save()
        await trio.testing.wait_all_tasks_blocked(0.01)
    assert most == 2


async def test_a_slow_listener_loses_its_oldest_events_and_is_told_how_many() -> None:
    async with (
        a_node() as node,
        node.events("created", buffer=2) as slow,
        node.events("created") as other,
    ):
        ids = []
        for _ in range(5):
            session = node.sessions.create()
            await session.save()
            ids.append(session.id)
        told = [await anext(slow) for _ in range(2)]
        assert [(event.session_id, event.lost) for event in told] == [(ids[3], 3), (ids[4], 0)]
        assert [(await anext(other)).session_id for _ in ids] == ids


async def test_what_nobody_was_done_with_is_told_to_the_next_who_listens() -> None:
    async with a_node() as node:
        events = node.events("created")
        await events.__aenter__()
        await node.sessions.create().save()
        await node.sessions.create().save()
        first = await anext(events)
        error = RuntimeError("it stumbles")
        await events.__aexit__(RuntimeError, error, None)
        await trio.testing.wait_all_tasks_blocked()
        async with node.events("created") as events:
            told = [await anext(events) for _ in range(2)]
        await trio.testing.wait_all_tasks_blocked()
        assert told[0].id == first.id
        async with node.events("created") as events:
            await node.sessions.create().save()
            assert (await anext(events)).id not in {event.id for event in told}


async def test_a_session_that_was_created_while_nobody_listened_is_not_announced_later() -> None:
    async with a_node() as node:
        await node.sessions.create().save()
        async with node.events("created") as events:
            session = node.sessions.create()
            await session.save()
            assert (await anext(events)).session_id == session.id


async def test_events_end_with_their_node() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        events = node.events()
        await events.__aenter__()
    with pytest.raises(StopAsyncIteration):
        await anext(events)
    with pytest.raises(RuntimeError, match="has stopped"):
        await node.events().__aenter__()


def test_what_cannot_be_listened_to_is_named() -> None:
    async def main() -> None:
        async with a_node() as node:
            with pytest.raises(ValueError, match="kinds are 'destroyed'; use 'created'"):
                node.events("destroyed")
            with pytest.raises(ValueError, match="buffer is 'x'; use 1 or more"):
                node.events(buffer="x")  # type: ignore[arg-type]
            with pytest.raises(ValueError, match="buffer is 0; use 1 or more"):
                node.events(buffer=0)
            with pytest.raises(ValueError, match="concurrency is 0; use 1 or more"):
                node.on("created", print, concurrency=0)

    trio.run(main)
