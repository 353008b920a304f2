"""One node as a client of the ring sees it: a connection that is kept, and requests over it.

Rules:
- A request that was never handed to the network did not happen. One that was, and whose
  connection was lost before the answer, may have happened: the two are told apart here, and
  nowhere else.
- Never more requests are on the way than a node allows one connection; the rest wait here, where
  they can still be taken elsewhere.
"""

from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from random import Random
from typing import Final

import trio

from node.dialling import Dialling
from node.found import decoded
from node.link import Link
from node.timekeeping import Timekeeper
from node.transport import Stream, Transport
from ring.errands import check_answer
from ring.errors import RemoteProtocolError
from ring.identity import LinkId
from ring.inquiry import Account, Inquiry, Inspected, Story
from ring.messages import Absent, Failed, Found, Leaving, Members, Message, Reply, Request, Saved
from ring.questions import Matches, Query
from wire import Connection

ON_THE_WAY_MAX: Final = 512
"""Unanswered requests of one connection; half of what a node allows by default."""

WAITING_MAX: Final = 16_384
"""Requests that wait for a place on the way. Beyond it a request is refused at once."""

_HANDSHAKE_TIMEOUT_S: Final = 1.0
_WAIT_MAX_S: Final = 2.0


class Loss(Enum):
    """Why a request has no answer."""

    NOT_SENT = auto()
    """It was never handed to the network. Definite: it did not happen."""
    SENT = auto()
    """The connection was lost after it was sent. Indefinite."""
    SILENCE = auto()
    """It was sent, and no answer came in the time given. Indefinite."""


class _Pending:
    """A request and the task that waits for its answer."""

    __slots__ = ("outcome", "request", "sent_after", "task")

    def __init__(self, request: Request | Query | Inquiry) -> None:
        self.request = request
        self.task: trio.lowlevel.Task | None = trio.lowlevel.current_task()
        self.outcome: Reply | Matches | Account | Loss | None = None
        self.sent_after: int | None = None
        """How many reads there had been when it was sent; None: it was not sent yet."""


class Station:
    """Keeps a connection to one node and asks it.

    Args:
        address: where the node listens.
        on_change: called when the connection has come or gone, or has told the ring's members,
            and at every answer of a node that is leaving.
        transport: dials.
        new_connection: returns the dialler's protocol side of a new connection.
        timekeeper: the client's clock.
        random: for the jitter of the back-off.
        connect_timeout_s: seconds until a dial is given up, above 0.
    """

    def __init__(
        self,
        address: str,
        *,
        on_change: Callable[["Station"], None],
        transport: Transport,
        new_connection: Callable[[], Connection],
        timekeeper: Timekeeper,
        random: Random,
        connect_timeout_s: float,
    ) -> None:
        self.address = address
        self.name: str | None = None
        """The member that answered here last, or None before the first answer."""
        self.members: Members | None = None
        """The ring, as the node told it last."""
        self.is_leaving = False
        """The node is about to stop; it still answers."""
        self.is_silent = False
        """A request has waited in vain, and nothing at all was received since it was sent."""
        self._on_change = on_change
        self._reads = 0
        self._link: Link | None = None
        self._waiting: deque[_Pending] = deque()
        self._on_the_way: dict[int, _Pending] = {}
        self._scope = trio.CancelScope()
        self._dialling = Dialling(
            address,
            address,
            transport=transport,
            new_connection=new_connection,
            run_link=self._run_link,
            on_unreachable=lambda: self._on_change(self),
            timekeeper=timekeeper,
            random=random,
            timeout_s=connect_timeout_s + _HANDSHAKE_TIMEOUT_S,
            connect_timeout_s=connect_timeout_s,
            wait_max_s=_WAIT_MAX_S,
        )

    @property
    def is_linked(self) -> bool:
        """Whether there is a connection over which the node has told the ring's members."""
        return self._link is not None and not self._link.is_closing and self.members is not None

    @property
    def is_idle(self) -> bool:
        """Whether no request waits for its answer here."""
        return not self._waiting and not self._on_the_way

    @property
    def outage(self) -> str | None:
        """Why there is no connection, as one sentence, or None."""
        return self._dialling.outage

    async def run(self) -> None:
        """Keep the connection until `retire`."""
        self._dialling.dial_now()
        with self._scope:
            await self._dialling.run()

    def retire(self) -> None:
        """Give up the connection for good; somebody else keeps one to this node."""
        self._scope.cancel()

    def dial_now(self) -> None:
        """Cut the pause before the next dial short."""
        self._dialling.dial_now()

    async def ask(self, request: Request | Query, timeout_s: float) -> Reply | Matches | Loss:
        """Send ``request`` and return the answer; see ``_ask``."""
        outcome = await self._ask(request, timeout_s)
        assert not isinstance(outcome, Story | Inspected), "it was checked when it came"
        return outcome

    async def inquire(self, question: Inquiry, timeout_s: float) -> Account | Failed | Loss:
        """Send a question of people and return the answer; see ``_ask``."""
        outcome = await self._ask(question, timeout_s)
        assert not isinstance(outcome, Found | Absent | Saved | Matches), "it was checked"
        return outcome

    async def _ask(
        self, request: Request | Query | Inquiry, timeout_s: float
    ) -> Reply | Matches | Account | Loss:
        """Send ``request`` and return the answer, or why there is none after ``timeout_s``.

        If cancelled, what was not sent is not sent any more; what was sent may happen.
        """
        if self._link is None or len(self._waiting) >= WAITING_MAX:
            return Loss.NOT_SENT
        pending = _Pending(request)
        self._waiting.append(pending)
        self._link.wake()

        def give_up(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            # Here and not after the wait: until this task runs again, the writer might.
            pending.task = None
            # One that is on the way keeps its place: the node still counts it as unanswered.
            if pending.sent_after is None:
                self._waiting.remove(pending)
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.move_on_after(timeout_s):
            await trio.lowlevel.wait_task_rescheduled(give_up)
        if pending.outcome is not None:
            return pending.outcome
        if pending.sent_after is None:
            return Loss.NOT_SENT
        self.is_silent = self._reads == pending.sent_after
        return Loss.SILENCE

    def hang_up(self, reason: str) -> None:
        """End the connection, and dial anew."""
        if self._link is not None:
            self._link.close(reason)

    # --- the link -----------------------------------------------------------------------------

    async def _run_link(self, stream: Stream, connection: Connection) -> None:
        self.name = connection.peer
        link = self._link = Link(LinkId(1), stream, connection, self)
        self.is_silent = self.is_leaving = False
        try:
            await link.run()
        finally:
            self._link = None
            self.members = None
            self.is_leaving = False
            for pending in [*self._on_the_way.values(), *self._waiting]:
                self._answer(pending, Loss.NOT_SENT if pending.sent_after is None else Loss.SENT)
            self._on_the_way.clear()
            self._waiting.clear()
            self._on_change(self)

    def take(self, link_id: LinkId) -> Message | None:
        """Return the next request to send; see ``LinkOwner.take``."""
        if not self._waiting or len(self._on_the_way) >= ON_THE_WAY_MAX:
            return None
        pending = self._waiting.popleft()
        pending.sent_after = self._reads
        self._on_the_way[pending.request.number] = pending
        return pending.request

    def on_messages(self, link_id: LinkId, messages: list[Message]) -> None:
        """Hand the answers to those who wait for them; see ``LinkOwner.on_messages``."""
        self.is_silent = False
        self._reads += 1
        for message in messages:
            match message:
                case Found() | Absent() | Saved() | Failed() | Matches() | Story() | Inspected():
                    pending = self._on_the_way.get(message.number)
                    if pending is not None:
                        record = check_answer(pending.request, message)
                        del self._on_the_way[message.number]
                        if record is not None and isinstance(message, Found):
                            message = decoded(message, record)
                        self._answer(pending, message)
                case Members():
                    self.members = message
                    self._on_change(self)
                case Leaving():
                    self.is_leaving = True
                case _:
                    kind = type(message).__name__
                    raise RemoteProtocolError(f"a node sent {kind} to a client")
        if self._waiting and self._link is not None:
            self._link.wake()
        if self.is_leaving:
            self._on_change(self)

    def _answer(self, pending: _Pending, outcome: Reply | Matches | Account | Loss) -> None:
        pending.outcome = outcome
        if pending.task is not None:
            trio.lowlevel.reschedule(pending.task)
            pending.task = None
