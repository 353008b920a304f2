"""A member's life: it starts, recovers from the others, is ready, and takes over from the lost."""

import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from replicas import Rig
from samples import IDS, NOW, WALL_MS, ring_of, session

from ring.clock import Clock, Stamp
from ring.effects import Dial, Notice, Wake
from ring.entry import make_entry
from ring.errors import RecordFormatError, UnknownMemberError
from ring.identity import LinkId
from ring.liveness import Liveness
from ring.messages import Absent, Compare, Failed, Failure, Found, Members, Saved, Status
from ring.record import Record
from ring.replica import Replica
from ring.settings import Settings

ID = IDS[0]


def a_replica(names: str = "abc", name: str = "a", settings: Settings | None = None) -> Replica:
    clock = Clock(WALL_MS, NOW)
    return Replica(ring_of(names), name, settings or Settings(), clock, Random(1), True)


def value_of(reply: object, key: bytes = b"cart") -> bytes | None:
    """Return what a find found under a key."""
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(key)


# --- Starting ---


def test_a_name_that_is_not_in_the_ring_is_refused() -> None:
    with pytest.raises(UnknownMemberError, match="no member 'z'"):
        a_replica(name="z")


def test_a_member_dials_its_successor_first() -> None:
    """It is the one that has the newest state of the member's own sessions."""
    effects = a_replica("abcd", "c").start(NOW)
    assert [each.peer for each in effects if isinstance(each, Dial)] == ["d", "a", "b"]


def test_a_ring_of_one_is_ready_at_once() -> None:
    rig = Rig("a")
    assert rig.is_ready("a")
    assert rig.replicas["a"].claims == {"a"}
    assert rig.replicas["a"].settled
    assert rig.notices("ready_alone") == []


def test_members_that_start_together_are_ready_and_act_for_their_own_homes() -> None:
    rig = Rig("abcd")
    for name, replica in rig.replicas.items():
        assert replica.ready
        assert replica.settled
        assert replica.claims == {name}
        assert set(replica.liveness.values()) == {Liveness.UP}


def test_a_member_is_ready_only_when_everybody_has_synced() -> None:
    """Only then may the next one be restarted: it has been refilled by its neighbours."""
    rig = Rig()
    rig.create("c", session("c", 1), cart=b"\x01")
    rig.kill("a")
    rig.hold_back("b", "a")
    rig.start("a", disk=False)
    rig.pass_time(1)
    assert not rig.is_ready("a")
    assert rig.notices("ready").count("a") == 1
    rig.let_go()
    assert rig.is_ready("a")
    assert rig.notices("ready").count("a") == 2
    assert rig.replicas["a"].counts() == {"a": 0, "b": 0, "c": 1}


def test_alone_a_member_waits_for_the_others_then_goes_on_and_alarms() -> None:
    """Its own disk may be old: somebody who knows more may be about to start."""
    rig = Rig(start="a")
    rig.pass_time(9.5)
    assert not rig.is_ready("a")
    rig.pass_time(1)
    assert rig.is_ready("a")
    assert rig.notices("ready_alone") == ["a"]
    assert rig.replicas["a"].claims == {"a", "b", "c"}


def test_a_member_that_starts_beside_a_ready_one_waits_for_nobody_else() -> None:
    rig = Rig()
    rig.kill("a")
    rig.kill("c")
    rig.start("a")
    rig.pass_time(0.5)
    assert rig.is_ready("a")
    assert rig.notices("ready_alone") == []


def test_members_of_which_none_was_ready_wait_for_the_missing_one() -> None:
    """A cold start: the third disk may be the newest."""
    rig = Rig(start="ab")
    rig.pass_time(9)
    assert not rig.is_ready("a")
    assert not rig.is_ready("b")
    rig.start("c")
    assert rig.is_ready("a", "b", "c")
    assert rig.notices("ready_alone") == []


def test_the_own_home_is_compared_with_the_successor_first() -> None:
    rig = Rig("abcd", copies=3)
    rig.create("c", session("c", 1), cart=b"\x01")
    rig.kill("c")
    rig.sent.clear()
    rig.start("c", disk=False)
    own = [
        each.receiver
        for each in rig.sent
        if each.sender == "c" and isinstance(each.message, Compare) and each.message.home == "c"
    ]
    assert own[:3] == ["d", "a", "b"]


# --- The disk ---


def test_what_is_loaded_is_held_but_not_served_before_the_others_were_heard() -> None:
    """A restarted node never answers an older state than a live member has: recovery first."""
    rig = Rig(start="a")
    replica = rig.replicas["a"]
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), b"\x01"))
    record.make_whole()
    assert replica.load(ID, record.portable(NOW), 0.0, NOW)
    assert replica.record(ID) == record
    assert replica.session_ids() == [ID]
    assert rig.find("a", ID).reply is None
    assert replica.read(ID, False, NOW) == (None, [])


def test_an_old_disk_never_answers() -> None:
    """The successor lives and has the newer state. Source: the project's promise 7."""
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    old = dict(rig.disks["a"].content)
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.kill("a")
    rig.save("b", ID, {b"cart": b"\x03"})
    rig.disks["a"].content = old
    rig.hold_back("b", "a")
    rig.start("a")
    asked = rig.find("a", ID)
    assert asked.waits
    rig.let_go()
    assert value_of(asked.reply) == b"\x03"
    assert value_of(rig.find("a", ID).reply) == b"\x03"


def test_an_ended_session_does_not_come_back_from_an_old_disk() -> None:
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    assert isinstance(rig.end("b", ID).reply, Saved)
    rig.start("a")
    assert isinstance(rig.find("a", ID).reply, Absent)
    assert isinstance(rig.find("b", ID).reply, Absent)


def test_a_whole_ring_restarts_from_its_disks() -> None:
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    for name in "abc":
        rig.kill(name)
    for name in "bca":
        rig.begin(name)
    rig.run()
    assert value_of(rig.find("c", ID).reply) == b"\x01"


def test_a_stored_session_of_another_ring_is_left_alone() -> None:
    replica = a_replica()
    assert not replica.load(session("z", 1), b"\x02\x90", 0.0, NOW)
    assert replica.session_ids() == []


@pytest.mark.parametrize("stored", [b"", b"garbage", b"\x00\x90", b"\x02\x90"])
def test_what_is_stored_and_not_a_record_is_reported_by_the_one_error(stored: bytes) -> None:
    replica = a_replica()
    with pytest.raises(RecordFormatError):
        replica.load(ID, stored, 0.0, NOW)
    assert replica.record(ID) is None


def test_on_loading_a_session_grows_older_by_the_absence() -> None:
    replica, record = a_replica(), Record()
    record.touch(Stamp(5), NOW - 7)
    replica.load(ID, record.portable(NOW), 100.0, NOW + 100)
    loaded = replica.record(ID)
    assert loaded is not None
    assert loaded.accessed_at == pytest.approx(NOW - 7)


def test_a_write_is_stamped_above_everything_that_was_loaded() -> None:
    """Else a clock that is behind would write changes that lose against old ones."""
    rig = Rig("a", start="")
    late, record = Stamp(WALL_MS + 60_000 << 16), Record()
    record.put(b"cart", make_entry(late, b"\x01"))
    record.make_whole()
    rig.disks["a"].content[ID] = (record.portable(NOW), NOW)
    rig.start("a")
    assert isinstance(rig.save("a", ID, {b"cart": b"\x02"}).reply, Saved)
    assert value_of(rig.find("a", ID).reply) == b"\x02"


def test_a_store_is_told_to_delete_what_is_gone() -> None:
    assert a_replica().persistent(ID, NOW) == (0, None)


# --- Taking over ---


def test_the_successor_of_a_lost_member_answers_at_once() -> None:
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    assert rig.replicas["b"].claims == {"a", "b"}
    assert value_of(rig.find("b", ID).reply) == b"\x01"
    assert value_of(rig.find("c", ID).reply) == b"\x01"


def test_after_the_loss_of_one_the_next_holds_what_it_lacked() -> None:
    """Two losses, each after the ring had settled, lose nothing with two copies."""
    rig = Rig("abcd")
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(1)
    rig.kill("b")
    assert value_of(rig.find("d", ID).reply) == b"\x01"


def test_a_home_is_handed_back_when_its_owner_has_recovered() -> None:
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.save("b", ID, {b"cart": b"\x02"})
    rig.start("a", disk=False)
    assert rig.replicas["a"].claims == {"a"}
    assert rig.replicas["b"].claims == {"b"}
    assert rig.notices("handed_back") == ["b"]
    assert value_of(rig.find("a", ID).reply) == b"\x02"


def test_claims_are_told_when_they_change_and_at_every_heartbeat() -> None:
    rig = Rig()
    rig.kill("a")
    told = [each.message for each in rig.sent if (each.sender, each.receiver) == ("b", "c")]
    last = [each for each in told if isinstance(each, Status)][-1]
    assert last.claims == ("a", "b")
    rig.sent.clear()
    rig.pass_time(1)
    beats = [each.message for each in rig.sent if (each.sender, each.receiver) == ("b", "c")]
    own = [each for each in beats if isinstance(each, Status) and not each.echo]
    assert [each.claims for each in own] == [("a", "b")] * 2
    assert len({each.version for each in [last, *own]}) == 1


def test_a_client_that_dials_is_told_the_ring_first() -> None:
    """So that it can route by id."""
    replica = a_replica("ab")
    replica.start(NOW)
    assert replica.on_accepted(LinkId(1), None, NOW) == [Wake(LinkId(1))]
    assert replica.take(LinkId(1), NOW) == Members("rig", ("a", "b"), ("a:1", "b:1"))
    assert replica.take(LinkId(1), NOW) is None


# --- Determinism ---

STORY = """
from replicas import Rig
from samples import session

rig = Rig("abcde", copies=4)
for number in range(12):
    rig.hold_back("b", "a")
    home = "abcde"[number % 5]
    rig.create(home, session(home, number << 100), cart=b"x", color=b"y")
    rig.let_go()
for name in "bcd":
    rig.hold_back(name, "a")
rig.save("a", session("a", 0), {b"cart": b"z", b"color": b"z", b"third": b"z"})
rig.reset("a", "b")
rig.let_go()
rig.kill("c")
rig.find("d", session("c", 77))
rig.start("c", disk=False)
rig.pass_time(70)
print(rig.effects, rig.sent)
"""


def test_the_same_inputs_have_the_same_effects_in_every_process() -> None:
    """Whatever the order of sets there: else no seed of a simulation could be replayed."""
    told = set[str]()
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", STORY],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(map(str, sys.path))},
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
        told.add(done.stdout)
    assert len(told) == 1
    assert len(told.pop()) > 10_000


# --- Time ---


def test_a_heartbeat_is_due_from_the_start() -> None:
    replica = a_replica()
    replica.start(NOW)
    assert replica.next_due(NOW) == NOW + 0.5
    assert replica.on_tick(NOW + 0.4) == []
    replica.on_tick(NOW + 0.5)
    assert replica.next_due(NOW + 0.5) == NOW + 1.0


def test_a_save_to_a_ring_of_strangers_fails_for_the_right_reason() -> None:
    """An id of another ring is nobody's session here."""
    rig = Rig()
    stranger = session("z", 1)
    assert isinstance(rig.find("a", stranger).reply, Absent)
    reply = rig.save("a", stranger, {b"cart": b"\x01"}, create=True).reply
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.GONE
    assert isinstance(rig.end("a", stranger).reply, Saved)
    assert all(stranger not in replica.session_ids() for replica in rig.replicas.values())
    assert not [e for _, e in rig.effects if isinstance(e, Notice) and stranger.decode() in str(e)]
