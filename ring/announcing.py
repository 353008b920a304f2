"""Who is told of what has happened to sessions: the process of the member that acts for them.

Rules:
- The acting owner gives each announcement to its own process, and tells the holders when it was
  delivered. They have noted the same ones by themselves (``deriving``), and whoever takes over
  gives away what is left.
- Who takes over waits until the member that acted before, if it lives, has said that nothing is in
  the hands of its process any more; so nothing is delivered twice that is only handed over.
- A member that begins to hold a home is told what waits, and from which stamp on it will see
  everything by itself. So nothing old that it is sent then is taken for news.
- What another has noted and the acting owner has not is sent to it when it takes over, or is
  reached again.
- Changes, coming expiries and takeovers are hints: given at once, at most once, lost with the node.
"""

from collections.abc import Iterable
from typing import Final

from ring.announcements import (
    LIFE_CYCLE,
    LIFE_CYCLE_MASK,
    Announced,
    Announcement,
    Announcements,
    EventKind,
    Key,
    Takeover,
    key_of,
)
from ring.clock import Stamp
from ring.core import Core
from ring.effects import Announce, Withdraw
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId, home_of
from ring.links import Links, Outbound
from ring.liveness import Liveness
from ring.telling import announcement_in

STATELESS_S: Final = 2.0
"""How long an end whose session nobody here has had waits for somebody who has."""


class Announcing:
    """The announcements of one node, and what it tells other members of them."""

    def __init__(self, core: Core, links: Links) -> None:
        self._core = core
        self._links = links
        self._outbox = core.outbox
        self.is_on = False
        """Somebody listens, here or elsewhere: what happens is to be noted."""
        self._since: dict[str, Stamp] = {}
        """By home: above what it sees everything, as it was told or began to hold the home."""
        self._told_since: dict[str, Stamp] = {}
        """The same as who acted has told it: nothing up to there is missing here."""
        self._held: frozenset[str] = frozenset()
        self._since_any = Stamp(0)
        self._claims: frozenset[str] = frozenset()
        self._actors: dict[str, str] = {}
        """Who acted for each home, when last looked at."""
        self._awaited: dict[str, dict[str, float]] = {}
        """By home: whose process may have some of it in its hands, and until when that counts."""
        self._rivals: dict[str, frozenset[str]] = {}
        self._handing_over: set[str] = set()
        """Homes that this node does not act for any more, and whose next owner waits for its word.
        """
        self._handed_over: dict[str, tuple[str, LinkId]] = {}
        """By home: who was told so and has not said that it knows, and on which link."""
        self._owed: set[tuple[str, str]] = set()
        """Homes, and who has handed them over and was not told yet that this node knows."""
        self._told: dict[tuple[str, str], LinkId] = {}
        """By home and member: the link on which it was told what waits."""
        self._givers: dict[str, set[str]] = {}
        """By home: who has told what waits, since the same member acts."""
        self._as_of: tuple[int, int] | None = None
        self._dropped = 0

    # --- What is asked of it ---

    def listeners(self, home: str) -> int:
        """Return the mask of what somebody listens to, in the process that acts for a home."""
        view = self._core.view
        acting = view.acting_owner(home)
        if acting == view.name:
            if home in view.claims:
                return view.listens_to
        elif home in view.peers[acting].claims:
            return view.peers[acting].listens_to
        # Nobody acts just now: whoever does in a moment may want to know.
        mask = view.listens_to
        for peer in view.peers.values():
            mask |= peer.listens_to
        return mask

    def may_give(self, home: str) -> bool:
        """Return whether what happens to sessions of a home is given to this node's process."""
        return home in self._core.view.claims and home not in self._awaited

    def since(self, home: str) -> Stamp:
        """Return the stamp above which what arrives of a home is news, and not only new here."""
        return self._since.get(home, self._since_any)

    @property
    def unfinished(self) -> int:
        """How many homes another member waits for to be handed over, or has still to be."""
        return len(self._handing_over) + len(self._handed_over) + len(self._awaited)

    @property
    def hands_over(self) -> bool:
        """Whether a member that has taken over waits for this node's word, or for what it says."""
        tellings = (outbound.telling for outbound in self._links.outbound.values())
        return bool(self._handing_over or self._handed_over) or any(tellings)

    # --- Inputs ---

    def start(self, now: float) -> None:
        """Begin this life: what is older is nothing to announce."""
        self._since_any = self._core.clock.tick(now)

    def listen(self, mask: int, now: float) -> None:
        """Take over what this node's process listens to from now on; the caller tells it."""
        view = self._core.view
        if not view.listens_to and mask:
            # What has come while nobody listened is announced to nobody.
            for home in view.claims:
                self._since[home] = self._core.clock.tick(now)
            self._told.clear()
        view.listens_to = mask

    def add(self, announcement: Announcement, now: float) -> None:
        """Note what has happened; it is given away at once if it may be."""
        is_news = self._outbox.add(announcement, now)
        if is_news and announcement.state and self.may_give(announcement.home):
            self._give(announcement.key)

    def hint(self, hint: Announcement | Takeover) -> None:
        """Give away what nobody is sure to get."""
        self._core.emit(Announce(hint))

    def on_delivered(
        self, delivered: Iterable[Announcement], returned: Iterable[Announcement], now: float
    ) -> None:
        """This node's process is done with some, and gives others back that nobody took."""
        homes = set()
        for each in returned:
            waiting = self._outbox.get(each.key)
            if waiting is not None:
                waiting.is_given = False
                homes.add(each.home)
        for each in delivered:
            if each.kind in LIFE_CYCLE:
                self._outbox.deliver(each.key, each.stamp, now)
                self._tell_delivered(each.session_id, each.kind, each.stamp)
        for home in sorted(homes):
            self._give_all(home, now)
        self._hand_over()

    def on_announced(self, peer: str, message: Announced, now: float) -> None:
        """A member says what was delivered."""
        rows = iter(message.flat)
        for session_id, kind, stamp in zip(rows, rows, rows, strict=True):
            assert isinstance(session_id, bytes)
            assert isinstance(kind, int)
            assert isinstance(stamp, int)
            named = SessionId(session_id)
            key = key_of(named, kind, stamp)
            is_news = self._outbox.deliver(key, stamp, now)
            if is_news and home_of(named) in self._core.view.claims:
                # It was delivered elsewhere, by whom not all of this node's holders have heard.
                self._tell_delivered(named, kind, stamp, but=peer)

    def on_announcements(self, peer: str, message: Announcements, now: float) -> None:
        """A member says what is not delivered.

        Raises:
            RemoteProtocolError: it cannot have meant it. What came before was taken over.
        """
        home, core = message.home, self._core
        if home not in core.ring:
            raise RemoteProtocolError(f"announces of {home!r}, which is not in this ring")
        outbound = self._links.outbound.get(peer)
        fields = iter(message.flat)
        for session_id, kind, stamp, portable, new_id in zip(*[fields] * 5, strict=True):
            announcement = announcement_in(session_id, kind, stamp, portable, new_id, now)
            if announcement.home != home:
                raise RemoteProtocolError(f"announces what is not of {home!r} as if it were")
            if self._outbox.is_delivered(announcement.key) or self._is_old(announcement):
                if outbound is not None:
                    outbound.telling.tell_delivered(announcement.session_id, kind, stamp)
                    self._links.wake(outbound)
            else:
                self.add(announcement, now)
        if message.since:
            self._since[home] = self._told_since[home] = message.since
        self._givers.setdefault(home, set()).add(peer)
        if message.is_handed_over:
            self._stop_waiting(home, peer, now)
            self._handed_over.pop(home, None)
            self._owed.add((home, peer))
            self._confirm()

    def _confirm(self) -> None:
        """Tell members that have handed a home over to this node that it knows.

        Whoever leaves goes when it is sure that nothing of it is on its way. It waits where it
        cannot be told yet: this node's link to it may come up after its own, and its word that it
        does not act any more after this. Who acts as well is told nothing, or the two went on
        telling each other.
        """
        view, owed = self._core.view, self._owed
        self._owed = set()
        for home, peer in sorted(owed):
            outbound, member = self._links.outbound.get(peer), view.peers.get(peer)
            if member is None or member.inbound is None or home not in view.claims:
                continue  # It begins anew on its next link, or with another member.
            if outbound is None or home in member.claims:
                self._owed.add((home, peer))
            else:
                outbound.telling.tell_waiting(home, Stamp(0), True, [])
                self._links.wake(outbound)

    def _is_old(self, announcement: Announcement) -> bool:
        """Return whether what another member takes for news was none to who acted before.

        It had not seen yet from when on it sees everything, as this node had.
        """
        home, view = announcement.home, self._core.view
        if home not in view.claims or announcement.kind is EventKind.EXPIRED:
            return False
        known = self._outbox.get(announcement.key)
        return known is None and announcement.stamp <= self._told_since.get(home, 0)

    def review(self, now: float) -> None:
        """Draw conclusions from a changed view: who acts, who holds, who listens."""
        view = self._core.view
        as_of = view.changes, len(self._links.outbound)
        if as_of == self._as_of:
            return
        self._as_of = as_of
        heard = any(peer.listens_to & LIFE_CYCLE_MASK for peer in view.peers.values())
        self.is_on = bool(view.listens_to) or heard
        if not self.is_on and not self._outbox and not self._handing_over:
            self._claims = view.claims
            self._note_actors(now)
            return
        self._note_held(now)
        self._note_rivals(now)
        lost = self._claims - view.claims
        self._claims = view.claims
        for home in sorted(lost):
            self._awaited.pop(home, None)
            self._core.emit(Withdraw(home))
            if view.listens_to or self._outbox.of_home(home):
                self._handing_over.add(home)
        for home, (peer, link) in list(self._handed_over.items()):
            reached = self._links.outbound.get(peer)
            if reached is None or reached.link != link or home not in view.peers[peer].claims:
                del self._handed_over[home]
                self._handing_over.add(home)
        self._handing_over &= set(self._core.ring.homes) - view.claims
        self._note_actors(now)
        self._confirm()
        self._told = {
            (home, peer): link
            for (home, peer), link in self._told.items()
            if peer in self._links.outbound and self._links.outbound[peer].link == link
        }
        for home in self._core.ring.homes:
            self._tell_waiting(home, now)
        self._hand_over()
        for home in sorted(view.claims):
            self._give_all(home, now)

    def on_beat(self, now: float) -> None:
        """Look after what time alone changes."""
        if not self._outbox.has_any and not self._awaited and not self._handing_over:
            return
        if too_old := self._outbox.forget_old(now):
            self._core.alarm("announcements_expired", count=too_old)
        if self._outbox.dropped > self._dropped:
            count, self._dropped = self._outbox.dropped - self._dropped, self._outbox.dropped
            self._core.alarm("announcements_dropped", count=count)
        for home, awaited in list(self._awaited.items()):
            for peer in [each for each, until in awaited.items() if until <= now]:
                self._stop_waiting(home, peer, now)
        self._hand_over()
        for home in sorted(self._core.view.claims):
            self._give_all(home, now)

    # --- Giving away ---

    def _give_all(self, home: str, now: float) -> None:
        """Give away whatever waits of a home, if that may be."""
        if not self._outbox or not self._core.view.listens_to or not self.may_give(home):
            return
        for waiting in self._outbox.of_home(home):
            old_enough = waiting.announcement.state or now - waiting.added_at >= STATELESS_S
            if not waiting.is_given and old_enough:
                self._give(waiting.announcement.key)

    def _give(self, key: Key) -> None:
        waiting = self._outbox.get(key)
        if waiting is not None and self._core.view.listens_to:
            waiting.is_given = True
            self._core.emit(Announce(waiting.announcement))

    # --- Taking over and handing over ---

    def _note_held(self, now: float) -> None:
        """Take for news what is stamped from now on, of homes that this node begins to hold."""
        view = self._core.view
        held = frozenset(home for home in self._core.ring.homes if view.is_holder(home))
        for home in held - self._held:
            self._since[home] = self._core.clock.tick(now)
            self._told_since.pop(home, None)
        self._held = held

    def _note_rivals(self, now: float) -> None:
        """Wait for the word of those who act for this node's homes as well, or did until now."""
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
                for peer in sorted(rivals - before if home in self._claims else rivals):
                    self._awaited.setdefault(home, {})[peer] = until
            self._rivals[home] = rivals
        for home, awaited in list(self._awaited.items()):
            for name in list(awaited):
                there = view.peers.get(name)
                if there is None or there.liveness is not Liveness.UP:
                    self._stop_waiting(home, name, now)

    def _stop_waiting(self, home: str, peer: str, now: float) -> None:
        awaited = self._awaited.get(home, {})
        awaited.pop(peer, None)
        if not awaited and home in self._awaited:
            del self._awaited[home]
            self._give_all(home, now)

    def _note_actors(self, now: float) -> None:
        """Give a hint of each home for which this node acts now, and another one did."""
        view, core = self._core.view, self._core
        for home in core.ring.homes:
            acting = view.acting_owner(home)
            if home not in view.claims_of(acting):
                continue
            before = self._actors.get(home)
            if acting == before:
                continue
            self._actors[home] = acting
            self._givers.pop(home, None)
            for each in [each for each in self._told if each[0] == home]:
                del self._told[each]
            listens = view.listens_to >> EventKind.FAILED_OVER & 1
            if before is not None and acting == view.name and listens:
                stamp = core.clock.tick(now)
                self.hint(Takeover(home, before, acting, core.table.count(home), stamp))

    def _hand_over(self) -> None:
        """Say to who acts now that nothing is in the hands of this node's process any more."""
        for home in sorted(self._handing_over):
            waiting = self._outbox.of_home(home)
            outbound = self._acting_elsewhere(home)
            if outbound is None or any(each.is_given for each in waiting):
                continue
            self._handing_over.discard(home)
            for row in self._outbox.delivered_of(home):
                outbound.telling.tell_delivered(*row)
            self._list(outbound, home, Stamp(0), is_handed_over=True)
            self._handed_over[home] = outbound.peer, outbound.link

    def _acting_elsewhere(self, home: str) -> Outbound | None:
        """Return the link to who acts for a home, if that is another member, and there."""
        view = self._core.view
        acting = view.acting_owner(home)
        if acting == view.name or home not in view.peers[acting].claims:
            return None
        return self._links.outbound.get(acting)

    # --- Telling ---

    def _tell_waiting(self, home: str, now: float) -> None:
        """Tell those who have become holders of a home, or who acts for it, what waits of it."""
        view = self._core.view
        if home in view.claims:
            if not view.listens_to & LIFE_CYCLE_MASK:
                return
            for peer in view.targets(home):
                outbound = self._links.outbound.get(peer)
                if outbound is not None and self._told.get((home, peer)) != outbound.link:
                    self._told[home, peer] = outbound.link
                    for session_id, kind, stamp in self._outbox.delivered_of(home):
                        if kind == EventKind.EXPIRED:
                            # Its stamp is that of an access, and does not tell when it happened.
                            outbound.telling.tell_delivered(session_id, kind, stamp)
                    self._list(outbound, home, self._core.clock.tick(now))
        else:
            outbound = self._acting_elsewhere(home)
            if outbound is not None and self._told.get((home, outbound.peer)) != outbound.link:
                self._told[home, outbound.peer] = outbound.link
                if self._outbox.of_home(home):
                    self._list(outbound, home, Stamp(0))

    def _list(
        self, outbound: Outbound, home: str, since: Stamp, *, is_handed_over: bool = False
    ) -> None:
        keys = [each.announcement.key for each in self._outbox.of_home(home)]
        outbound.telling.tell_waiting(home, since, is_handed_over, keys)
        self._links.wake(outbound)

    def _tell_delivered(
        self, session_id: SessionId, kind: int, stamp: int, *, but: str = ""
    ) -> None:
        """Tell whoever may have noted it as well."""
        home = home_of(session_id)
        told = self._givers.get(home, set()) | {peer for each, peer in self._told if each == home}
        for name in sorted(told.union(self._core.view.targets(home)) - {but}):
            outbound = self._links.outbound.get(name)
            if outbound is not None:
                outbound.telling.tell_delivered(session_id, kind, stamp)
                self._links.wake(outbound)
