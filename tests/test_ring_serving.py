"""Requests at the acting owner: found, not found, or not known yet; nothing in between."""

import pytest
from replicas import Rig
from samples import IDS, NOW, session

from ring.effects import Respond, Wake
from ring.entry import make_entry
from ring.messages import (
    Absent,
    Ask,
    Failed,
    Failure,
    Find,
    Found,
    Message,
    Reply,
    Saved,
)
from ring.record import Record
from ring.settings import Limits, Settings

ID = IDS[0]
UNKNOWN = session("a", 77)


def a_ring(names: str = "abc", copies: int = 2, settings: Settings | None = None) -> Rig:
    """Return a ring with one session of a, and nothing sent yet."""
    rig = Rig(names, copies, settings or Settings(request_timeout_s=5), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.sent.clear()
    return rig


def cart_of(reply: Reply | None) -> bytes | None:
    """Return what a find found."""
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(b"cart")


def why(reply: Reply | None) -> Failure:
    """Return why a request failed; no reason may name the session."""
    assert isinstance(reply, Failed), reply
    assert "AAAA" not in reply.reason
    return reply.failure


def kinds(rig: Rig, *kinds: type[Message]) -> list[tuple[str, str, str]]:
    """Return sender, receiver and kind of the messages of these kinds."""
    return [
        (each.sender, each.receiver, type(each.message).__name__)
        for each in rig.sent
        if isinstance(each.message, kinds)
    ]


# --- Found, not found, not known yet ---


def test_the_acting_owner_answers_from_its_table_and_wakes_no_link() -> None:
    rig = a_ring()
    effects = rig.replicas["a"].submit(Find(900, ID, False, False), rig.now)
    (answer,) = effects
    assert isinstance(answer, Respond)
    assert isinstance(answer.reply, Found)
    assert rig.sent == []


def test_what_can_be_read_here_and_now_is_read_without_a_request() -> None:
    rig = a_ring()
    reply, effects = rig.replicas["a"].read(ID, True, rig.now)
    assert cart_of(reply) == b"\x01"
    assert effects == []
    assert rig.replicas["a"].read(UNKNOWN, True, rig.now) == (None, [])
    assert rig.replicas["b"].read(ID, True, rig.now) == (None, [])
    rig.end("a", ID)
    assert rig.replicas["a"].read(ID, True, rig.now) == (Absent(0), [])


def test_a_read_that_is_worth_a_touch_tells_the_backup() -> None:
    rig = a_ring()
    _, effects = rig.replicas["a"].read(ID, True, rig.now + 61)
    assert [type(each) for each in effects].count(Wake) == 1


def test_before_not_found_every_member_is_asked_once_and_the_answer_kept_for_a_moment() -> None:
    """The owner may have lost it where another has not; strangers can invent ids."""
    rig = a_ring("abcd")
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)
    asked = kinds(rig, Ask)
    assert asked == [("a", "b", "Ask"), ("a", "c", "Ask"), ("a", "d", "Ask")]
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)
    assert kinds(rig, Ask) == asked
    rig.pass_time(1.1)
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)
    assert kinds(rig, Ask) == asked * 2


def test_a_session_that_only_another_member_has_is_found_there() -> None:
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    rig.replicas["a"]._core.table.drop(ID)
    rig.replicas["b"]._core.table.drop(ID)
    rig.replicas["c"]._core.table.put(ID, record)
    assert cart_of(rig.find("a", ID).reply) == b"\x01"
    assert cart_of(rig.find("b", ID).reply) == b"\x01"


def test_two_requests_for_one_unknown_id_ask_once() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    first, second = rig.find("a", UNKNOWN), rig.find("a", UNKNOWN)
    assert first.waits
    assert second.waits
    assert len(kinds(rig, Ask)) == 2
    rig.let_go()
    assert isinstance(first.reply, Absent)
    assert isinstance(second.reply, Absent)


def test_a_member_that_does_not_say_what_it_has_makes_it_not_known() -> None:
    rig = a_ring(settings=Settings(suspect_after_s=20, request_timeout_s=5))
    rig.hold_back("c", "a")
    asked = rig.find("a", UNKNOWN)
    rig.pass_time(4.9)
    assert asked.waits
    rig.pass_time(0.2)
    assert why(asked.reply) is Failure.UNAVAILABLE
    rig.let_go()
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)


def test_a_member_that_is_lost_for_good_while_it_is_asked_is_not_waited_for() -> None:
    rig = a_ring()
    rig.hold_back("c", "a")
    asked = rig.find("a", UNKNOWN)
    rig.kill("c")
    assert isinstance(asked.reply, Absent)


def test_a_member_that_has_just_come_back_is_waited_for_before_not_found() -> None:
    """It was down, may have acted meanwhile, and this node has no link to it yet."""
    rig = a_ring()
    rig.cut("a", "c")
    rig.stalled.add(("a", "c"))
    rig.refused.discard(("a", "c"))
    rig.heal("c", "a")
    assert rig.find("a", UNKNOWN).waits


def test_a_part_of_a_session_is_never_served() -> None:
    """Else a delta that landed on nothing would be a session with an empty cart."""
    rig = a_ring()
    part = Record()
    part.put(b"cart", make_entry(rig.replicas["a"]._core.clock.last, b"\x07"))
    for name in "abc":
        rig.replicas[name]._core.table.drop(ID)
    rig.replicas["a"]._core.table.put(ID, part)
    asked = [rig.find("a", ID), rig.save("a", ID, {b"cart": b"\x08"}), rig.find("c", ID)]
    asked.append(rig.save("a", ID, {}, create=True))
    assert rig.replicas["a"].read(ID, False, rig.now) == (None, [])
    rig.pass_time(9)
    assert [why(each.reply) for each in asked] == [Failure.UNAVAILABLE] * 4


def test_a_part_is_completed_by_whoever_has_the_whole() -> None:
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    record.whole = False
    part = Record.from_portable(record.portable(NOW, {b"cart"}), NOW)
    rig.replicas["a"]._core.table.put(ID, part)
    assert cart_of(rig.find("a", ID).reply) == b"\x01"
    assert kinds(rig, Ask)[0] == ("a", "b", "Ask")


def test_while_the_copies_of_a_home_are_missing_nothing_of_it_is_denied() -> None:
    """Its owner and backup were lost at about the same time: the session may be on their disks."""
    rig = a_ring("abcd")
    rig.kill("a", "b")
    assert "a" in rig.replicas["c"].claims
    asked = rig.find("c", ID)
    assert asked.waits
    rig.pass_time(9)
    assert why(asked.reply) is Failure.UNAVAILABLE
    rig.pass_time(9)
    assert isinstance(rig.find("c", ID).reply, Absent)


def test_after_one_loss_the_backup_may_deny_at_once() -> None:
    rig = a_ring()
    rig.kill("a")
    assert isinstance(rig.find("b", UNKNOWN).reply, Absent)


# --- Saves and ends ---


def test_a_save_to_an_unknown_id_never_creates() -> None:
    rig = a_ring()
    for name in "abc":
        assert why(rig.save(name, UNKNOWN, {b"cart": b"\x01"}).reply) is Failure.GONE
    assert all(replica.record(UNKNOWN) is None for replica in rig.replicas.values())
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)


def test_a_creation_asks_nobody() -> None:
    """The id is fresh: nobody can have it."""
    rig = a_ring()
    rig.create("a", UNKNOWN, cart=b"\x05")
    assert kinds(rig, Ask) == []
    assert cart_of(rig.find("a", UNKNOWN).reply) == b"\x05"


def test_a_session_created_after_it_was_denied_is_found() -> None:
    rig = a_ring()
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)
    rig.create("c", UNKNOWN, cart=b"\x05")
    assert cart_of(rig.find("a", UNKNOWN).reply) == b"\x05"


def test_an_end_of_an_unknown_session_is_done_when_nobody_is_away() -> None:
    rig = a_ring()
    reply = rig.end("b", UNKNOWN).reply
    assert isinstance(reply, Saved)
    assert not reply.degraded
    assert all(replica.record(UNKNOWN) is None for replica in rig.replicas.values())


def test_an_end_of_an_unknown_session_is_kept_for_who_is_away() -> None:
    """A member that is away may have it, or its disk: the end has to be there when it returns."""
    rig = a_ring()
    rig.kill("c")
    reply = rig.end("a", UNKNOWN).reply
    assert isinstance(reply, Saved)
    assert reply.holders == ("a", "b")
    for name in "ab":
        record = rig.replicas[name].record(UNKNOWN)
        assert record is not None
        assert record.ended


def test_an_end_that_was_made_before_is_confirmed_as_it_is() -> None:
    rig = a_ring()
    rig.end("a", ID)
    before = rig.replicas["a"].record(ID)
    reply = rig.end("c", ID).reply
    assert isinstance(reply, Saved)
    assert reply.holders == ("a", "b")
    assert rig.replicas["a"].record(ID) == before


def test_a_save_that_is_refused_names_the_failure() -> None:
    rig = a_ring(settings=Settings(limits=Limits(attribute_bytes_max=10)))
    assert why(rig.save("b", ID, {b"cart": bytes(11)}).reply) is Failure.TOO_LARGE
    assert why(rig.save("b", ID, {b"\x00x": b"\x01"}).reply) is Failure.INVALID


def test_a_member_that_is_lost_after_the_request_was_over_is_nobodys_loss() -> None:
    rig = a_ring(settings=Settings(suspect_after_s=20, request_timeout_s=5))
    rig.hold_back("c", "a")
    asked = rig.find("a", UNKNOWN)
    rig.pass_time(5.2)
    assert why(asked.reply) is Failure.UNAVAILABLE
    rig.kill("c")
    assert isinstance(rig.find("a", UNKNOWN).reply, Absent)


def test_only_so_many_denials_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers can invent ids; beyond the limit each is asked for again."""
    monkeypatch.setattr("ring.serving.ABSENT_CACHED_MAX", 1)
    rig = a_ring()
    for session_id in (UNKNOWN, session("a", 78), UNKNOWN, session("a", 78)):
        assert isinstance(rig.find("a", session_id).reply, Absent)
    assert len(kinds(rig, Ask)) == 3 * 2


def test_only_so_many_requests_are_parked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ring.serving.PARKED_MAX", 1)
    rig = Rig(start="a")
    first, second = rig.find("a", ID), rig.find("a", ID)
    assert first.waits
    assert why(second.reply) is Failure.UNAVAILABLE


def test_an_end_works_on_a_part_of_a_session() -> None:
    """Whatever the rest is, it is over."""
    rig = a_ring()
    part = Record()
    part.put(b"cart", make_entry(rig.replicas["a"]._core.clock.last, b"\x07"))
    for name in "ab":
        rig.replicas[name]._core.table.put(ID, part)
    assert isinstance(rig.end("a", ID).reply, Saved)
    assert isinstance(rig.find("c", ID).reply, Absent)
