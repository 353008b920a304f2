"""Stamping anew: the order stays, what is not ahead stays, and nothing but stamps changes."""

from hypothesis import given
from hypothesis import strategies as st
from strategies_ring import copy, digest_of, records

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp
from ring.record import Record
from ring.restamping import new_stamps, restamped, stamps_ahead

limits = st.integers(0, 10).map(Stamp)


def stamps_of(record: Record) -> dict[bytes, Stamp]:
    found = {key: entry_stamp(entry) for key, entry in record.entries.items()}
    return found | ({b"accessed": record.accessed} if record.accessed else {})


@given(st.lists(records, min_size=1, max_size=3), limits)
def test_what_was_ahead_comes_right_behind_the_limit_in_the_order_it_had(
    old: list[Record], limit: Stamp
) -> None:
    """So the records of one disk merge with each other as before."""
    ahead = set[Stamp]().union(*(stamps_ahead(record, limit) for record in old))
    stamps = new_stamps(ahead, limit)
    assert sorted(stamps.values()) == list(range(limit + 1, limit + 1 + len(ahead)))
    assert [stamps[each] for each in sorted(ahead)] == sorted(stamps.values())
    for record in old:
        new = restamped(record, stamps)
        before, after = stamps_of(record), stamps_of(new)
        assert after == {key: stamps.get(stamp, stamp) for key, stamp in before.items()}
        assert {key: entry[STAMP_BYTES:] for key, entry in new.entries.items()} == {
            key: entry[STAMP_BYTES:] for key, entry in record.entries.items()
        }
        assert (new.whole, new.accessed_at) == (record.whole, record.accessed_at)
        assert new.digest == digest_of(new)


@given(records, limits)
def test_a_record_without_such_stamps_stays_as_it_is(record: Record, limit: Stamp) -> None:
    ahead = stamps_ahead(record, limit)
    assert restamped(record, {}) == copy(record)
    assert bool(ahead) == any(stamp > limit for stamp in stamps_of(record).values())
