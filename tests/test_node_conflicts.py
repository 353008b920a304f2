"""Saving only what nobody has changed meanwhile, as an application does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, last_save, repository, saved

from node import (
    Client,
    ConflictError,
    Node,
    NodeConfig,
    OutcomeUnknownError,
    Session,
    SessionEnded,
    SessionRingError,
    open_client,
    open_node,
)
from node.config import NodeSection
from ring.messages import Absent, Failed, Failure, Request, Save


def test_what_nobody_has_changed_is_saved() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    session["stock"] -= 1
    at_once(session.save(if_unchanged=True))
    assert last_save(shelf).expected
    assert found(shelf, session)["stock"] == 2


def test_a_session_that_somebody_has_changed_gets_no_principal_and_no_other_id() -> None:
    shelf = Shelf()
    first = saved(shelf, stock=3)
    one, other = found(shelf, first), found(shelf, first)
    other["stock"] = 0
    at_once(other.save())
    one.principal = "ada"
    with pytest.raises(ConflictError) as caught:
        at_once(one.save(if_unchanged=True))
    now = caught.value.other
    assert now is not None
    assert (now.id, now["stock"], now.principal) == (first.id, 0, None)
    assert one.id == found(shelf, first).id
    now.principal = "ada"
    at_once(now.save(if_unchanged=True))
    assert now.id != first.id
    assert found(shelf, now).principal == "ada"
    with pytest.raises(SessionEnded):
        at_once(one.save())


@pytest.mark.parametrize("has_happened", [False, True])
def test_a_rotation_that_has_begun_demands_the_same_again(has_happened: bool) -> None:
    """Its outcome was unknown: only if it has not happened does the state count."""
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    real = shelf.perform
    session.principal = "ada"

    async def lost(request: Request) -> Any:
        if has_happened:
            await real(request)
        return Failed(request.number, Failure.OUTCOME_UNKNOWN, "there was no answer in time")

    shelf.perform = lost  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save(if_unchanged=True))
    shelf.perform = real  # type: ignore[method-assign]
    if has_happened:
        at_once(session.save(if_unchanged=True))
        assert found(shelf, session).principal == "ada"
        return
    other = found(shelf, session)
    other["stock"] = 0
    at_once(other.save())
    with pytest.raises(ConflictError):
        at_once(session.save(if_unchanged=True))
    at_once(session.save())
    assert found(shelf, session)["stock"] == 0


def test_what_somebody_has_changed_is_not_and_is_shown() -> None:
    shelf = Shelf()
    first = saved(shelf, stock=3)
    one, other = found(shelf, first), found(shelf, first)
    other["stock"] = 0
    at_once(other.save())
    one["stock"] -= 1
    with pytest.raises(ConflictError) as caught:
        at_once(one.save(if_unchanged=True))
    now = caught.value.other
    assert now is not None
    assert (now.id, now["stock"]) == (one.id, 0)
    assert found(shelf, one)["stock"] == 0
    now["stock"] = 5
    at_once(now.save(if_unchanged=True))
    assert found(shelf, one)["stock"] == 5


def test_what_was_refused_is_still_to_be_saved() -> None:
    shelf = Shelf()
    first = saved(shelf, stock=3)
    one, other = found(shelf, first), found(shelf, first)
    other["color"] = "red"
    at_once(other.save())
    one["stock"] = 2
    for _ in range(2):
        with pytest.raises(ConflictError):
            at_once(one.save(if_unchanged=True))
    at_once(one.save())
    assert dict(found(shelf, one)) == {"stock": 2, "color": "red"}


def test_after_a_save_of_its_own_a_copy_still_knows_what_is_there() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    for number in range(4):
        session["stock"] = number
        at_once(session.save(if_unchanged=bool(number % 2) or number == 2))
    assert found(shelf, session)["stock"] == 3


def test_what_came_before_a_save_of_its_own_and_was_never_seen_is_a_conflict() -> None:
    """What it is about to write was made of what it knew: the other's change would be lost."""
    shelf = Shelf()
    first = saved(shelf, stock=3)
    one, other = found(shelf, first), found(shelf, first)
    other["stock"] = 2
    at_once(other.save())
    one["color"] = "red"
    at_once(one.save())
    one["stock"] -= 1
    with pytest.raises(ConflictError) as caught:
        at_once(one.save(if_unchanged=True))
    assert caught.value.other is not None
    assert caught.value.other["stock"] == 2


def test_with_nothing_to_write_nobody_is_asked() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    at_once(session.save(if_unchanged=True))
    assert shelf.asked == []


def test_a_new_session_is_in_conflict_with_nobody() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    at_once(session.save(if_unchanged=True))
    assert last_save(shelf).expected == 0


def test_a_session_that_has_ended_is_not_in_conflict() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    at_once(found(shelf, session).end())
    session["stock"] = 2
    with pytest.raises(SessionEnded):
        at_once(session.save(if_unchanged=True))
    session = saved(shelf, stock=3)
    at_once(found(shelf, session).end())
    session["stock"] = 2
    with pytest.raises(SessionEnded):
        at_once(session.save(if_unchanged=True))
    with pytest.raises(SessionEnded):
        at_once(session.save())


def test_a_conflict_with_a_session_that_ends_meanwhile_is_its_end() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    session["stock"] = 2
    shelf.replies += [Failure.CONFLICT, Absent(0)]
    with pytest.raises(SessionEnded):
        at_once(session.save(if_unchanged=True))


def test_a_conflict_is_told_even_if_the_other_state_cannot_be() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, stock=3))
    session["stock"] = 2
    shelf.replies += [Failure.CONFLICT, Failed(0, Failure.UNAVAILABLE, "nobody")]
    with pytest.raises(ConflictError, match="planned: CONFLICT") as caught:
        at_once(session.save(if_unchanged=True))
    assert caught.value.other is None
    assert isinstance(caught.value, SessionRingError)


OPERATIONS: dict[str, Callable[[Session], Any]] = {
    "put": lambda session: session.update(x=1),
    "put another": lambda session: session.update(x=[1]),
    "append": lambda session: session["x"].append(2) if type(session.get("x")) is list else None,
    "remove": lambda session: session.pop("x", None),
    "map": lambda session: session.map("m").update(a=1),
    "map out": lambda session: session.map("m").pop("a", None),
    "map clear": lambda session: session.map("m").clear(),
    "map away": lambda session: session.pop("m", None),
    "set": lambda session: session.set("s").add("one"),
    "set clear": lambda session: session.set("s").clear(),
    "add": lambda session: session.counter("c").add(),
    "count": lambda session: session.counter("c").set(7),
    "count away": lambda session: session.pop("c", None),
    "idle": lambda session: setattr(session, "max_idle", session.max_idle + 1),
    "remember": lambda session: session.remember(),
}


@given(st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=12), st.data())
def test_a_copy_that_is_alone_is_never_in_conflict(names: list[str], data: st.DataObject) -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    at_once(session.save())
    if data.draw(st.booleans()):
        session = found(shelf, session)
    for name in names:
        OPERATIONS[name](session)
        if data.draw(st.booleans()):
            at_once(session.save(if_unchanged=data.draw(st.booleans())))
    session["last"] = len(names)
    at_once(session.save(if_unchanged=True))


@given(
    st.lists(st.sampled_from(sorted(OPERATIONS)), max_size=6),
    st.sampled_from(sorted(OPERATIONS)),
    st.booleans(),
)
def test_a_change_that_a_copy_has_not_seen_is_a_conflict(
    names: list[str], changed: str, saves_first: bool
) -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    at_once(session.save())
    for name in names:
        OPERATIONS[name](session)
        at_once(session.save())
    if not saves_first:
        session = found(shelf, session)
    other = found(shelf, session)
    OPERATIONS[changed](other)
    at_once(other.save())
    has_changed = any(isinstance(each, Save) for each in shelf.asked)
    session["last"] = 1
    if has_changed and not is_repeated(shelf, session):
        with pytest.raises(ConflictError):
            at_once(session.save(if_unchanged=True))
    else:
        at_once(session.save(if_unchanged=True))


def is_repeated(shelf: Shelf, session: Session) -> bool:
    """Whether the same values were written again, over some that this copy has written itself."""
    return session._found is None and session.knows(shelf.records[session._id].entries)


# --- In a node, and through it --------------------------------------------------------------------


async def contend(sessions: Any) -> list[object]:
    first = sessions.create()
    first["stock"] = 3
    await first.save()
    one, other = await sessions.find(first.id), await sessions.find(first.id)
    one["stock"] -= 1
    other["stock"] -= 1
    await one.save(if_unchanged=True)
    with pytest.raises(ConflictError) as conflict:
        await other.save(if_unchanged=True)
    assert conflict.value.other is not None
    conflict.value.other["stock"] -= 1
    await conflict.value.other.save(if_unchanged=True)
    now = await sessions.find(first.id)
    return [now["stock"], now.age, now.maybe_stale]


async def test_two_who_take_from_one_stock_take_two_wherever_they_are(tmp_path: Path) -> None:
    unix = tmp_path / "node.socket"
    config = NodeConfig.single(None, node=NodeSection(unix=str(unix)))
    node: Node
    client: Client
    async with open_node(config) as node:
        assert await contend(node.sessions) == [1, 0.0, False]
        async with open_client(f"unix:{unix}") as client:
            assert await contend(client.sessions) == [1, 0.0, False]
