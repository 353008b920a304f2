"""For each named scenario, the mechanism that it is about, taken out of the real code.

With it, every scenario is kept; without it, the scenario has to break, or it proves nothing.
"""

from collections.abc import Callable, Collection
from typing import Any, Final

from ablations import ABLATIONS, Ablation

import ring.acting
import ring.record
import ring.replication
import ring.structured
import ring.writing
import simulations.scenarios.counting
from ring.awaiting import Awaiting
from ring.clock import STAMP_BYTES, Clock, Stamp
from ring.core import Core
from ring.doubting import Doubts
from ring.draining import Draining
from ring.entry import ENDED, entry_stamp, make_entry
from ring.estranged import Estranged
from ring.identity import SessionId
from ring.joining import Joining
from ring.membership import Membership
from ring.messages import Release
from ring.placement import Ring
from ring.receipts import Receipts
from ring.record import Record
from ring.releasing import Releasing
from ring.replication import Replication
from ring.settling import Settling
from ring.structured import SHARD, TOKEN_BYTES
from ring.table import Merged


def _instead(*changes: tuple[Any, str, Any]) -> Callable[[], Ablation]:
    return lambda: Ablation(changes)


def _nothing(*arguments: Any, **named: Any) -> None:
    """Do nothing."""


def _no(*arguments: Any, **named: Any) -> bool:
    return False


def _yes(*arguments: Any, **named: Any) -> bool:
    return True


def _nothing_follows(*arguments: Any) -> list[Any]:
    return []


def _marker_stays(self: Record) -> bool:
    return b"\x00e" in self.entries


def _drained_without_them(self: Draining) -> bool:
    return self._core.view.is_draining and not self.requests


def _nobody(self: Awaiting, home: str, now: float) -> set[str]:
    return set()


def _own_home_only(self: Settling) -> list[str]:
    return [self._core.name]


TRUST_WHAT_IS_HERE: Final = _instead(
    (Awaiting, "unheard", _nobody), (Settling, "is_synced", _yes), (Joining, "_has_synced", _yes)
)

_put = Record.put


def _later_wins(self: Record, key: bytes, entry: bytes) -> bool:
    end = self.entries.get(ENDED)
    if key == ENDED and end is None and entry_stamp(entry) < self.stamp():
        return False
    if key != ENDED and end is not None and entry_stamp(entry) > entry_stamp(end):
        self.entries, self._digest = {}, None
    return _put(self, key, entry)


_apply = ring.writing.apply_changes


def _save_anyway(record: Record, *arguments: Any, **named: Any) -> Any:
    if record.ended:
        record.entries, record._digest, record.whole = {}, None, False
    return _apply(record, *arguments, **named)


def _forget_all(self: Core, now: float) -> Stamp:
    return Stamp(1 << 62)


def _tombstone_first(
    self: Replication,
    old_id: SessionId,
    new_id: SessionId,
    tombstone: Record,
    rotated: Record,
    now: float,
) -> None:
    self._core.table.merge(new_id, rotated)
    for peer in self._core.view.targets(b"a".decode()):
        self.mark(peer, old_id, None)
    self.merge(old_id, tombstone, 0, (), now)
    self.spread(new_id, rotated.keys())


_entries_for = ring.structured.entries_for


def _stamped_by_the_owner(
    entries: Any, changes: Any, floors_at: Stamp, parts_at: Stamp
) -> list[tuple[bytes, bytes]]:
    made = _entries_for(entries, changes, floors_at, parts_at)
    return [
        (key, make_entry(parts_at, entry[STAMP_BYTES:]) if key[0] == SHARD else entry)
        for key, entry in made
    ]


def _token_of_the_writer(writer: int, life: int) -> bytes:
    return writer.to_bytes(TOKEN_BYTES, "big")


def _drop_whatever(self: Releasing, peer: str, message: Release, now: float) -> None:
    for session_id in message.flat[::2]:
        assert isinstance(session_id, bytes)
        self._replication.drop(SessionId(session_id))


def _members_only(self: Ring) -> tuple[str, ...]:
    return self.names


def _write_all(
    record: Record,
    request: Any,
    limits: Any,
    clock: Clock,
    epoch: float,
    now: float,
    **named: Any,
) -> Any:
    keys = set(_apply(record, request, limits, clock, epoch, now, **named))
    for key, entry in list(record.entries.items()):
        if not key.startswith(b"\x00"):
            record.put(key, make_entry(clock.tick(now), entry[STAMP_BYTES:]))
            keys.add(key)
    return keys


_merge_ended = Replication._merge_ended


def _overwrite(
    self: Replication,
    session_id: SessionId,
    incoming: Record,
    knowing: Collection[str],
    now: float,
) -> Merged:
    if incoming.ended:
        return _merge_ended(self, session_id, incoming, knowing, now)
    incoming.make_whole()
    self._core.table.put(session_id, incoming)
    self.spread(session_id, incoming.keys(), knowing)
    return self._core.table.merge(session_id, incoming)


def _ready_first(self: Settling, name: str) -> bool:
    return self._comparing.is_heard(self._core.name, name)


def _put_whatever(self: Record, key: bytes, entry: bytes) -> bool:
    old = self.entries.get(key)
    if old is not None and key != ENDED and old > entry:
        del self.entries[key]
        self._digest = None
    return _put(self, key, entry)


WITHOUT: Final[dict[str, tuple[str, Callable[[], Ablation]]]] = {
    "stale-takeover": (
        "a home is claimed when every member that is up was heard",
        TRUST_WHAT_IS_HERE,
    ),
    "whole-ring-restart": (
        "a home is claimed when every member that is up was heard",
        TRUST_WHAT_IS_HERE,
    ),
    "restored-old-disk-after-a-logout": (
        "ends are remembered for longer than disks are old",
        _instead((Core, "kept_since", _forget_all)),
    ),
    "rolling-kill": (
        "ready means that every home is compared, and refilled by the others",
        _instead((Settling, "_homes", _own_home_only), (Joining, "_has_synced", _yes)),
    ),
    "return-while-the-successor-is-down": (
        "a home is claimed when every member that is up was heard",
        TRUST_WHAT_IS_HERE,
    ),
    "return-alone-with-an-old-disk": (
        "who is missing is noted when a node becomes ready",
        _instead((Doubts, "begin", _nothing)),
    ),
    "wait-alone-with-an-old-disk": (
        "nothing is served from the disk before somebody was heard",
        ABLATIONS["serve from the disk at once"],
    ),
    "refill-before-the-next-loss": (
        "a stand-in is released once all holders have what it has",
        ABLATIONS["release at once"],
    ),
    "partial-record-that-lands-on-nothing": (
        "a record is whole only by the digest of a whole copy",
        ABLATIONS["read every fragment as whole"],
    ),
    "fragment-asked-for-before-its-repair": (
        "a record is whole only by the digest of a whole copy",
        ABLATIONS["read every fragment as whole"],
    ),
    "member-that-appears-while-a-home-settles": (
        "a home is claimed when every member that is up was heard",
        TRUST_WHAT_IS_HERE,
    ),
    "redirect-to-a-claimant-not-yet-compared-with": (
        "a claimant is named only if it was compared with",
        _instead((Settling, "knows_claimant", _yes)),
    ),
    "failback-to-an-owner-that-was-never-restarted": (
        "who may know more is asked for each id",
        ABLATIONS["ask nobody while unsettled"],
    ),
    "writes-on-the-backup-and-the-owner-returns": (
        "a home is claimed when every member that is up was heard",
        TRUST_WHAT_IS_HERE,
    ),
    "frozen-node-thawed-within-the-suspect-time": (
        "after a standstill nothing is trusted",
        ABLATIONS["go on after a standstill"],
    ),
    "two-acting-owners-with-a-common-backup": (
        "a merge that changed something is passed on",
        ABLATIONS["pass no merge on"],
    ),
    "expiry-under-partition": (
        "a marker of expiry yields to a later access",
        _instead((Record, "expired", property(_marker_stays))),
    ),
    "logout-during-a-partition-longer-than-max-idle": (
        "an end wins, whatever is stamped later",
        _instead((Record, "put", _later_wins)),
    ),
    "divergent-histories": (
        "a clock passes every stamp that is merged",
        _instead((Clock, "observe", _nothing)),
    ),
    "asymmetric-partition": (
        "who cannot follow a redirect insists",
        ABLATIONS["insist on nothing"],
    ),
    "two-requests-at-two-nodes": (
        "a save sends what changed, and nothing else",
        _instead((ring.acting, "apply_changes", _write_all)),
    ),
    "logout-while-a-request-is-about-to-save": (
        "a save to an ended session is refused",
        _instead((ring.acting, "apply_changes", _save_anyway)),
    ),
    "delta-for-an-ended-session": (
        "an end wins over whatever arrives",
        _instead((Replication, "_merge_ended", _overwrite)),
    ),
    "touch-lost-with-its-owner": (
        "everybody allows for accesses that were not written down",
        _instead((ring.record, "coalescing_s", lambda s: 0.0)),
    ),
    "rotation-against-logout": (
        "a deletion follows a rotation",
        _instead((ring.replication, "consequences", _nothing_follows)),
    ),
    "end-of-the-old-id-after-its-rotation": (
        "a deletion follows a rotation",
        _instead((ring.replication, "consequences", _nothing_follows)),
    ),
    "rotation-and-a-save-of-the-old-id": (
        "what turns up of the old id moves into the new one",
        _instead((ring.replication, "consequences", _nothing_follows)),
    ),
    "crash-in-the-middle-of-a-rotation": (
        "the new record is ahead of the tombstone, and what is there moves on",
        _instead(
            (Replication, "rotate", _tombstone_first),
            (ring.replication, "consequences", _nothing_follows),
        ),
    ),
    "counter-restart": (
        "a writer counts under a new token in each of its lives",
        _instead((simulations.scenarios.counting, "token", _token_of_the_writer)),
    ),
    "two-forwarded-increments-at-once": (
        "a shard has its writer's count where other entries have a stamp",
        _instead((ring.writing, "entries_for", _stamped_by_the_owner)),
    ),
    "away-longer-than-ends-are-remembered": (
        "of two that were apart for longer than ends are remembered, one yields",
        _instead((Estranged, "meet", _nothing)),
    ),
    "drain-with-a-crash-of-the-receiver": (
        "drained means that every holder has what is here",
        _instead((Draining, "drained", property(_drained_without_them))),
    ),
    "release-that-crosses-a-new-claim": (
        "a stand-in that is to hold again obeys no release",
        _instead((Releasing, "on_release", _drop_whatever)),
    ),
    "owner-that-left-the-ring-for-good": (
        "a departed home has an heir",
        _instead((Ring, "homes", property(_members_only))),
    ),
    "clock-a-day-ahead-then-corrected": (
        "a node stays away from whom its clock does not agree with",
        _instead((Membership, "_is_clock_off", _no)),
    ),
    "slow-but-live-successor": (
        "a receipt waits until its deadline",
        _instead((Receipts, "on_tick", _nothing)),
    ),
    "ring-of-one": ("the disk says what it has", _instead((Receipts, "on_persisted", _nothing))),
    "ring-of-two": ("a home is claimed when every member that is up was heard", TRUST_WHAT_IS_HERE),
    "frame-twice-and-late": ("the greater entry wins", _instead((Record, "put", _put_whatever))),
    "second-process-of-a-name": (
        "an incarnation is told from the next",
        _instead((Membership, "_is_name_in_use", _no)),
    ),
}
