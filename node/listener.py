"""Accepts connections, and keeps strangers from doing harm before they have authenticated.

Rules:
- A connection has a few seconds to authenticate, and the smallest of budgets until then.
- Connections are limited in total, and more tightly before authentication. When too many have
  not authenticated, the oldest of them gives way: those who hold on to a connection and say
  nothing lose it first, and a member or client that does speak is through in a round trip.
- When the system has no more descriptors, the oldest gives way as well.
- Members' places are kept free: only clients are refused for want of one.
- Refusals are one log line each, as long as they are few.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from node.link import send_refusal, shake_hands
from node.log import RateLimitedLog
from node.timekeeping import Timekeeper
from node.transport import Listener, Stream
from ring.errors import RemoteProtocolError
from wire import Connection, Refusal

_PAUSE_S: Final = 0.1
_MADE_ROOM_S: Final = 0.01
"""The same where somebody has just given way: enough for that connection to be closed."""


class Reception:
    """Greets whoever connects, and hands on those that have authenticated.

    Args:
        new_connection: returns the acceptor's protocol side of a new connection.
        run_link: runs an authenticated connection until it is over, and closes its stream.
        timekeeper: the node's clock.
        timeout_s: for the handshake, in seconds, above 0.
        connections_max: all connections, above ``members_max``. Larger: more clients, more memory.
        unauthenticated_max: connections that have not authenticated, above 0.
        members_max: places kept for members; each may have a new connection while its old one
            still ends.
    """

    def __init__(
        self,
        *,
        new_connection: Callable[[], Connection],
        run_link: Callable[[Stream, Connection], Awaitable[object]],
        timekeeper: Timekeeper,
        timeout_s: float,
        connections_max: int,
        unauthenticated_max: int,
        members_max: int,
    ) -> None:
        self._new_connection = new_connection
        self._run_link = run_link
        self._timekeeper = timekeeper
        self._timeout_s = timeout_s
        self._connections_max = connections_max
        self._unauthenticated_max = unauthenticated_max
        self.keep_places(members_max)
        self._unauthenticated: dict[trio.CancelScope, None] = {}
        self._clients = 0
        self._log = RateLimitedLog()

    @property
    def clients(self) -> int:
        """How many clients are connected."""
        return self._clients

    @property
    def unauthenticated(self) -> int:
        """How many connections have not authenticated yet."""
        return len(self._unauthenticated)

    def keep_places(self, members_max: int) -> None:
        """Keep so many places for members from now on."""
        free = self._connections_max - self._unauthenticated_max - members_max
        self._clients_max = max(1, free)

    async def serve(self, listener: Listener, nursery: trio.Nursery) -> None:
        """Accept connections until cancelled, then close ``listener``.

        The connections run in ``nursery``: when no more are accepted, they go on.
        """
        try:
            while True:
                stream = await self._accept(listener)
                nursery.start_soon(self._receive, stream)
        finally:
            self._log.flush()
            with trio.CancelScope(shield=True):
                await listener.aclose()

    async def _accept(self, listener: Listener) -> Stream:
        while True:
            try:
                return await listener.accept()
            except OSError as error:
                # Mostly for want of descriptors: the next try would fail at once, so it waits
                # for some to be freed, by whoever has said nothing for longest if there is one.
                self._refused("accept_failed", str(error))
                pause_s = _MADE_ROOM_S if self._unauthenticated else _PAUSE_S
                self._have_oldest_give_way()
                await trio.sleep(pause_s)

    async def _receive(self, stream: Stream) -> None:
        try:
            connection = await self._authenticate(stream)
            if connection is None:
                return
            if connection.peer is not None:
                await self._run_link(stream, connection)
            elif self._clients >= self._clients_max:
                connection.refuse(Refusal.BUSY)
                await send_refusal(stream, connection)
                self._refused("connection_refused", "too many clients", stream.remote)
            else:
                self._clients += 1
                try:
                    await self._run_link(stream, connection)
                finally:
                    self._clients -= 1
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _authenticate(self, stream: Stream) -> Connection | None:
        """Return the connection once its peer has authenticated, or None, having said why not."""
        if len(self._unauthenticated) >= self._unauthenticated_max:
            self._have_oldest_give_way()
        connection = self._new_connection()
        deadline = trio.current_time() + self._timeout_s
        with trio.CancelScope(deadline=deadline) as scope:
            self._unauthenticated[scope] = None
            try:
                await shake_hands(stream, connection)
                return connection
            except OSError as error:
                reason = f"broke during the handshake: {error.strerror or error}"
                self._refused("connection_refused", reason, stream.remote)
            except RemoteProtocolError as error:
                self._refused("connection_refused", str(error), stream.remote)
            finally:
                self._unauthenticated.pop(scope, None)
        if scope.cancelled_caught:
            reason = f"no handshake within {self._timeout_s:g} s"
            if trio.current_time() < deadline:
                reason = "too many others have not authenticated"
            self._refused("connection_refused", reason, stream.remote)
        return None

    def _have_oldest_give_way(self) -> None:
        for oldest in self._unauthenticated:
            del self._unauthenticated[oldest]
            oldest.cancel()
            return

    def _refused(self, event: str, reason: str, remote: str = "") -> None:
        details = {"remote": remote} if remote else {}
        cause = {"reason": reason}
        self._log.log(self._timekeeper.now(), logging.WARNING, event, cause, details)
