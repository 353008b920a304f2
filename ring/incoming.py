"""What each message means, and which part of the replica takes it.

Rules:
- What the dialler of a connection may say, its acceptor may not, and the other way round.
- An error that a peer can cause ends that peer's connection and changes nothing else.
"""

from collections.abc import Callable
from typing import Final, assert_never

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.adopting import Adopting
from ring.announcements import Announced, Announcements
from ring.announcing import Announcing
from ring.answering import Answering
from ring.comparing import Comparing
from ring.core import Core
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, home_of
from ring.inquiring import Inquiring
from ring.inquiry import Inquiry, Inspect, Inspected, Story, Why
from ring.links import Inbound, Links, Look, Outbound
from ring.membership import Membership
from ring.messages import (
    UNANSWERED_MAX,
    Absent,
    Acks,
    Administration,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    End,
    Failed,
    Find,
    Found,
    Leaving,
    Listing,
    Members,
    Message,
    Offer,
    Offered,
    Records,
    Redirect,
    Release,
    Request,
    Rotate,
    Save,
    Saved,
    Status,
)
from ring.querying import Querying
from ring.questions import Matches, Query
from ring.releasing import Releasing
from ring.replication import Replication
from ring.serving import Serving
from ring.settling import Settling

# A union of types would be made anew for every message.
_REQUESTS: Final = (Find, Save, End, Rotate)
_ADMINISTRATION: Final = (ShowRing, SetRing)
_INQUIRIES: Final = (Why, Inspect)


class Incoming:
    """Everything that arrives on an authenticated connection."""

    def __init__(
        self,
        core: Core,
        links: Links,
        replication: Replication,
        comparing: Comparing,
        settling: Settling,
        releasing: Releasing,
        serving: Serving,
        querying: Querying,
        membership: Membership,
        adopting: Adopting,
        announcing: Announcing,
        inquiring: Inquiring,
        review: Callable[[float], None],
    ) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._comparing = comparing
        self._settling = settling
        self._releasing = releasing
        self._serving = serving
        self._querying = querying
        self._membership = membership
        self._adopting = adopting
        self._announcing = announcing
        self._inquiring = inquiring
        self._review = review

    def on_message(self, link: LinkId, message: Message, now: float) -> None:
        """Have the right part take a message."""
        connection = self._links.get(link)
        if connection is None:
            return  # It was closed here; what was under way no longer counts.
        try:
            if not connection.is_known and not self._adopting.is_heard(connection, message, now):
                return
            connection.heard_at = now
            if isinstance(connection, Outbound):
                self._on_answer(connection, message, now)
            else:
                self._on_dialled(connection, message, now)
        except RemoteProtocolError as error:
            self._membership.hang_up(link, str(error), now, unusable=True)

    def _on_dialled(self, inbound: Inbound, message: Message, now: float) -> None:
        """Handle what the dialler of a connection says."""
        if isinstance(message, _REQUESTS):
            self._on_request(inbound, message, now)
            return
        if isinstance(message, Query):
            self._on_query(inbound, message, now)
            return
        if isinstance(message, _ADMINISTRATION):
            self._on_administration(inbound, message, now)
            return
        if isinstance(message, _INQUIRIES):
            self._on_inquiry(inbound, message, now)
            return
        peer = inbound.peer
        if peer is None:
            raise RemoteProtocolError("a client sent what only a member may send")
        match message:
            case Changes():
                self._replication.on_changes(inbound, peer, message, now)
            case Status():
                self._membership.on_status(peer, message, now, inbound)
            case RingRecord():
                self._adopting.on_record(inbound, message, now)
            case Compare():
                self._on_compare(inbound, message)
            case Release():
                self._releasing.on_release(peer, message, now)
            case Announced():
                self._announcing.on_announced(peer, message, now)
            case Announcements():
                self._announcing.on_announcements(peer, message, now)
            case Offer():
                self._owe(inbound, UNANSWERED_MAX)
                self._releasing.on_offer(inbound, peer, message, now)
            case Ask():
                self._owe(inbound, UNANSWERED_MAX)
                if home_of(message.session_id) not in self._core.ring:
                    raise RemoteProtocolError("asks for a session whose home is not in this ring")
                look = Look(message.number, message.session_id, serves=False)
                self._links.answer(inbound.link, look)
            case _:
                raise RemoteProtocolError("a dialler sent what only an acceptor may send")

    def _on_answer(self, outbound: Outbound, message: Message, now: float) -> None:
        """Handle what the acceptor of a connection answers."""
        match message:
            case Acks():
                held = self._replication.on_acks(outbound, message, now)
                if self._comparing.on_held(outbound.peer, held, now):
                    self._review(now)
            case Status():
                self._membership.on_status(outbound.peer, message, now, None)
            case RingRecord():
                self._adopting.on_record(outbound, message, now)
            case Records():
                self._comparing.on_records(outbound, message, now)
            case Listing():
                self._comparing.on_listing(outbound, message, now)
            case Compared():
                if self._comparing.on_compared(outbound, message, now):
                    self._review(now)
            case Answer():
                outbound.unanswered -= 1
                self._serving.on_answer(outbound, message, now)
            case Found() | Absent() | Saved() | Failed() | Redirect():
                outbound.unanswered -= 1
                self._serving.on_reply(outbound, message, now)
            case Matches():
                outbound.unanswered -= 1
                self._querying.on_matches(outbound, message, now)
            case Offered():
                outbound.unanswered -= 1
                self._releasing.on_offered(outbound, message, now)
            case Story() | Inspected():
                outbound.unanswered -= 1
                self._inquiring.on_account(outbound, message)
            case Members() | Leaving() | RingShown():
                pass
            case Changes() | Release() | Compare() | Offer() | Ask():
                raise RemoteProtocolError("an acceptor sent what only a dialler may send")
            case Announced() | Announcements():
                raise RemoteProtocolError("an acceptor sent what only a dialler may send")
            case Find() | Save() | End() | Rotate() | Query():
                raise RemoteProtocolError("an acceptor sent what only a dialler may send")
            case ShowRing() | SetRing() | Why() | Inspect():
                raise RemoteProtocolError("an acceptor sent what only a dialler may send")
            case _:
                assert_never(message)

    def _on_compare(self, inbound: Inbound, message: Compare) -> None:
        """Answer a comparison, whatever the state of this node."""
        if message.home not in self._core.ring:
            raise RemoteProtocolError(f"compares {message.home!r}, which is not in this ring")
        for answering in list(inbound.answers):
            if answering.home == message.home:
                inbound.answers.remove(answering)  # The dialler has dropped that one.
        silent = (inbound.peer, message.home) in self._core.silent
        inbound.answers.append(Answering(self._core, message, silent=silent))
        self._links.wake(inbound)

    def _on_request(self, inbound: Inbound, request: Request, now: float) -> None:
        client = inbound.peer is None
        self._owe(inbound, self._core.settings.requests_per_link_max if client else UNANSWERED_MAX)
        self._serving.serve(inbound.link, request, now)

    def _on_query(self, inbound: Inbound, query: Query, now: float) -> None:
        client = inbound.peer is None
        if query.forwarded == client:
            raise RemoteProtocolError("members forward questions, and clients do not")
        self._owe(inbound, self._core.settings.requests_per_link_max if client else UNANSWERED_MAX)
        self._querying.serve(inbound.link, query, now)

    def _on_administration(self, inbound: Inbound, message: Administration, now: float) -> None:
        if inbound.peer is not None:
            raise RemoteProtocolError("a member sent what only a client may send")
        self._owe(inbound, self._core.settings.requests_per_link_max)
        if isinstance(message, ShowRing):
            self._adopting.on_show(inbound, message)
        else:
            self._adopting.on_set(inbound, message, now)

    def _on_inquiry(self, inbound: Inbound, question: Inquiry, now: float) -> None:
        client = inbound.peer is None
        self._owe(inbound, self._core.settings.requests_per_link_max if client else UNANSWERED_MAX)
        if client:
            self._inquiring.inquire(inbound.link, question, now)
        elif question.forwarded:
            self._inquiring.on_forwarded(inbound, question, now)
        else:
            raise RemoteProtocolError("a member asks what only a client may ask")

    def _owe(self, inbound: Inbound, limit: int) -> None:
        """Count an answer that is owed from now on, until it has left."""
        if inbound.owed >= limit:
            raise RemoteProtocolError(f"asks more while {limit} answers are owed; read them first")
        inbound.owed += 1
