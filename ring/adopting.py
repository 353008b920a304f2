"""The ring as a versioned record: the greater version takes the place of the other, at run time.

Rules:
- Whoever knows a greater version tells it first of all, on every connection; until then nothing
  else is heard. So what is said is always of a ring that the hearer knows.
- Who has the ring's secret is let in with another version, listed or not. With the greater one it
  has to bring it, and to be listed there; with the lesser one it is told, and leaves by itself.
- Two contents of one version refuse each other: people have to give one of them a greater version.
- A member that the ring lists as departed drains: others take over first. One for which there is
  no place at all serves nothing from then on: nobody listens to it any more.
"""

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.comparing import Comparing
from ring.core import Core
from ring.draining import Draining
from ring.effects import Adopt, Dial
from ring.errors import RemoteProtocolError
from ring.estranged import Estranged
from ring.links import Inbound, Links, Outbound
from ring.membership import Membership
from ring.messages import Failed, Failure, Message
from ring.placement import Ring
from ring.replication import Replication
from ring.settling import Settling


class Adopting:
    """Which ring this node knows, and who else has to know it."""

    def __init__(
        self,
        core: Core,
        links: Links,
        replication: Replication,
        comparing: Comparing,
        settling: Settling,
        estranged: Estranged,
        draining: Draining,
        membership: Membership,
    ) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._comparing = comparing
        self._settling = settling
        self._estranged = estranged
        self._draining = draining
        self._membership = membership

    # --- What people say ---

    def objection(self, ring: Ring) -> str | None:
        """Return why nobody should set ``ring`` at this node, as a sentence; None: they may."""
        ours = self._core.ring
        if ring.name != ours.name:
            return f"it is called {ring.name!r}, and the ring of this node {ours.name!r}"
        if self._core.is_removed:
            return f"{self._core.name} is not in it any more; ask one that is"
        if ring.version <= ours.version:
            return f"its version is {ring.version}; use one above {ours.version}"
        lost = [name for name in ours.names if name not in ring]
        if lost:
            return (
                f"it has no place for {', '.join(lost)}, whose sessions would be nobody's; write "
                "[[ring.departed]] with the name, an heir, and the address until it has stopped"
            )
        if self._core.name not in ring.addresses:
            return f"it has no address for {self._core.name}, which was asked; ask one that stays"
        return None

    def on_show(self, inbound: Inbound, message: ShowRing) -> None:
        """Show the ring."""
        self._links.answer(inbound.link, RingShown(message.number, self._core.ring))

    def on_set(self, inbound: Inbound, message: SetRing, now: float) -> None:
        """Adopt the ring that somebody sets; again is harmless."""
        if message.ring != self._core.ring:
            objection = self.objection(message.ring)
            if objection is not None:
                failed = Failed(
                    message.number, Failure.INVALID, f"the ring was not set: {objection}"
                )
                self._links.answer(inbound.link, failed)
                return
            self.adopt(message.ring, now)
        self._links.answer(inbound.link, RingShown(message.number, self._core.ring))

    # --- What members say ---

    def is_heard(self, connection: Inbound | Outbound, message: Message, now: float) -> bool:
        """Return whether a message counts whose sender was not known when it connected.

        Of one that knows a later ring nothing counts before that; of one that the ring does not
        list, nothing else does. It is closed as one that is silent, if it does not go by itself.
        """
        assert connection.greeting is not None, "else it would be known"
        is_behind = connection.greeting.ring_version > self._core.ring.version
        if is_behind and not isinstance(message, RingRecord):
            raise RemoteProtocolError("has not told the ring that it knows, in a greater version")
        if self._is_member(connection):
            connection.is_known = not is_behind
            return True
        if isinstance(message, RingRecord):
            self.on_record(connection, message, now)
        return False

    def on_record(self, connection: Inbound | Outbound, message: RingRecord, now: float) -> None:
        """Adopt the ring that a member knows, if its version is greater."""
        ours, theirs, name = self._core.ring, message.ring, connection.peer
        assert name is not None, "a client cannot send it"
        if theirs.name != ours.name:
            raise RemoteProtocolError("brings another ring")
        if theirs.version == ours.version and theirs != ours:
            self._core.alarm("ring_conflict", peer=name, version=ours.version)
            raise RemoteProtocolError("knows another ring of the same version")
        was_member = self._is_member(connection)
        if was_member:
            self._core.view.peers[name].ring_version = theirs.version
        if theirs.version > ours.version:
            self.adopt(theirs, now)
        if not was_member and not self._core.is_removed:
            assert isinstance(connection, Inbound), "nobody dials whom the ring does not have"
            if name not in self._core.view.peers:
                raise RemoteProtocolError("brings a ring that does not list it")
            self._membership.admit(connection, name, now)

    def _is_member(self, connection: Inbound | Outbound) -> bool:
        """Return whether a connection is that of a member, and not of a stranger so far."""
        member = self._core.view.peers.get(connection.peer or "")
        if member is None or isinstance(connection, Outbound):
            return member is not None
        return member.inbound == connection.link

    # --- Adopting ---

    def adopt(self, ring: Ring, now: float) -> None:
        """Let ``ring`` be the ring from now on."""
        core = self._core
        core.emit(Adopt(ring))
        core.notice("ring_adopted", version=ring.version, members=len(ring.members))
        if core.name not in ring.addresses:
            self._leave_at_once(ring, now)
            return
        for name in [each for each in core.view.peers if each not in ring.addresses]:
            self._membership.part(name, f"{name} is not in the ring any more", now)
        known = frozenset(core.view.peers)
        core.ring = ring
        forgotten = core.table.have_homes(ring.homes)
        for home, sessions in forgotten.items():
            core.alarm("home_forgotten", home=home, sessions=sessions)
        core.view.adopt(ring)
        self._links.keep(ring.homes)
        self._comparing.keep(ring.homes, core.view.peers)
        self._settling.keep(frozenset(ring.homes))
        self._estranged.keep(ring.homes, now)
        self._tell()
        for name in core.view.peers:
            if name not in known:
                core.emit(Dial(name))
        if core.name in ring.leaving:
            core.alarm("departed", version=ring.version)
            self._draining.begin()
        self._replication.resend_waiting(self._links.outbound)
        self._membership.review(now)

    def _leave_at_once(self, ring: Ring, now: float) -> None:
        """Serve nothing any more, and say nothing to anybody."""
        core = self._core
        core.alarm("removed", version=ring.version)
        core.is_removed = True
        self._draining.begin()
        self._settling.on_frozen()
        for name in list(core.view.peers):
            self._membership.part(name, "this node is not in the ring any more", now)
        self._membership.review(now)

    def _tell(self) -> None:
        """Tell the ring to every member that may not know it, and to the clients."""
        core, record = self._core, RingRecord(self._core.ring)
        for name, outbound in self._links.outbound.items():
            if core.view.peers[name].ring_version < core.ring.version:
                self._links.tell_ring(outbound, record)
        for inbound in self._links.inbound.values():
            member = core.view.peers.get(inbound.peer or "")
            if member is not None and member.ring_version < core.ring.version:
                self._links.tell_ring(inbound, record)
            elif inbound.peer is None:
                self._membership.tell_members(inbound)
