"""Maps, sets and counters through the nodes of a ring and a client, over real sockets."""

from pathlib import Path

from node import NodeConfig, Sessions, open_client, open_node
from node.config import NodeSection


async def shop(here: Sessions, there: Sessions) -> dict[str, object]:
    """Have two processes change one session, and return what is in it afterwards."""
    session = here.create()
    session.map("cart")["apples"] = 1
    session.counter("clicks").add(1)
    session.counter("stock").set(100)
    await session.save()
    one, other = await here.find(session.id), await there.find(session.id)
    assert one is not None
    assert other is not None
    one.map("cart")["pears"] = 2
    one.set("rooms").add("lobby")
    one.counter("stock").set(50)
    other.map("cart").pop("apples")
    other.set("rooms").add("attic")
    for copy in (one, other):
        copy.counter("clicks").add(10)
        await copy.save()
    other.counter("stock").subtract(2)  # from what it was set to since it was found
    await other.save()
    await other.rotate_id()
    again = await here.find(other.id)
    assert again is not None
    return dict(again)


async def test_a_node_and_its_client_change_the_same_ones(tmp_path: Path) -> None:
    unix = tmp_path / "node.socket"
    config = NodeConfig.single(None, node=NodeSection(unix=str(unix)))
    expected = {"cart": {"pears": 2}, "rooms": {"attic", "lobby"}, "clicks": 21, "stock": 48}
    async with open_node(config) as node, open_client(f"unix:{unix}") as client:
        for here, there in [(node.sessions, client.sessions), (client.sessions, node.sessions)]:
            assert await shop(here, there) == expected


async def test_they_come_back_from_disk(tmp_path: Path) -> None:
    config = NodeConfig.single(tmp_path)
    async with open_node(config) as node:
        session = node.sessions.create()
        session.map("cart")["apples"] = 1
        session.set("rooms").add("lobby")
        session.counter("clicks").add(1)
        await session.save()
    async with open_node(config) as node:
        again = await node.sessions.find(session.id)
        assert again is not None
        again.counter("clicks").add(1)
        await again.save()
        found = await node.sessions.find(session.id)
        assert found is not None
        assert dict(found) == {"cart": {"apples": 1}, "rooms": {"lobby"}, "clicks": 2}
