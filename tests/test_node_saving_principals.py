"""Who a session belongs to, where it is saved by itself: no id changes behind anybody's back."""

from typing import Any

import pytest
import trio
import trio.testing
from shelf import Shelf, at_once, found, repository, saved
from test_node_saving import shelved

from node.saving import KEPT_HERE
from ring.errors import TooManySessionsError
from ring.messages import Find, Rotate, Save

LIMIT: dict[str, Any] = {"max_sessions_per_principal": 1, "principal_policy": "refuse"}


def changes(shelf: Shelf) -> list[type[Any]]:
    """Return what was asked for that changes anything."""
    return [type(each) for each in shelf.asked if not isinstance(each, Find)]


async def test_soon_saves_nothing_of_a_session_that_gets_another_id_until_it_is_told_to(
    autojump_clock: object,
) -> None:
    """Else what the user may do would be there under the id from before the login."""
    shelf = Shelf()
    old = saved(shelf, cart=1)
    async with shelved(shelf, "immediate", **LIMIT) as sessions:
        session = await sessions.find(old.id)
        assert session is not None
        session["admin"] = True
        session.principal = "ada"
        await trio.testing.wait_all_tasks_blocked()
        assert session.id == old.id
        assert changes(shelf) == []
        assert shelf.questions == []
        await session.save()
        await trio.testing.wait_all_tasks_blocked()
        assert session.id != old.id
        assert changes(shelf) == [Rotate]
        session["cart"] = 2
        await trio.testing.wait_all_tasks_blocked()
        assert changes(shelf) == [Rotate, Save]
    assert dict(found(shelf, session)) == {"admin": True, "cart": 2}
    assert found(shelf, session).principal == "ada"
    assert at_once(repository(shelf).find(old.id)) is None


async def test_soon_saves_whose_a_new_session_is(autojump_clock: object) -> None:
    """Nobody knows the id yet, so it stays."""
    shelf = Shelf()
    async with shelved(shelf, "immediate") as sessions:
        session = sessions.create()
        session.principal, first_id = "ada", session.id
        await trio.testing.wait_all_tasks_blocked()
        assert session.id == first_id
        assert found(shelf, session).principal == "ada"


async def test_soon_saves_a_change_of_hands_where_the_id_stays(autojump_clock: object) -> None:
    shelf = Shelf()
    old = saved(shelf)
    async with shelved(shelf, "immediate", rotate_on_principal=False) as sessions:
        session = await sessions.find(old.id)
        assert session is not None
        session.principal = "ada"
        await trio.testing.wait_all_tasks_blocked()
        assert found(shelf, old).principal == "ada"


@pytest.mark.parametrize("is_asked_for", [True, False])
async def test_who_gets_a_principal_while_a_save_is_prepared_does_not_get_it_under_the_old_id(
    is_asked_for: bool, autojump_clock: object
) -> None:
    """The save first asks what the counter counts from, and that takes a while."""
    shelf = Shelf()
    session = saved(shelf)
    session.counter("clicks").set(5)
    at_once(session.save())
    session.counter("clicks").add(1)
    shelf.asked.clear()
    before, may_answer = session.id, trio.Event()
    shelf.held_back.append(may_answer)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(session.save if is_asked_for else session.save_unasked)
        await trio.testing.wait_all_tasks_blocked()
        assert [type(each) for each in shelf.asked] == [Find]
        session.principal = "ada"
        may_answer.set()
    assert changes(shelf) == ([Rotate] if is_asked_for else [])
    assert (session.id != before) is is_asked_for


async def test_a_change_of_hands_is_never_kept_back(autojump_clock: object) -> None:
    """Who is logged in is found by others, and ended by them."""
    shelf = Shelf()
    old = saved(shelf)
    async with shelved(shelf, "on_shutdown") as sessions:
        new = sessions.create()
        new.principal = "ada"
        assert (await new.save()).holders == ("a", "b")
        session = await sessions.find(old.id)
        assert session is not None
        session["x"] = 1
        assert await session.save() == KEPT_HERE
        session.principal = "ada"
        assert (await session.save()).holders == ("a", "b")
        assert session.id != old.id
        assert set((await sessions.find_by_principal("ada")).sessions) == {new.id, session.id}
        session["x"] = 2
        assert await session.save() == KEPT_HERE
        await sessions.end_all("ada")
        assert await sessions.find(session.id) is None


@pytest.mark.parametrize("is_saved", [True, False])
async def test_an_id_that_was_given_away_by_a_save_that_was_kept_is_nobodys_after_a_login(
    is_saved: bool, autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    async with shelved(shelf, "on_shutdown") as sessions:
        session = sessions.create()
        session["cart"] = 1
        assert await session.save() == KEPT_HERE
        old_id, session.principal = session.id, "ada"
        if is_saved:
            await session.save()
            assert session.id != old_id
            assert await sessions.find(old_id) is None
            assert dict(found(shelf, session)) == {"cart": 1}
    assert at_once(repository(shelf).find(old_id)) is None
    assert ("stopped_unsaved" in caplog.text) is not is_saved


async def test_what_nobody_has_saved_since_it_changed_hands_is_named_when_the_node_stops(
    autojump_clock: object, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf()
    old = saved(shelf)
    async with shelved(shelf, "on_shutdown") as sessions:
        session = await sessions.find(old.id)
        assert session is not None
        session["x"] = 1
        await session.save()
        session.principal = "ada"
    assert changes(shelf) == []
    assert session.id == old.id
    assert "stopped_unsaved" in caplog.text


@pytest.mark.parametrize("mode", ["immediate", "on_shutdown"])
async def test_one_that_is_too_many_is_refused_where_it_is_saved(
    mode: Any, autojump_clock: object
) -> None:
    shelf = Shelf()
    async with shelved(shelf, mode, **LIMIT) as sessions:
        for is_first in (True, False):
            session = await sessions.find(saved(shelf).id)
            assert session is not None
            session.principal = "ada"
            if is_first:
                await session.save()
                continue
            with pytest.raises(TooManySessionsError):
                await session.save()
        assert len((await sessions.find_by_principal("ada")).sessions) == 1
