"""One type of sessions in a node, in its clients and in simulations; a type checker sees it."""

from pathlib import Path

import pytest

import simulations.simulate
from node import (
    Client,
    ConflictError,
    EndedSessions,
    Node,
    NodeConfig,
    Sessions,
    open_client,
    open_node,
)
from node.config import NodeSection
from simulations.plan import simplest


def of_a_node(node: Node) -> Sessions:
    return node.sessions


def of_a_client(client: Client) -> Sessions:
    return client.sessions


def of_a_simulated_client(client: simulations.simulate.Client) -> Sessions:
    return client.sessions


async def application(sessions: Sessions) -> list[object]:
    """Use everything that there is, and return what was seen of it."""
    session = sessions.create(max_idle=60, lifetime=3600)
    session["name"] = "Ada"
    session.map("cart")["apples"] = 3
    session.set("rooms").add("lobby")
    session.counter("clicks").add(2)
    await session.save()
    again = await sessions.find(session.id)
    assert again is not None
    old_id, seen = again.id, list[object]([dict(again), again.max_idle, again.lifetime])
    again.remember()
    again["visits"] = {"today": [1, 2]}
    await again.save(if_unchanged=True)
    stale = await sessions.find(again.id, read="local")
    assert stale is not None
    again["name"] = "Bob"
    await again.save(if_unchanged=True, now=True)
    stale["name"] = "Eve"
    with pytest.raises(ConflictError) as conflict:
        await stale.save(if_unchanged=True)
    other = conflict.value.other
    assert other is not None
    seen += [other["name"], other.get("visits", as_=dict[str, list[int]]), other.remembered]
    seen += [other.age, stale.age, other.is_expired, await other.touch()]
    assert other.expires_at is not None
    await again.rotate_id()
    seen += [await sessions.touch(old_id), await sessions.touch(again.id)]
    await sessions.end(again.id)
    seen += [await sessions.find(again.id), await sessions.find("nobody's")]
    other = sessions.create()
    other.principal = "ada"
    await other.save()
    seen.append(
        [each.principal for each in (await sessions.find_by_principal("ada")).sessions.values()]
    )
    seen += [dict((await sessions.principals()).counts), await sessions.end_all("ada")]
    return seen


HAS = {"name": "Ada", "cart": {"apples": 3}, "rooms": {"lobby"}, "clicks": 2}
SEEN = [HAS, 60, 3600, "Bob", {"today": [1, 2]}, True, 0.0, 0.0, False, True]
SEEN += [False, True, None, None]
SEEN += [["ada"], {"ada": 1}, EndedSessions(ended=1)]


async def test_an_application_does_the_same_in_a_node_and_in_its_client(tmp_path: Path) -> None:
    unix = tmp_path / "node.socket"
    config = NodeConfig.single(None, node=NodeSection(unix=str(unix)))
    async with open_node(config) as node:
        assert await application(of_a_node(node)) == SEEN
        async with open_client(f"unix:{unix}") as client:
            assert await application(of_a_client(client)) == SEEN


def test_and_in_a_simulation() -> None:
    seen = list[object]()

    async def workload(client: simulations.simulate.Client) -> None:
        seen.append(await application(of_a_simulated_client(client)))

    simulations.simulate.simulate(simplest(clients=1), workload)
    assert seen == [SEEN]
