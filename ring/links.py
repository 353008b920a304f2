"""The links of one node: what waits to be sent on each, in which order.

Rules:
- A link that this node dialled carries its stream; a link dialled by another carries answers.
- Nothing is written here: the driver takes one message after the other when the link has room,
  so values are as fresh as the frame, and nothing queues that could be read from the table.
- A release goes ahead of whatever is written later: its member has dropped the record by then.
- Control messages go first; each kind is bounded by what it answers. On a link that is always full
  of them, changes and comparisons have their turn all the same.
"""

from collections import deque
from collections.abc import Callable, Collection
from math import inf
from typing import Final, TypeAlias

from attrs import Factory, define, field, frozen

from ring.administration import RingRecord, RingShown
from ring.answering import Answering
from ring.beats import Beats
from ring.core import Core
from ring.effects import Wake
from ring.identity import LinkId, SessionId, home_of
from ring.inquiry import Account, Inquiry
from ring.messages import (
    RELEASED_MAX,
    UNANSWERED_MAX,
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    Failed,
    Failure,
    Found,
    Greeting,
    Leaving,
    Members,
    Message,
    Offer,
    Offered,
    Redirect,
    Release,
    Reply,
    Request,
    Status,
)
from ring.packed import EMPTY_FRAGMENT, held_portable, held_serves, is_sendable
from ring.pending import Stream
from ring.questions import Matches, Query
from ring.telling import Telling

PASSING_BYTES_MAX: Final = 16 << 20
"""Answers of other members that wait on one link. What this node has itself waits as an id."""

_DIFFERENT_MAX: Final = 512
_IN_A_ROW_MAX: Final = 4
"""Control messages that go ahead of a change, or of a comparison's answer, that waits."""


@frozen
class Look:
    """An answer that is read from the table when it leaves, so that what waits stays small."""

    number: int
    session_id: SessionId
    serves: bool
    """To a find, which gets live sessions only; else to an ask, which gets whatever there is."""
    maybe_stale: bool = False
    age_ms: int = 0
    """As in Found."""
    failed_over: bool = False
    """As in Found."""

    def answer(self, core: Core, now: float) -> Answer | Reply:
        """Return the answer as it is now."""
        if not self.serves:
            core.note_told(self.session_id)
            return Answer(self.number, core.table.sayable(self.session_id, now))
        held = core.table.held(self.session_id)
        if held is None or not held_serves(held, now):
            return Absent(self.number)
        portable = held_portable(held, now)
        if is_sendable(portable):
            return Found(self.number, portable, self.maybe_stale, self.age_ms, self.failed_over)
        reason = f"the session has grown to {len(portable)} bytes; remove some at its owner"
        return Failed(self.number, Failure.TOO_LARGE, reason)


@frozen
class Deferred:
    """An answer that is made when it leaves, so that what waits stays small."""

    make: Callable[[float], Message]
    """Is given the time, and makes it."""


Waiting: TypeAlias = (
    Look | Deferred | Reply | Matches | Redirect | Offered | Members | Leaving | RingShown | Account
)
"""What an acceptor has to say in answer, or to a client."""

_UNASKED: Final = (Members, Leaving)


@define
class Outbound:
    """A link that this node dialled."""

    link: LinkId
    peer: str
    stream: Stream
    telling: Telling
    heard_at: float
    greeting: Greeting | None = None
    is_known: bool = True
    """The peer is a member, and has told the ring if it knows a later one."""
    ring: RingRecord | None = None
    """The newest ring, which the peer has to know before anything else is said."""
    beats: Beats = field(factory=Beats)
    releases: dict[SessionId, int] = field(factory=dict)
    """What the peer may drop, in the states that have these digests, and was not told yet."""
    control: deque[Compare | Ask | Request | Query | Offer | Inquiry] = field(factory=deque)
    synced: bool = False
    """Whether the comparisons at this connection are done and nothing of them is pending."""
    heard: int = 0
    """The newest version of the peer's status that ``synced`` allows for."""
    unanswered: int = 0
    """Requests and asks that the peer has not answered yet."""
    in_a_row: int = 0
    """Control messages since the last changes."""
    awake: bool = False
    call: Wake = Factory(lambda self: Wake(self.link), takes_self=True)
    """What has the driver take: the same every time."""

    def take(self, core: Core, now: float) -> Message | None:
        """Return the next message: releases and control first, but changes have their turn."""
        if self.ring is not None:
            ring, self.ring = self.ring, None
            return ring
        return self.beats.first() or self.beats.after(self._other(core, now))

    def _other(self, core: Core, now: float) -> Message | None:
        if self.telling:
            return self.telling.take(core.outbox)
        if self.releases:
            release = self._release(core)
            if release is not None:
                return release
        if self.control and self.in_a_row < _IN_A_ROW_MAX:
            self.in_a_row += 1
            return self.control.popleft()
        self.in_a_row = 0
        changes: Changes | None = self.stream.fill(core.table, core.version, now)
        if changes is None and self.control:
            return self.control.popleft()
        return changes

    def _release(self, core: Core) -> Release | None:
        """Return what of the releases still holds; the peer may have to hold again by now."""
        view, flat = core.view, list[bytes | int]()
        while self.releases and len(flat) < 2 * RELEASED_MAX:
            session_id = next(iter(self.releases))
            digest = self.releases.pop(session_id)
            home = home_of(session_id)
            spare = home in view.claims and self.peer not in view.targets(home)
            if spare and core.table.digest(session_id) == digest:
                flat += (session_id, digest)
        return Release(flat) if flat else None


@define
class Inbound:
    """A link that a member or a client dialled."""

    link: LinkId
    peer: str | None
    """None: a client."""
    heard_at: float
    greeting: Greeting | None = None
    is_known: bool = True
    """As in Outbound."""
    greeted: bool = False
    """The member has said what it is."""
    greeted_at: float = -inf
    ring: RingRecord | None = None
    beats: Beats = field(factory=Beats)
    control: deque[Waiting] = field(factory=deque)
    passing_bytes: int = 0
    """Records among ``control`` that another member has sent for whoever asked here."""
    answers: deque[Answering] = field(factory=deque)
    """Comparisons being answered, one after the other."""
    merged: int = 0
    acknowledged: int = 0
    different: deque[tuple[int, SessionId]] = field(factory=deque)
    """Changes after which this node's record was not the sender's."""
    owed: int = 0
    """Requests and asks whose answers have not left yet."""
    in_a_row: int = 0
    """Messages that have gone ahead of a comparison's answer."""
    awake: bool = False
    call: Wake = Factory(lambda self: Wake(self.link), takes_self=True)
    """As of Outbound."""

    def take(self, core: Core, now: float) -> Message | None:
        """Return the next message: acknowledgements first, but comparisons have their turn."""
        if self.ring is not None:
            ring, self.ring = self.ring, None
            return ring
        message = self._urgent(core, now) if self.in_a_row < _IN_A_ROW_MAX else None
        if message is not None:
            self.in_a_row += bool(self.answers)
        else:
            self.in_a_row = 0
            message = self._compared(now) or self._urgent(core, now)
        return self.beats.after(message)

    def _urgent(self, core: Core, now: float) -> Message | None:
        """Return what somebody waits for; receipts wait for acknowledgements."""
        if self.merged > self.acknowledged:
            return self._acks(core, now)
        if (status := self.beats.first()) is not None:
            return status
        if self.control:
            return self._answer(self.control.popleft(), core, now)
        return None

    def _compared(self, now: float) -> Message | None:
        """Return the next part of a comparison's answer."""
        if not self.answers:
            return None
        message = self.answers[0].next_message(now)
        if isinstance(message, Compared):
            self.answers.popleft()
        return message

    def _answer(self, waiting: Waiting, core: Core, now: float) -> Message:
        if isinstance(waiting, _UNASKED):
            return waiting
        self.owed -= 1
        if isinstance(waiting, Look):
            if not waiting.serves and core.is_silent(self.peer, waiting.session_id):
                return Answer(waiting.number, b"")
            return waiting.answer(core, now)
        if isinstance(waiting, Deferred):
            return waiting.make(now)
        self.passing_bytes -= _passing_bytes(waiting)
        return waiting

    def _acks(self, core: Core, now: float) -> Acks:
        """Acknowledge all, or as much as this node's different records fit into one frame."""
        different: list[tuple[int, bytes]] = []
        size, upto = 0, self.merged
        while self.different:
            number, session_id = self.different[0]
            portable = EMPTY_FRAGMENT
            if not core.is_silent(self.peer, session_id):
                core.note_told(session_id)
                portable = core.table.sayable(session_id, now)
            size += len(portable)
            full = size > core.settings.frame_fill_bytes or len(different) == _DIFFERENT_MAX
            if different and full:
                upto = number - 1
                break
            self.different.popleft()
            different.append((number, portable))
        self.acknowledged = upto
        return Acks(upto, tuple(different))


def _passing_bytes(message: Waiting) -> int:
    """Return what an answer takes of that which other members have sent."""
    if isinstance(message, Found):
        return len(message.portable)
    if isinstance(message, Matches):
        rows = sum(map(len, message.flat)) + sum(map(len, message.counts[::2]))  # type: ignore[arg-type]
        return rows + len(message.cursor)
    return 0


class Links:
    """All authenticated connections of this node, and what waits on them."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.outbound: dict[str, Outbound] = {}
        """By member; there is at most one for each."""
        self.inbound: dict[LinkId, Inbound] = {}
        self._dialled: dict[LinkId, Outbound] = {}

    def add_outbound(self, link: LinkId, peer: str, now: float) -> Outbound:
        """Note a connection that this node dialled."""
        settings = self._core.settings
        outbound = Outbound(link, peer, Stream(settings), Telling(settings.frame_fill_bytes), now)
        self.outbound[peer] = self._dialled[link] = outbound
        return outbound

    def add_inbound(self, link: LinkId, peer: str | None, now: float) -> Inbound:
        """Note a connection that was dialled by ``peer``, or by a client if that is None."""
        inbound = self.inbound[link] = Inbound(link, peer, now)
        return inbound

    def remove(self, link: LinkId) -> Outbound | Inbound | None:
        """Forget a connection and everything known about it; None: it was forgotten before."""
        outbound = self._dialled.pop(link, None)
        if outbound is not None:
            if self.outbound.get(outbound.peer) is outbound:
                del self.outbound[outbound.peer]
            return outbound
        return self.inbound.pop(link, None)

    def get(self, link: LinkId) -> Outbound | Inbound | None:
        """Return a connection that is known and not over."""
        return self._dialled.get(link) or self.inbound.get(link)

    def all_links(self) -> list[LinkId]:
        """Return every connection that is not over."""
        return [*self._dialled, *self.inbound]

    def tell(self, outbound: Outbound, message: Compare) -> None:
        """Queue a control message on a link that this node dialled."""
        outbound.control.append(message)
        self.wake(outbound)

    def ask(self, outbound: Outbound, message: Ask | Request | Query | Offer | Inquiry) -> bool:
        """Queue what is to be answered; return False if too much of it waits already."""
        if outbound.unanswered >= UNANSWERED_MAX:
            return False
        outbound.unanswered += 1
        outbound.control.append(message)
        self.wake(outbound)
        return True

    def answer(self, link: LinkId, message: Waiting) -> None:
        """Queue an answer on a link that was dialled by another, if it still lives."""
        inbound = self.inbound.get(link)
        if inbound is not None:
            if isinstance(message, Found | Matches):
                inbound.passing_bytes += _passing_bytes(message)
                if inbound.passing_bytes > PASSING_BYTES_MAX:
                    inbound.passing_bytes -= _passing_bytes(message)
                    reason = "too many answers wait to be read; read them, then ask again"
                    message = Failed(message.number, Failure.UNAVAILABLE, reason)
            inbound.control.append(message)
            self.wake(inbound)

    def answered(self) -> set[SessionId]:
        """Return the sessions of which answers wait to leave; they are read when they do."""
        waiting = (each for inbound in self.inbound.values() for each in inbound.control)
        return {each.session_id for each in waiting if isinstance(each, Look)}

    def show_status(self, connection: Outbound | Inbound, status: Status) -> None:
        """Send ``status`` in place of an older one that has not left yet."""
        connection.beats.show(status)
        self.wake(connection)

    def tell_ring(self, connection: Outbound | Inbound, ring: RingRecord) -> None:
        """Send ``ring`` ahead of everything else."""
        connection.ring = ring
        self.wake(connection)

    def keep(self, homes: Collection[str]) -> None:
        """Say nothing more of homes that the ring does not have any more."""
        for outbound in self._dialled.values():
            outbound.stream.keep(homes)
            compares = [each for each in outbound.control if isinstance(each, Compare)]
            for compare in compares:
                if compare.home not in homes:
                    outbound.control.remove(compare)
        for inbound in self.inbound.values():
            inbound.answers = deque(each for each in inbound.answers if each.home in homes)

    def wake(self, connection: Outbound | Inbound) -> None:
        """Have the driver call ``take``, once for all that has come together until it does."""
        if not connection.awake:
            connection.awake = True
            self._core.emit(connection.call)

    def take(self, link: LinkId, now: float) -> Message | None:
        """Return the next message for ``link``; None: wait for the next Wake."""
        connection = self.get(link)
        if connection is None or not connection.awake:
            return None
        message = connection.take(self._core, now)
        if message is None:
            connection.awake = False
        return message
