"""Requests: found here, asked for, forwarded, carried out, answered; each before one deadline.

Rules:
- The acting owner answers from its table. While a member that is up was not compared for the
  home, that member is asked for the id first; before "no such session", all of them are.
- One hop: only the node that was asked forwards. What it cannot place now, it parks and tries
  again until the deadline; a forwarded request is answered at once, whatever the answer. Who does
  not act redirects to who does; an origin that cannot go there insists (see also ``detours``).
- A find may be tried again. A forwarded change whose answer is lost has an unknown outcome.
- Three answers to a lookup: found, not found, not known yet. Nothing that is not whole, and
  nothing that may still be somewhere else, is ever answered "not found".
"""

from collections import deque
from collections.abc import Set
from itertools import count
from typing import Final

from attrs import evolve

from ring.acting import Acting
from ring.core import Core
from ring.decoding import decode
from ring.detours import Detours
from ring.errands import Asking, Errand, check_reply, respond
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId, home_of
from ring.links import Links, Look, Outbound
from ring.messages import (
    Absent,
    Answer,
    Ask,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Redirect,
    Reply,
    Request,
    Rotate,
    Save,
    Saved,
)
from ring.packed import held_is_whole, held_serves
from ring.reading import Reading
from ring.receipts import Origin, Receipts
from ring.replication import Replication
from ring.settling import Settling
from ring.writing import RefusedChange

RETRY_INTERVAL_S: Final = 0.05
"""How often a parked request is tried again, if nothing has happened before."""
RETRIED_MAX: Final = 2048
"""Parked requests tried again in one step; all at once would stop the loop for 0.1 s."""
PARKED_MAX: Final = 16_384
ABSENT_CACHED_MAX: Final = 16_384


class Serving:
    """Every request that this node was asked to serve and has not answered."""

    def __init__(
        self,
        core: Core,
        links: Links,
        replication: Replication,
        receipts: Receipts,
        settling: Settling,
    ) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._acting = Acting(core, replication)
        self._receipts = receipts
        self._settling = settling
        self._detours = Detours(core, links)
        self._numbers = count(1)
        self._parked: deque[Errand] = deque()
        self._forwarded: dict[int, tuple[LinkId, Errand]] = {}
        self._asking: dict[SessionId, Asking] = {}
        self._asked: dict[int, tuple[SessionId, str]] = {}
        self._absent: dict[SessionId, float] = {}
        self.reading = Reading(core, links, self._acting, settling)

    @property
    def unanswered(self) -> int:
        """How many requests wait for a member, or for a better moment."""
        asking = sum(len(each.errands) for each in self._asking.values())
        return len(self._parked) + len(self._forwarded) + asking

    def is_asking(self, session_id: SessionId) -> bool:
        """Return whether others are asked for a session: what one brings has to stay."""
        return session_id in self._asking

    # --- Inputs ---

    def serve(self, origin: Origin, request: Request, now: float) -> None:
        """Answer ``request``, now or before its deadline."""
        settings = self._core.settings
        deadline = parked_until = now + settings.request_timeout_s
        if origin is not None and self._links.inbound[origin].peer is None:
            parked_until = min(deadline, now + settings.client_parked_s)
        if isinstance(request, Find) and request.local and not request.forwarded:
            look = self.reading.local(request, now)
            if look is not None:
                self._answer(origin, look, now)
                return
        self._attempt(Errand(origin, request, deadline, parked_until), now)

    def on_answer(self, outbound: Outbound, message: Answer, now: float) -> None:
        """Take what a member has of a session that it was asked for."""
        session_id, peer = self._asked.get(message.number, (None, ""))
        if session_id is None or peer != outbound.peer:
            raise RemoteProtocolError("answers what it was not asked")
        if message.portable and not self._core.is_silent(peer, session_id):
            incoming = decode(self._core, session_id, message.portable, now)
            merged = self._replication.merge(session_id, incoming, 0, (peer,), now)
            self._replication.note_merged(session_id, merged, peer, now)
        del self._asked[message.number]
        self._stop_waiting(session_id, peer, now)

    def on_reply(self, outbound: Outbound, reply: Reply | Redirect, now: float) -> None:
        """Pass the answer to a forwarded request back to where the request came from."""
        link, errand = self._forwarded.get(reply.number, (None, None))
        if errand is None:
            return  # Its deadline has passed, and it was answered.
        if link != outbound.link:
            raise RemoteProtocolError("replies to a request of another connection")
        check_reply(errand.request, reply)
        del self._forwarded[reply.number]
        if isinstance(reply, Redirect):
            self._follow(errand, outbound, reply.to, now)
        elif isinstance(reply, Failed) and reply.failure is Failure.UNAVAILABLE:
            self._park(errand, reply.reason, now)
        else:
            self._respond(errand.origin, evolve(reply, number=errand.request.number))

    def on_link_lost(self, lost: Outbound, now: float) -> None:
        """Settle what was forwarded to, or asked of, a member whose link has ended."""
        self._detours.note_lost(lost.peer, now)
        forwarded = [(n, e) for n, (link, e) in self._forwarded.items() if link == lost.link]
        for number, errand in forwarded:
            del self._forwarded[number]
            if isinstance(errand.request, Find):
                self._park(errand, "the acting owner was lost", now)
            else:
                self._fail(errand, Failure.OUTCOME_UNKNOWN, "the acting owner was lost")
        for number, (session_id, peer) in list(self._asked.items()):
            if peer == lost.peer:
                del self._asked[number]
                if (asking := self._asking.get(session_id)) is not None:
                    asking.asked.discard(peer)
                self._stop_waiting(session_id, peer, now)

    def on_view_changed(self, now: float) -> None:
        """Find out what is known here, and try again what could not be placed before."""
        self.reading.complete = frozenset(
            home for home in self._core.view.claims if not self._settling.uncompared(home, now)
        )
        self.retry(now)

    def retry(self, now: float) -> None:
        """Try again what could not be placed before."""
        for _ in range(min(len(self._parked), RETRIED_MAX)):
            self._attempt(self._parked.popleft(), now)

    def on_tick(self, now: float) -> None:
        """Give up what is over its deadline, and try the rest again."""
        if self._forwarded:
            self._expire_forwarded(now)
        if self._asking:
            self._expire_asking(now)
        if self._absent:
            for session_id in [each for each, until in self._absent.items() if until <= now]:
                del self._absent[session_id]
        if self._parked:
            self.on_view_changed(now)

    def _expire_forwarded(self, now: float) -> None:
        for number, (_, errand) in list(self._forwarded.items()):
            if errand.deadline <= now:
                del self._forwarded[number]
                finds = isinstance(errand.request, Find)
                failure = Failure.UNAVAILABLE if finds else Failure.OUTCOME_UNKNOWN
                self._fail(errand, failure, "the acting owner did not answer in time")

    def _expire_asking(self, now: float) -> None:
        for session_id, asking in list(self._asking.items()):
            for errand in [late for late in asking.errands if late.deadline <= now]:
                asking.errands.remove(errand)
                self._fail(errand, Failure.UNAVAILABLE, "a member did not say what it has of it")
            if not asking.errands:
                del self._asking[session_id]

    def next_due(self, now: float) -> float | None:
        """Return when ``on_tick`` has something to do; None: nothing waits."""
        waits = self._parked or self._forwarded or self._asking
        return now + RETRY_INTERVAL_S if waits else None

    # --- Placing ---

    def _attempt(self, errand: Errand, now: float, asked: Set[str] = frozenset()) -> None:
        """Place a request; ``asked`` have said what they know of its session."""
        request, view = errand.request, self._core.view
        home = home_of(request.session_id)
        if home not in self._core.ring:
            self._carry_out_unknown(errand)
            return
        acting = view.acting_owner(home)
        if request.insist or (acting == self._core.name and home in view.claims):
            self._look_up(errand, home, asked, now)
        elif around := self._detours.around(errand, home, acting, now):
            self._forward(evolve(errand, detoured=True), around, now)
        elif acting != self._core.name:
            straight = evolve(errand, detoured=False) if errand.detoured else errand
            self._place_elsewhere(straight, acting, now)
        else:
            self._park(errand, "its members are still comparing what they have", now)

    def _carry_out_unknown(self, errand: Errand) -> None:
        match errand.request:
            case Find(number):
                self._respond(errand.origin, Absent(number))
            case Save() | Rotate():
                self._fail(errand, Failure.GONE, "no such session")
            case End(number):
                self._respond(errand.origin, Saved(number, (), (), False))

    def _place_elsewhere(self, errand: Errand, acting: str, now: float) -> None:
        """Have ``acting`` carry out a request, or name it to who has forwarded the request here."""
        if not errand.request.forwarded:
            self._forward(errand, acting, now)
        elif self._settling.knows_claimant(home_of(errand.request.session_id), acting):
            assert errand.origin is not None
            self._links.answer(errand.origin, Redirect(errand.request.number, acting))
        else:
            reason = f"{acting} acts for it, as {self._core.name} sees it"
            self._fail(errand, Failure.UNAVAILABLE, reason)

    def _forward(self, errand: Errand, acting: str, now: float, *, insist: bool = False) -> None:
        outbound = self._links.outbound.get(acting)
        if outbound is None:
            self._park(errand, f"{acting} cannot be reached", now)
            return
        number = next(self._numbers)
        forwarded = evolve(errand.request, number=number, forwarded=True, insist=insist)
        if self._links.ask(outbound, forwarded):
            self._forwarded[number] = (outbound.link, errand)
        else:
            self._park(errand, f"too much waits for {acting}", now)

    def _follow(self, errand: Errand, outbound: Outbound, to: str, now: float) -> None:
        """Ask the member that was named, once; where that is not possible, insist."""
        shaky = self._detours.comes_and_goes(to, now)
        follows = self._detours.follows(errand, to, now)
        if follows and not errand.redirected and not shaky and to in self._links.outbound:
            self._forward(evolve(errand, redirected=True), to, now)
        elif follows and (shaky or not self._core.view.is_undetermined(to)):
            self._forward(evolve(errand, redirected=True), outbound.peer, now, insist=True)
        else:
            # It is this node, which thinks otherwise, or somebody who is just coming or going.
            self._park(evolve(errand, redirected=False), f"{to} acts for it, it was said", now)

    def _park(self, errand: Errand, reason: str, now: float) -> None:
        parks = not errand.request.forwarded and errand.parked_until > now
        if parks and len(self._parked) < PARKED_MAX:
            self._parked.append(errand)
        else:
            self._fail(errand, Failure.UNAVAILABLE, reason)

    # --- Asking ---

    def _look_up(self, errand: Errand, home: str, asked: Set[str], now: float) -> None:
        """Ask for the session whoever may know more of it, then carry out the request."""
        session_id = self._acting.sought(errand.request)
        whom = self._whom_to_ask(errand.request, home, now) - asked
        if not whom:
            self._carry_out(errand, now)
            return
        if not whom <= self._links.outbound.keys():
            self._park(errand, "a member that is coming back may know more of it", now)
            return
        asking = self._asking.setdefault(session_id, Asking(set(asked)))
        for peer in sorted(whom - asking.asked):
            number = next(self._numbers)
            if not self._links.ask(self._links.outbound[peer], Ask(number, session_id)):
                self._fail(errand, Failure.UNAVAILABLE, f"too much waits for {peer}")
                return
            self._asked[number] = (session_id, peer)
            asking.asked.add(peer)
            asking.waiting_for.add(peer)
        asking.errands.append(errand)

    def _whom_to_ask(self, request: Request, home: str, now: float) -> set[str]:
        """Return the members without whose word the request cannot be carried out."""
        whom = set() if home in self.reading.complete else self._settling.uncompared(home, now)
        if request.insist:
            # Whoever forwards it cannot reach the acting owner: who is near has to do.
            return whom | (self._core.view.up & self._links.outbound.keys())
        session_id = self._acting.sought(request)
        held = self._core.table.held(session_id)
        if held is not None and held_is_whole(held):
            return whom
        if held is None and isinstance(request, Save) and request.create:
            return set()  # A fresh id: nobody can know it.
        if session_id not in self._absent:
            whom |= self._core.view.up - {self._core.name}
        return whom

    def _stop_waiting(self, session_id: SessionId, peer: str, now: float) -> None:
        """Go on if ``peer`` was the last; what has changed meanwhile may add others to ask."""
        asking = self._asking.get(session_id)
        if asking is None:
            return
        asking.waiting_for.discard(peer)
        if not asking.waiting_for:
            del self._asking[session_id]
            for errand in asking.errands:
                knows = self._acting.sought(errand.request) == session_id
                self._attempt(errand, now, asking.asked if knows else frozenset())

    # --- Carrying out ---

    def _carry_out(self, errand: Errand, now: float) -> None:
        """Carry out a request for which everybody was asked who may know more."""
        request = errand.request
        session_id, home = self._acting.sought(request), home_of(request.session_id)
        held = self._core.table.held(session_id)
        creates = isinstance(request, Save) and request.create
        if held is None and not creates:
            # Who may have it is not denied what it has when it was lost just now.
            view = self._core.view
            is_lost = request.insist and any(map(view.is_undetermined, view.answering(home)))
            if self._settling.may_deny(home, now) and not is_lost:
                self._deny(errand, now)
            else:
                self._park(errand, "members that may hold it are missing", now)
        elif held is not None and not held_is_whole(held) and not isinstance(request, End):
            self._park(errand, "only a part of it has arrived", now)
        elif isinstance(request, Find):
            assert held is not None
            if request.touch and held_serves(held, now):
                self._acting.touch(session_id, held, now)
            maybe_stale = self._settling.doubts.covers(session_id, held)
            failed_over = home != self._core.name
            look = Look(request.number, session_id, True, maybe_stale, 0, failed_over)
            self._answer(errand.origin, look, now)
        else:
            self._write(errand, request, now)

    def _deny(self, errand: Errand, now: float) -> None:
        """Say that there is no such session, and remember it for a moment."""
        if len(self._absent) < ABSENT_CACHED_MAX:
            until = now + self._core.settings.absent_cached_s
            self._absent[self._acting.sought(errand.request)] = until
        # Who is away may have it, also one that has departed and was stopped before it had handed
        # over: its end has to be there when it returns.
        everyone = self._core.view.up >= self._core.ring.addresses.keys()
        if isinstance(errand.request, End) and not everyone:
            self._write(errand, errand.request, now)
        else:
            self._carry_out_unknown(errand)

    def _write(self, errand: Errand, request: Save | End | Rotate, now: float) -> None:
        try:
            concerned = self._acting.write(request, now)
        except RefusedChange as refused:
            self._fail(errand, refused.failure, refused.reason)
            return
        for session_id in concerned:
            self._absent.pop(session_id, None)
        self._receipts.wait(errand.origin, request, concerned, now)

    # --- Answering ---

    def _fail(self, errand: Errand, failure: Failure, reason: str) -> None:
        self._respond(errand.origin, Failed(errand.request.number, failure, reason))

    def _answer(self, origin: Origin, look: Look, now: float) -> None:
        """Answer a find; in this process no frame limits what it gets."""
        if origin is None:
            held = self._core.table.held(look.session_id)
            serves = held is not None and held_serves(held, now)
            portable = self._core.table.portable(look.session_id, now)
            found = Found(look.number, portable, look.maybe_stale, look.age_ms, look.failed_over)
            self._respond(None, found if serves else Absent(look.number))
        else:
            self._links.answer(origin, look)

    def _respond(self, origin: Origin, reply: Reply) -> None:
        respond(self._core, self._links, origin, reply)
