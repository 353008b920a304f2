"""Who is told of what has happened to sessions: the process of the member that acts for them.

Rules:
- The acting owner gives each announcement to its own process, and tells the holders when it was
  delivered. They have noted the same ones by themselves (``deriving``), and whoever takes over
  gives away what is left.
- Who takes over first waits for the word of who acted before (``succession``).
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
from ring.links import Links
from ring.packed import held_is_ended
from ring.record import Record
from ring.succession import Succession
from ring.telling import announcement_in
from ring.tombstone import is_blind

STATELESS_S: Final = 2.0
"""How long an end whose session nobody here has had waits, where it would be given, for somebody
who has."""


class Announcing:
    """The announcements of one node, and what it tells other members of them."""

    def __init__(self, core: Core, links: Links) -> None:
        self._core = core
        self._links = links
        self._outbox = core.outbox
        self._succession = Succession(core, links)
        self.is_on = False
        """Somebody listens, here or elsewhere: what happens is to be noted."""
        self._since: dict[str, Stamp] = {}
        """By home: above what it sees everything, as it was told or began to hold the home."""
        self._told_since: dict[str, Stamp] = {}
        """The same as who acted has told it: nothing up to there is missing here."""
        self._held: frozenset[str] = frozenset()
        self._since_any = Stamp(0)
        self._claims: frozenset[str] = frozenset()
        self._acts_since: dict[str, float] = {}
        """By home that this node acts for: since when."""
        self._actors: dict[str, str] = {}
        """Who acted for each home, when last looked at."""
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

    def since(self, home: str) -> Stamp:
        """Return the stamp above which what arrives of a home is news, and not only new here."""
        return self._since.get(home, self._since_any)

    @property
    def unfinished(self) -> int:
        """How many homes another member waits for to be handed over, or has still to be."""
        return self._succession.unfinished

    @property
    def hands_over(self) -> bool:
        """Whether a member that has taken over waits for this node's word, or for what it says."""
        tellings = (outbound.telling for outbound in self._links.outbound.values())
        return self._succession.hands_over or any(tellings)

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
        if is_news and announcement.state and self._succession.may_give(announcement.home):
            self._give(announcement.key)

    def tell_acting(self, home: str) -> None:
        """Tell who acts for a home what waits here of it: there is something it cannot know."""
        outbound = self._succession.acting_elsewhere(home)
        if outbound is not None and self._outbox.of_home(home):
            self._succession.tell_waiting(outbound, home, Stamp(0))

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
        self._give_all_of(homes, now)
        self._succession.hand_over()

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
            self._give_all_of(self._succession.on_handed_over(home, peer), now)

    def _is_old(self, announcement: Announcement) -> bool:
        """Return whether what another member takes for news was none to who acted before.

        It had not seen yet from when on it sees everything, as this node had.
        """
        home, view = announcement.home, self._core.view
        if home not in view.claims or announcement.kind is EventKind.EXPIRED:
            return False
        held = self._core.table.held(announcement.session_id)
        if held is not None and held_is_ended(held) and is_blind(Record.from_held(held)):
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
        acts_since, self._acts_since = self._acts_since, {}
        for home in view.claims:
            self._acts_since[home] = acts_since.get(home, now)
        heard = any(peer.listens_to & LIFE_CYCLE_MASK for peer in view.peers.values())
        self.is_on = bool(view.listens_to) or heard
        owes = self._succession.hands_over or self._succession.has_taken_over
        if not self.is_on and not self._outbox and not owes:
            self._claims = view.claims
            self._note_actors(now)
            return
        self._note_held(now)
        self._give_all_of(self._succession.note_rivals(self._claims, now), now)
        lost = self._claims - view.claims
        self._claims = view.claims
        for home in sorted(lost):
            self._core.emit(Withdraw(home))
            has_any = bool(view.listens_to or self._outbox.of_home(home))
            self._succession.on_lost(home, has_announcements=has_any)
        self._succession.review()
        self._note_actors(now)
        self._succession.confirm()
        self._told = {
            (home, peer): link
            for (home, peer), link in self._told.items()
            if peer in self._links.outbound and self._links.outbound[peer].link == link
        }
        for home in self._core.ring.homes:
            self._tell_waiting(home, now)
        self._succession.hand_over()
        self._give_all_of(view.claims, now)

    def on_beat(self, now: float) -> None:
        """Look after what time alone changes."""
        if not self._outbox.has_any and not self._succession.is_under_way:
            return
        if too_old := self._outbox.forget_old(now):
            self._core.alarm("announcements_expired", count=too_old)
        if self._outbox.dropped > self._dropped:
            count, self._dropped = self._outbox.dropped - self._dropped, self._outbox.dropped
            self._core.alarm("announcements_dropped", count=count)
        self._give_all_of(self._succession.give_up(now), now)
        self._succession.hand_over()
        self._give_all_of(self._core.view.claims, now)

    # --- Giving away ---

    def _give_all_of(self, homes: Iterable[str], now: float) -> None:
        for home in sorted(homes):
            self._give_all(home, now)

    def _give_all(self, home: str, now: float) -> None:
        """Give away whatever waits of a home, if that may be."""
        is_heard = self._outbox and self._core.view.listens_to
        if not is_heard or not self._succession.may_give(home):
            return
        for waiting in self._outbox.of_home(home):
            waits_since = max(waiting.added_at, self._acts_since.get(home, now))
            old_enough = waiting.announcement.state or now - waits_since >= STATELESS_S
            if not waiting.is_given and old_enough:
                self._give(waiting.announcement.key)

    def _give(self, key: Key) -> None:
        waiting = self._outbox.get(key)
        if waiting is not None and self._core.view.listens_to:
            waiting.is_given = True
            self._core.emit(Announce(waiting.announcement))

    # --- Taking over ---

    def _note_held(self, now: float) -> None:
        """Take for news what is stamped from now on, of homes that this node begins to hold."""
        view = self._core.view
        held = frozenset(home for home in self._core.ring.homes if view.is_holder(home))
        for home in held - self._held:
            self._since[home] = self._core.clock.tick(now)
            self._told_since.pop(home, None)
        self._held = held

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
                    self._succession.tell_waiting(outbound, home, self._core.clock.tick(now))
        else:
            outbound = self._succession.acting_elsewhere(home)
            if outbound is not None and self._told.get((home, outbound.peer)) != outbound.link:
                self._told[home, outbound.peer] = outbound.link
                if self._outbox.of_home(home):
                    self._succession.tell_waiting(outbound, home, Stamp(0))

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
