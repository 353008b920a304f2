"""What the worlds of all levels have: nodes, their disks and clocks, and the ways between them.

Rule: nothing here makes anything happen; what happens is told here.
"""

from collections.abc import Callable, Iterable
from random import Random
from typing import Final, Generic, TypeVar

from ring import Liveness, Member, Record, Replica, Ring, SessionId
from ring.announcements import Announcement, Takeover
from simulations.face import AnyDisk, AnyProcess
from simulations.plan import TRIGGERS, Plan, Trigger
from simulations.process import WALL_MS
from simulations.scheduler import Scheduler
from simulations.ways import Road

SILENT_S: Final = 1.0
"""When clients try others than a node that does not answer."""


ProcessT = TypeVar("ProcessT", bound=AnyProcess)
DiskT = TypeVar("DiskT", bound=AnyDisk)


class Scene(Generic[ProcessT, DiskT]):
    """What is there, to look at.

    Args:
        plan: how many nodes, how fast, with which clocks.
        scheduler: has the time.
        make_disk: makes the disk of a node.
    """

    def __init__(
        self, plan: Plan, scheduler: Scheduler, make_disk: Callable[[Plan, Scheduler, str], DiskT]
    ) -> None:
        self.plan = plan
        self.scheduler = scheduler
        members = tuple(Member(name, self.address_of(name)) for name in plan.names)
        self.ring = self._first_ring = Ring("world", members, copies=plan.copies)
        """As people have set it last; nodes may know an older one."""
        self.healed = False
        """Whether nothing goes wrong any more."""
        self.processes: dict[str, ProcessT] = {}
        self.disks = {name: make_disk(plan, scheduler, name) for name in self.ring.names}
        self.roads = {
            (one, other): Road(plan.ways[f"{one} {other}"], plan.stream(f"way/{one}/{other}"))
            for one in self.ring.names
            for other in self.ring.names
            if one != other
        }
        self.cut: dict[tuple[str, str], int] = {}
        """Pairs, in both orders, that cannot connect now, and by how many faults."""
        self.wall_offsets_s = {name: plan.clocks[name].offset_s for name in self.ring.names}
        self.notices: dict[str, int] = {}
        self.on_trigger: Callable[[Trigger, str], None] = lambda trigger, node: None
        """Is told what happens at which node."""
        self.on_release: Callable[[Iterable[object]], None] = lambda session_ids: None
        """Is told of which sessions a node may drop its copies."""
        self.on_set_aside: Callable[[Iterable[SessionId]], None] = lambda session_ids: None
        """Is told which sessions a node has yielded."""
        self.on_notice: Callable[[str], None] = lambda event: None
        """Is told what nodes tell people."""
        self.on_heard: Callable[[str, int, Announcement | Takeover], None] = (
            lambda node, life, what: None
        )
        """Is told what the process of a node, numbered, is told of sessions."""
        self._lives = {name: plan.stream(f"node/{name}") for name in self.ring.names}

    @property
    def now(self) -> float:
        """True time: seconds since the beginning."""
        return self.scheduler.now

    def alive(self) -> list[str]:
        """Return the names of the nodes whose processes live, in ring order."""
        return [name for name in self.plan.names if name in self.processes]

    def running(self) -> list[str]:
        """Return the nodes that run, answer and stay, if there are any, in ring order."""
        silent_before, answering, staying = self.now - SILENT_S, list[str](), list[str]()
        for name in self.plan.names:
            process = self.processes.get(name)
            if process is not None and process.frozen_at > silent_before:
                answering.append(name)
                if not process.replica.draining:
                    staying.append(name)
        return staying or answering

    def preference_list(self, home: str) -> tuple[str, ...]:
        """Return the members in the order in which clients try them."""
        return self.ring.preference_list(home)

    def is_older(self, name: str, since: float) -> bool:
        """Return whether a node runs that was started before ``since``."""
        process = self.processes.get(name)
        return process is not None and process.started_at < since

    def look(self, name: str, session_id: SessionId) -> Record | None:
        """Return what a node that runs has in memory."""
        process = self.processes.get(name)
        return process.replica.record(session_id) if process is not None else None

    def stored(self, name: str, session_id: SessionId) -> Record | None:
        """Return what is on a node's disk."""
        return self.disks[name].record(session_id)

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` called ``delay_s`` seconds from now."""
        self.scheduler.after(delay_s, action)

    def wall_ms(self, name: str) -> int:
        """Return a node's wall clock, in milliseconds since 1970."""
        return WALL_MS + int((self.now + self.wall_offsets_s[name]) * 1000)

    @staticmethod
    def address_of(name: str) -> str:
        """Return where a node listens."""
        return f"{name}.world:1"

    def all_settled(self) -> bool:
        """Return whether every live node says that another one may be lost, and sees the others.

        What a node says counts only while its own connections to all the others live: before it
        has noticed a loss it speaks of the past. And a crash of one side of a cut is a second
        fault before the first is over. Where nobody lives, nobody says anything.
        """
        if not self.processes:
            return False
        for process in self.processes.values():
            is_behind = process.replica.ring.version != self.ring.version
            if process.frozen or is_behind or not process.replica.settled:
                return False
            for name, liveness in process.replica.liveness.items():
                if name not in self.processes:
                    if liveness is not Liveness.DOWN:
                        return False
                elif liveness is not Liveness.UP or not process.is_linked_to(self.processes[name]):
                    return False
        return True

    def is_blocked(self, one: str, other: str) -> bool:
        """Return whether nothing that ``one`` begins with ``other`` can come to an end now."""
        there, back = self.roads[one, other], self.roads[other, one]
        return bool(there.stalls or back.stalls or self.cut.get((one, other), 0) > 0)

    # --- What lives begin with, and tell ---

    def ring_at_hand(self, name: str) -> Ring:
        """Return what a node's file says of the ring: the latest, or now and then the first one."""
        is_old = self.ring.version > 1 and self._lives[name].random() < 0.5
        return self._first_ring if is_old and not self.healed else self.ring

    def randomness_of_life(self, name: str) -> Random:
        """Return the source of randomness of a node's next life."""
        return self.plan.stream(f"life/{name}/{self._lives[name].getrandbits(64)}")

    def tell_loaded(self, name: str, replica: Replica) -> None:
        """Tell witnesses that a node has read its disk; it is not in the trace."""
        for witness in self.scheduler.witnesses:
            witness.on_loaded(self.now, name, replica)

    def note_heard(self, name: str, life: int, what: Announcement | Takeover) -> None:
        """The application in a process is told of a session."""
        kind = what.kind.name if isinstance(what, Announcement) else "TAKEOVER"
        self.scheduler.note("heard", name, kind, what.stamp)
        self.on_heard(name, life, what)

    def notice(self, name: str, event: str) -> None:
        """A node tells people something."""
        self.scheduler.note("notice", name, event)
        self.notices[event] = self.notices.get(event, 0) + 1
        self.on_notice(event)
        if (trigger := TRIGGERS.get(event)) is not None:
            self.on_trigger(trigger, name)
