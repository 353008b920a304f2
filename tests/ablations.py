"""The real code with one mechanism taken out, or one bug put in: what a simulation has to find."""

from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Final
from unittest.mock import patch

from ring import record, structured
from ring.clock import STAMP_BYTES, Stamp
from ring.comparing import Comparing
from ring.effects import Effect
from ring.entry import ENDED, make_entry
from ring.errands import Errand
from ring.estranged import Estranged
from ring.identity import SessionId
from ring.links import Inbound, Outbound
from ring.membership import Membership
from ring.messages import Changes
from ring.record import Record
from ring.releasing import Releasing
from ring.replica import Replica
from ring.replication import Replication
from ring.serving import Serving
from ring.settling import Settling


def replaced(*changes: tuple[Any, str, Any]) -> "Callable[[], Ablation]":
    def make() -> Ablation:
        return Ablation(changes)

    return make


class Ablation:
    """Changes to the real code, in force within the block."""

    def __init__(self, changes: Iterable[tuple[Any, str, Any]]) -> None:
        self._changes = list(changes)
        self._stack = ExitStack()

    def __enter__(self) -> None:
        for owner, name, replacement in self._changes:
            self._stack.enter_context(patch.object(owner, name, replacement))

    def __exit__(self, *_: object) -> None:
        self._stack.close()


def _acknowledge_unmerged(
    self: Replication, inbound: Inbound, peer: str, changes: Changes, now: float
) -> None:
    inbound.merged += len(changes.flat) // 3
    self._links.wake(inbound)


_put = Record.put


def _put_reviving(self: Record, key: bytes, entry: bytes) -> bool:
    if self.ended and key != ENDED:
        self.entries, self._digest = {}, None
    return _put(self, key, entry)


_start = Replica.start


def _start_serving(self: Replica, now: float) -> list[Effect]:
    effects = _start(self, now)
    self._core.ready = True
    self._core.view.claims |= {self._core.name}
    self._serving.on_view_changed(now)
    return effects + self._core.collect()


def _is_always_heard(self: Comparing, home: str, peer: str) -> bool:
    return True


def _nobody(self: Settling, home: str, now: float) -> set[str]:
    return set()


def _own_home_only(self: Settling) -> list[str]:
    return [self._core.name]


def _nothing(self: Any, *arguments: Any, **named: Any) -> None:
    """Do nothing."""


_spread = Replication.spread


def _spread_own(
    self: Replication, session_id: SessionId, keys: Iterable[bytes], knowing: Iterable[str] = ()
) -> None:
    names = tuple(knowing)
    _spread(self, session_id, keys, self._core.ring.names if names else ())


def _park_on_redirect(
    self: Serving, errand: Errand, outbound: Outbound, to: str, now: float
) -> None:
    self._park(errand, "redirected", now)


def _begins_now(self: Membership, member: object) -> float:
    return float("-inf")


def _release_at_once(self: Releasing, home: str, peer: str, now: float) -> bool:
    return True


def _trusting(self: Record, digest: int) -> None:
    if not self.whole and self.digest:
        self.make_whole()


def _never(part: bytes, entry: bytes, floor: bytes | None) -> bool:
    return False


_floor_after = structured.floor_after


def _floor_now(floor: bytes | None, value: bytes | None, stamp: Stamp) -> bytes | None:
    made = _floor_after(floor, value, stamp)
    return make_entry(stamp, made[STAMP_BYTES:]) if made is not None else None


ABLATIONS: Final[dict[str, Callable[[], Ablation]]] = {
    "acknowledge before merging": replaced((Replication, "on_changes", _acknowledge_unmerged)),
    "a write revives the ended": replaced((Record, "put", _put_reviving)),
    "serve from the disk at once": replaced((Replica, "start", _start_serving)),
    "claim without comparing": replaced((Comparing, "is_heard", _is_always_heard)),
    "ask nobody while unsettled": replaced((Settling, "uncompared", _nobody)),
    "ready with the own home only": replaced((Settling, "_homes", _own_home_only)),
    "compare nothing when one is down": replaced((Settling, "on_down", _nothing)),
    "pass no merge on": replaced((Replication, "spread", _spread_own)),
    "read every fragment as whole": replaced((Record, "trust", _trusting)),
    "go on after a standstill": replaced((Replica, "_note_turn", _nothing)),
    "count dials that began before": replaced((Membership, "_last_sign_of", _begins_now)),
    "release at once": replaced((Releasing, "_may_release", _release_at_once)),
    "insist on nothing": replaced((Serving, "_follow", _park_on_redirect)),
    "end no members by their floor": replaced(
        (structured, "is_gone", _never), (record, "is_gone", _never)
    ),
    "stamp a new floor by the clock": replaced((structured, "floor_after", _floor_now)),
    "merge after any absence": replaced((Estranged, "meet", _nothing)),
    "resend nothing": replaced((Replication, "resend_waiting", _nothing)),
}
"""By what is wrong."""
