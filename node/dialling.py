"""Keeps one connection to one other member: dials, runs it, dials again.

Rules:
- After a link is lost the first dial is at once, then with back-off and jitter.
- A dial that is refused, or whose handshake is not done in time, is told to the replica: that,
  and not silence, is how it learns that a member is down.
- An outage is one log line when it begins (and when its reason changes) and one when it is over.
"""

import logging
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final, NoReturn

import trio

from node.backoff import BackOff
from node.doorbell import Doorbell
from node.link import shake_hands
from node.log import log_event
from node.timekeeping import Timekeeper
from node.tls import TlsError
from node.transport import Stream, Transport, os_reason
from ring.errors import ConfigError, RemoteProtocolError
from wire import Connection, HandshakeError

FIRST_WAIT_S: Final = 0.1
_FLAPPING_S: Final = 1.0


class Dialling:
    """The task that keeps us connected to one member.

    Args:
        peer: what to call it in the log.
        address: where it listens.
        transport: dials.
        new_connection: returns the dialler's protocol side of a new connection to it.
        run_link: runs an authenticated connection until it is over, and closes its stream.
        on_unreachable: called when a dial has failed, but for a refusal.
        on_refused: called when somebody who speaks the protocol there has refused us, or we them:
            it lives; by default as ``on_unreachable``.
        timekeeper: the node's clock.
        random: for the jitter.
        timeout_s: for a connection and its handshake, in seconds, above 0.
        connect_timeout_s: of these, how many may pass until it is connected, above 0.
        wait_max_s: the longest pause between two dials, in seconds, above 0.
    """

    def __init__(
        self,
        peer: str,
        address: str,
        *,
        transport: Transport,
        new_connection: Callable[[], Connection],
        run_link: Callable[[Stream, Connection], Awaitable[object]],
        on_unreachable: Callable[[], None],
        on_refused: Callable[[], None] | None = None,
        timekeeper: Timekeeper,
        random: Random,
        timeout_s: float,
        connect_timeout_s: float | None = None,
        wait_max_s: float,
    ) -> None:
        self._peer = peer
        self._address = address
        self._transport = transport
        self._new_connection = new_connection
        self._run_link = run_link
        self._on_unreachable = on_unreachable
        self._on_refused = on_refused or on_unreachable
        self._timekeeper = timekeeper
        self._timeout_s = timeout_s
        self._connect_timeout_s = timeout_s if connect_timeout_s is None else connect_timeout_s
        first_s = min(FIRST_WAIT_S, wait_max_s)
        self._back_off = BackOff(random, first_s=first_s, max_s=wait_max_s)
        self._now = Doorbell()
        self._outage: str | None = None
        self.began: float | None = None
        """When the latest dial began, by the node's clock."""

    @property
    def outage(self) -> str | None:
        """Why there is no connection, or None if there is one or none was tried yet."""
        return self._outage

    def move(self, address: str) -> None:
        """Dial ``address`` from now on; the connection that there is goes on."""
        self._address = address

    def dial_now(self) -> None:
        """Cut the pause before the next dial short."""
        self._now.ring()

    async def run(self) -> NoReturn:
        """Dial for ever, the first time when told to."""
        await self._now.wait()
        while True:
            await self._dial_once()
            # What rang while we were dialling or linked is answered already.
            if self._now.rung:
                await self._now.wait()
            with trio.move_on_after(self._back_off.next_s()):
                await self._now.wait()

    async def _dial_once(self) -> None:
        self.began = self._timekeeper.now()
        try:
            connected = await self._connect()
        except (HandshakeError, TlsError):
            self._on_refused()
            return
        if connected is None:
            self._on_unreachable()
            return
        began = self._timekeeper.now()
        await self._run_link(*connected)
        # A peer that accepts and hangs up at once must not be dialled in a circle.
        if self._timekeeper.now() - began >= _FLAPPING_S:
            self._back_off.reset()

    async def _connect(self) -> tuple[Stream, Connection] | None:
        """Return an authenticated connection, or None, having logged why there is none.

        Raises:
            HandshakeError, TlsError: it was refused, by whoever lives there or by us. It was
                logged.
        """
        stream: Stream | None = None
        try:
            with trio.fail_after(self._timeout_s):
                with trio.fail_after(self._connect_timeout_s):
                    stream = await self._transport.dial(self._address)
                connection = self._new_connection()
                await shake_hands(stream, connection)
            self._note_linked()
            linked, stream = stream, None
            return linked, connection
        except trio.TooSlowError:
            within = self._connect_timeout_s if stream is None else self._timeout_s
            what = "connection" if stream is None else "handshake"
            self._note_outage(f"no {what} within {within:g} s")
        except TlsError as error:
            self._note_outage(str(error), logging.WARNING)
            raise
        except OSError as error:
            self._note_outage(os_reason(error))
        except ConfigError as error:
            # An address that another member's ring has brought.
            self._note_outage(str(error), logging.WARNING)
        except RemoteProtocolError as error:
            # Unlike a node that is away, this does not mend itself.
            self._note_outage(str(error), logging.WARNING)
            if isinstance(error, HandshakeError):
                raise
        finally:
            if stream is not None:
                with trio.CancelScope(shield=True):
                    await stream.aclose()
        return None

    def _note_linked(self) -> None:
        log_event(logging.DEBUG, "dialled", {"peer": self._peer, "address": self._address})
        self._outage = None

    def _note_outage(self, reason: str, level: int = logging.INFO) -> None:
        if reason != self._outage:
            self._outage = reason
            log_event(
                level,
                "dial_failed",
                {"peer": self._peer, "address": self._address, "reason": reason},
            )
