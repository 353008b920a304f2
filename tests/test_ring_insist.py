"""Members that cannot reach each other: whoever can reach a third is served by it all the same.

E6, asymmetric partitions. Without redirect and insist a request that is asked at one end of a cut
waits in vain for its deadline: the other end acts, and the one between refuses, since it sees it.
"""

import pytest
from replicas import Rig
from samples import IDS, NOW, session

from ring.liveness import Liveness
from ring.messages import (
    Absent,
    Answer,
    Changes,
    Durability,
    Failed,
    Failure,
    Find,
    Found,
    Redirect,
    Release,
    Reply,
    Save,
    Saved,
)
from ring.record import Record
from ring.settings import Settings

ID = IDS[0]


def a_ring() -> Rig:
    """Return a ring of three with one session of a, held by a and b."""
    rig = Rig("abc", 2, Settings(request_timeout_s=8), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.sent.clear()
    return rig


def cut_off(rig: Rig, one: str, other: str) -> None:
    rig.cut(one, other)
    rig.pass_time(3)


def cart_of(reply: Reply | None) -> bytes | None:
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(b"cart")


@pytest.mark.parametrize("asked", ["a", "b", "c"])
@pytest.mark.parametrize("pair", [("a", "b"), ("b", "c"), ("a", "c")])
def test_a_cut_between_two_stops_nobody(pair: tuple[str, str], asked: str) -> None:
    rig = a_ring()
    cut_off(rig, *pair)
    found = rig.find(asked, ID)
    assert cart_of(found.reply) == b"\x01"
    saved = rig.save(asked, ID, {b"cart": b"\x02"})
    assert isinstance(saved.reply, Saved)
    assert not saved.reply.degraded
    assert cart_of(rig.find(asked, ID).reply) == b"\x02"
    assert cart_of(rig.find("a", ID).reply) == b"\x02"


def test_who_cannot_go_where_it_is_redirected_insists_and_is_served() -> None:
    """c cannot reach a; b sees a act, and serves c for it, without acting itself."""
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.sent.clear()
    assert cart_of(rig.find("c", ID).reply) == b"\x01"
    story = [
        (each.sender, each.receiver, each.message.insist)
        if isinstance(each.message, Find)
        else (each.sender, each.receiver, "redirect")
        for each in rig.sent
        if isinstance(each.message, Find | Redirect)
    ]
    assert story == [("c", "b", False), ("b", "c", "redirect"), ("c", "b", True)]
    assert rig.replicas["b"].claims == {"b"}


def test_who_serves_for_another_asks_everybody_it_reaches_first() -> None:
    """c holds nothing of that home, and learns it from a."""
    rig = Rig("abcd", 2, Settings(request_timeout_s=8), stores=False)
    rig.create("a", ID, cart=b"\x01")
    cut_off(rig, "a", "d")
    cut_off(rig, "b", "d")
    rig.save("a", ID, {b"cart": b"\x02"})
    assert rig.replicas["c"].record(ID) is None
    assert cart_of(rig.find("d", ID).reply) == b"\x02"  # By way of c.
    assert rig.replicas["c"].claims == {"c"}


def test_a_save_that_was_insisted_on_reaches_the_acting_owner_and_its_holders() -> None:
    rig = a_ring()
    cut_off(rig, "a", "c")
    saved = rig.save("c", ID, {b"cart": b"\x07"}).reply
    assert isinstance(saved, Saved)
    assert set(saved.holders) >= {"a", "b"}
    assert cart_of(rig.find("a", ID).reply) == b"\x07"


def test_an_end_that_was_insisted_on_is_final() -> None:
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.end("c", ID)
    for name in "abc":
        assert not isinstance(rig.find(name, ID).reply, Found)
    rig.refused.clear()
    rig.pass_time(3)
    for name in "abc":
        assert not isinstance(rig.find(name, ID).reply, Found)


def test_two_that_redirect_to_each_other_cannot_play_ball() -> None:
    """One redirect is followed; the next answer is insisted on, so that the request ends."""
    rig = a_ring()
    rig.hold_back("a", "c", Found)
    asked = rig.find("c", ID)
    (first,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    rig.deliver(rig.link("c", "a"), "a", Redirect(first.number, "b"))
    rig.run()
    assert cart_of(asked.reply) == b"\x01"
    story = [(e.receiver, e.message.insist) for e in rig.sent if isinstance(e.message, Find)]
    assert story == [("a", False), ("b", False), ("b", True)]


def test_a_redirect_to_nobody_of_this_ring_only_has_the_request_tried_again() -> None:
    rig = a_ring()
    rig.hold_back("a", "c", Found)
    asked = rig.find("c", ID)
    (first,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    rig.deliver(rig.link("c", "a"), "a", Redirect(first.number, "stranger"))
    rig.run()
    assert asked.waits
    rig.let_go()
    rig.pass_time(0.5)
    assert cart_of(asked.reply) == b"\x01"


def test_saves_are_carried_out_once_however_they_are_passed_on() -> None:
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.sent.clear()
    rig.save("c", ID, {b"cart": b"\x05"})
    insisted = [e for e in rig.sent if isinstance(e.message, Save) and e.message.insist]
    assert [(each.sender, each.receiver) for each in insisted] == [("c", "b")]


@pytest.mark.parametrize("durability", list(Durability))
def test_a_save_that_was_insisted_on_is_acknowledged_once_the_acting_owner_has_it(
    durability: Durability,
) -> None:
    """Else whoever asks the acting owner next reads an older state: it answers without asking."""
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.hold_back("b", "a", Changes)
    saved = rig.save("c", ID, {b"cart": b"\x07"}, durability=durability)
    assert saved.waits
    rig.let_go()
    assert isinstance(saved.reply, Saved)
    assert "a" in saved.reply.holders
    assert cart_of(rig.find("a", ID).reply) == b"\x07"


def test_what_is_taken_for_an_owner_whose_connection_was_just_lost_is_degraded() -> None:
    """a may go on answering for as long as b does not know that it is down."""
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.hold_back("c", "b", Save)
    saved = rig.save("c", ID, {b"cart": b"\x02"})
    rig.let_one_go()
    rig.stalled |= {("a", "b"), ("b", "a")}
    rig.reset("a", "b")
    rig.let_go()
    assert saved.waits
    rig.pass_time(1)
    assert isinstance(saved.reply, Saved)
    assert saved.reply.degraded


def test_a_member_that_is_coming_back_is_waited_for_all_the_same() -> None:
    """It may have changed the session while it was away: what c answered was older."""
    rig = a_ring()
    cut_off(rig, "a", "c")
    rig.save("a", ID, {b"cart": b"\x02"})
    cut_off(rig, "a", "b")
    rig.save("a", ID, {b"cart": b"\x03"})
    rig.stalled |= {("b", "a"), ("c", "a")}
    rig.hold_back("a", "b", Changes)
    rig.refused.clear()
    rig.heal("a", "b")
    assert rig.replicas["b"].liveness["a"] is Liveness.UNDETERMINED
    rig.sent.clear()
    rig.deliver(rig.link("c", "b"), "c", Find(77, ID, False, True, insist=True))
    rig.run()
    (reply,) = (each.message for each in rig.sent if isinstance(each.message, Found | Failed))
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.UNAVAILABLE


def assert_b_answers_although_it_is_freed(rig: Rig) -> None:
    """Have a free b of what it was asked for, before its answer leaves."""
    record = rig.replicas["b"].record(ID)
    assert record is not None
    rig.deliver(rig.link("a", "b"), "a", Release([ID, record.digest]))
    rig.let_go()
    found = [each.message for each in rig.sent if isinstance(each.message, Found | Absent)]
    assert [cart_of(each) for each in found] == [b"\x01"]
    rig.pass_time(5)
    assert rig.replicas["b"].record(ID) is None


def test_what_was_found_elsewhere_is_kept_until_it_is_answered() -> None:
    """b need not keep it, and is freed of it while d has not answered yet.

    Then what all were asked for, and one has brought, was denied.
    """
    rig = Rig("abcd", 1, Settings(suspect_after_s=60), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.pass_time(2)
    rig.hold_back("d", "b", Answer)
    rig.deliver(rig.link("c", "b"), "c", Find(77, ID, False, True, insist=True))
    rig.run()
    assert_b_answers_although_it_is_freed(rig)


@pytest.mark.parametrize("comes_and_goes", [False, True])
def test_what_nobody_can_know_yet_is_not_denied_in_anothers_place(*, comes_and_goes: bool) -> None:
    """Both holders are away; c acts and says so, but g, which was asked instead, denied it."""
    rig = Rig("hkcga", 2, Settings(request_timeout_s=8))
    lost = session("h", 1)
    rig.create("h", lost, cart=b"\x01")
    rig.pass_time(2)
    if comes_and_goes:
        for _ in range(2):
            rig.reset("a", "c")
            rig.pass_time(1)
    else:
        cut_off(rig, "a", "c")
    rig.kill("h", "k")
    rig.pass_time(1)
    assert "h" in rig.replicas["c"].claims
    asked = rig.find("a", lost)
    while asked.waits:
        rig.pass_time(0.25)
    assert isinstance(asked.reply, Failed)
    assert asked.reply.failure is Failure.UNAVAILABLE


def test_what_is_answered_is_kept_until_the_answer_has_left() -> None:
    """It is read when it leaves: b was freed of it before that, and denied what it had found."""
    rig = Rig("abc", 1, Settings(suspect_after_s=60), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.refused.add(("b", "c"))
    rig.reset("b", "c")
    rig.hold_back("b", "c")
    rig.deliver(rig.link("c", "b"), "c", Find(77, ID, False, True, insist=True))
    rig.run()
    assert_b_answers_although_it_is_freed(rig)
