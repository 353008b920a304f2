"""A planned stop: no request fails, nothing is lost, and it ends in any case."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing
from memory_store import MemoryStore
from memory_transport import SECRETS, MemoryNetwork, memory_ring

from node import Client, Node, NodeConfig, SecurityConfig, open_client, open_node
from node.sections import NodeSection
from node.session import Session
from node.stores.base import Store
from ring.identity import LinkId
from ring.messages import Message


class Site:
    """Nodes in memory, each of which can be stopped."""

    def __init__(self, nursery: trio.Nursery, names: str = "abc", drain: float = 30.0) -> None:
        self.network = MemoryNetwork()
        self.ring = memory_ring(names)
        self.nursery = nursery
        self.section = NodeSection(drain=drain)
        self.nodes: dict[str, Node] = {}
        self._scopes: dict[str, trio.CancelScope] = {}
        self._ended: dict[str, trio.Event] = {}

    async def start(self, *names: str, store: Store | None = None) -> None:
        for name in names or self.ring.names:
            self.nodes[name] = await self.nursery.start(self._run, name, store)
        for name in names or self.ring.names:
            await self.nodes[name].wait_ready()

    async def _run(
        self, name: str, store: Store | None, *, task_status: trio.TaskStatus[Node]
    ) -> None:
        config = NodeConfig(
            name=name,
            ring=self.ring,
            security=SecurityConfig(secrets=SECRETS),
            node=self.section,
        )
        ended = self._ended[name] = trio.Event()
        with trio.CancelScope() as scope:
            self._scopes[name] = scope
            async with open_node(
                config, store=store, transport=self.network, random=Random(name), simulated=True
            ) as node:
                task_status.started(node)
                await trio.sleep_forever()
        ended.set()

    def tell(self, *names: str) -> None:
        """Tell nodes to stop, as a signal would."""
        for name in names:
            self._scopes[name].cancel()

    async def stop(self, *names: str) -> float:
        """Stop nodes; return how many seconds it took."""
        began = trio.current_time()
        self.tell(*names)
        for name in names:
            await self._ended[name].wait()
            del self.nodes[name]
        return trio.current_time() - began

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        async with open_client(
            *(member.address for member in self.ring.members),
            secrets=SECRETS,
            transport=self.network,
            random=Random(1),
            simulated=True,
        ) as client:
            await client.wait_linked(len(self.nodes))
            yield client


async def save_local(sessions: list[Session], number: int) -> None:
    for session in sessions:
        session["number"] = number
        await session.save(durability="local")


async def test_no_request_fails_and_nothing_is_lost_through_rolling_stops_without_a_disk(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """With the durability ``local`` and no store, what was saved is in one memory only."""
    site = Site(nursery)
    await site.start()
    async with site.client() as client, trio.open_nursery() as callers:
        sessions = [client.sessions.create() for _ in range(12)]
        assert {session.id[0] for session in sessions} == {"a", "b", "c"}
        await save_local(sessions, 0)
        rounds = 0

        async def use(mine: list[Session]) -> None:
            nonlocal rounds
            while True:
                rounds += 1
                await save_local(mine, rounds)
                for session in mine:
                    found = await client.sessions.find(session.id)
                    assert found is not None
                    assert found["number"] == session["number"]
                fresh = client.sessions.create()
                fresh["number"] = rounds
                await fresh.save(durability="local")
                mine[0] = fresh
                await trio.sleep(0.05)

        for number in range(3):
            callers.start_soon(use, sessions[number::3])
        for name in "abc":
            before = rounds
            assert await site.stop(name) < 3
            await trio.sleep(0.3)
            assert rounds > before
            await site.start(name)
            await client.wait_linked(3)
        callers.cancel_scope.cancel()
    nursery.cancel_scope.cancel()


async def test_callers_in_the_process_are_served_until_it_has_stopped(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    node = site.nodes["a"]
    session = node.sessions.create()
    assert session.id.startswith("a.")
    await save_local([session], 1)
    async with trio.open_nursery() as draining:
        draining.start_soon(node.drain)
        await trio.testing.wait_all_tasks_blocked()
        assert node.status().draining
        await save_local([session], 2)
        fresh = node.sessions.create()
        assert fresh.id.startswith("b.")
        await save_local([fresh], 3)
    for each in (session, fresh):
        found = await node.sessions.find(each.id)
        assert found is not None
        assert found["number"] == each["number"]
    assert node.status().claims == ()
    await site.stop("a")
    for name in "bc":
        found = await site.nodes[name].sessions.find(session.id)
        assert found is not None
        assert found["number"] == 2
    nursery.cancel_scope.cancel()


async def test_a_node_alone_stops_at_once_with_everything_on_the_disk(
    nursery: trio.Nursery,
) -> None:
    site = Site(nursery, "a")
    store = MemoryStore()
    await site.start("a", store=store)
    sessions = [site.nodes["a"].sessions.create() for _ in range(300)]
    await save_local(sessions, 1)
    assert await site.stop("a") < 5
    assert len(store.records) == 300
    nursery.cancel_scope.cancel()


async def test_a_node_alone_waits_for_its_disk_to_take_everything(
    nursery: trio.Nursery,
) -> None:
    """Nobody else has it: what is not on the disk when it stops is lost."""
    site = Site(nursery, "a")
    store = MemoryStore()
    await site.start("a", store=store)
    store.is_full = True
    await save_local([site.nodes["a"].sessions.create()], 1)
    site.tell("a")
    with trio.fail_after(5):
        while len(store.batches) < 3:  # noqa: ASYNC110 - bounded
            await trio.sleep(0.01)
    assert site.nodes["a"].status().draining
    store.is_full = False
    assert await site.stop("a") < 15
    assert len(store.records) == 1
    nursery.cancel_scope.cancel()


async def test_a_node_alone_whose_disk_stays_full_stops_at_the_deadline_and_says_so(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sessionring")
    site = Site(nursery, "a", drain=0.5)
    store = MemoryStore()
    await site.start("a", store=store)
    store.is_full = True
    await save_local([site.nodes["a"].sessions.create()], 1)
    assert 0.5 <= await site.stop("a") < 5
    (told,) = [each for each in caplog.records if each.message.startswith("drain_incomplete")]
    assert told.__dict__["fields"]["sessions"] == 1
    assert "stopped_unwritten sessions=1" in caplog.text
    nursery.cancel_scope.cancel()


async def test_a_full_disk_holds_nobody_up_who_has_handed_over(nursery: trio.Nursery) -> None:
    site = Site(nursery, "ab")
    store = MemoryStore()
    await site.start("a", store=store)
    await site.start("b")
    store.is_full = True
    await save_local([site.nodes["a"].sessions.create()], 1)
    assert await site.stop("a") < 3
    nursery.cancel_scope.cancel()


async def test_a_ring_that_is_stopped_as_a_whole_does_not_wait_for_itself(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    await save_local([site.nodes["a"].sessions.create()], 1)
    assert await site.stop("a", "b", "c") < 3
    nursery.cancel_scope.cancel()


async def test_at_the_deadline_it_stops_and_says_what_could_not_be_handed_over(
    autojump_clock: trio.testing.MockClock,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "sessionring")
    site = Site(nursery, "ab", drain=1.0)
    await site.start()

    def ignore(link_id: LinkId, messages: list[Message]) -> None:
        """Hang, as a stopped process does."""

    monkeypatch.setattr(site.nodes["b"]._driver, "on_messages", ignore)
    session = site.nodes["a"].sessions.create()
    await save_local([session], 1)
    assert 1 <= await site.stop("a") < 4
    (told,) = [each for each in caplog.records if each.message.startswith("drain_incomplete")]
    fields = told.__dict__["fields"]
    assert fields["homes"] == 1
    assert fields["sessions"] >= 1
    nursery.cancel_scope.cancel()


async def test_a_client_that_stays_does_not_hold_it_up(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """It may have no way to any other member."""
    site = Site(nursery)
    await site.start()
    site.network.unreachable |= {"b.memory:1", "c.memory:1"}
    async with open_client(
        "a.memory:1", secrets=SECRETS, transport=site.network, random=Random(1), simulated=True
    ) as client:
        session = client.sessions.create()
        await save_local([session], 1)
        site.tell("a")
        await trio.sleep(0.1)
        assert await client.sessions.find(session.id) is not None
        assert await site.stop("a") < 5
    nursery.cancel_scope.cancel()


async def test_what_is_asked_while_clients_leave_is_answered_before_it_stops(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had handed over, gave its clients a second, and ended with what had come meanwhile."""
    site = Site(nursery)
    await site.start()
    site.network.unreachable |= {"b.memory:1", "c.memory:1"}
    async with open_client(
        "a.memory:1", secrets=SECRETS, transport=site.network, random=Random(1), simulated=True
    ) as client:
        session = site.nodes["b"].sessions.create()
        await save_local([session], 1)
        found = await client.sessions.find(session.id)
        assert found is not None
        site.tell("a")
        await trio.sleep(0.5)  # It has handed over by now.
        driver = site.nodes["b"]._driver
        take, held = driver.on_messages, list[tuple[LinkId, list[Message]]]()
        monkeypatch.setattr(driver, "on_messages", lambda *each: held.append(each))
        async with trio.open_nursery() as saving:
            saving.start_soon(save_local, [found], 2)
            await trio.sleep(1.5)
            assert held
            monkeypatch.setattr(driver, "on_messages", take)
            for link_id, messages in held:
                take(link_id, messages)
        with trio.fail_after(5):
            await site._ended["a"].wait()
    nursery.cancel_scope.cancel()
