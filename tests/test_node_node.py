"""A node's life: started in order, stopped in order, and stopped loudly by a bug."""

import errno
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from random import Random

import pytest
import trio
import trio.testing
from memory_store import MemoryStore
from memory_transport import MemoryNetwork, memory_ring

from node import ConfigError, Node, NodeConfig, SecurityConfig, SessionUnavailableError, open_node
from node.stores.base import Store
from ring.effects import Effect
from ring.errors import StoreLockedError


def config(name: str = "a", names: str = "a") -> NodeConfig:
    security = SecurityConfig(secrets=(b"the secret of the tests",))
    return NodeConfig(name=name, ring=memory_ring(names), security=security)


@asynccontextmanager
async def memory_node(
    network: MemoryNetwork, name: str = "a", names: str = "a", store: Store | None = None
) -> AsyncIterator[Node]:
    async with open_node(
        config(name, names), store=store, transport=network, random=Random(name), simulated=True
    ) as node:
        yield node


async def test_a_ring_in_memory_and_virtual_time_serves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    network = MemoryNetwork()
    async with AsyncExitStack() as stack:
        nodes = [
            await stack.enter_async_context(memory_node(network, name, "abc")) for name in "abc"
        ]
        for node in nodes:
            await node.wait_ready()
        session = nodes[0].sessions.create()
        session["x"] = 1
        receipt = await session.save()
        assert receipt.holders == ("a", "b")
        found = await nodes[2].sessions.find(session.id)
        assert found is not None
        assert found["x"] == 1
        status = nodes[0].status()
        assert (status.name, status.ready, status.claims) == ("a", True, ("a",))
        assert status.members == {"b": "up", "c": "up"}
        assert status.records["a"] == 1


async def test_a_node_listens_before_it_dials(autojump_clock: trio.testing.MockClock) -> None:
    class Strict(MemoryNetwork):
        async def dial(self, address: str) -> "trio.abc.Stream":  # type: ignore[override]
            assert "a.memory:1" in self.listeners
            return await super().dial(address)  # type: ignore[return-value]

    network = Strict()
    async with memory_node(network, "a", "ab"):
        await trio.sleep(1)
        assert "b.memory:1" in network.dialled


async def test_what_the_application_raises_comes_out_as_it_is() -> None:
    async def run() -> None:
        async with memory_node(MemoryNetwork()):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await run()


async def test_a_bug_stops_the_application_loudly(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(now: float) -> list[Effect]:
        raise ZeroDivisionError("our bug")

    async def run() -> None:
        async with memory_node(MemoryNetwork()) as node:
            monkeypatch.setattr(node._driver.replica, "on_tick", fail)
            await trio.sleep_forever()

    with pytest.raises(ExceptionGroup) as caught:
        await run()
    assert caught.group_contains(ZeroDivisionError)


async def test_an_address_in_use_is_a_configuration_error_and_frees_the_store() -> None:
    network = MemoryNetwork()
    await network.listen("a.memory:1")
    store = MemoryStore()

    async def run() -> None:
        async with memory_node(network, store=store):
            raise AssertionError("not reached")

    with pytest.raises(ConfigError, match=r"cannot listen at a\.memory:1: the address is in use"):
        await run()
    assert not store.is_open


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EADDRNOTAVAIL, "not one of this machine"),
        (errno.EACCES, "may not listen there"),
        (errno.EIO, "Input/output error"),
    ],
)
async def test_other_troubles_with_listening_are_told_with_their_remedy(
    number: int, words: str
) -> None:
    class Refusing(MemoryNetwork):
        async def listen(self, address: str) -> tuple[()]:
            raise OSError(number, "Input/output error")

    async def run() -> None:
        async with memory_node(Refusing()):
            raise AssertionError("not reached")

    with pytest.raises(ConfigError, match=words):
        await run()


async def test_a_locked_store_stops_the_start() -> None:
    class Locked(MemoryStore):
        def open(self) -> None:
            raise StoreLockedError("/var/lib/a is in use by process 7")

    async def run() -> None:
        async with memory_node(MemoryNetwork(), store=Locked()):
            raise AssertionError("not reached")

    with pytest.raises(StoreLockedError, match="/var/lib/a"):
        await run()


async def test_randomness_that_can_be_foretold_is_refused() -> None:
    async def run() -> None:
        async with open_node(config(), transport=MemoryNetwork(), random=Random(1)):
            raise AssertionError("not reached")

    with pytest.raises(ConfigError, match="foretold"):
        await run()


async def test_a_node_that_was_left_serves_nothing_and_has_written_everything() -> None:
    store = MemoryStore()
    async with memory_node(MemoryNetwork(), store=store) as node:
        await node.wait_ready()
        sessions = [node.sessions.create() for _ in range(600)]
        for session in sessions:
            await session.save(durability="local")
    assert len(store.records) == 600
    assert not store.is_open
    with pytest.raises(SessionUnavailableError, match="closed"):
        await node.sessions.find(sessions[0].id)


async def test_a_cancelled_node_has_written_everything_too() -> None:
    store = MemoryStore()
    with trio.CancelScope() as scope:
        async with memory_node(MemoryNetwork(), store=store) as node:
            await node.wait_ready()
            session = node.sessions.create()
            await session.save(durability="local")
            scope.cancel()
            await trio.sleep_forever()
    assert list(store.records) == [session.id.encode()]


async def test_a_full_disk_shows_in_the_receipt_and_heals() -> None:
    store = MemoryStore()
    async with memory_node(MemoryNetwork(), store=store) as node:
        await node.wait_ready()
        session = node.sessions.create()
        session["x"] = 1
        assert (await session.save(durability="disk")).on_disk == ("a",)
        store.is_full = True
        session["x"] = 2
        receipt = await session.save(durability="disk")
        assert receipt.degraded
        assert receipt.on_disk == ()
        assert node.status().store_failing
        store.is_full = False
        session["x"] = 3
        receipt = await session.save(durability="disk")
        assert not receipt.degraded
        assert receipt.on_disk == ("a",)
        assert not node.status().store_failing
