"""A store in memory, whose disk can be full, broken or held up."""

import errno
import threading
from collections.abc import Iterator, Mapping, Sequence

from node.stores.base import Stored
from ring.identity import SessionId


class MemoryStore:
    """A store whose disk can be full, and can be held up."""

    def __init__(self, *loaded: Stored) -> None:
        self.loaded = loaded
        self.is_open = False
        self.records: dict[SessionId, bytes | None] = {}
        self.written_ms: dict[SessionId, int] = {}
        self.batches: list[list[SessionId]] = []
        self.is_full = False
        self.broken: set[SessionId] = set()
        self.hold: threading.Event | None = None
        self.aside: dict[SessionId, bytes] = {}

    def open(self) -> None:
        self.is_open = True

    def load(self) -> Iterator[Stored]:
        yield from self.loaded

    def close(self) -> None:
        self.is_open = False

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        self.batches.append([session_id for session_id, _ in changes])
        if self.hold is not None:
            assert self.hold.wait(10)
        failed = {
            session_id: OSError(errno.ENOSPC, "No space left on device")
            for session_id, _ in changes
            if self.is_full or session_id in self.broken
        }
        self.records.update({key: value for key, value in changes if key not in failed})
        self.written_ms.update({key: written_ms for key, _ in changes if key not in failed})
        return failed

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        if self.is_full:
            return {key: OSError(errno.ENOSPC, "No space left on device") for key, _ in records}
        self.aside.update(records)
        return {}
