"""A node that leaves on purpose: nobody loses, misses or waits for anything."""

import pytest
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session

from ring.identity import LinkId
from ring.liveness import Liveness
from ring.messages import Durability, Failed, Found, Leaving, Members, Save, Saved
from ring.record import Record
from ring.replica import Replica
from ring.settings import Settings

ID = session("a", 7)
OTHER = session("a", 8)


def drain(rig: Rig, name: str) -> Replica:
    """Have a member begin to leave, and let everything follow."""
    replica = rig.replicas[name]
    rig.perform(name, replica.drain(rig.now))
    rig.run()
    return replica


def local(rig: Rig, name: str, value: bytes = b"\x01", *, create: bool = True) -> None:
    """Save with the word of nobody but the acting owner."""
    asked = rig.save(name, ID, {b"cart": value}, create=create, durability=Durability.LOCAL)
    assert isinstance(asked.reply, Saved)


def assert_reads(rig: Rig, asked: Asked, value: bytes = b"\x01") -> None:
    assert isinstance(asked.reply, Found), asked.reply
    assert Record.from_portable(asked.reply.portable, NOW).value(b"cart") == value


def may_leave(rig: Rig, name: str = "a") -> bool:
    return rig.replicas[name].drained


def held_by(rig: Rig) -> str:
    return "".join(name for name, each in rig.replicas.items() if each.record(ID) is not None)


# --- What it comes to ---


@pytest.mark.parametrize(("names", "copies"), [("ab", 2), ("abc", 1), ("abc", 2), ("abcd", 3)])
def test_who_leaves_has_handed_over_what_only_it_had(names: str, copies: int) -> None:
    """A save with the durability ``local`` is not in anybody else's memory when it returns."""
    rig = Rig(names, copies)
    for other in names[1:]:
        rig.hold_back("a", other)
    local(rig, "a")
    replica = rig.replicas["a"]
    rig.perform("a", replica.drain(rig.now))
    rig.run()
    assert not may_leave(rig)
    rig.let_go()
    rig.pass_time(1)
    assert may_leave(rig)
    assert rig.replicas["b"].claims == {"a", "b"}
    rig.kill("a")
    for name in names[1:]:
        assert_reads(rig, rig.find(name, ID))


def test_whoever_stays_answers_without_a_pause_while_it_is_not_known_that_the_node_is_gone() -> (
    None
):
    """They were compared with it, so that it may know nothing which they do not."""
    rig = Rig("abc")
    local(rig, "a")
    drain(rig, "a")
    rig.pass_time(1)
    assert may_leave(rig)
    rig.stalled |= {("b", "a"), ("c", "a")}
    rig.kill("a")
    assert rig.replicas["b"].liveness["a"] is Liveness.UNDETERMINED
    for name in "bc":
        assert_reads(rig, rig.find(name, ID))
        asked = rig.save(name, ID, {name.encode(): b"\x02"})
        assert isinstance(asked.reply, Saved)
        assert not asked.reply.degraded
    assert isinstance(rig.find("b", OTHER).reply, type(rig.find("c", OTHER).reply))


def test_it_does_not_leave_before_the_next_owner_has_heard_that_it_acts_no_more() -> None:
    """Else the next owner still has to compare with it when it is gone, and waits for it."""
    rig = Rig("abc")
    local(rig, "a")
    replica = rig.replicas["a"]
    rig.perform("a", replica.drain(rig.now))
    rig.run(until=lambda: not replica.claims)
    rig.hold_back("b", "a")
    rig.pass_time(0.5)
    assert rig.replicas["a"].undrained() == {"requests": 0, "homes": 0, "sessions": 0}
    assert not may_leave(rig)
    rig.let_go()
    rig.pass_time(1)
    assert may_leave(rig)


def test_it_serves_until_another_has_taken_over_and_forwards_then() -> None:
    rig = Rig("abc")
    local(rig, "a")
    rig.hold_back("b", "a")
    drain(rig, "a")
    assert rig.replicas["a"].claims == {"a"}
    asked = rig.find("a", ID)
    rig.let_go()
    assert_reads(rig, asked)
    assert rig.replicas["a"].claims == frozenset()
    for name in "abc":
        assert_reads(rig, rig.find(name, ID))
    asked = rig.save("a", ID, {b"cart": b"\x03"})
    assert isinstance(asked.reply, Saved)
    assert set(asked.reply.holders) == {"b", "c"}
    assert_reads(rig, rig.find("a", ID), b"\x03")


def test_it_counts_as_no_copy_any_more() -> None:
    """What is written while it leaves has its copies where they stay."""
    rig = Rig("abcd", copies=2)
    rig.hold_back("b", "a")
    drain(rig, "a")
    asked = rig.save("a", ID, {b"cart": b"\x01"}, create=True)
    assert isinstance(asked.reply, Saved)
    assert not asked.reply.degraded
    assert held_by(rig) == "abc"


def test_what_is_created_meanwhile_gets_another_home() -> None:
    rig = Rig("abc")
    replica = rig.replicas["a"]
    assert replica.home_for_new() == "a"
    rig.kill("b")
    drain(rig, "a")
    assert replica.home_for_new() == "c"
    asked = rig.save("a", session("c", 1), {b"x": b"\x01"}, create=True)
    assert isinstance(asked.reply, Saved)


def test_it_tells_its_clients_and_whoever_becomes_one() -> None:
    rig = Rig("ab")
    replica = rig.replicas["a"]
    early, late = LinkId(901), LinkId(902)
    replica.on_accepted(early, None, rig.now)
    assert isinstance(replica.take(early, rig.now), Members)
    assert replica.take(early, rig.now) is None
    drain(rig, "a")
    assert isinstance(replica.take(early, rig.now), Leaving)
    replica.on_accepted(late, None, rig.now)
    assert isinstance(replica.take(late, rig.now), Members)
    assert isinstance(replica.take(late, rig.now), Leaving)


def test_it_waits_for_the_answers_that_it_owes() -> None:
    rig = Rig("ab")
    rig.hold_back("b", "a")
    asked = rig.create("a", ID, cart=b"\x01")
    assert asked.waits
    replica = drain(rig, "a")
    assert replica.undrained()["requests"] == 1
    rig.let_go()
    rig.pass_time(0.75)
    assert isinstance(asked.reply, Saved)
    assert may_leave(rig)
    assert replica.undrained() == {"requests": 0, "homes": 0, "sessions": 0}


# --- With faults ---


def test_the_receiver_crashes_meanwhile() -> None:
    """The next one in line receives everything instead."""
    rig = Rig("abcd", copies=2)
    rig.hold_back("a", "b")
    rig.hold_back("a", "c")
    rig.hold_back("a", "d")
    local(rig, "a")
    drain(rig, "a")
    rig.let_go()
    rig.kill("b")
    rig.pass_time(1)
    assert may_leave(rig)
    assert "a" in rig.replicas["c"].claims
    assert held_by(rig) == "acd"
    rig.kill("a")
    assert_reads(rig, rig.find("d", ID))


def test_the_receiver_crashes_when_it_has_everything() -> None:
    """The other members were compared with when they were no holders: they are to hold now."""
    rig = Rig("abcd", copies=1)
    local(rig, "a")
    drain(rig, "a")
    rig.pass_time(1)
    assert may_leave(rig)
    assert held_by(rig) == "ab"
    rig.hold_back("a", "c")
    rig.kill("b")
    rig.pass_time(0.5)
    assert not may_leave(rig)
    rig.let_go()
    rig.pass_time(1)
    assert may_leave(rig)
    assert held_by(rig) == "ac"


def test_the_next_receiver_cannot_reach_it() -> None:
    """So it has to be sent everything: it cannot fetch that by itself, and cannot say so."""
    rig = Rig("abcd", copies=1)
    local(rig, "a")
    rig.cut("a", "c")
    rig.heal("a", "c")
    drain(rig, "a")
    rig.pass_time(1)
    assert held_by(rig) == "ab"
    rig.kill("b")
    rig.pass_time(1)
    assert may_leave(rig)
    assert held_by(rig) == "ac"


def test_it_crashes_before_it_is_done() -> None:
    """What was acknowledged undegraded has another holder, and that is enough."""
    rig = Rig("abc")
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    drain(rig, "a")
    rig.kill("a")
    rig.pass_time(1)
    for name in "bc":
        assert_reads(rig, rig.find(name, ID))


def test_a_home_settles_meanwhile() -> None:
    """Nobody can take over before; the node that leaves goes on acting until then."""
    rig = Rig("abc")
    local(rig, "a")
    rig.kill("b")
    rig.hold_back("c", "b")
    rig.start("b", disk=False)
    assert not rig.is_ready("b")
    replica = drain(rig, "a")
    rig.pass_time(1)
    assert replica.claims == {"a"}
    assert not may_leave(rig)
    assert_reads(rig, rig.find("c", ID))
    rig.let_go()
    rig.pass_time(1)
    assert may_leave(rig)
    rig.kill("a")
    assert_reads(rig, rig.find("b", ID))


def test_a_member_returns_meanwhile() -> None:
    rig = Rig("abc", copies=3)
    rig.kill("b")
    local(rig, "a")
    rig.hold_back("a", "c")
    drain(rig, "a")
    rig.start("b", disk=False)
    rig.let_go()
    rig.pass_time(1)
    assert may_leave(rig)
    assert held_by(rig) == "acb"
    assert "a" in rig.replicas["b"].claims
    rig.kill("a", "c")
    rig.pass_time(1)
    assert_reads(rig, rig.find("b", ID))


def test_a_node_that_is_not_ready_leaves_what_it_has_with_the_others() -> None:
    rig = Rig("abc")
    rig.cut("a", "b")
    rig.cut("a", "c")
    local(rig, "a", b"\x02")
    rig.kill("a")
    rig.refused.clear()
    rig.stalled |= {("b", "a"), ("a", "b")}
    rig.begin("a")
    rig.run()
    assert not rig.is_ready("a")
    drain(rig, "a")
    rig.pass_time(0.5)
    assert not may_leave(rig)
    rig.stalled.clear()
    rig.pass_time(1)
    assert may_leave(rig)
    rig.kill("a")
    rig.pass_time(1)
    assert_reads(rig, rig.find("c", ID), b"\x02")


def test_nobody_is_there() -> None:
    rig = Rig("abc")
    rig.kill("b", "c")
    local(rig, "a")
    replica = drain(rig, "a")
    assert may_leave(rig)
    assert replica.claims == {"a", "b", "c"}
    assert_reads(rig, rig.find("a", ID))


def test_all_leave_at_once() -> None:
    """Nobody hands over to who leaves as well: everybody goes on, and the disks keep it all."""
    rig = Rig("abc")
    local(rig, "a")
    for name in "abc":
        rig.perform(name, rig.replicas[name].drain(rig.now))
    rig.run()
    rig.pass_time(1)
    for name in "abc":
        assert may_leave(rig, name)
        assert rig.replicas[name].claims == {name}
        assert_reads(rig, rig.find(name, ID))


def test_two_leave_and_one_stays() -> None:
    rig = Rig("abc")
    local(rig, "a")
    drain(rig, "b")
    drain(rig, "a")
    rig.pass_time(1)
    assert may_leave(rig)
    assert may_leave(rig, "b")
    assert rig.replicas["c"].claims == {"a", "b", "c"}
    rig.kill("a", "b")
    assert_reads(rig, rig.find("c", ID))


def test_what_cannot_be_handed_over_is_counted() -> None:
    rig = Rig("abc", settings=Settings(suspect_after_s=1e6))
    local(rig, "a")
    rig.hold_back("b", "a")
    rig.hold_back("c", "a")
    replica = drain(rig, "a")
    rig.pass_time(1)
    assert not may_leave(rig)
    undrained = replica.undrained()
    assert undrained["homes"] == 1
    assert undrained["sessions"] >= 1


def test_who_was_told_is_not_asked_any_more_before_the_node_leaves() -> None:
    """A request that was on its way when the node stopped would be lost."""
    rig = Rig("abc")
    local(rig, "a")
    rig.hold_back("a", "c", Saved)
    asked = rig.ask(
        "c", lambda n: Save(n, ID, False, ((b"x", b"\x01"),), Durability.LOCAL, False, False)
    )
    drain(rig, "a")
    rig.pass_time(0.75)
    assert not may_leave(rig)
    rig.let_go()
    rig.pass_time(1)
    assert isinstance(asked.reply, Saved)
    assert may_leave(rig)
    assert not isinstance(rig.find("c", ID).reply, Failed)


def test_one_that_leaves_and_still_acts_hears_of_what_is_written_beyond_a_cut() -> None:
    """a acts, too, and c does not see it. Without b's passing it on, c answers from what it had."""
    rig = Rig("abc", copies=3)
    ours = session("c", 7 << 90)
    rig.create("c", ours, cart=b"\x01")
    rig.cut("a", "c")
    rig.perform("c", rig.replicas["c"].drain(rig.now))
    rig.pass_time(1)
    assert isinstance(rig.save("a", ours, {b"cart": b"\x02"}).reply, Saved)
    record = rig.replicas["c"].record(ours)
    assert record is not None
    assert record.value(b"cart") == b"\x02"
