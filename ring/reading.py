"""Reading: what this node answers of a session without asking anybody.

Rules:
- The acting owner that knows all of a home answers for certain, and counts the access.
- Whoever is content with this node's own copy gets it if it is whole and alive, from the acting
  owner as from anybody else: with its age, and as maybe stale unless this node acts. A node that
  is not ready has come back from its disk, or stood still, and reads nothing out.
- An access that is counted where the session is not acted for is an entry like any other: it goes
  to the acting owner, and what has ended stays ended.
"""

from ring.acting import Acting
from ring.core import Core
from ring.identity import SessionId, home_of
from ring.links import Links, Look
from ring.messages import AGE_UNKNOWN, Absent, Find, Found
from ring.packed import held_is_whole, held_serves
from ring.settling import Settling


class Reading:
    """What can be read here and now."""

    def __init__(self, core: Core, links: Links, acting: Acting, settling: Settling) -> None:
        self._core = core
        self._links = links
        self._acting = acting
        self._settling = settling
        self.complete: frozenset[str] = frozenset()
        """Homes that this node acts for and knows all of: they are served without asking."""

    def read(self, session_id: SessionId, touch: bool, now: float) -> Found | Absent | None:
        """Return what is certain here and now, sending nothing; None: it has to be asked for."""
        home = home_of(session_id)
        if home not in self.complete:
            return None
        held = self._core.table.held(session_id)
        if held is None or not held_is_whole(held):
            return None
        if not held_serves(held, now):
            return Absent(0)
        if touch:
            self._acting.touch(session_id, held, now)
        maybe_stale = self._settling.doubts.covers(session_id, held)
        portable = self._core.table.portable(session_id, now)
        return Found(0, portable, maybe_stale, 0, home != self._core.name)

    def local(self, find: Find, now: float) -> Look | None:
        """Return what answers a find from this node's own copy; None: it has none that serves."""
        session_id, home = find.session_id, home_of(find.session_id)
        if not self._core.ready or home not in self._core.ring:
            return None
        held = self._core.table.held(session_id)
        if held is None or not held_serves(held, now):
            return None
        if find.touch:
            self._acting.touch(session_id, held, now)
        in_doubt = self._settling.doubts.covers(session_id, held)
        maybe_stale = in_doubt or home not in self.complete
        age_ms = 0 if home in self._core.view.claims else self._age_ms(home, now)
        failed_over = self._core.view.acting_owner(home) != home
        return Look(find.number, session_id, True, maybe_stale, age_ms, failed_over)

    def _age_ms(self, home: str, now: float) -> int:
        """Return how long ago the acting owner was heard, if it tells this node what changes."""
        view = self._core.view
        owner = view.peers.get(view.acting_owner(home))
        if owner is None or home not in owner.claims or view.name not in view.holders(home):
            return AGE_UNKNOWN
        stream = self._links.inbound.get(owner.inbound) if owner.inbound is not None else None
        return int((now - stream.heard_at) * 1000) if stream is not None else AGE_UNKNOWN
