"""Real nodes of one ring in this process, on loopback and with real disks, that can be killed."""

import errno
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import trio
from attrs import define, field

from node.config import NodeConfig, NodeSection, SecurityConfig, StoreConfig
from node.node import Node, open_node
from node.stores.base import Store, Stored
from node.stores.disk import OsDisk
from node.stores.file import FileStore
from node.tls import Tls
from node.transport import Listener, SocketTransport, Stream
from ring.effects import Notice
from ring.identity import SessionId
from ring.placement import Member, Ring

SECRETS = (b"the secret of the tests",)


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens at."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def wait_linked(*nodes: Node) -> None:
    """Return once each of these sees all others as up."""
    with trio.fail_after(10):
        for node in nodes:
            while set(node.status().members.values()) != {"up"}:  # noqa: ASYNC110 - bounded
                await trio.sleep(0.02)


class MortalTransport(SocketTransport):
    """Sockets that all break in one moment, as those of a killed process do."""

    def __init__(self, tls: Tls | None = None) -> None:
        super().__init__(tls)
        self.is_dead = False
        self._streams: set[MortalStream] = set()
        self._listeners: list[Listener] = []

    async def dial(self, address: str) -> Stream:
        self._refuse_if_dead()
        return self._note(await super().dial(address))

    async def listen(self, address: str) -> tuple[Listener, ...]:
        listeners = await super().listen(address)
        self._listeners += listeners
        return tuple(MortalListener(each, self) for each in listeners)

    def _refuse_if_dead(self) -> None:
        if self.is_dead:
            raise ConnectionAbortedError(errno.ECONNABORTED, "this process was killed")

    def _note(self, stream: Stream) -> Stream:
        self._refuse_if_dead()
        mortal = MortalStream(stream, self)
        self._streams.add(mortal)
        return mortal

    def forget(self, stream: "MortalStream") -> None:
        self._streams.discard(stream)

    async def kill(self) -> None:
        self.is_dead = True
        for listener in self._listeners:
            await listener.aclose()
        for stream in list(self._streams):
            await stream.aclose()


class MortalListener:
    """A listener whose connections die with their transport."""

    def __init__(self, listener: Listener, transport: MortalTransport) -> None:
        self._listener = listener
        self._transport = transport
        self.address = listener.address

    async def accept(self) -> Stream:
        return self._transport._note(await self._listener.accept())

    async def aclose(self) -> None:
        await self._listener.aclose()


class MortalStream:
    """A stream that dies with its transport."""

    def __init__(self, stream: Stream, transport: MortalTransport) -> None:
        self._stream = stream
        self._transport = transport
        self.remote = stream.remote

    @property
    def proved_names(self) -> frozenset[str] | None:
        return self._stream.proved_names

    async def receive_some(self, max_bytes: int) -> bytes:
        return await self._stream.receive_some(max_bytes)

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)

    async def aclose(self) -> None:
        self._transport.forget(self)
        await self._stream.aclose()


class MortalStore:
    """A store that takes nothing more once its process is dead."""

    def __init__(self, store: Store, transport: MortalTransport) -> None:
        self._store = store
        self._transport = transport

    def open(self) -> None:
        self._store.open()

    def load(self) -> Iterator[Stored]:
        return self._store.load()

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        if self._transport.is_dead:
            return {}  # Else it would wait for its disk before it ends, as no killed process does.
        return self._store.write(changes, written_ms)

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        if self._transport.is_dead:
            return {}
        return self._store.set_aside(records, written_ms)

    def close(self) -> None:
        self._store.close()


@define
class Running:
    """A node and what ends it."""

    node: Node
    transport: MortalTransport
    scope: trio.CancelScope
    ended: trio.Event


@define
class LocalRing:
    """Nodes by name. Every method returns when what it says is the case."""

    directory: Path
    nursery: trio.Nursery
    names: tuple[str, ...] = ("a", "b", "c")
    section: NodeSection = field(factory=NodeSection)
    security: SecurityConfig = field(default=SecurityConfig(secrets=SECRETS))
    """What the next node that starts is told about security."""
    ring: Ring = field(init=False)
    running: dict[str, Running] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        ports = free_ports(len(self.names))
        members = [
            Member(name, f"127.0.0.1:{port}") for name, port in zip(self.names, ports, strict=True)
        ]
        self.ring = Ring("test", tuple(members))

    @property
    def addresses(self) -> list[str]:
        return [member.address for member in self.ring.members]

    def config(self, name: str) -> NodeConfig:
        return NodeConfig(
            name=name,
            ring=self.ring,
            store=StoreConfig(f"file:{self.directory}/{{name}}"),
            security=self.security,
            node=self.section,
        )

    def __getitem__(self, name: str) -> Node:
        return self.running[name].node

    async def start(self, *names: str) -> None:
        """Start nodes, all at once, and wait until they are ready."""
        async with trio.open_nursery() as starting:
            for name in names or self.names:
                starting.start_soon(self._start, name)
        with trio.fail_after(30):
            for name in names or self.names:
                await self[name].wait_ready()

    async def _start(self, name: str) -> None:
        self.running[name] = await self.nursery.start(self._run, name)

    async def _run(self, name: str, *, task_status: trio.TaskStatus[Running]) -> None:
        config = self.config(name)
        transport = MortalTransport(Tls(config.tls, name) if config.tls is not None else None)
        ended = trio.Event()
        assert config.store_directory is not None
        disk = OsDisk(config.store_directory, name, _ignore)
        store = MortalStore(FileStore(disk, _ignore), transport)
        with trio.CancelScope() as scope:
            async with open_node(config, store=store, transport=transport) as node:
                task_status.started(Running(node, transport, scope, ended))
                await trio.sleep_forever()
        ended.set()

    async def stop(self, *names: str) -> None:
        """Stop nodes as a signal would."""
        for name in names or list(self.running):
            running = self.running.pop(name)
            running.scope.cancel()
            await running.ended.wait()

    async def kill(self, *names: str) -> None:
        """Break everything that connects nodes to the world, then end them."""
        for name in names or list(self.running):
            await self.running[name].transport.kill()
        await self.stop(*names)


def _ignore(notice: Notice) -> None:
    pass
