"""What time does to records: sessions that nobody uses expire, and ends are forgotten.

Rules:
- Expiry is not an end. The acting owner writes a marker with the access stamp that it judged; it
  hides the session only as long as no later access is known.
- Everyone judges by its own monotonic clock, and allows for the touches that are still kept back
  elsewhere. Record and marker go together, a while later.
- An end and a removal are forgotten when they are older than retention: by then whoever could have
  the older state has been told, or has been away for so long that it is not believed.
- Nothing is forgotten while somebody is compared with, or returns: it is told what has ended first.
- A sweep takes one shard after the other, so that no step is long.
"""

from ring.announcements import Announcement, EventKind
from ring.announcing import Announcing
from ring.clock import Stamp
from ring.core import Core
from ring.entry import EXPIRED, NIL, make_entry
from ring.identity import SessionId, home_of
from ring.journal import Happening
from ring.packed import held_access, held_portable, held_serves
from ring.replication import Replication
from ring.table import SHARDS

_JITTER = 0.1
_NEAR, _FAR = 0.8, 0.7


class Expiry:
    """The sweep through this node's table."""

    def __init__(self, core: Core, replication: Replication, announcing: Announcing) -> None:
        self._core = core
        self._announcing = announcing
        self._foretold: dict[int, dict[SessionId, Stamp]] = {}
        """By shard: sessions that are about to expire, and the accesses of which that was told."""
        self._replication = replication
        self._shard = 0
        self._due = 0.0
        self._near_limit = False

    def start(self, now: float) -> None:
        """Begin the first sweep."""
        self._due = now + self._interval()

    def sweep(self, now: float, *, forgets: bool) -> None:
        """Sweep as many shards as have become due, each at most once.

        Args:
            now: monotonic seconds.
            forgets: everybody who is up has been told of all that has ended.
        """
        if self._due > now:
            return
        self._core.journal.forget(self._core.kept_since(now))
        kept_since = self._core.kept_since(now) if forgets else Stamp(0)
        for _ in range(SHARDS):
            if self._due > now:
                return
            self._due += self._interval()
            self._shard = (self._shard + 1) % SHARDS
            self._sweep_shard(now, kept_since)
        self._due = max(self._due, now)  # After a long sleep once is enough.

    def watch_tombstones(self) -> None:
        """Tell people when tombstones come near to what they may take, and when they no longer do.

        None is dropped for it: at the limit no session is created until some are old enough.
        """
        taken, limit = self._core.table.tombstone_bytes, self._core.settings.tombstone_bytes_max
        if not self._near_limit and taken >= _NEAR * limit:
            self._near_limit = True
            self._core.alarm("tombstones_near_limit", bytes=taken, limit=limit)
        elif self._near_limit and taken < _FAR * limit:
            self._near_limit = False
            self._core.notice("tombstones_below_limit", bytes=taken, limit=limit)

    def _interval(self) -> float:
        """Return the time until the next shard, drawn anew so that members do not march in step."""
        spread = self._core.random.uniform(1 - _JITTER, 1 + _JITTER)
        return self._core.settings.sweep_interval_s * spread / SHARDS

    def _sweep_shard(self, now: float, kept_since: Stamp) -> None:
        core = self._core
        if old := core.table.forgettable(self._shard, kept_since):
            count = len(core.table)
            for session_id in old:
                self._replication.forget(session_id, now)
            if forgotten := count - len(core.table):
                core.notice("tombstones_forgotten", sessions=forgotten)
        for session_id in core.table.due(self._shard, now):
            home, record = home_of(session_id), core.table.get(session_id)
            assert record is not None
            if now >= record.due(core.clock.epoch) + core.settings.expired_kept_s:
                self._replication.drop(session_id)
            elif home in core.view.claims and not record.expired:
                record.put(EXPIRED, make_entry(record.accessed, NIL))
                self._replication.write(session_id, record, {EXPIRED}, now)
                core.journal.note(session_id, Happening.EXPIRED, core.clock.reading(now))
                core.notice("expired", home=home)
        if core.view.listens_to >> EventKind.EXPIRING & 1 and core.settings.expiring_lead_s > 0:
            self._foretell(now)
        elif self._foretold:
            self._foretold.clear()

    def _foretell(self, now: float) -> None:
        """Tell of sessions in this shard that are about to expire, once for each access.

        The next sweep would be too late for some, so it looks ahead by one more.
        """
        core, foretold = self._core, self._foretold.get(self._shard, {})
        until = now + core.settings.expiring_lead_s + core.settings.sweep_interval_s * (1 + _JITTER)
        found = dict[SessionId, Stamp]()
        for session_id in core.table.due(self._shard, until):
            held = core.table.held(session_id)
            assert held is not None
            if home_of(session_id) in core.view.claims and held_serves(held, now):
                accessed, _ = held_access(held)
                found[session_id] = accessed
                if foretold.get(session_id) != accessed:
                    portable = held_portable(held, now)
                    self._announcing.hint(
                        Announcement(session_id, EventKind.EXPIRING, accessed, portable)
                    )
        self._foretold[self._shard] = found
