"""``sessionring repair``: makes a store usable again that a wrong clock has written.

Rules:
- The node is stopped: the store is locked for this process as for a node.
- Only what is stamped in the future is written again, and it keeps its order. Everything else in a
  record, and its age, stays.
- Interrupted, it is run again; of what had been stamped anew by then the order to the rest is lost.
"""

import sys
from collections.abc import Callable
from typing import Final

from node.config import NodeConfig
from node.stores.base import Store, Stored
from node.stores.disk import OsDisk
from node.stores.file import FileStore
from node.timekeeping import real_wall_ms
from ring.clock import Stamp, earliest, stamp_ms
from ring.effects import Notice
from ring.errors import ConfigError, RecordFormatError, StoreError
from ring.identity import SessionId
from ring.packed import aged
from ring.record import Record
from ring.restamping import new_stamps, restamped, stamps_ahead

BATCH: Final = 256


def repair(config: NodeConfig, wall_ms: Callable[[], int] = real_wall_ms) -> str:
    """Stamp anew what lies in the future in a node's store; return what was done, in a sentence.

    Raises:
        ConfigError: the node has no store. Definite.
        StoreLockedError: the node runs. Definite.
        StoreError: the store cannot be used, or does not take what is written.
    """
    if config.store_directory is None:
        raise ConfigError(f"node {config.name} has no store; there is nothing to repair")
    store = FileStore(OsDisk(config.store_directory, config.name, _report), _report)
    store.open()
    try:
        return repair_store(store, wall_ms())
    finally:
        store.close()


def repair_store(store: Store, now_ms: int) -> str:
    """Do it in a store that is open; see ``repair``."""
    # The counter below a millisecond may have been used up to its end.
    limit, ahead, sessions = Stamp(earliest(now_ms + 1) - 1), set[Stamp](), 0
    for stored in store.load():
        found = stamps_ahead(_record(stored), limit)
        sessions += bool(found)
        ahead |= found
    if not ahead:
        return "nothing in the store is stamped in the future"
    stamps = new_stamps(ahead, limit)
    batch = list[tuple[SessionId, bytes | None]]()
    for stored in store.load():
        record = _record(stored)
        if stamps_ahead(record, limit):
            portable = restamped(record, stamps).portable(0.0)
            absence_s = max(0, now_ms - stored.written_ms) / 1000
            batch.append((stored.session_id, aged(portable, absence_s)))
    for start in range(0, len(batch), BATCH):
        failures = store.write(batch[start : start + BATCH], now_ms)
        if failures:
            error = next(iter(failures.values()))
            raise StoreError(f"the store does not take what was stamped anew ({error}): make room")
    by_s = (stamp_ms(max(ahead)) - now_ms) / 1000
    return f"{sessions} sessions were stamped up to {by_s:.0f} s ahead, and are stamped anew"


def _record(stored: Stored) -> Record:
    try:
        return Record.from_portable(stored.portable, 0.0)
    except RecordFormatError:
        return Record()  # A node that starts reports it, and leaves it alone.


def _report(notice: Notice) -> None:
    fields = " ".join(f"{name}={value}" for name, value in notice.fields.items())
    print(f"sessionring: {notice.event} {fields}", file=sys.stderr)
