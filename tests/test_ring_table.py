"""The table: what is held does not depend on how it came, and the buckets always say what is held.

Everything is compared with the dumbest table there is: a dict of records.
"""

import base64
import struct
from collections.abc import Mapping
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import IDS, NOW, session
from strategies_ring import copy, digest_of, fragments, ids, merged, records, said, whole_records

from ring.clock import Stamp
from ring.entry import CREATED, MAX_IDLE, NIL, make_entry
from ring.identity import SessionId
from ring.record import Record
from ring.table import BUCKET_DIGESTS_BYTES, BUCKETS, SHARDS, Table, bucket_of, shard_of, weight

HOMES = ("a", "b")
NOTHING = bytes(BUCKET_DIGESTS_BYTES)

contents = st.dictionaries(ids, records, max_size=5)
steps = st.lists(
    st.tuples(st.sampled_from(["put", "merge", "drop"]), ids, records, st.booleans()), max_size=8
)


def whole_session() -> Record:
    record = Record()
    record.put(CREATED, make_entry(Stamp(1), NIL))
    record.make_whole()
    return record


def number_of(session_id: SessionId) -> int:
    """Return the 128 bits of an id's random part."""
    return int.from_bytes(base64.urlsafe_b64decode(session_id[-22:] + b"=="), "big")


def buckets_of(held: Mapping[SessionId, Record], home: str) -> list[int]:
    """Return a home's bucket digests, computed from all that is held: the dumb definition."""
    sums = [0] * BUCKETS
    for session_id, record in held.items():
        if session_id.startswith(home.encode() + b"."):
            odd = 2 * crc32(session_id) + 1
            sums[number_of(session_id) >> 118] += digest_of(record) * odd
    return [each % 2**64 for each in sums]


def table_of(held: Mapping[SessionId, Record]) -> Table:
    table = Table(HOMES, 0.0)
    for session_id, record in held.items():
        table.put(session_id, copy(record))
    return table


def content(table: Table) -> dict[SessionId, Record]:
    """Return all that a table holds, as its own methods tell."""
    return {
        each: record for home in HOMES for each in table.ids(home) if (record := table.get(each))
    }


def unpacked(buckets: bytes) -> list[int]:
    return list(struct.unpack(f">{BUCKETS}Q", buckets or NOTHING))


def assert_same(one: Table, other: Table) -> None:
    assert content(one) == content(other)
    for home in HOMES:
        assert one.buckets(home) == other.buckets(home)


# --- Where a record lies ---


@given(st.integers(0, 2**128 - 1))
def test_shard_and_bucket_are_the_first_bits_of_the_random_part(number: int) -> None:
    """Random ids spread evenly, and members agree on where each one counts."""
    session_id = session("a", number)
    assert shard_of(session_id) == number >> 122
    assert bucket_of(session_id) == number >> 118
    assert weight(session_id) % 2 == 1


# --- How many live ---


places = st.sampled_from(["a.", "a.shop.", "b.shop."])
namespaced = st.builds(
    lambda place, number: SessionId(place.encode() + b"%022d" % number), places, st.integers(0, 2)
)


def is_alive(record: Record) -> bool:
    return record.whole and not record.ended and not record.expired


@given(
    st.lists(st.tuples(st.sampled_from(["put", "merge", "drop"]), namespaced, records), max_size=12)
)
def test_it_knows_how_many_sessions_of_a_home_and_namespace_live(
    them: list[tuple[str, SessionId, Record]],
) -> None:
    """Ended ones, those marked as expired and fragments do not count; a scan says the same."""
    table = Table(HOMES, 0.0)
    for verb, session_id, record in them:
        if verb == "put":
            table.put(session_id, copy(record))
        elif verb == "merge":
            table.merge(session_id, copy(record))
        else:
            table.drop(session_id)
        for home, namespace, place in (
            ("a", "", b"a."),
            ("a", "shop", b"a.shop."),
            ("b", "shop", b"b.shop."),
            ("b", "", b"b."),
        ):
            alive = [
                each
                for each in table.ids(home)
                if each[:-22] == place and (known := table.get(each)) and is_alive(known)
            ]
            assert table.alive(home, namespace) == len(alive)


def test_what_a_namespace_has_left_takes_no_room() -> None:
    """Clients may name as many as they like."""
    table = Table(HOMES, 0.0)
    for number in range(100):
        session_id = SessionId(b"a.n%d." % number + b"x" * 22)
        table.put(session_id, whole_session())
        table.drop(session_id)
    assert not table._alive


# --- The buckets ---


@given(steps)
def test_buckets_are_what_a_recomputation_gives_after_every_step(
    them: list[tuple[str, SessionId, Record, bool]],
) -> None:
    """Source: anti-entropy by digests, Dynamo, SOSP 2007, section 4.7."""
    table, model = Table(HOMES, 0.0), dict[SessionId, Record]()
    for verb, session_id, record, says_digest in them:
        if verb == "put":
            table.put(session_id, copy(record))
            model[session_id] = copy(record)
        elif verb == "drop":
            table.drop(session_id)
            model.pop(session_id, None)
        else:
            digest = record.digest if says_digest else 0
            result = table.merge(session_id, copy(record), digest)
            expected = merged(model.get(session_id, Record()), record)
            expected.trust(digest)
            before = digest_of(model.get(session_id, Record()))
            assert result.digest == digest_of(expected)
            assert result.news == (digest_of(expected) != before)
            if expected.digest:
                model[session_id] = expected
        for home in HOMES:
            assert unpacked(table.buckets(home)) == buckets_of(model, home)
    assert content(table) == model
    assert len(table) == len(model)
    for home in HOMES:
        here = [each for each in model if each.startswith(home.encode() + b".")]
        assert table.count(home) == len(here)
        assert table.fragments(home) == sum(not model[each].whole for each in here)


@given(contents, contents)
def test_what_differs_is_found_bucket_by_bucket(
    ours: dict[SessionId, Record], theirs: dict[SessionId, Record]
) -> None:
    """Told apart: where the peer has nothing, and where it has something else."""
    for home in HOMES:
        missing, apart = table_of(ours).differing(home, table_of(theirs).buckets(home))
        mine, other = buckets_of(ours, home), buckets_of(theirs, home)
        unlike = [number for number in range(BUCKETS) if mine[number] != other[number]]
        assert missing == [number for number in unlike if not other[number]]
        assert apart == [number for number in unlike if other[number]]


def test_an_empty_table_says_so_in_no_bytes() -> None:
    """To an empty peer everything is missing, and it costs nothing to say."""
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), NIL))
    full = table_of({IDS[0]: record})
    assert Table(HOMES, 0.0).buckets("a") == b""
    assert full.differing("a", b"") == full.differing("a", NOTHING) == ([0], [])
    assert Table(HOMES, 0.0).differing("a", full.buckets("a")) == ([], [0])
    full.drop(IDS[0])
    assert full.buckets("a") == b""


def test_two_records_that_swap_their_contents_do_not_cancel_out() -> None:
    """A plain sum of digests would not see it."""
    first, second = Record(), Record()
    first.put(b"cart", make_entry(Stamp(5), b"\x01"))
    second.put(b"cart", make_entry(Stamp(5), b"\x02"))
    straight = table_of({IDS[0]: first, IDS[1]: second})
    swapped = table_of({IDS[0]: second, IDS[1]: first})
    assert bucket_of(IDS[0]) == bucket_of(IDS[1])
    assert straight.differing("a", swapped.buckets("a")) == ([], [0])


def test_a_bucket_lists_its_own_records_with_their_digests() -> None:
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), NIL))
    table = table_of(dict.fromkeys(IDS, record))
    assert list(table.in_bucket("a", 0)) == [(IDS[0], record.digest), (IDS[1], record.digest)]
    assert list(table.in_bucket("a", 1)) == [(IDS[2], record.digest)]
    assert list(table.in_bucket("a", 2)) == []
    assert list(table.in_bucket("b", 0)) == [(IDS[5], record.digest)]


# --- Merging ---


@given(st.lists(st.tuples(ids, records), max_size=6), st.data())
def test_the_same_records_in_any_order_in_pieces_and_repeated_end_the_same(
    fed: list[tuple[SessionId, Record]], data: st.DataObject
) -> None:
    """A frame may arrive twice, late or by another road, and nothing breaks."""
    straight, roundabout = Table(HOMES, 0.0), Table(HOMES, 0.0)
    for session_id, record in fed:
        straight.merge(session_id, copy(record), record.digest)
    pieces = list[tuple[SessionId, bytes, int]]()
    for session_id, record in fed:
        full = (session_id, record.portable(NOW), record.digest)
        pieces += [full, full]
        pieces += [
            (session_id, record.portable(NOW, {key}), record.digest)
            for key in sorted(record.keys())
        ]
    for session_id, portable, digest in data.draw(st.permutations(pieces)):
        roundabout.merge(session_id, Record.from_portable(portable, NOW), digest)
    assert_same(straight, roundabout)


@given(ids, whole_records, st.data())
def test_pieces_that_bring_the_digest_of_a_whole_copy_are_enough(
    session_id: SessionId, record: Record, data: st.DataObject
) -> None:
    """Whatever the partition: the last piece makes it whole."""
    number = {key: data.draw(st.integers(0, 2), label=repr(key)) for key in sorted(record.keys())}
    parts = [{key for key in number if number[key] == each} for each in range(3)]
    table, there = table_of({session_id: record}), Table(HOMES, 0.0)
    for part in data.draw(st.permutations(parts)):
        portable = table.portable(session_id, NOW, part)
        there.merge(session_id, Record.from_portable(portable, NOW), record.digest)
    if number:
        assert_same(table, there)


@given(ids, records, records)
def test_a_merge_says_what_changed(session_id: SessionId, held: Record, incoming: Record) -> None:
    table = table_of({session_id: held})
    expected = copy(held)
    changed = expected.merge(incoming)
    result = table.merge(session_id, copy(incoming))
    assert result.changed == changed
    assert result.news == (expected.digest != held.digest)
    assert table.get(session_id) == expected


@given(ids, records)
def test_a_first_record_is_all_news(session_id: SessionId, incoming: Record) -> None:
    table = Table(HOMES, 0.0)
    result = table.merge(session_id, copy(incoming))
    assert result.changed == incoming.keys()
    assert result.news == bool(incoming.digest)


def test_a_fragment_without_an_entry_leaves_no_trace() -> None:
    """It asks whether the peer holds; where there is nothing, there stays nothing."""
    table = Table(HOMES, 0.0)
    result = table.merge(IDS[0], Record(), 7)
    assert (result.changed, result.digest, result.news) == (frozenset(), 0, False)
    assert table.held(IDS[0]) is None
    assert len(table) == 0


def test_an_older_age_of_the_same_access_is_kept_though_it_is_no_news() -> None:
    """It travels no further, but from now on this node expires the session by it."""
    late, early = Record(), Record()
    late.touch(Stamp(5), NOW)
    early.touch(Stamp(5), NOW - 9)
    table = table_of({IDS[0]: late})
    assert not table.merge(IDS[0], early).news
    assert table.get(IDS[0]) == early


# --- Reading ---


@given(st.dictionaries(ids, fragments, max_size=3), st.sampled_from(IDS))
def test_what_is_not_held_is_nothing(held: dict[SessionId, Record], asked: SessionId) -> None:
    table = table_of(held)
    record = held.get(asked)
    assert table.get(asked) == record
    assert table.digest(asked) == (record.digest if record is not None else 0)
    expected = record.portable(NOW) if record is not None else b""
    assert table.portable(asked, NOW) == expected
    cut = record.portable(NOW, {b"cart"}) if record is not None else b""
    assert table.portable(asked, NOW, {b"cart"}) == cut
    assert (table.held(asked) is None) == (record is None)


@given(contents)
def test_a_copy_that_was_read_is_nobody_elses(held: dict[SessionId, Record]) -> None:
    """Who reads a record may change it, and the table does not."""
    table = table_of(held)
    for session_id in held:
        record = table.get(session_id)
        assert record is not None
        record.put(b"scratch", make_entry(Stamp(99), NIL))
    assert content(table) == held


# --- What is due ---


@given(contents, st.floats(NOW - 1000, NOW + 5000))
def test_a_sweep_finds_just_what_is_due(held: dict[SessionId, Record], now: float) -> None:
    """Tombstones never are; whoever is marked expired already is, until it is dropped."""
    table = table_of(held)
    found = [each for shard in range(SHARDS) for each in table.due(shard, now)]
    expected = [
        session_id
        for session_id, record in held.items()
        if record.expired or (record.due(0.0) <= now and not record.ended)
    ]
    assert sorted(found) == sorted(expected)


def test_a_session_is_due_at_its_moment_and_not_before() -> None:
    record = Record()
    record.put(MAX_IDLE, make_entry(Stamp(5), b"\x1e"))
    record.touch(Stamp(5), NOW)
    table = table_of({IDS[0]: record})
    assert table.due(0, NOW + 32.999) == []
    assert table.due(0, NOW + 33) == [IDS[0]]
    assert table.due(1, NOW + 33) == []


def test_a_table_has_room_for_the_homes_of_its_ring_only() -> None:
    with pytest.raises(KeyError):
        Table(HOMES, 0.0).get(session("z", 0))


@given(contents)
def test_equal_contents_have_equal_records_by_digest(held: dict[SessionId, Record]) -> None:
    """What buckets compare is what records say."""
    table = table_of(held)
    for session_id, record in held.items():
        there = table.get(session_id)
        assert there is not None
        assert said(there) == said(record)
        assert table.digest(session_id) == digest_of(record)
