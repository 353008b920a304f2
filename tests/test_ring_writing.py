"""What a save or an end does to a record: all that was asked for, or nothing."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from samples import IDS, NOW, WALL_MS
from strategies_ring import copy, digest_of, live_records, records, tombstones, whole_records

from ring.clock import Clock, Stamp
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    ENTRIES_MAX,
    EXPIRED,
    KEY_BYTES_MAX,
    LIFETIME,
    MAX_IDLE,
    NIL,
    PRINCIPAL,
    EndReason,
    entry_stamp,
    make_entry,
)
from ring.largest import Measure, largest
from ring.messages import Durability, Failure, Rotate, Save
from ring.record import Record
from ring.settings import Limits
from ring.state import state_of
from ring.structured import Kind, kind_of, marker, member_key, shard_key
from ring.writing import (
    ENTRIES_WRITTEN_MAX,
    RefusedChange,
    apply_changes,
    apply_end,
    apply_rotation,
)

LIMITS = Limits(attribute_bytes_max=100, session_bytes_max=1000)


def a_clock() -> Clock:
    return Clock(WALL_MS, NOW)


def change(
    record: Record, changes: dict[bytes, bytes | None], limits: Limits = LIMITS
) -> set[bytes]:
    """Save ``changes`` to ``record`` at ``NOW``."""
    request = Save(1, IDS[0], True, tuple(changes.items()), Durability.LOCAL, False, False)
    clock = a_clock()
    clock.observe(record.stamp())
    return set(apply_changes(record, request, limits, clock, clock.epoch, NOW))


def refused(record: Record, changes: dict[bytes, bytes | None]) -> RefusedChange:
    """Return why a save is refused, having looked that it changed nothing."""
    before = copy(record)
    with pytest.raises(RefusedChange) as caught:
        change(record, changes)
    assert record == before
    return caught.value


def a_session(**entries: bytes) -> Record:
    """Return a session that was created by a save just now."""
    record = Record()
    change(record, {key.encode(): each for key, each in entries.items()})
    return record


def test_the_first_save_creates_a_whole_session_that_was_just_used() -> None:
    record = Record()
    keys = change(record, {b"cart": b"\x01", MAX_IDLE: b"\x1e"})
    assert keys == {b"cart", MAX_IDLE, CREATED, ACCESSED}
    assert record.whole
    assert record.accessed_at == NOW
    assert record.accessed == entry_stamp(record.entries[CREATED])
    assert record.digest == digest_of(record)


def test_a_session_may_be_created_with_nothing_in_it() -> None:
    record = Record()
    assert change(record, {}) == {CREATED, ACCESSED}
    assert record.whole


def test_a_creation_may_bring_its_own_moment() -> None:
    """The entry's stamp is the acting owner's, whatever its value."""
    record = Record()
    assert change(record, {CREATED: NIL}) == {CREATED, ACCESSED}


@given(
    live_records,
    st.dictionaries(
        st.sampled_from([b"cart", b"color", MAX_IDLE, PRINCIPAL]), st.none() | st.just(b"\xa1a")
    ),
)
def test_a_save_is_stamped_above_everything_in_the_record(
    record: Record, changes: dict[bytes, bytes | None]
) -> None:
    """So what was saved last is what is read."""
    before, epoch = copy(record), a_clock().epoch
    if record.digest and (record.expired or record.due(epoch) <= NOW):
        assert refused(record, changes).failure is Failure.GONE
        return
    keys = change(record, changes)
    for key, value in changes.items():
        assert key in keys
        if value is None and kind_of(before.entries.get(key)) is not None:
            value = marker(Kind.MAP, present=False)
        assert record.value(key) == value
        assert entry_stamp(record.entries[key]) > before.stamp()
    assert record.digest == digest_of(record)
    # A new value has ended the members that there were under its name.
    ended = {part for key in changes for part in before.parts(key)}
    assert record.keys() == (before.keys() | keys) - ended


def test_a_change_that_changes_nothing_is_no_news_and_no_access() -> None:
    record = a_session(cart=b"\x01")
    record.accessed_at -= 1000
    before = copy(record)
    assert change(record, {}) == set()
    assert record == before


@pytest.mark.parametrize("max_idle", [b"\x00", b"\xff", None, b"\xcd\x0e\x10"])
def test_a_save_touches_as_seldom_as_a_read(max_idle: bytes | None) -> None:
    """Once a minute where max idle is long, or where there is none however that is spelled."""
    record = a_session(cart=b"\x01")
    change(record, {MAX_IDLE: max_idle})
    record.accessed_at = NOW - 59.9
    assert change(record, {b"cart": b"\x02"}) == {b"cart"}
    record.accessed_at = NOW - 60.1
    assert change(record, {b"cart": b"\x03"}) == {b"cart", ACCESSED}
    assert record.accessed_at == NOW


@given(tombstones)
def test_a_save_to_an_ended_session_is_refused(end: Record) -> None:
    assert refused(end, {b"cart": b"\x01"}).failure is Failure.GONE


def test_a_save_to_an_expired_session_is_refused_marked_or_not() -> None:
    marked = a_session()
    change(marked, {MAX_IDLE: b"\x0a"})
    marked.put(EXPIRED, make_entry(marked.accessed, NIL))
    assert refused(marked, {b"cart": b"\x01"}).failure is Failure.GONE
    due = a_session()
    change(due, {MAX_IDLE: b"\x0a"})
    due.accessed_at = NOW - 11
    assert refused(due, {b"cart": b"\x01"}).failure is Failure.GONE
    due.accessed_at = NOW - 10.9
    assert change(due, {b"cart": b"\x01"})


@pytest.mark.parametrize(
    "key", [b"", b"k" * (KEY_BYTES_MAX + 1), ENDED, EXPIRED, ACCESSED, b"\x00"]
)
def test_a_key_that_no_application_can_mean_is_refused(key: bytes) -> None:
    """What the ring keeps under reserved keys is not for clients to write."""
    assert refused(a_session(), {b"fine": b"\x01", key: b"\x01"}).failure is Failure.INVALID


@pytest.mark.parametrize("key", [LIFETIME, MAX_IDLE, PRINCIPAL, b"k" * KEY_BYTES_MAX])
def test_a_key_that_an_application_may_write_is_written(key: bytes) -> None:
    record = a_session()
    assert change(record, {key: b"\xa1a"}) - {ACCESSED} == {key}


def test_a_session_is_created_once_however_often_its_first_save_is_repeated() -> None:
    record = a_session()
    created = record.entries[CREATED]
    assert change(record, {CREATED: b"\xc0", b"cart": b"\x01"}) - {ACCESSED} == {b"cart"}
    assert record.entries[CREATED] == created


def test_an_attribute_over_its_limit_is_refused_by_name() -> None:
    record = a_session()
    assert change(record, {b"cart": bytes(100)})
    why = refused(record, {b"cart": bytes(101)})
    assert why.failure is Failure.TOO_LARGE
    assert "'cart' has 101 bytes" in why.reason
    assert "attribute_bytes_max is 100" in why.reason


def test_a_session_over_its_limit_is_refused_and_may_shrink_again() -> None:
    record = Record()
    for number in range(8):
        change(record, {b"key-%d" % number: bytes(100)})
    why = refused(record, {b"more": bytes(100), b"most": bytes(100)})
    assert why.failure is Failure.TOO_LARGE
    assert "session_bytes_max is 1000" in why.reason
    assert change(record, {b"key-0": None, b"more": bytes(100)}) == {b"key-0", b"more"}


def test_a_session_has_at_most_half_of_the_entries_that_its_form_allows() -> None:
    """Two sides of a cut may both fill theirs: what they merge to must still be read by all."""
    record, limits = Record(), Limits()
    half = ENTRIES_MAX // 2
    change(record, {b"%d" % number: NIL for number in range(half - 1)}, limits)
    assert len(record.entries) == half
    request = Save(1, IDS[0], True, ((b"more", NIL),), Durability.LOCAL, False, False)
    clock = a_clock()
    clock.observe(record.stamp())
    with pytest.raises(RefusedChange, match="removed ones included") as caught:
        apply_changes(record, request, limits, clock, clock.epoch, NOW)
    assert caught.value.failure is Failure.TOO_LARGE
    other = evolve(record, entries={key + b"x": each for key, each in record.entries.items()})
    other.merge(record)
    assert Record.from_portable(other.portable(NOW), NOW).entries == other.entries


def grown_apart(entries: dict[bytes, bytes]) -> Record:
    """Return a session with so much in it that no save could have made it so."""
    record = a_session()
    for key, value in entries.items():
        record.put(key, make_entry(Stamp(record.stamp() + 1), value))
    return record


def test_a_rotation_demands_the_state_that_it_expects_and_writes_nothing_in_another() -> None:
    record, clock = a_session(cart=NIL), a_clock()
    clock.observe(record.stamp())
    rotate = Rotate(1, IDS[0], IDS[1], (), Durability.LOCAL, False, False)
    asks = evolve(rotate, expected=state_of(record))
    assert b"cart" in apply_rotation(record, asks, LIMITS, clock, clock.epoch, NOW)[0].entries
    change(record, {b"cart": b"\x01"})
    before = copy(record)
    with pytest.raises(RefusedChange) as caught:
        apply_rotation(record, asks, LIMITS, clock, clock.epoch, NOW)
    assert caught.value.failure is Failure.CONFLICT
    assert record == before


CART = {member_key(b"cart", b"%d" % number): bytes(50) for number in range(20)}
MANY = {member_key(b"cart", b"%d" % number): NIL for number in range(ENTRIES_WRITTEN_MAX)}


@pytest.mark.parametrize("members", [CART, MANY], ids=["bytes", "entries"])
def test_what_two_sides_of_a_cut_have_made_too_large_may_be_anything_but_larger(
    members: dict[bytes, bytes],
) -> None:
    record = grown_apart({b"cart": marker(Kind.MAP), b"color": NIL, **members})
    first = next(iter(members))
    assert refused(record, {b"more": b"\x01"}).failure is Failure.TOO_LARGE
    assert change(record, {first: None, b"color": b"\x01"}) == {first, b"color"}
    before = copy(record)
    rotate = Rotate(1, IDS[0], IDS[1], (), Durability.LOCAL, False, False)
    clock = a_clock()
    clock.observe(record.stamp())
    rotated, _ = apply_rotation(record, rotate, LIMITS, clock, clock.epoch, NOW)
    assert rotated.keys() >= before.keys()
    grows = evolve(rotate, changes=((b"more", b"\x01"),))
    with pytest.raises(RefusedChange, match="'cart'"):
        apply_rotation(record, grows, LIMITS, clock, clock.epoch, NOW)
    assert b"cart" in change(record, {b"cart": marker(Kind.MAP), b"more": bytes(100)})


def test_what_is_too_large_is_named_with_what_it_consists_of() -> None:
    record = a_session()
    change(record, {b"cart": marker(Kind.MAP), **dict(list(CART.items())[:12])})
    change(record, dict.fromkeys(list(CART)[:3]))
    more: dict[bytes, bytes | None] = dict(list(CART.items())[2:4] + list(CART.items())[12:18])
    assert refused(record, more).reason == (
        "the session would have 1057 bytes packed; the limit session_bytes_max is 1000; its "
        "largest attribute is 'cart' with 1046 bytes, 16 members and 2 removed ones; clear() it, "
        "or assign it anew"
    )
    plain = grown_apart({b"x%d" % number: bytes(80) for number in range(12)} | {b"y": bytes(90)})
    why = refused(plain, {b"y": bytes(100)})
    assert why.reason.endswith("its largest attribute is 'y' with 101 bytes")


def test_too_many_entries_are_named_by_whose_they_are() -> None:
    record = grown_apart({b"seen": marker(Kind.SET)})
    members = [member_key(b"seen", b"%d" % number) for number in range(ENTRIES_WRITTEN_MAX - 4)]
    change(record, dict.fromkeys(members, NIL), Limits())
    change(record, dict.fromkeys(members[9:]), Limits())
    new: dict[bytes, bytes | None] = {
        member_key(b"seen", b"new%d" % number): NIL for number in range(9)
    }
    assert refused(record, new).reason == (
        "the session would have 2055 attributes and members, removed ones included; the limit is "
        "2048; its largest attribute is 'seen' with 37857 bytes, 18 members and 2035 removed ones; "
        "clear() it, or assign it anew"
    )
    many = grown_apart({b"%d" % number: NIL for number in range(ENTRIES_WRITTEN_MAX)})
    assert refused(many, {b"more": NIL}).reason.endswith("the limit is 2048")


def test_of_a_counter_it_is_said_how_many_count_it() -> None:
    shards = {shard_key(b"clicks", Stamp(1), b"%08d" % n): 40 for n in range(3)}
    clause = largest({b"clicks": 10, b"long": 99, **shards}, set(), Measure.BYTES)
    assert clause == (
        "; its largest attribute is 'clicks' with 130 bytes, in the shares of 3 processes; set it "
        "anew"
    )


def test_a_member_over_its_limit_is_refused_by_the_name_of_its_attribute() -> None:
    key = member_key(b"cart", b"\xa5apple")
    for what, name in ((key, "a member of attribute 'cart'"), (key[:3], "attribute '")):
        why = refused(a_session(), {what: bytes(101)})
        assert why.failure is Failure.TOO_LARGE
        assert why.reason.startswith(name)


@given(records)
def test_an_end_makes_a_tombstone_once(record: Record) -> None:
    before = copy(record)
    clock = a_clock()
    clock.observe(record.stamp())
    keys = apply_end(record, "a", clock, NOW)
    assert record.ended
    if before.ended:
        assert keys == frozenset()
        assert record == before
    else:
        assert keys == {ENDED}
        assert entry_stamp(record.entries[ENDED]) > before.stamp()
        assert record.entries[ENDED][8] == EndReason.DELETED


@given(whole_records)
def test_a_tombstone_remembers_by_whom_and_when(record: Record) -> None:
    """Created and last access: what the event of the end will say."""
    created = entry_stamp(record.entries.get(CREATED, bytes(8)))
    accessed = record.accessed
    apply_end(record, "web-1", a_clock(), NOW)
    again = Record()
    again.put(CREATED, make_entry(Stamp(created), NIL))
    if accessed:
        again.touch(accessed, NOW)
    again.end(EndReason.DELETED, "web-1", entry_stamp(record.entries[ENDED]))
    assert again.entries[ENDED] == record.entries[ENDED]
