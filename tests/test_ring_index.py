"""Indexes: whatever comes to a table and goes, they say what a scan of it says.

The dumb definition is the scan: every record, and what stands under the key.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import IDS, session

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import NIL, PRINCIPAL, EndReason, make_entry
from ring.identity import SessionId, namespace_of
from ring.index import CHUNK_IDS, INDEXED_BYTES_MAX, Index, Place, indexes_of
from ring.record import Record
from ring.structured import Kind, kind_of, marker, says_removed
from ring.table import Table

HOMES = ("a", "b")
MAIL = b"mail"
KEYS = (PRINCIPAL, MAIL)
NAMESPACES = ("", "shop", "forum")
ALL_IDS = IDS + tuple(
    SessionId(each.replace(b".", f".{name}.".encode())) for name in NAMESPACES[1:] for each in IDS
)

values = st.sampled_from(
    (b"\xa1A", b"\xa1B", NIL, b"", marker(Kind.MAP), b"\xc4" + bytes(INDEXED_BYTES_MAX))
)
entries = st.builds(make_entry, st.integers(1, 9).map(Stamp), values)
records = st.dictionaries(st.sampled_from((*KEYS, b"cart")), entries, min_size=1, max_size=3)
steps = st.lists(
    st.tuples(
        st.sampled_from(("put", "merge", "end", "drop", "forget homes")),
        st.sampled_from(ALL_IDS),
        records,
    ),
    max_size=20,
)


def record_of(entries_of: dict[bytes, bytes]) -> Record:
    record = Record()
    for key, entry in entries_of.items():
        record.put(key, entry)
    return record


def has(key: bytes, namespace: str) -> bool:
    """Return whether the sessions of a namespace are found by an attribute: forum has no mail."""
    return key == PRINCIPAL or namespace != "forum"


def scanned(table: Table, key: bytes, namespace: str) -> dict[bytes, set[SessionId]]:
    """Return the ids of a namespace by value, by looking at every record."""
    found = dict[bytes, set[SessionId]]()
    for home in HOMES:
        for session_id in table.ids(home):
            record = table.get(session_id)
            entry = record.entries.get(key) if record is not None else None
            if namespace_of(session_id) != namespace or not has(key, namespace):
                continue
            if entry is None or says_removed(entry) or kind_of(entry) is not None:
                continue
            if len(entry) <= STAMP_BYTES + INDEXED_BYTES_MAX:
                found.setdefault(entry[STAMP_BYTES:], set()).add(session_id)
    return found


def structured(table: Table, key: bytes, namespace: str) -> int:
    """Return how many records of a namespace have a structured attribute under a key."""
    ids = [each for home in HOMES for each in table.ids(home) if namespace_of(each) == namespace]
    kept = [table.get(each) for each in ids if has(key, namespace)]
    found = [record.entries.get(key, b"") for record in kept if record is not None]
    return sum(kind_of(entry) is not None and not says_removed(entry) for entry in found)


def listed(index: Index, namespace: str = "") -> dict[bytes, list[SessionId]]:
    """Return all that an index has of a namespace, as it says by itself."""
    found = dict[bytes, list[SessionId]]()
    for value, ids, _ in index.values(namespace, Place()):
        found.setdefault(value, []).extend(ids)
    return found


@given(steps)
def test_an_index_says_what_a_scan_says(
    script: list[tuple[str, SessionId, dict[bytes, bytes]]],
) -> None:
    table = Table(HOMES, 0.0, indexes_of(["mail"], {"forum": []}))
    for what, session_id, entries_of in script:
        match what:
            case "put":
                table.put(session_id, record_of(entries_of))
            case "merge":
                table.merge(session_id, record_of(entries_of))
            case "end":
                ended = table.get(session_id) or Record()
                ended.end(EndReason.DELETED, "a", Stamp(5))
                table.put(session_id, ended)
            case "drop":
                table.drop(session_id)
            case _:
                table.have_homes(["a"])
                table.have_homes(HOMES)
        for key in KEYS:
            index, count = table.indexes[key], 0
            for namespace in NAMESPACES:
                expected, there = scanned(table, key, namespace), listed(index, namespace)
                assert {value: set(ids) for value, ids in there.items()} == expected
                assert sum(map(len, there.values())) == sum(map(len, expected.values()))
                assert index.structured(namespace) == structured(table, key, namespace)
                count += sum(map(len, expected.values())) + index.structured(namespace)
            assert len(index) == count


def many(count: int) -> list[SessionId]:
    return [session("a", number) for number in range(count)]


def filled(count: int, value: bytes = b"\xa1A") -> Index:
    index = Index()
    for each in many(count):
        index.note(each, make_entry(Stamp(1), value))
    return index


def pages(index: Index, value: bytes = b"\xa1A") -> Iterator[list[SessionId]]:
    """Read a value as a question does: one chunk, and later the next."""
    place: Place | None = Place()
    while place is not None:
        ids, place = next(index.ids("", value, place), ([], None))
        yield ids


def test_a_chunk_is_all_that_a_step_costs() -> None:
    index = filled(3 * CHUNK_IDS + 1)
    sizes = [len(ids) for ids in pages(index)]
    assert sizes == [CHUNK_IDS, CHUNK_IDS, CHUNK_IDS, 1]
    assert [len(ids) for _, ids, _ in index.values("", Place())] == sizes


@given(st.sets(st.integers(0, 3 * CHUNK_IDS)), st.integers(0, 3), st.integers(0, CHUNK_IDS))
def test_who_reads_on_misses_nothing_that_was_there_all_the_time(
    gone: set[int], at: int, come: int
) -> None:
    """Others come and go between two pages; a session that is rotated does both."""
    index, ids = filled(3 * CHUNK_IDS + 1), many(3 * CHUNK_IDS + 1)
    stays, seen = {each for number, each in enumerate(ids) if number not in gone}, set[SessionId]()
    for number, page in enumerate(pages(index)):
        seen.update(page)
        if number == at:
            for each in gone:
                index.note(ids[each], None)
                index.note(session("b", each), make_entry(Stamp(2), b"\xa1A"))
            for each in range(come):
                index.note(session("b", 10_000 + each), make_entry(Stamp(2), b"\xa1A"))
    assert stays <= seen


def test_an_index_in_which_much_comes_and_goes_does_not_grow() -> None:
    """Of one principal: a service, say, that logs in all day."""
    index = Index()
    for each in many(20 * CHUNK_IDS):
        index.note(each, make_entry(Stamp(1), b"\xa1A"))
        if len(index) > CHUNK_IDS + 10:
            index.note(next(iter(index._values)), None)
    (shard,) = index._parts[""].by_value.values()
    assert len(shard[b"\xa1A"]) <= 3
    for each in list(index._values):
        index.note(each, None)
    assert not index._parts
    assert not index._values


@pytest.mark.parametrize("length", [INDEXED_BYTES_MAX, INDEXED_BYTES_MAX + 1])
def test_a_value_that_is_too_long_is_not_indexed(length: int) -> None:
    index = Index()
    index.note(IDS[0], make_entry(Stamp(1), bytes(length)))
    assert (IDS[0] in index) == (length <= INDEXED_BYTES_MAX)
    index.note(IDS[0], make_entry(Stamp(2), NIL))
    assert listed(index) == {NIL: [IDS[0]]}
