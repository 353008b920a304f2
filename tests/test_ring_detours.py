"""Links that come and go: requests reach whom they are for by way of another member.

Without a detour each request for such a member is lost with the link that it was sent on, again and
again, until its time is over.
"""

import pytest
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session

from ring.liveness import Liveness
from ring.messages import (
    Absent,
    Changes,
    Compare,
    Failed,
    Failure,
    Find,
    Found,
    Redirect,
    Reply,
    Save,
    Saved,
)
from ring.record import Record
from ring.settings import Settings

ID = session("c", 1)


def a_ring(copies: int = 3, names: str = "abc") -> Rig:
    """Return a ring with a session of c, and c's answers to a held back."""
    rig = Rig(names, copies, Settings(request_timeout_s=8), stores=False)
    rig.create("c", ID, cart=b"\x01")
    for kind in (Found, Saved, Redirect):
        rig.hold_back("c", "a", kind)
    return rig


def reset_often(rig: Rig, one: str = "a", other: str = "c", times: int = 3) -> None:
    for _ in range(times):
        rig.pass_time(1)
        rig.reset(one, other)


def finds_of(rig: Rig) -> list[tuple[str, bool]]:
    """Return whom finds were sent to, and whether those were to answer instead of c."""
    finds = ((each.receiver, each.message) for each in rig.sent)
    return [(receiver, find.insist) for receiver, find in finds if isinstance(find, Find)]


def saves_of(rig: Rig) -> list[tuple[str, Save]]:
    return [(e.receiver, e.message) for e in rig.sent if isinstance(e.message, Save)]


@pytest.mark.parametrize("copies", [1, 3])
def test_what_is_asked_of_a_member_that_comes_and_goes_reaches_it_another_way(copies: int) -> None:
    rig = a_ring(copies)
    reset_often(rig)
    rig.sent.clear()
    assert isinstance(rig.find("a", ID).reply, Found)
    assert finds_of(rig) == [("b", False), ("b", True)]
    saved = rig.save("a", ID, {b"cart": b"\x02"})
    rig.pass_time(1)
    assert isinstance(saved.reply, Saved)
    record = rig.replicas["c"].record(ID)
    assert record is not None
    assert record.value(b"cart") == b"\x02"


def test_while_its_link_is_away_it_is_reached_another_way_as_well() -> None:
    """a comes next for that home, and does not act: c lives, as all see it."""
    rig = a_ring()
    reset_often(rig)
    rig.stalled |= {("a", "c"), ("c", "a")}
    rig.reset("a", "c")
    assert rig.replicas["a"].liveness["c"] is Liveness.UNDETERMINED
    assert isinstance(rig.find("a", ID).reply, Found)
    assert "c" not in rig.replicas["a"].claims


def test_a_link_that_was_lost_once_is_used_again() -> None:
    rig = a_ring()
    reset_often(rig, times=1)
    rig.sent.clear()
    rig.find("a", ID)
    assert finds_of(rig) == [("c", False)]


def test_a_link_that_has_lived_for_long_is_used_again() -> None:
    rig = a_ring()
    reset_often(rig)
    rig.pass_time(rig.settings.settle_timeout_s + 1)
    rig.sent.clear()
    rig.find("a", ID)
    assert finds_of(rig) == [("c", False)]


def test_with_nobody_to_go_by_the_straight_way_is_taken() -> None:
    rig = a_ring(names="ac")
    reset_often(rig)
    rig.sent.clear()
    rig.find("a", ID)
    assert finds_of(rig) == [("c", False)]


def test_nobody_goes_by_way_of_a_member_that_is_about_to_leave() -> None:
    """It has handed over, and stops: what it forwards then is lost, a change with its outcome."""
    rig = a_ring(names="abcd")
    rig.perform("b", rig.replicas["b"].drain(rig.now))
    rig.run()
    reset_often(rig)
    rig.let_go()
    rig.sent.clear()
    rig.save("a", ID, {b"cart": b"\x02"})
    assert [receiver for receiver, _ in saves_of(rig)] == ["d", "d"]
    rig.kill("d")
    rig.pass_time(1)
    rig.sent.clear()
    rig.save("a", ID, {b"cart": b"\x03"})
    assert [receiver for receiver, _ in saves_of(rig)] == ["c"]


def test_a_member_that_left_as_it_said_does_not_come_and_go() -> None:
    rig = a_ring(copies=2)
    rig.let_go()
    reset_often(rig, times=1)
    rig.perform("c", rig.replicas["c"].drain(rig.now))
    rig.run()
    rig.kill("c")
    rig.start("c")
    rig.pass_time(1)
    assert "c" in rig.replicas["c"].claims
    rig.sent.clear()
    rig.find("a", ID)
    assert finds_of(rig) == [("c", False)]


def test_after_a_detour_in_vain_the_straight_way_has_its_turn() -> None:
    """b has not compared that home with c, and names nobody until it has."""
    rig = a_ring()
    rig.let_go()
    reset_often(rig)
    rig.hold_back("b", "a", Redirect)
    asked = rig.find("a", ID)
    (first,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    failed = Failed(first.number, Failure.UNAVAILABLE, "c acts for it, as b sees it")
    rig.deliver(rig.link("a", "b"), "b", failed)
    rig.run()
    assert asked.waits
    rig.pass_time(0.5)
    assert isinstance(asked.reply, Found)
    assert finds_of(rig) == [("b", False), ("c", False)]


def test_a_change_goes_straight_only_when_half_of_its_time_is_over() -> None:
    """Lost with the link, its outcome would be unknown."""
    rig = a_ring()
    reset_often(rig)
    rig.let_go()
    rig.hold_back("b", "a", Redirect)
    rig.sent.clear()
    rig.save("a", ID, {b"cart": b"\x02"})
    for _ in range(6):
        *_, (receiver, save) = saves_of(rig)
        if receiver == "b":
            failed = Failed(save.number, Failure.UNAVAILABLE, "c acts for it, as b sees it")
            rig.deliver(rig.link("a", "b"), "b", failed)
        rig.pass_time(0.5)
        rig.reset("a", "c")
        rig.pass_time(0.5)
    assert [receiver for receiver, _ in saves_of(rig)] == [*"bbbbb", "c"]


def test_what_a_member_may_have_that_was_just_lost_is_not_denied() -> None:
    """Who is to answer in its place asks all who are near; only the lost one may have it."""
    rig = Rig("abc", 1, Settings(request_timeout_s=8), stores=False)
    rig.create("c", ID, cart=b"\x01")
    rig.stalled |= {("b", "c"), ("c", "b")}
    rig.reset("b", "c")
    assert rig.replicas["b"].liveness["c"] is Liveness.UNDETERMINED
    rig.sent.clear()
    rig.hold_back("a", "b", Compare)
    rig.deliver(rig.link("a", "b"), "a", Find(1, ID, False, True, insist=True))
    rig.run()
    replies = [each.message for each in rig.sent if (each.sender, each.receiver) == ("b", "a")]
    assert not any(isinstance(each, Absent) for each in replies)
    assert any(isinstance(each, Failed) for each in replies)


def test_a_member_that_comes_and_goes_does_not_have_the_others_compare_anew() -> None:
    """Each time another one became a holder in its place, and a home was never compared."""
    rig = Rig("abcd", copies=2)
    rig.create("d", session("d", 1), cart=b"\x01")
    rig.pass_time(1)
    rig.stalled |= {("a", "d"), ("d", "a")}
    rig.sent.clear()
    rig.reset("a", "d")
    assert rig.replicas["a"].liveness["d"] is Liveness.UNDETERMINED
    assert not any(isinstance(each.message, Compare) for each in rig.sent if each.sender == "a")


# --- Somebody else acts as well ---


def a_parted_ring(names: str, *apart: str) -> Rig:
    """Return a ring whose c is cut off from others that act for its home too; a reaches all.

    The link between a and c was lost twice, and is there.
    """
    rig = Rig(names, 1, Settings(), stores=False)
    rig.create("c", ID, cart=b"\x01")
    for name in apart:
        rig.cut(name, "c")
    rig.pass_time(12)
    assert any("c" in rig.replicas[name].claims for name in apart)
    for _ in range(2):
        rig.pass_time(0.5)
        rig.reset("a", "c")
    rig.pass_time(0.5)
    return rig


def reply_to(rig: Rig, asked: Asked) -> Reply | None:
    while asked.waits:
        rig.pass_time(0.25)
    return asked.reply


def test_who_acts_as_well_is_not_asked_in_the_others_place() -> None:
    """b cannot reach c: it has not what c has, and denied it."""
    rig = a_parted_ring("cba", "b")
    assert isinstance(reply_to(rig, rig.find("a", ID)), Found)
    assert isinstance(reply_to(rig, rig.save("a", ID, {b"cart": b"\x02"})), Saved)


def test_who_acts_as_well_is_not_gone_to_though_it_is_named() -> None:
    """d acts beside c, and b, which reaches d alone, names that one."""
    rig = a_parted_ring("cdba", "b", "d")
    assert isinstance(reply_to(rig, rig.find("a", ID)), Found)


def test_who_is_not_ready_is_not_asked_in_the_others_place() -> None:
    """h is back, and waits; nothing that it took was known to d, which still acts."""
    rig = a_ring_with_a_joiner()
    reset_often(rig, "a", "d")
    assert_d_reads_what_a_saved(rig)


def test_who_answers_for_another_waits_for_the_one_who_acts() -> None:
    """It waited for h, which would come first, and does not act yet."""
    rig = a_ring_with_a_joiner()
    rig.cut("a", "d")
    rig.pass_time(0.5)
    assert_d_reads_what_a_saved(rig)


def a_ring_with_a_joiner() -> Rig:
    """Return a ring in which d acts for h, which has returned and is not ready."""
    rig = Rig("hdab", 3, Settings(request_timeout_s=8), stores=False)
    rig.create("h", session("h", 1), cart=b"\x01")
    rig.kill("h")
    rig.pass_time(1)
    rig.hold_back("b", "h", Compare)
    rig.start("h", disk=False)
    rig.pass_time(1)
    assert not rig.replicas["h"].ready
    return rig


def assert_d_reads_what_a_saved(rig: Rig) -> None:
    """Demand that a save at a is degraded or unanswered, or what d answers."""
    for name in "hab":
        rig.hold_back(name, "d", Changes)
    saved = rig.save("a", session("h", 1), {b"cart": b"\x02"})
    rig.pass_time(0.25)
    found = rig.find("d", session("h", 1)).reply
    assert isinstance(found, Found)
    value = Record.from_portable(found.portable, NOW).value(b"cart")
    if isinstance(saved.reply, Saved) and not saved.reply.degraded:
        assert value == b"\x02"
    else:
        assert saved.waits
    rig.let_go()
    rig.pass_time(1)
    assert isinstance(saved.reply, Saved)
    assert not saved.reply.degraded
    record = rig.replicas["d"].record(session("h", 1))
    assert record is not None
    assert record.value(b"cart") == b"\x02"
