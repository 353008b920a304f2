"""One life of a node at level 2: the real node as a task, its connections, and its end.

Rules:
- A kill first fences the process off: its connections break, its disk and its network are gone.
  Then its tasks are cancelled; what their ``finally`` does reaches nobody.
- What the node tells people, and what its replica is told and wants, is watched and not changed.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final, Protocol, TypeAlias

import trio
from attrs import define, field, frozen

from node.config import NodeConfig, NodeSection, SecurityConfig
from node.contacts import ContactsFile
from node.driver import Driver
from node.link import LinkEnd
from node.node import Node, open_node
from node.ring_file import RingFile
from node.stores.file import FileStore
from node.transport import Listener, Stream
from ring import Clock, Replica, Ring
from ring.effects import Effect, Notice
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import LinkId
from ring.messages import Message, Request
from ring.questions import Query
from ring.settings import Settings
from simulations.plan import Plan
from simulations.whole.disk import NodeDisk, fenced
from simulations.whole.network import ByteConnection, ByteEnd
from wire import Connection, Event, HandshakeError

CURRENT: Final[ContextVar["Life"]] = ContextVar("the life whose task this is")

Errand: TypeAlias = Callable[[], Awaitable[object]]

SECRET: Final = b"the secret of the world"

_PLACE: Final = Path("/world")
"""Where a node's disk says it is."""


class Surroundings(Protocol):
    """What a life asks of the world."""

    async def dial(self, life: "Life", address: str) -> Stream:
        """Connect."""

    async def listen(self, life: "Life", address: str) -> tuple[Listener, ...]:
        """Listen."""

    def on_loaded(self, life: "Life") -> None:
        """See that the replica of a life has what was on the disk."""

    def watch(self, life: "Life", effects: Iterable[Effect]) -> None:
        """See what the replica of a life wants."""

    def on_sent(self, life: "Life", peer: str, message: Message) -> None:
        """See what the replica of a life says."""

    def overhear(self, life: "Life", peer: str, messages: Iterable[Message]) -> None:
        """See what the replica of a life is told."""

    def blame(self, peer: str | None, story: str) -> None:
        """Note that a process has done what none may do, unless no node is there."""


@frozen
class SimulatedConfig(NodeConfig):
    """A configuration whose numbers are those of the plan."""

    numbers: Settings = field(factory=Settings)

    @property
    def settings(self) -> Settings:
        """See ``NodeConfig``."""
        return self.numbers


def config_of(plan: Plan, ring: Ring, name: str, handshake_s: float) -> SimulatedConfig:
    """Return the configuration of a node in a plan."""
    settings = plan.settings
    section = NodeSection(
        heartbeat=settings.heartbeat_interval_s,
        suspect=settings.suspect_after_s,
        handshake=handshake_s,
        reconnect_max=0.4,
        retention=settings.retention_s,
        drain=20.0,
        request_timeout=settings.request_timeout_s,
    )
    return SimulatedConfig(
        name=name,
        ring=ring,
        security=SecurityConfig((SECRET,)),
        node=section,
        numbers=settings,
    )


class Errands:
    """What tasks are asked to do from outside of trio, in order."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Errand](inf)

    def add(self, errand: Errand) -> None:
        """Have a task do something soon; nothing, once there is nothing more to come."""
        # A world that is ended in the middle of its faults is still asked to start nodes.
        with suppress(trio.ClosedResourceError):
            self._send.send_nowait(errand)

    def close(self) -> None:
        """Say that there is nothing more to come."""
        self._send.close()

    async def each(self) -> AsyncIterator[Errand]:
        """Yield what was asked for, as it comes."""
        async for errand in self._receive:
            yield errand


@define(eq=False)
class Life:
    """One process, from its start to its end."""

    name: str
    world: Surroundings
    disk: NodeDisk
    started_at: float
    replica: Replica
    """Until the node has read its disk: one that was never started."""
    rate: float = 1.0
    """Seconds that its monotonic clock goes on in a second."""
    alive: bool = True
    frozen: bool = False
    frozen_at: float = inf
    connections: dict[int, tuple[ByteConnection, ByteEnd]] = field(factory=dict)
    linked: dict[str, int] = field(factory=dict)
    """By member: the latest connection that this process dialled."""
    replies: dict[int, Callable[[Any], None]] = field(factory=dict)
    node: Node | None = None
    scope: trio.CancelScope = field(factory=trio.CancelScope)
    _work: Errands = field(factory=Errands)

    def has_frames(self) -> bool:
        """Return whether something that it has sent is on its way."""
        return any(end.queue for _, end in self.connections.values())

    def links(self) -> int:
        """Return how many links its node takes for living."""
        return len(self.node._driver.links) if self.node is not None else 0

    def is_linked_to(self, far: "Life") -> bool:
        """Return whether the latest connection that it dialled to another process lives."""
        connection, _ = self.connections.get(self.linked.get(far.name, 0), (None, None))
        if connection is None:
            return False
        return connection.alive and connection.acceptor.link in far.connections

    def clock(self, true_time: float) -> float:
        """Return this node's monotonic clock."""
        return true_time * self.rate

    def fence(self) -> None:
        """Have the process dead for everybody else, and its tasks on their way out."""
        self.alive = False
        if self.node is not None and self.node._nursery is not None:
            # Else it would hand over first, as a node does whose block is left.
            self.node._nursery.cancel_scope.cancel()
        self.scope.cancel()

    def let(self, work: Callable[[Node], Awaitable[None] | None]) -> None:
        """Have the application in the process do something with its node, as soon as it has one."""
        self._work.add(partial(self._do, work))

    def ask(self, make: Callable[[int], Request | Query], done: Callable[[Any], None]) -> None:
        """Have the application in the process ask its node."""
        self._work.add(partial(self._ask, make, done))

    async def run(
        self, config: SimulatedConfig, random: Random, wall_ms: Callable[[], int]
    ) -> None:
        """Be the process, until it is killed."""
        CURRENT.set(self)
        disk = fenced(self.disk, partial(getattr, self, "alive"))
        with self.scope:
            async with open_node(
                config,
                store=FileStore(disk, _ignore),
                ring_file=RingFile(disk, _PLACE),
                contacts_file=ContactsFile(disk, _PLACE),
                transport=_Transport(self),
                random=random,
                simulated=True,
                wall_ms=wall_ms,
            ) as node:
                self.node = node
                self.disk.unwritten = lambda: node.status().unwritten
                async with trio.open_nursery() as nursery:
                    async for work in self._work.each():
                        nursery.start_soon(work)

    async def _do(self, work: Callable[[Node], Awaitable[None] | None]) -> None:
        assert self.node is not None
        if (waits := work(self.node)) is not None:
            await waits

    async def _ask(
        self, make: Callable[[int], Request | Query], done: Callable[[Any], None]
    ) -> None:
        assert self.node is not None
        request = make(self.node.next_number())
        if isinstance(request, Query):
            done(await self.node.query(request))
        else:
            done(await self.node.perform(request))


@frozen
class _Transport:
    """The network as one process sees it."""

    life: Life

    async def dial(self, address: str) -> Stream:
        """See ``node.transport.Transport``."""
        return await self.life.world.dial(self.life, address)

    async def listen(self, address: str) -> tuple[Listener, ...]:
        """See ``node.transport.Transport``."""
        return await self.life.world.listen(self.life, address)


class WatchedDriver(Driver):
    """The driver of a node, which the world may watch."""

    def __init__(self, replica: Replica, *arguments: object, **named: object) -> None:
        super().__init__(replica, *arguments, **named)  # type: ignore[arg-type]
        self._life = CURRENT.get()
        self._life.replica = replica
        if self._life.alive:  # Else it was killed while it read.
            self._life.world.on_loaded(self._life)

    def perform(self, effects: Iterable[Effect]) -> None:
        """See ``Driver``."""
        effects = list(effects)
        if not effects:
            return
        if self._life.alive:
            self._life.world.watch(self._life, effects)
        super().perform(effects)

    def take(self, link_id: LinkId) -> Message | None:
        """See ``Driver``."""
        message = super().take(link_id)
        if message is not None and self._life.alive and (peer := self._peer(link_id)):
            self._life.world.on_sent(self._life, peer, message)
        return message

    def _peer(self, link_id: LinkId) -> str | None:
        """Return which member is at the other end; None: a client."""
        return self.links[link_id]._connection.peer

    def on_messages(self, link_id: LinkId, messages: list[Message]) -> None:
        """See ``Driver``."""
        peer = self._peer(link_id)
        if self._life.alive and peer is not None:
            self._life.world.overhear(self._life, peer, messages)
        try:
            super().on_messages(link_id, messages)
        except (RemoteProtocolError, RecordFormatError) as error:
            self._blame(peer, error)
            raise

    async def run_link(
        self, stream: Stream, connection: Connection, *, dialled: str | None = None
    ) -> LinkEnd:
        """See ``Driver``."""
        receive_data, next_events = connection.receive_data, connection.next_events

        def receive(data: bytes | bytearray | memoryview) -> None:
            try:
                receive_data(data)
            except RemoteProtocolError as error:
                self._blame(connection.peer, error)
                raise

        def take() -> list[Event]:
            try:
                return next_events()
            except RemoteProtocolError as error:
                self._blame(connection.peer, error)
                raise

        connection.receive_data = receive  # type: ignore[method-assign]
        connection.next_events = take  # type: ignore[method-assign]
        return await super().run_link(stream, connection, dialled=dialled)

    def _blame(self, peer: str | None, error: RemoteProtocolError | RecordFormatError) -> None:
        """Nobody here is malicious: what a peer must not say, a node has said by mistake."""
        refused = isinstance(error, HandshakeError) and error.by_peer
        if not refused and self._life.alive:
            story = f"{self._life.name} was told by {peer} what it cannot use: {error}"
            self._life.world.blame(peer, story)


def rate() -> float:
    """Return how much the clock of the process whose task runs goes on in a second."""
    life = CURRENT.get(None)
    return 1.0 if life is None else life.rate


def stands_still(task: trio.lowlevel.Task) -> bool:
    """Return whether a task is one of a process that is frozen."""
    life = task.context.get(CURRENT)
    return life is not None and life.frozen


def unstarted(ring: Ring, name: str, plan: Plan) -> Replica:
    """Return a replica that stands for one that does not exist yet."""
    return Replica(ring, name, plan.settings, Clock(0, 0.0), plan.stream(f"unstarted/{name}"), True)


def _ignore(notice: Notice) -> None:
    """Tell nobody."""
