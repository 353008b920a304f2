"""A node that stood still: what it knew is old, and it says so by saying nothing until it knows.

Scenarios: a frozen node thawed within the suspect time; one thawed after it was called down; all of
them together; one that is alone; one that stalls for a moment now and then.
"""

from math import inf

import pytest
from attrs import evolve
from replicas import Rig
from samples import IDS, NOW

from ring.effects import Close
from ring.messages import Changes, Compared, Found, Reply, Saved
from ring.packed import EMPTY_FRAGMENT
from ring.record import Record
from ring.settings import Settings

ID = IDS[0]


def a_ring(names: str = "abc", *, notices: bool = True) -> Rig:
    """Return a ring with one session of a, whose nodes notice (or not) that they stood still."""
    settings = Settings() if notices else evolve(Settings(), frozen_after_s=inf)
    rig = Rig(names, 2, settings, stores=False, freezes=True)
    rig.create("a", ID, cart=b"\x01")
    rig.pass_time(1)
    return rig


def stand_still(rig: Rig, name: str, seconds: float) -> None:
    """Let time pass for everybody but ``name``, whose connections stay and bring nothing."""
    others = [other for other in rig.ring.names if other != name]
    for other in others:
        rig.hold_back(other, name)
        rig.hold_back(name, other)
    # It accepts connections, and no handshake is ever done.
    rig.refused |= {(other, name) for other in others}
    frozen = rig.replicas.pop(name)
    rig.pass_time(seconds)
    rig.replicas[name] = frozen


def thaw(rig: Rig) -> None:
    rig.refused.clear()
    rig.let_go()


def cart_of(reply: Reply | None) -> bytes | None:
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(b"cart")


def test_a_node_that_stood_still_answers_nothing_before_it_has_heard_the_others() -> None:
    """Its successor has acted meanwhile; without the pause it would answer from its old memory."""
    rig = a_ring()
    stand_still(rig, "a", 7.0)
    assert "a" in rig.replicas["b"].claims
    assert isinstance(rig.save("b", ID, {b"cart": b"\x02"}).reply, Saved)
    asked = rig.find("a", ID)
    assert asked.waits
    assert not rig.replicas["a"].claims
    assert not rig.replicas["a"].ready
    thaw(rig)
    rig.pass_time(3)
    assert cart_of(asked.reply) == b"\x02"
    assert rig.is_ready("a", "b", "c")
    assert rig.replicas["a"].claims == {"a"}
    assert rig.replicas["b"].claims == {"b"}


def test_without_the_pause_it_would_answer_from_its_old_memory() -> None:
    """So the test above has teeth."""
    rig = a_ring(notices=False)
    stand_still(rig, "a", 7.0)
    assert isinstance(rig.save("b", ID, {b"cart": b"\x02"}).reply, Saved)
    assert cart_of(rig.find("a", ID).reply) == b"\x01"


def test_nor_does_it_read_for_its_own_application_from_its_old_memory() -> None:
    rig = a_ring()
    stand_still(rig, "a", 7.0)
    answer, effects = rig.replicas["a"].read(ID, touch=False, now=rig.now)
    assert answer is None
    rig.perform("a", effects)


def test_what_it_had_received_before_it_stood_still_no_longer_counts() -> None:
    """Its links are closed unread: what lies there may have been overwritten long ago."""
    rig = a_ring()
    link = rig.link("b", "a").link_at("a")
    stand_still(rig, "a", 1.5)
    flat: list[bytes | int] = [IDS[1], 0, EMPTY_FRAGMENT]
    effects = rig.replicas["a"].on_message(link, Changes(flat), rig.now)
    assert Close(link, "this node stood still for 1.5 s") in effects
    assert rig.replicas["a"].take(link, rig.now) is None


def test_one_that_thaws_before_it_was_called_down_settles_again_all_the_same() -> None:
    """It cannot know whether it was: others call a node down within about a second."""
    rig = a_ring()
    stand_still(rig, "a", 1.5)
    asked = rig.find("a", ID)
    assert asked.waits
    thaw(rig)
    rig.pass_time(3)
    assert cart_of(asked.reply) == b"\x01"
    assert rig.is_ready("a", "b", "c")


def test_who_had_come_back_just_before_it_stood_still_is_waited_for_all_the_same() -> None:
    """They counted as members that come and go; it passed them over, and served its old memory."""
    rig = a_ring()
    for other in "bc":
        rig.hold_back(other, "a", Compared)
        rig.reset("a", other)
    rig.pass_time(5)
    stand_still(rig, "a", 5.0)
    assert isinstance(rig.save("b", ID, {b"cart": b"\x02"}).reply, Saved)
    asked = rig.find("a", ID)
    rig.pass_time(0.5)
    assert asked.waits
    assert not rig.replicas["a"].ready
    thaw(rig)
    rig.pass_time(3)
    assert cart_of(asked.reply) == b"\x02"
    assert rig.is_ready("a", "b", "c")


def test_a_short_pause_of_the_loop_is_no_standstill() -> None:
    rig = a_ring()
    stand_still(rig, "a", 0.9)
    assert cart_of(rig.find("a", ID).reply) == b"\x01"
    assert rig.replicas["a"].ready


@pytest.mark.parametrize("pause_s", [1.2, 30.0, 86_400.0])
def test_when_all_stood_still_together_they_come_back_by_themselves(pause_s: float) -> None:
    """As on a host that was suspended: nobody is left who knows more than they do."""
    rig = a_ring()
    rig.save("a", ID, {b"cart": b"\x03"})
    rig.now += pause_s
    rig.pass_time(3)
    assert rig.is_ready("a", "b", "c")
    assert [rig.replicas[name].claims for name in "abc"] == [{"a"}, {"b"}, {"c"}]
    assert cart_of(rig.find("c", ID).reply) == b"\x03"


def test_one_that_is_alone_serves_again_as_soon_as_nobody_has_answered() -> None:
    rig = a_ring("ab")
    rig.kill("b")
    rig.pass_time(3)
    rig.now += 20
    rig.pass_time(3)
    assert cart_of(rig.find("a", ID).reply) == b"\x01"


def test_one_that_stands_still_now_and_then_loses_nothing() -> None:
    rig = a_ring()
    for value in range(2, 8):
        assert isinstance(rig.save("a", ID, {b"cart": bytes([value])}).reply, Saved)
        stand_still(rig, "a", 1.2)
        rig.find("a", ID)
        thaw(rig)
        rig.pass_time(2)
        assert cart_of(rig.find("b", ID).reply) == bytes([value])
        assert rig.is_ready("a", "b", "c")


def test_a_member_is_heard_again_though_its_link_was_once_lost() -> None:
    """It counted as one that comes and goes ever since: at rest nothing noted that it was back.

    So a, when it had stood still, was ready alone at once, and answered from its old memory.
    """
    rig = a_ring("ab")
    rig.reset("a", "b")
    rig.pass_time(30)
    stand_still(rig, "a", 7.0)
    assert isinstance(rig.save("b", ID, {b"cart": b"\x02"}).reply, Saved)
    asked = rig.find("a", ID)
    assert asked.waits
    assert not rig.replicas["a"].ready
    thaw(rig)
    rig.pass_time(3)
    assert cart_of(asked.reply) == b"\x02"
