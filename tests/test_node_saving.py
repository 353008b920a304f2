"""Saves by themselves: soon after each change, or not before the node stops."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from shelf import Shelf, at_once, found, last_save, repository, saved

import node.saving
from node import (
    ConfigError,
    Node,
    NodeConfig,
    Sessions,
    SessionsConfig,
    ValueNotStorableError,
    open_client,
    open_node,
)
from node.config import NodeSection
from node.log import SessionTagger
from node.saving import KEPT_HERE, Saves
from node.sections import SaveMode
from node.session import Session
from node.sessions import SessionRepository
from ring.errors import SessionEnded
from ring.messages import Failure, Save

MODES: tuple[SaveMode, ...] = ("immediate", "on_shutdown")


@asynccontextmanager
async def shelved(shelf: Shelf, mode: SaveMode, **config: Any) -> AsyncIterator[SessionRepository]:
    """Run what saves by itself, over ``shelf``; it is flushed at the end of the block."""
    saves = Saves(SessionTagger(bytes(16)))
    sessions = SessionRepository(shelf, SessionsConfig(save_mode=mode, **config), saves=saves)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(saves.run)
        yield sessions
        await saves.flush(5)
        nursery.cancel_scope.cancel()


async def see(sessions: Sessions, session_id: str) -> dict[str, Any] | None:
    session = await sessions.find(session_id)
    return None if session is None else dict(session)


# --- Soon -----------------------------------------------------------------------------------------


async def test_what_is_assigned_is_saved_without_a_call(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        await trio.testing.wait_all_tasks_blocked()
        assert shelf.asked == []
        session["user"] = "ada"
        await trio.testing.wait_all_tasks_blocked()
        assert await see(sessions, session.id) == {"user": "ada"}
        assert not session.is_new


async def test_all_that_one_turn_assigns_is_one_save(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        for number in range(100):
            session[f"a{number % 10}"] = number
        del session["a3"]
        session.map("cart")["apples"] = 1
        session.counter("clicks").add()
        session.max_idle = 60
        await trio.testing.wait_all_tasks_blocked()
        assert len(shelf.asked) == 1
        assert set(session) == {*(f"a{n}" for n in range(10) if n != 3), "cart", "clicks"}
        assert dict(found(shelf, session)) == dict(session)


CHANGES: dict[str, Callable[[Session], Any]] = {
    "assigned": lambda session: session.update(x=1),
    "deleted": lambda session: session.pop("old"),
    "a map": lambda session: session.map("m").update(a=1),
    "a member away": lambda session: session.map("there").pop("a"),
    "a map cleared": lambda session: session.map("there").clear(),
    "a set": lambda session: session.set("s").add(1),
    "a counter": lambda session: session.counter("c").add(),
    "a counter set": lambda session: session.counter("c").set(9),
    "its idle time": lambda session: setattr(session, "max_idle", 5),
    "its lifetime": lambda session: setattr(session, "lifetime", 5),
    "remembered": lambda session: session.remember(),
    "cleared": lambda session: session.clear(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_every_kind_of_change_is_saved(
    change: Callable[[Session], Any], autojump_clock: object
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        session["old"] = 1
        session.map("there")["a"] = 1
        await trio.testing.wait_all_tasks_blocked()
        shelf.asked.clear()
        copy = await sessions.find(session.id)
        assert copy is not None
        shelf.asked.clear()
        change(copy)
        await trio.testing.wait_all_tasks_blocked()
        assert [type(each) for each in shelf.asked] == [Save]


async def test_a_copy_that_is_only_read_is_not_saved(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        copy = await sessions.find(saved(shelf, cart=[1]).id)
        assert copy is not None
        assert copy["cart"] == [1]
        assert list(copy.map("m")) == []
        assert copy.counter("c") == 0
        shelf.asked.clear()
        await trio.testing.wait_all_tasks_blocked()
        assert shelf.asked == []


async def test_what_changes_while_a_save_is_under_way_is_saved_after_it(
    autojump_clock: object,
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        answered = trio.Event()
        shelf.held_back.append(answered)
        session["x"] = 1
        await trio.testing.wait_all_tasks_blocked()
        session["x"] = 2
        answered.set()
        await trio.testing.wait_all_tasks_blocked()
        assert found(shelf, session)["x"] == 2


async def test_what_a_save_could_not_bring_is_logged_and_brought_by_the_next(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        shelf.replies.append(Failure.UNAVAILABLE)
        session["x"] = 1
        await trio.testing.wait_all_tasks_blocked()
        (record,) = caplog.records
        assert record.getMessage().startswith("background_save_failed reason=")
        assert session.id not in record.getMessage()
        assert await see(sessions, session.id) is None
        await session.save()
        assert await see(sessions, session.id) == {"x": 1}


async def test_a_value_that_cannot_be_kept_stops_no_other_save(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        bad, good = sessions.create(), sessions.create()
        bad["x"] = object()
        good["x"] = 1
        await trio.testing.wait_all_tasks_blocked()
        assert "attribute 'x' cannot be stored" in caplog.text
        assert await see(sessions, good.id) == {"x": 1}


async def test_an_ended_session_is_left_alone(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        session["x"] = 1
        await session.save()
        session["x"] = 2
        await session.end()
        await trio.testing.wait_all_tasks_blocked()
        assert await see(sessions, session.id) is None
        assert caplog.records == []


class Copy:
    """What is saved when it is told to be; nobody has changed anything in it."""

    def __init__(self, number: int = 0) -> None:
        self.id = f"a.{number:022d}"
        self.is_expired = False
        self.may_go_on: trio.Event | None = None
        self.saves = 0

    async def save_unasked(self) -> None:
        self.saves += 1
        if self.may_go_on is not None:
            await self.may_go_on.wait()


async def test_so_many_saves_go_on_at_once_and_so_many_wait(
    autojump_clock: object,
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(node.saving, "UNDER_WAY_MAX", 2)
    monkeypatch.setattr(node.saving, "WAITING_MAX", 3)
    saves = Saves(SessionTagger(bytes(16)))
    nursery.start_soon(saves.run)
    copies = [Copy(number) for number in range(7)]
    for copy in copies[:2]:
        copy.may_go_on = trio.Event()
        saves.schedule(copy)
    await trio.testing.wait_all_tasks_blocked()
    for copy in copies[2:]:
        saves.schedule(copy)
    await trio.testing.wait_all_tasks_blocked()
    assert [copy.saves for copy in copies] == [1, 1, 0, 0, 0, 0, 0]
    assert "background_save_skipped" in caplog.text
    for copy in copies[:2]:
        assert copy.may_go_on is not None
        copy.may_go_on.set()
    await trio.testing.wait_all_tasks_blocked()
    assert [copy.saves for copy in copies] == [1, 1, 1, 1, 1, 0, 0]
    nursery.cancel_scope.cancel()


# --- Not before the node stops --------------------------------------------------------------------


async def test_what_is_kept_is_sent_when_the_node_stops(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        for number in range(5):
            session["x"] = number
            assert await session.save() == KEPT_HERE
        assert session.is_new
        assert shelf.asked == []
    assert [type(each) for each in shelf.asked] == [Save]
    assert found(shelf, session)["x"] == 4


async def test_what_is_kept_is_found_in_this_process_and_is_one_copy(
    autojump_clock: object,
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        session["x"] = 1
        await session.save()
        assert await sessions.find(session.id) is session
        assert await sessions.touch(session.id)
        assert await session.touch()
        assert shelf.asked == []
        assert at_once(repository(shelf).find(session.id)) is None  # Nobody else knows of it.


async def test_a_save_that_is_to_happen_now_does(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        session["x"] = 1
        await session.save()
        receipt = await session.save(now=True)
        assert receipt.holders == ("a", "b")
        assert await sessions.find(session.id) is not session
        session["x"] = 2
        await session.save(if_unchanged=True)
        assert found(shelf, session)["x"] == 2
        shelf.asked.clear()
    assert shelf.asked == []


async def test_with_nothing_changed_nothing_is_kept(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = await sessions.find(saved(shelf, x=1).id)
        assert session is not None
        assert not (await session.save()).degraded
        assert await sessions.find(session.id) is not session


async def test_a_value_that_cannot_be_kept_is_refused_at_once(autojump_clock: object) -> None:
    async with shelved(Shelf(), "on_shutdown") as sessions:
        session = sessions.create()
        session["x"] = object()
        with pytest.raises(ValueNotStorableError, match="attribute 'x'"):
            await session.save()
        del session["x"]


async def test_of_two_copies_the_second_is_sent(autojump_clock: object) -> None:
    """They are merged where copies always are."""
    shelf = Shelf()
    first = saved(shelf, x=1)
    async with shelved(shelf, "on_shutdown") as sessions:
        one, other = await sessions.find(first.id), await sessions.find(first.id)
        assert one is not None
        assert other is not None
        one["x"], other["y"] = 2, 3
        assert await one.save() == KEPT_HERE
        assert (await other.save()).holders == ("a", "b")
    assert dict(found(shelf, first)) == {"x": 2, "y": 3}


async def test_what_has_ended_elsewhere_is_not_found_here(autojump_clock: object) -> None:
    shelf = Shelf()
    first = saved(shelf, x=1)
    async with shelved(shelf, "on_shutdown") as sessions:
        session = await sessions.find(first.id)
        assert session is not None
        session["x"] = 2
        await session.save()
        at_once(repository(shelf).end(first.id))
        assert await sessions.find(first.id, touch=False) is None
        shelf.asked.clear()
    assert shelf.asked == []


@pytest.mark.parametrize("by_id", [False, True])
async def test_what_is_ended_here_is_kept_no_more(by_id: bool, autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        session["x"] = 1
        await session.save()
        await (sessions.end(session.id) if by_id else session.end())
        assert await sessions.find(session.id) is None
        with pytest.raises(SessionEnded):
            await session.save()
    assert not any(isinstance(each, Save) for each in shelf.asked)


async def test_what_has_expired_is_kept_no_more(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown", max_idle=60) as sessions:
        one, other = sessions.create(), sessions.create()
        for session in (one, other):
            session["x"] = 1
            await session.save()
        shelf.wall += 59_000
        assert await sessions.find(one.id) is one
        shelf.wall += 59_000
        assert await sessions.find(one.id) is one
        assert await sessions.find(other.id) is None
        shelf.wall += 61_000
        shelf.asked.clear()
    assert shelf.asked == []


async def test_a_kept_session_goes_on_under_another_id(autojump_clock: object) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        session["x"] = 1
        await session.save()
        old_id = session.id
        await session.rotate_id()
        assert shelf.asked == []
        assert await sessions.find(old_id) is None
        assert await sessions.find(session.id) is session
        known = await sessions.find(saved(shelf, x=1).id)
        assert known is not None
        known["x"] = 2
        await known.save()
        await known.rotate_id()
        assert found(shelf, known)["x"] == 2
        assert await sessions.find(known.id) is not known
    assert found(shelf, session)["x"] == 1


async def test_so_many_are_kept_and_the_rest_is_sent(
    autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(node.saving, "KEPT_MAX", 2)
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown", max_idle=60) as sessions:
        receipts = []
        for number in range(4):
            session = sessions.create()
            session["x"] = number
            if number == 3:
                shelf.wall += 61_000  # Those that are kept have expired.
                session = sessions.create()
                session["x"] = number
            receipts.append(await session.save())
    assert [receipt == KEPT_HERE for receipt in receipts] == [True, True, False, True]


async def test_what_the_ring_does_not_take_at_the_end_is_counted_and_logged(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        for number in range(3):
            session = sessions.create()
            session["x"] = number
            await session.save()
        shelf.replies += [Failure.UNAVAILABLE, Failure.UNAVAILABLE]
        shelf.held_back.append(trio.Event())
        began = trio.current_time()
    assert trio.current_time() - began == pytest.approx(5)
    assert "stopped_unsaved sessions=2" in caplog.text


# --- Who saves by itself --------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
def test_where_nothing_saves_by_itself_it_cannot_be_asked_for(mode: SaveMode) -> None:
    with pytest.raises(ConfigError, match=f"save_mode is '{mode}', and nothing saves"):
        repository(Shelf(), save_mode=mode)


def test_a_mode_that_there_is_not_is_refused() -> None:
    wrong: Any = "later"
    with pytest.raises(ConfigError, match='save_mode is \'later\'; use "on_save", "imm'):
        SessionsConfig(save_mode=wrong)
    with pytest.raises(ConfigError, match="always_save is 1; use true or false"):
        SessionsConfig(always_save=1)  # type: ignore[arg-type]


async def write_three(sessions: Sessions) -> list[str]:
    """Change three sessions, and save each."""
    ids = []
    for number in range(3):
        session = sessions.create()
        session["x"] = number
        await session.save()
        ids.append(session.id)
    return ids


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_sends_everything_before_it_leaves(mode: SaveMode, tmp_path: Path) -> None:
    unix = tmp_path / "node.socket"
    config = NodeConfig.single(None, node=NodeSection(unix=str(unix)))
    async with open_node(config) as served:
        options = SessionsConfig(save_mode=mode)
        async with open_client(f"unix:{unix}", sessions=options) as client:
            ids = await write_three(client.sessions)
            if mode == "on_shutdown":
                assert await see(served.sessions, ids[2]) is None
            last = await client.sessions.find(ids[0])
            assert last is not None
            last["x"] = 9
            await last.save()
        seen = [await see(served.sessions, each) for each in ids]
        assert seen == [{"x": 9}, {"x": 1}, {"x": 2}]


@pytest.mark.parametrize("mode", MODES)
async def test_a_node_sends_everything_before_it_stops(mode: SaveMode, tmp_path: Path) -> None:
    config = NodeConfig.single(tmp_path, sessions=SessionsConfig(save_mode=mode))
    served: Node
    async with open_node(config) as served:
        ids = await write_three(served.sessions)
    async with open_node(NodeConfig.single(tmp_path)) as served:
        assert [await see(served.sessions, each) for each in ids] == [{"x": n} for n in range(3)]


async def test_what_is_saved_after_a_drain_is_kept_no_more(tmp_path: Path) -> None:
    config = NodeConfig.single(tmp_path, sessions=SessionsConfig(save_mode="on_shutdown"))
    async with open_node(config) as served:
        await served.drain()
        session = served.sessions.create()
        session["x"] = 1
        assert await session.save() != KEPT_HERE


# --- Everything, always ---------------------------------------------------------------------------


def test_always_save_sends_every_plain_attribute_though_nothing_has_changed() -> None:
    shelf = Shelf()
    sessions = repository(shelf, always_save=True)
    session = sessions.create()
    session.update(x=1, cart=[1], gone=3)
    session.map("m")["a"] = 1
    session.counter("c").add()
    at_once(session.save())
    del session["gone"]
    at_once(session.save())
    copy = at_once(sessions.find(session.id))
    assert copy is not None
    assert copy["cart"] == [1]
    shelf.asked.clear()
    at_once(copy.save())
    assert {key for key, _ in last_save(shelf).changes} == {b"x", b"cart"}
    assert dict(found(shelf, session)) == {"x": 1, "cart": [1], "m": {"a": 1}, "c": 1}


def test_with_always_save_the_last_who_saves_wins_every_attribute() -> None:
    shelf = Shelf()
    sessions = repository(shelf, always_save=True)
    first = saved(shelf, x=1, y=1)
    one, other = at_once(sessions.find(first.id)), at_once(sessions.find(first.id))
    assert one is not None
    assert other is not None
    one["x"], other["y"] = 2, 2
    at_once(one.save())
    at_once(other.save())
    assert dict(found(shelf, first)) == {"x": 1, "y": 2}
