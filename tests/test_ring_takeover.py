"""Taking over and handing back while words are still on their way: nothing acknowledged is unread.

Each scenario was first found by a review of the protocol, with links that are slow one by one.
"""

import pytest
from attrs import evolve
from later_rings import later
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session

from ring.liveness import Liveness
from ring.messages import (
    Absent,
    Changes,
    Compared,
    Durability,
    Found,
    Listing,
    Records,
    Saved,
)
from ring.record import Record
from ring.settings import Settings

ID = session("a", 7)


def a_ring(copies: int, names: str = "abc", settings: Settings | None = None) -> Rig:
    rig = Rig(names, copies, settings or Settings())
    rig.create("a", ID, cart=b"\x01")
    return rig


def assert_reads(rig: Rig, asked: Asked, expected: bytes) -> None:
    """Demand that a find gives this value, at the latest when everything has arrived."""
    if asked.waits:
        rig.let_go()
        rig.pass_time(1)
    assert isinstance(asked.reply, Found), asked.reply
    assert Record.from_portable(asked.reply.portable, NOW).value(b"cart") == expected


def holders_of(asked: Asked) -> tuple[str, ...]:
    assert isinstance(asked.reply, Saved), asked.reply
    assert not asked.reply.degraded
    return asked.reply.holders


# --- Taking over ---


def test_a_successor_hears_the_other_holders_again_before_it_acts() -> None:
    """The owner's last save was acknowledged by the second backup, and the first has not heard."""
    rig = a_ring(copies=3)
    rig.hold_back("a", "b")
    rig.hold_back("c", "b")
    assert holders_of(rig.save("a", ID, {b"cart": b"\x02"})) == ("a", "c")
    rig.kill("a")
    assert_reads(rig, rig.find("b", ID), b"\x02")


def test_a_successor_does_not_find_what_ended_before_it_acts() -> None:
    rig = a_ring(copies=3)
    rig.hold_back("a", "b")
    rig.hold_back("c", "b")
    assert holders_of(rig.end("a", ID)) == ("a", "c")
    rig.kill("a")
    asked = rig.find("b", ID)
    assert asked.waits
    rig.let_go()
    assert isinstance(asked.reply, Absent)


def test_what_was_compared_before_the_owner_was_lost_is_compared_again() -> None:
    """Links broke a moment earlier; the backup compared then, and c stood in for it after that."""
    rig = a_ring(copies=2)
    rig.stalled |= {("a", "b"), ("b", "a")}
    rig.reset("a", "b")
    rig.hold_back("c", "b")
    assert holders_of(rig.save("a", ID, {b"cart": b"\x02"})) == ("a", "c")
    rig.stalled.clear()
    rig.kill("a")
    rig.pass_time(0.3)
    assert_reads(rig, rig.find("b", ID), b"\x02")


def test_a_member_that_is_joining_delays_a_takeover_by_no_more_than_a_comparison() -> None:
    """Comparisons are answered in every state; nobody waits for another's readiness."""
    rig = a_ring(copies=2, settings=Settings(suspect_after_s=1e6))
    rig.kill("c")
    rig.hold_back("a", "c")
    rig.start("c", disk=False)
    assert not rig.is_ready("c")
    rig.kill("a")
    rig.pass_time(8)
    assert "a" in rig.replicas["b"].claims
    assert_reads(rig, rig.find("b", ID), b"\x01")


# --- Handing back ---


def hand_back(copies: int, durability: Durability) -> Rig:
    """Return a ring in which a claims its home again, and b has not heard of it and goes on."""
    rig = a_ring(copies)
    rig.kill("a")
    rig.pass_time(1)
    rig.save("b", ID, {b"cart": b"\x02"})
    replica = rig.begin("a")
    rig.run(until=lambda: bool(replica.claims))
    for pair in (("a", "b"), ("b", "a"), ("c", "a")):
        rig.hold_back(*pair)
    assert "a" in rig.replicas["b"].claims
    assert "a" not in holders_of(rig.save("b", ID, {b"cart": b"\x03"}, durability=durability))
    return rig


HAND_BACKS = [(3, Durability.BACKUP), (2, Durability.DISK)]


@pytest.mark.parametrize(("copies", "durability"), HAND_BACKS)
def test_an_owner_asks_whoever_acts_as_well(copies: int, durability: Durability) -> None:
    """Until the other has heard the claim, it may change a session without the owner."""
    rig = hand_back(copies, durability)
    assert_reads(rig, rig.find("a", ID), b"\x03")


@pytest.mark.parametrize(("copies", "durability"), HAND_BACKS)
def test_an_owner_asks_whoever_acted_as_well_though_their_link_breaks(
    copies: int, durability: Durability
) -> None:
    rig = hand_back(copies, durability)
    rig.stalled |= {("a", "b"), ("b", "a")}
    rig.reset("a", "b")
    assert rig.replicas["a"].liveness["b"] is Liveness.UNDETERMINED
    asked = rig.find("a", ID)
    rig.stalled.clear()
    assert_reads(rig, asked, b"\x03")


def test_an_owner_asks_those_whom_a_lost_rival_named() -> None:
    """The rival's last save was acknowledged by c, whose copy is still on its way."""
    rig = hand_back(3, Durability.BACKUP)
    rig.kill("b")
    assert_reads(rig, rig.find("a", ID), b"\x03")


@pytest.mark.parametrize(("copies", "durability"), HAND_BACKS)
def test_after_a_hand_back_all_holders_have_the_last_change(
    copies: int, durability: Durability
) -> None:
    rig = hand_back(copies, durability)
    rig.let_go()
    rig.pass_time(1)
    records = [rig.replicas[name].record(ID) for name in "abc"[:copies]]
    assert all(record == records[0] for record in records)
    assert rig.replicas["a"].claims == {"a"}
    assert rig.replicas["b"].claims == {"b"}
    assert_reads(rig, rig.find("c", ID), b"\x03")


# --- Coming first without a loss ---


def behind_a_cut() -> Rig:
    """Return a ring in which c neither reaches a nor is told of changes that a and b keep.

    It has compared with b, before the last change of the session.
    """
    rig = a_ring(copies=2, settings=Settings(suspect_after_s=60))
    rig.cut("a", "c")
    rig.pass_time(3)
    assert holders_of(rig.save("a", ID, {b"cart": b"\x02"})) == ("a", "b")
    for kind in (Changes, Listing, Records, Compared):
        rig.hold_back("b", "c", kind)
    return rig


def test_who_comes_first_in_a_new_ring_hears_the_others_again_before_it_acts() -> None:
    """While a acted, as b sees it, c was no holder and told of nothing."""
    rig = behind_a_cut()
    rig.adopt("b", later("acb"))
    assert_reads(rig, rig.find("c", ID), b"\x02")


def test_who_comes_first_since_another_leaves_hears_the_others_again_before_it_acts() -> None:
    rig = behind_a_cut()
    rig.perform("b", rig.replicas["b"].drain(rig.now))
    rig.run()
    assert_reads(rig, rig.find("c", ID), b"\x02")


def test_who_comes_first_hears_the_others_once_more_when_the_one_who_acts_is_lost() -> None:
    """It has heard d, and waits for b, whose last word only d has."""
    rig = a_ring(copies=3, names="abcd", settings=Settings(suspect_after_s=60))
    rig.kill("a")
    rig.pass_time(1)
    for kind in (Changes, Listing, Records, Compared):
        rig.hold_back("b", "c", kind)
    rig.hold_back("d", "c", Changes)
    rig.adopt("d", evolve(later("acdb"), copies=3))
    assert "a" in rig.replicas["b"].claims
    assert holders_of(rig.save("b", ID, {b"cart": b"\x02"})) == ("b", "d")
    rig.kill("b")
    assert_reads(rig, rig.find("c", ID), b"\x02")
