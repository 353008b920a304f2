"""Maps, sets and counters: what was added on both sides is there, what a floor ended is gone."""

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import IDS, NOW, WALL_MS
from strategies_ring import PARTS, copy, digest_of, merged, stamps, values

from ring.clock import Clock, Stamp
from ring.entry import ENDED, MAX_IDLE, entry_stamp, make_entry
from ring.errors import RecordFormatError
from ring.messages import Durability, Failure, Save
from ring.packed import FULL, NEVER_S, held_forgettable_s, pack, spell_portable
from ring.record import Record
from ring.settings import Limits
from ring.structured import (
    Kind,
    ensuring,
    is_part,
    kind_of,
    marker,
    member_key,
    members,
    name_of,
    shard_entry,
    shard_key,
    total,
)
from ring.writing import RefusedChange, apply_changes

NAMES = (b"cart", b"visits")
APPLE, PEAR = member_key(b"cart", b"apple"), member_key(b"cart", b"pear")
ONE, TWO, THREE = b"\x01", b"\x02", b"\x03"

puts = st.tuples(st.sampled_from([*NAMES, *PARTS]), st.builds(make_entry, stamps, values))


def dumb(entries: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Return what is left of entries: the greatest of each key, without what a floor has ended."""
    greatest: dict[bytes, bytes] = {}
    for key, entry in entries:
        greatest[key] = max(entry, greatest.get(key, b""))
    floors = {name: entry_stamp(greatest[name]) for name in NAMES if name in greatest}

    def is_above(key: bytes) -> bool:
        if not is_part(key) or name_of(key) not in floors:
            return True
        counts_from = int.from_bytes(key[-16:-8], "big")
        floor = floors[name_of(key)]
        return counts_from >= floor if key[0] == 2 else entry_stamp(greatest[key]) > floor

    return {key: entry for key, entry in greatest.items() if is_above(key)}


@given(st.lists(puts, max_size=12))
def test_what_is_left_is_what_the_definition_says_and_so_is_the_digest(
    entries: list[tuple[bytes, bytes]],
) -> None:
    """Whatever comes in which order: an entry that is gone must be gone for everybody."""
    record = Record()
    for key, entry in entries:
        before = dict(record.entries)
        assert record.put(key, entry) == (record.entries != before)
        assert record.digest == digest_of(record)
    assert record.entries == dumb(entries)


@given(st.lists(st.lists(puts, max_size=5), max_size=4), st.data())
def test_records_merge_to_the_same_by_every_road(
    lists: list[list[tuple[bytes, bytes]]], data: st.DataObject
) -> None:
    """Through records, their bytes, or a table's form; in any order, some of them twice."""
    parts = []
    for entries in lists:
        part = Record()
        for key, entry in entries:
            part.put(key, entry)
        road = data.draw(st.sampled_from(["as it is", "portable", "held"]))
        if road == "portable":
            part = Record.from_portable(part.portable(NOW), NOW)
        elif road == "held":
            part = Record.from_held(part.held(0.0))
        parts.append(part)
    order = data.draw(st.permutations(parts + parts[:1]))
    result = merged(*order)
    assert result.entries == dumb(put for entries in lists for put in entries)
    assert result.digest == digest_of(result)


def test_a_record_that_its_writer_cannot_have_merged_is_refused() -> None:
    """Its digest would never be that of anybody else: it would be sent to and fro for ever."""
    for entries in (
        {APPLE: make_entry(Stamp(3), ONE), b"cart": make_entry(Stamp(3), marker(Kind.MAP))},
        {shard_key(b"visits", Stamp(3), b"writer-1"): shard_entry(1, 1)}
        | {b"visits": make_entry(Stamp(4), marker(Kind.COUNTER))},
        {b"\x01\x00\x05cart": make_entry(Stamp(3), ONE)},
        {b"\x01\x00\x04cart": make_entry(Stamp(3), ONE)},
        {b"\x01\x00\x00cart": make_entry(Stamp(3), ONE)},
        {b"\x01\x00\x04\x00artx": make_entry(Stamp(3), ONE)},
        {b"\x02\x00\x04carttoo short": make_entry(Stamp(3), ONE)},
    ):
        portable = spell_portable(FULL, Stamp(0), 0.0, NOW, pack(entries))
        with pytest.raises(RecordFormatError, match=r"part|shard"):
            Record.from_portable(portable, NOW)


def test_members_are_forgotten_like_any_removal() -> None:
    record = Record()
    record.put(b"cart", make_entry(Stamp(1), marker(Kind.SET)))
    record.put(APPLE, make_entry(Stamp(3), None))
    record.put(PEAR, make_entry(Stamp(5), None))
    assert record.forget(Stamp(4))
    assert record.keys() == {b"cart", PEAR}
    record.put(b"cart", make_entry(Stamp(6), marker(Kind.SET)))
    assert record.keys() == {b"cart"}
    assert record.digest == digest_of(record)


# --- What clients ask for -------------------------------------------------------------------


class Side:
    """One acting owner of a session, with a clock of its own."""

    def __init__(self, record: Record | None = None, ahead_ms: int = 0) -> None:
        self.record = record or Record()
        self.clock = Clock(WALL_MS + ahead_ms, NOW)

    def save(self, *changes: tuple[bytes, bytes | None], limits: Limits | None = None) -> None:
        self.clock.observe(self.record.stamp())
        request = Save(1, IDS[0], True, changes, Durability.LOCAL, False, False)
        apply_changes(self.record, request, limits or Limits(), self.clock, self.clock.epoch, NOW)
        assert self.record.digest == digest_of(self.record)

    def cut(self, ahead_ms: int) -> "Side":
        """Return another side that has the same, and whose clock is ahead of this one."""
        return Side(copy(self.record), ahead_ms)

    def members(self, name: bytes = b"cart") -> dict[bytes, bytes] | None:
        return members(self.record.entries, name)


MAP_CART = (b"cart", ensuring(Kind.MAP))


@pytest.mark.parametrize("began", ["never", "removed", "plain"])
@pytest.mark.parametrize("ahead_ms", [0, 1, 1000])
def test_two_sides_of_a_cut_that_both_make_a_map_keep_what_each_has_added(
    began: str, ahead_ms: int
) -> None:
    """Were the floor stamped as the addition is, the later map would end what the other has."""
    one = Side()
    if began != "never":
        one.save((b"cart", ONE))
    if began == "removed":
        one.save((b"cart", None))
    other = one.cut(ahead_ms)
    one.save(MAP_CART, (APPLE, ONE))
    one.save(MAP_CART, (APPLE, TWO))
    other.save(MAP_CART, (PEAR, THREE))
    expected = {b"apple": TWO, b"pear": THREE}
    assert members(merged(one.record, other.record).entries, b"cart") == expected


def test_a_map_that_is_set_anew_has_only_what_it_was_set_to_and_what_came_later() -> None:
    one = Side()
    one.save(MAP_CART, (APPLE, ONE), (PEAR, ONE))
    other = one.cut(5)
    one.save((b"cart", marker(Kind.MAP)), (PEAR, TWO))
    assert one.members() == {b"pear": TWO}
    other.save((APPLE, THREE))
    both = merged(one.record, other.record)
    assert members(both.entries, b"cart") == {b"pear": TWO, b"apple": THREE}
    one.save((b"cart", marker(Kind.MAP)))
    assert one.members() == {}
    assert one.record.keys() - {b"cart"} == other.record.keys() - {b"cart", APPLE, PEAR}


def test_a_map_that_was_deleted_is_not_there_until_somebody_adds_to_it() -> None:
    """An addition that did not know of the deletion, and came later, is not lost."""
    one = Side()
    one.save(MAP_CART, (APPLE, ONE))
    other = one.cut(5)
    one.save((b"cart", None))
    assert one.members() is None
    assert kind_of(one.record.entries[b"cart"]) is Kind.MAP
    other.save((PEAR, TWO))
    assert members(merged(one.record, other.record).entries, b"cart") == {b"pear": TWO}
    one.save(MAP_CART, (APPLE, THREE))
    one.save((APPLE, None))
    assert one.members() == {}


def test_two_sides_that_both_bring_a_deleted_map_back_keep_what_each_has_added() -> None:
    one = Side()
    one.save(MAP_CART, (APPLE, ONE))
    one.save((b"cart", None))
    other = one.cut(5)
    one.save(MAP_CART, (APPLE, TWO))
    other.save(MAP_CART, (PEAR, THREE))
    both = merged(one.record, other.record)
    assert members(both.entries, b"cart") == {b"apple": TWO, b"pear": THREE}


def test_a_deletion_is_forgotten_like_any_removal_unless_something_was_added_meanwhile() -> None:
    side = Side()
    side.save(MAP_CART, (APPLE, ONE))
    other = side.cut(5)
    side.save((b"cart", None))
    other.save((PEAR, TWO))
    later = Stamp(other.record.stamp() + 1)
    assert held_forgettable_s(side.record.held(0.0)) < NEVER_S
    assert copy(side.record).forget(later)
    side.record.merge(other.record)
    assert not side.record.forget(later)
    assert side.members() == {b"pear": TWO}


def test_a_member_that_was_removed_stays_so_against_an_older_addition() -> None:
    one = Side()
    one.save(MAP_CART, (APPLE, ONE))
    other = one.cut(0)
    other.save((APPLE, TWO))
    later = Side(one.record, 5)
    later.save((APPLE, None))
    assert members(merged(later.record, other.record).entries, b"cart") == {}


def test_a_change_of_kind_ends_what_was_there() -> None:
    side = Side()
    side.save(MAP_CART, (APPLE, ONE))
    side.save((b"cart", ONE))
    assert side.members() is None
    assert side.record.value(b"cart") == ONE
    assert APPLE not in side.record.entries
    side.save((b"cart", ensuring(Kind.SET)), (PEAR, b"\xc0"))
    assert kind_of(side.record.entries[b"cart"]) is Kind.SET
    assert side.members() == {b"pear": b"\xc0"}
    assert total(side.record.entries, b"cart") is None


def test_what_only_ensures_changes_nothing_where_it_is_so() -> None:
    side = Side()
    side.save(MAP_CART)
    before = copy(side.record)
    side.save(MAP_CART)
    assert side.record == before


# --- Counters -------------------------------------------------------------------------------

COUNTER = (b"visits", ensuring(Kind.COUNTER))
FIRST = Stamp(1)
"""The floor of a counter that was never set."""


def test_a_counter_is_the_sum_of_what_each_writer_has_come_to() -> None:
    """Two that add at once, and a total that comes twice or late: each counts once."""
    one = Side()
    one.save(COUNTER)
    other = one.cut(1000)
    mine, theirs = (shard_key(b"visits", FIRST, token) for token in (b"writer-1", b"writer-2"))
    one.save(COUNTER, (mine, shard_entry(1, 5)))
    one.save((mine, shard_entry(2, 3)))
    other.save((theirs, shard_entry(1, 10)), (mine, shard_entry(1, 5)))
    both = Side(merged(one.record, other.record))
    assert total(both.record.entries, b"visits") == 13
    both.save((mine, shard_entry(1, 5)))
    assert total(both.record.entries, b"visits") == 13


def test_a_counter_that_was_set_forgets_who_counted_from_an_older_floor() -> None:
    side = Side()
    mine = shard_key(b"visits", FIRST, b"writer-1")
    side.save(COUNTER, (mine, shard_entry(1, 5)))
    late = side.cut(0)
    side.save((b"visits", marker(Kind.COUNTER, base=-7)))
    assert total(side.record.entries, b"visits") == -7
    late.save((mine, shard_entry(2, 6)))
    both = merged(side.record, late.record)
    assert total(both.entries, b"visits") == -7
    with pytest.raises(RefusedChange, match="read it again"):
        side.save((mine, shard_entry(2, 6)))
    floor = entry_stamp(side.record.entries[b"visits"])
    side.save((shard_key(b"visits", floor, b"writer-1"), shard_entry(1, 1)))
    assert total(side.record.entries, b"visits") == -6
    side.save((b"visits", None))
    assert total(side.record.entries, b"visits") is None


# --- Limits ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        ((APPLE, ONE),),
        ((b"cart", ONE), (APPLE, ONE)),
        ((b"cart", ensuring(Kind.COUNTER)), (APPLE, ONE)),
        (MAP_CART, (shard_key(b"cart", FIRST, b"writer-1"), shard_entry(1, 1))),
        (COUNTER, (shard_key(b"visits", Stamp(2), b"writer-1"), shard_entry(1, 1))),
        (COUNTER, (shard_key(b"visits", FIRST, b"writer-1"), None)),
        (COUNTER, (shard_key(b"visits", FIRST, b"writer-1"), bytes(8))),
        ((b"\x01\x00\x09cart", ONE),),
        ((b"\x01", ONE),),
        ((b"\x02", ONE),),
    ],
)
def test_a_part_without_a_floor_of_its_kind_is_refused(
    changes: tuple[tuple[bytes, bytes | None], ...],
) -> None:
    side = Side()
    with pytest.raises(RefusedChange) as refused:
        side.save(*changes)
    assert refused.value.failure is Failure.INVALID
    assert not side.record.entries


def test_members_count_as_entries_until_a_new_floor_ends_them() -> None:
    side = Side()
    small = Limits(session_bytes_max=1000, attribute_bytes_max=400)
    side.save(MAP_CART, (APPLE, bytes(400)), (PEAR, bytes(400)), limits=small)
    with pytest.raises(RefusedChange, match="session_bytes_max"):
        side.save((member_key(b"cart", b"plum"), bytes(400)), limits=small)
    with pytest.raises(RefusedChange, match="attribute_bytes_max"):
        side.save((APPLE, bytes(401)), limits=small)
    plums = [(member_key(b"cart", b"plum-%d" % number), bytes(400)) for number in range(2)]
    side.save((b"cart", marker(Kind.MAP)), *plums, limits=small)
    assert len(side.members() or ()) == 2


def test_an_end_leaves_nothing_of_them() -> None:
    record = Record()
    record.put(b"cart", make_entry(Stamp(1), marker(Kind.MAP)))
    record.put(APPLE, make_entry(Stamp(3), ONE))
    record.put(ENDED, make_entry(Stamp(4), b"\x02"))
    assert not record.put(PEAR, make_entry(Stamp(9), ONE))
    assert record.keys() == {ENDED}
    assert record.parts(b"cart") == ()
    assert MAX_IDLE not in record.entries
