"""Writing to the store: batched, one at a time, and healing by itself."""

import logging
import threading
from collections.abc import Mapping
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing
from memory_store import MemoryStore

from node.log import SessionTagger
from node.persisting import BATCH_SESSIONS_MAX, RETRY_MAX_S, Persisting
from node.timekeeping import Timekeeper
from ring.identity import SessionId


def session(number: int) -> SessionId:
    return SessionId(f"a.{number:022d}".encode())


class Desk:
    """Has the records, and notes what became of them."""

    def __init__(self, retry_first_s: float = 1000.0) -> None:
        self.store = MemoryStore()
        self.version = 0
        self.not_yet: set[SessionId] = set()
        self.persisted: dict[SessionId, int] = {}
        self.failed: list[tuple[list[SessionId], str]] = []
        self.news = trio.Event()
        self.persisting = Persisting(
            self.store,
            self,
            timekeeper=Timekeeper(),
            random=Random(1),
            tagger=SessionTagger(b"key"),
            retry_first_s=retry_first_s,
        )

    def persistent(self, session_id: SessionId) -> tuple[int, bytes | None] | None:
        if session_id in self.not_yet:
            return None
        return self.version, b"version %d" % self.version

    def on_persisted(self, versions: Mapping[SessionId, int]) -> None:
        self.persisted.update(versions)
        self._tell()

    def on_persist_failed(self, session_ids: object, reason: str) -> None:
        self.failed.append((list(session_ids), reason))  # type: ignore[call-overload]
        self._tell()

    def _tell(self) -> None:
        self.news.set()
        self.news = trio.Event()

    async def wait_persisted(self, version: int, *numbers: int) -> None:
        with trio.fail_after(60):
            while any(self.persisted.get(session(number)) != version for number in numbers):
                await self.news.wait()


async def test_a_change_is_written_and_told_with_the_version_that_was_written(
    nursery: trio.Nursery,
) -> None:
    desk = Desk()
    nursery.start_soon(desk.persisting.run)
    desk.version = 7
    desk.persisting.mark(session(1))
    await desk.wait_persisted(7, 1)
    assert desk.store.records == {session(1): b"version 7"}
    assert desk.persisting.dirty == 0
    nursery.cancel_scope.cancel()


async def test_what_is_not_to_be_written_yet_waits_until_it_is_marked_again(
    nursery: trio.Nursery,
) -> None:
    """A tombstone whose new record is not on the disk: a crash between the two ends a session."""
    desk = Desk()
    desk.not_yet = {session(1)}
    for number in (1, 2):
        desk.persisting.mark(session(number))
    nursery.start_soon(desk.persisting.run)
    await desk.wait_persisted(0, 2)
    assert desk.store.records.keys() == {session(2)}
    assert desk.persisting.dirty == 0
    desk.not_yet.clear()
    desk.persisting.mark(session(1))
    await desk.wait_persisted(0, 1)
    assert desk.store.records.keys() == {session(1), session(2)}
    nursery.cancel_scope.cancel()


async def test_many_changes_of_one_session_cost_one_write_of_the_last(
    nursery: trio.Nursery,
) -> None:
    desk = Desk()
    for version in range(1, 101):
        desk.version = version
        desk.persisting.mark(session(1))
    nursery.start_soon(desk.persisting.run)
    await desk.wait_persisted(100, 1)
    assert desk.store.batches == [[session(1)]]
    nursery.cancel_scope.cancel()


async def test_what_changes_while_the_disk_is_busy_goes_together_and_is_read_then(
    nursery: trio.Nursery,
) -> None:
    desk = Desk()
    desk.store.hold = threading.Event()
    nursery.start_soon(desk.persisting.run)
    desk.persisting.mark(session(1))
    while not desk.store.batches:
        await trio.lowlevel.checkpoint()
    for number in (1, 2, 3):
        desk.persisting.mark(session(number))
    desk.version = 9
    desk.store.hold.set()
    await desk.wait_persisted(9, 1, 2, 3)
    assert desk.store.batches == [[session(1)], [session(1), session(2), session(3)]]
    nursery.cancel_scope.cancel()


async def test_what_is_on_its_way_to_the_disk_is_not_there_yet(nursery: trio.Nursery) -> None:
    """Else a node that stops, and waits for its disk, goes while that is writing."""
    desk = Desk()
    desk.store.hold = threading.Event()
    nursery.start_soon(desk.persisting.run)
    desk.persisting.mark(session(1))
    with trio.fail_after(5):
        while not desk.store.batches:  # noqa: ASYNC110 - bounded
            await trio.sleep(0.01)
    assert desk.persisting.dirty == 1
    desk.store.hold.set()
    await desk.wait_persisted(0, 1)
    assert desk.persisting.dirty == 0
    nursery.cancel_scope.cancel()


async def test_batches_are_bounded(nursery: trio.Nursery) -> None:
    desk = Desk()
    count = 3 * BATCH_SESSIONS_MAX + 1
    for number in range(count):
        desk.persisting.mark(session(number))
    nursery.start_soon(desk.persisting.run)
    await desk.wait_persisted(0, *range(count))
    assert [len(batch) for batch in desk.store.batches] == [BATCH_SESSIONS_MAX] * 3 + [1]
    nursery.cancel_scope.cancel()


async def test_a_full_disk_is_told_logged_once_and_heals_by_itself(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    desk = Desk(retry_first_s=0.002)
    desk.store.is_full = True
    nursery.start_soon(desk.persisting.run)
    desk.persisting.mark(session(1))
    while len(desk.failed) < 3:
        await desk.news.wait()
    assert desk.failed[0] == ([session(1)], "No space left on device")
    assert desk.persisting.dirty == 1
    desk.store.is_full = False
    await desk.wait_persisted(0, 1)
    lines = [record.getMessage().split()[0] for record in caplog.records]
    assert lines == ["store_failing", "store_healed"]
    assert session(1).decode() not in caplog.text
    nursery.cancel_scope.cancel()


async def test_one_broken_session_does_not_hold_up_the_others(nursery: trio.Nursery) -> None:
    desk = Desk()
    desk.store.broken = {session(2)}
    nursery.start_soon(desk.persisting.run)
    for number in (1, 2, 3):
        desk.persisting.mark(session(number))
    await desk.wait_persisted(0, 1, 3)
    desk.version = 1
    desk.persisting.mark(session(3))
    await desk.wait_persisted(1, 3)
    assert session(2) not in desk.persisted
    assert desk.persisting.is_failing
    nursery.cancel_scope.cancel()


async def test_retries_are_rare_but_what_changes_meanwhile_is_tried_at_once(
    nursery: trio.Nursery,
) -> None:
    desk = Desk()
    desk.store.is_full = True
    nursery.start_soon(desk.persisting.run)
    for number in range(20):
        desk.persisting.mark(session(number))
        while len(desk.failed) <= number:
            await desk.news.wait()
    assert [len(batch) for batch in desk.store.batches] == [1] * 20
    nursery.cancel_scope.cancel()


async def test_cancelling_waits_for_the_disk_and_loses_nothing(nursery: trio.Nursery) -> None:
    desk = Desk()
    desk.store.hold = threading.Event()
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as inner:
            inner.start_soon(desk.persisting.run)
            desk.persisting.mark(session(1))
            while not desk.store.batches:
                await trio.lowlevel.checkpoint()
            desk.persisting.mark(session(2))
            scope.cancel()
            desk.store.hold.set()
    assert desk.persisted == {session(1): 0}
    assert await desk.persisting.flush() == 0
    assert set(desk.store.records) == {session(1), session(2)}


async def test_a_flush_tries_everything_once_and_counts_what_failed() -> None:
    desk = Desk()
    desk.store.broken = {session(2)}
    for number in (1, 2):
        desk.persisting.mark(session(number))
    assert await desk.persisting.flush() == 1
    assert desk.store.records == {session(1): b"version 0"}
    desk.store.broken.clear()
    assert await desk.persisting.flush() == 0
    assert session(2) in desk.store.records


async def test_a_bug_in_the_store_is_not_taken_for_a_bad_disk(nursery: trio.Nursery) -> None:
    desk = Desk()
    desk.store.write = None  # type: ignore[method-assign, assignment]
    desk.persisting.mark(session(1))
    with pytest.raises(TypeError):
        await desk.persisting.run()
    assert desk.persisting.dirty == 1


def test_the_longest_pause_is_short_enough_to_notice_a_healed_disk() -> None:
    assert RETRY_MAX_S <= 10


async def test_what_is_set_aside_is_kept_before_it_is_deleted(nursery: trio.Nursery) -> None:
    """A process that dies between the two has it twice, and not nowhere."""
    desk = Desk()
    desk.store.hold = threading.Event()
    desk.persisting.set_aside([(session(1), b"old")])
    desk.persisting.mark(session(1))
    nursery.start_soon(desk.persisting.run)
    with trio.fail_after(60):
        while not desk.store.batches:
            await trio.lowlevel.checkpoint()
    assert desk.store.aside == {session(1): b"old"}
    assert desk.store.records == {}
    desk.store.hold.set()
    await desk.wait_persisted(0, 1)
    nursery.cancel_scope.cancel()


async def test_what_cannot_be_set_aside_is_reported_and_holds_nothing_up(
    nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """What is deleted must go: kept in its place, it would be loaded at the next start."""
    desk = Desk()
    desk.store.is_full = True
    desk.persisting.set_aside([(session(1), b"old")])
    assert await desk.persisting.flush() == 0
    desk.persisting.mark(session(1))
    assert await desk.persisting.flush() == 1
    assert caplog.records[0].message == (
        'sessions_not_set_aside sessions=1 reason="No space left on device"'
    )
