"""One authenticated connection: a task that reads and a task that writes.

Rules:
- What was received goes to the owner in one go, whole messages only; then the reader yields.
- The writer sleeps until it is woken, packs what there is into one send, and sends it under a
  deadline: a peer that never reads loses its link.
- A send that broke or was cancelled ends the link; a half-written stream is never used again.
- Whatever a peer sends ends its own link at most: `RemoteProtocolError` and `OSError` are the
  peer's and the network's, everything else is our bug and passes through to stop the node.
"""

import contextlib
import math
from collections import Counter
from typing import Final, Protocol

import trio
from attrs import frozen

from node.doorbell import Doorbell
from node.tls import NoTlsError
from node.transport import Stream
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import LinkId
from ring.messages import Message
from wire import Authenticated, Connection, HandshakeError, Refusal

SEND_TIMEOUT_S: Final = 5.0
"""For one send of at most `SEND_FILL_BYTES` and a frame; more than the suspicion of silence."""

SEND_FILL_BYTES: Final = 128 * 1024
"""A send is closed once it holds this much. Larger: fewer system calls when many changes wait."""

FRAME_TIMEOUT_S: Final = 10.0
"""For a frame, once it has begun to come. Larger: slow networks can bring large frames. Smaller:
a peer that stops in the middle holds the frame's memory for less long."""

RECEIVE_BYTES: Final = (4 * 1024, 64 * 1024)
"""Read at once, at least and at most: more as long as a read is filled. A read makes room for all
it asks for, and what is kept settles in that room, which the next read does not find again. With
the most every time, 8.2 MiB of the heap were free and in pieces when 3,600 sessions had come and
gone; so it is 2.1 MiB (measured)."""

_REFUSAL_TIMEOUT_S: Final = 0.5


class LinkOwner(Protocol):
    """Whoever decides what a link says and what its messages mean."""

    def take(self, link_id: LinkId) -> Message | None:
        """Return the next message to send on this link, or None for nothing now."""

    def on_messages(self, link_id: LinkId, messages: list[Message]) -> None:
        """Use what was received on this link.

        Raises:
            RemoteProtocolError: a message is one that this peer may not send. Its link ends.
            RecordFormatError: a record in a message is none. Its link ends.
        """


@frozen
class LinkEnd:
    """Why a link is over."""

    reason: str
    """One sentence for people; it may quote what the peer sent."""
    broken_off: bool
    """This side broke it off, for what the peer did or failed to do; else it just ended."""
    refused: bool = False
    """The peer has refused this side, by the word that the protocol has for it."""


async def shake_hands(stream: Stream, connection: Connection) -> Authenticated:
    """Prove who we are and learn who the peer is. The caller sets the deadline.

    Raises:
        OSError: the connection broke.
        RemoteProtocolError: the peer broke the rules, refused us, or is not who it should be.
            It has been told why, where the protocol has a word for it.
    """
    await _send(stream, connection.data_to_send())
    while True:
        try:
            data = await stream.receive_some(RECEIVE_BYTES[0])
        except NoTlsError:
            connection.refuse(Refusal.TLS)
            await send_refusal(stream, connection)
            raise
        try:
            if not data:
                connection.receive_eof()
                raise RemoteProtocolError("the peer closed the connection during the handshake")
            connection.note_certificate(stream.proved_names)
            connection.receive_data(data)
            event = connection.next_event()
        except RemoteProtocolError:
            await send_refusal(stream, connection)
            raise
        await _send(stream, connection.data_to_send())
        if isinstance(event, Authenticated):
            return event


async def send_refusal(stream: Stream, connection: Connection) -> None:
    """Tell the peer why this connection is over, if it listens; never for long, never raising."""
    with trio.move_on_after(_REFUSAL_TIMEOUT_S):
        with contextlib.suppress(OSError):
            await _send(stream, connection.data_to_send())


async def _send(stream: Stream, data: bytes) -> None:
    if data:
        await stream.send_all(data)


class Link:
    """An authenticated connection, until one side ends it.

    Args:
        link_id: names this connection in the process.
        stream: where the bytes go; the link closes it.
        connection: authenticated; what follows its handshake may already be received.
        owner: decides what is said.
    """

    def __init__(
        self, link_id: LinkId, stream: Stream, connection: Connection, owner: LinkOwner
    ) -> None:
        self.link_id = link_id
        self.sent: Counter[str] = Counter()
        """How many messages of each kind were sent, by the names of their classes."""
        self.sent_bytes = 0
        self._stream = stream
        self._connection = connection
        self._owner = owner
        self._bell = Doorbell()
        self._scope = trio.CancelScope()
        self._sends = trio.CancelScope()
        self._end: LinkEnd | None = None
        self._receive_bytes = RECEIVE_BYTES[0]
        self._refusal: Refusal | None = None
        self._sending = False
        self._busy = False
        self._idle = trio.Event()

    def wake(self) -> None:
        """Have the writer ask its owner for messages."""
        self._busy = True
        self._bell.ring()

    def close(self, reason: str) -> None:
        """Break the link off, whatever is under way. ``run`` returns soon after."""
        self._finish(LinkEnd(reason, broken_off=True))

    def refuse(self, refusal: Refusal, reason: str) -> None:
        """Break the link off, and tell the peer why, if it listens."""
        self._refusal = refusal
        self.close(reason)

    @property
    def is_closing(self) -> bool:
        """Whether the end is decided: nothing more is read or written."""
        return self._end is not None

    async def wait_idle(self) -> None:
        """Return once everything there was to say has been handed to the network."""
        while self._busy:
            self._idle = trio.Event()
            await self._idle.wait()

    async def run(self) -> LinkEnd:
        """Read and write until the link is over; return why. The stream is closed then."""
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._read)
                    nursery.start_soon(self._write)
        finally:
            self._busy = False
            self._idle.set()
            with trio.CancelScope(shield=True):
                if self._refusal is not None and not self._sending:
                    self._connection.refuse(self._refusal)
                    await send_refusal(self._stream, self._connection)
                await self._stream.aclose()
        assert self._end is not None, "a link ends for a reason"
        return self._end

    async def _read(self) -> None:
        frame_deadline = math.inf
        try:
            self._use_received()
            while data := await self._receive(frame_deadline):
                self._connection.receive_data(data)
                if self._use_received():
                    frame_deadline = math.inf
                elif frame_deadline == math.inf:
                    frame_deadline = trio.current_time() + FRAME_TIMEOUT_S
            self._connection.receive_eof()
            self._finish(LinkEnd("the peer closed the connection", broken_off=False))
        except OSError as error:
            self._finish(LinkEnd(f"the connection broke: {error}", broken_off=False))
        except (RemoteProtocolError, RecordFormatError) as error:
            refused = isinstance(error, HandshakeError) and error.by_peer
            self._end = self._end or LinkEnd(str(error), broken_off=True, refused=refused)
            if not self._sending:
                await send_refusal(self._stream, self._connection)
            self._scope.cancel()

    async def _receive(self, deadline: float) -> bytes:
        if deadline == math.inf:
            return await self._receive_some()
        with trio.CancelScope(deadline=deadline) as scope:
            return await self._receive_some()
        assert scope.cancelled_caught
        raise RemoteProtocolError(f"a frame was not complete within {FRAME_TIMEOUT_S:g} s")

    async def _receive_some(self) -> bytes:
        data = await self._stream.receive_some(self._receive_bytes)
        least, most = RECEIVE_BYTES
        is_filled = len(data) == self._receive_bytes
        self._receive_bytes = min(most, 4 * self._receive_bytes) if is_filled else least
        return data

    def _use_received(self) -> bool:
        """Hand on all complete messages; return whether there were any."""
        is_any = False
        while events := self._connection.next_events():
            messages = [event for event in events if not isinstance(event, Authenticated)]
            assert len(messages) == len(events), "a connection authenticates once"
            is_any = True
            if not self.is_closing:
                self._owner.on_messages(self.link_id, messages)
        return is_any

    async def _write(self) -> None:
        try:
            # One scope for all sends: one for each, and its deadline, took as long as the send.
            with trio.CancelScope() as self._sends:
                await self._write_on()
        except OSError as error:
            self._finish(LinkEnd(f"the connection broke: {error}", broken_off=False))
        if self._sends.cancel_called:
            self._finish(LinkEnd(f"the peer read nothing for {SEND_TIMEOUT_S} s", broken_off=True))

    async def _write_on(self) -> None:
        while True:
            await self._bell.wait()
            # A connection in error cannot send: once the end is decided, nothing is packed.
            while not self.is_closing and (data := self._pack()):
                self._sending = True
                self._sends.deadline = trio.current_time() + SEND_TIMEOUT_S
                await self._stream.send_all(data)
                self._sends.deadline = math.inf
                self._sending = False
            self._busy = False
            self._idle.set()

    def _pack(self) -> bytes:
        frames: list[bytes] = []
        size = 0
        while size < SEND_FILL_BYTES:
            message = self._owner.take(self.link_id)
            if message is None:
                break
            frame = self._connection.send(message)
            frames.append(frame)
            size += len(frame)
            self.sent[type(message).__name__] += 1
        self.sent_bytes += size
        return b"".join(frames)

    def _finish(self, end: LinkEnd) -> None:
        if self._end is None:
            self._end = end
        self._scope.cancel()
