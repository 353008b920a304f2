"""A ring of real replicas in virtual time: what a driver does (links, disk, clocks) is simulated.

Rules:
- The replicas are the real ones. Each has clocks of its own: the world brings ``now`` as that
  node's monotonic clock shows it, which drifts, and the wall clock once, at its start.
- A crash loses the memory; of the writes under way to the disk each may have arrived or not.
- A frozen process does nothing; what comes meanwhile waits, and is handled when it thaws: what
  the application asks before what the network brings, which is the worse order.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Any, Final, assert_never

from ring import Clock, LinkId, Replica, Ring, SessionId
from ring.announcements import LIFE_CYCLE_MASK, Announcement
from ring.effects import (
    Adopt,
    Announce,
    Close,
    Dial,
    Effect,
    Notice,
    Persist,
    Respond,
    SetAside,
    Tell,
    Wake,
    Withdraw,
)
from ring.errors import StampAheadError
from ring.identity import Incarnation
from ring.messages import Greeting, Message, Records, Release, Reply, Request
from ring.questions import Query
from simulations.disks import Disk
from simulations.ears import Ears
from simulations.ground import Answer
from simulations.plan import Plan, Trigger
from simulations.process import Process
from simulations.scene import Scene
from simulations.scheduler import Scheduler
from simulations.ways import Connection, End
from simulations.witness import Witness

HANDSHAKE_S: Final = 2.0
"""What a dial gets to be connected and through its handshake."""

ROUNDING_S: Final = 1e-6
"""A timer rings this much late, so that it is never early by a node's own clock."""

REDIAL_S: Final = (0.05, 0.4)


class World(Scene[Process, Disk]):
    """Nodes, their disks and their network, in virtual time.

    Args:
        plan: how many, how fast, with which clocks.
        witnesses: see what happens.
    """

    def __init__(self, plan: Plan, witnesses: Sequence[Witness] = ()) -> None:
        super().__init__(plan, Scheduler(witnesses), Disk.of)
        self._dials = {name: plan.stream(f"dial/{name}") for name in self.ring.names}
        self._pauses = {name: plan.stream(f"listening/{name}") for name in self.ring.names}
        self._links = 0
        self._incarnations = 0
        self._numbers = 0

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
        process = self.processes.get(name)
        if process is None:
            return False
        self._numbers += 1
        process.replies[self._numbers] = done
        request = make(self._numbers)
        self.scheduler.events += 1
        self.scheduler.note("submit", name, type(request).__name__, self._numbers)
        ask = partial(self._submit, process, request)
        if process.frozen:
            process.asked.append(ask)
        else:
            ask()
        return True

    def _submit(self, process: Process, request: Request | Query) -> None:
        self._perform(process, process.replica.submit(request, process.clock(self.now)))

    # --- Nodes ---

    def start(self, name: str, ring: Ring | None = None) -> Process:
        """Start a process for ``name``, from what its disk has.

        Its file has ``ring``; if that is not said, the latest, or now and then the first one.
        """
        plan = self.plan
        ring = ring or self.ring_at_hand(name)
        kept = self.disks[name].ring
        known = kept if kept is not None and kept.version > ring.version else ring
        process = Process(name, None, self.now, plan.clocks[name])  # type: ignore[arg-type]
        now, wall_ms = process.clock(self.now), self.wall_ms(name)
        random = self.randomness_of_life(name)
        process.replica = Replica(
            known, name, plan.settings, Clock(wall_ms, now), random, has_store=True
        )
        self._incarnations += 1
        process.incarnation = Incarnation(self._incarnations)
        process.wall_ahead_s = self.wall_offsets_s[name]
        self.processes[name] = process
        self.scheduler.note("start", name)
        disk = self.disks[name]
        disk.owner = partial(self._enter, process)
        for session_id, (portable, written_ms) in disk.content.items():
            absence_s = max(0, wall_ms - written_ms) / 1000
            try:
                process.replica.load(session_id, portable, absence_s, now)
            except StampAheadError:
                # It is refused, until somebody has set the clock.
                self.wall_offsets_s[name] = max(self.wall_offsets_s.values())
                return self.start(name)
        self.tell_loaded(name, process.replica)
        ages_s = {peer: max(0, wall_ms - at) / 1000 for peer, at in disk.contacts.items()}
        process.replica.restore_contacts(ages_s, now)
        self._perform(process, process.replica.start(now))
        self._note_contacts(process)
        self._listen(process)
        return process

    def _listen(self, process: Process) -> None:
        """Have the application of a process listen to what happens to sessions."""
        replica, name, listening_s = process.replica, process.name, self.plan.listening_s
        if listening_s is None:
            return

        def done(delivered: Sequence[Announcement], returned: Sequence[Announcement]) -> None:
            now = process.clock(self.now)
            self._perform(process, replica.on_delivered(delivered, returned, now))

        def later(action: Callable[[], None]) -> None:
            delay_s = self._pauses[name].uniform(*listening_s)
            self.scheduler.after(delay_s, partial(self._enter, process, action))

        process.ears = Ears(done, partial(self.note_heard, name, process.incarnation), later)
        self._perform(process, replica.listen(LIFE_CYCLE_MASK, process.clock(self.now)))

    def _note_contacts(self, process: Process) -> None:
        """Have the disk know, again and again, with whom a node has been in contact."""
        if not process.alive:
            return
        replica, disk = process.replica, self.disks[process.name]
        if replica.ready and not (process.frozen or disk.failing):
            wall_ms, ages_s = (
                self.wall_ms(process.name),
                replica.contacts(process.clock(self.now)),
            )
            if ages_s:
                disk.contacts = {peer: wall_ms - int(1000 * age) for peer, age in ages_s.items()}
        pause_s = self.plan.settings.retention_s / 8
        self.after(pause_s, partial(self._note_contacts, process))

    def crash(self, name: str) -> None:
        """Kill a process; its memory is gone, and its connections break."""
        self.scheduler.note("crash", name)
        process = self.processes.pop(name)
        process.alive = False
        self.disks[name].crash()
        for connection, end in process.connections.values():
            end.noticed = True
            connection.break_off(noticed_by=(connection.other(end),))
        for done in list(process.replies.values()):
            done(None)

    def adopt(self, process: Process, ring: Ring) -> None:
        """Have a node adopt a ring that somebody sets there."""
        self.scheduler.note("set ring", process.name, str(ring.version))
        now = process.clock(self.now)
        self._perform(process, process.replica.adopt(ring, now))

    def drain(self, name: str) -> None:
        """Tell a node to hand everything over, since it is going to stop."""
        self.scheduler.note("drain", name)
        process = self.processes[name]
        now = partial(process.clock, self.now)
        self._enter(process, lambda: self._perform(process, process.replica.drain(now())))

    def freeze(self, name: str) -> None:
        """Let a process do nothing until ``thaw``."""
        self.scheduler.note("freeze", name)
        self.processes[name].frozen, self.processes[name].frozen_at = True, self.now

    def thaw(self, name: str, process: Process) -> None:
        """Let a process go on, if it is still there: with all that has come meanwhile."""
        if not process.alive or not process.frozen:
            return
        self.scheduler.note("thaw", name)
        process.frozen, process.frozen_at = False, inf
        asked, waiting = process.asked, process.waiting
        process.asked, process.waiting = [], []
        for action in (*asked, *waiting):
            self._enter(process, action)
        for connection, end in list(process.connections.values()):
            connection.pump(end)

    def _enter(self, process: Process, action: Callable[[], None]) -> None:
        """Have a process do something: now, when it thaws, or never again."""
        if process.frozen:
            process.waiting.append(action)
        elif process.alive:
            action()

    # --- Connections ---

    def break_between(self, one: str, other: str, *, unnoticed_by: str = "") -> None:
        """Break every connection between two nodes; ``unnoticed_by`` does not notice."""
        for process in (self.processes.get(one), self.processes.get(other)):
            for connection, _ in list(process.connections.values() if process else ()):
                if {connection.dialler.node, connection.acceptor.node} == {one, other}:
                    ends = (connection.dialler, connection.acceptor)
                    noticed_by = tuple(each for each in ends if each.node != unnoticed_by)
                    connection.break_off(noticed_by=noticed_by)

    def _dial(self, process: Process, peer: str, delay_s: float) -> None:
        if peer not in process.replica.ring.addresses:
            return  # The ring has gone on without it.
        linked = peer in process.linked and process.linked[peer] in process.connections
        if peer not in process.redialling and not linked:
            process.redialling.add(peer)
            self.scheduler.after(delay_s, partial(self._reach, process, peer))

    def _reach(self, process: Process, peer: str) -> None:
        """Carry a hello to ``peer``, an answer back, and a proof there."""
        if not process.alive:
            return
        there, back = self.roads[process.name, peer], self.roads[peer, process.name]
        if self.is_blocked(process.name, peer):
            self.scheduler.after(HANDSHAKE_S, partial(self._refused, process, peer, self.now))
        elif peer not in self.processes:
            delay_s = there.delay_s() + back.delay_s()
            self.scheduler.after(delay_s, partial(self._refused, process, peer, self.now))
        else:
            delay_s = there.delay_s() + back.delay_s() + there.delay_s()
            if delay_s < HANDSHAKE_S:
                self.scheduler.after(delay_s, partial(self._accept, process, peer, self.now))
            else:
                self.scheduler.after(HANDSHAKE_S, partial(self._refused, process, peer, self.now))

    def _accept(self, process: Process, peer: str, began: float) -> None:
        far = self.processes.get(peer)
        if not process.alive:
            return
        if process.frozen and self.now < began + HANDSHAKE_S:
            # The answer is there when it thaws, and not too late if that is soon enough.
            self._enter(process, partial(self._accept, process, peer, began))
            return
        there, back = self.roads[process.name, peer], self.roads[peer, process.name]
        blocked = self.is_blocked(process.name, peer)
        late = self.now >= began + HANDSHAKE_S
        if far is None or far.frozen or late or blocked:
            left_s = max(0.0, began + HANDSHAKE_S - self.now) if far is not None else 0.0
            self.scheduler.after(left_s, partial(self._refused, process, peer, began))
            return
        dialler, acceptor = self._end(process, peer), self._end(far, process.name)
        connection = Connection(self.scheduler, self.plan.window, dialler, acceptor, there, back)
        far.connections[acceptor.link] = (connection, acceptor)
        process.connections[dialler.link] = (connection, dialler)
        self.scheduler.note("accepted", process.name, peer)
        now = far.clock(self.now)
        self._perform(
            far,
            far.replica.on_accepted(acceptor.link, process.name, now, process.greeting(self.now)),
        )
        greeting = far.greeting(self.now)
        linked = partial(self._linked, process, peer, connection, dialler, greeting)
        self.scheduler.after(back.delay_s(), partial(self._enter, process, linked))

    def _linked(
        self, process: Process, peer: str, connection: Connection, end: End, greeting: Greeting
    ) -> None:
        process.redialling.discard(peer)
        if not connection.alive:
            # It was made and has broken since: that tells nothing of how things are now.
            self._dial(process, peer, self._dials[process.name].uniform(*REDIAL_S))
            return
        process.linked[peer] = end.link
        self.on_trigger(Trigger.LINKED, process.name)
        now = process.clock(self.now)
        self._perform(process, process.replica.on_linked(peer, end.link, now, greeting))
        connection.pump(end)

    def _refused(self, process: Process, peer: str, began: float) -> None:
        self._enter(process, partial(self._tell_refused, process, peer, began))

    def _tell_refused(self, process: Process, peer: str, began: float) -> None:
        process.redialling.discard(peer)
        self._dial(process, peer, self._dials[process.name].uniform(*REDIAL_S))
        now = process.clock(self.now)
        self._perform(process, process.replica.on_unreachable(peer, now, process.clock(began)))

    def _end(self, process: Process, far: str) -> End:
        self._links += 1
        link = LinkId(self._links)
        replica, scheduler = process.replica, self.scheduler

        def take() -> Message | None:
            if process.frozen or not process.alive:
                return None
            return replica.take(link, scheduler.now * process.rate)

        def receive(message: Message) -> None:
            if type(message) is Records:
                self.on_trigger(Trigger.SNAPSHOT, process.name)
            elif type(message) is Release:
                self.on_release(message.flat[::2])
            if process.frozen:
                process.waiting.append(partial(handle, message))
            else:
                handle(message)

        def handle(message: Message) -> None:
            if process.alive and link in process.connections:
                effects = replica.on_message(link, message, scheduler.now * process.rate)
                self._perform(process, effects)

        def closed() -> None:
            self._enter(process, forget)

        def forget() -> None:
            if process.connections.pop(link, None) is not None:
                self._perform(process, replica.on_closed(link, process.clock(self.now)))
                if process.linked.get(far) == link:
                    self._dial(process, far, self._dials[process.name].uniform(0, 0.001))

        return End(link, process.name, take, receive, closed)

    # --- What a driver does ---

    def _perform(self, process: Process, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Wake(link):
                    if link in process.connections:
                        connection, end = process.connections[link]
                        connection.pump(end)
                case Persist(session_id):
                    self._persist(process, session_id)
                case SetAside(_, records):
                    self.on_set_aside(session_id for session_id, _ in records)
                case Respond(number, reply):
                    self.scheduler.note("reply", process.name, type(reply).__name__, number)
                    process.replies.pop(number)(reply)
                case Dial(peer):
                    self._dial(process, peer, self._dials[process.name].uniform(0, 0.001))
                case Close(link):
                    if link in process.connections:
                        connection, end = process.connections[link]
                        connection.close(end)
                case Tell():
                    pass  # Nobody has asked.
                case Notice(event):
                    self.notice(process.name, event)
                case Adopt(ring):
                    self.disks[process.name].ring = ring
                case Announce() | Withdraw():
                    assert process.ears is not None, "it listens"
                    process.ears.perform(effect)
                case _:
                    assert_never(effect)
        self._schedule_tick(process)

    def _schedule_tick(self, process: Process) -> None:
        """Wake the replica when it is due; a moment that it once named comes, needed or not."""
        now = self.scheduler.now
        due = process.replica.next_due(now * process.rate)
        if due < process.tick_due and process.alive:
            process.tick_due, process.tick_at = due, max(now, process.true_time(due) + ROUNDING_S)
            ring = partial(self._ring_timer, process, process.tick_at)
            self.scheduler.after(process.tick_at - now, ring)

    def _ring_timer(self, process: Process, at: float) -> None:
        if process.tick_at == at:
            process.tick_at = process.tick_due = inf
            self._enter(process, partial(self._tick, process))

    def _tick(self, process: Process) -> None:
        self._perform(process, process.replica.on_tick(process.clock(self.now)))

    # --- Disks ---

    def _persist(self, process: Process, session_id: SessionId) -> None:
        for witness in self.scheduler.witnesses:
            held = process.replica.record(session_id)
            witness.on_record(self.now, process.name, session_id, held)
        disk = self.disks[process.name]
        disk.mark(session_id)
        if disk.is_idle:
            self._write(process)

    def _write(self, process: Process) -> None:
        """Write all that waits for the disk, each record as it is at this moment."""
        disk = self.disks[process.name]
        now = process.clock(self.now)
        found = {each: process.replica.persistent(each, now) for each in disk.take()}
        batch = {each: row for each, row in found.items() if row is not None}
        if batch:
            disk.write(batch, self.wall_ms(process.name), partial(self._written, process))

    def _written(self, process: Process, versions: dict[SessionId, int], failed: bool) -> None:
        replica, now = process.replica, process.clock(self.now)
        if failed:
            self._perform(process, replica.on_persist_failed(versions, "no space", now))
        else:
            self._perform(process, replica.on_persisted(versions, now))
        self._write(process)
