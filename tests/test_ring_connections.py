"""Connections of members: when one is up, down or in question, and whose word counts."""

from random import Random

from replicas import Rig
from samples import IDS, NOW, WALL_MS, ring_of

from ring.clock import Clock, Stamp
from ring.effects import Close, Dial
from ring.identity import LinkId
from ring.liveness import Liveness
from ring.messages import Changes, Durability, Found, Saved, Status
from ring.record import Record
from ring.replica import Replica
from ring.settings import Settings

ID = IDS[0]
DAY_S = 86_400.0


def a_replica(names: str) -> Replica:
    return Replica(ring_of(names), "a", Settings(), Clock(WALL_MS, NOW), Random(1), True)


def value_of(reply: object, key: bytes = b"cart") -> bytes | None:
    """Return what a find found under a key."""
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(key)


def test_a_member_that_is_silent_for_too_long_is_dialled_again() -> None:
    """A stopped process keeps its connections open."""
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    rig.hold_back("a", "c")
    for pair in (("b", "a"), ("c", "a")):
        rig.refused.add(pair)
    rig.pass_time(4)
    assert rig.replicas["b"].liveness["a"] is Liveness.DOWN
    assert value_of(rig.find("b", ID).reply) == b"\x01"


def test_a_dial_that_fails_while_the_member_is_up_changes_nothing() -> None:
    rig = Rig()
    assert rig.replicas["a"].on_unreachable("b", NOW) == []
    assert rig.replicas["a"].liveness["b"] is Liveness.UP


def test_a_second_connection_to_a_member_replaces_the_first_and_asks_for_no_third() -> None:
    """Else a driver that does as it is told would dial for ever."""
    rig = Rig()
    replica, first = rig.replicas["a"], rig.link("a", "b").dialled
    effects = replica.on_linked("b", LinkId(99), NOW)
    effects += replica.on_message(LinkId(99), Status(Stamp(1), True, False, 0, (), False), NOW)
    assert not [each for each in effects if isinstance(each, Dial)]
    assert replica.liveness["b"] is Liveness.UP
    assert replica.take(first, NOW) is None
    assert replica.take(LinkId(99), NOW) is not None


def test_a_member_is_up_with_its_first_word_and_not_before() -> None:
    """A connection alone says nothing of what is at its other end."""
    replica = a_replica("ab")
    replica.start(NOW)
    replica.on_linked("b", LinkId(1), NOW)
    assert replica.liveness == {"b": Liveness.UNDETERMINED}
    replica.on_message(LinkId(1), Status(Stamp(1), False, False, 0, (), False), NOW)
    assert replica.liveness == {"b": Liveness.UP}


def test_a_member_that_hangs_up_before_its_first_word_is_as_it_was() -> None:
    """Nothing was learned of it."""
    replica = a_replica("ab")
    replica.start(NOW)
    replica.on_linked("b", LinkId(1), NOW)
    assert Dial("b") in replica.on_closed(LinkId(1), NOW)
    assert replica.liveness == {"b": Liveness.UNDETERMINED}
    replica.on_unreachable("b", NOW)
    replica.on_linked("b", LinkId(2), NOW)
    replica.on_closed(LinkId(2), NOW)
    assert replica.liveness == {"b": Liveness.DOWN}


def test_a_member_that_never_says_a_word_is_down_after_a_while() -> None:
    """It accepts connections, and nothing more: a stopped process does."""
    rig = Rig(start="ab")
    rig.backs_off = True
    for name in "ab":
        rig.hold_back("c", name)
    rig.begin("c")
    rig.pass_time(5)
    assert rig.replicas["a"].liveness["c"] is Liveness.DOWN
    rig.pass_time(10)
    assert rig.replicas["b"].liveness["c"] is Liveness.DOWN


def test_a_newer_connection_of_a_member_closes_its_older_one() -> None:
    rig = Rig()
    first = rig.link("b", "a").accepted
    rig.perform("a", rig.replicas["a"].on_accepted(LinkId(99), "b", NOW))
    rig.run()
    assert rig.replicas["a"].take(first, NOW) is None
    assert rig.replicas["a"].liveness["b"] is Liveness.UP


def test_what_comes_on_a_connection_that_is_over_no_longer_counts() -> None:
    rig = Rig()
    status = Status(Stamp(1), True, True, 9, ("a", "b", "c"), False)
    assert rig.replicas["a"].on_message(LinkId(99), status, NOW) == []
    assert rig.replicas["a"].on_closed(LinkId(99), NOW) == []
    assert rig.replicas["a"].take(LinkId(99), NOW) is None


def test_a_caller_that_this_node_has_reached_is_not_dialled_again() -> None:
    """Both dial at once at every start: one connection for each direction is enough."""
    replica = a_replica("ab")
    replica.start(NOW)
    replica.on_linked("b", LinkId(1), NOW)
    replica.on_accepted(LinkId(2), "b", NOW)
    effects = replica.on_message(LinkId(2), Status(Stamp(1), False, False, 0, (), False), NOW)
    assert Dial("b") not in effects


def test_a_caller_that_this_node_has_not_reached_is_dialled_at_once() -> None:
    replica = a_replica("ab")
    replica.start(NOW)
    replica.on_unreachable("b", NOW)
    assert Dial("b") not in replica.on_accepted(LinkId(2), "b", NOW)
    effects = replica.on_message(LinkId(2), Status(Stamp(1), False, False, 0, (), False), NOW)
    assert Dial("b") in effects
    assert replica.liveness == {"b": Liveness.UNDETERMINED}


# --- Whose word cannot be used ---


def test_a_member_whose_word_is_refused_is_down_and_stays_so() -> None:
    """It would come and go for ever, and nobody could take over from anybody meanwhile."""
    rig = Rig(start="ab")
    rig.pass_time(11)
    rig.backs_off = True
    rig.create("a", ID, cart=b"\x01")
    rig.begin("c", ahead_s=DAY_S + 3600)
    for _ in range(10):
        rig.pass_time(0.5)
        assert rig.replicas["b"].liveness["c"] is Liveness.DOWN
    assert any("clock" in each.reason for _, each in rig.effects if isinstance(each, Close))
    rig.kill("a")
    rig.pass_time(1)
    assert rig.replicas["b"].claims == {"a", "b", "c"}
    assert value_of(rig.find("b", ID).reply) == b"\x01"
    rig.begin("a")
    rig.pass_time(15)
    assert rig.is_ready("a")
    assert value_of(rig.find("a", ID).reply) == b"\x01"


def test_a_member_that_refuses_everybody_serves_nothing_of_its_own() -> None:
    """Its clock is a day behind and its disk is old: the one that does not serve yet stays out."""
    # Its store would be refused at once, were it not for so wide a bound.
    rig = Rig(settings=Settings(clock_bound_s=1e6))
    rig.create("a", ID, cart=b"\x01")
    old = dict(rig.disks["a"].content)
    saved = rig.save("a", ID, {b"cart": b"\x02"}, durability=Durability.BACKUP_AND_DISK)
    assert isinstance(saved.reply, Saved)
    rig.kill("a")
    rig.disks["a"].content = old
    rig.backs_off = True
    rig.begin("a", ahead_s=-DAY_S - 3600)
    rig.pass_time(30)
    assert not rig.is_ready("a")
    asked, elsewhere = rig.find("a", ID), rig.find("b", ID)
    rig.pass_time(rig.settings.request_timeout_s + 1)
    assert not isinstance(asked.reply, Found)
    assert value_of(elsewhere.reply) == b"\x02"


def test_a_member_that_always_sends_garbage_stops_nobody() -> None:
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.backs_off = True
    for _ in range(5):
        rig.deliver(rig.link("c", "b"), "c", Changes([ID, 0, b"garbage"]))
        rig.run()
        rig.pass_time(0.5)
    rig.kill("a")
    rig.pass_time(1)
    assert "a" in rig.replicas["b"].claims
    assert value_of(rig.find("b", ID).reply) == b"\x01"


# --- Words of another life ---


def test_a_late_word_of_a_dead_process_does_not_count_for_its_next_life() -> None:
    """A connection may deliver what was under way after the new process has called."""
    rig = Rig()
    rig.backs_off = True
    replica = rig.replicas["b"]
    old_in, old_out = rig.link("a", "b").accepted, rig.link("b", "a").dialled
    version = replica._core.view.peers["a"].claims_version
    late = Status(Stamp(1), True, True, version, ("a",), False)
    rig.perform("b", replica.on_closed(old_out, rig.now))
    rig.perform("b", replica.on_unreachable("a", rig.now))
    rig.run()
    rig.now += 1
    life = Clock(WALL_MS + int(rig.now * 1000), rig.now)
    life.observe(replica._core.clock.last)
    first = life.tick(rig.now)
    replica.on_linked("a", LinkId(901), rig.now)
    replica.on_message(LinkId(901), Status(first, False, False, first, (), True), rig.now)
    assert "a" in replica.claims
    replica.on_message(old_in, late, rig.now)
    assert "a" in replica.claims
    replica.on_accepted(LinkId(903), "a", rig.now)
    second = life.tick(rig.now)
    replica.on_message(LinkId(903), Status(second, True, True, second, ("a",), False), rig.now)
    assert "a" not in replica.claims


def test_the_claims_of_a_later_life_count_above_those_of_an_earlier() -> None:
    rig = Rig("ab")
    before = rig.replicas["b"]._core.view.peers["a"].claims_version
    rig.kill("a")
    rig.pass_time(0.5)
    rig.start("a")
    assert rig.replicas["b"]._core.view.peers["a"].claims_version > before
