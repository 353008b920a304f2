"""One member's whole state machine: an input and ``now`` go in, effects come out.

Rules:
- Pure: no I/O, no clock, no global randomness. The driver brings ``now`` (monotonic seconds), and
  performs the effects in order. The same inputs give the same effects.
- An error that a peer can cause ends that peer's connection and changes nothing else.
- A standstill of the loop, whatever the cause, is noticed at the first input after it.
- Parts (links, replication, receipts, settling, serving) change what is theirs; after every input
  that changes the view of the ring, all conclusions are drawn anew, here.

Source: the shape follows etcd/raft: a message or a tick goes in, a batch of effects comes out.
"""

from math import inf
from random import Random

from ring.adopting import Adopting
from ring.announcing import Announcing
from ring.clock import Clock
from ring.comparing import Comparing
from ring.core import Core
from ring.draining import Draining
from ring.effects import Dial, Effect
from ring.errands import respond
from ring.errors import UnknownMemberError
from ring.estranged import Estranged
from ring.expiry import Expiry
from ring.identity import LinkId, SessionId
from ring.incoming import Incoming
from ring.inquiring import Inquiring
from ring.inquiry import Inquiry
from ring.inspecting import Inspecting
from ring.lagging import Lagging
from ring.links import Links
from ring.membership import Membership
from ring.messages import Absent, Found, Greeting, Message, Reply, Request
from ring.placement import Ring
from ring.querying import Querying
from ring.questions import Query
from ring.receipts import Origin, Receipts
from ring.releasing import Releasing
from ring.replication import Replication
from ring.serving import Serving
from ring.settings import Settings
from ring.settling import Settling
from ring.storing import Storing


class Replica(Storing):
    """A member of the ring, without its connections, its disk and its clock.

    Args:
        ring: the configured ring.
        name: this member's name in it.
        settings: intervals, time-outs and limits.
        clock: made from one reading of the wall clock and of the monotonic clock.
        random: the source of jitter.
        has_store: whether the driver answers ``Persist``.
    """

    def __init__(
        self,
        ring: Ring,
        name: str,
        settings: Settings,
        clock: Clock,
        random: Random,
        has_store: bool,
    ) -> None:
        if name not in ring.addresses:
            raise UnknownMemberError(f"no member {name!r} in the ring {', '.join(ring.names)}")
        core = Core(ring, name, settings, clock, random, has_store)
        self._links = links = Links(core)
        self._receipts = Receipts(core, self._respond)
        self._announcing = Announcing(core, links)
        self._replication = Replication(core, links, self._receipts, self._announcing)
        self._comparing = Comparing(core, links, self._replication)
        self._estranged = Estranged(core, self._comparing, self._replication)
        settling = Settling(core, links, self._comparing, self._estranged)
        self._serving = Serving(core, links, self._replication, self._receipts, settling)
        self._querying = querying = Querying(core, links, settling)
        draining = Draining(
            core,
            links,
            self._comparing,
            settling,
            self._receipts,
            self._serving,
            querying,
            self._announcing,
        )
        super().__init__(core, settling, draining)
        self._membership = Membership(
            core,
            links,
            self._receipts,
            self._replication,
            settling,
            self._estranged,
            self._serving,
            querying,
            self._review,
        )
        self._adopting = Adopting(
            core,
            links,
            self._replication,
            self._comparing,
            settling,
            self._estranged,
            draining,
            self._membership,
        )
        self._releasing = Releasing(
            core,
            links,
            self._replication,
            self._receipts,
            self._comparing,
            settling,
            self._serving,
        )
        self._expiry = Expiry(core, self._replication, self._announcing)
        self._lagging = Lagging(core, links, settling)
        self._inquiring = Inquiring(core, links, Inspecting(core, links, self._comparing))
        self._incoming = Incoming(
            core,
            links,
            self._replication,
            self._comparing,
            settling,
            self._releasing,
            self._serving,
            querying,
            self._membership,
            self._adopting,
            self._announcing,
            self._inquiring,
            self._review,
        )
        self._heartbeat_due = 0.0
        self._silence_due = inf
        self._last_turn = inf
        self._frozen_after_s = max(settings.frozen_after_s, 2 * settings.heartbeat_interval_s)

    # --- Start ---

    def start(self, now: float) -> list[Effect]:
        """Begin: dial every other member, the successor first. One that is departed only leaves."""
        self._last_turn = now
        self._estranged.start(now)
        self._announcing.start(now)
        self._settling.start(now)
        self._heartbeat_due = now + self._core.settings.heartbeat_interval_s
        self._expiry.start(now)
        for name in self._core.ring.everyone(self._core.name):
            if name != self._core.name:
                self._core.emit(Dial(name))
        if self._core.name in self._core.ring.leaving:
            self._draining.begin()
        self._review(now)
        return self._core.collect()

    # --- Links ---

    def on_linked(
        self, peer: str, link: LinkId, now: float, greeting: Greeting | None = None
    ) -> list[Effect]:
        """This node's own connection to ``peer`` is authenticated.

        Args:
            peer: the member at its other end.
            link: names the connection.
            now: monotonic seconds.
            greeting: what its handshake has shown; None: nothing, and nothing is checked.
        """
        self._note_turn(now)
        self._membership.on_linked(peer, link, now, greeting)
        return self._core.collect()

    def on_unreachable(self, peer: str, now: float, began: float | None = None) -> list[Effect]:
        """A connection to ``peer`` was refused, or its handshake was not done in time.

        Args:
            peer: whom this node cannot reach.
            now: monotonic seconds.
            began: when the dial began, by the same clock; None: a moment ago.
        """
        self._note_turn(now)
        self._membership.on_unreachable(peer, now, alive=False, began=began)
        return self._core.collect()

    def on_refused(self, peer: str, now: float) -> list[Effect]:
        """``peer`` lives, and one side has refused the other at the handshake."""
        self._note_turn(now)
        self._membership.on_unreachable(peer, now, alive=True)
        return self._core.collect()

    def on_accepted(
        self, link: LinkId, peer: str | None, now: float, greeting: Greeting | None = None
    ) -> list[Effect]:
        """``peer``, or a client for None, has dialled this node and is authenticated."""
        self._note_turn(now)
        self._membership.on_accepted(link, peer, now, greeting)
        return self._core.collect()

    def on_closed(self, link: LinkId, now: float) -> list[Effect]:
        """A connection is over, whoever closed it and why."""
        self._note_turn(now)
        self._membership.lose(link, now)
        return self._core.collect()

    # --- Messages ---

    def on_message(self, link: LinkId, message: Message, now: float) -> list[Effect]:
        """A message has come on an authenticated connection."""
        self._note_turn(now)
        self._incoming.on_message(link, message, now)
        return self._core.collect()

    # --- The application in this process ---

    def submit(self, request: Request | Query, now: float) -> list[Effect]:
        """Serve a request of this process; its answer is a ``Respond`` of the same number."""
        self._note_turn(now)
        if isinstance(request, Query):
            self._querying.serve(None, request, now)
        else:
            self._serving.serve(None, request, now)
        return self._core.collect()

    def read(
        self, session_id: SessionId, touch: bool, now: float
    ) -> tuple[Found | Absent | None, list[Effect]]:
        """Look a session up without asking anybody; None: that is not possible, use ``submit``."""
        self._note_turn(now)
        return self._serving.reading.read(session_id, touch, now), self._core.collect()

    def inquire(self, question: Inquiry, now: float) -> list[Effect]:
        """Answer a question of this process, by a ``Tell`` of the same number."""
        self._note_turn(now)
        self._inquiring.inquire(None, question, now)
        return self._core.collect()

    # --- Leaving ---

    def drain(self, now: float) -> list[Effect]:
        """Begin to hand over to the others; it goes on serving, and stops when ``drained``."""
        self._note_turn(now)
        self._draining.begin()
        self._review(now)
        return self._core.collect()

    # --- The ring itself ---

    def objection(self, ring: Ring) -> str | None:
        """Return why ``ring`` cannot follow the one that is known, as a sentence; None: it can."""
        return self._adopting.objection(ring)

    def adopt(self, ring: Ring, now: float) -> list[Effect]:
        """Let ``ring``, to which there is no objection, be the ring, and tell the others."""
        self._note_turn(now)
        self._adopting.adopt(ring, now)
        return self._core.collect()

    # --- Sending ---

    def take(self, link: LinkId, now: float) -> Message | None:
        """Return the next message for a connection that has room; None: wait for its Wake."""
        self._note_turn(now)
        return self._links.take(link, now)

    # --- Time ---

    def next_due(self, now: float) -> float:
        """Return when ``on_tick`` is to be called, in monotonic seconds."""
        due = min(self._heartbeat_due, self._silence_due)
        if (deadline := self._receipts.next_due()) is not None and deadline < due:
            due = deadline
        if (deadline := self._querying.next_due()) is not None and deadline < due:
            due = deadline
        if (retry := self._serving.next_due(now)) is not None and retry < due:
            due = retry
        return due

    def on_tick(self, now: float) -> list[Effect]:
        """Do what has become due."""
        self._note_turn(now)
        self._receipts.on_tick(now)
        self._serving.on_tick(now)
        self._querying.on_tick(now)
        if self._heartbeat_due <= now:
            self._heartbeat_due = now + self._core.settings.heartbeat_interval_s
            self._beat(now)
        elif self._silence_due <= now:
            self._membership.hang_up_on_the_silent(now)
            self._silence_due = inf
        return self._core.collect()

    def _beat(self, now: float) -> None:
        """Say that this node lives, and look after what may have stopped."""
        self._expiry.sweep(now, forgets=self._settling.all_quiet)
        self._expiry.watch_tombstones()
        self._inquiring.on_beat(now)
        silent_at = self._membership.silent_at()
        if silent_at <= now:
            self._membership.hang_up_on_the_silent(now)
            silent_at = self._membership.silent_at()
        # Silence is noticed when it is too long, and not only at the next beat.
        self._silence_due = silent_at if silent_at < self._heartbeat_due else inf
        for outbound in self._links.outbound.values():
            self._settling.show_status(outbound, now)
        self._comparing.give_up_stalled(now)
        self._lagging.look(now)
        self._announcing.on_beat(now)
        self._review(now)
        self._releasing.offer(now)

    def _note_turn(self, now: float) -> None:
        """Note that the loop of this node goes round; after a standstill nothing is trusted."""
        stood_still_s, self._last_turn = now - self._last_turn, now
        if stood_still_s > self._frozen_after_s:
            self._membership.on_frozen(now, stood_still_s)

    # --- Conclusions ---

    def _review(self, now: float) -> None:
        """Draw every conclusion from a changed view of the ring."""
        if not self._settling.is_at_rest():
            self._settling.review(now)
            self._receipts.on_view_changed()
            self._serving.on_view_changed(now)
        else:
            self._serving.retry(now)
        self._announcing.review(now)
        # Who has not answered to the end, or not taken all yet, may have missed ends.
        behind = self._core.view.lagging | self._comparing.given_up_peers()
        for name, outbound in self._links.outbound.items():
            # Its stream comes on the link that it dials, and with it the ends that it knows.
            both_ways = outbound.synced and self._core.view.peers[name].synced
            if both_ways and name not in behind:
                self._estranged.note_contact(name, now)

    def _respond(self, origin: Origin, reply: Reply) -> None:
        respond(self._core, self._links, origin, reply)
