"""Faults as they strike a simulated ring.

Rules:
- A fault with a trigger strikes the node at which that happens, a moment later; a gated one waits
  until every live node has said that it is settled. What never comes about is counted as missed.
- The budget is told of every loss and of every node that cannot be reached, before it happens.
- Every fault ends, unless it is permanent; in the end everything is healed.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Final, Protocol

from ring import Liveness
from simulations.budget import Budget
from simulations.circumstances import Circumstances
from simulations.face import AnyProcess, AnyWorld
from simulations.healing import mend
from simulations.moments import Moment
from simulations.plan import Disk, Fault, Kind, Mode, Plan, Trigger
from simulations.reshaping import Reshaping

GATE_STEP_S: Final = 0.1
DRAIN_STEP_S: Final = 0.02
DRAIN_LIMIT_S: Final = 20.0
GATE_LIMIT_S: Final = 15.0
TRIGGER_LIMIT_S: Final = 10.0
DISK_COPIES: Final = 3
DISK_COPY_INTERVAL_S: Final = 7.0


class Crowd(Protocol):
    """The clients, as far as faults concern them."""

    def look_closely(self, home: str = "") -> None:
        """Look at the latest session of a home, or of all for no name, for a while."""

    def scatter(self, for_s: float) -> None:
        """Be everywhere for a while."""


class Striking:
    """The faults of one plan.

    Args:
        world: where they strike.
        plan: which they are.
        budget: is told what they take.
        crowd: the clients, who come to where something happens.
    """

    def __init__(self, world: AnyWorld, plan: Plan, budget: Budget, crowd: Crowd) -> None:
        self._world = world
        self._plan = plan
        self._budget = budget
        self._crowd = crowd
        self.faults: Counter[str] = Counter()
        self.circumstances = Circumstances(world)
        self.moments = self.circumstances.moments
        self.stopped = False
        self.reshaping = Reshaping(world, plan, budget, self.moments, self._change_disk)
        self._armed: dict[Trigger, list[Fault]] = {trigger: [] for trigger in Trigger}
        for fault in plan.faults:
            world.after(fault.at, partial(self._begin, fault))
        world.after(DISK_COPY_INTERVAL_S, self._copy_disks)

    # --- Waiting for the right moment ---

    def on_trigger(self, trigger: Trigger, node: str) -> None:
        """Something has happened at a node."""
        self.circumstances.note_trigger(trigger, node)
        if trigger is Trigger.ACTING:
            self.circumstances.note_claimants()
        armed = self._armed[trigger]
        if armed and not self.stopped:
            fault = armed.pop(0)
            self._world.after(fault.delay_s, partial(self._pass_gate, fault, node, 0.0))

    def _begin(self, fault: Fault) -> None:
        if self.stopped:
            return
        if fault.trigger is None:
            self._pass_gate(fault, fault.nodes[0], 0.0)
        else:
            self._armed[fault.trigger].append(fault)
            self._world.after(TRIGGER_LIMIT_S, partial(self._disarm, fault))

    def _disarm(self, fault: Fault) -> None:
        assert fault.trigger is not None
        if fault in self._armed[fault.trigger]:
            self._armed[fault.trigger].remove(fault)
            self.faults["missed"] += 1

    def _pass_gate(self, fault: Fault, node: str, waited_s: float) -> None:
        plan = self._plan
        fates = plan.mode is Mode.LIVENESS and self._world.now >= plan.permanent_from_s
        if self.stopped or (fates and not self._is_permanent(fault)):
            return
        if fault.gated and not self._world.all_settled():
            if waited_s >= GATE_LIMIT_S:
                self.faults["missed"] += 1
                return
            again = partial(self._pass_gate, fault, node, waited_s + GATE_STEP_S)
            self._world.after(GATE_STEP_S, again)
            return
        if fault.gated:
            self._note_settled()
        rest = [name for name in fault.nodes if name != node]
        nodes = (node, *rest)[: len(fault.nodes)]
        self.faults[fault.kind] += 1
        if fault.trigger is not None:
            self._crowd.look_closely()
        self._strike(fault, nodes)

    def watch_settling(self) -> None:
        """Tell the budget, again and again, when every live node says that it is settled."""
        if self._budget.is_disturbed and self._world.all_settled():
            self._note_settled()
        self._world.after(GATE_STEP_S, self.watch_settling)

    def _note_settled(self) -> None:
        if self._budget.is_disturbed and not self.circumstances.is_blocked():
            self._budget.on_settled(self._world.running())
            self.moments[Moment.SETTLED_AGAIN] += 1

    # --- Striking ---

    def strike(self, fault: Fault) -> None:
        """Have a fault strike now, or when its gate lets it."""
        self._pass_gate(fault, fault.nodes[0], 0.0)

    def bring_back(self, name: str) -> None:
        """Start a node that is away, and let one go on that stands still."""
        self._start([name])
        self._thaw(name)

    def _strike(self, fault: Fault, nodes: tuple[str, ...]) -> None:
        for witness in self._world.scheduler.witnesses:
            witness.on_fault(self._world.now, fault, nodes)
        match fault.kind:
            case Kind.CRASH | Kind.CRASH_AGAIN:
                self._crash(fault, nodes)
            case Kind.STOP:
                self._stop(fault, nodes[0])
            case Kind.FREEZE:
                self._freeze(fault, nodes[0])
            case Kind.RESET | Kind.HALF_OPEN:
                self._reset(fault, nodes[0], nodes[1])
            case Kind.STALL:
                self._stall(fault, [(nodes[0], nodes[1])])
            case Kind.SLOW:
                self._slow(fault, nodes[0], nodes[1])
            case Kind.CUT | Kind.SPLIT:
                self._crowd.scatter(fault.for_s)
                inside = nodes[:1] if fault.kind is Kind.CUT else nodes
                outside = nodes[1:2] if fault.kind is Kind.CUT else self._others(nodes)
                self._cut(fault, list(product(inside, outside)))
            case Kind.SWIZZLE:
                self._crowd.scatter(fault.for_s)
                for number, other in enumerate(self._others(nodes[:1])):
                    cut = partial(self._cut, fault, [(nodes[0], other)])
                    self._world.after(number * fault.delay_s, cut)
            case Kind.DISK_FAILS:
                self._world.disks[nodes[0]].failing += 1
                self._later(fault, partial(self._mend_disk, nodes[0]))
            case Kind.DISK_SLOW:
                self._world.disks[nodes[0]].slowness = fault.amount
                self._later(fault, partial(self._speed_disk_up, nodes[0]))
            case Kind.CLOCK_JUMPS:
                self._world.wall_offsets_s[nodes[0]] += fault.amount
            case Kind.RESIZE:
                self.faults["missed"] += not self.reshaping.remove(fault)
            case Kind.REORDER:
                done = self.reshaping.reorder(fault)
                self.moments[Moment.REORDERED] += done
                self.faults["missed"] += not done

    def _later(self, fault: Fault, end: Callable[[], None]) -> None:
        """Have a fault end in time, unless it is permanent."""
        if not self._is_permanent(fault):
            self._world.after(fault.for_s, end)

    def _is_permanent(self, fault: Fault) -> bool:
        plan = self._plan
        return plan.mode is Mode.LIVENESS and fault.at >= plan.permanent_from_s

    def _others(self, nodes: Iterable[str]) -> list[str]:
        return [name for name in self._plan.names if name not in nodes]

    def _crash(self, fault: Fault, nodes: tuple[str, ...]) -> None:
        world, struck = self._world, [name for name in nodes if name in self._world.processes]
        self.circumstances.note_crash(struck, reshaping=self.reshaping.is_under_way)
        for name in struck:
            self._budget.on_lost(name, disk_kept=fault.disk is Disk.KEPT)
            world.crash(name)
            self._change_disk(name, fault.disk)
        self._later(fault, partial(self._start, struck))
        if fault.kind is Kind.CRASH_AGAIN:
            again = fault.for_s + max(0.01, fault.delay_s)
            world.after(again, partial(self._crash_again, fault, struck))

    def _crash_again(self, fault: Fault, nodes: list[str]) -> None:
        for name in nodes:
            process = self._world.processes.get(name)
            if process is not None and not self.stopped and not self._is_settled_fate(name):
                self.moments[Moment.CRASH_DURING_SETTLE] += not process.replica.ready
                self._budget.on_lost(name, disk_kept=True)
                self._world.crash(name)
                self._world.start(name)

    def _stop(self, fault: Fault, name: str) -> None:
        process = self._world.processes.get(name)
        if process is not None and not process.frozen and not process.replica.draining:
            self._world.drain(name)
            self._leave(fault, process, self._world.now + DRAIN_LIMIT_S)

    def _leave(self, fault: Fault, process: AnyProcess, deadline: float) -> None:
        """End a process that drains as soon as it may, or when its time is up."""
        world, name = self._world, process.name
        if world.processes.get(name) is not process or self.stopped:
            return
        # Whom it cannot reach it has handed nothing to, whoever else there is.
        stay = [
            other
            for other, liveness in process.replica.liveness.items()
            if liveness is Liveness.UP and other in world.processes
            if not world.processes[other].replica.draining
        ]
        # Where nobody stays, its disk has to have everything.
        done = process.replica.drained and (bool(stay) or world.disks[name].has_all)
        if not done and world.now < deadline:
            again = partial(self._leave, fault, process, deadline)
            world.after(DRAIN_STEP_S, again)
            return
        self.moments[Moment.DRAINED if done else Moment.DRAIN_INCOMPLETE] += 1
        if done and len(stay) >= self._plan.copies:
            self._budget.on_left(name)
            self._change_disk(name, fault.disk)
        else:
            self._budget.on_lost(name, disk_kept=True)
        world.crash(name)
        self._later(fault, partial(self._start, [name]))

    def _change_disk(self, name: str, disk: Disk) -> None:
        here = self._world.disks[name]
        match disk:
            case Disk.LOST:
                here.lose()
                self.moments[Moment.EMPTY_DISK] += 1
            case Disk.OLD if here.restore_oldest():
                self.moments[Moment.OLD_DISK] += 1
            case Disk.WRONG if others := self._others((name,)):
                here.take_from(self._world.disks[others[0]])
                self.moments[Moment.WRONG_DISK] += 1
            case _:
                pass

    def _start(self, nodes: Iterable[str]) -> None:
        for name in nodes:
            away = name not in self._world.processes and name not in self.reshaping.left
            if away and name not in self._gone_for_good():
                self._world.start(name)
                self.reshaping.let_go(name)
                self._crowd.look_closely(name)

    def _is_settled_fate(self, name: str) -> bool:
        """Return whether a node outside the core is in the state in which it stays."""
        plan = self._plan
        permanent = plan.mode is Mode.LIVENESS and self._world.now >= plan.permanent_from_s
        return permanent and name not in plan.core

    def _gone_for_good(self) -> set[str]:
        """Return the nodes that do not come back: one that was frozen for ever may die besides."""
        return {
            fault.nodes[0]
            for fault in self._plan.faults
            if fault.kind in (Kind.CRASH, Kind.FREEZE)
            and self._is_permanent(fault)
            and fault.at <= self._world.now
        }

    def _freeze(self, fault: Fault, name: str) -> None:
        if self._is_permanent(fault):
            self._start([name])
        process = self._world.processes.get(name)
        if process is None or process.frozen:
            return
        self._budget.on_apart((name,))
        self.moments[Moment.FREEZE_OF_AN_OWNER] += bool(process.replica.claims)
        self._world.freeze(name)
        self._later(fault, partial(self._thaw, name))

    def _thaw(self, name: str) -> None:
        process = self._world.processes.get(name)
        if process is not None and process.frozen and not self._is_settled_fate(name):
            away = any(
                other.replica.liveness.get(name) is Liveness.DOWN
                for other in self._world.processes.values()
                if other is not process
            )
            self.moments[Moment.THAW_AFTER_DOWN if away else Moment.THAW_BEFORE_DOWN] += 1
            self._budget.on_apart((name,))
            self._world.thaw(name, process)

    def _reset(self, fault: Fault, one: str, other: str) -> None:
        for name in (one, other):
            process = self._world.processes.get(name)
            if process is not None:
                self.moments[Moment.RESET_DURING_SETTLE] += not process.replica.ready
                self.moments[Moment.RESET_WITH_FRAMES] += process.has_frames()
        self.moments[Moment.RESET_DURING_SNAPSHOT] += self.circumstances.is_just_after(
            Trigger.SNAPSHOT
        )
        unnoticed_by = one if fault.kind is Kind.HALF_OPEN else ""
        self._world.break_between(one, other, unnoticed_by=unnoticed_by)
        if self._is_permanent(fault):
            self._world.after(max(0.2, fault.for_s), partial(self._reset, fault, one, other))

    def _stall(self, fault: Fault, ways: list[tuple[str, str]]) -> None:
        for one, other in ways:
            self._budget.on_apart((one, other))
            road = self._world.roads[one, other]
            road.stalls += 1
            self._later(fault, road.free)

    def _slow(self, fault: Fault, one: str, other: str) -> None:
        self._budget.on_apart((one, other))
        for way in ((one, other), (other, one)):
            self._world.roads[way].slowness = fault.amount
        self._later(fault, partial(self._speed_up, one, other))

    def _speed_up(self, one: str, other: str) -> None:
        self._budget.on_apart((one, other))
        for way in ((one, other), (other, one)):
            self._world.roads[way].slowness = 1.0

    def _cut(self, fault: Fault, pairs: list[tuple[str, str]]) -> None:
        """Cut pairs off: loudly, or (with an amount) in silence, nothing being delivered."""
        if self.stopped:
            return
        for one, other in pairs:
            self._budget.on_apart((one, other))
            if fault.amount:
                self._stall(fault, [(one, other), (other, one)])
                continue
            for pair in ((one, other), (other, one)):
                self._world.cut[pair] = self._world.cut.get(pair, 0) + 1
            self._world.break_between(one, other)
            self._later(fault, partial(self._mend, one, other))

    def _mend(self, one: str, other: str) -> None:
        for pair in ((one, other), (other, one)):
            self._world.cut[pair] = max(0, self._world.cut.get(pair, 0) - 1)

    def _mend_disk(self, name: str) -> None:
        disk = self._world.disks[name]
        disk.failing = max(0, disk.failing - 1)

    def _speed_disk_up(self, name: str) -> None:
        self._world.disks[name].slowness = 1.0

    # --- The end ---

    def heal(self) -> None:
        """Let no more faults begin, and end those that there are."""
        self.stopped = self._world.healed = True
        mend(self._world, self._budget, self.reshaping)

    def _copy_disks(self) -> None:
        for disk in self._world.disks.values():
            disk.keep_copy(DISK_COPIES)
        if not self.stopped:
            self._world.after(DISK_COPY_INTERVAL_S, self._copy_disks)
