"""Nodes in memory that answer a client as they are told, and note what they were asked."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import trio
import trio.testing
from attrs import define, evolve, field
from memory_transport import SECRETS, MemoryNetwork, member_identity, memory_ring, new_connection

from node.client import Client, open_client
from node.link import shake_hands
from node.transport import Stream
from ring.errors import RemoteProtocolError
from ring.identity import RANDOM_CHARS
from ring.messages import (
    Absent,
    End,
    Failed,
    Failure,
    Find,
    Leaving,
    Members,
    Message,
    Reply,
    Request,
    Save,
    Saved,
)
from ring.placement import Ring
from wire import Connection

HANG_UP = "hang up"
SILENCE = "silence"

Answer = Reply | str


def usual(request: Request) -> Answer:
    """Find nothing, save everything."""
    if isinstance(request, Find):
        return Absent(request.number)
    return Saved(request.number, ("a", "b"), (), degraded=False)


def unavailable(request: Request) -> Answer:
    """Know nothing yet."""
    return Failed(request.number, Failure.UNAVAILABLE, "its members are still comparing")


@define
class ScriptedNode:
    """A member of ``ring`` that any number of clients may be connected to."""

    name: str
    ring: Ring
    network: MemoryNetwork
    answer: Callable[[Request], Answer] = usual
    asked: list[Request] = field(factory=list)
    streams: list[Stream] = field(factory=list)
    scope: trio.CancelScope | None = None
    tells_members: bool = True
    leaving: bool = False
    """Whoever asks is told that this node is about to stop, and whoever connects as well."""

    @property
    def address(self) -> str:
        return self.ring.members[self.ring.names.index(self.name)].address

    async def run(self, address: str | None = None) -> None:
        """Serve until stopped."""
        (listener,) = await self.network.listen(address or self.address)
        with trio.CancelScope() as self.scope:
            try:
                async with trio.open_nursery() as nursery:
                    while True:
                        nursery.start_soon(self._serve, await listener.accept())
            finally:
                with trio.CancelScope(shield=True):
                    await listener.aclose()

    async def stop(self) -> None:
        """Break all connections, and listen no more."""
        assert self.scope is not None
        self.scope.cancel()
        for stream in self.streams:
            await stream.aclose()

    async def _serve(self, stream: Stream) -> None:
        self.streams.append(stream)
        connection = new_connection(
            member_identity(self.ring, self.name), dialler=False, seed=len(self.streams)
        )
        try:
            await shake_hands(stream, connection)
            if self.tells_members:
                addresses = tuple(member.address for member in self.ring.members)
                members = Members(self.ring.name, self.ring.names, addresses)
                await stream.send_all(connection.send(members))
            if self.leaving:
                await stream.send_all(connection.send(Leaving()))
            while data := await stream.receive_some(1 << 16):
                connection.receive_data(data)
                while events := connection.next_events():
                    for event in events:
                        assert isinstance(event, Find | Save | End)
                        await self._reply(event, stream, connection)
        except (OSError, RemoteProtocolError):
            pass
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()

    async def _reply(self, request: Request, stream: Stream, connection: Connection) -> None:
        self.asked.append(request)
        if self.leaving:
            await stream.send_all(connection.send(Leaving()))
        answer = self.answer(request)
        if answer == HANG_UP:
            await stream.aclose()
        elif answer != SILENCE:
            assert not isinstance(answer, str)
            message: Message = evolve(answer, number=request.number)
            await stream.send_all(connection.send(message))


class Site:
    """Three scripted nodes, and clients of them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self.ring = memory_ring()
        self.nursery = nursery
        self.nodes = {name: ScriptedNode(name, self.ring, self.network) for name in "abc"}

    def __getitem__(self, name: str) -> ScriptedNode:
        return self.nodes[name]

    async def start(self, *names: str) -> None:
        for name in names or "abc":
            self.nursery.start_soon(self.nodes[name].run)
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def client(self, *addresses: str, linked: int = 3) -> AsyncIterator[Client]:
        async with open_client(
            *(addresses or ("a.memory:1",)),
            secrets=SECRETS,
            transport=self.network,
            random=Random(1),
            simulated=True,
        ) as client:
            with trio.fail_after(30):
                await client.wait_linked(linked)
            yield client

    @property
    def asked(self) -> dict[str, list[str]]:
        """What each node was asked, by kind, without those asked nothing."""
        kinds = {name: [type(r).__name__ for r in node.asked] for name, node in self.nodes.items()}
        return {name: asked for name, asked in kinds.items() if asked}


def session_id(home: str) -> str:
    return f"{home}.{'0' * RANDOM_CHARS}"
