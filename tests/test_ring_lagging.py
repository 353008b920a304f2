"""A member that does not keep up holds nobody up: the next one stands in until it has."""

import pytest
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session

from ring.messages import Acks, Changes, Durability, Failed, Failure, Found, Saved
from ring.record import Record
from ring.settings import Settings

ID = session("a", 7)
PATIENT = Settings(suspect_after_s=1e6)
"""Silence alone makes nobody suspect here: what is slow is the stream."""


def a_ring(names: str = "abc", copies: int = 2) -> Rig:
    rig = Rig(names, copies, PATIENT)
    rig.create("a", ID, cart=b"\x01")
    return rig


def saved(asked: Asked) -> Saved:
    assert isinstance(asked.reply, Saved), asked.reply
    return asked.reply


def held_by(rig: Rig) -> str:
    return "".join(name for name, each in rig.replicas.items() if each.record(ID) is not None)


def lag(rig: Rig, *names: str) -> None:
    """Have changes of a wait for these members for longer than is allowed."""
    for name in names:
        rig.hold_back(name, "a", Acks)
    rig.save("a", ID, {b"cart": b"\x02"}, durability=Durability.LOCAL)
    rig.pass_time(PATIENT.lagging_after_s + 0.75)


def test_the_next_member_stands_in_and_receipts_stop_waiting() -> None:
    rig = a_ring()
    rig.hold_back("b", "a", Acks)
    asked = rig.save("a", ID, {b"cart": b"\x02"})
    rig.pass_time(2)
    assert saved(asked).degraded
    assert held_by(rig) == "ab"
    rig.pass_time(2)
    assert rig.notices("lagging") == ["a"]
    assert held_by(rig) == "abc"
    assert saved(rig.save("a", ID, {b"cart": b"\x03"})).holders == ("a", "c")


def test_a_save_that_waits_for_it_counts_the_one_that_stands_in() -> None:
    rig = Rig("abc", 2, Settings(suspect_after_s=1e6, ack_timeout_s=6))
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("b", "a", Acks)
    asked = rig.save("a", ID, {b"cart": b"\x02"}, refuse=True)
    rig.pass_time(2)
    assert asked.waits
    rig.pass_time(2)
    assert saved(asked).holders == ("a", "c")


def test_when_it_has_caught_up_it_holds_again_and_the_other_is_freed() -> None:
    rig = a_ring()
    lag(rig, "b")
    rig.save("a", ID, {b"cart": b"\x03"})
    rig.let_go()
    rig.pass_time(4)
    assert rig.notices("lagging_ended") == ["a"]
    assert held_by(rig) == "ab"
    assert saved(rig.save("a", ID, {b"cart": b"\x04"})).holders == ("a", "b")
    assert rig.replicas["a"].record(ID) == rig.replicas["b"].record(ID)


def test_it_is_no_holder_before_nothing_of_its_stream_is_left() -> None:
    """What it has acknowledged by then is not all that it should have."""
    rig = a_ring()
    lag(rig, "b")
    owner = rig.replicas["a"]
    for number in range(20):
        rig.create("a", session("a", 100 + number))
    owner._replication.mark("b", session("a", 100), None)
    rig.let_one_go()
    rig.pass_time(0.75)
    stream = owner._links.outbound["b"].stream
    assert len(stream) > 0
    assert "b" not in owner._core.view.holders("a")
    rig.let_go()
    rig.pass_time(1)
    assert "b" in owner._core.view.holders("a")


def test_what_it_missed_meanwhile_it_has_before_it_takes_over() -> None:
    rig = a_ring()
    lag(rig, "b")
    rig.hold_back("c", "b")
    rig.hold_back("a", "b", Changes)
    assert saved(rig.save("a", ID, {b"cart": b"\x05"})).holders == ("a", "c")
    rig.kill("a")
    asked = rig.find("b", ID)
    rig.let_go()
    rig.pass_time(1)
    assert isinstance(asked.reply, Found)
    assert Record.from_portable(asked.reply.portable, NOW).value(b"cart") == b"\x05"


def test_with_nobody_to_stand_in_receipts_are_degraded_at_once_or_refused() -> None:
    """It lives, and should hold: that is not being alone, where nothing is refused."""
    rig = a_ring("ab")
    lag(rig, "b")
    assert saved(rig.save("a", ID, {b"cart": b"\x03"})).degraded
    refused = rig.save("a", ID, {b"cart": b"\x04"}, refuse=True)
    assert isinstance(refused.reply, Failed)
    assert refused.reply.failure is Failure.NOT_REPLICATED


def test_with_nobody_but_who_leaves_nothing_is_refused() -> None:
    """A planned stop of the only other member fails no request."""
    rig = a_ring("ab")
    rig.perform("b", rig.replicas["b"].drain(rig.now))
    rig.run()
    reply = saved(rig.save("a", ID, {b"cart": b"\x03"}, refuse=True))
    assert reply.degraded


def test_who_reaches_nobody_in_time_lets_the_others_act() -> None:
    rig = a_ring(copies=3)
    lag(rig, "b", "c")
    assert rig.notices("all_lagging") == ["a"]
    assert rig.replicas["a"].claims == frozenset()
    assert rig.replicas["b"].claims == {"a", "b"}
    reply = saved(rig.save("b", ID, {b"cart": b"\x03"}))
    assert reply.holders == ("b", "c")
    rig.let_go()
    rig.pass_time(4)
    assert rig.notices("all_lagging_ended") == ["a"]
    assert rig.replicas["a"].claims == {"a"}
    for name in "abc":
        asked = rig.find(name, ID)
        assert isinstance(asked.reply, Found)
        assert Record.from_portable(asked.reply.portable, NOW).value(b"cart") == b"\x03"
    assert held_by(rig) == "abc"


@pytest.mark.parametrize(("names", "lagging"), [("ab", "b"), ("abc", "b")])
def test_one_that_lags_is_to_blame_itself(names: str, lagging: str) -> None:
    """One of two does not say which; nor do some while another keeps up."""
    rig = a_ring(names)
    lag(rig, lagging)
    assert rig.notices("lagging") == ["a"]
    assert not rig.notices("all_lagging")
    assert rig.replicas["a"].claims == {"a"}


def test_a_connection_that_is_lost_takes_the_judgement_with_it() -> None:
    rig = a_ring()
    lag(rig, "b")
    rig.hold_back("b", "a", Acks)
    rig.reset("a", "b")
    rig.pass_time(1)
    assert not rig.replicas["a"]._core.view.lagging
