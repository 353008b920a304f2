"""Requests elsewhere: forwarded once, parked, tried again, answered once; and homes handed back."""

import pytest
from replicas import Rig
from samples import IDS, NOW, session

from ring.identity import LinkId
from ring.liveness import Liveness
from ring.messages import (
    Answer,
    Ask,
    Compared,
    Durability,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Listing,
    Message,
    Redirect,
    Reply,
    Save,
    Saved,
)
from ring.record import Record
from ring.settings import Settings

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


# --- One hop ---


def test_a_request_is_forwarded_once_to_the_acting_owner() -> None:
    rig = a_ring()
    assert cart_of(rig.find("c", ID).reply) == b"\x01"
    assert kinds(rig, Find, Found) == [("c", "a", "Find"), ("a", "c", "Found")]
    (forwarded,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    assert forwarded.forwarded


@pytest.mark.parametrize(
    "request_",
    [
        Find(5, ID, False, True),
        Save(5, ID, False, ((b"cart", b"\x02"),), Durability.LOCAL, False, True),
        End(5, ID, Durability.LOCAL, False, True),
    ],
)
def test_who_gets_a_forwarded_request_and_does_not_act_names_who_does_at_once(
    request_: Find | Save | End,
) -> None:
    """Only the node that the client asked forwards: else two views could play ball with it."""
    rig = a_ring()
    rig.deliver(rig.link("c", "b"), "c", request_)
    rig.run()
    answers = [each for each in rig.sent if isinstance(each.message, Redirect)]
    assert [(each.sender, each.receiver) for each in answers] == [("b", "c")]
    assert answers[0].message == Redirect(5, "a")
    assert kinds(rig, Find, Save, End) == []


def test_nobody_is_redirected_to_whom_the_redirecting_one_has_not_heard() -> None:
    """What that one acts on may be old: it has not compared with this side since they parted."""
    rig = a_ring()
    rig.replicas["b"]._comparing.forget("a", "a")
    rig.deliver(rig.link("c", "b"), "c", Find(5, ID, False, True))
    rig.run()
    answers = [each.message for each in rig.sent if isinstance(each.message, Failed | Redirect)]
    assert why(answers[0]) is Failure.UNAVAILABLE  # type: ignore[arg-type]


def test_what_cannot_be_placed_yet_is_tried_again_until_it_can() -> None:
    """The acting owner was just lost, and its successor is still comparing."""
    rig = a_ring()
    rig.hold_back("c", "b")
    rig.stalled |= {("b", "a"), ("c", "a")}
    rig.kill("a")
    asked = rig.find("c", ID)
    rig.pass_time(0.5)
    assert asked.waits
    rig.stalled.clear()
    rig.let_go()
    rig.pass_time(1)
    assert cart_of(asked.reply) == b"\x01"


def test_what_cannot_be_placed_by_its_deadline_is_not_known() -> None:
    rig = a_ring()
    rig.stalled |= {("b", "a"), ("c", "a")}
    rig.kill("a")
    asked = rig.find("b", ID)
    rig.pass_time(4.5)
    assert asked.waits
    rig.pass_time(1)
    assert why(asked.reply) is Failure.UNAVAILABLE


def test_a_find_whose_answer_is_lost_is_tried_again_at_the_next() -> None:
    rig = a_ring()
    rig.hold_back("a", "c")
    asked = rig.find("c", ID)
    assert asked.waits
    rig.kill("a")
    rig.pass_time(0.5)
    assert cart_of(asked.reply) == b"\x01"


def test_a_save_or_end_whose_answer_is_lost_has_an_unknown_outcome() -> None:
    """It may have been carried out: it is not tried again, and not called a failure."""
    rig = a_ring()
    rig.hold_back("a", "c")
    saved, ended = rig.save("c", ID, {b"cart": b"\x02"}), rig.end("c", UNKNOWN)
    rig.kill("a")
    assert why(saved.reply) is Failure.OUTCOME_UNKNOWN
    assert why(ended.reply) is Failure.OUTCOME_UNKNOWN


def test_a_forwarded_request_that_is_not_answered_is_over_at_its_deadline() -> None:
    rig = a_ring(settings=Settings(suspect_after_s=20, request_timeout_s=5))
    rig.hold_back("a", "c")
    found, saved = rig.find("c", ID), rig.save("c", ID, {b"cart": b"\x02"})
    rig.pass_time(4.9)
    assert found.waits
    assert saved.waits
    rig.pass_time(0.2)
    assert why(found.reply) is Failure.UNAVAILABLE
    assert why(saved.reply) is Failure.OUTCOME_UNKNOWN
    rig.let_go()  # The answers that come now are answers to nothing.
    assert cart_of(rig.find("c", ID).reply) == b"\x02"


def test_a_client_on_a_link_gets_its_answers_there() -> None:
    rig = a_ring()
    replica, link = rig.replicas["c"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    assert replica.take(link, rig.now) is not None
    rig.perform("c", replica.on_message(link, Find(5, ID, False, False), rig.now))
    rig.run()
    reply = replica.take(link, rig.now)
    assert isinstance(reply, Found)
    assert reply.number == 5
    assert replica.take(link, rig.now) is None


def test_a_client_that_is_gone_gets_no_answer() -> None:
    rig = a_ring()
    replica, link = rig.replicas["c"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    rig.hold_back("a", "c")
    rig.perform("c", replica.on_message(link, Find(5, ID, False, False), rig.now))
    rig.run()
    rig.perform("c", replica.on_closed(link, rig.now))
    rig.let_go()
    assert replica.take(link, rig.now) is None
    assert cart_of(rig.find("c", ID).reply) == b"\x01"


# --- Who returns ---


def part_and_meet_again(*, a_saw_b: Liveness) -> Rig:
    """Cut a off from b and c, let them change its session, and let b reach a again.

    b hands the home back at once. What a has heard of b's changes by then: nothing.
    """
    rig = a_ring()
    rig.cut("a", "c")
    rig.stalled.add(("a", "c"))
    if a_saw_b is Liveness.DOWN:
        rig.cut("a", "b")
    else:
        rig.refused.add(("b", "a"))
        rig.stalled.add(("a", "b"))
        rig.reset("a", "b")
    assert rig.replicas["a"].liveness["b"] is a_saw_b
    saved = rig.save("b", ID, {b"cart": b"\x02"}).reply
    assert isinstance(saved, Saved)
    assert saved.holders == ("b", "c")
    rig.stalled.add(("a", "b"))
    rig.refused.clear()
    rig.hold_back("a", "b", Listing)
    rig.heal("b", "a")
    assert rig.replicas["b"].claims == {"b"}
    return rig


@pytest.mark.parametrize("a_saw_b", [Liveness.DOWN, Liveness.UNDETERMINED])
def test_an_owner_that_another_acted_for_does_not_answer_before_it_has_asked(
    a_saw_b: Liveness,
) -> None:
    """Its own link is not made yet, and it cannot know for how long the other acted."""
    rig = part_and_meet_again(a_saw_b=a_saw_b)
    asked = rig.find("b", ID)
    rig.let_go()
    if not asked.waits:
        assert cart_of(asked.reply) == b"\x02"
    rig.heal("a", "b")
    rig.heal("a", "c")
    rig.pass_time(1)
    assert cart_of(asked.reply) == b"\x02"
    assert cart_of(rig.find("a", ID).reply) == b"\x02"


def test_an_owner_whose_link_breaks_while_it_asks_still_does_not_answer_what_is_older() -> None:
    """Who may know more may know it still; only when it is down there is nobody to wait for."""
    rig = part_and_meet_again(a_saw_b=Liveness.DOWN)
    rig.hold_back("b", "a", Compared)
    rig.hold_back("b", "a", Answer)
    rig.hold_back("b", "a", Listing)
    rig.heal("a", "b")
    asked = rig.find("a", ID)
    assert asked.waits
    rig.stalled.add(("a", "b"))
    rig.reset("a", "b")
    assert rig.replicas["a"].liveness["b"] is Liveness.UNDETERMINED
    assert asked.waits
    rig.let_go()
    rig.heal("a", "b")
    rig.heal("b", "a")
    rig.pass_time(1)
    assert cart_of(asked.reply) == b"\x02"


def test_while_a_home_is_not_compared_each_id_is_asked_for_first() -> None:
    """The owner goes on acting; a member that has come back may know more."""
    rig = part_and_meet_again(a_saw_b=Liveness.DOWN)
    rig.hold_back("b", "a")
    rig.heal("a", "b")
    asked, saved = rig.find("a", ID), rig.save("a", ID, {b"color": b"\x03"})
    assert asked.waits
    assert saved.waits
    assert ("a", "b", "Ask") in kinds(rig, Ask)
    rig.let_go()
    assert cart_of(asked.reply) == b"\x02"
    assert isinstance(saved.reply, Saved)
    rig.heal("a", "c")
    rig.heal("c", "a")
    assert cart_of(rig.find("c", ID).reply) == b"\x02"
