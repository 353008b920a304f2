"""Opens the store at the start, and fills the replica from it.

Rules:
- The disk is read in a thread and in chunks: the event loop goes on, and a chunk is all that is
  in memory twice.
- The time a record lay on the disk counts as idle, by the wall clocks of its writing and of now.
- A record that cannot be understood is reported and left where it is; it never stops the start.
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from typing import Final

import trio

from node.log import SessionTagger, log_event
from node.stores.base import Store
from node.timekeeping import Timekeeper
from ring.errors import RecordFormatError, StampAheadError, StoreError
from ring.identity import parse_session_id
from ring.replica import Replica

CHUNK_SESSIONS: Final = 512
"""Read in one go. Larger: fewer crossings between threads; smaller: the loop is held up less."""


@asynccontextmanager
async def opened(store: Store) -> AsyncIterator[Store]:
    """Open ``store`` for the block, and give it up after it.

    Raises:
        StoreLockedError: another process has it. Definite.
        StoreError: it cannot be used. Definite.
    """
    await trio.to_thread.run_sync(store.open)
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(store.close)


async def load(
    store: Store, replica: Replica, timekeeper: Timekeeper, tagger: SessionTagger
) -> int:
    """Merge everything in ``store`` into ``replica``; return how many records that were.

    Raises:
        StoreError: the store could not be read to its end, or was written by a clock that is far
            ahead of this one; nothing must be served.
    """
    records = store.load()
    loaded = 0
    while chunk := await trio.to_thread.run_sync(lambda: list(islice(records, CHUNK_SESSIONS))):
        wall_ms, now = timekeeper.wall_ms(), timekeeper.now()
        for stored in chunk:
            # A wall clock that was set back makes no session younger.
            absence_s = max(0, wall_ms - stored.written_ms) / 1000
            try:
                if parse_session_id(stored.session_id) is None:
                    raise RecordFormatError("what it is stored under is no session id")
                ours = replica.load(stored.session_id, stored.portable, absence_s, now)
            except RecordFormatError as error:
                fields = {"session": tagger(stored.session_id), "reason": str(error)}
                log_event(logging.ERROR, "record_unreadable", fields)
                continue
            except StampAheadError as error:
                raise StoreError(
                    f"the store has sessions that are stamped {error.ahead_s:.0f} s ahead of this "
                    "machine's clock, more than node.clock_bound: set the clock; if it is right, "
                    "'sessionring repair --config FILE --name NAME' stamps them anew"
                ) from error
            loaded += ours
            if not ours:
                fields = {"session": tagger(stored.session_id)}
                log_event(logging.WARNING, "record_of_no_member", fields)
    return loaded
