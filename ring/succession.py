"""In whose hands the announcements of a home are: those of one member's process after another's.

Rules:
- Who takes over waits until the member that acted before, if it lives, has said that nothing is in
  the hands of its process any more; so nothing is delivered twice that is only handed over.
- Who acts no more says so once its process has delivered, or given back, what it had; and says it
  again, on another link or to another member, until who acts has confirmed it.
- A link may lose the confirmation, and the way back live on: it is repeated on each new link.
"""

from collections.abc import Collection

from ring.announcements import LIFE_CYCLE_MASK
from ring.clock import Stamp
from ring.core import Core
from ring.identity import LinkId
from ring.links import Links, Outbound
from ring.liveness import Liveness


class Succession:
    """What this node waits for from those who acted before, and owes to those who act now."""

    def __init__(self, core: Core, links: Links) -> None:
        self._core = core
        self._links = links
        self._awaited: dict[str, dict[str, float]] = {}
        """By home: whose process may have some of it in its hands, and until when that counts."""
        self._rivals: dict[str, frozenset[str]] = {}
        self._handing_over: set[str] = set()
        """Homes that this node does not act for any more, and whose next owner waits for its word.
        """
        self._handed_over: dict[str, tuple[str, LinkId]] = {}
        """By home: who was told so and has not said that it knows, and on which link."""
        self._taken: dict[tuple[str, str], LinkId | None] = {}
        """By home and who has handed it over: on which link that was confirmed; None: not yet."""

    def may_give(self, home: str) -> bool:
        """Return whether what happens to sessions of a home is given to this node's process."""
        return home in self._core.view.claims and home not in self._awaited

    @property
    def is_under_way(self) -> bool:
        """Whether this node waits for somebody's word, or has still to give its own."""
        return bool(self._awaited or self._handing_over)

    @property
    def unfinished(self) -> int:
        """How many homes another member waits for to be handed over, or has still to be."""
        return len(self._handing_over) + len(self._handed_over) + len(self._awaited)

    @property
    def hands_over(self) -> bool:
        """Whether this node has homes to hand over, or does not know that they have arrived."""
        return bool(self._handing_over or self._handed_over)

    @property
    def has_taken_over(self) -> bool:
        """Whether somebody may still wait for a confirmation."""
        return bool(self._taken)

    # --- Taking over ---

    def note_rivals(self, claims_before: Collection[str], now: float) -> list[str]:
        """Wait for the word of those who act for this node's homes as well, or did until now.

        Args:
            claims_before: what this node has acted for until now.
            now: the time.

        Returns:
            homes of which nobody has anything in hand any more.
        """
        view = self._core.view
        until = now + self._core.settings.settle_timeout_s
        for home in self._core.ring.homes:
            rivals = frozenset(
                peer.name
                for peer in view.peers.values()
                if home in peer.claims and peer.listens_to & LIFE_CYCLE_MASK
            )
            if home in view.claims:
                before = self._rivals.get(home, frozenset())
                for peer in sorted(rivals - before if home in claims_before else rivals):
                    self._awaited.setdefault(home, {})[peer] = until
            self._rivals[home] = rivals
        freed = []
        for home, awaited in list(self._awaited.items()):
            for name in list(awaited):
                there = view.peers.get(name)
                if there is None or there.liveness is not Liveness.UP:
                    freed += self._stop_waiting(home, name)
        return freed

    def give_up(self, now: float) -> list[str]:
        """Wait no longer for those who had time enough; return the homes as ``note_rivals``."""
        freed = []
        for home, awaited in list(self._awaited.items()):
            for peer in [each for each, until in awaited.items() if until <= now]:
                freed += self._stop_waiting(home, peer)
        return freed

    def on_handed_over(self, home: str, peer: str) -> list[str]:
        """A member says that nothing is in its hands; return the homes as ``note_rivals``."""
        freed = self._stop_waiting(home, peer)
        self._handed_over.pop(home, None)
        self._taken[home, peer] = None
        self.confirm()
        return freed

    def _stop_waiting(self, home: str, peer: str) -> list[str]:
        awaited = self._awaited.get(home, {})
        awaited.pop(peer, None)
        if awaited or home not in self._awaited:
            return []
        del self._awaited[home]
        return [home]

    def confirm(self) -> None:
        """Tell members that have handed a home over to this node that it knows.

        Whoever leaves goes when it is sure that nothing of it is on its way. It waits where it
        cannot be told yet: this node's link to it may come up after its own, and its word that it
        does not act any more after this. Who acts as well is told nothing, or the two went on
        telling each other.
        """
        view = self._core.view
        for home, peer in sorted(self._taken):
            told = self._taken[home, peer]
            outbound, member = self._links.outbound.get(peer), view.peers.get(peer)
            if member is None or member.inbound is None or home not in view.claims:
                del self._taken[home, peer]  # It begins anew on its next link, or with another.
            elif outbound is not None and home not in member.claims and told != outbound.link:
                self._taken[home, peer] = outbound.link
                outbound.telling.tell_waiting(home, Stamp(0), True, [])
                self._links.wake(outbound)

    # --- Handing over ---

    def on_lost(self, home: str, *, has_announcements: bool) -> None:
        """This node acts for a home no more; somebody waits for its word if it may have any."""
        self._awaited.pop(home, None)
        if has_announcements:
            self._handing_over.add(home)

    def review(self) -> None:
        """Begin anew where the one who was told is not the one who acts, or was not reached."""
        view = self._core.view
        for home, (peer, link) in list(self._handed_over.items()):
            reached = self._links.outbound.get(peer)
            if reached is None or reached.link != link or home not in view.peers[peer].claims:
                del self._handed_over[home]
                self._handing_over.add(home)
        self._handing_over &= set(self._core.ring.homes) - view.claims

    def hand_over(self) -> None:
        """Say to who acts now that nothing is in the hands of this node's process any more."""
        outbox = self._core.outbox
        for home in sorted(self._handing_over):
            outbound = self.acting_elsewhere(home)
            if outbound is None or any(each.is_given for each in outbox.of_home(home)):
                continue
            self._handing_over.discard(home)
            for row in outbox.delivered_of(home):
                outbound.telling.tell_delivered(*row)
            self.tell_waiting(outbound, home, Stamp(0), is_handed_over=True)
            self._handed_over[home] = outbound.peer, outbound.link

    def acting_elsewhere(self, home: str) -> Outbound | None:
        """Return the link to who acts for a home, if that is another member, and there."""
        view = self._core.view
        acting = view.acting_owner(home)
        if acting == view.name or home not in view.peers[acting].claims:
            return None
        return self._links.outbound.get(acting)

    def tell_waiting(
        self, outbound: Outbound, home: str, since: Stamp, *, is_handed_over: bool = False
    ) -> None:
        """Have a member told what waits of a home here."""
        keys = [each.announcement.key for each in self._core.outbox.of_home(home)]
        outbound.telling.tell_waiting(home, since, is_handed_over, keys)
        self._links.wake(outbound)
