"""Records: merging is a join, an end wins, digests tell records apart, time decides who expires."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import NOW
from strategies_ring import (
    copy,
    digest_of,
    fragments,
    is_tombstone,
    live_records,
    merged,
    records,
    said,
    stamps,
    tombstones,
)

from ring.clock import Stamp
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    EXPIRED,
    LIFETIME,
    MAX_IDLE,
    NIL,
    EndReason,
    coalescing_s,
    entry_stamp,
    make_entry,
)
from ring.record import Record
from ring.structured import is_gone, is_part, name_of

MINUTES_30 = b"\xcd\x07\x08"


def a_session(*, accessed_at: float = NOW, max_idle: bytes = MINUTES_30, stamp: int = 5) -> Record:
    """Return a session as its creation leaves it."""
    record = Record()
    record.put(CREATED, make_entry(Stamp(stamp), NIL))
    record.put(MAX_IDLE, make_entry(Stamp(stamp), max_idle))
    record.put(b"cart", make_entry(Stamp(stamp), b"\x01"))
    record.touch(Stamp(stamp), accessed_at)
    record.make_whole()
    return record


# --- Merge ---


@given(records, records)
def test_merge_is_commutative(one: Record, other: Record) -> None:
    """So it does not matter who sends first. Source: CRDTs, Shapiro et al. 2011."""
    assert merged(one, other) == merged(other, one)


@given(records, records, records)
def test_merge_is_associative(one: Record, other: Record, third: Record) -> None:
    """So it does not matter by which road a change comes."""
    first, last = merged(one, other), merged(other, third)
    assert merged(first, third) == merged(one, last)


@given(records, records)
def test_merge_is_idempotent(one: Record, other: Record) -> None:
    """So a frame may arrive twice: the second time it changes nothing, and says so."""
    both = merged(one, other)
    before = copy(both)
    assert both.merge(other) == set()
    assert both == before
    assert merged(both, both) == both


@given(records, records)
def test_merge_names_just_the_keys_that_changed(one: Record, other: Record) -> None:
    """What is passed on is what is news, an access included."""
    both = copy(one)
    changed = both.merge(other)
    if both.ended:
        assert changed == ({ENDED} if one.entries != both.entries else set())
        return
    # What a floor has ended is gone from both sides by the floor alone.
    differs = {key for key in both.entries if both.entries[key] != one.entries.get(key)}
    assert changed == differs | ({ACCESSED} if both.accessed != one.accessed else set())


@given(records, records)
def test_merging_leaves_what_was_merged_alone(one: Record, other: Record) -> None:
    """A record that was received is not changed by where it goes."""
    before = copy(other)
    copy(one).merge(other)
    assert other == before


@given(live_records, live_records)
def test_the_greater_stamp_wins_under_every_key_then_the_greater_bytes(
    one: Record, other: Record
) -> None:
    """Last writer wins, by the clock; two that write at once agree by the bytes."""
    both = merged(one, other)
    for key in one.entries.keys() | other.entries.keys():
        candidates = [each.entries[key] for each in (one, other) if key in each.entries]
        if is_part(key) and is_gone(key, max(candidates), both.entries.get(name_of(key))):
            assert key not in both.entries
            continue
        assert both.entries[key] == max(
            candidates, key=lambda entry: (entry_stamp(entry), entry[8:])
        )


def test_an_equal_access_keeps_the_older_age() -> None:
    """Two nodes that know one access at different moments judge it by the longer absence."""
    late, early = Record(), Record()
    late.touch(Stamp(5), 20.0)
    early.touch(Stamp(5), 10.0)
    assert merged(late, early).accessed_at == merged(early, late).accessed_at == 10.0
    assert late.digest == early.digest


@given(live_records, st.lists(tombstones, min_size=1), st.data())
def test_ended_wins_always(live: Record, ends: list[Record], data: st.DataObject) -> None:
    """No write, late frame, old disk or healed partition brings a session back."""
    result = merged(*data.draw(st.permutations([live, *ends])))
    assert is_tombstone(result)
    assert not result.put(b"cart", make_entry(Stamp(99), b"\x01"))
    assert not result.touch(Stamp(99), NOW)
    assert is_tombstone(result)


@pytest.mark.parametrize("first", [True, False])
def test_a_deletion_beats_a_later_rotation(first: bool) -> None:
    """Whoever logged out must not find the session under its new id."""
    deleted, rotated = Record(), Record()
    deleted.end(EndReason.DELETED, "a", Stamp(3))
    rotated.end(EndReason.ROTATED, "b", Stamp(7))
    both = merged(deleted, rotated) if first else merged(rotated, deleted)
    assert said(both) == said(deleted)


def test_of_two_equal_ends_the_later_wins() -> None:
    early, late = Record(), Record()
    early.end(EndReason.DELETED, "a", Stamp(3))
    late.end(EndReason.DELETED, "b", Stamp(7))
    assert merged(early, late) == merged(late, early) == late


@given(records, records)
def test_a_merge_with_a_whole_record_is_whole(one: Record, other: Record) -> None:
    """Whoever got all of it once lacks nothing afterwards; two parts are never taken for all."""
    both = merged(one, other)
    assert both.whole == (one.whole or other.whole)


# --- The digest ---


@given(st.lists(records, max_size=4))
def test_the_digest_kept_is_the_digest_of_what_is_there(parts: list[Record]) -> None:
    """It is kept entry by entry; computed anew, it is the same."""
    result = Record()
    for part in parts:
        result.merge(part)
        assert result.digest == digest_of(result)


@given(records, records)
def test_digests_are_equal_exactly_when_records_are(one: Record, other: Record) -> None:
    """Equal means: entries, whether it is whole, and the stamp of the access; not the age."""
    assert (one.digest == other.digest) == (said(one) == said(other))


@given(records)
def test_whoever_holds_all_entries_of_a_whole_copy_is_whole_too(record: Record) -> None:
    """A receiver whose part equals the digest of a whole copy lacks nothing."""
    part = copy(record)
    if part.whole and not part.ended:
        part.whole, part._digest = False, None
        part.trust(record.digest)
        assert part.whole == bool(record.keys())
    part.trust(record.digest)
    assert part.digest == digest_of(part)


@given(fragments, records)
def test_nothing_becomes_whole_by_the_digest_of_something_else(part: Record, other: Record) -> None:
    whole = copy(part)
    whole.make_whole()
    trusting = copy(part)
    trusting.trust(other.digest)
    expected = bool(part.digest) and said(other) == said(whole)
    assert trusting.whole == expected
    assert trusting.digest == digest_of(trusting)


def test_a_part_is_not_whole_by_the_digest_of_another() -> None:
    whole, part = a_session(), Record()
    whole.make_whole()
    part.put(b"cart", whole.entries[b"cart"])
    part.trust(whole.digest)
    assert not part.whole


def test_nothing_at_all_is_not_made_whole_by_a_digest() -> None:
    empty, whole = Record(), Record()
    whole.make_whole()
    empty.trust(whole.digest)
    assert not empty.whole


# --- Values ---


def test_a_removed_entry_has_no_value_but_keeps_its_stamp() -> None:
    record = a_session()
    assert record.value(b"cart") == b"\x01"
    assert record.put(b"cart", make_entry(Stamp(6), None))
    assert record.value(b"cart") is None
    assert record.value(b"never there") is None
    assert not record.put(b"cart", make_entry(Stamp(5), b"\x01"))


def test_the_stamp_of_a_record_is_the_greatest_in_it() -> None:
    record = a_session(stamp=5)
    assert record.stamp() == 5
    record.put(b"cart", make_entry(Stamp(8), None))
    assert record.stamp() == 8
    record.touch(Stamp(9), NOW)
    assert record.stamp() == 9
    assert Record().stamp() == 0


@given(live_records, live_records)
def test_the_keys_unlike_are_those_that_a_copy_lacks(one: Record, other: Record) -> None:
    """What is sent after a difference was seen makes the other the same, and nothing less does."""
    unlike = one.keys_unlike(other)
    for key in one.keys() | other.keys():
        same = (
            one.accessed == other.accessed
            if key == ACCESSED
            else key not in one.entries or one.entries[key] == other.entries.get(key)
        )
        assert (key not in unlike) == same


@given(stamps, st.sampled_from([b"\xcc\xff", None, b""]))
def test_an_entry_gives_its_stamp_back(stamp: Stamp, value: bytes | None) -> None:
    entry = make_entry(stamp, value)
    assert entry_stamp(entry) == stamp
    assert entry[8:] == (value or b"")


# --- When it expires ---


@pytest.mark.parametrize(
    ("packed", "allowance_s"), [(MINUTES_30, 60.0), (b"\x1e", 3.0), (b"\xcb?\xe0" + bytes(6), 0.05)]
)
def test_a_session_is_due_when_max_idle_and_the_touches_kept_back_have_passed(
    packed: bytes, allowance_s: float
) -> None:
    """Everyone allows for touches of min(60 s, max idle / 10) that did not travel."""
    record = a_session(max_idle=packed)
    assert record.due(0.0) == pytest.approx(NOW + record.max_idle_s + allowance_s)
    assert coalescing_s(record.max_idle_s) == pytest.approx(allowance_s)


@pytest.mark.parametrize(
    "packed",
    [
        b"\x00",
        b"\xff",
        b"\xc0",
        b"\xa4soon",
        b"\xc1",
        b"",
        b"\x1e\x1e",
        b"\xcf" + bytes(9),
        b"\x91",
    ],
)
def test_without_a_positive_max_idle_a_session_never_expires(packed: bytes) -> None:
    """A newer version's spelling is kept and passed on, not understood, and never a reason."""
    assert a_session(max_idle=packed).due(0.0) == inf


def test_a_lifetime_counts_from_the_creation_and_no_touch_prolongs_it() -> None:
    created = Stamp(700_000 << 16)
    record = a_session(stamp=created)
    record.put(LIFETIME, make_entry(created, b"\x3c"))
    assert record.due(100.0) == 100.0 + 700.0 + 60.0
    record.touch(Stamp(701_000 << 16), NOW + 500)
    assert record.due(100.0) == 100.0 + 700.0 + 60.0


def test_a_long_lifetime_leaves_it_to_max_idle() -> None:
    created = Stamp(1_000_000 << 16)
    record = a_session(stamp=created)
    record.put(LIFETIME, make_entry(created, b"\xce\x00\x01\x51\x80"))
    assert record.due(0.0) == NOW + 1800 + 60


def test_a_lifetime_without_a_known_creation_waits_for_it() -> None:
    record = Record()
    record.put(LIFETIME, make_entry(Stamp(5), b"\x3c"))
    assert record.due(0.0) == inf


def test_a_part_that_knows_of_no_access_is_not_judged_by_it() -> None:
    """A change of max idle may arrive where nothing of the session is: it must not be dropped."""
    part = Record()
    part.put(MAX_IDLE, make_entry(Stamp(5), b"\x1e"))
    assert part.due(0.0) == inf


@pytest.mark.parametrize(("marker", "expired"), [(4, False), (5, True), (6, True)])
def test_an_expiry_hides_only_as_long_as_no_later_access_is_known(
    marker: int, expired: bool
) -> None:
    """Expiry is not an end: the marker has the access stamp that was judged."""
    record = a_session(stamp=5)
    record.put(EXPIRED, make_entry(Stamp(marker), NIL))
    assert record.expired == expired
    record.touch(Stamp(7), NOW)
    assert not record.expired


def test_a_session_without_a_marker_is_not_expired() -> None:
    assert not a_session().expired
    assert not Record().expired
