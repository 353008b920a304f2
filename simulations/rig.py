"""Real replicas side by side: a scenario commands their links, their disks and their time.

Rules:
- ``run`` performs everything that follows from an input, in order, until nothing is left to do.
- A connection delivers in order; a direction that is held back delivers when it is let go.
- Nothing takes time but ``pass_time``.
"""

from collections.abc import Callable, Iterable
from functools import partial
from math import inf
from random import Random
from typing import assert_never

from attrs import evolve

from ring.clock import Clock
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
from ring.identity import Incarnation, LinkId, SessionId
from ring.messages import Greeting, Message
from ring.placement import Ring
from ring.questions import Matches
from ring.replica import Replica
from ring.settings import Settings
from simulations.rig_applications import Applications
from simulations.rig_parts import WALL_MS, Connection, Disk, Sent, ring_of

ACTIONS_MAX = 200_000
"""More than any test needs: so many mean that two replicas never come to an end."""


class Rig(Applications):
    """A ring of replicas, all started."""

    def __init__(
        self,
        names: str = "abc",
        copies: int = 2,
        settings: Settings = Settings(),  # noqa: B008
        *,
        stores: bool = True,
        start: str | None = None,
        freezes: bool = False,
        ring: Ring | None = None,
    ) -> None:
        super().__init__()
        self.ring = ring or ring_of(names, copies)
        # Most tests let hours pass in one step, which is no standstill to them.
        self.settings = settings if freezes else evolve(settings, frozen_after_s=inf)
        self.stores = stores
        self.disks = {name: Disk() for name in self.ring.addresses}
        self._lives: dict[str, int] = {}
        self.refused: set[tuple[str, str]] = set()
        """(dialler, acceptor) of connections that fail."""
        self.stalled: set[tuple[str, str]] = set()
        """(dialler, acceptor) of connections that neither come about nor fail."""
        self.backs_off = False
        """Whoever loses a member dials it again only when time passes."""
        self.held_back: set[tuple[str, str]] = set()
        """(sender, receiver) of messages that wait."""
        self.sent: list[Sent] = []
        self.effects: list[tuple[str, Effect]] = []
        self._connections: dict[tuple[str, LinkId], Connection] = {}
        self.held_kinds: set[tuple[str, str, type[Message]]] = set()
        """(sender, receiver, kind): a message of this kind waits, and all behind it."""
        self._waiting: list[tuple[Connection, str, Message | None]] = []
        self._links = 0
        for name in self.ring.names if start is None else start:
            self.begin(name)
        self.run()

    # --- Nodes ---

    def begin(
        self, name: str, *, disk: bool = True, ahead_s: float = 0.0, ring: Ring | None = None
    ) -> Replica:
        """Start a process, its clock ahead of the others'; its effects wait for ``run``.

        It knows the newer of the ring that it is given, by default the first, and its disk's.
        """
        stored = self.disks.setdefault(name, Disk())
        if not disk:
            stored = self.disks[name] = Disk()
        rings = [each for each in (ring or self.ring, stored.ring) if each is not None]
        known = max(rings, key=lambda each: each.version)
        clock = Clock(WALL_MS + int((self.now + ahead_s) * 1000), self.now)
        replica = Replica(known, name, self.settings, clock, Random(name), self.stores)
        self.replicas[name] = replica
        self.begin_to_hear(name, replica)
        self._lives[name] = 1 + len(self._lives)
        for session_id, (portable, at) in self.disks[name].content.items():
            replica.load(session_id, portable, self.now - at, self.now)
        noted = self.disks[name].contacts
        replica.restore_contacts({other: self.now - at for other, at in noted.items()}, self.now)
        self.perform(name, replica.start(self.now))
        for other in self.replicas:
            if other != name:
                self._actions.append(partial(self._dial, other, name))
        return replica

    def start(self, name: str, *, disk: bool = True, ring: Ring | None = None) -> Replica:
        """Start a process, and let everything follow."""
        replica = self.begin(name, disk=disk, ring=ring)
        self.run()
        return replica

    def adopt(self, name: str, ring: Ring) -> None:
        """Have a node adopt ``ring``, as if somebody had set it there; let everything follow."""
        assert self.replicas[name].objection(ring) is None
        self.perform(name, self.replicas[name].adopt(ring, self.now))
        self.run()

    def kill(self, *names: str) -> None:
        """End processes together; their memory is gone, and the others notice at once."""
        for name in names:
            ages_s = self.replicas[name].contacts(self.now)
            self.disks[name].contacts = {other: self.now - age for other, age in ages_s.items()}
            del self.replicas[name]
        for name in names:
            for connection in self._connections_of(name):
                self.break_off(connection)
        self.run()

    def is_ready(self, *names: str) -> bool:
        """Return whether all of these members are ready."""
        return all(self.replicas[name].ready for name in names)

    # --- Links ---

    def cut(self, one: str, other: str) -> None:
        """Break every connection between two members, and refuse new ones."""
        self.refused |= {(one, other), (other, one)}
        self.reset(one, other)

    def heal(self, dialler: str, acceptor: str) -> None:
        """Let one member reach another again, and do so."""
        self.refused.discard((dialler, acceptor))
        self.stalled.discard((dialler, acceptor))
        self._actions.append(partial(self._dial, dialler, acceptor))
        self.run()

    def reset(self, one: str, other: str) -> None:
        """Break every connection between two members."""
        for connection in self._connections_of(one):
            if connection.far(one) == other:
                self.break_off(connection)
        self.run()

    def hold_back(self, sender: str, receiver: str, kind: type[Message] | None = None) -> None:
        """Let no message of ``sender`` reach ``receiver`` for now, or none from a kind on."""
        if kind is None:
            self.held_back.add((sender, receiver))
        else:
            self.held_kinds.add((sender, receiver, kind))

    def let_go(self, *senders: str) -> None:
        """Deliver what was held back, of some senders or of all."""
        going = set(senders or self.disks)
        self.held_back = {each for each in self.held_back if each[0] not in going}
        self.held_kinds = {each for each in self.held_kinds if each[0] not in going}
        waiting, self._waiting = self._waiting, []
        for connection, sender, message in waiting:
            if sender not in going:
                self._waiting.append((connection, sender, message))
            else:
                self._actions.append(partial(self._pump, connection, sender, message))
        self.run()

    def let_one_go(self) -> None:
        """Deliver the first message of each kind that is held back, and hold the next."""
        waiting, self._waiting = self._waiting, []
        for connection, sender, message in waiting:
            if message is not None and connection.alive:
                self.sent.append(Sent(sender, connection.far(sender), message))
                self.deliver(connection, sender, message)
            self._actions.append(partial(self._pump, connection, sender))
        self.run()

    def link(self, dialler: str, acceptor: str) -> Connection:
        """Return the living connection that ``dialler`` made to ``acceptor``."""
        for connection in self._connections_of(acceptor):
            if connection.dialler == dialler:
                return connection
        raise KeyError(f"{dialler} has no connection to {acceptor}")

    def _has_dialled(self, name: str, peer: str) -> bool:
        return any(each.dialler == name for each in self._connections_of(peer))

    def _connections_of(self, name: str) -> list[Connection]:
        return [each for (owner, _), each in self._connections.items() if owner == name]

    def _dial(self, name: str, peer: str) -> None:
        stalls = (name, peer) in self.stalled
        if name not in self.replicas or self._has_dialled(name, peer) or stalls:
            return
        if peer not in self.replicas or (name, peer) in self.refused:
            self.perform(name, self.replicas[name].on_unreachable(peer, self.now))
            return
        ours, theirs = self.replicas[name].ring, self.replicas[peer].ring
        if ours.version == theirs.version and ours != theirs:
            self.perform(name, self.replicas[name].on_refused(peer, self.now))
            return
        self._links += 2
        connection = Connection(name, peer, LinkId(self._links - 1), LinkId(self._links))
        for end in (name, peer):
            self._connections[end, connection.link_at(end)] = connection
        of_dialler, of_acceptor = self._greeting(name), self._greeting(peer)
        accepted = self.replicas[peer].on_accepted(connection.accepted, name, self.now, of_dialler)
        self.perform(peer, accepted)
        effects = self.replicas[name].on_linked(peer, connection.dialled, self.now, of_acceptor)
        self.perform(name, effects)

    def _greeting(self, name: str) -> Greeting:
        replica = self.replicas[name]
        clock_ms = int((self.now - replica.epoch) * 1000)
        return Greeting(Incarnation(self._lives[name]), clock_ms, replica.ring.version)

    def break_off(self, connection: Connection) -> None:
        """Break one connection; both ends notice."""
        connection.alive = False
        for name in (connection.dialler, connection.acceptor):
            link = connection.link_at(name)
            if self._connections.pop((name, link), None) and name in self.replicas:
                self.perform(name, self.replicas[name].on_closed(link, self.now))

    def _pump(self, connection: Connection, sender: str, first: Message | None = None) -> None:
        receiver = connection.far(sender)
        if not connection.alive or sender not in self.replicas:
            return
        if (sender, receiver) in self.held_back and first is None:
            self._waiting.append((connection, sender, None))
            return
        message = first or self.replicas[sender].take(connection.link_at(sender), self.now)
        if message is None:
            return
        if (sender, receiver, type(message)) in self.held_kinds:
            self._waiting.append((connection, sender, message))
            return
        self.sent.append(Sent(sender, receiver, message))
        self.deliver(connection, sender, message)
        self._actions.append(partial(self._pump, connection, sender))

    def deliver(self, connection: Connection, sender: str, message: Message) -> None:
        """Have ``message`` arrive at the other end, whoever wrote it."""
        receiver = connection.far(sender)
        if receiver not in self.replicas:
            return
        replica = self.replicas[receiver]
        effects = replica.on_message(connection.link_at(receiver), message, self.now)
        self.perform(receiver, effects)

    # --- Effects ---

    def perform(self, name: str, effects: Iterable[Effect]) -> None:
        """Note what a replica wants done; it is done in this order by ``run``."""
        for effect in effects:
            self.effects.append((name, effect))
            self._actions.append(partial(self._perform, name, effect))

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Do everything that is to be done now, or as much until a condition is met."""
        for _ in range(ACTIONS_MAX):
            if not self._actions:
                assert until is None, "it never comes to that"
                return
            self._actions.popleft()()
            if until is not None and until():
                return
        raise AssertionError("the replicas do not come to an end")

    def _perform(self, name: str, effect: Effect) -> None:
        if name not in self.replicas:
            return
        match effect:
            case Wake(link):
                connection = self._connections.get((name, link))
                if connection is not None:
                    self._pump(connection, name)
            case Dial(peer):
                if not self.backs_off:
                    self._dial(name, peer)
            case Close(link, _):
                connection = self._connections.get((name, link))
                if connection is not None:
                    self.break_off(connection)
            case Persist(session_id):
                self._persist(name, session_id)
            case Respond(number, reply):
                asked = self.asked[number]
                assert asked.waits, "answered twice"
                if isinstance(reply, Matches):
                    asked.matches = reply
                else:
                    asked.reply = reply
            case SetAside(_, records):
                self.disks[name].set_aside += records
            case Notice() | Tell():
                pass
            case Announce() | Withdraw():
                self.ears[name].perform(effect)
            case Adopt(ring):
                self.disks[name].ring = ring if self.stores else None
            case _:
                assert_never(effect)

    def _persist(self, name: str, session_id: SessionId) -> None:
        disk, replica = self.disks[name], self.replicas[name]
        if not self.stores or disk.stuck:
            return
        if disk.fails:
            self.perform(name, replica.on_persist_failed([session_id], "no space", self.now))
            return
        found = replica.persistent(session_id, self.now)
        if found is None:
            return
        version, portable = found
        disk.write(session_id, portable, self.now)
        self.perform(name, replica.on_persisted({session_id: version}, self.now))

    def notices(self, event: str) -> list[str]:
        """Return who noticed ``event``, in order."""
        return [
            name
            for name, effect in self.effects
            if isinstance(effect, Notice) and effect.event == event
        ]

    # --- Time ---

    def pass_time(self, seconds: float, step_s: float = 0.25) -> None:
        """Let time pass; whoever lost a member dials it again and again."""
        end = self.now + seconds
        while self.now < end - 1e-9:
            self.now = min(end, self.now + step_s)
            for name, replica in list(self.replicas.items()):
                if replica.next_due(self.now) <= self.now:
                    self.perform(name, replica.on_tick(self.now))
            for name in self.replicas:
                for other in self.replicas[name].ring.addresses:
                    if other != name and not self._has_dialled(name, other):
                        self._actions.append(partial(self._dial, name, other))
            self.run()
