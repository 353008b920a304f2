"""A network in memory, for tests in virtual time: a transport that touches no socket."""

import errno
from collections.abc import Iterable
from random import Random

import trio
import trio.testing
from attrs import define, field

from node.link import shake_hands
from node.transport import Listener, Stream
from ring.placement import Member, Ring
from wire import Connection, Identity

SECRETS = (b"the secret of the tests",)


class MemoryStream:
    """One end of a connection in memory. Nothing limits what is on the way."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.remote = "memory"
        self.proved_names: frozenset[str] | None = None
        self.reads: list[int] = []
        self.sends: list[int] = []
        self.is_closed = False

    async def receive_some(self, max_bytes: int) -> bytes:
        self.reads.append(max_bytes)
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionResetError(errno.ECONNRESET, "reset in memory") from error

    async def send_all(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionResetError(errno.ECONNRESET, "reset in memory") from error
        self.sends.append(len(data))

    async def aclose(self) -> None:
        self.is_closed = True
        with trio.CancelScope() as scope:
            scope.cancel()
            await self._stream.aclose()


def stream_pair() -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection that takes whatever is sent."""
    one, other = trio.testing.memory_stream_pair()
    return MemoryStream(one), MemoryStream(other)


def lockstep_pair() -> tuple[MemoryStream, MemoryStream]:
    """Return the two ends of a connection whose sends wait until they are received."""
    one, other = trio.testing.lockstep_stream_pair()
    return MemoryStream(one), MemoryStream(other)


@define
class MemoryNetwork:
    """Listeners by address; is a ``Transport``. Addresses in ``silent`` accept and say nothing."""

    listeners: dict[str, "MemoryListener"] = field(factory=dict)
    dialled: list[str] = field(factory=list)
    unreachable: set[str] = field(factory=set)
    streams: list[MemoryStream] = field(factory=list)

    async def dial(self, address: str) -> Stream:
        await trio.lowlevel.checkpoint()
        self.dialled.append(address)
        if address in self.unreachable:
            await trio.sleep_forever()
        listener = self.listeners.get(address)
        if listener is None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens in memory")
        near, far = stream_pair()
        self.streams += [near, far]
        listener.connected.send_nowait(far)
        return near

    async def listen(self, address: str) -> tuple[Listener, ...]:
        await trio.lowlevel.checkpoint()
        if address in self.listeners:
            raise OSError(errno.EADDRINUSE, "address in use in memory")
        listener = MemoryListener(self, address)
        self.listeners[address] = listener
        return (listener,)


class MemoryListener:
    """Accepts what was dialled at its address."""

    def __init__(self, network: MemoryNetwork, address: str) -> None:
        self._network = network
        self.address = address
        self.connected, self._accepted = trio.open_memory_channel[MemoryStream](100_000)
        self.failures: list[OSError] = []

    async def accept(self) -> Stream:
        if self.failures:
            await trio.lowlevel.checkpoint()
            raise self.failures.pop(0)
        return await self._accepted.receive()

    async def aclose(self) -> None:
        self._network.listeners.pop(self.address, None)


def memory_ring(names: Iterable[str] = "abc", copies: int = 2) -> Ring:
    """Return a ring whose members listen at addresses in memory."""
    members = tuple(Member(name, f"{name}.memory:1") for name in names)
    return Ring("memory", members, copies=copies)


def member_identity(ring: Ring, name: str, secrets: tuple[bytes, ...] = SECRETS) -> Identity:
    """Return who the member ``name`` is; its incarnation is made of its name."""
    return Identity.for_member(ring, name, ord(name[0]), secrets)


def client_identity(secrets: tuple[bytes, ...] = SECRETS) -> Identity:
    """Return who a client is."""
    return Identity.for_client(1, secrets)


def new_connection(
    identity: Identity, *, dialler: bool, peer: str | None = None, seed: int = 0
) -> Connection:
    """Return the protocol side of a connection, with randomness that repeats."""
    return Connection(
        identity, dialler=dialler, peer=peer, clock_ms=1, random=Random(f"{seed}/{dialler}")
    )


async def authenticated_pair(
    dialling: Identity, answering: Identity, ends: tuple[MemoryStream, MemoryStream]
) -> tuple[Connection, Connection]:
    """Return the protocol sides, authenticated over ``ends``: the dialler's, the acceptor's."""
    dialler = new_connection(dialling, dialler=True, peer=answering.name)
    acceptor = new_connection(answering, dialler=False)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(shake_hands, ends[0], dialler)
        nursery.start_soon(shake_hands, ends[1], acceptor)
    return dialler, acceptor
