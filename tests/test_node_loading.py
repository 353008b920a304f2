"""Loading at the start: every record, aged by its absence, and none that stops it."""

import logging
from collections.abc import Iterator
from random import Random

import pytest
from memory_store import MemoryStore

from node.loading import CHUNK_SESSIONS, load, opened
from node.log import SessionTagger
from node.stores.base import Stored
from node.timekeeping import Timekeeper
from ring.clock import Clock
from ring.errors import StoreError
from ring.identity import SessionId
from ring.messages import Durability, Save
from ring.placement import Member, Ring
from ring.replica import Replica
from ring.settings import Settings

RING = Ring("one", (Member("a", ""),))


def session(number: int, home: str = "a") -> SessionId:
    return SessionId(f"{home}.{number:022d}".encode())


def make_replica(timekeeper: Timekeeper) -> Replica:
    clock = Clock(timekeeper.wall_ms_at_start, timekeeper.started)
    return Replica(RING, "a", Settings(), clock, Random(1), has_store=True)


def portable(timekeeper: Timekeeper) -> bytes:
    """Return a record as a node would write it now."""
    replica = make_replica(timekeeper)
    now = timekeeper.now()
    replica.start(now)
    save = Save(1, session(0), True, ((b"x", b"\x01"),), Durability.LOCAL, False, False)
    replica.submit(save, now)
    found = replica.persistent(session(0), now)
    assert found is not None
    packed = found[1]
    assert packed
    return packed


async def load_all(timekeeper: Timekeeper, *stored: Stored) -> tuple[int, Replica]:
    replica = make_replica(timekeeper)
    count = await load(MemoryStore(*stored), replica, timekeeper, SessionTagger(b"key"))
    return count, replica


async def test_everything_is_loaded_in_chunks() -> None:
    timekeeper = Timekeeper()
    packed = portable(timekeeper)
    count = 2 * CHUNK_SESSIONS + 1
    stored = [Stored(session(number), packed, 1) for number in range(count)]
    loaded, replica = await load_all(timekeeper, *stored)
    assert loaded == count
    assert replica.counts() == {"a": count}


async def test_the_time_on_disk_counts_as_idle_but_a_clock_set_back_makes_nothing_younger() -> None:
    timekeeper = Timekeeper(wall_ms=lambda: 1_700_000_100_000)
    packed = portable(timekeeper)
    _, replica = await load_all(
        timekeeper,
        Stored(session(1), packed, 1_700_000_000_000),
        Stored(session(2), packed, 1_800_000_000_000),
    )
    older, same = (replica.record(session(number)) for number in (1, 2))
    assert older is not None
    assert same is not None
    assert same.accessed_at - older.accessed_at == pytest.approx(100, abs=1)


async def test_what_cannot_be_understood_is_reported_and_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    timekeeper = Timekeeper()
    packed = portable(timekeeper)
    loaded, replica = await load_all(
        timekeeper,
        Stored(session(1), b"\xff not a record", 1),
        Stored(session(2, home="z"), packed, 1),
        Stored(session(3), packed, 1),
    )
    assert loaded == 1
    assert replica.session_ids() == [session(3)]
    events = [record.getMessage().split()[0] for record in caplog.records]
    assert events == ["record_unreadable", "record_of_no_member"]
    assert "0000000001" not in caplog.text


@pytest.mark.parametrize(
    "not_an_id", [b"", b"a", b"\xff" * 30, b"a." + bytes(22), b"a" + bytes(23)]
)
async def test_what_is_stored_under_no_session_id_stops_nothing(
    not_an_id: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A store takes any id; one that another program has written there, or a person, as well."""
    timekeeper = Timekeeper()
    packed = portable(timekeeper)
    stored = Stored(SessionId(not_an_id), packed, 1), Stored(session(3), packed, 1)
    loaded, replica = await load_all(timekeeper, *stored)
    assert loaded == 1
    assert replica.session_ids() == [session(3)]
    (line,) = (record.getMessage() for record in caplog.records)
    assert line.startswith("record_unreadable")
    assert "no session id" in line


async def test_a_store_that_cannot_be_read_to_its_end_stops_the_start_and_is_given_up() -> None:
    class Unreadable(MemoryStore):
        def load(self) -> Iterator[Stored]:
            yield Stored(session(1), packed, 1)
            raise StoreError("too many open files")

    timekeeper = Timekeeper()
    packed = portable(timekeeper)
    store = Unreadable()

    async def start() -> None:
        async with opened(store):
            assert store.is_open
            await load(store, make_replica(timekeeper), timekeeper, SessionTagger(b"key"))

    with pytest.raises(StoreError, match="too many open files"):
        await start()
    assert not store.is_open


async def test_a_store_that_a_clock_far_ahead_has_written_stops_the_start() -> None:
    """Else what it holds wins over everything that anybody writes until then."""
    ahead = Timekeeper(wall_ms=lambda: 1_700_000_000_000)
    behind = Timekeeper(wall_ms=lambda: 1_699_999_000_000)
    stored = Stored(session(1), portable(ahead), 1_700_000_000_000)
    with pytest.raises(StoreError, match=r"1000 s ahead .*: set the clock; .*sessionring repair"):
        await load_all(behind, stored)
    near = Timekeeper(wall_ms=lambda: 1_699_999_950_000)
    loaded, _ = await load_all(near, stored)
    assert loaded == 1
