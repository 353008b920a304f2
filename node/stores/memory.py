"""A store that keeps its records in the memory of this process.

Rules:
- What is written outlives whoever opens and closes this object, and nothing outlives the process.
  The log says so each time it is opened.
- So it is for tests, and for what may be lost. A node that is given one names itself in
  ``Receipt.on_disk`` all the same, since it knows of no difference.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence

from node.log import log_event
from node.stores.base import Stored
from ring.identity import SessionId


class MemoryStore:
    """A ``Store`` without a disk; see ``Store`` for what its methods do."""

    def __init__(self) -> None:
        self._records: dict[SessionId, Stored] = {}
        self.aside: list[Stored] = []
        """What was set aside, in the order in which it was."""

    def open(self) -> None:
        """See ``Store``. There is nobody else to refuse."""
        log_event(logging.WARNING, "store_in_memory", {"lost": "when this process ends"})

    def load(self) -> Iterator[Stored]:
        """See ``Store``."""
        yield from list(self._records.values())

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """See ``Store``; never fails."""
        for session_id, portable in changes:
            if portable is None:
                self._records.pop(session_id, None)
            else:
                self._records[session_id] = Stored(session_id, portable, written_ms)
        return {}

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """See ``Store``; never fails."""
        self.aside += [Stored(session_id, portable, written_ms) for session_id, portable in records]
        return {}

    def close(self) -> None:
        """See ``Store``."""
