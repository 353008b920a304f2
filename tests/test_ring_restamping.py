"""Stamping anew: the order stays, what is not ahead stays, and nothing but stamps changes."""

from hypothesis import given
from hypothesis import strategies as st
from strategies_ring import copy, digest_of, records

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp, make_entry
from ring.record import Record
from ring.restamping import new_stamps, restamped, stamps_ahead
from ring.structured import SHARD, Kind, marker, shard_entry, shard_key, total

limits = st.integers(0, 10).map(Stamp)


def stamps_of(record: Record) -> dict[bytes, Stamp]:
    found = {key: entry_stamp(entry) for key, entry in record.entries.items()}
    return found | ({b"accessed": record.accessed} if record.accessed else {})


def renamed(key: bytes, stamps: dict[Stamp, Stamp]) -> bytes:
    """Return a key, which may name a floor, after its floor was stamped anew."""
    if key[0] != SHARD:
        return key
    floor = Stamp(int.from_bytes(key[-16:-8], "big"))
    return key[:-16] + stamps.get(floor, floor).to_bytes(8, "big") + key[-8:]


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
        assert after == {
            renamed(key, stamps): stamps.get(stamp, stamp) for key, stamp in before.items()
        }
        assert {key: entry[STAMP_BYTES:] for key, entry in new.entries.items()} == {
            renamed(key, stamps): entry[STAMP_BYTES:] for key, entry in record.entries.items()
        }
        assert (new.whole, new.accessed_at) == (record.whole, record.accessed_at)
        assert new.digest == digest_of(new)


@given(records, limits)
def test_a_record_without_such_stamps_stays_as_it_is(record: Record, limit: Stamp) -> None:
    ahead = stamps_ahead(record, limit)
    assert restamped(record, {}) == copy(record)
    assert bool(ahead) == any(stamp > limit for stamp in stamps_of(record).values())


def test_a_counter_whose_floor_is_stamped_anew_stands_where_it_stood() -> None:
    """Its shards name the floor from which they count: a shard of another one is not shown."""
    record = Record()
    record.put(b"visits", make_entry(Stamp(900), marker(Kind.COUNTER, base=10)))
    record.put(shard_key(b"visits", Stamp(900), b"writer-1"), shard_entry(2, 5))
    assert total(record.entries, b"visits") == 15
    stamps = new_stamps(stamps_ahead(record, Stamp(100)), Stamp(100))
    new = restamped(record, stamps)
    assert entry_stamp(new.entries[b"visits"]) == 101
    assert total(new.entries, b"visits") == 15
