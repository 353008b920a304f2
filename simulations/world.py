"""A small world: replicas on a virtual network with virtual disks, crashed and restarted at will.

Rules:
- The replicas are the real ones; only what a driver does (links, disk, time) is simulated here.
- Everything random comes from the seed, one stream for each subsystem, so that removing one
  fault does not shift the others.
- A crash loses the memory and every write to the disk that was not answered yet.
"""

from collections.abc import Callable, Iterable
from functools import partial
from random import Random
from typing import assert_never

from attrs import define, field, frozen

from ring import Clock, LinkId, Liveness, Member, Replica, Ring, SessionId, Settings
from ring.effects import Close, Dial, Effect, Notice, Persist, Respond, Wake
from ring.messages import Message, Reply, Request
from simulations.network import Connection, End, Scheduler

WALL_MS = 1_700_000_000_000
"""The wall clock of the world at its beginning."""
REDIAL_S = (0.05, 0.4)
DISK_S = (0.001, 0.02)


@frozen
class Shape:
    """What stays the same in one run: how many members, how many copies, how slow it all is."""

    members: int = 3
    copies: int = 2
    delays_s: tuple[float, float] = (0.001, 0.004)
    slow_factor: float = 1.0
    """How many times longer every second way between two members takes, drawn for each way."""
    settings: Settings = Settings()
    stores: bool = True


@define(eq=False)
class Process:
    """One life of a node: from its start to its crash."""

    name: str
    replica: Replica
    started_at: float
    alive: bool = True
    connections: dict[LinkId, tuple[Connection, End]] = field(factory=dict)
    redialling: set[str] = field(factory=set)
    linked: dict[str, LinkId] = field(factory=dict)
    """By member: the latest connection that this process dialled."""
    replies: dict[int, Callable[[Reply | None], None]] = field(factory=dict)
    writing: set[SessionId] = field(factory=set)
    dirty: dict[SessionId, None] = field(factory=dict)
    tick_at: float = -1.0


class World:
    """Nodes, their disks and their network, in virtual time."""

    def __init__(self, seed: int | str, shape: Shape) -> None:
        self.shape = shape
        self.scheduler = Scheduler()
        self.ring = Ring(
            "world",
            tuple(Member("abcdefghi"[n], f"{n}.world:1") for n in range(shape.members)),
            copies=shape.copies,
        )
        self.processes: dict[str, Process] = {}
        self.disks: dict[str, dict[SessionId, tuple[bytes, float]]] = {
            name: {} for name in self.ring.names
        }
        self.cut: set[frozenset[str]] = set()
        """Pairs of members that cannot reach each other now."""
        self.notices: list[tuple[float, str, Notice]] = []
        self._random = {
            key: Random(f"{seed}/{key}".encode()) for key in ("network", "disk", "node", "dial")
        }
        ways = Random(f"{seed}/ways".encode())
        self._slowness = {
            (one, other): ways.choice((1.0, shape.slow_factor))
            for one in self.ring.names
            for other in self.ring.names
        }
        self._links = 0
        self._numbers = 0

    @property
    def now(self) -> float:
        """Virtual seconds since the beginning."""
        return self.scheduler.now

    # --- Nodes ---

    def start(self, name: str) -> Process:
        """Start a process for ``name``, from what its disk has."""
        scheduler, shape = self.scheduler, self.shape
        clock = Clock(WALL_MS + int(self.now * 1000), self.now)
        random = Random(self._random["node"].getrandbits(64))
        replica = Replica(self.ring, name, shape.settings, clock, random, shape.stores)
        process = self.processes[name] = Process(name, replica, self.now)
        scheduler.note("start", name)
        for session_id, (portable, written_at) in self.disks[name].items():
            replica.load(session_id, portable, self.now - written_at, self.now)
        self._perform(process, replica.start(self.now))
        return process

    def crash(self, name: str) -> None:
        """Kill a process; its memory is gone, and its connections break."""
        self.scheduler.note("crash", name)
        process = self.processes.pop(name)
        process.alive = False
        for connection, end in process.connections.values():
            connection.break_off(noticed_by=(connection.other(end),))
        for done in list(process.replies.values()):
            done(None)

    def running(self) -> list[Process]:
        """Return the processes that live, in ring order."""
        return [self.processes[name] for name in self.ring.names if name in self.processes]

    def all_settled(self) -> bool:
        """Return whether every live node says that another one may be lost, and sees the others.

        A crash of one side of a cut is a second fault before the first is over.
        """
        names = self.processes.keys()
        for process in self.running():
            down = {n for n, it in process.replica.liveness.items() if it is not Liveness.UP}
            if not process.replica.settled or down & names:
                return False
        return True

    def all_stored(self) -> bool:
        """Return whether every live node's disk has all that it was given."""
        return not any(process.dirty or process.writing for process in self.running())

    # --- The network ---

    def reset(self, one: str, other: str) -> None:
        """Break every connection between two members; both may dial again."""
        self.scheduler.note("reset", one, other)
        for process in self.running():
            for connection, end in list(process.connections.values()):
                names = {process.name, self._name_behind(connection, end)}
                if names == {one, other}:
                    connection.break_off(noticed_by=(connection.dialler, connection.acceptor))

    def cut_off(self, one: str, other: str) -> None:
        """Break every connection between two members, and refuse new ones until ``heal``."""
        self.cut.add(frozenset((one, other)))
        self.reset(one, other)

    def heal(self) -> None:
        """Let everybody reach everybody again."""
        self.scheduler.note("heal")
        self.cut.clear()

    def _name_behind(self, connection: Connection, end: End) -> str:
        far = connection.other(end)
        return next((p.name for p in self.running() if far.link in p.connections), "")

    def _dial(self, process: Process, peer: str, delay_s: float) -> None:
        linked = peer in process.linked and process.linked[peer] in process.connections
        if peer not in process.redialling and not linked:
            process.redialling.add(peer)
            self.scheduler.after(delay_s, partial(self._reach, process, peer))

    def _reach(self, process: Process, peer: str) -> None:
        """Carry a hello to ``peer``: refused, or accepted and authenticated one delay later."""
        network = self._random["network"]
        there = self.processes.get(peer)
        cut = frozenset((process.name, peer)) in self.cut
        if not process.alive:
            return
        if there is None or cut:
            self.scheduler.after(
                network.uniform(*self.shape.delays_s), partial(self._refused, process, peer)
            )
            return
        dialler, acceptor = self._end(process, peer), self._end(there, process.name)
        connection = Connection(self.scheduler, network, dialler, acceptor)
        there.connections[acceptor.link] = (connection, acceptor)
        process.connections[dialler.link] = (connection, dialler)
        self.scheduler.note("accepted", process.name, peer)
        self._perform(there, there.replica.on_accepted(acceptor.link, process.name, self.now))
        self.scheduler.after(
            network.uniform(*acceptor.delays_s),
            partial(self._linked, process, peer, connection, dialler),
        )

    def _linked(self, process: Process, peer: str, connection: Connection, end: End) -> None:
        if not process.alive:
            return
        process.redialling.discard(peer)
        if not connection.alive:
            self._refused(process, peer)
            return
        process.linked[peer] = end.link
        self._perform(process, process.replica.on_linked(peer, end.link, self.now))
        connection.pump(end)

    def _refused(self, process: Process, peer: str) -> None:
        if process.alive:
            process.redialling.discard(peer)
            self._dial(process, peer, self._random["dial"].uniform(*REDIAL_S))
            self._perform(process, process.replica.on_unreachable(peer, self.now))

    def _end(self, process: Process, far: str) -> End:
        self._links += 1
        link = LinkId(self._links)

        def take() -> Message | None:
            return process.replica.take(link, self.now)

        def receive(message: Message) -> None:
            if link in process.connections:
                self.scheduler.note("message", process.name, message)
                self._perform(process, process.replica.on_message(link, message, self.now))

        def closed() -> None:
            if process.alive and process.connections.pop(link, None) is not None:
                self._perform(process, process.replica.on_closed(link, self.now))
                if process.linked.get(far) == link:
                    self._dial(process, far, self._random["dial"].uniform(0, 0.001))

        slowness = self._slowness[process.name, far]
        shortest, longest = self.shape.delays_s
        return End(link, take, receive, closed, (shortest * slowness, longest * slowness))

    # --- What a driver does ---

    def submit(
        self, name: str, make: Callable[[int], Request], done: Callable[[Reply | None], None]
    ) -> bool:
        """Have the application in a process ask; ``done`` gets None if that process dies."""
        process = self.processes.get(name)
        if process is None:
            return False
        self._numbers += 1
        process.replies[self._numbers] = done
        request = make(self._numbers)
        self.scheduler.note("submit", name, request)
        self._perform(process, process.replica.submit(request, self.now))
        return True

    def _perform(self, process: Process, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Wake(link):
                    if link in process.connections:
                        connection, end = process.connections[link]
                        connection.pump(end)
                case Dial(peer):
                    self._dial(process, peer, self._random["dial"].uniform(0, 0.001))
                case Close(link, _):
                    found = process.connections.get(link)
                    if found is not None:
                        connection, end = found
                        connection.break_off(noticed_by=(end, connection.other(end)))
                case Persist(session_id):
                    if self.shape.stores:
                        process.dirty[session_id] = None
                        self._write_next(process)
                case Respond(number, reply):
                    self.scheduler.note("reply", process.name, reply)
                    process.replies.pop(number)(reply)
                case Notice():
                    self.notices.append((self.now, process.name, effect))
                case _:
                    assert_never(effect)
        self._schedule_tick(process)

    def _schedule_tick(self, process: Process) -> None:
        due = max(process.replica.next_due(self.now), self.now)
        if process.alive and not self.now <= process.tick_at <= due:
            process.tick_at = due
            self.scheduler.after(due - self.now, partial(self._tick, process, due))

    def _tick(self, process: Process, due: float) -> None:
        if process.alive and process.tick_at == due:
            process.tick_at = -1.0
            self._perform(process, process.replica.on_tick(self.now))

    # --- Disks ---

    def _write_next(self, process: Process) -> None:
        """Write all that is dirty, one batch at a time, each record as it is at that moment."""
        if process.writing or not process.dirty:
            return
        batch = {each: process.replica.persistent(each, self.now) for each in process.dirty}
        process.dirty.clear()
        process.writing.update(batch)
        self.scheduler.after(
            self._random["disk"].uniform(*DISK_S), partial(self._written, process, batch, self.now)
        )

    def _written(
        self,
        process: Process,
        batch: dict[SessionId, tuple[int, bytes | None]],
        written_at: float,
    ) -> None:
        if not process.alive:
            return
        process.writing.clear()
        disk = self.disks[process.name]
        for session_id, (_, portable) in batch.items():
            if portable is None:
                disk.pop(session_id, None)
            else:
                disk[session_id] = (portable, written_at)
        versions = {session_id: version for session_id, (version, _) in batch.items()}
        self._perform(process, process.replica.on_persisted(versions, self.now))
        self._write_next(process)
