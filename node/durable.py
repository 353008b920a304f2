"""Long-lived connections, such as WebSockets, whose memberships outlive the process.

Rules:
- Each connection has a session: its rooms, topics and metadata are attributes of that, and the
  session's id is the token by which the client comes back, to whichever node.
- Connecting never fails for a ring that is in trouble: the connection works in memory, and is saved
  when that is possible. Some of those that are over meanwhile are kept for that as well.
- The session of an open connection is accessed once per coalescing interval, so it does not expire.
  That also tells of sessions that were ended elsewhere; their connections are told so.
- Whatever is kept here is kept of open connections, or is bounded.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from math import inf
from typing import Final

import trio
from attrs import define, field

from node.background import background_nursery
from node.durable_connection import DurableConnection
from node.log import RateLimitedLog, log_event
from node.receipts import Receipt
from node.sessions import Sessions
from node.timekeeping import Timekeeper, real_wall_ms
from ring.entry import coalescing_s
from ring.errors import (
    ConfigError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionRingError,
    SessionUnavailableError,
)

AT_ONCE: Final = 64
"""Sessions that the ring is asked about at the same time."""
RETRY_INTERVAL_S: Final = 1.0
"""Between two attempts to save what the ring has not taken."""
PAUSE_MIN_S: Final = 0.25
"""Between two looks at all connections; above what sessions of some seconds need."""


@define
class _Open:
    """The open connections of one session."""

    connections: dict[DurableConnection, None] = field(factory=dict)
    due: float = inf
    """When the session is to be accessed next, on trio's clock."""


class DurableSessions:
    """The open connections of one process; made by `open_durable`."""

    def __init__(
        self,
        sessions: Sessions,
        *,
        max_idle: float | None,
        patience_s: float,
        connections_max: int,
        unsaved_max: int,
        timekeeper: Timekeeper,
    ) -> None:
        self.sessions = sessions
        self.max_idle = max_idle
        self.patience_s = patience_s
        self._connections_max = connections_max
        self._unsaved_max = unsaved_max
        self._timekeeper = timekeeper
        self._connections: dict[DurableConnection, None] = {}
        self._open: dict[str, _Open] = {}
        self._unsaved: dict[DurableConnection, None] = {}
        """Those of which the ring has not got all, and is to be asked again."""
        self._over: dict[DurableConnection, None] = {}
        """Those among them that are not open any more."""
        self._retry_due = inf
        self._sleeps_until = -inf
        self._woken = trio.Event()
        self._log = RateLimitedLog()

    def __len__(self) -> int:
        """Return how many connections are open."""
        return len(self._connections)

    @property
    def unsaved(self) -> int:
        """How many connections, open or not, the ring has not got all of."""
        return len(self._unsaved)

    def connections(self, token: str) -> tuple[DurableConnection, ...]:
        """Return the open connections of a session."""
        known = self._open.get(token)
        return tuple(known.connections) if known is not None else ()

    async def connect(
        self,
        token: str | None,
        resource: str,
        *,
        on_ended: Callable[[], object] | None = None,
        on_found: Callable[[], object] | None = None,
    ) -> DurableConnection:
        """Return a connection, with what its session remembers.

        Args:
            token: what the client has presented, None for nothing. One that names no session of
                these is never adopted: the connection has a new one.
            resource: names the new connection; takes the place of that of an earlier one.
            on_ended: is called when the session was ended or has expired: close the connection.
                It must not wait.
            on_found: is called if the ring could not be asked at first, and now was: the token,
                rooms, topics and metadata may be others than before. It must not wait.

        Raises:
            RingFullError: as many are open as may be. Definite.
        """
        if len(self._connections) >= self._connections_max:
            raise RingFullError(
                f"{self._connections_max} connections are open, which is connections_max of "
                "open_durable; raise that, or close some"
            )
        connection = DurableConnection(self, token, resource, on_ended)
        self._connections[connection] = None
        self._register(connection)
        try:
            await connection.try_to_store(trio.current_time() + self.patience_s)
        except BaseException:
            self._drop(connection)
            raise
        connection.on_found = on_found
        return connection

    async def end(self, token: str) -> Receipt:
        """End a session for ever, and tell its connections here; raises as ``Sessions.end``."""
        try:
            receipt = await self.sessions.end(token)
        except (SessionEnded, ReplicationTimeoutError):
            self.ended(token)
            raise
        self.ended(token)
        return receipt

    def ended(self, token: str) -> int:
        """Tell the connections of a session that it is over; return how many that are.

        For whoever has learnt it: by itself this is noticed within a coalescing interval, which is
        a tenth of ``max_idle`` and at most 60 s.
        """
        connections = self.connections(token)
        for connection in connections:
            self._drop(connection)
            connection.end()
        return len(connections)

    # --- What connections tell, see ``ConnectionOwner`` ---------------------------------------

    def wall_ms(self) -> int:
        """Return milliseconds since 1970."""
        return self._timekeeper.wall_ms()

    def note_found(self, connection: DurableConnection, before: str | None) -> None:
        """It has a session now, and perhaps another token than before."""
        if connection in self._connections:
            self._unregister(connection, before)
            self._register(connection)

    def note_settled(self, connection: DurableConnection) -> None:
        """Nothing is left to be done for it."""
        self._unsaved.pop(connection, None)
        self._over.pop(connection, None)

    def note_trouble(self, connection: DurableConnection, error: SessionRingError) -> None:
        """The ring has not got all of it, and is to be asked again, after the others."""
        self._unsaved.pop(connection, None)
        reason = {"reason": type(error).__name__}
        self._log.log(trio.current_time(), logging.WARNING, "durable_not_saved_yet", reason)
        self._unsaved[connection] = None
        if connection not in self._connections:
            self._over[connection] = None
            while len(self._over) > self._unsaved_max:
                self._give_up(next(iter(self._over)))
        if self._retry_due == inf:
            self._retry_due = trio.current_time() + RETRY_INTERVAL_S
            self._wake(self._retry_due)

    def note_over(self, connection: DurableConnection) -> None:
        """It is about to be saved for the last time."""
        was_unsaved = connection in self._unsaved
        self._drop(connection)
        if was_unsaved:
            self._unsaved[connection] = self._over[connection] = None

    # --- Parts --------------------------------------------------------------------------------

    def _register(self, connection: DurableConnection) -> None:
        if connection.token is None:
            return
        known = self._open.setdefault(connection.token, _Open())
        known.connections[connection] = None
        known.due = min(known.due, trio.current_time() + coalescing_s(connection.max_idle))
        self._wake(known.due)

    def _unregister(self, connection: DurableConnection, token: str | None) -> None:
        known = self._open.get(token) if token is not None else None
        if known is not None and token is not None:
            known.connections.pop(connection, None)
            if not known.connections:
                del self._open[token]

    def _drop(self, connection: DurableConnection) -> None:
        self._connections.pop(connection, None)
        self._unregister(connection, connection.token)
        self._unsaved.pop(connection, None)
        self._over.pop(connection, None)

    def _give_up(self, connection: DurableConnection) -> None:
        del self._over[connection], self._unsaved[connection]
        log_event(logging.ERROR, "durable_lost", {"limit": self._unsaved_max})

    def _wake(self, due: float) -> None:
        if due < self._sleeps_until:
            self._woken.set()

    async def run(self) -> None:
        """Keep the sessions of open connections alive, and save what was not saved."""
        while True:
            now = trio.current_time()
            due = [token for token, known in self._open.items() if known.due <= now]
            await _all_of([partial(self._touch, token) for token in due])
            if self._retry_due <= trio.current_time():
                await self._retry()
            next_due = min((known.due for known in self._open.values()), default=inf)
            self._woken = trio.Event()
            self._sleeps_until = max(
                min(next_due, self._retry_due), trio.current_time() + PAUSE_MIN_S
            )
            with trio.move_on_at(self._sleeps_until):
                await self._woken.wait()

    async def _touch(self, token: str) -> None:
        known = self._open.get(token)
        if known is None:
            return
        of_ring = [each for each in known.connections if each.is_known]
        known.due = trio.current_time() + coalescing_s(of_ring[0].max_idle if of_ring else 0.0)
        if not of_ring:
            return
        with trio.move_on_after(self.patience_s):
            try:
                if not await self.sessions.touch(token):
                    self.ended(token)
            except SessionUnavailableError as error:
                reason = {"reason": type(error).__name__}
                self._log.log(trio.current_time(), logging.WARNING, "durable_not_touched", reason)

    async def _retry(self) -> None:
        deadline = trio.current_time() + self.patience_s
        await _all_of(
            [partial(each.try_to_store, deadline) for each in list(self._unsaved)], deadline
        )
        self._retry_due = trio.current_time() + RETRY_INTERVAL_S if self._unsaved else inf

    async def close(self) -> None:
        """Disconnect all, and save what was not saved, as far as that is possible by now."""
        deadline = trio.current_time() + 2 * self.patience_s
        await _all_of([partial(each.finish, deadline) for each in list(self._connections)])
        if self._unsaved:
            await self._retry()
        if self._unsaved:
            log_event(logging.ERROR, "durable_lost", {"connections": len(self._unsaved)})
        self._log.flush()


async def _all_of(calls: Sequence[Callable[[], Awaitable[object]]], deadline: float = inf) -> None:
    """Make all calls, some at a time; none is begun after ``deadline`` (trio's clock)."""
    for start in range(0, len(calls), AT_ONCE):
        if trio.current_time() >= deadline:
            break
        async with trio.open_nursery() as nursery:
            for call in calls[start : start + AT_ONCE]:
                nursery.start_soon(call)


@asynccontextmanager
async def open_durable(
    sessions: Sessions,
    *,
    max_idle: float | None = None,
    patience_s: float = 2.0,
    connections_max: int = 65_536,
    unsaved_max: int = 4096,
    wall_ms: Callable[[], int] = real_wall_ms,
) -> AsyncIterator[DurableSessions]:
    """Keep long-lived connections as long as the block; what is left open then is disconnected.

    Args:
        sessions: those of a node or of a client, of whichever namespace.
        max_idle: seconds without a connection after which a new session expires; 0 or less: never;
            None: as ``sessions`` are configured.
        patience_s: seconds that connecting, saving and disconnecting wait for the ring, above 0.
            Larger: fewer connections are kept in memory only while the ring is in trouble.
            Smaller: clients wait for less.
        connections_max: open connections, from 1.
        unsaved_max: connections that are over, and wait for the ring to take them, from 1. Beyond
            that the oldest is forgotten, and the log says so.
        wall_ms: reads the wall clock, in milliseconds since 1970.

    Raises:
        ConfigError: a number cannot be used.
    """
    if not 0 < patience_s < inf:
        raise ConfigError(f"patience_s is {patience_s!r}; use a number of seconds above 0")
    for name, number in (("connections_max", connections_max), ("unsaved_max", unsaved_max)):
        if type(number) is not int or number < 1:
            raise ConfigError(f"{name} is {number!r}; use a whole number from 1 on")
    durable = DurableSessions(
        sessions,
        max_idle=max_idle,
        patience_s=patience_s,
        connections_max=connections_max,
        unsaved_max=unsaved_max,
        timekeeper=Timekeeper(wall_ms),
    )
    async with background_nursery() as nursery:
        nursery.start_soon(durable.run)
        try:
            yield durable
        finally:
            with trio.CancelScope(shield=True):
                await durable.close()
