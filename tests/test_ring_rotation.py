"""Rotation: a session goes on under a new id, wherever whatever of the old one turns up."""

from itertools import pairwise

import msgpack
from replicas import Rig
from samples import WALL_MS

from ring.clock import Stamp
from ring.effects import Persist
from ring.entry import CREATED, ENDED, PRINCIPAL, EndReason, make_entry
from ring.identity import SessionId
from ring.messages import Absent, Changes, Durability, Failed, Failure, Found, Saved
from ring.record import Record
from ring.rotating import Rotation, consequences, rotation_of

OLD = SessionId(b"a." + b"o" * 22)
NEW = SessionId(b"a." + b"n" * 22)
OTHER = SessionId(b"a." + b"m" * 22)
THIRD = SessionId(b"a." + b"t" * 22)
ADA = msgpack.packb("ada")
GUEST = msgpack.packb("guest")


def rotated_rig(names: str = "abc", copies: int = 2) -> Rig:
    """Return a ring in which a session was created, and rotated with a principal."""
    rig = Rig(names, copies)
    rig.create("a", OLD, cart=b"\x01")
    assert isinstance(rig.rotate("a", OLD, NEW, user=ADA).reply, Saved)
    return rig


def kept(number: int) -> Saved:
    """Return the answer to what a and b have, and a's disk."""
    return Saved(number, ("a", "b"), ("a",), degraded=False)


def value(rig: Rig, name: str, session_id: SessionId, key: bytes) -> bytes | None:
    """Return what a node has under a key; None: nothing, or removed."""
    record = rig.replicas[name].record(session_id)
    return record.value(key) if record is not None else None


# --- What a rotation does -------------------------------------------------------------------------


def test_a_session_goes_on_under_its_new_id_with_everything_it_had() -> None:
    rig = rotated_rig()
    found = rig.find("c", NEW).reply
    assert isinstance(found, Found)
    record = Record.from_portable(found.portable, rig.now)
    assert (record.value(b"cart"), record.value(b"user")) == (b"\x01", ADA)
    assert CREATED in record.entries
    assert isinstance(rig.find("c", OLD).reply, Absent)


def test_its_creation_is_not_news() -> None:
    """Else a lifetime would begin anew with each rotation."""
    rig = Rig()
    rig.create("a", OLD)
    created = rig.replicas["a"].record(OLD)
    rig.pass_time(10)
    rig.rotate("a", OLD, NEW)
    record = rig.replicas["a"].record(NEW)
    assert created is not None
    assert record is not None
    assert record.entries[CREATED] == created.entries[CREATED]


def test_its_receipt_names_who_has_both_the_session_and_the_end_of_its_old_id() -> None:
    rig = Rig()
    rig.create("a", OLD, cart=b"\x01")
    rig.hold_back("a", "b", Changes)
    asked = rig.rotate("a", OLD, NEW)
    waited = asked.reply is None
    rig.let_go()
    assert waited
    assert asked.reply == kept(asked.number)
    assert rotation_of(rig.replicas["b"].record(OLD)) is not None
    assert value(rig, "b", NEW, b"cart") == b"\x01"


def test_a_save_on_the_old_id_is_refused_for_good() -> None:
    rig = rotated_rig()
    reply = rig.save("b", OLD, {b"cart": b"\x02"}).reply
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.GONE


def test_the_same_rotation_again_is_the_same_rotation() -> None:
    """Its answer may have been lost; a second one must not lose the session."""
    rig = rotated_rig()
    again = rig.rotate("b", OLD, NEW, user=ADA).reply
    assert isinstance(again, Saved)
    assert not again.degraded
    assert isinstance(rig.find("b", NEW).reply, Found)


def test_the_same_rotation_again_at_who_has_only_the_tombstone_is_the_same_rotation() -> None:
    """Its user would be logged out for good, and the session is alive under the id he was given.

    Cut off from both holders, d has c carry the request out, which asks them for the old id.
    """
    rig = rotated_rig("abcd")
    for other in "ab":
        rig.cut("d", other)
    rig.pass_time(1)
    again = rig.rotate("d", OLD, NEW, user=ADA)
    rig.pass_time(2)
    assert isinstance(again.reply, Saved)
    assert isinstance(rig.find("c", NEW).reply, Found)


def test_another_rotation_of_the_same_id_is_refused() -> None:
    rig = rotated_rig()
    reply = rig.rotate("a", OLD, OTHER).reply
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.GONE
    assert isinstance(rig.find("a", OTHER).reply, Absent)


def test_what_is_unknown_expired_or_deleted_is_not_rotated() -> None:
    rig = Rig()
    rig.create("a", OLD)
    rig.end("a", OLD)
    for session_id in (OLD, THIRD):
        reply = rig.rotate("b", session_id, NEW).reply
        assert isinstance(reply, Failed)
        assert reply.failure is Failure.GONE
    assert rig.replicas["a"].record(NEW) is None


def test_a_rotation_never_changes_the_home() -> None:
    """Else the new id would route to members that have nothing of the session."""
    rig = Rig()
    rig.create("a", OLD)
    for new_id in (OLD, SessionId(b"b." + b"n" * 22)):
        reply = rig.rotate("a", OLD, new_id).reply
        assert isinstance(reply, Failed)
        assert reply.failure is Failure.INVALID
    assert isinstance(rig.find("a", OLD).reply, Found)


# --- On its way -----------------------------------------------------------------------------------


def test_the_tombstone_never_goes_ahead_of_the_new_record() -> None:
    """Else a crash in between leaves a backup with the end of a session that goes on nowhere."""
    rig = Rig()
    rig.create("a", OLD, cart=b"\x01")
    rig.hold_back("a", "b", Changes)
    rig.create("a", THIRD)  # Fills the connection; what follows waits, the old id first.
    rig.save("a", OLD, {b"cart": b"\x02"})
    for number in range(600):
        rig.create("a", SessionId(b"a.%022d" % number), k=bytes(2000))
    rig.rotate("a", OLD, NEW)
    before = len(rig.sent)
    rig.let_go()
    frames = [each for each in rig.sent[before:] if (each.sender, each.receiver) == ("a", "b")]
    ids = [
        part for each in frames if isinstance(each.message, Changes) for part in each.message.flat
    ]
    assert ids.index(NEW) < ids.index(OLD)


def test_the_tombstone_never_lies_on_the_disk_without_the_new_record() -> None:
    """Else a process that is killed in between comes back with neither."""
    rig = Rig("a", copies=1)
    rig.save("a", OLD, {b"cart": b"\x01"}, create=True, durability=Durability.DISK)
    rig.disks["a"].fails = True
    rig.rotate("a", OLD, NEW, durability=Durability.DISK)
    asked_for = [effect.session_id for _, effect in rig.effects if isinstance(effect, Persist)]
    assert asked_for[-1] == NEW
    rig.disks["a"].fails = False
    rig.perform("a", [Persist(NEW)])
    rig.run()
    on_disk = Record.from_portable(rig.disks["a"].content[OLD][0], rig.now)
    assert rotation_of(on_disk) is not None


# --- Late and from elsewhere ----------------------------------------------------------------------


def split_rotated() -> Rig:
    """Return a ring of which a and b rotated a session that c, cut off, goes on writing."""
    rig = Rig("abc", copies=3)
    rig.create("a", OLD, cart=b"\x01", step=b"\x01")
    for other in "ab":
        rig.cut("c", other)
    rig.pass_time(4)
    rig.save("c", OLD, {b"seen": b"\x07"})
    rig.pass_time(1)
    rig.rotate("a", OLD, NEW, user=ADA)
    rig.pass_time(1)
    rig.save("c", OLD, {b"step": b"\x09"})
    return rig


def heal(rig: Rig) -> None:
    """Let c and the others meet again, and come to rest."""
    rig.refused.clear()
    rig.pass_time(15)


def test_changes_of_the_other_side_move_on_whatever_their_stamp() -> None:
    """Older or newer than the rotation: both were acknowledged there, and neither may be lost."""
    rig = split_rotated()
    heal(rig)
    for name in "abc":
        assert value(rig, name, NEW, b"seen") == b"\x07"
        assert value(rig, name, NEW, b"step") == b"\x09"
        assert value(rig, name, NEW, b"user") == ADA
        assert rotation_of(rig.replicas[name].record(OLD)) is not None


def test_reserved_entries_move_only_if_they_are_older_than_the_rotation() -> None:
    """Else who knew the old id could make himself the principal of the new one."""
    rig = split_rotated()
    rig.save("c", OLD, {PRINCIPAL: GUEST})
    heal(rig)
    assert [value(rig, name, NEW, PRINCIPAL) for name in "abc"] == [None] * 3


def test_a_save_that_waits_when_its_session_is_rotated_waits_for_the_new_record() -> None:
    """Its receipt names who has the change, and that is under the new id by now."""
    rig = Rig("ab")
    rig.create("a", OLD)
    rig.hold_back("a", "b", Changes)
    asked = rig.save("a", OLD, {b"cart": b"\x05"})
    rig.rotate("a", OLD, NEW)
    waited = asked.reply is None
    rig.let_go()
    assert waited
    assert asked.reply == kept(asked.number)
    assert value(rig, "b", NEW, b"cart") == b"\x05"


def test_a_deletion_follows_a_rotation() -> None:
    """A logout of the old id means this user, and this user is the one under the new id."""
    rig = rotated_rig()
    asked = rig.end("b", OLD)
    assert asked.reply == kept(asked.number)
    for name in "ab":
        record = rig.replicas[name].record(NEW)
        assert record is not None
        assert record.ended
    assert isinstance(rig.find("c", NEW).reply, Absent)


def test_a_deletion_follows_every_rotation_of_a_chain() -> None:
    rig = rotated_rig()
    rig.rotate("a", NEW, THIRD)
    rig.end("c", OLD)
    assert [isinstance(rig.find("b", each).reply, Absent) for each in (OLD, NEW, THIRD)] == [
        True
    ] * 3


def test_a_deletion_follows_however_many_rotations() -> None:
    """Whoever rotates with every request has hundreds in a day, and a logout means them all."""
    rig = Rig("a", copies=1)
    ids = [SessionId(b"a.%022d" % number) for number in range(500)]
    rig.create("a", ids[0], cart=b"\x01")
    for old, new in pairwise(ids):
        rig.rotate("a", old, new)
    assert isinstance(rig.end("a", ids[0]).reply, Saved)
    assert isinstance(rig.find("a", ids[-1]).reply, Absent)


def test_a_logout_on_the_other_side_of_a_cut_ends_the_new_id_too() -> None:
    """Rotation against logout on two sides: the logout wins, wherever the session has gone."""
    rig = split_rotated()
    rig.end("c", OLD)
    heal(rig)
    for name in "abc":
        record = rig.replicas[name].record(NEW)
        assert record is not None
        assert record.ended
        assert record.entries[ENDED][8] == EndReason.DELETED


def test_of_two_rotations_the_weaker_goes_on_in_the_stronger() -> None:
    """Both users see one session again: what either side wrote is under one id."""
    rig = split_rotated()
    rig.save("a", NEW, {b"mine": b"\x01"})
    rig.rotate("c", OLD, OTHER, theirs=b"\x02")
    heal(rig)
    for name in "abc":
        weaker = rotation_of(rig.replicas[name].record(NEW))
        assert weaker is not None
        assert weaker.new_id == OTHER
        for key, expected in ((b"mine", b"\x01"), (b"theirs", b"\x02"), (b"user", ADA)):
            assert value(rig, name, OTHER, key) == expected


def test_a_tombstone_that_comes_before_its_new_record_loses_nothing() -> None:
    """By comparison they come in any order; what was here goes on at once."""
    ours = Record(whole=True)
    ours.put(b"cart", make_entry(Stamp(5), b"\x01"))
    tombstone = Record()
    tombstone.end(EndReason.ROTATED, "a", Stamp(7), new_id=NEW)
    merged = Record()
    merged.merge(ours)
    merged.merge(tombstone)
    ((new_id, moved),) = consequences(ours, tombstone, merged, 0.0)
    assert new_id == NEW
    assert moved.whole
    assert moved.value(b"cart") == b"\x01"


# --- Members that lie -----------------------------------------------------------------------------


def test_a_tombstone_of_another_home_is_an_end_and_no_more() -> None:
    rig = Rig("ab")
    rig.create("a", OLD, cart=b"\x01")
    abroad = SessionId(b"b." + b"n" * 22)
    rig.deliver(rig.link("b", "a"), "b", Changes([OLD, 1, lie(rig, abroad)]))
    rig.run()
    assert isinstance(rig.find("a", OLD).reply, Absent)
    assert rig.replicas["a"].record(abroad) is None


def test_a_tombstone_of_no_home_at_all_is_an_end_and_no_more() -> None:
    """Where it leads to nobody can look; whoever tried would not survive it."""
    rig = Rig("ab")
    rig.create("a", OLD, cart=b"\x01")
    nowhere = SessionId(b"z." + b"n" * 22)
    rig.deliver(rig.link("b", "a"), "b", Changes([OLD, 1, lie(rig, nowhere)]))
    rig.run()
    assert isinstance(rig.find("a", OLD).reply, Absent)
    reply = rig.rotate("a", OLD, nowhere).reply
    assert isinstance(reply, Failed)
    assert isinstance(rig.end("a", OLD).reply, Saved)


def test_rotations_in_a_circle_end() -> None:
    """A member that lies must not have another one merge for ever."""
    rig = Rig("ab")
    rig.create("a", OLD, cart=b"\x01")
    link = rig.link("b", "a")
    rig.deliver(link, "b", Changes([OLD, 1, lie(rig, NEW)]))
    rig.deliver(link, "b", Changes([NEW, 1, lie(rig, OLD)]))
    fragment = Record()
    fragment.put(b"late", make_entry(Stamp(5), b"\x01"))
    rig.deliver(link, "b", Changes([OLD, 1, fragment.portable(rig.now)]))
    rig.run()
    assert isinstance(rig.find("a", OLD).reply, Absent)


def lie(rig: Rig, new_id: SessionId) -> bytes:
    """Return a tombstone that names ``new_id``, stamped now."""
    tombstone = Record()
    stamp = Stamp((WALL_MS + int(rig.now * 1000)) << 16)
    tombstone.end(EndReason.ROTATED, "b", stamp, new_id=new_id)
    return tombstone.portable(rig.now)


def test_a_story_that_cannot_be_read_is_an_end_and_no_more() -> None:
    record = Record()
    record.put(ENDED, make_entry(Stamp(1), bytes([EndReason.ROTATED]) + b"\x93"))
    assert rotation_of(record) is None
    assert rotation_of(None) is None
    record.end(EndReason.ROTATED, "a", Stamp(9), new_id=NEW)
    assert rotation_of(record) == Rotation(NEW, Stamp(9), "a")


def test_a_change_that_waits_for_the_disk_does_not_take_the_tombstone_there_first() -> None:
    """The old id was marked before it was rotated, and is read when it is written."""
    rig = Rig("ab")
    rig.create("a", OLD, cart=b"\x01")
    rig.disks["a"].stuck = True
    rig.save("a", OLD, {b"cart": b"\x02"})
    rig.rotate("a", OLD, NEW, user=ADA)
    replica = rig.replicas["a"]
    assert replica.persistent(OLD, rig.now) is None
    found = replica.persistent(NEW, rig.now)
    assert found is not None
    rig.disks["a"].stuck = False
    rig.perform("a", replica.on_persisted({NEW: found[0]}, rig.now))
    rig.run()
    assert Record.from_portable(rig.disks["a"].content[OLD][0], rig.now).ended
