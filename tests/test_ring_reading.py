"""Reading a member's own copy, whatever the acting owner has by now; it says how old it may be."""

import pytest
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session

from ring.effects import Wake
from ring.messages import AGE_UNKNOWN, Absent, Changes, Find, Found, Redirect
from ring.record import Record

ID = session("a", 7)


def a_ring(copies: int = 2) -> Rig:
    rig = Rig("abc", copies)
    rig.create("a", ID, cart=b"\x01")
    rig.sent.clear()
    return rig


def read(rig: Rig, name: str, *, touch: bool = False) -> Asked:
    return rig.ask(name, lambda n: Find(n, ID, touch, False, local=True))


def seen(asked: Asked) -> tuple[bytes | None, bool, int]:
    """Return the value that was read, whether it may be stale, and its age."""
    assert isinstance(asked.reply, Found), asked.reply
    value = Record.from_portable(asked.reply.portable, NOW).value(b"cart")
    return value, asked.reply.maybe_stale, asked.reply.age_ms


def test_a_holder_answers_from_its_copy_and_asks_nobody() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    value, maybe_stale, age_ms = seen(read(rig, "b"))
    assert (value, maybe_stale) == (b"\x01", True)
    assert age_ms == 0  # It has heard at this moment.
    assert rig.sent == []


def test_the_age_is_the_time_since_the_acting_owner_was_heard() -> None:
    rig = a_ring()
    rig.pass_time(2)
    rig.hold_back("a", "b")
    rig.now += 0.75
    assert seen(read(rig, "b"))[2] == pytest.approx(750, abs=260)


def test_the_acting_owner_is_never_stale() -> None:
    rig = a_ring()
    rig.pass_time(1)
    assert seen(read(rig, "a")) == (b"\x01", False, 0)


def test_a_copy_may_be_older_than_what_the_owner_has_and_says_so() -> None:
    rig = a_ring()
    rig.hold_back("a", "b")
    rig.save("a", ID, {b"cart": b"\x02"})
    assert seen(read(rig, "b"))[:2] == (b"\x01", True)
    rig.let_go()
    assert seen(read(rig, "b"))[:2] == (b"\x02", True)


def test_who_has_no_copy_asks_the_owner() -> None:
    rig = a_ring()
    assert rig.replicas["c"].record(ID) is None
    assert seen(read(rig, "c")) == (b"\x01", False, 0)
    assert [type(each.message) for each in rig.sent] == [Find, Found]


def test_who_has_a_copy_but_holds_it_for_nobody_does_not_know_its_age() -> None:
    """Nobody streams changes to it: that it hears of the owner says nothing of the session."""
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    rig.replicas["c"]._core.table.put(ID, record)
    assert seen(read(rig, "c")) == (b"\x01", True, AGE_UNKNOWN)


def test_a_fragment_is_not_read_out() -> None:
    rig = a_ring()
    whole = rig.replicas["b"].record(ID)
    assert whole is not None
    part = Record.from_portable(whole.portable(rig.now, whole.keys()), rig.now)
    rig.replicas["b"]._core.table.put(ID, part)
    assert seen(read(rig, "b")) == (b"\x01", False, 0)
    assert rig.sent


def test_what_has_ended_or_expired_is_not_read_out() -> None:
    rig = a_ring()
    rig.end("a", ID)
    assert isinstance(read(rig, "b").reply, Absent)
    rig = Rig("abc", 2)
    rig.create("a", ID, cart=b"\x01", **{"\x00i": b"\x1e"})
    rig.pass_time(40)
    assert isinstance(read(rig, "b").reply, Absent)


def test_a_node_that_is_not_ready_reads_nothing_out() -> None:
    """It has come back from its disk, whose state a member may have acknowledged as old."""
    rig = a_ring()
    rig.pass_time(1)
    rig.kill("b")
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.hold_back("a", "b")
    rig.hold_back("c", "b")
    rig.start("b")
    record = rig.replicas["b"].record(ID)
    assert record is not None
    assert record.value(b"cart") == b"\x01"
    assert read(rig, "b").waits


def test_an_access_that_a_copy_counts_reaches_the_owner() -> None:
    rig = a_ring()
    rig.pass_time(70)
    before = rig.replicas["a"].record(ID)
    read(rig, "b", touch=True)
    after = rig.replicas["a"].record(ID)
    assert before is not None
    assert after is not None
    assert after.accessed > before.accessed
    assert [type(each.message) for each in rig.sent if each.sender == "b"].count(Changes) == 1


def test_without_touch_a_local_read_changes_nothing() -> None:
    rig = a_ring()
    rig.pass_time(70)
    effects = rig.replicas["b"].submit(Find(900, ID, False, False, local=True), rig.now)
    assert not any(isinstance(each, Wake) for each in effects)


def test_a_forwarded_request_is_never_answered_from_a_bystanders_copy() -> None:
    """Whoever forwards it asks the acting owner."""
    rig = a_ring()
    rig.hold_back("a", "b")
    rig.save("a", ID, {b"cart": b"\x02"})
    connection = rig.link("c", "b")
    link = connection.link_at("b")
    replica = rig.replicas["b"]
    replica.on_message(link, Find(77, ID, False, True, local=True), rig.now)
    answers = list(iter(lambda: replica.take(link, rig.now), None))
    assert any(isinstance(each, Redirect) for each in answers)
    assert not any(isinstance(each, Found) for each in answers)


@pytest.mark.parametrize("local", [False, True])
def test_who_is_served_by_another_than_the_home_is_told_until_the_home_is_back(local: bool) -> None:
    rig = a_ring(copies=3)
    rig.pass_time(1)

    def failed_over() -> set[bool]:
        asked = [rig.ask(name, lambda n: Find(n, ID, False, False, local=local)) for name in "bc"]
        rig.pass_time(1)
        replies = [each.reply for each in asked]
        at_hand = rig.replicas["b"].read(ID, False, rig.now)
        return {reply.failed_over for reply in [*replies, at_hand] if isinstance(reply, Found)}

    assert failed_over() == {False}
    rig.kill("a")
    rig.pass_time(5)
    assert failed_over() == {True}
    rig.start("a")
    rig.pass_time(10)
    assert failed_over() == {False}
