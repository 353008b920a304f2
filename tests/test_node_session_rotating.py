"""A session that goes on under a fresh id: what the application sees of it."""

import pytest
from shelf import Shelf, at_once, found, repository, saved

from ring.errors import (
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
)
from ring.identity import SessionId, home_of
from ring.messages import Failure, Rotate, Save


def test_a_session_goes_on_under_a_fresh_id_of_the_same_home() -> None:
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    old_id = session.id
    receipt = at_once(session.rotate_id())
    assert session.id != old_id
    assert home_of(SessionId(session.id.encode())) == "a"
    assert receipt.holders == ("a", "b")
    assert at_once(repository(shelf).find(old_id)) is None
    assert found(shelf, session)["cart"] == [1]


def test_what_changed_is_saved_with_the_rotation() -> None:
    """At login the user and the new id come together, or not at all."""
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    session["user"] = "u1"
    at_once(session.rotate_id())
    assert [type(request) for request in shelf.asked] == [Rotate]
    assert dict(found(shelf, session)) == {"cart": [1], "user": "u1"}
    at_once(session.save())
    assert shelf.asked == []


def test_a_session_of_which_the_ring_never_heard_only_gets_another_id() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session["user"] = "u1"
    old_id = session.id
    receipt = at_once(session.rotate_id())
    assert (receipt.holders, shelf.asked, session.is_new) == ((), [], True)
    assert session.id != old_id
    at_once(session.save())
    assert found(shelf, session)["user"] == "u1"


def test_an_unknown_outcome_is_brought_to_its_end_by_repeating_it() -> None:
    """The rotation may be in force: another new id would be refused, and the session lost."""
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    old_id = session.id
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.rotate_id())
    assert session.id == old_id
    at_once(session.rotate_id())
    first, second = shelf.asked
    assert isinstance(first, Rotate)
    assert isinstance(second, Rotate)
    assert first.new_id == second.new_id == session.id.encode()
    assert found(shelf, session)["cart"] == [1]


def test_where_the_ring_is_full_the_session_is_saved_under_its_old_id() -> None:
    """It may be full for days, and the session is as good as before."""
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    shelf.replies.append(Failure.FULL)
    with pytest.raises(RingFullError):
        at_once(session.rotate_id())
    session["cart"] = [1, 2]
    at_once(session.save())
    assert [type(request) for request in shelf.asked] == [Rotate, Save]
    assert found(shelf, session)["cart"] == [1, 2]


def test_an_unknown_outcome_is_brought_to_its_end_by_the_next_save() -> None:
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.rotate_id())
    session["cart"] = [1, 2]
    at_once(session.save())
    assert not any(isinstance(request, Save) for request in shelf.asked)
    assert found(shelf, session)["cart"] == [1, 2]


def test_a_first_save_whose_outcome_is_unknown_is_repeated_first() -> None:
    """Else a session that was never created would be rotated, and found to be gone."""
    shelf = Shelf()
    session = repository(shelf).create()
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    at_once(session.rotate_id())
    assert [type(request) for request in shelf.asked] == [Save, Save, Rotate]


def test_a_rotation_that_is_less_durable_than_asked_for_is_in_force() -> None:
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    old_id = session.id
    shelf.replies.append(Failure.NOT_REPLICATED)
    with pytest.raises(ReplicationTimeoutError):
        at_once(session.rotate_id(on_timeout="refuse"))
    assert session.id != old_id
    session["cart"] = [2]
    at_once(session.save())
    assert found(shelf, session)["cart"] == [2]


def test_an_ended_session_is_not_rotated() -> None:
    shelf = Shelf()
    session = saved(shelf)
    copy = found(shelf, session)
    at_once(copy.end())
    with pytest.raises(SessionEnded):
        at_once(session.rotate_id())
    shelf.asked.clear()
    with pytest.raises(SessionEnded):
        at_once(session.rotate_id())
    assert shelf.asked == []


def test_another_copy_of_the_old_id_is_refused() -> None:
    shelf = Shelf()
    session = saved(shelf, cart=[1])
    other = found(shelf, session)
    at_once(session.rotate_id())
    other["cart"] = [9]
    with pytest.raises(SessionEnded):
        at_once(other.save())
