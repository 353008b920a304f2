"""Brings changed sessions to the store, in batches, from one worker thread.

Rules:
- A session that has changed is noted by its id; its record is read when it is written, so many
  changes cost one write, and what waits is as small as ids are.
- One batch at a time: a store is never called from two threads at once.
- What could not be written stays noted and is tried again with back-off, until it heals. What
  changes meanwhile is tried at once: each save is told soon whether the disk takes it.
- What is set aside is on the disk, or known to have failed, before it is deleted from its place.
- A failing store is one log line when it begins and one when it has healed.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Final, NoReturn, Protocol

import trio

from node.backoff import BackOff
from node.doorbell import Doorbell
from node.log import SessionTagger, log_event
from node.stores.base import Store
from node.timekeeping import Timekeeper
from ring.identity import SessionId

BATCH_SESSIONS_MAX: Final = 256
"""Larger: fewer syncs for each change under load. Smaller: a receipt waits for fewer others."""

BATCH_BYTES_MAX: Final = 8 * 1024 * 1024
"""A batch is closed once it holds this much; copies of records live while it is written."""

RETRY_FIRST_S: Final = 0.25
"""Larger: a bad disk costs less. Smaller: a save that comes just then heals sooner."""

RETRY_MAX_S: Final = 10.0


class PersistOwner(Protocol):
    """Whoever has the records and wants to know what became of them."""

    def persistent(self, session_id: SessionId) -> tuple[int, bytes | None] | None:
        """Return the record's version and portable form as they are now; None: delete it.

        None in their place: it is marked again when it may be written.
        """

    def on_persisted(self, versions: Mapping[SessionId, int]) -> None:
        """These sessions are on the disk as they were at these versions."""

    def on_persist_failed(self, session_ids: Iterable[SessionId], reason: str) -> None:
        """These sessions could not be written now."""


class Persisting:
    """The task that writes to the store.

    Args:
        store: open and loaded.
        owner: has the records.
        timekeeper: the node's clock.
        random: for the jitter of the back-off.
        tagger: names sessions in the log.
        retry_first_s: seconds until what failed is tried again for the first time, above 0.
    """

    def __init__(
        self,
        store: Store,
        owner: PersistOwner,
        *,
        timekeeper: Timekeeper,
        random: Random,
        tagger: SessionTagger,
        retry_first_s: float = RETRY_FIRST_S,
    ) -> None:
        self._store = store
        self._owner = owner
        self._timekeeper = timekeeper
        self._tagger = tagger
        self._dirty: dict[SessionId, None] = {}
        self._failed: dict[SessionId, None] = {}
        self._on_the_way: dict[SessionId, int] = {}
        self._aside: list[tuple[SessionId, bytes]] = []
        self._failing_since: float | None = None
        self._retry_at = float("inf")
        self._back_off = BackOff(random, first_s=retry_first_s, max_s=RETRY_MAX_S)
        self._retry_first_s = retry_first_s
        self._bell = Doorbell()
        self._thread = trio.CapacityLimiter(1)

    @property
    def dirty(self) -> int:
        """How many sessions are not on the disk as they are now, those on their way included."""
        return len(self._dirty.keys() | self._failed.keys() | self._on_the_way.keys())

    @property
    def is_failing(self) -> bool:
        """Whether there are sessions that the store did not take."""
        return self._failing_since is not None

    def mark(self, session_id: SessionId) -> None:
        """Note that a session has changed. Waits for nothing."""
        self._dirty[session_id] = None
        self._bell.ring()

    def set_aside(self, records: Sequence[tuple[SessionId, bytes]]) -> None:
        """Note records that are to be kept out of the way, before what they are deleted by."""
        self._aside += records
        self._bell.ring()

    async def run(self) -> NoReturn:
        """Write what is noted, for ever."""
        while True:
            with trio.move_on_at(self._retry_at):
                await self._bell.wait()
            if trio.current_time() >= self._retry_at:
                self._retry()
            while self._dirty:
                await self._write_batch()

    async def flush(self) -> int:
        """Try once to write everything that is noted; return how many could not be written.

        Call it when `run` has ended.
        """
        self._retry()
        while self._dirty:
            await self._write_batch()
        return len(self._failed)

    def _retry(self) -> None:
        self._retry_at = float("inf")
        self._dirty.update(self._failed)

    async def _write_batch(self) -> None:
        if self._aside:
            await self._write_aside()
        versions: dict[SessionId, int] = {}
        batch: list[tuple[SessionId, bytes | None]] = []
        size = 0
        for session_id in list(self._dirty):
            del self._dirty[session_id]
            if (found := self._owner.persistent(session_id)) is None:
                self._failed.pop(session_id, None)
                continue
            versions[session_id], portable = found
            batch.append((session_id, portable))
            size += len(portable or b"")
            if len(batch) >= BATCH_SESSIONS_MAX or size >= BATCH_BYTES_MAX:
                break
        if not batch:
            return
        self._on_the_way = versions
        failures: Mapping[SessionId, OSError] | None = None
        try:
            # A thread cannot be stopped: when cancelled, this waits until the disk has answered.
            failures = await trio.to_thread.run_sync(
                self._store.write, batch, self._timekeeper.wall_ms(), limiter=self._thread
            )
        finally:
            self._on_the_way = {}
            if failures is None:
                self._dirty.update(dict.fromkeys(versions))
        self._note(versions, failures)

    async def _write_aside(self) -> None:
        """Try once to keep what counts no more; it must be deleted whether that works or not."""
        records, self._aside = self._aside, []
        failures = await trio.to_thread.run_sync(
            self._store.set_aside, records, self._timekeeper.wall_ms(), limiter=self._thread
        )
        if kept := len(records) - len(failures):
            log_event(logging.WARNING, "sessions_set_aside", {"sessions": kept})
        if failures:
            error = next(iter(failures.values()))
            log_event(
                logging.ERROR,
                "sessions_not_set_aside",
                {"sessions": len(failures), "reason": error.strerror or str(error)},
            )

    def _note(self, versions: dict[SessionId, int], failures: Mapping[SessionId, OSError]) -> None:
        for session_id in failures:
            del versions[session_id]
            self._failed[session_id] = None
        for session_id in versions:
            self._failed.pop(session_id, None)
        if failures:
            self._note_failing(failures)
        elif self._failing_since is not None and not self._failed:
            self._note_healed()
        if versions:
            self._owner.on_persisted(versions)

    def _note_failing(self, failures: Mapping[SessionId, OSError]) -> None:
        first, error = next(iter(failures.items()))
        reason = error.strerror or str(error)
        if self._failing_since is None:
            self._failing_since = self._timekeeper.now()
            log_event(
                logging.ERROR,
                "store_failing",
                {"reason": reason, "sessions": len(failures), "first": self._tagger(first)},
            )
        if self._retry_at == float("inf"):
            wait_s = max(self._back_off.next_s(), self._retry_first_s)
            self._retry_at = trio.current_time() + wait_s
        self._owner.on_persist_failed(failures, reason)

    def _note_healed(self) -> None:
        assert self._failing_since is not None
        after_s = self._timekeeper.now() - self._failing_since
        log_event(logging.WARNING, "store_healed", {"after_s": after_s})
        self._failing_since = None
        self._retry_at = float("inf")
        self._back_off.reset()
