"""What of a session travels when it is saved, and what becomes of a save that fails."""

import msgpack
import pytest
import trio
from shelf import Shelf, at_once, found, last_save, repository, saved

from ring.clock import Stamp
from ring.entry import CREATED, LIFETIME, MAX_IDLE, make_entry
from ring.errors import (
    LocalProtocolError,
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionTooLargeError,
    SessionUnavailableError,
)
from ring.messages import Failure

# --- What travels -------------------------------------------------------------------------------


def test_a_new_session_is_not_heard_of_before_its_first_save() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session["user"] = "u1"
    assert shelf.asked == []
    was_new = session.is_new
    at_once(session.save())
    assert (was_new, session.is_new) == (True, False)
    assert found(shelf, session)["user"] == "u1"


def test_the_first_save_creates_and_carries_everything() -> None:
    shelf = Shelf()
    session = repository(shelf).create(max_idle=60, lifetime=0)
    session["user"] = "u1"
    at_once(session.save())
    save = last_save(shelf)
    assert save.create
    assert not save.forwarded
    assert save.session_id == session.id.encode()
    assert dict(save.changes) == {
        CREATED: msgpack.packb(None),
        MAX_IDLE: msgpack.packb(60.0),
        LIFETIME: msgpack.packb(0.0),
        b"user": msgpack.packb("u1"),
    }


def test_a_new_session_without_attributes_is_saved_too() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    at_once(session.save())
    assert dict(found(shelf, session)) == {}


def test_only_the_attribute_that_was_assigned_travels() -> None:
    shelf = Shelf()
    session = saved(shelf, **{f"attribute{number}": number for number in range(10)})
    session["attribute7"] = "changed"
    at_once(session.save())
    assert last_save(shelf).changes == ((b"attribute7", msgpack.packb("changed")),)
    assert not last_save(shelf).create


def test_a_change_in_place_travels_though_nothing_was_assigned() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, cart={"items": [1]}, other=[1], third="x"))
    session["cart"]["items"].append(2)
    assert session["other"] == [1]
    at_once(session.save())
    assert shelf.saved_keys() == [[b"cart"]]
    assert found(shelf, session)["cart"] == {"items": [1, 2]}


def test_a_change_in_place_of_what_was_assigned_and_saved_travels() -> None:
    shelf = Shelf()
    cart = [1]
    session = saved(shelf, cart=cart)
    cart.append(2)
    at_once(session.save())
    assert found(shelf, session)["cart"] == [1, 2]


def test_what_was_only_read_does_not_travel() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, cart={"items": {3, 1, 2}}, user="u1"))
    assert dict(session) == {"cart": {"items": {1, 2, 3}}, "user": "u1"}
    at_once(session.save())
    assert shelf.asked == []


def test_what_was_assigned_travels_even_if_it_is_what_was_read() -> None:
    """Another copy may have changed it meanwhile; who assigns wants this value to stand."""
    shelf = Shelf()
    session = saved(shelf, step=1)
    other = found(shelf, session)
    other["step"] = 2
    at_once(other.save())
    session["step"] = 1
    at_once(session.save())
    assert found(shelf, session)["step"] == 1


def test_a_removed_attribute_travels_as_a_removal() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, user="u1", cart=[]))
    del session["user"]
    assert dict(session) == {"cart": []}
    at_once(session.save())
    assert last_save(shelf).changes == ((b"user", None),)
    assert dict(found(shelf, session)) == {"cart": []}


def test_removing_what_the_ring_never_heard_of_sends_nothing() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, user="u1"))
    session["cart"] = [1]
    del session["cart"]
    at_once(session.save())
    assert shelf.asked == []


def test_removing_again_what_was_removed_sends_nothing() -> None:
    shelf = Shelf()
    session = saved(shelf, user="u1")
    del session["user"]
    at_once(session.save())
    session["user"] = "u2"
    del session["user"]
    shelf.asked.clear()
    at_once(session.save())
    assert shelf.asked == []


def test_an_attribute_assigned_after_its_removal_travels() -> None:
    shelf = Shelf()
    session = saved(shelf, user="u1")
    del session["user"]
    session["user"] = "u2"
    at_once(session.save())
    assert found(shelf, session)["user"] == "u2"


def test_clear_decodes_nothing_and_removes_everything() -> None:
    shelf = Shelf()
    session = saved(shelf, user="u1")
    shelf.records[session._id].put(b"broken", make_entry(Stamp(1), b"\xc1"))
    session = found(shelf, session)
    session.clear()
    assert dict(session) == {}
    at_once(session.save())
    assert dict(found(shelf, session)) == {}


def test_two_copies_are_merged_when_they_are_saved() -> None:
    shelf = Shelf()
    one = saved(shelf, user="u1", cart=[])
    other = found(shelf, one)
    one["user"] = "u2"
    other["cart"].append("tea")
    other["seen"] = True
    at_once(one.save())
    at_once(other.save())
    assert dict(found(shelf, one)) == {"user": "u2", "cart": ["tea"], "seen": True}


# --- Saves that fail, and saves at the same time --------------------------------------------------

FAILURES = [
    (Failure.UNAVAILABLE, SessionUnavailableError),
    (Failure.OUTCOME_UNKNOWN, OutcomeUnknownError),
    (Failure.NOT_REPLICATED, ReplicationTimeoutError),
    (Failure.TOO_LARGE, SessionTooLargeError),
    (Failure.FULL, RingFullError),
    (Failure.INVALID, LocalProtocolError),
]


@pytest.mark.parametrize(("failure", "error"), FAILURES, ids=str)
def test_a_save_that_failed_can_be_repeated(failure: Failure, error: type[Exception]) -> None:
    shelf = Shelf()
    session = saved(shelf, user="u1", cart=[1], old=1)
    session["user"] = "u2"
    session["cart"].append(2)
    session["new"] = 5
    session.max_idle = 7
    del session["old"]
    shelf.replies.append(failure)
    with pytest.raises(error, match=f"planned: {failure.name}"):
        at_once(session.save())
    first = last_save(shelf)
    at_once(session.save())
    assert last_save(shelf).changes == first.changes
    assert dict(found(shelf, session)) == {"user": "u2", "cart": [1, 2], "new": 5}
    assert found(shelf, session).max_idle == 7


@pytest.mark.parametrize(("failure", "error"), FAILURES, ids=str)
def test_a_creation_that_failed_is_repeated_whole(failure: Failure, error: type[Exception]) -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session["user"] = "u1"
    shelf.replies.append(failure)
    with pytest.raises(error):
        at_once(session.save())
    assert session.is_new
    session["cart"] = []
    at_once(session.save())
    assert last_save(shelf).create
    assert dict(found(shelf, session)) == {"user": "u1", "cart": []}


def test_an_attribute_of_a_failed_save_is_removed_in_the_ring_too() -> None:
    """The save that failed may have arrived."""
    shelf = Shelf()
    session = saved(shelf)
    session["x"] = 1
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    del session["x"]
    at_once(session.save())
    assert dict(found(shelf, session)) == {}


async def test_a_cancelled_save_can_be_repeated() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session["user"] = "u1"
    shelf.held_back.append(trio.Event())
    with trio.move_on_after(0) as scope:
        await session.save()
    assert scope.cancelled_caught
    await session.save()
    assert shelf.saved_keys() == [[b"user"], [b"user"]]


async def test_changes_made_while_a_save_is_under_way_are_not_lost() -> None:
    shelf = Shelf()
    session = saved(shelf, assigned=1, place=[1], back=[1], gone=1, late=1)
    answer = trio.Event()
    shelf.held_back.append(answer)
    async with trio.open_nursery() as nursery:
        for name in ("assigned", "gone", "late"):
            session[name] = 2
        session["place"].append(2)
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        session["assigned"] = 3
        session["place"].append(3)
        session["new"] = 3
        del session["gone"]
        answer.set()
    await session.save()
    expected = {"assigned": 3, "place": [1, 2, 3], "back": [1], "late": 2, "new": 3}
    assert dict(found(shelf, session)) == expected


@pytest.mark.parametrize("first_answered", [0, 1])
async def test_of_two_saves_at_once_the_later_carries_all(first_answered: int) -> None:
    """Whichever is answered first, and although one change was undone in between."""
    shelf = Shelf()
    session = saved(shelf, user="u1", place=[1], gone=1)
    answers = [trio.Event(), trio.Event()]
    shelf.held_back.extend(answers)
    async with trio.open_nursery() as nursery:
        session["user"] = "u2"
        session["place"].append(2)
        session["new"] = 1
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        session["place"].remove(2)
        del session["new"]
        del session["gone"]
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        for number in (first_answered, 1 - first_answered):
            answers[number].set()
            await trio.testing.wait_all_tasks_blocked()
    assert dict(found(shelf, session)) == {"user": "u2", "place": [1]}
    await session.save()
    assert shelf.asked == []


async def test_of_two_saves_at_once_the_first_may_fail() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session["user"] = "u1"
    answers = [trio.Event(), trio.Event()]
    shelf.held_back.extend(answers)
    shelf.replies.append(Failure.UNAVAILABLE)

    async def fail() -> None:
        with pytest.raises(SessionUnavailableError):
            await session.save()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fail)
        await trio.testing.wait_all_tasks_blocked()
        session["cart"] = []
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        answers[1].set()
        await trio.testing.wait_all_tasks_blocked()
        answers[0].set()
    assert not session.is_new
    assert dict(found(shelf, session)) == {"user": "u1", "cart": []}
