"""What a replica shows of itself, to its driver, to people and to checks.

Rule: nothing here changes anything.
"""

from ring.core import Core
from ring.draining import Draining
from ring.identity import SessionId
from ring.liveness import Liveness
from ring.placement import Ring
from ring.record import Record
from ring.settling import Settling


class Showing:
    """The state of a replica, to look at."""

    def __init__(self, core: Core, settling: Settling, draining: Draining) -> None:
        self._core = core
        self._settling = settling
        self._draining = draining

    @property
    def ring(self) -> Ring:
        """The ring as this node knows it."""
        return self._core.ring

    @property
    def ready(self) -> bool:
        """Whether it has settled and been refilled: the next member may be restarted."""
        return self._core.ready

    @property
    def settled(self) -> bool:
        """Whether it is ready, and has compared all it keeps with every member that is up.

        So another member may be lost now.
        """
        return self._core.ready and self._settling.all_synced

    @property
    def draining(self) -> bool:
        """Whether it is about to leave."""
        return self._core.view.is_draining

    @property
    def drained(self) -> bool:
        """Whether it drains and may stop: nobody will lose, miss or wait for anything.

        Where there is nobody to hand over to, its disk has to have everything as well.
        """
        return self._draining.drained

    @property
    def is_last(self) -> bool:
        """Whether nobody is up that stays when it leaves, so that only its disk can keep things."""
        return self._draining.is_last

    def undrained(self) -> dict[str, int]:
        """Return what would be cut off or missing if it stopped now, in numbers, for people."""
        return {
            "requests": self._draining.requests,
            "homes": len(self._core.view.claims),
            "sessions": self._draining.sessions,
        }

    def unfinished(self) -> dict[str, int]:
        """Return what of each kind is under way here, in numbers; at rest there is none."""
        return self._draining.unfinished

    @property
    def unannounced(self) -> int:
        """How much of the homes that it acts for was not taken by those who listen here."""
        claims, outbox = self._core.view.claims, self._core.outbox
        return sum(each.announcement.home in claims for each in outbox)

    def home_for_new(self) -> str:
        """Return the home of a session that is created here now: its own, unless it leaves."""
        return self._draining.home_for_new()

    @property
    def claims(self) -> frozenset[str]:
        """The homes that it acts for."""
        return self._core.view.claims

    @property
    def doubted(self) -> frozenset[str]:
        """The homes of which what it serves may be stale, for want of a member's word."""
        return self._settling.doubts.homes

    @property
    def epoch(self) -> float:
        """The monotonic time, in seconds, at which its hybrid logical clock would show 0."""
        return self._core.clock.epoch

    @property
    def liveness(self) -> dict[str, Liveness]:
        """The other members, as it sees them."""
        return {name: peer.liveness for name, peer in self._core.view.peers.items()}

    def counts(self) -> dict[str, int]:
        """Return how many records it holds of each home, tombstones included."""
        return {home: self._core.table.count(home) for home in self._core.ring.homes}

    def record(self, session_id: SessionId) -> Record | None:
        """Return a copy of what it holds of a session, to look at; None: nothing."""
        return self._core.table.get(session_id)

    def session_ids(self) -> list[SessionId]:
        """Return the ids of all records, in the order of their homes; for checks and tools."""
        table, ring = self._core.table, self._core.ring
        return [session_id for home in ring.homes for session_id in table.ids(home)]
