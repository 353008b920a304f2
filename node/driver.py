"""Runs the replica: gives it every input, performs every effect, and wakes it when it is due.

Rules:
- The replica is called from one thread, never from within an effect, and its effects are
  performed at once and in their order; what waits (dialling, disks) has its own task.
- Every input comes through `Driver.feed`. An exception there is a bug, not the world: state may
  be half changed, so the node stops, loudly, and takes no further input.
- Only `on_messages` knows errors that are a peer's; they end that peer's link.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Final, NoReturn, TypeVar, TypeVarTuple, Unpack, assert_never

import trio

from node.link import Link, LinkEnd
from node.log import RateLimitedLog, SessionTagger, log_event
from node.timekeeping import Timekeeper
from node.transport import Stream
from ring.announcements import Announcement, Takeover
from ring.effects import (
    Adopt,
    Announce,
    Close,
    Dial,
    Effect,
    Notice,
    Persist,
    Respond,
    SetAside,
    Tell,
    Wake,
    Withdraw,
)
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import LinkId, SessionId
from ring.inquiry import Account, Inquiry, Inspected, Story
from ring.messages import Absent, Failed, Failure, Found, Message, Reply, Request
from ring.placement import Ring
from ring.questions import Matches, Query
from ring.replica import Replica
from wire import Connection, Refusal

REQUESTS_MAX: Final = 16_384
"""Requests of this process that wait for their answers. Larger: more memory under overload."""

Inputs = TypeVarTuple("Inputs")
Asked = TypeVar("Asked", bound=Request | Query | Inquiry)


class _Waiter:
    """A task that waits for the answer to its request."""

    __slots__ = ("reply", "task")

    def __init__(self) -> None:
        self.task: trio.lowlevel.Task | None = None
        self.reply: Reply | Matches | Account | None = None


class Driver:
    """Owns one replica and everything it asks for.

    Args:
        replica: loaded by whoever made it; nobody else calls it from now on.
        timekeeper: the node's clock.
        on_dial: dials a member now; called for each Dial effect.
        on_persist: notes that a session is to be written to the store.
        on_adopt: goes on with another ring.
        on_set_aside: notes records that are to be kept where they are out of the way.
        tagger: names sessions in the log.
        on_announce: tells whoever listens in this process what has happened.
        on_withdraw: takes back what nobody has begun with, of a home.
    """

    def __init__(
        self,
        replica: Replica,
        timekeeper: Timekeeper,
        *,
        on_dial: Callable[[str], None],
        on_persist: Callable[[SessionId], None],
        on_adopt: Callable[[Ring], None] = lambda _: None,
        on_set_aside: Callable[[Sequence[tuple[SessionId, bytes]]], None] = lambda _: None,
        tagger: SessionTagger | None = None,
        on_announce: Callable[[Announcement | Takeover], None] = lambda _: None,
        on_withdraw: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.replica = replica
        self.links: dict[LinkId, Link] = {}
        self._timekeeper = timekeeper
        self._on_dial = on_dial
        self._on_persist = on_persist
        self._on_adopt = on_adopt
        self._on_set_aside = on_set_aside
        self._tagger = tagger or SessionTagger(bytes(16))
        self._on_announce = on_announce
        self._on_withdraw = on_withdraw
        self._link_ids = count(1)
        self._numbers = count(1)
        self._waiters: dict[int, _Waiter] = {}
        self._timer = trio.CancelScope()
        self._ready = trio.Event()
        self._bug: Exception | None = None
        self._bug_found = trio.Event()
        self._closed = False
        self._link_log = RateLimitedLog()

    # --- inputs and effects -------------------------------------------------------------------

    def feed(
        self,
        decide: Callable[[Unpack[Inputs], float], list[Effect]],
        *inputs: *Inputs,
    ) -> None:
        """Call ``decide(*inputs, now)``, a method of the replica, and perform what it returns."""
        self._refuse_after_bug()
        try:
            now = self._timekeeper.now()
            self.perform(decide(*inputs, now))
            self._rearm(now)
        except Exception as bug:
            self._report(bug)
            raise

    def perform(self, effects: Iterable[Effect]) -> None:
        """Perform ``effects`` in their order. Waits for nothing."""
        for effect in effects:
            match effect:
                case Wake(link_id):
                    if (link := self.links.get(link_id)) is not None:
                        link.wake()
                case Persist(session_id):
                    self._on_persist(session_id)
                case SetAside(_, records):
                    self._on_set_aside(records)
                case Respond(number, reply):
                    self._respond(number, reply)
                case Tell(number, account):
                    self._respond(number, account)
                case Dial(peer):
                    self._on_dial(peer)
                case Close(link_id, reason, name_in_use):
                    if (link := self.links.get(link_id)) is None:
                        continue
                    if name_in_use:
                        link.refuse(Refusal.NAME_IN_USE, reason)
                    else:
                        link.close(reason)
                case Notice(event, fields, alarming, session_id):
                    if session_id is not None:
                        fields = {"session": self._tagger(session_id), **fields}
                    log_event(logging.WARNING if alarming else logging.INFO, event, fields)
                case Adopt(ring):
                    self._on_adopt(ring)
                case Announce(what):
                    self._on_announce(what)
                case Withdraw(home):
                    self._on_withdraw(home)
                case _:
                    assert_never(effect)

    def _rearm(self, now: float) -> None:
        """Have the timer ring no later than the replica says at ``now`` that it is due.

        It is never put off: a moment that the replica once named comes, needed or not.
        """
        due = self._timekeeper.deadline(self.replica.next_due(now))
        if due < self._timer.deadline:
            self._timer.deadline = due
        if not self._ready.is_set() and self.replica.ready:
            self._ready.set()

    def _report(self, bug: Exception) -> None:
        if self._bug is None:
            self._bug = bug
            self._bug_found.set()

    @property
    def has_bug(self) -> bool:
        """Whether a bug has stopped this node."""
        return self._bug is not None

    def _refuse_after_bug(self) -> None:
        if self._bug is not None:
            raise RuntimeError("the node has stopped because of a bug") from self._bug

    # --- tasks --------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the replica; its first input."""
        self.feed(self.replica.start)

    async def run(self) -> NoReturn:
        """Wake the replica whenever it is due, for ever.

        Raises:
            Exception: the bug that stopped this node.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._raise_bug)
            while True:
                due = self._timekeeper.deadline(self.replica.next_due(self._timekeeper.now()))
                with trio.CancelScope(deadline=due) as self._timer:
                    await trio.sleep_forever()
                self._timekeeper.notice_suspension()
                self.feed(self.replica.on_tick)
        raise AssertionError("unreachable")

    async def _raise_bug(self) -> None:
        # The task that met the bug may be the application's, which may catch everything: so the
        # bug is raised here as well, where it stops the node.
        await self._bug_found.wait()
        assert self._bug is not None
        raise self._bug

    # --- links --------------------------------------------------------------------------------

    async def run_link(
        self, stream: Stream, connection: Connection, *, dialled: str | None = None
    ) -> LinkEnd:
        """Run an authenticated connection until it is over; the stream is closed then.

        Args:
            stream: what ``connection`` was authenticated over.
            connection: its protocol side.
            dialled: the member we dialled, or None if the peer dialled us.
        """
        link_id = LinkId(next(self._link_ids))
        link = self.links[link_id] = Link(link_id, stream, connection, self)
        peer = connection.peer
        try:
            greeting = connection.greeting
            if dialled is not None:
                self.feed(partial(self.replica.on_linked, greeting=greeting), dialled, link_id)
            else:
                self.feed(partial(self.replica.on_accepted, greeting=greeting), link_id, peer)
            end = await link.run()
        finally:
            del self.links[link_id]
            if self._bug is None:
                self.feed(self.replica.on_closed, link_id)
        if end.refused and dialled is not None:
            self.feed(self.replica.on_refused, dialled)
        self._log_end(end, peer, "dialled" if dialled is not None else "accepted")
        return end

    def _log_end(self, end: LinkEnd, peer: str | None, side: str) -> None:
        fields = {"reason": end.reason, "peer": peer or "client", "side": side}
        if end.broken_off:
            now = self._timekeeper.now()
            self._link_log.log(now, logging.WARNING, "link_broken_off", fields)
        else:
            level = logging.INFO if peer is not None else logging.DEBUG
            log_event(level, "link_closed", fields)

    def take(self, link_id: LinkId) -> Message | None:
        """Return the next message for this link; see ``LinkOwner.take``."""
        self._refuse_after_bug()
        try:
            return self.replica.take(link_id, self._timekeeper.now())
        except Exception as bug:
            self._report(bug)
            raise

    def on_messages(self, link_id: LinkId, messages: list[Message]) -> None:
        """Give the replica what was received in one go; see ``LinkOwner.on_messages``."""
        self._refuse_after_bug()
        link = self.links[link_id]
        try:
            now = self._timekeeper.now()
            for message in messages:
                self.perform(self.replica.on_message(link_id, message, now))
                if link.is_closing:
                    break
            self._rearm(now)
        except (RemoteProtocolError, RecordFormatError):
            raise  # the peer's fault: its link ends
        except Exception as bug:
            self._report(bug)
            raise

    async def wait_links_idle(self) -> None:
        """Return once every link has handed to the network what it had to say."""
        for link in list(self.links.values()):
            await link.wait_idle()

    # --- the store ----------------------------------------------------------------------------

    def persistent(self, session_id: SessionId) -> tuple[int, bytes | None] | None:
        """Return a record's version and form for the store; see ``PersistOwner``."""
        self._refuse_after_bug()
        try:
            return self.replica.persistent(session_id, self._timekeeper.now())
        except Exception as bug:
            self._report(bug)
            raise

    def on_persisted(self, versions: Mapping[SessionId, int]) -> None:
        """Tell the replica what the store has; see ``PersistOwner``."""
        self.feed(self.replica.on_persisted, versions)

    def on_persist_failed(self, session_ids: Iterable[SessionId], reason: str) -> None:
        """Tell the replica what the store did not take; see ``PersistOwner``."""
        self.feed(self.replica.on_persist_failed, session_ids, reason)

    # --- the application's requests -----------------------------------------------------------

    def next_number(self) -> int:
        """Return a number that no request of this process has had."""
        return next(self._numbers)

    def read(self, session_id: SessionId, touch: bool) -> Found | Absent | None:
        """Answer from this node's memory, or None if that needs other members. Never waits."""
        self._refuse_after_bug()
        if self._closed:
            return None
        try:
            now = self._timekeeper.now()
            answer, effects = self.replica.read(session_id, touch, now)
            if effects:
                self.perform(effects)
                self._rearm(now)
        except Exception as bug:
            self._report(bug)
            raise
        return answer

    async def request(self, request: Request) -> Reply:
        """Carry out ``request`` and return the outcome; the replica keeps its deadline.

        If cancelled, the request goes on and its answer is dropped.
        """
        reply = await self._submit(request, self.replica.submit)
        assert not isinstance(reply, Matches | Story | Inspected), "it answers questions"
        return reply

    async def query(self, query: Query) -> Matches | Failed:
        """Have a question answered; as ``request``."""
        reply = await self._submit(query, self.replica.submit)
        assert isinstance(reply, Matches | Failed), "it answers requests"
        return reply

    async def inquire(self, question: Inquiry) -> Account | Failed:
        """Return the answer to a question of people; as ``request``."""
        reply = await self._submit(question, self.replica.inquire)
        assert isinstance(reply, Story | Inspected | Failed), "it was a question of people"
        return reply

    async def _submit(
        self, asked: Asked, submit: Callable[[Asked, float], list[Effect]]
    ) -> Reply | Matches | Account:
        if (reason := self._why_not_taken()) is not None:
            return Failed(asked.number, Failure.UNAVAILABLE, reason)
        waiter = self._waiters[asked.number] = _Waiter()
        try:
            self.feed(submit, asked)
            if waiter.reply is None:
                waiter.task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(lambda _: trio.lowlevel.Abort.SUCCEEDED)
        finally:
            del self._waiters[asked.number]
        assert waiter.reply is not None, "woken with the reply"
        return waiter.reply

    def _why_not_taken(self) -> str | None:
        if self._closed:
            return "this node is closed"
        if len(self._waiters) >= REQUESTS_MAX:
            return f"{REQUESTS_MAX} requests wait already"
        return None

    def _respond(self, number: int, reply: Reply | Matches | Account) -> None:
        waiter = self._waiters.get(number)
        if waiter is None or waiter.reply is not None:
            return  # whoever asked was cancelled
        waiter.reply = reply
        if waiter.task is not None:
            trio.lowlevel.reschedule(waiter.task)

    def close(self) -> None:
        """Take no more requests, and tell those that wait that their outcome is unknown."""
        self._closed = True
        for number in list(self._waiters):
            self._respond(
                number, Failed(number, Failure.OUTCOME_UNKNOWN, "this node was closed meanwhile")
            )
        self._link_log.flush()

    # --- what the node tells ------------------------------------------------------------------

    async def wait_ready(self) -> None:
        """Return once the replica is ready: settled, refilled, serving."""
        await self._ready.wait()
