"""The seam between a node and what outlives it: a store of records.

Rules:
- A store is synchronous, and the node calls it from one worker thread at a time.
- A record is opaque bytes to a store; the node gives it in the ring's portable form.
- What ``write`` did not name as failed is durable: it survives a loss of power.
- What a store cannot read it keeps and reports; it never deletes it, and it goes on.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Protocol, TypeAlias

from attrs import frozen

from ring.effects import Notice
from ring.identity import SessionId

Report: TypeAlias = Callable[[Notice], None]
"""Takes what people should know, in the thread that called the store. Names files, never ids."""


@frozen
class Stored:
    """One record as it was found in a store.

    Attributes:
        session_id: whose record it is.
        portable: the record in the ring's portable form.
        written_ms: when it was written, by the wall clock of the node that wrote it, in
            milliseconds since 1970: ages grow by the absence.
    """

    session_id: SessionId
    portable: bytes
    written_ms: int


class Store(Protocol):
    """Keeps the latest record of each session across restarts."""

    def open(self) -> None:
        """Take the store for this process, and clear what a killed one left half-made.

        Raises:
            StoreLockedError: another process has it; the message says which. Definite.
            StoreError: it cannot be used; the message gives the remedy. Nothing is held.
        """
        ...

    def load(self) -> Iterator[Stored]:
        """Yield every readable record once, in no order that means anything.

        Call it after ``open`` and before the first ``write``. What is damaged or foreign is set
        aside and reported.

        Raises:
            StoreError: the process itself cannot read (too many open files). Records may be
                missing: do not serve from what was read.
        """
        ...

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """Write or delete (None) records, and return those that failed, with the reason.

        The larger the batch, the cheaper each change. Of several changes to one session the
        last one counts. A failed change left the older record, or the new one unsynced: either
        is a record that was given to this store. Writing it again heals. (Only a deletion whose
        directory could not be synced may come back after a loss of power, though repeated.)

        Args:
            changes: each session with its record in portable form, or None to delete it.
            written_ms: the wall clock now, milliseconds since 1970, 0 to 2**64 - 1.

        Returns:
            The changes that may not survive a loss of power. Empty: all are durable.
        """
        ...

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """Keep records where they are never loaded again, and where people find them.

        Args:
            records: each session with its record in portable form.
            written_ms: as in ``write``.

        Returns:
            Those that could not be kept.
        """
        ...

    def close(self) -> None:
        """Give the store up. Everything written is durable already. May be called twice."""
        ...
