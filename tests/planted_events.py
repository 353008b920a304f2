"""Bugs put into what nodes announce, to be found by what applications are told."""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from ablations import Ablation, replaced

from ring.announcements import Announced, Announcement, EventKind
from ring.announcing import Announcing
from ring.clock import Stamp
from ring.entry import CREATED, ROTATED, entry_stamp
from ring.identity import SessionId
from ring.replica import Replica
from ring.succession import Succession

_load, _listeners = Replica.load, Announcing.listeners


def _listeners_here(self: Announcing, home: str) -> int:
    return _listeners(self, home) if home in self._core.view.claims else 0


def _tell_nobody(self: Announcing, home: str, now: float) -> None:
    """Let new holders see for themselves, from now on."""


def _hear_nothing(self: Announcing, peer: str, message: Announced, now: float) -> None:
    """Go on as if nothing had been delivered."""


def _wait_for_nobody(self: Succession, claims_before: Collection[str], now: float) -> Sequence[str]:
    """Announce at once, whoever has acted before."""
    return ()


def _everything_is_news(self: Announcing, home: str) -> Stamp:
    return Stamp(0)


def _load_and_tell(
    self: Replica, session_id: SessionId, portable: bytes, absence_s: float, now: float
) -> bool:
    loaded = _load(self, session_id, portable, absence_s, now)
    record = self.record(session_id)
    if record is not None and CREATED in record.entries and ROTATED not in record.entries:
        stamp = entry_stamp(record.entries[CREATED])
        created = Announcement(session_id, EventKind.CREATED, stamp, record.portable(now))
        self._announcing.add(created, now)
    return loaded


PLANTED_EVENTS: Final[dict[str, Callable[[], Ablation]]] = {
    "note nothing as a holder": replaced((Announcing, "listeners", _listeners_here)),
    "tell no new holder what waits": replaced((Announcing, "_tell_waiting", _tell_nobody)),
    "hear of no delivery": replaced((Announcing, "on_announced", _hear_nothing)),
    "wait for no word of who acted": replaced((Succession, "note_rivals", _wait_for_nobody)),
    "take all that comes for news": replaced((Announcing, "since", _everything_is_news)),
    "announce what is loaded": replaced((Replica, "load", _load_and_tell)),
}
