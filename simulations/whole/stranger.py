"""Somebody at the place of a member that does not run: on the network of level 2, and no node.

Rules:
- It has the ways and the address of that member, and says whatever it is told to, in any pieces.
- What it does ends when it leaves: its connections are closed and its door is shut.
"""

from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

import trio
from attrs import define, field

from node.link import shake_hands
from node.transport import Stream
from ring.errors import RemoteProtocolError
from simulations.whole.life import Life
from simulations.whole.world import NodeWorld
from wire import Connection, Identity

SEND_S: Final = 0.5
"""Who does not read for so long is not told any more."""
READ_BYTES: Final = 64 * 1024


@define(eq=False)
class Stranger:
    """One who dials nodes, and may be dialled by them.

    Args:
        world: where.
        place: the member that does not run.
        reads: whether it takes what is said to it.
    """

    world: NodeWorld
    place: str
    reads: bool = True
    dialled: list[Stream] = field(factory=list)
    """The connections that it has made, the latest at the end."""
    accepted: list[Stream] = field(factory=list)
    """Those that nodes have made to it."""
    has_left: bool = False
    _life: Life = field(init=False)
    _nursery: trio.Nursery = field(init=False)

    def come(self, act: Callable[["Stranger"], Awaitable[None]]) -> None:
        """Do something, as a task of the world; leave when it is done."""
        self._life = self.world.visit(self.place, lambda life: self._visit(life, act))

    def leave(self) -> None:
        """Stop whatever it does, and close what is open, soon."""
        self._life.scope.cancel()

    async def _visit(self, life: Life, act: Callable[["Stranger"], Awaitable[None]]) -> None:
        try:
            with life.scope:
                async with trio.open_nursery() as self._nursery:
                    await act(self)
                    self._nursery.cancel_scope.cancel()
        finally:
            with trio.CancelScope(shield=True):
                for stream in (*self.dialled, *self.accepted):
                    await stream.aclose()
            self.has_left = True

    async def dial(self, address: str) -> Stream | None:
        """Connect; None: nobody takes it, now or soon."""
        with trio.move_on_after(SEND_S):
            try:
                stream = await self.world.dial(self._life, address)
            except OSError:
                return None
            self.dialled.append(stream)
            return stream
        return None

    async def shake(
        self, stream: Stream, identity: Identity, peer: str | None, clock_ms: int
    ) -> Connection | None:
        """Go through a good handshake as the dialler; None: it was refused or took too long."""
        connection = Connection(
            identity, dialler=True, peer=peer, clock_ms=clock_ms, random=Random(1)
        )
        return await self._shaken(stream, connection)

    async def listen(self, identity: Identity, clock_ms: int) -> None:
        """Let in whoever dials the member, and say nothing more to them."""
        (listener,) = await self.world.listen(self._life, self.world.address_of(self.place))

        async def accept() -> None:
            try:
                while True:
                    self._nursery.start_soon(answer, await listener.accept())
            finally:
                with trio.CancelScope(shield=True):
                    await listener.aclose()

        async def answer(stream: Stream) -> None:
            self.accepted.append(stream)
            connection = Connection(
                identity, dialler=False, clock_ms=clock_ms, random=Random(len(self.accepted))
            )
            await self._shaken(stream, connection)

        self._nursery.start_soon(accept)

    async def _shaken(self, stream: Stream, connection: Connection) -> Connection | None:
        with trio.move_on_after(2 * SEND_S):
            try:
                await shake_hands(stream, connection)
            except (OSError, RemoteProtocolError):
                return None
            self.hear(stream)
            return connection
        return None

    def hear(self, stream: Stream) -> None:
        """Take what is said on a connection from now on, if it takes anything."""
        if self.reads:
            self._nursery.start_soon(_hear, stream)

    async def say(self, stream: Stream, said: bytes, piece_bytes: int) -> None:
        """Send bytes in pieces, until the far end breaks off or does not read any more."""
        with trio.move_on_after(SEND_S):
            try:
                for at in range(0, len(said), piece_bytes):
                    await stream.send_all(said[at : at + piece_bytes])
            except OSError:
                return


async def _hear(stream: Stream) -> None:
    try:
        while await stream.receive_some(READ_BYTES):
            pass
    except OSError:
        return
