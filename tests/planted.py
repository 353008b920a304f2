"""Bugs chosen after the judge was finished, put into the real code, to be found as well."""

from collections.abc import Callable, Collection, Iterable
from math import inf
from typing import Final

from ablations import Ablation, replaced

from ring import index, querying, replication, rotating
from ring.clock import Clock, Stamp, stamp_ms
from ring.cursors import Progress
from ring.entry import CREATED, ENDED, EndReason, entry_stamp
from ring.errands import Errand
from ring.expiry import Expiry
from ring.identity import DEFAULT_NAMESPACE, SessionId, home_of
from ring.index import Index
from ring.links import Inbound, Outbound
from ring.messages import Changes, Redirect, Reply
from ring.questions import Matches, Query
from ring.receipts import Waiter
from ring.record import Record
from ring.replication import Replication
from ring.rotating import consequences, rotation_of
from ring.serving import Serving
from ring.settling import Settling
from ring.table import Merged, Table

Consequence = tuple[SessionId, Record]

_on_reply = Serving.on_reply


def _on_reply_uncounted(
    self: Serving, outbound: Outbound, reply: Reply | Redirect, now: float
) -> None:
    outbound.unanswered += 1
    _on_reply(self, outbound, reply, now)


def _due_strictly(self: Record, epoch: float) -> float:
    due = self.accessed_at + self.max_idle_s if self.accessed and self.max_idle_s > 0 else inf
    if self.lifetime_s > 0 and CREATED in self.entries:
        created_at = epoch + stamp_ms(entry_stamp(self.entries[CREATED])) / 1000
        due = min(due, created_at + self.lifetime_s)
    return due


def _has_all_of_some(self: Waiter, who: str, session_id: SessionId, version: int) -> bool:
    return True


def _observe_nothing(self: Clock, stamp: Stamp) -> None:
    """Let the clock stand where it is."""


def _only_late_entries(
    ours: Record, theirs: Record, merged: Record, now: float
) -> list[Consequence]:
    return [] if rotation_of(merged) is None else consequences(ours, theirs, merged, now)


def _only_ends(ours: Record, theirs: Record, merged: Record, now: float) -> list[Consequence]:
    follows = consequences(ours, theirs, merged, now)
    return [(session_id, record) for session_id, record in follows if record.ended]


def _on_changes_equal(
    self: Replication, inbound: Inbound, peer: str, changes: Changes, now: float
) -> None:
    _on_changes(self, inbound, peer, changes, now)
    inbound.different.clear()


_on_changes = Replication.on_changes


def _due_is_an_end(self: Expiry, now: float, kept_since: Stamp) -> None:
    core = self._core
    for session_id in core.table.due(self._shard, now):
        record = core.table.get(session_id)
        if record is not None and home_of(session_id) in core.view.claims:
            record.end(EndReason.DELETED, core.name, core.clock.tick(now))
            self._replication.write(session_id, record, {ENDED}, now)


def _deny_unwritten(self: Serving, errand: Errand, now: float) -> None:
    self._carry_out_unknown(errand)


def _spread_alive(
    self: Replication, session_id: SessionId, keys: Iterable[bytes], knowing: Collection[str] = ()
) -> None:
    if ENDED not in keys:
        _spread(self, session_id, keys, knowing)


_spread = Replication.spread


def _moved_older(record: Record, rotated_at: Stamp, now: float) -> Record:
    fragment = _moved(record, rotated_at, now)
    late = [key for key, entry in fragment.entries.items() if entry_stamp(entry) >= rotated_at]
    if not late:
        return fragment
    kept = Record()
    for key, entry in fragment.entries.items():
        if key not in late:
            kept.put(key, entry)
    return kept


_moved = rotating.moved


def _knows_anybody(self: Settling, home: str, name: str) -> bool:
    return True


def _merge_unindexed(
    self: Table, session_id: SessionId, incoming: Record, digest: int = 0
) -> Merged:
    indexes, self._indexes = self._indexes, ()
    try:
        return _merge(self, session_id, incoming, digest)
    finally:
        self._indexes = indexes


_merge = Table.merge


def _note_nothing_gone(self: Index, session_id: SessionId, entry: bytes | None) -> None:
    if entry is not None:
        _note(self, session_id, entry)


_note = Index.note


def _serves_anything(held: bytes, now: float) -> bool:
    return True


def _default_namespace_of_all(session_id: SessionId) -> str:
    return DEFAULT_NAMESPACE


def _believe_any(query: Query, matches: Matches) -> None:
    """Take sessions of other namespaces as well."""


def _said_by_anybody(home: str, progress: list[Progress]) -> bool:
    return True


def _claims_stay(self: Settling) -> None:
    """Go on acting after a standstill."""


PLANTED: Final[dict[str, Callable[[], Ablation]]] = {
    "never count an answer": replaced((Serving, "on_reply", _on_reply_uncounted)),
    "expire without allowance": replaced((Record, "due", _due_strictly)),
    "take any acknowledgement": replaced((Waiter, "has_all", _has_all_of_some)),
    "observe no stamp": replaced((Clock, "observe", _observe_nothing)),
    "end the old id alone": replaced((replication, "consequences", _only_late_entries)),
    "say always that it holds": replaced((Replication, "on_changes", _on_changes_equal)),
    "end what expires": replaced((Expiry, "_sweep_shard", _due_is_an_end)),
    "store no end of the unknown": replaced((Serving, "_deny", _deny_unwritten)),
    "keep an end to itself": replaced((Replication, "spread", _spread_alive)),
    "move only what is older": replaced((rotating, "moved", _moved_older)),
    "redirect to anybody": replaced((Settling, "knows_claimant", _knows_anybody)),
    "act on after a standstill": replaced((Settling, "on_frozen", _claims_stay)),
    "index no merge": replaced((Table, "merge", _merge_unindexed)),
    "mix namespaces": replaced(
        (index, "namespace_of", _default_namespace_of_all),
        (querying, "check_matches", _believe_any),
    ),
    "name what has ended": replaced(
        (Index, "note", _note_nothing_gone), (querying, "held_serves", _serves_anything)
    ),
    "name no home that is missing": replaced((querying, "_is_said", _said_by_anybody)),
    "move nothing late": replaced((replication, "consequences", _only_ends)),
}
