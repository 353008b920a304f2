"""Who is up, who is ready and who acts, in this node's own view; no gossip, no vote.

Rules:
- A member is *up* while this node's own link to it lives and is answered; *undetermined* from
  the loss of that link until a fresh connection is made or fails; then *down*.
- The *line* of a home is its preference list, with the members that are about to leave at its end.
  So a draining member hands over as one that was away takes back: to whoever comes before it.
- A departed member stands behind all others too, as long as it is there: it drains, or will.
- Holders are the first members of the line that are up, and neither drain nor lag. Settling waits
  for the undetermined as well.
- The acting owner of a home is the first up member of its line that claims it, else the first up
  one.

Source: local views and preference lists after DeCandia et al., "Dynamo", SOSP 2007, section 4.6.
"""

from collections.abc import Sequence, Set
from enum import Enum
from math import inf

from attrs import define

from ring.identity import LinkId
from ring.messages import Status
from ring.placement import Ring


class Liveness(Enum):
    """What this node knows of a member."""

    UP = "up"
    UNDETERMINED = "undetermined"
    DOWN = "down"


@define
class Peer:
    """Another member, as this node sees it now."""

    name: str
    liveness: Liveness = Liveness.UNDETERMINED
    returning: bool = False
    """Undetermined, and it may have acted meanwhile: nothing is answered without its word."""
    returning_since: float | None = None
    """When that began; it may come and go for a while before it is heard or down."""
    restless_since: float | None = None
    """When its link was first lost, since it was last compared with or down."""
    lost_at: float = -inf
    """When its link was last lost."""
    unusable: bool = False
    """It lives, but one side refuses the other: another secret, another ring, an absurd clock."""
    ready: bool = False
    draining: bool = False
    """It is about to leave, or reaches nobody in time; so it is until something newer is known."""
    claims: frozenset[str] = frozenset()
    claims_version: int = -1
    missing: tuple[str, ...] = ()
    """The members without whose word it became ready."""
    listens_to: int = 0
    """What its process wants to be told of what happens to sessions, as a mask."""
    synced: bool = False
    """It said, on the link that it dialled, that nothing of its comparisons waits for this node."""
    heard: int = 0
    """The newest version of this node's status that its ``synced`` allows for."""
    clock_is_off: bool = False
    """Its clock and this node's are further apart than is good, and people were told."""
    inbound: LinkId | None = None
    """The link that it dialled."""
    ring_version: int = 0
    """The version of the ring that it is known to know."""

    def forget_status(self) -> None:
        """Drop what it said of itself: it may be another process when it is next heard of."""
        self.ready, self.claims, self.claims_version = False, frozenset(), -1
        self.missing, self.listens_to = (), 0

    def note_status(self, status: Status) -> bool:
        """Take over what it says of itself; return whether that is news."""
        if status.version < self.claims_version:
            return False
        before = self.ready, self.claims, self.draining, self.missing, self.listens_to
        self.claims_version = status.version
        self.ready, self.claims = status.ready, frozenset(status.claims)
        self.draining, self.missing = status.draining, status.missing
        self.listens_to = status.listens_to
        return before != (self.ready, self.claims, self.draining, self.missing, self.listens_to)


class View:
    """This node's view of the whole ring."""

    def __init__(self, ring: Ring, name: str) -> None:
        self.ring = ring
        self.name = name
        self.changes = 0
        """How often anything here has changed: what was concluded before may not hold now."""
        self.peers = {other: Peer(other) for other in ring.addresses if other != name}
        self._claims: frozenset[str] = frozenset()
        self.claims_in_order: tuple[str, ...] = ()
        self._up: frozenset[str] = frozenset({name})
        self._is_draining = False
        self._stands_back = False
        self._listens_to = 0
        self._lagging: frozenset[str] = frozenset()
        # A write asks for both; they change only with the view.
        self._draining: frozenset[str] | None = None
        self._in: dict[Liveness, list[Peer]] = {}
        self._expected: dict[str, tuple[str, ...]] = {}
        self._lines: dict[str, tuple[str, ...]] = {}
        self._held_by: dict[str, tuple[str, ...]] = {}
        self._acting: dict[str, str] = {}
        self._targets: dict[str, tuple[str, ...]] = {}

    @property
    def claims(self) -> frozenset[str]:
        """The homes that this node acts for."""
        return self._claims

    @claims.setter
    def claims(self, claims: frozenset[str]) -> None:
        self._claims, self.claims_in_order = claims, tuple(sorted(claims))
        self._changed()

    @property
    def is_draining(self) -> bool:
        """Whether this node is about to leave."""
        return self._is_draining

    @is_draining.setter
    def is_draining(self, is_draining: bool) -> None:
        self._is_draining = is_draining
        self._changed()

    @property
    def stands_back(self) -> bool:
        """Whether this node lets others go first because nobody keeps up with it."""
        return self._stands_back

    @stands_back.setter
    def stands_back(self, stands_back: bool) -> None:
        self._stands_back = stands_back
        self._changed()

    @property
    def listens_to(self) -> int:
        """The kinds of announcements that this node's process listens to, as a mask."""
        return self._listens_to

    @listens_to.setter
    def listens_to(self, mask: int) -> None:
        self._listens_to = mask
        self._changed()

    @property
    def is_last(self) -> bool:
        """Whether this node is at the end of every line, for whichever reason."""
        return self._is_draining or self._stands_back

    @property
    def lagging(self) -> frozenset[str]:
        """The members that do not keep up with this node's streams, as it judges by itself."""
        return self._lagging

    @lagging.setter
    def lagging(self, lagging: frozenset[str]) -> None:
        self._lagging = lagging
        self._changed()

    @property
    def draining(self) -> frozenset[str]:
        """The names of the members that stand behind the others, this node's perhaps among them."""
        if self._draining is None:
            others = {peer.name for peer in self.peers.values() if peer.draining}
            own = {self.name} if self.is_last else set()
            self._draining = self.ring.leaving | others | own
        return self._draining

    @property
    def up(self) -> Set[str]:
        """The names of all members that are up, this node's among them."""
        return self._up

    def set_liveness(self, peer: Peer, liveness: Liveness) -> None:
        """Note how ``peer`` is; whoever is not up has said nothing that counts."""
        was_away = peer.returning or peer.liveness is Liveness.DOWN
        peer.returning = was_away and liveness is Liveness.UNDETERMINED
        if liveness is Liveness.DOWN:
            peer.returning_since = peer.restless_since = None
            peer.draining = False
        peer.liveness = liveness
        if liveness is not Liveness.UP:
            peer.forget_status()
        up = {name for name, other in self.peers.items() if other.liveness is Liveness.UP}
        self._up = frozenset(up | {self.name})
        self._changed()

    def note_status(self, peer: Peer, status: Status) -> bool:
        """Take over what ``peer`` says of itself; return whether that is news."""
        # Without an own link its word is not asked for: it may be gone, and nothing would tell.
        news = peer.liveness is Liveness.UP and peer.note_status(status)
        if news:
            self._changed()
        return news

    def _changed(self) -> None:
        self.changes += 1
        self._in.clear()
        self._expected.clear()
        self._draining = None
        self._lines.clear()
        self._held_by.clear()
        self._acting.clear()
        self._targets.clear()

    def adopt(self, ring: Ring) -> None:
        """See ``ring`` from now on: who stays is seen as before, who is new is asked."""
        self.ring = ring
        peers = self.peers
        self.peers = {
            name: peers.get(name) or Peer(name) for name in ring.addresses if name != self.name
        }
        up = {name for name, peer in self.peers.items() if peer.liveness is Liveness.UP}
        self._up = frozenset(up | {self.name})
        self._lagging &= self._up
        self.claims = self._claims & frozenset(ring.homes)

    def peers_in(self, liveness: Liveness) -> Sequence[Peer]:
        """Return the members that are ``liveness``, in ring order."""
        peers = self._in.get(liveness)
        if peers is None:
            peers = [peer for peer in self.peers.values() if peer.liveness is liveness]
            self._in[liveness] = peers
        return peers

    def line(self, home: str) -> tuple[str, ...]:
        """Return every member once: in preference order, those that drain behind the others."""
        line = self._lines.get(home)
        if line is None:
            draining = self.draining
            # What is under way may be of a home that the ring has forgotten meanwhile.
            known = home if home in self.ring else self.ring.names[0]
            line = tuple(sorted(self.ring.everyone(known), key=lambda name: name in draining))
            self._lines[home] = line
        return line

    def holders(self, home: str) -> tuple[str, ...]:
        """Return who keeps ``home``'s sessions: the first ``copies`` of its line that can."""
        holders = self._held_by.get(home)
        if holders is None:
            holders = self._held_by[home] = self._holders(home, self._up)
        return holders

    def is_holder(self, home: str) -> bool:
        """Return whether this node keeps ``home``'s sessions, should the undetermined be up."""
        return self.name in self.expected_holders(home)

    def expected_holders(self, home: str) -> tuple[str, ...]:
        """Return who keeps ``home``'s sessions, should the undetermined be up."""
        expected = self._expected.get(home)
        if expected is None:
            possible = self._up | {peer.name for peer in self.peers_in(Liveness.UNDETERMINED)}
            expected = self._expected[home] = self._holders(home, possible)
        return expected

    def _holders(self, home: str, up: Set[str]) -> tuple[str, ...]:
        present = [name for name in self.line(home) if name in up]
        unfit = self.draining | self._lagging
        # Where everybody leaves or lags, they are still better than nobody.
        fit = [name for name in present if name not in unfit] or present
        return tuple(fit[: self.ring.copies])

    def claims_of(self, name: str) -> frozenset[str]:
        """Return the homes that a member acts for, by its own word."""
        return self.claims if name == self.name else self.peers[name].claims

    def may_be_up(self, name: str) -> bool:
        """Return whether another member is not known to be down."""
        return self.peers[name].liveness is not Liveness.DOWN

    def is_undetermined(self, name: str) -> bool:
        """Return whether a member was lost just now, and may be up or down."""
        return name != self.name and self.peers[name].liveness is Liveness.UNDETERMINED

    def acting_owner(self, home: str) -> str:
        """Return who answers for ``home``: the first up claimant, else the first up member."""
        acting = self._acting.get(home)
        if acting is None:
            up = [name for name in self.line(home) if name in self._up]
            acting = next((name for name in up if home in self.claims_of(name)), up[0])
            self._acting[home] = acting
        return acting

    def answering(self, home: str) -> tuple[str, ...]:
        """Return who may answer for ``home``, as far as this node can know.

        That is the acting owner; but those that come earlier, or all if nobody claims the home, may
        have acted when their links were lost just now, and act on.
        """
        line, acting = self.line(home), self.acting_owner(home)
        if home in self.claims_of(acting):
            line = line[: line.index(acting) + 1]
        return tuple(name for name in line if name == acting or self.is_undetermined(name))

    def targets(self, home: str) -> tuple[str, ...]:
        """Return the other members that every change of ``home`` goes to, in ring order.

        Those who act for it are among them, even where they keep nothing for others: one that
        leaves, say, and does not see who has taken over.
        """
        targets = self._targets.get(home)
        if targets is None:
            wanted = {*self.holders(home), self.acting_owner(home)}
            targets = tuple(
                name
                for name, peer in self.peers.items()
                if name in wanted or (name in self._up and home in peer.claims)
            )
            self._targets[home] = targets
        return targets

    def is_first_in_line(self, home: str) -> bool:
        """Return whether no other member stands between this node and acting for ``home``.

        Whoever acts goes on until an earlier member claims. Whoever does not act yet lets every
        earlier member go first that is up or may be.
        """
        for name in self.line(home):
            if name == self.name:
                return True
            peer = self.peers[name]
            if home in self.claims:
                if home in peer.claims:
                    return False
            elif peer.liveness is not Liveness.DOWN:
                return False
        raise AssertionError("a preference list has every member")
