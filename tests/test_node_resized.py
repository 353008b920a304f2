"""Real nodes whose ring changes while they serve: members come and go; it is kept on disk."""

import socket
from pathlib import Path

import pytest
import trio
from attrs import evolve
from local_ring import SECRETS, LocalRing, free_ports
from stores import held

from node.client import open_client
from node.config import NodeConfig, SecurityConfig, StoreConfig
from node.node import open_node
from node.ring_file import RingFile
from node.ring_text import ring_from_text, ring_to_text
from ring.errors import ConfigError
from ring.identity import home_of, parse_session_id
from ring.placement import Departed, Member, Ring


def with_fourth(ring: Ring) -> Ring:
    (port,) = free_ports(1)
    members = (*ring.members, Member("d", f"127.0.0.1:{port}"))
    return evolve(ring, version=ring.version + 1, members=members)


def without(ring: Ring, name: str, *, gone: bool = False) -> Ring:
    staying = tuple(member for member in ring.members if member.name != name)
    address = "" if gone else ring.addresses[name]
    departed = (*ring.departed, Departed(name, staying[0].name, address))
    return evolve(ring, version=ring.version + 1, members=staying, departed=departed)


async def until_all_know(ring: LocalRing, version: int) -> None:
    with trio.fail_after(10):
        while {running.node.ring.version for running in ring.running.values()} != {version}:  # noqa: ASYNC110
            await trio.sleep(0.01)


async def test_three_members_become_four_and_three_again_and_a_client_notices_nothing(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Scenario: 3 -> 4 -> 3 members."""
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    async with open_client(*ring.addresses, secrets=SECRETS) as client:
        await client.wait_linked(3)
        made = []
        for number in range(30):
            session = client.sessions.create()
            session["number"] = number
            assert not (await session.save()).degraded
            made.append(session.id)

        ring.ring = with_fourth(ring.ring)
        await ring.start("d")
        await until_all_know(ring, 2)
        with trio.fail_after(10):
            await client.wait_linked(4)
        session = ring["d"].sessions.create()
        session["number"] = 30
        await session.save()
        made.append(session.id)
        assert session.id.startswith("d.")

        ring.ring = without(ring.ring, "d")
        ring["b"].set_ring(ring.ring)
        with trio.fail_after(10):
            await ring["d"].wait_removed()
        await until_all_know(ring, 3)
        await ring.stop("d")
        for number, session_id in enumerate(made):
            found = await client.sessions.find(session_id)
            assert found is not None
            assert found["number"] == number
        assert "d" not in client.members
        assert home_of(client.new_session_id()) in "abc"
    nursery.cancel_scope.cancel()


async def test_a_node_that_has_no_place_any_more_stops_serving_and_says_so(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    ring["a"].set_ring(without(ring.ring, "c", gone=True))
    with trio.fail_after(15):
        await ring["c"].wait_removed()
    assert "left_the_ring" in caplog.text
    assert ring["c"].status().claims == ()
    nursery.cancel_scope.cancel()


async def test_a_node_whose_address_changes_listens_at_the_new_one_too(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery, names=("a", "b"))
    await ring.start()
    (port,) = free_ports(1)
    moved = Member("a", f"127.0.0.1:{port}")
    ring["b"].set_ring(evolve(ring.ring, version=2, members=(moved, ring.ring.members[1])))
    with trio.fail_after(10):
        while moved.address not in ring["a"].addresses:  # noqa: ASYNC110
            await trio.sleep(0.01)
    async with open_client(moved.address, secrets=SECRETS) as client:
        assert client.linked
    nursery.cancel_scope.cancel()


async def test_a_ring_that_cannot_follow_is_refused(tmp_path: Path, nursery: trio.Nursery) -> None:
    ring = LocalRing(tmp_path, nursery, names=("a", "b"))
    await ring.start()
    with pytest.raises(ConfigError, match="the ring was not set: it has no place for b"):
        ring["a"].set_ring(evolve(ring.ring, version=2, members=ring.ring.members[:1]))
    ring["a"].set_ring(ring.ring)
    assert ring["a"].ring.version == 1
    nursery.cancel_scope.cancel()


async def test_a_backup_creates_sessions_of_other_homes(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    members = ring.ring.members
    ring.ring = evolve(ring.ring, members=(*members[:2], evolve(members[2], backup=True)))
    await ring.start()
    for sessions in (ring["c"].sessions,):
        session = sessions.create()
        session["cart"] = 1
        await session.save()
        assert session.id.startswith("a.")
    async with open_client(ring.ring.addresses["c"], secrets=SECRETS) as client:
        for _ in range(20):
            parsed = parse_session_id(client.sessions.create().id)
            assert parsed is not None
            assert home_of(parsed) in "ab"
    nursery.cancel_scope.cancel()


# --- What is kept ---

PAIR = Ring("shop", (Member("a", "127.0.0.1:1"), Member("b", "127.0.0.1:2")), version=2)


@pytest.mark.parametrize(
    "ring",
    [
        PAIR,
        Ring('a "quoted" \\ name', (Member("a", ""),)),
        evolve(
            PAIR,
            members=(*PAIR.members, Member("c", "[::1]:3", backup=True)),
            departed=(Departed("d", "a", "h:4"), Departed("e", "b")),
            copies=3,
        ),
    ],
)
def test_a_ring_as_text_is_read_back_as_the_same_ring(ring: Ring) -> None:
    assert ring_from_text(ring_to_text(ring)) == ring


@pytest.mark.parametrize(
    ("text", "why"),
    [("[ring", "not TOML"), ("", "ring is missing"), ("a = " + 9_000 * "[", "nested too deep")],
    ids=("broken", "empty", "deep"),
)
def test_a_text_that_is_no_ring_is_refused(text: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        ring_from_text(text)


def test_the_greater_of_the_kept_and_the_configured_ring_counts(tmp_path: Path) -> None:
    """A file that was not brought up to date must not undo what the ring has agreed on since."""
    with held(tmp_path) as disk:
        file = RingFile(disk, tmp_path)
        older, newer = evolve(PAIR, version=1), evolve(PAIR, version=3)
        assert file.latest(PAIR, "a") == PAIR
        assert file.read() is None
        file.write(PAIR)
        assert file.latest(older, "a") == PAIR
        assert file.latest(PAIR, "a") == PAIR
        assert file.latest(newer, "a") == newer
        assert file.read() == newer
        assert file.latest(evolve(older, name="another"), "a").name == "another"


def test_a_kept_ring_that_contradicts_the_configuration_is_refused(tmp_path: Path) -> None:
    with held(tmp_path) as disk:
        file = RingFile(disk, tmp_path)
        file.write(PAIR)
        with pytest.raises(ConfigError, match="has adopted another ring of that version"):
            file.latest(evolve(PAIR, copies=3), "a")
        file.write(
            evolve(PAIR, version=5, members=PAIR.members[:1], departed=(Departed("b", "a"),))
        )
        with pytest.raises(ConfigError, match="'b' was removed from the ring in its version 5"):
            file.latest(PAIR, "b")


def test_a_file_that_is_damaged_is_reported_and_left(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The other members know the ring; a node must not stay away for this."""
    with held(tmp_path) as disk:
        file = RingFile(disk, tmp_path)
        file.write(evolve(PAIR, version=3))
        content = file.path.read_bytes()
        for damaged in (b"\xff", b"", content.replace(b"version = 3", b"version = 7")):
            caplog.clear()
            file.path.write_bytes(damaged)
            assert file.latest(PAIR, "a") == PAIR
            assert "ring_file_unreadable" in caplog.text
        file.path.unlink()
        file.path.parent.rmdir()
        file.path.parent.write_bytes(b"")
        file.write(PAIR)
        assert "ring_file_unwritten" in caplog.text


def ring_of_one(directory: Path) -> NodeConfig:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    return NodeConfig(
        name="a",
        ring=Ring("shop", (Member("a", f"127.0.0.1:{port}"),)),
        store=StoreConfig(f"file:{directory}/{{name}}"),
        security=SecurityConfig(SECRETS),
    )


async def test_a_ring_that_the_disk_did_not_take_is_written_at_the_stop(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody else might know it."""
    config = ring_of_one(tmp_path)
    later = evolve(config.ring, version=2, departed=(Departed("z", "a"),))
    async with open_node(config) as node:
        in_the_way = tmp_path / "a" / "ring"
        in_the_way.write_bytes(b"")
        node.set_ring(later)
        with trio.fail_after(5):
            while "ring_file_unwritten" not in caplog.text:  # noqa: ASYNC110 - bounded
                await trio.sleep(0.01)
        in_the_way.unlink()
    async with open_node(config) as node:
        assert node.ring == later


async def test_a_restarted_node_goes_on_with_the_ring_it_has_adopted(tmp_path: Path) -> None:
    config = ring_of_one(tmp_path)
    later = evolve(config.ring, version=2, departed=(Departed("z", "a"),))
    async with open_node(config) as node:
        node.set_ring(later)
    async with open_node(config) as node:
        assert node.ring == later
        await node.wait_ready()
        assert "z" in node.status().claims
