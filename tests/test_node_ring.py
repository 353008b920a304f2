"""Real nodes on loopback: what one has acknowledged, the others answer for."""

from collections import Counter
from pathlib import Path

import pytest
import trio
from attrs import evolve
from local_ring import SECRETS, LocalRing, free_ports

from node import NodeConfig, SessionUnavailableError, open_client, open_node
from node.node import Node
from node.sections import NodeSection
from node.session import Session
from ring.identity import LinkId
from ring.messages import Changes, Message
from ring.record import Record


async def find(node: Node, session_id: str) -> Session:
    """Return a session that is there, as soon as the node knows it."""
    with trio.fail_after(10):
        while True:
            try:
                session = await node.sessions.find(session_id)
            except SessionUnavailableError:
                continue
            assert session is not None
            return session


async def create(node: Node, **attributes: object) -> Session:
    session = node.sessions.create()
    session.update(attributes)
    receipt = await session.save(durability="backup+disk")
    assert not receipt.degraded
    assert node.name in receipt.on_disk
    return session


def traffic(*nodes: Node) -> Counter[str]:
    """Return how many messages these nodes have sent on their present links, but heartbeats."""
    sent: Counter[str] = Counter()
    for node in nodes:
        for link in node._driver.links.values():
            sent.update(link.sent)
    del sent["Status"]
    return sent


async def test_created_at_one_node_a_session_is_read_and_changed_at_another(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    session = await create(ring["a"], cart=["apple"])
    for name in "bc":
        copy = await find(ring[name], session.id)
        assert copy["cart"] == ["apple"]
        copy[name] = name
        assert not (await copy.save()).degraded
    assert dict(await find(ring["a"], session.id)) == {"cart": ["apple"], "b": "b", "c": "c"}
    nursery.cancel_scope.cancel()


async def test_a_killed_nodes_sessions_are_read_and_written_at_its_successor_and_come_back(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    sessions = [await create(ring["a"], number=number) for number in range(20)]
    await ring.kill("a")
    began = trio.current_time()
    for number, session in enumerate(sessions):
        copy = await find(ring["b"], session.id)
        assert copy["number"] == number
        copy["after"] = number
        receipt = await copy.save(durability="backup+disk")
        assert set(receipt.holders) == {"b", "c"}
    assert trio.current_time() - began < 2
    await ring.start("a")
    for number, session in enumerate(sessions):
        copy = await find(ring["a"], session.id)
        assert dict(copy) == {"number": number, "after": number}
    assert ring["a"].status().claims == ("a",)
    nursery.cancel_scope.cancel()


async def test_an_ended_session_stays_ended_through_a_kill_and_a_restart(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    session = await create(ring["a"], user="u")
    await ring.kill("a")
    with trio.fail_after(10):
        while True:
            try:
                await ring["b"].sessions.end(session.id)
                break
            except SessionUnavailableError:
                continue
    await ring.start("a")
    for name in "abc":
        assert await ring[name].sessions.find(session.id) is None
    nursery.cancel_scope.cancel()


async def test_a_whole_ring_that_was_killed_comes_back_from_its_disks(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    sessions = [await create(ring[name], at=name) for name in "abc" for _ in range(5)]
    await ring.kill()
    await ring.start()
    for session in sessions:
        for name in "abc":
            assert dict(await find(ring[name], session.id)) == dict(session)
    nursery.cancel_scope.cancel()


async def test_a_node_that_comes_back_alone_marks_its_sessions_until_the_others_are_there(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, section=NodeSection(handshake=0.5, join=0.5))
    await ring.start()
    session = await create(ring["a"], x=1)
    await ring.kill()
    await ring.start("a")
    assert (await find(ring["a"], session.id)).maybe_stale
    assert ring["a"].status().doubted == ("a", "b", "c")
    async with open_client(ring.addresses[0], secrets=SECRETS) as client:
        through_client = await client.sessions.find(session.id)
        assert through_client is not None
        assert through_client.maybe_stale
    await ring.start("b", "c")
    assert not (await find(ring["a"], session.id)).maybe_stale
    assert ring["a"].status().doubted == ()
    nursery.cancel_scope.cancel()


async def test_a_node_that_stops_hands_over_what_nobody_was_asked_to_hold(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    session = ring["a"].sessions.create()
    session["x"] = 1
    await session.save(durability="local")
    await ring.stop("a")
    assert (await find(ring["b"], session.id))["x"] == 1
    nursery.cancel_scope.cancel()


async def test_a_read_on_the_acting_owner_sends_nothing(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    session = await create(ring["a"], x=1)
    nodes = [ring[name] for name in "abc"]
    before = traffic(*nodes)
    for _ in range(1000):
        found = await ring["a"].sessions.find(session.id)
        assert found is not None
        await trio.lowlevel.checkpoint()
    assert traffic(*nodes) == before
    copy = await find(ring["b"], session.id)
    copy["x"] = 2
    await copy.save()
    assert traffic(*nodes) != before, "the counters count"
    nursery.cancel_scope.cancel()


async def test_changing_one_attribute_of_ten_sends_one(
    tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    driver = ring["a"]._driver
    take = driver.take
    sent: list[set[bytes]] = []

    def spy(link_id: LinkId) -> Message | None:
        message = take(link_id)
        if isinstance(message, Changes):
            portables = [item for item in message.flat[2::3] if isinstance(item, bytes)]
            sent.extend(set(Record.from_portable(each, 0.0).entries) for each in portables)
        return message

    monkeypatch.setattr(driver, "take", spy)
    session = await create(ring["a"], **{f"attribute{number}": number for number in range(10)})
    assert sum(key.startswith(b"attribute") for keys in sent for key in keys) == 10
    sent.clear()
    session["attribute3"] = "changed"
    await session.save()
    assert sent == [{b"attribute3"}]
    nursery.cancel_scope.cancel()


async def test_a_client_routes_by_id_and_finds_its_way_around_a_killed_node(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    async with open_client(ring.addresses[0], secrets=SECRETS) as client:
        with trio.fail_after(5):
            await client.wait_linked(3)
        assert client.members == ("a", "b", "c")
        sessions = []
        for number in range(30):
            session = client.sessions.create()
            session["number"] = number
            assert not (await session.save(durability="backup+disk")).degraded
            sessions.append(session)
        assert {session.id[0] for session in sessions} == {"a", "b", "c"}
        await ring.kill("a")
        began = trio.current_time()
        for number, session in enumerate(sessions):
            found = await client.sessions.find(session.id)
            assert found is not None
            assert found["number"] == number
            found["again"] = True
            await found.save()
        assert trio.current_time() - began < 2
        created = client.sessions.create()
        assert created.id[0] in "bc"
        await ring.start("a")
        with trio.fail_after(5):
            await client.wait_linked(3)
    nursery.cancel_scope.cancel()


async def test_a_client_of_a_unix_socket_needs_no_port(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    path = tmp_path / "sessions.sock"
    config = NodeConfig.from_tables(
        {
            "ring": {"name": "one", "members": [{"name": "a", "address": ""}]},
            "node": {"unix": str(path)},
        },
        environ={},
    )
    async with open_node(config) as node, open_client(f"unix:{path}") as client:
        assert node.addresses == (f"unix:{path}",)
        session = client.sessions.create()
        session["x"] = 1
        await session.save()
        found = await node.sessions.find(session.id)
        assert found is not None
        assert found["x"] == 1
    assert not path.exists()


async def test_a_single_node_listens_nowhere_and_keeps_its_sessions_on_disk(
    tmp_path: Path,
) -> None:
    config = NodeConfig.single(tmp_path / "store")
    async with open_node(config) as node:
        assert node.addresses == ()
        await node.wait_ready()
        session = node.sessions.create()
        session["x"] = (1, 2)
        receipt = await session.save()
        assert receipt.on_disk == ("a",)
        assert not receipt.degraded
    async with open_node(config) as node:
        found = await node.sessions.find(session.id)
        assert found is not None
        assert found["x"] == (1, 2)


async def test_a_second_process_of_a_name_waits_until_the_first_one_is_gone(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """At another address, and with a store of its own, nothing else would tell them apart."""
    ring = LocalRing(tmp_path, nursery, ("a", "b"))
    await ring.start()
    session = await create(ring["a"], cart=1)
    elsewhere = evolve(
        ring.config("b"),
        store=None,
        node=evolve(
            ring.section, listen=f"127.0.0.1:{free_ports(1)[0]}", reconnect_max=0.2, join=3.0
        ),
    )
    async with open_node(elsewhere) as second:
        with trio.fail_after(10):
            while "another live process" not in caplog.text:  # noqa: ASYNC110 - bounded polling
                await trio.sleep(0.01)
        assert not second.ready
        assert ring["b"].ready
        assert ring["a"].status().members == {"b": "up"}
        await ring.kill("b")
        with trio.fail_after(20):
            await second.wait_ready()
        assert (await find(second, session.id))["cart"] == 1
