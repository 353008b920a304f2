"""The ring of a simulated run as people change it: members leave and come back, and change places.

Rules:
- Every change is a version of its own, made from the latest, and set at one node that answers.
- A member that is removed has an heir and an address, and ends as soon as it has handed over; it
  comes back, later and elsewhere in the ring, with the file that lists it again.
- As many members stay as the ring keeps copies, and two at least.
"""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import evolve

from ring import Liveness, Ring
from ring.placement import Departed, Member
from simulations.budget import Budget
from simulations.face import AnyWorld
from simulations.moments import Moment
from simulations.plan import Disk, Fault, Plan

LOOK_S: Final = 0.02
LEAVE_LIMIT_S: Final = 30.0
"""When people lose patience with a member that hands over."""
AGAIN_S: Final = 1.0


class Reshaping:
    """Every change of the ring in one run.

    Args:
        world: whose ring it is.
        plan: how many copies it keeps.
        budget: is told of members that end.
        moments: counts what has come about.
        change_disk: gives a member that has ended another disk.
    """

    def __init__(
        self,
        world: AnyWorld,
        plan: Plan,
        budget: Budget,
        moments: Counter[str],
        change_disk: Callable[[str, Disk], None],
    ) -> None:
        self._world = world
        self._plan = plan
        self._budget = budget
        self._moments = moments
        self._change_disk = change_disk
        self.left: set[str] = set()
        """Members that were removed, and have ended for that."""
        self._forgetting: set[str] = set()
        """Members whose addresses are to be taken out of the ring once they have ended."""

    @property
    def is_under_way(self) -> bool:
        """Whether somebody has still to hand over, or to learn the ring."""
        world = self._world
        version = world.ring.version
        behind = any(each.replica.ring.version < version for each in world.processes.values())
        return behind or any(name in world.processes for name in world.ring.leaving)

    def reorder(self, fault: Fault) -> bool:
        """Put the members into the order in which the fault has them."""
        ring = self._world.ring
        named = [*fault.nodes, *ring.names]  # Who is not named goes last.
        members = sorted(ring.members, key=lambda member: named.index(member.name))
        changed = evolve(ring, version=ring.version + 1, members=tuple(members))
        return self._set(changed, fault.nodes)

    def remove(self, fault: Fault) -> bool:
        """Remove the first member of the fault that is one, and add it again later."""
        ring = self._world.ring
        name = next((name for name in fault.nodes if name in ring.names), "")
        if len(ring.names) <= max(2, self._plan.copies):
            return False
        heir = ring.preference_list(name)[1]
        departed = [
            evolve(each, heir=heir) if each.heir == name else each for each in ring.departed
        ]
        changed = evolve(
            ring,
            version=ring.version + 1,
            members=tuple(member for member in ring.members if member.name != name),
            departed=(*departed, Departed(name, heir, ring.addresses[name])),
        )
        if not self._set(changed, [each for each in fault.nodes if each != name]):
            return False
        self._moments[Moment.REMOVED] += 1
        if name not in self._world.processes:
            self._moments[Moment.REMOVED_WHILE_AWAY] += 1
        if fault.amount < 0.5:
            self._forgetting.add(name)
        self._world.after(LOOK_S, partial(self._let_go, name, self._world.now + LEAVE_LIMIT_S))
        self._world.after(fault.for_s, partial(self._add_again, fault, name))
        return True

    def let_go(self, name: str) -> None:
        """See to it that a member that the ring lists as departed ends, as it was started again."""
        if name in self._world.ring.leaving:
            self._let_go(name, self._world.now + LEAVE_LIMIT_S)

    def _set(self, ring: Ring, nodes: tuple[str, ...] | list[str]) -> bool:
        """Have the first node that answers adopt ``ring``."""
        world = self._world
        for name in nodes:
            process = world.processes.get(name)
            if process is None or process.frozen or process.replica.draining:
                continue
            if process.replica.objection(ring) is None:
                world.ring = ring
                world.adopt(process, ring)
                return True
        return False

    def _let_go(self, name: str, deadline: float) -> None:
        """End a member that has been removed, once it may, or when its time is up."""
        world = self._world
        process = world.processes.get(name)
        if process is None or name not in world.ring.leaving:
            return  # It is away, and hands over when it is started; or it is a member again.
        stay = [
            other
            for other, liveness in process.replica.liveness.items()
            if liveness is Liveness.UP and other in world.processes
            if not world.processes[other].replica.draining
        ]
        done = process.replica.drained and len(stay) >= 1
        if not done and world.now < deadline:
            world.after(LOOK_S, partial(self._let_go, name, deadline))
            return
        self._moments[Moment.LEFT_THE_RING if done else Moment.DRAIN_INCOMPLETE] += 1
        if done and len(stay) >= self._plan.copies:
            self._budget.on_left(name)
        else:
            self._budget.on_lost(name, disk_kept=True)
        world.crash(name)
        if done:
            self.left.add(name)
            if name in self._forgetting:
                self._forget_address(name)

    def _forget_address(self, name: str) -> None:
        """Leave of a member that is gone its name and its heir: nobody looks for it any more."""
        ring = self._world.ring
        departed = [
            evolve(each, address="") if each.name == name else each for each in ring.departed
        ]
        changed = evolve(ring, version=ring.version + 1, departed=tuple(departed))
        self._set(changed, list(ring.names))
        self._moments[Moment.ADDRESS_FORGOTTEN] += self._world.ring == changed

    def _add_again(self, fault: Fault, name: str) -> None:
        """List a member again that had left, elsewhere, and start it with the new file."""
        world, ring = self._world, self._world.ring
        if world.healed or name in ring.names:
            return
        if name in world.processes:
            world.after(AGAIN_S, partial(self._add_again, fault, name))
            return
        self.left.discard(name)
        members = list(ring.members)
        members.insert(round(fault.amount * len(members)), Member(name, world.address_of(name)))
        world.ring = evolve(
            ring,
            version=ring.version + 1,
            members=tuple(members),
            departed=tuple(each for each in ring.departed if each.name != name),
        )
        self._change_disk(name, fault.disk)
        self._moments[Moment.ADDED] += 1
        world.start(name, world.ring)
