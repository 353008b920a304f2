"""The network of level 2: connections that carry bytes, as TCP does, over the ways of the world.

Rules:
- Bytes arrive in order and once, cut into pieces anywhere. A way that is stalled keeps them; they
  come when it is free again, unless the connection broke.
- Only so much is on its way, or unread: who sends more waits.
- Breaking loses what is under way to whoever notices, in the middle of a frame or not. An end that
  does not notice still gets what was sent to it, and finds out by silence.
- What a process does after its death changes nothing: its connections are over.
"""

import errno
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import Final

import trio
from attrs import define, field

from simulations.scheduler import Scheduler
from simulations.ways import Road

UNREAD_MAX: Final = (4 * 1024, 64 * 1024)
"""Bytes on their way or unread, of one direction of a connection: as much as its buffers hold."""
PIECE_MAX: Final = 16 * 1024
CUT_SHORT: Final = 0.1
"""How often a piece ends where it likes, and not where a send ended."""


@define(eq=False)
class ByteEnd:
    """One end of a connection, at one process; is a ``node.transport.Stream``."""

    link: int
    node: str
    peer: str
    connection: "ByteConnection" = field(init=False)
    queue: deque[bytes] = field(factory=deque)
    """The pieces that were sent from here and have not arrived, in order."""
    last_arrival: float = 0.0
    noticed: bool = False
    """It knows that the connection is over."""
    received: bytearray = field(factory=bytearray)
    under_way: int = 0
    """Bytes that were sent from here, and that nobody has read yet."""
    at_end: bool = False
    """The far end has closed, and all it had sent is here."""
    closed: bool = False
    _reader: trio.lowlevel.Task | None = None
    """Waits until there is something to read."""
    _writer: trio.lowlevel.Task | None = None
    """Waits until there is room."""

    @property
    def remote(self) -> str:
        """See ``Stream``."""
        return f"{self.peer}.world"

    @property
    def proved_names(self) -> frozenset[str] | None:
        """See ``Stream``; there is no TLS here."""
        return None

    async def receive_some(self, max_bytes: int) -> bytes:
        """See ``Stream``."""
        if self._has_news:
            await trio.lowlevel.checkpoint()
        while not self._has_news:
            await self._wait_for_news()
        self._check_open()
        if self.received:
            return self._read(max_bytes)
        if self.noticed:
            raise ConnectionResetError(errno.ECONNRESET, "reset in the world")
        return b""

    @property
    def _has_news(self) -> bool:
        return bool(self.received) or self.noticed or self.at_end or self.closed

    async def _wait_for_news(self) -> None:
        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._reader = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._reader = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    def _read(self, max_bytes: int) -> bytes:
        data = bytes(self.received[:max_bytes])
        del self.received[:max_bytes]
        far = self.connection.other(self)
        far.under_way -= len(data)
        far._wake_writer()
        return data

    async def send_all(self, data: bytes) -> None:
        """See ``Stream``."""
        await trio.lowlevel.checkpoint()
        rest = memoryview(data)
        while rest:
            self._check_open()
            if self.noticed:
                raise BrokenPipeError(errno.EPIPE, "the far end is gone")
            if self.under_way >= self.connection.unread_max:
                if self.at_end:
                    raise BrokenPipeError(errno.EPIPE, "the far end has closed")
                await self._wait_for_room()
                continue
            size = self.connection.piece_size(len(rest), self.under_way)
            self.connection.carry(self, bytes(rest[:size]))
            rest = rest[size:]

    async def _wait_for_room(self) -> None:
        def abort(_: trio.lowlevel.RaiseCancelT) -> trio.lowlevel.Abort:
            self._writer = None
            return trio.lowlevel.Abort.SUCCEEDED

        self._writer = trio.lowlevel.current_task()
        await trio.lowlevel.wait_task_rescheduled(abort)

    async def aclose(self) -> None:
        """See ``Stream``."""
        if not self.closed:
            self.closed = True
            self.connection.close(self)
            self.wake()

    def wake(self) -> None:
        """Have whoever waits look at what has happened."""
        self.wake_reader()
        self._wake_writer()

    def wake_reader(self) -> None:
        """Have whoever reads look at what has come."""
        task, self._reader = self._reader, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _wake_writer(self) -> None:
        task, self._writer = self._writer, None
        if task is not None:
            trio.lowlevel.reschedule(task)

    def _check_open(self) -> None:
        if self.closed:
            raise ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed here")


class ByteConnection:
    """Two ends that send each other bytes until it breaks.

    Args:
        scheduler: has the time.
        random: cuts the bytes into pieces.
        dialler: the end of who has made it.
        acceptor: the other end.
        there: the way from the dialler to the acceptor.
        back: the way from the acceptor to the dialler.
        on_arrival: is told of each piece: from whom, to whom, and how long it is.
        on_gone: is told when an end has found out that the connection is over.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        dialler: ByteEnd,
        acceptor: ByteEnd,
        there: Road,
        back: Road,
        *,
        on_arrival: Callable[[ByteEnd, ByteEnd, bytes], None],
        on_gone: Callable[[ByteEnd], None],
    ) -> None:
        self.dialler, self.acceptor = dialler, acceptor
        self.there, self.back = there, back
        self.alive = True
        self._scheduler = scheduler
        self._random = random
        self.unread_max = random.choice(UNREAD_MAX)
        self._on_arrival = on_arrival
        self._on_gone = on_gone
        dialler.connection = acceptor.connection = self

    def other(self, end: ByteEnd) -> ByteEnd:
        """Return the far end."""
        return self.acceptor if end is self.dialler else self.dialler

    def piece_size(self, size: int, under_way: int) -> int:
        """Return how much of so many bytes goes at once, where so many are under way."""
        size = min(size, self.unread_max - under_way)
        if size > 1 and self._random.random() < CUT_SHORT:
            return self._random.randrange(1, min(size, PIECE_MAX))
        return min(size, PIECE_MAX)

    def carry(self, sender: ByteEnd, piece: bytes) -> None:
        """Take a piece; it arrives in time, if the connection lives."""
        sender.under_way += len(piece)
        if not self.alive:
            return  # The far end is gone, and this one will find out; nobody makes room.
        sender.queue.append(piece)
        self._later(sender, partial(self._arrive, sender))

    def _way_from(self, end: ByteEnd) -> Road:
        return self.there if end is self.dialler else self.back

    def _later(self, sender: ByteEnd, action: Callable[[], None]) -> None:
        """Do something at the far end, after all that was sent before."""
        scheduler = self._scheduler
        arrival = max(sender.last_arrival, scheduler.now + self._way_from(sender).delay_s())
        sender.last_arrival = arrival
        scheduler.after(arrival - scheduler.now, action)

    def _arrive(self, sender: ByteEnd) -> None:
        road = self._way_from(sender)
        if road.stalls:
            road.held.append(partial(self._arrive, sender))
            return
        if not sender.queue:
            return  # The connection broke meanwhile.
        piece = sender.queue.popleft()
        receiver = self.other(sender)
        if receiver.noticed or receiver.closed:
            sender.under_way -= len(piece)
            return
        self._on_arrival(sender, receiver, piece)
        receiver.received += piece
        receiver.wake_reader()

    def break_off(self, *, noticed_by: Iterable[ByteEnd]) -> None:
        """End the connection; each of these ends learns of it after a delay of its own."""
        if not self.alive:
            return
        self.alive = False
        for end in noticed_by:
            far = self.other(end)
            far.queue.clear()
            delay_s = self._way_from(far).delay_s()
            self._scheduler.after(delay_s, partial(self._notice, end))

    def _notice(self, end: ByteEnd) -> None:
        if not end.noticed:
            end.noticed = True
            end.wake()
            self._on_gone(end)

    def close(self, end: ByteEnd) -> None:
        """``end`` closes it: it hears nothing more, and the far end learns of it in time."""
        if self.alive:
            self.alive = False
            self._later(end, partial(self._arrive_end, end))
        if not end.noticed:
            end.noticed = True
            self._on_gone(end)

    def _arrive_end(self, sender: ByteEnd) -> None:
        road = self._way_from(sender)
        if road.stalls:
            road.held.append(partial(self._arrive_end, sender))
            return
        far = self.other(sender)
        if not far.noticed:
            far.at_end = True
            far.wake()
            self._on_gone(far)


class ByteListener:
    """Accepts what was dialled at one address; is a ``node.transport.Listener``."""

    def __init__(self, address: str, on_close: Callable[[], None]) -> None:
        self._address = address
        self._on_close = on_close
        self._send, self._receive = trio.open_memory_channel[ByteEnd](10_000)

    @property
    def address(self) -> str:
        """See ``Listener``."""
        return self._address

    def offer(self, end: ByteEnd) -> None:
        """Have a connection accepted."""
        self._send.send_nowait(end)

    async def accept(self) -> ByteEnd:
        """See ``Listener``."""
        return await self._receive.receive()

    async def aclose(self) -> None:
        """See ``Listener``."""
        self._on_close()
