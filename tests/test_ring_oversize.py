"""What outgrows a frame stays where it is, and stops no link, no node and no other session.

Two sides of a cut may together make of a session more than either would let a client write; and
ids are chosen by whoever creates sessions, so one bucket may hold a great many.
"""

import msgpack
import pytest
from replicas import Rig
from samples import IDS, NOW, session

from ring.clock import Stamp
from ring.effects import Close
from ring.entry import ENTRIES_MAX, make_entry
from ring.identity import LinkId
from ring.messages import Changes, Failed, Failure, Find, Found, Listing, Message, Saved
from ring.packed import SENDABLE_BYTES_MAX, is_sendable
from ring.record import Record
from wire.codec import encode

ID = IDS[0]
OTHER = IDS[1]


def feed(rig: Rig, sender: str, receiver: str, entries: dict[bytes, bytes]) -> None:
    """Have a member send entries of the session, as a frame that is legal by itself."""
    stamp = Stamp(rig.replicas[receiver]._core.clock.last + 1)
    flat = [part for key in sorted(entries) for part in (key, make_entry(stamp, entries[key]))]
    rig.deliver(rig.link(sender, receiver), sender, Changes([ID, 1, b"\x00" + msgpack.packb(flat)]))
    rig.run()
    rig.pass_time(0.5)


def a_ring() -> Rig:
    """Return a ring in which a has a session of 1.5 MB that it was sent piece by piece."""
    rig = Rig("abc", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    for number in range(6):
        feed(rig, "c", "a", {b"large-%d" % number: bytes(250_000)})
    record = rig.replicas["a"].record(ID)
    assert record is not None
    assert not is_sendable(record.portable(NOW))
    return rig


def assert_sendable(messages: list[Message]) -> None:
    """Demand that the wire takes all of these."""
    for message in messages:
        assert len(encode(message)) <= 1 << 20


def test_nothing_that_is_sent_outgrows_a_frame() -> None:
    rig = a_ring()
    rig.kill("b")
    rig.start("b", disk=False)
    rig.pass_time(10)
    rig.find("b", ID)
    assert_sendable([each.message for each in rig.sent])
    assert "a" in rig.notices("session_outgrew_frames")


def test_the_other_sessions_go_on() -> None:
    rig = a_ring()
    saved = rig.save("c", OTHER, {b"cart": b"\x02"}).reply
    assert isinstance(saved, Saved)
    assert not saved.degraded
    rig.kill("b")
    rig.start("b", disk=False)
    assert rig.replicas["b"].record(OTHER) == rig.replicas["a"].record(OTHER)
    # Two comparisons that cannot be finished are given up, one after the other.
    rig.pass_time(14)
    assert rig.is_ready("b")


def test_its_owner_serves_it_and_others_are_told_why_they_cannot() -> None:
    rig = a_ring()
    assert isinstance(rig.find("a", ID).reply, Found)
    link = LinkId(900)
    replica = rig.replicas["a"]
    replica.on_accepted(link, None, rig.now)
    replica.take(link, rig.now)
    replica.on_message(link, Find(1, ID, False, False), rig.now)
    reply = replica.take(link, rig.now)
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.TOO_LARGE
    forwarded = rig.find("c", ID).reply
    assert isinstance(forwarded, Failed)
    assert forwarded.failure is Failure.TOO_LARGE


def test_it_may_be_made_smaller_and_then_travels_again() -> None:
    rig = a_ring()
    assert isinstance(rig.save("a", ID, {b"more": b"\x01"}).reply, Failed)
    rig.save("a", ID, {b"large-%d" % number: None for number in range(5)})
    rig.pass_time(1)
    record = rig.replicas["a"].record(ID)
    assert record is not None
    assert is_sendable(record.portable(NOW))
    rig.reset("a", "b")
    rig.pass_time(1)
    assert rig.replicas["b"].record(ID) == record


@pytest.mark.parametrize("number", [ENTRIES_MAX - 2, ENTRIES_MAX + 100])
def test_more_entries_than_a_record_may_have_end_no_innocent_link(number: int) -> None:
    """Legal pieces make it; whoever merged them must not be taken for the one at fault."""
    rig = Rig("abc", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    rig.backs_off = True
    half = number // 2
    for first in (0, half):
        feed(rig, "c", "a", {b"%d" % each: b"\x01" for each in range(first, first + half)})
    rig.kill("b")
    rig.effects.clear()
    rig.begin("b", disk=False)
    rig.pass_time(10)
    assert [name for name, each in rig.effects if isinstance(each, Close)] == []
    assert rig.is_ready("b")
    assert rig.replicas["b"].record(OTHER) == rig.replicas["a"].record(OTHER)


def test_the_largest_record_that_is_sendable_fits_into_every_frame() -> None:
    record = Record()
    for number in range(4):
        record.put(b"%d" % number, make_entry(Stamp(5), bytes(SENDABLE_BYTES_MAX // 4 - 100)))
    record.make_whole()
    spare = SENDABLE_BYTES_MAX - len(record.portable(NOW))
    record.put(b"9", make_entry(Stamp(5), bytes(spare - 14)))
    portable = record.portable(NOW)
    assert SENDABLE_BYTES_MAX - 8 <= len(portable) <= SENDABLE_BYTES_MAX
    assert is_sendable(portable)
    assert not is_sendable(b"")
    assert_sendable([Found(2**64 - 1, portable), Changes([ID, 2**64 - 1, portable])])


def test_a_crowded_bucket_is_compared_in_frames_that_fit() -> None:
    rig = Rig("ab", stores=False)
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), b"\x01"))
    record.make_whole()
    crowd = [session("a", number << 8) for number in range(9000)]
    for name in "ab":
        table = rig.replicas[name]._core.table
        for session_id in crowd[: 9000 if name == "a" else 8990]:
            table.put(session_id, record)
    rig.sent.clear()
    rig.reset("a", "b")
    assert_sendable([each.message for each in rig.sent])
    listings = [each.message for each in rig.sent if isinstance(each.message, Listing)]
    assert [each.buckets for each in listings if each.buckets] == [(0,)] * 2
    assert len(listings) == 6
    tables = [rig.replicas[name]._core.table for name in "ab"]
    assert tables[0].buckets("a") == tables[1].buckets("a")


def test_a_receipt_does_not_wait_for_a_stand_in_that_cannot_be_sent_it() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, {b"large-0": None})
    assert asked.waits
    rig.kill("b")
    rig.pass_time(1.1)
    assert isinstance(asked.reply, Saved)
    assert asked.reply.degraded
    assert_sendable([each.message for each in rig.sent])
