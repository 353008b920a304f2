"""What a replica and the store of its member say to each other.

Rule: what lay on the disk is merged at the start, and not served before the other members were
heard.
"""

from abc import ABC
from collections.abc import Iterable, Mapping

from ring.clock import stamp_ms
from ring.effects import Effect
from ring.errors import RecordFormatError, StampAheadError
from ring.estranged import Estranged
from ring.identity import SessionId, home_of
from ring.listening import Listening
from ring.packed import aged
from ring.receipts import Receipts
from ring.record import Record
from ring.replication import Replication


class Storing(Listening, ABC):
    """The inputs of a replica that come from its store, and what it gives the store to write."""

    _estranged: Estranged
    _receipts: Receipts
    _replication: Replication

    # --- Before the start ---

    def load(self, session_id: SessionId, portable: bytes, absence_s: float, now: float) -> bool:
        """Merge what lay on the disk.

        Args:
            session_id: the id it was stored under.
            portable: the record in portable form.
            absence_s: seconds since it was written, by which its idle age grows.
            now: monotonic seconds.

        Returns:
            Whether its home is in this ring; else it was left alone.

        Raises:
            RecordFormatError: it is not a record. Nothing was merged.
            StampAheadError: it is stamped further ahead of this node's clock than clocks may be
                apart. Nothing was merged.
        """
        core = self._core
        if home_of(session_id) not in core.ring:
            return False
        record = Record.from_portable(aged(portable, absence_s), now)
        if not record.digest:
            raise RecordFormatError("a stored record has at least one entry")
        ahead_s = (stamp_ms(record.stamp()) - core.clock.physical_ms(now)) / 1000
        if ahead_s > core.settings.clock_bound_s:
            raise StampAheadError(ahead_s)
        core.clock.observe(record.stamp())
        self._estranged.note_loaded(absence_s, now)
        core.table.merge(session_id, record)
        return True

    def restore_contacts(self, ages_s: Mapping[str, float], now: float) -> None:
        """Take over what an earlier life of this member has noted; before ``start``.

        Args:
            ages_s: how many seconds ago it was in contact with each member, and alive itself.
            now: monotonic seconds.
        """
        self._estranged.restore(ages_s, now)

    # --- From then on ---

    def contacts(self, now: float) -> dict[str, float]:
        """Return what a later life has to know: see ``restore_contacts``."""
        return self._estranged.contacts(now)

    def persistent(self, session_id: SessionId, now: float) -> tuple[int, bytes | None] | None:
        """Return a version of this node, and the record as it is then; None: delete it.

        Returns:
            None, if it is not to be written yet: it is asked for again once what has to be on the
            disk before it is there.
        """
        if self._replication.is_behind(session_id):
            return None
        return self._core.version, self._core.table.portable(session_id, now) or None

    def on_persisted(self, versions: Mapping[SessionId, int], now: float) -> list[Effect]:
        """The store has these sessions as they were at these versions."""
        self._note_turn(now)
        self._estranged.on_persisted(versions)
        for session_id, version in versions.items():
            self._receipts.on_persisted(session_id, version)
        self._replication.on_persisted(versions)
        return self._core.collect()

    def on_persist_failed(
        self, session_ids: Iterable[SessionId], reason: str, now: float
    ) -> list[Effect]:
        """The store could not take these sessions; the driver goes on trying."""
        self._note_turn(now)
        for session_id in session_ids:
            self._receipts.on_persist_failed(session_id)
        return self._core.collect()
