"""Doubt: what this node serves may be older than what members have that were not heard.

Rules:
- A node that becomes ready without the word of some members *misses* them, and says so. Whoever
  learns from it misses them as well. A member is missed until it was compared with, or until a
  ready member was compared with that does not miss it.
- Of a home that this node acts for it also doubts what a member may know that is there and that
  it waits for no longer; until that member was heard after all.
- What was created since then is nobody else's: it is never in doubt.
"""

from ring.awaiting import Awaiting
from ring.clock import Stamp
from ring.comparing import Comparing
from ring.core import Core
from ring.entry import CREATED, entry_stamp
from ring.identity import SessionId, home_of
from ring.liveness import Liveness
from ring.record import Record


class Doubts:
    """Who may know more than this node, and is not asked."""

    def __init__(self, core: Core, comparing: Comparing, awaiting: Awaiting) -> None:
        self._core = core
        self._comparing = comparing
        self._awaiting = awaiting
        self.missing: tuple[str, ...] = ()
        """The members without whose word this node became ready, in ring order."""
        self._passed_over: dict[str, set[str]] = {}
        """For homes that this node acts for, the members that it waits for no longer."""
        self._homes: frozenset[str] = frozenset()
        """The homes of which something is in doubt."""
        self._since = Stamp(0)

    @property
    def homes(self) -> frozenset[str]:
        """The homes of which somebody who was not heard may know more."""
        return self._homes

    def covers(self, session_id: SessionId, held: bytes) -> bool:
        """Return whether somebody who was not heard may have a newer state of a session."""
        if not self._homes or home_of(session_id) not in self._homes:
            return False
        created = Record.from_held(held).entries.get(CREATED)
        return created is None or entry_stamp(created) <= self._since

    def begin(self, homes: list[str]) -> None:
        """Note at the moment of becoming ready whose word is missing."""
        ring, up = self._core.ring, self._core.view.peers_in(Liveness.UP)
        heard = {peer.name for peer in up if self._has_told_all(peer.name, homes)}
        # Who has left for good may be gone; what it had was handed over.
        missing = (name for name in ring.names if name != self._core.name and name not in heard)
        self.missing = tuple(missing)
        self._since = self._core.clock.last

    def end(self) -> None:
        """Forget all: this node is not ready any more, and finds out anew."""
        self.missing, self._passed_over, self._homes = (), {}, frozenset()

    def pass_over(self, home: str, names: set[str]) -> None:
        """Note members that this node acts without, though they are there and were not heard."""
        doubted = {name for name in names if not self._comparing.was_told(home, name)}
        if not doubted <= self._passed_over.get(home, set()):
            self._passed_over.setdefault(home, set()).update(doubted)
            self._since = self._core.clock.last

    def review(self, homes: list[str], now: float) -> bool:
        """Note and drop what is in doubt by now; return whether others have to hear of it.

        Args:
            homes: those that this node has to compare.
            now: monotonic seconds.
        """
        if suspects := self._awaiting.suspects():
            for home in sorted(self._core.view.claims):
                self.pass_over(home, suspects - self._awaiting.unheard(home, now))
        if not self.missing and not self._passed_over:
            self._homes = frozenset()
            return False
        before, view, told = self.missing, self._core.view, self._comparing.was_told
        self.missing = tuple(
            name for name in before if name in view.peers and not self._has_told_all(name, homes)
        )
        for peer in view.peers_in(Liveness.UP) if self.missing else ():
            if peer.ready and self._has_told_all(peer.name, homes):
                self.missing = tuple(name for name in self.missing if name in peer.missing)
        for home, names in list(self._passed_over.items()):
            left = {name for name in names if name in view.peers and not told(home, name)}
            if left and home in view.claims:
                self._passed_over[home] = left
            else:
                del self._passed_over[home]
        self._homes = frozenset(
            home
            for home in self._core.ring.homes
            if home in self._passed_over or not all(told(home, name) for name in self.missing)
        )
        return self.missing != before

    def _has_told_all(self, name: str, homes: list[str]) -> bool:
        return all(self._comparing.was_told(home, name) for home in homes)
