"""What a node knows of its contacts after a restart, and what becomes of an old store."""

import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
from local_ring import free_ports
from stores import held

from node import Node, NodeConfig, StoreConfig, open_node
from node.contacts import ContactsFile
from node.sections import NodeSection
from node.small_file import write_small_file
from node.stores.set_aside import SET_ASIDE
from ring.placement import Member, Ring

WEEK_MS = 7 * 86_400_000


def events(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.event for record in caplog.records if hasattr(record, "event")]


# --- The file ---


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    with held(tmp_path) as disk:
        file = ContactsFile(disk, tmp_path)
        assert file.read() == {}
        file.write({"b": 1_700_000_000_123, "a": 5})
        assert file.read() == {"a": 5, "b": 1_700_000_000_123}
        file.write({"a": -6})
        assert file.read() == {"a": -6}


@pytest.mark.parametrize(
    "text",
    [
        *("", "sessionring contacts 2\na 5\n", "sessionring contacts 1\na b c\n", "\0\n"),
        "sessionring contacts 1\na 5\na 6\n",
        "sessionring contacts 1\na 5\rb 6\n",
        f"sessionring contacts 1\na -{10**18}\n",
    ],
)
def test_what_is_not_understood_is_reported_and_counts_as_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    """A newer form says so in its first line."""
    with held(tmp_path) as disk:
        file = ContactsFile(disk, tmp_path)
        file.write({"a": 5})
        write_small_file(disk, file.path.parent.name, file.path.name, text)
        assert file.read() == {}
    assert events(caplog) == ["contacts_unreadable"]


def test_what_has_rotten_is_reported_and_counts_as_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One bit, and a week looks like an hour: what has ended since would be brought back."""
    with held(tmp_path) as disk:
        file = ContactsFile(disk, tmp_path)
        file.write({"a": 1_700_000_000_123})
        text = file.path.read_bytes()
        file.path.write_bytes(text.replace(b"1700", b"1720"))
        assert file.read() == {}
    assert events(caplog) == ["contacts_unreadable"]


def test_a_disk_that_takes_nothing_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with held(tmp_path) as disk:
        (tmp_path / "contacts").write_text("in the way")
        ContactsFile(disk, tmp_path).write({"a": 5})
    assert events(caplog) == ["contacts_unwritten"]


# --- A ring ---


class Pair:
    """Two members with stores, on loopback."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        members = zip("ab", free_ports(2), strict=True)
        self.ring = Ring("pair", tuple(Member(name, f"127.0.0.1:{p}") for name, p in members))

    @asynccontextmanager
    async def node(self, name: str) -> AsyncIterator[Node]:
        store = StoreConfig(f"file:{self.directory}/{{name}}")
        section = NodeSection(join=2, drain=3)
        async with open_node(NodeConfig(name, self.ring, store, node=section)) as node:
            yield node

    @contextmanager
    def contacts(self, name: str) -> Iterator[ContactsFile]:
        with held(self.directory / name) as disk:
            yield ContactsFile(disk, self.directory / name)


async def test_a_node_that_stops_notes_its_contacts(tmp_path: Path) -> None:
    pair = Pair(tmp_path)
    with trio.fail_after(30):
        async with pair.node("a") as a:
            async with pair.node("b") as b:
                await a.wait_ready()
                await b.wait_ready()
            began = b.wall_ms()
    with pair.contacts("b") as file:
        contacts = file.read()
    assert contacts.keys() == {"a", "b"}
    assert all(began - 60_000 < at <= began for at in contacts.values())


async def test_an_old_store_yields_to_the_ring_that_has_gone_on_without_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As if the machine had been switched on again after more than a week."""
    caplog.set_level(logging.INFO)
    pair = Pair(tmp_path)
    with trio.fail_after(60):
        async with pair.node("a") as a:
            async with pair.node("b") as b:
                await a.wait_ready()
                await b.wait_ready()
                session = b.sessions.create()
                session["cart"] = "old"
                await session.save(durability="backup+disk")
            with pair.contacts("b") as file:
                file.write({name: at - WEEK_MS for name, at in file.read().items()})
            found = await a.sessions.find(session.id)
            assert found is not None
            found["cart"] = "new"
            await found.save(durability="local")
            async with pair.node("b") as b:
                await b.wait_ready()
                found = await b.sessions.find(session.id)
                assert found is not None
                assert found["cart"] == "new"
    assert "home_yielded" in events(caplog)
    assert "sessions_set_aside" in events(caplog)
    assert len(list((tmp_path / "b" / SET_ASIDE).iterdir())) == 1
