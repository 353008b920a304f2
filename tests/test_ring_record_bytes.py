"""A record as bytes: the portable form for frames and disks, the held form for tables."""

from math import inf

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW
from strategies_ring import (
    copy,
    digest_of,
    is_tombstone,
    live_records,
    records,
    said,
    tombstones,
    whole_records,
)

from ring.clock import Stamp
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    ENTRIES_MAX,
    KEY_BYTES_MAX,
    LIFETIME,
    MAX_IDLE,
    NIL,
    EndReason,
    coalescing_s,
    make_entry,
)
from ring.errors import RecordFormatError
from ring.packed import (
    IDLE_MS_MAX,
    aged,
    held_digest,
    held_due,
    held_is_whole,
    held_portable,
    held_serves,
    held_touch_may_be_due,
)
from ring.record import Record

ENTRY = make_entry(Stamp(5), b"\x01")
moments = st.floats(NOW, NOW + 1e7)


def portable_of(flags: int, *flat: object) -> bytes:
    """Return a portable form made by hand, without an access."""
    return bytes([flags]) + msgpack.packb(list(flat))


def end_entry(reason: int) -> bytes:
    return make_entry(Stamp(5), bytes([reason]) + msgpack.packb(["a", 0, 0]))


def accepted(portable: bytes) -> Record | None:
    """Return the record that is read from bytes, or None if they are refused as they should be."""
    try:
        return Record.from_portable(portable, NOW)
    except RecordFormatError:
        return None


# --- Portable ---


@given(records, moments, moments)
def test_a_record_comes_back_from_a_frame_with_its_idle_age(
    record: Record, written_at: float, read_at: float
) -> None:
    """Wall clocks are not compared: the age travels, to the millisecond."""
    back = Record.from_portable(record.portable(written_at), read_at)
    assert said(back) == said(record)
    assert back.digest == record.digest
    if record.accessed:
        age = written_at - record.accessed_at
        assert read_at - back.accessed_at == pytest.approx(age, abs=0.0011)


@given(live_records, st.sets(st.sampled_from([b"cart", b"color", ACCESSED, b"missing"])))
def test_a_fragment_has_the_keys_asked_for_and_is_never_whole(
    record: Record, keys: set[bytes]
) -> None:
    part = Record.from_portable(record.portable(NOW, keys), NOW)
    assert part.entries == {key: record.entries[key] for key in keys & record.entries.keys()}
    assert part.accessed == (record.accessed if ACCESSED in keys else 0)
    assert not part.whole
    assert part.digest == digest_of(part)


@given(tombstones, st.sets(st.sampled_from([b"cart", ACCESSED])))
def test_a_tombstone_is_never_cut_into_fragments(end: Record, keys: set[bytes]) -> None:
    """It is what has to arrive, and it is always whole."""
    assert Record.from_portable(end.portable(NOW, keys), NOW) == end


@given(records, st.data())
def test_fragments_of_any_partition_merged_in_any_order_give_the_record(
    record: Record, data: st.DataObject
) -> None:
    """And with the digest of the whole copy that they came from, they are whole."""
    keys = record.keys()
    number_of = {key: data.draw(st.integers(0, 2), label=repr(key)) for key in keys}
    parts = [{key for key, number in number_of.items() if number == each} for each in range(3)]
    result = Record()
    for part in data.draw(st.permutations(parts)):
        result.merge(Record.from_portable(record.portable(NOW, part), NOW))
    assert (result.entries, result.accessed) == (record.entries, record.accessed)
    assert result.accessed_at == record.accessed_at
    assert result.whole == record.ended
    result.trust(record.digest)
    assert result.whole == (record.whole and bool(keys))
    assert result.digest == digest_of(result)


@given(st.lists(live_records, min_size=2, max_size=3), st.data())
def test_fragments_of_several_records_merge_like_the_records(
    parts: list[Record], data: st.DataObject
) -> None:
    """A change, a snapshot, a forwarded write: all are records, and the merge is the same."""
    expected, result = Record(), Record()
    for part in parts:
        expected.merge(part)
    pieces = [(part, {key}) for part in parts for key in sorted(part.keys())]
    for part, keys in data.draw(st.permutations(pieces)):
        result.merge(Record.from_portable(part.portable(NOW, keys), NOW))
    assert (result.entries, result.accessed) == (expected.entries, expected.accessed)


def test_an_age_is_never_negative_and_has_a_limit() -> None:
    record = Record()
    record.touch(Stamp(5), NOW)
    assert Record.from_portable(record.portable(NOW - 9), NOW).accessed_at == NOW
    long_after = NOW + IDLE_MS_MAX
    back = Record.from_portable(record.portable(long_after), long_after)
    assert back.accessed_at == long_after - IDLE_MS_MAX / 1000


# --- On the disk ---


@given(records, st.floats(0, 1e9))
def test_an_age_grows_by_the_absence(record: Record, absence_s: float) -> None:
    """On loading from disk, a session has been idle for as long as nobody could use it."""
    back = Record.from_portable(aged(record.portable(NOW), absence_s), NOW)
    assert said(back) == said(record)
    if record.accessed:
        assert record.accessed_at - back.accessed_at == pytest.approx(absence_s, abs=0.002)


@given(st.binary(max_size=30), st.floats(-5, 1e6))
def test_bytes_without_an_age_do_not_grow_older(portable: bytes, absence_s: float) -> None:
    """Whether they are a record is for the reader to find out."""
    older = aged(portable, absence_s)
    assert len(older) == len(portable)
    assert older[:1] == portable[:1]
    if accepted(portable) is None:
        assert accepted(older) is None or portable[0] & 4
    assert aged(portable, 0.0) == portable or portable[0] & 4


def test_an_absence_never_makes_a_session_younger_and_has_a_limit() -> None:
    """A clock that was set back while the node was away must not prolong a session."""
    record = Record()
    record.touch(Stamp(5), NOW)
    portable = record.portable(NOW)
    assert aged(portable, -50.0) == portable
    oldest = Record.from_portable(aged(portable, 1e30), NOW)
    assert oldest.accessed_at == NOW - IDLE_MS_MAX / 1000


# --- What is not a record ---


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_a_record_or_a_format_error(portable: bytes) -> None:
    record = accepted(portable)
    if record is not None:
        assert record.digest == digest_of(record)
        assert accepted(record.portable(NOW)) == record


@given(records, st.data())
def test_mutated_bytes_are_a_record_or_a_format_error(record: Record, data: st.DataObject) -> None:
    """Whatever a peer or a disk turns a record into, nothing but the one error comes of it."""
    portable = bytearray(record.portable(NOW))
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(portable) - 1))
        if data.draw(st.booleans()):
            portable[where] = data.draw(st.integers(0, 255))
        else:
            portable = portable[:where] + portable[where + 1 :]
        if not portable:
            break
    result = accepted(bytes(portable))
    if result is not None:
        assert result.digest == digest_of(result)
        assert is_tombstone(result) == result.ended
        assert said(Record.from_portable(result.portable(NOW), NOW)) == said(result)


FULL, WHOLE, HAS_ACCESSED = 2, 1, 4
NOT_RECORDS = {
    "nothing": b"",
    "unknown flags": portable_of(8),
    "a whole fragment": portable_of(WHOLE, b"k", ENTRY),
    "flags and nothing else": bytes([FULL]),
    "half an access": bytes([FULL | HAS_ACCESSED]) + bytes(15),
    "an access without a stamp": bytes([FULL | HAS_ACCESSED]) + bytes(16) + b"\x90",
    "an age beyond the limit": bytes([FULL | HAS_ACCESSED])
    + (5).to_bytes(8, "big")
    + (IDLE_MS_MAX + 1).to_bytes(8, "big")
    + b"\x90",
    "no array": bytes([FULL]) + b"\x80",
    "a number": bytes([FULL]) + b"\x01",
    "text": portable_of(FULL, "k", ENTRY),
    "a text value": portable_of(FULL, b"k", "value of eight"),
    "a number for a value": portable_of(FULL, b"k", 12345678),
    "half a row": portable_of(FULL, b"k"),
    "trailing bytes": portable_of(FULL, b"k", ENTRY) + b"\x00",
    "a cut": portable_of(FULL, b"k", ENTRY)[:-1],
    "an extension": portable_of(FULL, b"k", msgpack.ExtType(1, b"12345678")),
    "a nest": bytes([FULL]) + b"\x91" * 2000,
    "a reserved code": bytes([FULL]) + b"\xc1",
    "no order": portable_of(FULL, b"l", ENTRY, b"k", ENTRY),
    "a repeated key": portable_of(FULL, b"k", ENTRY, b"k", ENTRY),
    "an empty key": portable_of(FULL, b"", ENTRY),
    "a long key": portable_of(FULL, b"k" * (KEY_BYTES_MAX + 1), ENTRY),
    "an access as an entry": portable_of(FULL, ACCESSED, ENTRY),
    "half a stamp": portable_of(FULL, b"k", bytes(7)),
    "a tombstone with more": portable_of(FULL | WHOLE, ENDED, end_entry(2), b"k", ENTRY),
    "a tombstone for no reason": portable_of(FULL | WHOLE, ENDED, end_entry(3)),
    "a tombstone that says nothing": portable_of(FULL | WHOLE, ENDED, bytes(8)),
    "a tombstone with an access": bytes([FULL | WHOLE | HAS_ACCESSED])
    + bytes([0, 0, 0, 0, 0, 0, 0, 5] * 2)
    + msgpack.packb([ENDED, end_entry(2)]),
    "too many entries": portable_of(
        FULL,
        *(each for n in range(ENTRIES_MAX + 1) for each in (b"k%04d" % n, ENTRY)),
    ),
}


@pytest.mark.parametrize("portable", NOT_RECORDS.values(), ids=NOT_RECORDS)
def test_what_is_not_a_record_is_refused(portable: bytes) -> None:
    with pytest.raises(RecordFormatError):
        Record.from_portable(portable, NOW)


@pytest.mark.parametrize("flags", [0, FULL, FULL | WHOLE])
@pytest.mark.parametrize("reason", EndReason)
def test_a_tombstone_is_whole_or_refused(flags: int, reason: EndReason) -> None:
    """An end that is not whole would differ for ever from the same end that is."""
    record = accepted(portable_of(flags, ENDED, end_entry(reason)))
    assert record is None or is_tombstone(record)
    assert record is not None or flags != FULL | WHOLE


def test_a_record_may_have_as_many_entries_as_the_limit_says() -> None:
    flat = [each for n in range(ENTRIES_MAX) for each in (b"k%04d" % n, ENTRY)]
    assert len(Record.from_portable(portable_of(FULL, *flat), NOW).entries) == ENTRIES_MAX


# --- Held ---


@given(records, st.floats(-1e12, 1e6))
def test_a_held_record_comes_back_exactly(record: Record, epoch: float) -> None:
    back = Record.from_held(record.held(epoch))
    assert back == record
    assert list(back.entries) == sorted(record.entries)


@given(records, st.floats(-100, 100), moments)
def test_what_is_read_from_a_held_record_is_what_the_decoded_one_says(
    record: Record, epoch: float, now: float
) -> None:
    """A read decodes nothing."""
    held, due = record.held(epoch), record.due(epoch)
    assert held_digest(held) == record.digest
    assert held_due(held) == (-inf if record.expired else due)
    serves = record.whole and not record.ended and not record.expired and now < due
    assert held_serves(held, now) == serves
    assert held_is_whole(held) == record.whole
    assert held_portable(held, now) == record.portable(now)


def test_a_session_is_served_until_the_moment_it_is_due() -> None:
    record = Record()
    record.put(MAX_IDLE, make_entry(Stamp(5), b"\x1e"))
    record.touch(Stamp(5), NOW)
    record.make_whole()
    held, due = record.held(0.0), record.due(0.0)
    assert held_serves(held, due - 0.001)
    assert not held_serves(held, due)


@pytest.mark.parametrize(
    ("packed", "between_s"),
    [(b"\x1e", 3.0), (b"\xcd\x07\x08", 60.0), (b"\xcd\x02\x58", 60.0), (b"\x01", 0.1)]
    + [(never, 60.0) for never in (b"\x00", b"\xff", NIL, None)],
)
@pytest.mark.parametrize("lifetime", [None, b"\x3c", b"\xcd\x0e\x10"])
def test_a_touch_becomes_the_entry_as_seldom_as_the_allowance_says(
    packed: bytes | None, between_s: float, lifetime: bytes | None
) -> None:
    """Once per min(60 s, max idle / 10), a minute if it never expires; a lifetime is no matter."""
    created = Stamp(int(NOW * 1000) << 16)
    record = Record()
    record.put(CREATED, make_entry(created, NIL))
    record.put(MAX_IDLE, make_entry(created, packed))
    record.put(LIFETIME, make_entry(created, lifetime))
    record.touch(created, NOW)
    record.make_whole()
    held = record.held(0.0)
    if record.max_idle_s > 0:
        assert between_s == pytest.approx(coalescing_s(record.max_idle_s))
    assert not record.touch_due(NOW + between_s * 0.999)
    assert record.touch_due(NOW + between_s * 1.001)
    assert held_touch_may_be_due(held, NOW + between_s * 1.001)
    if lifetime is None:
        assert not held_touch_may_be_due(held, NOW + between_s * 0.999)


@given(records, st.floats(-100, 100), st.floats(0, 1000))
def test_a_held_record_never_hides_that_a_touch_is_due(
    record: Record, epoch: float, idle_s: float
) -> None:
    """It may only say too early that one may be: then the record itself is asked."""
    now = record.accessed_at + idle_s
    if record.accessed and record.touch_due(now - 0.001):
        assert held_touch_may_be_due(record.held(epoch), now)


@given(whole_records)
def test_holding_a_record_leaves_it_as_it_was(record: Record) -> None:
    before = copy(record)
    record.held(0.0)
    record.portable(NOW)
    record.portable(NOW, {b"cart"})
    assert record == before
