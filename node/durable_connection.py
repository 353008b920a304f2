"""One long-lived connection, and what of it outlives it: in a session, or waiting for one.

Rules:
- What it was told is in force at once, here; the ring has it when it is saved. While the ring
  cannot be asked, it is kept in a draft, which moves into the session as soon as there is one.
- A token is the id of a session. One that names no session is never adopted: the connection gets
  a new one. One that could not be asked about is kept until it can.
- It is saved for the last time once, however often it is told that the connection is over.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from typing import Final, Protocol

import trio

from node.attributes import Attributes
from node.errors import AttributeDecodeError
from node.log import log_event
from node.session import Session
from node.sessions import Sessions
from node.structures import SessionMap
from node.writers import Writers
from ring.errors import (
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionRingError,
    SessionTooLargeError,
    SessionUnavailableError,
)

RESOURCE: Final = "durable.resource"
SEEN: Final = "durable.seen"
ROOMS: Final = "durable.rooms"
TOPICS: Final = "durable.topics"
METADATA: Final = "durable.metadata"

PASSING: Final = (SessionUnavailableError, ReplicationTimeoutError, RingFullError)
"""What a ring answers that is in trouble just now: it is asked again later."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ConnectionOwner(Protocol):
    """What a connection tells whoever keeps all of them."""

    sessions: Sessions
    max_idle: float | None
    patience_s: float

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""

    def note_found(self, connection: "DurableConnection", before: str | None) -> None:
        """It has a session now, and perhaps another token than before."""

    def note_settled(self, connection: "DurableConnection") -> None:
        """The ring has all of it, or will not take it: nothing is left to be done."""

    def note_trouble(self, connection: "DurableConnection", error: SessionRingError) -> None:
        """The ring has not got all of it, because of ``error``, and is to be asked again."""

    def note_over(self, connection: "DurableConnection") -> None:
        """It is about to be saved for the last time."""

    def ended(self, token: str) -> int:
        """The session with this id is over."""


class DurableConnection:
    """An open connection; made by ``DurableSessions.connect``.

    Args:
        owner: keeps all of them.
        token: what the client has presented; None: nothing.
        resource: names this connection, and no other one.
        on_ended: called when its session was ended or has expired.
    """

    def __init__(
        self,
        owner: ConnectionOwner,
        token: str | None,
        resource: str,
        on_ended: Callable[[], object] | None,
    ) -> None:
        self.resource = resource
        self.is_restored = False
        """Whether the token named a session, whose memberships are here again."""
        self.is_ended = False
        """Whether its session was ended or has expired: nothing of it is saved any more."""
        self.is_over = False
        """Whether ``disconnect`` was called, or its session was ended."""
        self._owner = owner
        self._token = token
        self._on_ended = on_ended
        self.on_found: Callable[[], object] | None = None
        """Called when it has got its session."""
        self._session: Session | None = None
        self._draft = Attributes({}, Writers(SystemRandom()))
        self._unsaved: dict[str, dict[str, bool]] = {ROOMS: {}, TOPICS: {}}
        """Members that were added (True) or taken out, and that the ring has not heard of."""
        self._lock = trio.Lock()
        self._is_done = trio.Event()
        self.created_at = self.last_seen = self._now()
        """When the session was created, and seen last before this connection, in UTC."""

    # --- What it knows ------------------------------------------------------------------------

    @property
    def token(self) -> str | None:
        """What the client presents when it comes back; None: there is none yet.

        So it is while a client of the ring is connected to none of its nodes.
        """
        return self._token

    @property
    def is_known(self) -> bool:
        """Whether the ring has its session."""
        return self._session is not None and not self._session.is_new

    @property
    def max_idle(self) -> float:
        """Seconds without access after which its session expires; 0 or less: never."""
        return self._session.max_idle if self._session is not None else 0.0

    @property
    def rooms(self) -> frozenset[str]:
        """The rooms that it is in."""
        return frozenset(self._attributes.set(ROOMS))

    @property
    def topics(self) -> frozenset[str]:
        """The topics that it has subscribed to."""
        return frozenset(self._attributes.set(TOPICS))

    @property
    def metadata(self) -> SessionMap:
        """Whatever else is to be restored: a dict, to be asked for anew each time, and saved."""
        return self._attributes.map(METADATA)

    @property
    def _attributes(self) -> Attributes:
        return self._draft if self._session is None else self._session

    def _now(self) -> datetime:
        return _EPOCH + timedelta(milliseconds=self._owner.wall_ms())

    # --- What it is told ----------------------------------------------------------------------

    async def join(self, *rooms: str) -> bool:
        """Be in these rooms from now on; saved, as by ``save``."""
        self._change(ROOMS, rooms, is_in=True)
        return await self.save()

    async def leave(self, *rooms: str) -> bool:
        """Be in these rooms no more; saved, as by ``save``."""
        self._change(ROOMS, rooms, is_in=False)
        return await self.save()

    async def subscribe(self, *topics: str) -> bool:
        """Have these topics from now on; saved, as by ``save``."""
        self._change(TOPICS, topics, is_in=True)
        return await self.save()

    async def unsubscribe(self, *topics: str) -> bool:
        """Have these topics no more; saved, as by ``save``."""
        self._change(TOPICS, topics, is_in=False)
        return await self.save()

    def _change(self, name: str, members: Iterable[str], *, is_in: bool) -> None:
        changes = dict.fromkeys(members, is_in)
        _apply(self._attributes, name, changes)
        self._unsaved[name].update(changes)

    async def save(self) -> bool:
        """Bring what has changed to the ring, and return whether it has it.

        If it has not, because it is in trouble just now, it gets it later by itself.

        Raises:
            SessionTooLargeError: there is too much of it. In force here, and not saved.
            ValueNotStorableError: something in ``metadata`` cannot be kept. The same.
        """
        if self.is_over:
            return False
        return await self.store()

    async def disconnect(self) -> None:
        """Save it for the last time; the connection is over.

        May be called as often as there are reasons to, also at the same time: one call saves, and
        all return when that is done. It is done also when the caller is cancelled.
        """
        await self.finish(trio.current_time() + self._owner.patience_s)

    async def finish(self, deadline: float) -> None:
        """Do what ``disconnect`` does, until ``deadline`` (trio's clock)."""
        if self.is_over:
            await self._is_done.wait()
            return
        self.is_over = True
        self._owner.note_over(self)
        try:
            with trio.CancelScope(shield=True):
                self._attributes[SEEN] = self._now()
                await self.try_to_store(deadline)
        finally:
            self._is_done.set()

    # --- Saving -------------------------------------------------------------------------------

    async def try_to_store(self, deadline: float) -> bool:
        """Save it, and return whether the ring has all of it; whatever is wrong is only logged."""
        try:
            return await self.store(deadline)
        except SessionRingError as error:
            fields = {"reason": type(error).__name__}
            log_event(logging.ERROR, "durable_not_saved", fields)
            return False

    async def store(self, deadline: float | None = None) -> bool:
        """Save it, by ``deadline`` (trio's clock); None: in the time that the owner is patient."""
        if deadline is None:
            deadline = trio.current_time() + self._owner.patience_s
        if self.is_ended:
            return False
        error: SessionRingError = SessionUnavailableError("there was no answer in time")
        with trio.move_on_at(deadline):
            try:
                async with self._lock:
                    await self._bring()
            except SessionEnded:
                self._owner.note_settled(self)
                if self._token is not None:
                    self._owner.ended(self._token)
                self.is_ended = True
                return False
            except PASSING as trouble:
                error = trouble
            except SessionRingError:
                self._owner.note_settled(self)  # To ask again would not help.
                raise
            else:
                self._owner.note_settled(self)
                return True
        self._owner.note_trouble(self, error)
        return False

    async def _bring(self) -> None:
        """Bring all of it to the ring, which is asked for a session first if there is none yet."""
        session = self._session or await self._find_session()
        told = {name: dict(changes) for name, changes in self._unsaved.items()}
        try:
            await session.save()
        except SessionTooLargeError:
            if session.is_new:
                raise
            await (await self._compacted()).save()
        for name, changes in told.items():
            for member, is_in in changes.items():
                if self._unsaved[name].get(member) is is_in:
                    del self._unsaved[name][member]

    async def _find_session(self) -> Session:
        """Return the session that the token names, or else a new one, with all that is known."""
        sessions = self._owner.sessions
        session = await sessions.find(self._token, touch=False)
        if session is not None:
            self.is_restored = True
            self.created_at = session.created_at
            self.last_seen = max(session.last_accessed, _seen(session))
        else:
            session = sessions.create(max_idle=self._owner.max_idle)
        self._move_into(session)
        session[RESOURCE] = self.resource
        before, self._token = self._token, session.id
        self._owner.note_found(self, before)
        if self.on_found is not None:
            _call(self.on_found)
        return session

    def _move_into(self, session: Session) -> None:
        """Go on with this copy of the session, which lacks what the ring has not heard of."""
        before, self._session = self._attributes, session
        session[SEEN] = self._now()
        for name, changes in self._unsaved.items():
            _apply(session, name, changes)
        if entries := before.map(METADATA).copy():
            session.map(METADATA).update(entries)

    async def _compacted(self) -> Session:
        """Go on with a copy without a trace of what was taken out of it, which counts for days.

        Made of one that the ring has given just now: others may have joined in other processes.
        """
        session = await self._owner.sessions.find(self._token, touch=False)
        if session is None:
            raise SessionEnded("the session was ended, or has expired")
        self._move_into(session)
        for name in (ROOMS, TOPICS):
            members = session.set(name).copy()
            session.set(name).clear()
            session.set(name).update(members)
        entries = session.map(METADATA).copy()
        session.map(METADATA).clear()
        session.map(METADATA).update(entries)
        return session

    def end(self) -> None:
        """Take note that its session is over; nothing of it is saved any more."""
        self.is_ended = self.is_over = True
        self._is_done.set()
        if self._on_ended is not None:
            _call(self._on_ended)


def _seen(session: Session) -> datetime:
    """Return when an earlier connection was seen, as it has said itself."""
    try:
        seen = session.get(SEEN)
    except AttributeDecodeError:
        return _EPOCH
    return seen if isinstance(seen, datetime) and seen.tzinfo is not None else _EPOCH


def _apply(attributes: Attributes, name: str, changes: Mapping[str, bool]) -> None:
    """Add members to a set, or take them out."""
    for member, is_in in changes.items():
        if is_in:
            attributes.set(name).add(member)
        else:
            attributes.set(name).discard(member)


def _call(function: Callable[[], object]) -> None:
    """Call what the application gave; one that fails concerns no other connection."""
    try:
        function()
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the application's
        log_event(logging.ERROR, "durable_callback_failed", {"error": repr(error)})
