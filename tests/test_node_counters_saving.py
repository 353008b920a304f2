"""A counter adds each number once, whoever adds it, whatever fails, and whoever sets it."""

from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from shelf import Shelf, at_once, found, repository, saved, shards, stocked

from node.sending import ATTEMPTS_MAX
from node.writers import Writers
from ring.errors import (
    LocalProtocolError,
    OutcomeUnknownError,
    SessionEnded,
)
from ring.identity import SessionId
from ring.messages import Failure, Find, Save
from ring.record import Record


def test_many_requests_of_one_process_share_a_shard() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    for _ in range(20):
        session.counter("visits").add()
        at_once(session.save())
        session = found(shelf, session)
    assert (session["visits"], shards(shelf, session)) == (22, 1)


def test_another_process_has_a_shard_of_its_own() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    shelf.writers = Writers(Random(1))
    for _ in range(3):
        session = found(shelf, session)
        session.counter("visits").add()
        at_once(session.save())
    assert (found(shelf, session)["visits"], shards(shelf, session)) == (5, 2)


def test_a_state_that_is_older_than_the_last_addition_takes_nothing_back() -> None:
    """The node that answered had not heard of it: the same total again would be lost, or less."""
    shelf = Shelf()
    session = stocked(shelf)
    old = Record.from_portable(shelf.records[session._id].portable(0.0), 0.0)
    session.counter("visits").add(10)
    at_once(session.save())
    newer = shelf.records[session._id]
    shelf.records[session._id] = old
    session = found(shelf, session)
    assert session["visits"] == 2
    session.counter("visits").add(100)
    at_once(session.save())
    shelf.records[session._id].merge(newer)
    assert found(shelf, session)["visits"] == 112


@pytest.mark.parametrize("is_dropped", [False, True])
def test_an_addition_whose_outcome_is_unknown_counts_once(is_dropped: bool) -> None:
    """Repeated by the same copy, or given up: then what comes next does not build upon it."""
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").add(10)
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    if is_dropped:
        session = found(shelf, session)
    session.counter("visits").add(100)
    at_once(session.save())
    assert found(shelf, session)["visits"] == 112


def test_an_addition_that_failed_for_certain_is_not_carried_on_by_others() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").add(10)
    shelf.replies.append(Failure.TOO_LARGE)
    with pytest.raises(Exception, match="TOO_LARGE"):
        at_once(session.save())
    other = found(shelf, session)
    other.counter("visits").add(100)
    at_once(other.save())
    assert found(shelf, session)["visits"] == 102
    session.counter("visits").subtract(10)
    at_once(session.save())
    assert found(shelf, session)["visits"] == 102


def test_what_was_added_to_a_counter_that_others_have_set_since_counts_from_there() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    other = found(shelf, session)
    session.counter("visits").add(10)
    at_once(session.save())
    other.counter("visits").set(50)
    other.counter("visits").add(1)
    at_once(other.save())
    session.counter("visits").add(3)
    session["color"] = "red"
    assert session["visits"] == 15
    at_once(session.save())
    assert [type(request) for request in shelf.asked[-3:]] == [Save, Find, Save]
    assert session["visits"] == 54
    again = found(shelf, session)
    assert (again["visits"], again["color"]) == (54, "red")
    session.counter("visits").add()
    at_once(session.save())
    assert found(shelf, session)["visits"] == 55


def test_who_has_set_a_counter_adds_to_it_from_what_it_is_now() -> None:
    """Nobody has told the stamp of the new floor: it is asked for before the addition is sent."""
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").set(50)
    at_once(session.save())
    other = found(shelf, session)
    other.counter("visits").add(5)
    at_once(other.save())
    session.counter("visits").add(1)
    shelf.asked.clear()
    at_once(session.save())
    assert [type(request) for request in shelf.asked] == [Find, Save]
    assert session["visits"] == found(shelf, session)["visits"] == 56


def test_a_counter_that_is_set_again_and_again_is_given_up_at_last() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").add(1)
    answers = [Failure.INVALID] * ATTEMPTS_MAX
    find = shelf._find

    def find_and_fail(session_id: SessionId, number: int) -> Any:
        shelf.replies.append(answers.pop())
        return find(session_id, number)

    shelf._find = find_and_fail  # type: ignore[method-assign]
    shelf.replies.append(answers.pop())
    with pytest.raises(LocalProtocolError, match="planned: INVALID"):
        at_once(session.save())
    assert sum(isinstance(request, Save) for request in shelf.asked) == ATTEMPTS_MAX
    shelf._find = find  # type: ignore[method-assign]
    shelf.replies.clear()
    at_once(session.save())
    assert found(shelf, session)["visits"] == 3


def test_a_session_that_ended_meanwhile_says_so() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").set(1)
    at_once(session.save())
    session.counter("visits").add(1)
    at_once(repository(shelf).end(session.id))
    for _ in range(2):
        with pytest.raises(SessionEnded):
            at_once(session.save())


async def test_additions_made_while_saves_are_under_way_count_once() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    answers = [trio.Event(), trio.Event()]
    shelf.held_back.extend(answers)
    async with trio.open_nursery() as nursery:
        for number in (1, 10):
            session.counter("visits").add(number)
            session.counter("set").set(number)
            nursery.start_soon(session.save)
            await trio.testing.wait_all_tasks_blocked()
        session.counter("visits").add(100)
        session.counter("set").add(100)
        for answer in answers:
            answer.set()
            await trio.testing.wait_all_tasks_blocked()
            assert session["visits"] == 113
    await session.save()
    again = found(shelf, session)
    assert (again["visits"], again["set"]) == (113, 110)
    assert (session["visits"], session["set"], shards(shelf, session)) == (113, 110, 2)


@pytest.mark.parametrize("step", [1, -1])
async def test_an_addition_that_is_taken_back_while_saves_are_under_way_is_taken_back(
    step: int,
) -> None:
    """The first answer says just what is wanted, and the second save is still to arrive."""
    shelf = Shelf()
    session = stocked(shelf)
    answers = [trio.Event(), trio.Event()]
    shelf.held_back.extend(answers)
    async with trio.open_nursery() as nursery:
        for _ in answers:
            session.counter("visits").add(step)
            nursery.start_soon(session.save)
            await trio.testing.wait_all_tasks_blocked()
        session.counter("visits").subtract(step)
        answers[0].set()
        await trio.testing.wait_all_tasks_blocked()
        await session.save()
        answers[1].set()
    assert session["visits"] == found(shelf, session)["visits"] == 2 + step


async def test_a_counter_that_is_set_while_it_is_set_ends_what_others_add_in_between() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    answer = trio.Event()
    shelf.held_back.append(answer)
    async with trio.open_nursery() as nursery:
        session.counter("visits").set(10)
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        session.counter("visits").set(20)
        answer.set()
    other = found(shelf, session)
    other.counter("visits").add(100)
    await other.save()
    await session.save()
    assert session["visits"] == found(shelf, session)["visits"] == 20


def test_what_has_arrived_already_is_not_counted_twice_when_it_is_learnt() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").add(10)
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    session.learn(shelf.records[session._id].entries)
    assert session["visits"] == 12
    at_once(session.save())
    assert session["visits"] == found(shelf, session)["visits"] == 12


@pytest.mark.parametrize("how", ["map", "set"])
def test_what_others_have_put_where_nothing_was_known_of_it_is_cleared_too(how: str) -> None:
    shelf = Shelf()
    session = saved(shelf)
    other = found(shelf, session)
    other.map("x")["a"] = 1
    at_once(other.save())
    getattr(session, how)("x").clear()
    at_once(session.save())
    assert len(getattr(found(shelf, session), how)("x")) == 0
    assert "x" in session
