"""Which members are there: their connections come, say what they are, fall silent and end.

Rules:
- A member is up from its first accepted status on this node's own link to it, not before.
- Losing that link leaves it undetermined; being refused a fresh one, or breaking the protocol,
  makes it down.
- After every change of the view all conclusions are drawn anew (``review``).
"""

from collections.abc import Callable
from math import inf

from ring.administration import RingRecord
from ring.core import Core
from ring.decoding import observe
from ring.effects import Close, Dial
from ring.estranged import Estranged
from ring.identity import LinkId
from ring.links import Inbound, Links, Outbound
from ring.liveness import Liveness, Peer
from ring.messages import Greeting, Leaving, Members, Status
from ring.querying import Querying
from ring.receipts import Receipts
from ring.replication import Replication
from ring.serving import Serving
from ring.settling import Settling


class Membership:
    """The members as this node's connections show them."""

    def __init__(
        self,
        core: Core,
        links: Links,
        receipts: Receipts,
        replication: Replication,
        settling: Settling,
        estranged: Estranged,
        serving: Serving,
        querying: Querying,
        review: Callable[[float], None],
    ) -> None:
        self._core = core
        self._links = links
        self._receipts = receipts
        self._replication = replication
        self._settling = settling
        self._estranged = estranged
        self._serving = serving
        self._querying = querying
        self._review = review
        self._thawed_at = -inf

    def on_linked(
        self, peer: str, link: LinkId, now: float, greeting: Greeting | None = None
    ) -> None:
        """This node's own connection to ``peer`` is authenticated."""
        if peer not in self._core.view.peers:
            self._core.emit(Close(link, f"{peer} is not in the ring any more"))
            return
        if self._is_kept_apart(peer, link, greeting, now):
            if self._core.view.peers[peer].liveness is not Liveness.UP:
                self.on_unreachable(peer, now, alive=True)
            return
        old = self._links.outbound.get(peer)
        if old is not None:
            self.hang_up(old.link, "replaced by a newer connection", now, redial=False)
        self._estranged.meet(peer, now)
        outbound = self._links.add_outbound(link, peer, now)
        outbound.greeting = greeting
        self._greet(outbound, peer)
        self._links.show_status(outbound, self._settling.status(now))

    def on_unreachable(
        self, peer: str, now: float, *, alive: bool, began: float | None = None
    ) -> None:
        """A dial of ``peer`` has failed; ``alive``: somebody is there, and will not talk."""
        member = self._core.view.peers.get(peer)
        if member is None:
            return  # The ring has gone on without it.
        member.unusable = alive
        if member.liveness is not Liveness.UNDETERMINED:
            return
        if began is None or began >= self._last_sign_of(member):
            self._note_down(member, now)
            self._review(now)

    def _last_sign_of(self, member: Peer) -> float:
        """Return since when a dial has to have begun for its failure to tell something.

        One that began before this node stood still, or before the member called, tells of then.
        """
        called_at = -inf
        if member.inbound is not None:
            called_at = self._links.inbound[member.inbound].greeted_at
        return max(called_at, self._thawed_at)

    def on_accepted(
        self, link: LinkId, peer: str | None, now: float, greeting: Greeting | None = None
    ) -> None:
        """``peer``, or a client for None, has dialled this node and is authenticated."""
        if peer is None:
            self.tell_members(self._links.add_inbound(link, peer, now))
            if self._core.view.is_draining:
                self._links.answer(link, Leaving())
        elif peer not in self._core.view.peers:
            self._on_stranger(link, peer, greeting, now)
        elif not self._is_kept_apart(peer, link, greeting, now):
            inbound = self._links.add_inbound(link, peer, now)
            inbound.greeting = greeting
            self._welcome(inbound, peer, now)

    def admit(self, inbound: Inbound, peer: str, now: float) -> None:
        """Take a stranger for what it is, now that it has brought the ring that lists it."""
        if self._is_kept_apart(peer, inbound.link, inbound.greeting, now):
            self._links.remove(inbound.link)
        else:
            inbound.heard_at = now
            self._welcome(inbound, peer, now)

    def _welcome(self, inbound: Inbound, peer: str, now: float) -> None:
        member = self._core.view.peers[peer]
        if member.inbound is not None:
            self.hang_up(member.inbound, "replaced by a newer connection", now)
        member.inbound = inbound.link
        self._estranged.meet(peer, now)
        self._greet(inbound, peer)
        self._links.show_status(inbound, self._settling.status(now))

    def _greet(self, connection: Outbound | Inbound, peer: str) -> None:
        """Tell the ring to a member that knows an older one, before anything else."""
        if connection.greeting is None:
            return
        version = self._core.view.peers[peer].ring_version = connection.greeting.ring_version
        connection.is_known = version <= self._core.ring.version
        if 0 < version < self._core.ring.version:
            self._links.tell_ring(connection, RingRecord(self._core.ring))

    def _on_stranger(self, link: LinkId, peer: str, greeting: Greeting | None, now: float) -> None:
        """Let in whom this node's ring does not list, to tell it the ring or to be told."""
        ours = self._core.ring.version
        theirs = greeting.ring_version if greeting is not None else ours
        if theirs == ours or self._core.is_removed:
            self._core.emit(Close(link, f"{peer} is not in the ring"))
            return
        inbound = self._links.add_inbound(link, peer, now)
        inbound.greeting, inbound.is_known = greeting, False
        if theirs < ours:
            self._links.tell_ring(inbound, RingRecord(self._core.ring))

    def tell_members(self, inbound: Inbound) -> None:
        """Tell a client the ring, so that it can route by id."""
        ring = self._core.ring
        message = Members(
            ring.name,
            ring.names,
            tuple(member.address for member in ring.members),
            tuple(name for name in ring.names if name in ring.backups),
            tuple(departed.name for departed in ring.departed),
            tuple(departed.heir for departed in ring.departed),
        )
        self._links.answer(inbound.link, message)

    def part(self, peer: str, reason: str, now: float) -> None:
        """End every connection with a member for good."""
        outbound = self._links.outbound.get(peer)
        if outbound is not None:
            self.hang_up(outbound.link, reason, now, redial=False)
        member = self._core.view.peers[peer]
        if member.inbound is not None:
            self.hang_up(member.inbound, reason, now)
        if member.liveness is not Liveness.DOWN:
            self._core.view.set_liveness(member, Liveness.DOWN)
            self._settling.on_down(now)

    def review(self, now: float) -> None:
        """Draw every conclusion from a changed view of the ring."""
        self._review(now)

    def _is_kept_apart(
        self, name: str, link: LinkId, greeting: Greeting | None, now: float
    ) -> bool:
        """End a connection on which nothing may be said; return whether it was ended."""
        if self._core.is_removed:
            self._core.emit(Close(link, "this node is not in the ring any more"))
            return True
        if greeting is None:
            return False
        if self._is_name_in_use(name, greeting, now):
            self._core.emit(Close(link, f"another live process is {name}", name_in_use=True))
            return True
        return self._is_clock_off(name, link, greeting, now)

    def _is_name_in_use(self, name: str, greeting: Greeting, now: float) -> bool:
        """Return whether another process of that name was heard too lately to be dead."""
        member = self._core.view.peers[name]
        connections: list[Outbound | Inbound | None] = [self._links.outbound.get(name)]
        if member.inbound is not None:
            connections.append(self._links.inbound.get(member.inbound))
        heard_since = now - self._core.settings.suspect_after_s
        return any(
            each.greeting.incarnation != greeting.incarnation and each.heard_at > heard_since
            for each in connections
            if each is not None and each.greeting is not None
        )

    def _is_clock_off(self, name: str, link: LinkId, greeting: Greeting, now: float) -> bool:
        """Tell people of clocks that are too far apart; stay out unless this node serves already.

        Two that serve stay linked: their records are stamped by now, and parting them helps nobody.
        """
        core, member = self._core, self._core.view.peers[name]
        ahead_s = (greeting.clock_ms - core.clock.physical_ms(now)) / 1000
        is_off = abs(ahead_s) > core.settings.clock_bound_s
        if is_off and not member.clock_is_off:
            core.alarm("clock_off", peer=name, ahead_s=round(ahead_s, 1), stays_out=not core.ready)
        member.clock_is_off = is_off
        if is_off and not core.ready:
            core.emit(Close(link, f"its clock is {ahead_s:.0f} s ahead of this node's"))
            return True
        return False

    def on_status(self, name: str, status: Status, now: float, inbound: Inbound | None) -> None:
        """Take what a member says of itself; the first on a link tells that it can be heard."""
        peer = self._core.view.peers[name]
        observe(self._core, status.clock, now)
        news = False
        if inbound is None:
            if peer.liveness is not Liveness.UP:
                self._note_up(peer, now)
                news = True
        else:
            if not inbound.greeted and peer.liveness is not Liveness.UP:
                self._note_caller(peer, now)
                news = True
            if not inbound.greeted:
                inbound.greeted, inbound.greeted_at = True, now
            news |= peer.synced != status.synced
            peer.synced, peer.heard = status.synced, status.heard
            if not status.echo:
                self._links.show_status(inbound, self._settling.status(now, echo=True))
        news |= self._core.view.note_status(peer, status)
        if news:
            self._review(now)

    def hang_up(
        self,
        link: LinkId,
        reason: str,
        now: float,
        *,
        redial: bool = True,
        unusable: bool = False,
    ) -> None:
        """Close a connection, and forget it at once: what is under way no longer counts."""
        self._core.emit(Close(link, reason))
        self.lose(link, now, redial=redial, unusable=unusable)

    def on_frozen(self, now: float, for_s: float) -> None:
        """This node has stood still: end every connection unread, and begin anew with everybody.

        Others may have called it down and acted in its place, and what lies unread here may be as
        old as the standstill.
        """
        self._core.alarm("frozen", for_s=round(for_s, 3))
        self._thawed_at = now
        for peer in self._core.view.peers.values():
            # For how long it was waited for before says nothing of what it knows by now.
            peer.returning_since = peer.restless_since = None
            if peer.liveness is Liveness.UP:
                self._core.view.set_liveness(peer, Liveness.UNDETERMINED)
        self._settling.on_frozen()
        for link in self._links.all_links():
            self.hang_up(link, f"this node stood still for {for_s:.1f} s", now)
        for peer in self._core.view.peers.values():
            # Whoever was down may have come meanwhile, and acted.
            self._core.view.set_liveness(peer, Liveness.UNDETERMINED)
            self._core.emit(Dial(peer.name))
        self._review(now)

    def hang_up_on_the_silent(self, now: float) -> None:
        """End the connections of members that have said nothing for too long."""
        silent_before = now - self._core.settings.suspect_after_s
        connections: list[Outbound | Inbound] = list(self._links.outbound.values())
        connections += [each for each in self._links.inbound.values() if each.peer is not None]
        for connection in connections:
            if connection.heard_at <= silent_before:
                never_spoke = connection.peer not in self._core.view.up
                self.hang_up(connection.link, "silent for too long", now, unusable=never_spoke)

    def silent_at(self) -> float:
        """Return when the first connection will have been silent for too long, as things are."""
        earliest = inf
        for outbound in self._links.outbound.values():
            earliest = min(earliest, outbound.heard_at)
        for inbound in self._links.inbound.values():
            if inbound.peer is not None:
                earliest = min(earliest, inbound.heard_at)
        return earliest + self._core.settings.suspect_after_s

    def lose(
        self, link: LinkId, now: float, *, redial: bool = True, unusable: bool = False
    ) -> None:
        """Forget a connection; ``unusable``: nothing that its member says can be relied on."""
        connection = self._links.remove(link)
        peers = self._core.view.peers
        member = peers.get(connection.peer or "") if connection is not None else None
        if unusable and member is not None:
            member.unusable = True
        if isinstance(connection, Inbound):
            if member is not None and member.inbound == link:
                member.inbound = None
                member.synced = False
                member.heard = 0
        elif connection is not None:
            assert member is not None, "nobody dials whom the ring does not have"
            if unusable:
                self._note_down(member, now)
            elif member.liveness is Liveness.UP:
                self._core.view.set_liveness(member, Liveness.UNDETERMINED)
            self._receipts.on_link_lost(member.name)
            self._settling.on_link_lost(member.name, now)
            self._serving.on_link_lost(connection, now)
            self._querying.on_link_lost(connection, now)
            self._replication.resend_waiting(self._links.outbound)
            if redial:
                self._core.emit(Dial(member.name))
            self._review(now)

    def _note_up(self, member: Peer, now: float) -> None:
        """``member`` has said what it is, on this node's own link to it."""
        member.unusable = False
        self._core.view.set_liveness(member, Liveness.UP)
        self._core.notice("member_up", peer=member.name)
        self._settling.on_up(member.name, now)
        self._replication.resend_waiting([member.name])

    def _note_down(self, member: Peer, now: float) -> None:
        if member.liveness is not Liveness.DOWN:
            self._core.view.set_liveness(member, Liveness.DOWN)
            if member.name in self._core.ring.leaving:
                self._core.notice("member_gone", peer=member.name)
            else:
                self._core.alarm("member_down", peer=member.name)
            self._settling.on_down(now)

    def _note_caller(self, member: Peer, now: float) -> None:
        """``member``, which is not up, has said what it is on a new link of its own.

        That it dials anew shows that it had lost its link: it may have called this node down.
        """
        self._core.view.set_liveness(member, Liveness.UNDETERMINED)
        member.returning = True
        self._settling.awaiting.note_returning(member, now)
        if member.name not in self._links.outbound:
            self._core.emit(Dial(member.name))
