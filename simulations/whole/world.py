"""A ring of real nodes in virtual time: links, framing, timers, stores and all that they do.

It has the face of the world of level 1, so the same plans, faults, clients and judge serve both.

Rules:
- A process that stands still does nothing at all, and what is sent to it waits: its timers, its
  disk and its clients find out afterwards how late it is.
- A node that stops by itself has a bug, and so has one of which a task goes on after its end, that
  keeps links without connections, or that says what no peer may say.
"""

import errno
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from math import inf
from traceback import format_exception
from typing import Any, Final
from unittest import mock
from zlib import crc32

import trio

import node.node
from node.stores.file import FileStore
from node.transport import Listener, Stream
from ring import Ring
from ring.effects import Effect, Notice, Persist, SetAside
from ring.errors import StoreLockedError
from ring.messages import Message, Records, Release, Reply, Request
from ring.questions import Query
from simulations.ground import Answer
from simulations.plan import Plan, Trigger
from simulations.scene import Scene
from simulations.scheduler import StuckError
from simulations.violation import Violation
from simulations.whole.disk import NodeDisk, fenced
from simulations.whole.guest import GuestScheduler, threads_replaced
from simulations.whole.hearing import hear
from simulations.whole.life import (
    CURRENT,
    Errands,
    Life,
    WatchedDriver,
    config_of,
    rate,
    stands_still,
    unstarted,
)
from simulations.whole.network import ByteConnection, ByteEnd, ByteListener
from simulations.witness import Witness
from simulations.world import HANDSHAKE_S

AFTERLIFE_S: Final = 60.0
"""What the ``finally`` of dead processes may wait for, before they count as left behind."""

TWICE: Final = 0.2
"""How often somebody starts a node that runs already."""


class NodeWorld(Scene[Life, NodeDisk]):
    """Nodes, their disks and their network, in virtual time.

    Args:
        plan: how many, how fast, with which clocks.
        witnesses: see what happens.
    """

    def __init__(self, plan: Plan, witnesses: Sequence[Witness] = ()) -> None:
        self._time = GuestScheduler(plan.seed, witnesses, rate)
        super().__init__(plan, self._time, NodeDisk.of)
        self._pieces = plan.stream("pieces")
        self._twins = plan.stream("twins")
        self._visited = set[str]()
        """Places at which somebody was who is no node, and may say anything; so may clients."""
        self._listeners: dict[str, tuple[Life, ByteListener]] = {}
        self._links = 0
        self._numbers = 0
        self._births = Errands()
        self._bugs = list[Violation]()
        self._exit = ExitStack()

    # --- Its own life ---

    def begin(self) -> None:
        """Let time begin; ``end`` has to follow."""
        with ExitStack() as undo:
            undo.enter_context(threads_replaced(self._call_disk))
            undo.enter_context(mock.patch.object(node.node, "Driver", WatchedDriver))
            self._time.host(self._run)  # Not while trio runs here already.
            self._exit = undo.pop_all()

    def end(self, *, at_rest: bool = True) -> list[Violation]:
        """Kill every process; return what the nodes have done wrong by themselves.

        Args:
            at_rest: whether they should have let go of what they need no more.
        """
        self._time.wind_up()
        try:
            for name in list(self.processes):
                if at_rest:
                    self._check_left(name)
                self.crash(name)
            self._births.close()
            try:
                self._let_end()
            except StuckError as error:
                self._bugs.append(Violation("bounded", f"after the end of all nodes: {error}"))
                self._time.cancel_all()
                with suppress(trio.Cancelled):  # That of ``_run``, if it was waiting.
                    self._let_end()
        finally:
            self._exit.close()
        return self._bugs

    def _let_end(self) -> None:
        self._time.run_until(self.now + AFTERLIFE_S)
        self._time.end()

    def _check_left(self, name: str) -> None:
        """Find what a process has not let go of, now that it rests; its death hides it."""
        disk, life = self.disks[name], self.processes[name]
        if disk.is_idle and (files := disk.files.open_descriptors):
            self._bugs.append(Violation("bounded", f"{name} has left {files} files open"))
        if (links := life.links()) > len(life.connections):
            story = f"{name} keeps {links} links on {len(life.connections)} connections"
            self._bugs.append(Violation("bounded", story))

    def blame(self, peer: str | None, story: str) -> None:
        """See ``Surroundings``."""
        if peer is not None and peer not in self._visited:
            self._bugs.append(Violation("isolation", story))

    async def _run(self) -> None:
        async with trio.open_nursery() as nursery:
            async for birth in self._births.each():
                nursery.start_soon(birth)

    async def _call_disk(self, call: Callable[[], object]) -> object:
        """Do what a node gives to a thread: later, and at once."""
        life = CURRENT.get()
        if life.alive:
            life.disk.under_way.append(call)
            try:
                with trio.CancelScope(shield=True):  # Like a thread, it cannot be stopped.
                    await trio.sleep(life.disk.call_s())
            finally:
                if life.alive:
                    life.disk.under_way.remove(call)
        return call()

    # --- What clients ask of it ---

    def submit(
        self, name: str, make: Callable[[int], Request], done: Callable[[Reply | None], None]
    ) -> bool:
        """Have the application in a process ask; ``done`` gets None if that process dies."""
        return self._ask(name, make, done)

    def query(
        self, name: str, make: Callable[[int], Query], done: Callable[[Answer | None], None]
    ) -> bool:
        """Have it look for sessions by a value; as ``submit``."""
        return self._ask(name, make, done)

    def _ask(
        self, name: str, make: Callable[[int], Request | Query], done: Callable[[Any], None]
    ) -> bool:
        life = self.processes.get(name)
        if life is None:
            return False
        self._numbers += 1
        number = self._numbers
        self.scheduler.events += 1
        self.scheduler.note("submit", name, number)

        def answered(reply: object) -> None:
            if life.replies.pop(number, None) is not None and life.alive:
                self.scheduler.note("reply", name, type(reply).__name__, number)
                done(reply)

        life.replies[number] = done
        life.ask(make, answered)
        return True

    # --- Nodes ---

    def start(self, name: str, ring: Ring | None = None) -> Life:
        """Start a process for ``name``, from what its disk has."""
        plan = self.plan
        ring = ring or self.ring_at_hand(name)
        life = Life(name, self, self.disks[name], self.now, unstarted(ring, name, plan))
        life.rate = 1 + plan.clocks[name].drift
        self.processes[name] = life
        self.scheduler.note("start", name)
        random = self.randomness_of_life(name)
        config = config_of(plan, ring, name, HANDSHAKE_S)
        run = partial(life.run, config, random, partial(self.wall_ms, name))
        self._births.add(partial(self._live, life, run))
        if plan.listening_s is not None:
            pauses = plan.stream(f"listening/{name}/{life.started_at}")
            life.let(partial(hear, life, self, pauses, plan.listening_s))
        if self._twins.random() < TWICE:
            self.after(self._twins.uniform(0.0, 1.0), partial(self._start_twice, life))
        return life

    def _start_twice(self, life: Life) -> None:
        """Have somebody start the same node on the same disk once more, by mistake."""
        if not life.alive or life.node is None:
            return
        store = FileStore(fenced(self.disks[life.name], lambda: True), lambda notice: None)
        try:
            store.open()
        except StoreLockedError:
            self.scheduler.note("started twice", life.name)
            return
        self._bugs.append(Violation("isolation", f"two processes have the disk of {life.name}"))

    async def _live(self, life: Life, run: Callable[[], Awaitable[None]]) -> None:
        try:
            await run()
        except BaseException as bug:  # noqa: BLE001 -- whatever stops a node is reported
            if not life.alive:
                return
            story = "".join(format_exception(bug))
            self._bugs.append(Violation("isolation", f"{life.name} stopped by itself: {story}"))
            self.after(0.0, partial(self._bury, life))

    def visit(self, name: str, act: Callable[[Life], Awaitable[None]]) -> Life:
        """Have somebody who is no node use the network at the place of a member that does not run.

        ``act`` has to end before the world does.
        """
        assert name not in self.processes
        stand_in = unstarted(self.ring, name, self.plan)
        life = Life(name, self, self.disks[name], self.now, stand_in)
        self._births.add(partial(act, life))
        self._visited.add(name)
        return life

    def _bury(self, life: Life) -> None:
        if self.processes.get(life.name) is life:
            self.crash(life.name)

    def crash(self, name: str) -> None:
        """Kill a process; its memory is gone, and its connections break."""
        self.scheduler.note("crash", name)
        life = self.processes.pop(name)
        self.disks[name].crash()
        if life.frozen:
            life.frozen = False
            self._keep_back()
        life.fence()
        self._listeners = {at: each for at, each in self._listeners.items() if each[0] is not life}
        for connection, end in list(life.connections.values()):
            end.noticed = end.closed = True
            end.wake()
            connection.break_off(noticed_by=(connection.other(end),))
        for done in list(life.replies.values()):
            done(None)
        life.replies.clear()

    def adopt(self, process: Life, ring: Ring) -> None:
        """Have a node adopt a ring that somebody sets there."""
        self.scheduler.note("set ring", process.name, str(ring.version))
        process.let(lambda node: node.set_ring(ring))

    def drain(self, name: str) -> None:
        """Tell a node to hand everything over, since it is going to stop."""
        self.scheduler.note("drain", name)
        self.processes[name].let(lambda node: node.drain())

    def freeze(self, name: str) -> None:
        """Have a process stand still until ``thaw``; what is sent to it waits."""
        self.scheduler.note("freeze", name)
        self.processes[name].frozen, self.processes[name].frozen_at = True, self.now
        self._keep_back()

    def thaw(self, name: str, process: Life) -> None:
        """Let a process go on, if it is still there."""
        if process.alive and process.frozen:
            self.scheduler.note("thaw", name)
            process.frozen, process.frozen_at = False, inf
            self._keep_back()

    def _keep_back(self) -> None:
        """Have those tasks wait whose process stands still, and no others."""
        is_any = any(life.frozen for life in self.processes.values())
        self._time.keep_back(stands_still if is_any else None)

    # --- The network ---

    async def dial(self, life: Life, address: str) -> Stream:
        """See ``Surroundings``."""
        peer = address.partition(".")[0]
        if (life.name, peer) not in self.roads:
            await trio.lowlevel.checkpoint()
            raise OSError(errno.EHOSTUNREACH, "there is no such place in the world")
        there, back = self.roads[life.name, peer], self.roads[peer, life.name]
        await trio.sleep(there.delay_s())
        if not life.alive or self.is_blocked(life.name, peer):
            await trio.sleep_forever()
        found = self._listeners.get(address)
        if found is None:
            await trio.sleep(back.delay_s())
            raise ConnectionRefusedError(errno.ECONNREFUSED, "nobody listens there")
        far, listener = found
        near_end, far_end = self._end(life, peer), self._end(far, life.name)
        connection = ByteConnection(
            self.scheduler,
            self._pieces,
            near_end,
            far_end,
            there,
            back,
            on_arrival=self._note_arrival,
            on_gone=self._forget,
        )
        life.connections[near_end.link] = (connection, near_end)
        far.connections[far_end.link] = (connection, far_end)
        listener.offer(far_end)
        self.scheduler.note("accepted", life.name, peer)
        try:
            await trio.sleep(back.delay_s())
            if self.is_blocked(life.name, peer):
                await trio.sleep_forever()
        except trio.Cancelled:
            await near_end.aclose()
            raise
        life.linked[peer] = near_end.link
        self.on_trigger(Trigger.LINKED, life.name)
        return near_end

    def _end(self, life: Life, peer: str) -> ByteEnd:
        self._links += 1
        return ByteEnd(self._links, life.name, peer)

    async def listen(self, life: Life, address: str) -> tuple[Listener, ...]:
        """See ``Surroundings``."""
        await trio.lowlevel.checkpoint()
        if address in self._listeners:
            raise OSError(errno.EADDRINUSE, "another process listens there")

        def close() -> None:
            if self._listeners.get(address) == (life, listener):
                del self._listeners[address]

        listener = ByteListener(address, close)
        self._listeners[address] = (life, listener)
        return (listener,)

    def _note_arrival(self, sender: ByteEnd, receiver: ByteEnd, piece: bytes) -> None:
        self.scheduler.events += 1
        self.scheduler.note("bytes", sender.node, receiver.node, len(piece), crc32(piece))

    def _forget(self, end: ByteEnd) -> None:
        for life in self.processes.values():
            life.connections.pop(end.link, None)

    def break_between(self, one: str, other: str, *, unnoticed_by: str = "") -> None:
        """Break every connection between two nodes; ``unnoticed_by`` does not notice."""
        for life in (self.processes.get(one), self.processes.get(other)):
            for connection, _ in list(life.connections.values() if life else ()):
                ends = (connection.dialler, connection.acceptor)
                if {end.node for end in ends} == {one, other}:
                    noticed_by = [end for end in ends if end.node != unnoticed_by]
                    connection.break_off(noticed_by=noticed_by)

    # --- What is watched ---

    def watch(self, life: Life, effects: Iterable[Effect]) -> None:
        """See ``Surroundings``."""
        for effect in effects:
            match effect:
                case Notice(event):
                    self.notice(life.name, event)
                case SetAside(_, records):
                    self.on_set_aside(session_id for session_id, _ in records)
                case Persist(session_id):
                    for witness in self.scheduler.witnesses:
                        held = life.replica.record(session_id)
                        witness.on_record(self.now, life.name, session_id, held)
                case _:
                    pass

    def on_loaded(self, life: Life) -> None:
        """See ``Surroundings``."""
        self.tell_loaded(life.name, life.replica)

    def on_sent(self, life: Life, peer: str, message: Message) -> None:
        """See ``Surroundings``."""
        self.scheduler.note_sent(life.name, peer, message)

    def overhear(self, life: Life, peer: str, messages: Iterable[Message]) -> None:
        """See ``Surroundings``."""
        for message in messages:
            for witness in self.scheduler.witnesses:
                witness.on_delivered(self.now, peer, life.name, message)
            if type(message) is Records:
                self.on_trigger(Trigger.SNAPSHOT, life.name)
            elif type(message) is Release:
                self.on_release(message.flat[::2])
