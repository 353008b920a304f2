"""A namespace for each application: its sessions, defaults and limits are its own."""

from contextlib import AsyncExitStack
from pathlib import Path
from random import Random

import pytest
import trio.testing
from memory_transport import SECRETS, MemoryNetwork, memory_ring
from scripted_nodes import Site
from shelf import Shelf, at_once

from node import (
    ConfigError,
    Durability,
    Node,
    NodeConfig,
    RingFullError,
    SecurityConfig,
    SessionEnded,
    SessionsConfig,
    SessionTooLargeError,
    open_client,
    open_node,
)
from node.namespaces import Namespaces
from node.sections import StoreConfig
from ring.identity import home_of, namespace_of, parse_session_id
from ring.messages import Save

SHOP = SessionsConfig(max_idle=60, lifetime=600, durability="local", sessions_max=2)


def of(shelf: Shelf) -> Namespaces:
    return Namespaces(shelf, SessionsConfig(), {"shop": SHOP}, None)


def test_a_session_of_another_namespace_is_nobodys_and_nobody_is_asked() -> None:
    shelf = Shelf()
    namespaces = of(shelf)
    for mine, others in (("shop", ("", "other")), ("", ("shop",)), ("other", ("", "shop"))):
        session = namespaces.sessions(mine).create()
        at_once(session.save())
        assert at_once(namespaces.sessions(mine).find(session.id)) is not None
        shelf.asked.clear()
        for other in others:
            sessions = namespaces.sessions(other)
            assert at_once(sessions.find(session.id)) is None
            assert at_once(sessions.touch(session.id)) is False
            with pytest.raises(SessionEnded):
                at_once(sessions.end(session.id))
        assert not shelf.asked
        at_once(namespaces.sessions(mine).end(session.id))


def test_a_namespace_has_its_own_defaults_and_limits_or_those_of_all() -> None:
    shelf = Shelf()
    namespaces = of(shelf)
    shop, other = namespaces.sessions("shop").create(), namespaces.sessions("other").create()
    assert (shop.max_idle, shop.lifetime) == (60, 600)
    assert (other.max_idle, other.lifetime) == (1800, 0)
    at_once(shop.save())
    at_once(other.save())
    asked = [each.durability for each in shelf.asked if isinstance(each, Save)]
    assert asked == [Durability.LOCAL, Durability.BACKUP]
    small = {"shop": SessionsConfig(attribute_bytes_max=10)}
    session = Namespaces(shelf, SessionsConfig(), small, None).sessions("shop").create()
    session["x"] = "x" * 11
    with pytest.raises(SessionTooLargeError):
        at_once(session.save())


def test_a_rotation_stays_in_its_namespace() -> None:
    session = of(Shelf()).sessions("shop").create()
    before = session.id
    at_once(session.rotate_id())
    unsaved = parse_session_id(session.id)
    assert session.id != before
    at_once(session.save())
    at_once(session.rotate_id())
    saved = parse_session_id(session.id)
    assert unsaved is not None
    assert saved is not None
    assert namespace_of(unsaved) == namespace_of(saved) == "shop"
    assert home_of(saved) == "a"


@pytest.mark.parametrize("name", ["Shop", "a.b", "-a", "x" * 33, "a b"])
async def test_a_name_that_cannot_be_a_namespaces_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=r"namespace is .*use 1 to 32 of a-z"):
        of(Shelf()).sessions(name)
    with pytest.raises(ConfigError, match="a name in namespaces is"):
        NodeConfig("a", memory_ring("a"), namespaces={name: SHOP})
    with pytest.raises(ConfigError, match="a name in namespaces is"):
        async with open_client("127.0.0.1:1", secrets=SECRETS, namespaces={name: SHOP}):
            pass
    with pytest.raises(ConfigError, match="configure it in sessions"):
        NodeConfig("a", memory_ring("a"), namespaces={"": SHOP})


async def test_nodes_keep_the_namespaces_of_one_ring_apart(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Also where the id comes to a member that has to ask another one."""
    network = MemoryNetwork()
    nodes: list[Node] = []
    async with AsyncExitStack() as stack:
        for name in "ab":
            config = NodeConfig(
                name=name,
                ring=memory_ring("ab"),
                security=SecurityConfig(SECRETS),
                namespaces={"shop": SHOP},
            )
            opened = open_node(config, transport=network, random=Random(name), simulated=True)
            nodes.append(await stack.enter_async_context(opened))
        for node in nodes:
            await node.wait_ready()
        a, b = (node.namespace("shop") for node in nodes)
        ids = []
        for _ in range(2):
            session = a.create()
            session["x"] = 1
            await session.save()
            ids.append(session.id)
        found = await b.find(ids[0])
        assert found is not None
        assert found["x"] == 1
        assert await nodes[1].sessions.find(ids[0]) is None
        assert await nodes[1].namespace("").find(ids[0]) is None
        with pytest.raises(RingFullError, match="a has 2 living sessions of namespace shop"):
            await a.create().save()
        await nodes[0].namespace("other").create().save()
        await nodes[0].sessions.create().save()
        await b.end(ids[0])
        await a.create().save()


async def test_a_client_has_namespaces_as_well(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        shop = client.namespace("shop").create()
        parsed = parse_session_id(shop.id)
        assert parsed is not None
        assert namespace_of(parsed) == "shop"
        assert home_of(parsed) in client.members
        assert await client.sessions.find(shop.id) is None
        assert namespace_of(client.new_session_id("a", "shop")) == "shop"
    nursery.cancel_scope.cancel()


# --- Configuration --------------------------------------------------------------------------------

RING = """
[ring]
name = "shop"
[[ring.members]]
name = "a"
address = "127.0.0.1:6802"
"""


def load(tmp_path: Path, text: str, **overrides: object) -> NodeConfig:
    path = tmp_path / "ring.toml"
    path.write_text(RING + text)
    return NodeConfig.load(path, environ={}, overrides=overrides)


def test_what_a_namespace_does_not_say_the_section_of_all_says(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [sessions]
        max_idle = "10m"
        lifetime = "1h"
        [namespaces.shop]
        max_idle = "5m"
        attributes_max = 7
        [namespaces.admin]
        """,
    )
    assert config.namespaces == {
        "shop": SessionsConfig(max_idle=300, lifetime=3600, attributes_max=7),
        "admin": SessionsConfig(max_idle=600, lifetime=3600),
    }
    assert config.settings.limits_of("shop").attributes_max == 7
    assert config.settings.limits_of("elsewhere") == config.sessions.limits


def test_overrides_go_over_single_keys_of_a_namespace(tmp_path: Path) -> None:
    text = '[namespaces.shop]\nmax_idle = "5m"\nlifetime = "1h"\n'
    config = load(tmp_path, text, namespaces={"shop": {"max_idle": "1m"}, "new": {"lifetime": 5}})
    assert config.namespaces["shop"] == SessionsConfig(max_idle=60, lifetime=3600)
    assert config.namespaces["new"] == SessionsConfig(lifetime=5)
    text += "[namespaces.new]\n"
    assert set(load(tmp_path, text, namespaces={"new": None}).namespaces) == {"shop"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("namespaces = 5", "namespaces is of type int; write a table [namespaces.NAME]"),
        ("[namespaces]\nshop = 5", "namespaces.shop is of type int; write a table"),
        ("[namespaces.shop]\nmaxidle = 5", "namespaces.shop.maxidle is not a setting; did you"),
        ("[namespaces.shop]\nmax_idle = 'x'", "namespaces.shop.max_idle is 'x'; use seconds"),
        ("[namespaces.Shop]", "a name in namespaces is 'Shop', which cannot be part of"),
        ("[namespaces.shop]\nsessions_max = -1", "namespaces.shop.sessions_max is -1; use a"),
        ("[sessions]\nattributes_max = 2049", "sessions.attributes_max is 2049; use at most"),
        ("[sessions]\nattributes_max = 0", "sessions.attributes_max is 0; use a whole"),
        ("[sessions]\nsessions_max = true", "sessions.sessions_max is True; use a whole"),
        (
            "[namespaces.shop]\nsession_bytes_max = 5",
            "262144, more than namespaces.shop.session_bytes_max, which is 5",
        ),
        (
            "[namespaces.shop]\ndurability = 'disk'",
            'namespaces.shop.durability is "disk", and there',
        ),
    ],
    ids=range(11),
)
def test_what_is_wrong_in_a_namespace_is_refused_with_key_value_and_remedy(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "ring.toml"
    path.write_text(text + RING if text.startswith("namespaces =") else RING + text)
    with pytest.raises(ConfigError) as error:
        NodeConfig.load(path, environ={})
    assert message in str(error.value)


def test_a_namespace_may_want_a_disk_where_there_is_a_store() -> None:
    own = {"shop": SessionsConfig(durability="disk")}
    ring, security = memory_ring("a"), SecurityConfig(SECRETS)
    config = NodeConfig("a", ring, StoreConfig("file:/x"), security=security, namespaces=own)
    assert config.namespaces == own
