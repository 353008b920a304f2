"""`why`, `inspect` and `count_sessions`, of a node and of a client of real nodes."""

from pathlib import Path

import pytest
import trio
from local_ring import SECRETS, LocalRing, wait_linked

from node import (
    AttributeDecodeError,
    Audit,
    Client,
    ConfigError,
    InspectedSession,
    NodeConfig,
    Session,
    SessionUnavailableError,
    open_client,
    open_node,
)


async def listed(audit: Audit, *ids: str, **how: bool) -> list[InspectedSession]:
    return [each async for each in audit.inspect(*ids, **how)]  # type: ignore[arg-type]


async def kept(audit: Audit, session: Session) -> InspectedSession:
    (summary,) = await listed(audit, session.id, values=True)
    return summary


async def test_a_node_alone_tells_what_has_happened_to_a_session() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        session = node.sessions.create()
        session["cart"] = 1
        await session.save()
        for number in range(3):
            session["cart"] = number
            await session.save()
        await session.end()
        history = await node.why(session.id)
        told = [(each.what, each.member, each.times) for each in history.notes]
        assert [each for each in told if each[0] != "accessed"] == [
            ("created", "a", 1),
            ("changed", "a", 3),
            ("ended", "a", 1),
        ]
        assert history.unheard == ()
        assert history.notes[0].at == session.created_at or history.notes[0].at.tzinfo


async def test_a_session_is_shown_with_its_names_and_its_values_only_on_request() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        session = node.sessions.create(max_idle=600)
        session["user"] = "ada"
        session.map("cart")["apples"] = 3
        session.counter("clicks").add(2)
        await session.save()
        (row,) = await listed(node)
        assert (row.id, row.home, row.acting, row.state) == (session.id, "a", "a", "alive")
        assert (row.attributes, row.holders) == (3, ("a",))
        assert row.names is None
        assert row.values is None
        assert row.expires_at is not None
        assert row.created_at is not None
        assert 600 <= (row.expires_at - row.created_at).total_seconds() <= 660
        (row,) = await listed(node, session.id)
        assert set(row.names or ()) == {"user", "cart", "clicks"}
        assert row.values is None
        row = await kept(node, session)
        assert row.values == {"user": "ada", "cart": {"apples": 3}, "clicks": 2}


async def test_what_cannot_be_decoded_here_does_not_hide_the_rest() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        session = node.sessions.create()
        session["good"] = 1
        session["bad"] = 2
        session._cells.put_packed(b"bad", b"\xc7\x01\x77\x00")
        session._cells.discard(b"none")
        del session._cells.values[b"bad"]
        session._cells._changed.pop(b"bad")
        await session.save()
        values = (await kept(node, session)).values
        assert values is not None
        assert values["good"] == 1
        assert isinstance(values["bad"], AttributeDecodeError)


async def test_what_is_no_id_is_refused_without_being_repeated() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        for wrong in ("", "a.short", "secret-cookie"):
            with pytest.raises(ValueError, match="not the id of a session") as error:
                await node.why(wrong)
            assert wrong == "" or wrong not in str(error.value)
        with pytest.raises(ValueError, match="None is not the id of a session"):
            await node.why(None)  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match="namespace is None; give a str"):
            node.namespace(None)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="pass their ids"):
            await listed(node, values=True)
        with pytest.raises(ValueError, match="home is 'z'; use one of a"):
            async for _ in node.inspect(home="z"):
                pass
        assert (await node.why("z." + "A" * 22)).notes == ()
        assert await listed(node, "z." + "A" * 22, "a." + "A" * 22) == []


async def test_ended_sessions_are_listed_on_request_and_counted_apart() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        sessions = [node.sessions.create() for _ in range(5)]
        for session in sessions:
            await session.save()
        await sessions[0].end()
        old = sessions[1].id
        await sessions[1].rotate_id()
        assert {row.state for row in await listed(node)} == {"alive"}
        states = {row.id: row.state for row in await listed(node, ended=True)}
        assert (states[sessions[0].id], states[old]) == ("ended", "rotated")
        assert len(states) == 6
        (count,) = await node.count_sessions()
        assert (count.home, count.acting, count.sessions, count.ended) == ("a", "a", 4, 2)


async def test_many_sessions_come_page_by_page_each_once() -> None:
    async with open_node(NodeConfig.single(None)) as node:
        ids = set()
        for _ in range(700):
            session = node.sessions.create()
            await session.save()
            ids.add(session.id)
        rows = await listed(node)
        assert len(rows) == 700
        assert {row.id for row in rows} == ids


async def test_a_client_is_told_by_whom_it_reaches_and_the_rest_is_named(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    ring = LocalRing(tmp_path, nursery)
    await ring.start()
    await wait_linked(*(ring[name] for name in "abc"))
    async with open_client(*ring.addresses, secrets=SECRETS) as client:
        session = client.sessions.create()
        session["cart"] = ["apples"]
        await session.save()
        home = session.id.partition(".")[0]
        backup = "abc"["abc".index(home) - 2]
        assert (await kept(client, session)).holders == (home, backup)
        other = next(name for name in "abc" if name not in (home, backup))
        for asked in (client, ring[other]):
            first = (await asked.why(session.id)).notes[0]
            assert (first.what, first.member) == ("created", home)
        await ring.kill(home)
        row = await found_at(client, session, backup)
        assert row.values == {"cart": ["apples"]}
        assert set(row.holders) <= {backup, other}
        history = await client.why(session.id)
        assert ("moved", backup) in [(each.what, each.member) for each in history.notes]
        assert history.unheard == (home,)
        counts = await client.count_sessions()
        assert [each.home for each in counts] == ["a", "b", "c"]
        assert sum(each.sessions for each in counts) == 1
    nursery.cancel_scope.cancel()


async def found_at(client: Client, session: Session, acting: str) -> InspectedSession:
    with trio.fail_after(20):
        while True:
            try:
                row = await kept(client, session)
            except SessionUnavailableError:
                continue
            if row.acting == acting:
                return row
            await trio.sleep(0.05)
