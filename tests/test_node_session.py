"""A session's life, names, sizes, receipts and end."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest
from shelf import Shelf, at_once, found, last_save, repository, saved

from node.errors import AttributeDecodeError, ValueNotStorableError
from node.receipts import NOTHING_SENT, Receipt
from ring.clock import Stamp
from ring.entry import CREATED, LIFETIME, MAX_IDLE, PRINCIPAL, make_entry
from ring.errors import (
    OutcomeUnknownError,
    ReplicationTimeoutError,
    SessionEnded,
    SessionTooLargeError,
    SessionUnavailableError,
)
from ring.messages import Absent, Durability, End, Failure, Saved
from ring.record import Record

# --- Receipts, durability ------------------------------------------------------------------------


def test_a_receipt_names_who_had_the_change() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    assert at_once(session.save()) == Receipt(("a", "b"), ("a",), degraded=False)


def test_a_save_without_changes_asks_nobody_and_gives_the_last_receipt() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, user="u1"))
    assert at_once(session.save()) == NOTHING_SENT
    session["user"] = "u2"
    shelf.replies.append(Saved(0, ("a",), (), degraded=True))
    receipt = at_once(session.save())
    assert receipt.degraded
    shelf.asked.clear()
    assert at_once(session.save()) == receipt
    assert shelf.asked == []


def test_durability_and_answer_to_a_time_out_are_configured_or_given_in_the_call() -> None:
    shelf = Shelf()
    session = repository(shelf, Durability.DISK).create()
    at_once(session.save())
    assert (last_save(shelf).durability, last_save(shelf).refuse) == (Durability.DISK, False)
    session["x"] = 1
    at_once(session.save(durability="backup+disk", on_timeout="refuse"))
    assert last_save(shelf).durability is Durability.BACKUP_AND_DISK
    assert last_save(shelf).refuse
    at_once(session.end())
    end = shelf.asked[-1]
    assert isinstance(end, End)
    assert (end.durability, end.refuse) == (Durability.DISK, True)


def test_no_such_durability_or_answer_is_refused_before_anything_is_sent() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    with pytest.raises(ValueError, match="durability is 'most'; use 'local', 'backup', 'disk'"):
        at_once(session.save(durability="most"))
    wrong: Any = "retry"
    with pytest.raises(ValueError, match="on_timeout is 'retry'; use 'accept' or 'refuse'"):
        at_once(session.save(on_timeout=wrong))
    with pytest.raises(ValueError, match="durability is 'retry'"):
        at_once(session.end(durability=wrong))
    assert shelf.asked == []


# --- Ending -------------------------------------------------------------------------------------


def test_an_ended_session_is_not_saved_any_more() -> None:
    shelf = Shelf()
    session = saved(shelf, user="u1")
    assert at_once(session.end()) == Receipt(("a", "b"), (), degraded=False)
    shelf.asked.clear()
    session["user"] = "u2"
    for _ in range(2):
        with pytest.raises(SessionEnded):
            at_once(session.save())
    assert shelf.asked == []
    assert session["user"] == "u2"


@pytest.mark.parametrize("gone", [Failure.GONE, Absent(0)], ids=["gone", "absent"])
def test_a_save_that_hears_of_the_end_is_the_last(gone: Failure | Absent) -> None:
    shelf = Shelf()
    session = saved(shelf)
    session["x"] = 1
    shelf.replies.append(gone)
    with pytest.raises(SessionEnded):
        at_once(session.save())
    with pytest.raises(SessionEnded):
        at_once(session.save())
    assert len(shelf.asked) == 1


def test_a_copy_of_an_ended_session_cannot_be_saved() -> None:
    shelf = Shelf()
    session = saved(shelf)
    copy = found(shelf, session)
    at_once(session.end())
    copy["x"] = 1
    with pytest.raises(SessionEnded):
        at_once(copy.save())


def test_ending_a_session_that_was_never_saved_asks_nobody() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    assert at_once(session.end()) == NOTHING_SENT
    assert shelf.asked == []
    with pytest.raises(SessionEnded):
        at_once(session.save())


def test_ending_a_session_whose_creation_failed_asks_the_ring() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    at_once(session.end())
    assert at_once(repository(shelf).find(session.id)) is None


def test_an_end_that_is_not_replicated_is_in_force_and_can_be_repeated() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.replies.append(Failure.NOT_REPLICATED)
    with pytest.raises(ReplicationTimeoutError):
        at_once(session.end())
    with pytest.raises(SessionEnded):
        at_once(session.save())
    assert not at_once(session.end()).degraded


def test_an_end_that_nobody_heard_of_leaves_the_session_alive() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.replies.append(Failure.UNAVAILABLE)
    with pytest.raises(SessionUnavailableError):
        at_once(session.end())
    session["x"] = 1
    at_once(session.save())


def test_an_end_of_what_is_gone_says_so() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.replies.append(Failure.GONE)
    with pytest.raises(SessionEnded):
        at_once(session.end())


# --- Names, sizes, values -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "a\0", "\0", "x" * 256, "ü" * 128, "\ud800"], ids=ascii)
def test_a_name_that_an_attribute_cannot_have_is_refused(name: str) -> None:
    session = repository(Shelf()).create()
    with pytest.raises(ValueError, match="attribute name"):
        session[name] = 1
    assert name not in session
    with pytest.raises(KeyError):
        session[name]
    with pytest.raises(KeyError):
        del session[name]
    assert session.get(name) is None


def test_a_name_is_a_str() -> None:
    session = repository(Shelf()).create()
    name: Any = 5
    with pytest.raises(TypeError, match="an attribute's name is a str, not 5"):
        session[name] = 1
    with pytest.raises(KeyError):
        session[name]
    with pytest.raises(KeyError):
        del session[name]
    assert name not in session


def test_reserved_entries_are_no_attributes() -> None:
    session = found(shelf := Shelf(), saved(shelf))
    for key in (CREATED, MAX_IDLE, LIFETIME):
        assert key.decode() not in session
        assert session.get(key.decode()) is None


@pytest.mark.parametrize("name", ["\x01a", "\x02a"])
def test_no_name_is_that_of_a_part(name: str) -> None:
    session = repository(Shelf()).create()
    with pytest.raises(ValueError, match=r"not begin with U\+0001 or U\+0002"):
        session[name] = 1
    assert name not in session
    assert session.get(name) is None


def test_the_longest_names_come_back() -> None:
    shelf = Shelf()
    names = {"x" * 255, "ü" * 127 + "x", "Grüße \n\x01"}
    session = saved(shelf, **dict.fromkeys(names, 1))
    assert set(found(shelf, session)) == names


def test_a_value_that_cannot_be_kept_is_refused_at_save_and_nothing_is_sent() -> None:
    shelf = Shelf()
    session = saved(shelf)
    session["good"] = 1
    session["cart"] = {"items": [object()]}
    with pytest.raises(ValueNotStorableError, match=r"cart\.items\[0\] is of type object"):
        at_once(session.save())
    assert shelf.asked == []
    session["cart"]["items"].clear()
    at_once(session.save())
    assert dict(found(shelf, session)) == {"good": 1, "cart": {"items": []}}


def test_an_attribute_over_its_limit_is_refused_before_anything_is_sent() -> None:
    shelf = Shelf()
    session = repository(shelf, attribute_bytes_max=100).create()
    session["notes"] = "x" * 200
    with pytest.raises(SessionTooLargeError, match="'notes' takes 202 bytes"):
        at_once(session.save())
    assert shelf.asked == []


def test_a_session_over_its_limit_is_refused_with_its_largest_attribute() -> None:
    shelf = Shelf()
    session = repository(shelf, session_bytes_max=300, attribute_bytes_max=200).create()
    session["notes"] = "x" * 150
    at_once(session.save())
    shelf.asked.clear()
    session["more"] = "x" * 90
    with pytest.raises(SessionTooLargeError, match=r" 300; .* 'notes' with 165 bytes"):
        at_once(session.save())
    assert shelf.asked == []
    session["notes"] = ""
    at_once(session.save())


def test_an_attribute_that_cannot_be_decoded_is_named_and_stays_as_it_is() -> None:
    shelf = Shelf()
    session = saved(shelf, good=1)
    shelf.records[session._id].put(b"newer", make_entry(Stamp(1), b"\xc7\x00\x63"))
    session = found(shelf, session)
    assert session["good"] == 1
    assert set(session) == {"good", "newer"}
    with pytest.raises(AttributeDecodeError, match="attribute 'newer' cannot be decoded"):
        session["newer"]
    session["good"] = 2
    at_once(session.save())
    assert shelf.records[session._id].value(b"newer") == b"\xc7\x00\x63"


def test_an_entry_of_another_kind_of_name_is_no_attribute() -> None:
    shelf = Shelf()
    session = saved(shelf, good=1)
    shelf.records[session._id].put(b"\xff\xfe", make_entry(Stamp(1), b"\x01"))
    assert dict(found(shelf, session)) == {"good": 1}


# --- Its life -----------------------------------------------------------------------------------


def test_times_are_told_in_utc() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    moment = datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)
    assert session.created_at == session.last_accessed == moment
    at_once(session.save())
    shelf.wall += 90_000
    assert found(shelf, session).created_at == moment


def test_the_last_access_is_as_long_ago_as_the_record_says() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.records[session._id].touch(Stamp(5), -12.5)
    shelf.wall += 60_000
    expected = datetime(2001, 9, 9, 1, 47, 40, tzinfo=UTC) - timedelta(seconds=12.5)
    assert found(shelf, session).last_accessed == expected


def test_max_idle_and_lifetime_are_kept_and_can_be_changed() -> None:
    shelf = Shelf()
    session = repository(shelf, max_idle="10m").create(lifetime=3600)
    assert (session.max_idle, session.lifetime) == (600.0, 3600.0)
    at_once(session.save())
    copy = found(shelf, session)
    assert (copy.max_idle, copy.lifetime) == (600.0, 3600.0)
    copy.max_idle = -1
    copy.lifetime = 0
    assert (copy.max_idle, copy.lifetime) == (-1.0, 0.0)
    at_once(copy.save())
    assert set(dict(last_save(shelf).changes)) == {MAX_IDLE, LIFETIME}
    assert found(shelf, session).max_idle == -1.0


@pytest.mark.parametrize("seconds", [True, "30m", None, 1j], ids=repr)
def test_a_duration_is_a_number(seconds: Any) -> None:
    session = repository(Shelf()).create()
    with pytest.raises(TypeError, match=r"max_idle is .*; give seconds"):
        session.max_idle = seconds
    with pytest.raises(TypeError, match="lifetime is"):
        session.lifetime = seconds


@pytest.mark.parametrize(
    "seconds", [float("inf"), float("nan"), -float("inf"), 10**400], ids=range(4)
)
def test_a_duration_is_in_range(seconds: float) -> None:
    with pytest.raises(ValueError, match="max_idle is"):
        repository(Shelf()).create(max_idle=seconds)


def test_what_a_newer_version_says_of_its_life_is_not_misread() -> None:
    shelf = Shelf()
    session = saved(shelf)
    record = shelf.records[session._id]
    record.put(MAX_IDLE, make_entry(Stamp(2**63), msgpack.packb("soon")))
    record.put(LIFETIME, make_entry(Stamp(2**63), b"\xc1"))
    record.put(PRINCIPAL, make_entry(Stamp(2**63), msgpack.packb(["u1"])))
    session = found(shelf, session)
    assert (session.max_idle, session.lifetime, session.principal) == (0.0, 0.0, None)


def test_the_principal_is_who_the_ring_says() -> None:
    shelf = Shelf()
    session = saved(shelf)
    assert session.principal is None
    entry = make_entry(Stamp(1), msgpack.packb("u1"))
    shelf.records[session._id].put(PRINCIPAL, entry)
    assert found(shelf, session).principal == "u1"


def test_its_repr_tells_neither_the_id_nor_what_is_in_it() -> None:
    shelf = Shelf()
    session = saved(shelf, password="hunter2")
    assert repr(session) == "<Session of home 'a', saved, 1 attributes>"
    at_once(session.end())
    assert "ended" in repr(session)
    assert "new" in repr(repository(shelf).create())


def test_a_session_without_a_creation_time_is_as_old_as_the_moment() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.records[session._id] = Record(whole=True)
    assert found(shelf, session).created_at.timestamp() * 1000 == shelf.wall
