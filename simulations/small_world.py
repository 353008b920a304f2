"""One seed of the small world: a ring under load, faults within its budget, and a verdict.

Rules:
- A plan is data: what happens, and when at the earliest. A crash waits until every live node
  says that it is settled, since only then is the memory of another one free to be lost.
- Hot: the crash hits whoever has just given a receipt, and everybody reads that session next; every
  second way between members is slow. Uniform faults on uniform links find next to nothing.
- Resets and cuts wait for nothing: they lose no memory.
- In the end everything is healed and restarted; then every session is read once more, and all
  holders of a home must hold the same.
"""

from random import Random

from attrs import frozen

from ring import Durability, SessionId, Settings
from simulations.checkers import Checker, Violation
from simulations.clients import Clients
from simulations.world import Shape, World

SETTLE_LIMIT_S = 120.0

SMALL_WORLD_SETTINGS = Settings(
    heartbeat_interval_s=0.2,
    suspect_after_s=1.2,
    settle_timeout_s=4.0,
    changes_per_frame_max=8,
    records_per_frame_max=8,
)


@frozen
class Fault:
    """One thing that goes wrong, at the earliest at ``at``."""

    at: float
    kind: str
    """crash, crash_again (while it recovers), crash_all, reset, cut."""
    nodes: tuple[str, ...] = ()
    for_s: float = 1.0
    hot: bool = False
    """Instead of ``nodes``, the acting owner of the next receipt, up to 60 ms after it."""
    disk: str = "kept"
    """What a crashed node finds when it comes back: kept, lost, or old."""


@frozen
class Plan:
    """Everything about one run that its seed decides beforehand."""

    seed: int
    shape: Shape
    clients: int
    faults: tuple[Fault, ...]
    duration_s: float = 30.0


@frozen
class Report:
    """What came of a run."""

    plan: Plan
    violations: tuple[Violation, ...]
    counts: dict[str, int]
    trace_hash: str
    events: int


def draw_plan(seed: int) -> Plan:
    """Return the plan of a seed."""
    random = Random(f"{seed}/plan".encode())
    members = random.choice((1, 2, 3, 3, 3, 4, 5))
    copies = random.choice((2, 2, 3)) if members > 2 else 2
    delays_s = random.choice(((0.001, 0.004), (0.005, 0.18)))
    slow_factor = random.choice((1, 20, 100)) if delays_s[1] < 0.1 else 1
    shape = Shape(members, copies, delays_s, slow_factor, SMALL_WORLD_SETTINGS)
    names = "abcdefghi"[:members]
    faults, at = list[Fault](), 1.0
    while at < 28:
        at += random.uniform(0.3, 4)
        kinds = ("crash", "crash_again", "crash_all", "reset", "cut")
        kind = random.choices(kinds, (5, 2, 1, 4, 2))[0]
        if kind == "crash_all" or members == 1:
            faults.append(Fault(at, "crash_all", tuple(names), random.uniform(0.1, 1)))
        elif kind in ("crash", "crash_again"):
            disk = random.choice(("kept", "lost", "old"))
            # One at a time, however many copies are kept: a receipt waits for one backup only.
            nodes = (random.choice(names),)
            hot = random.random() < 0.6
            faults.append(Fault(at, kind, nodes, random.uniform(0.05, 4), hot, disk))
        else:
            pair = tuple(random.sample(names, 2))
            faults.append(Fault(at, kind, pair, random.uniform(0.1, 3)))
    return Plan(seed, shape, random.randint(2, 6), tuple(faults))


def run(plan: Plan) -> Report:
    """Play ``plan`` and judge what its clients saw."""
    world = World(plan.seed, plan.shape)
    checker = Checker()
    for name in world.ring.names:
        world.start(name)
    durability = Durability.DISK if plan.shape.members == 1 else Durability.BACKUP_AND_DISK
    whole = not any(fault.kind == "cut" for fault in plan.faults)
    clients = Clients(world, checker, plan.seed, plan.clients, durability, wander=whole)
    _run_faults(world, clients, plan)
    world.scheduler.run_until(max(world.now, plan.duration_s))
    clients.stopped = True
    world.heal()
    world.scheduler.run_until(world.now + 10)
    if not _settle(world):
        checker.violations.append(Violation("convergence", "the ring did not settle"))
    clients.read_everything()
    world.scheduler.run_until(world.now + 10)
    _check_convergence(world, checker)
    return Report(
        plan,
        tuple(checker.violations),
        clients.counts,
        world.scheduler.trace_hash(),
        world.scheduler.events,
    )


def _settle(world: World) -> bool:
    return world.scheduler.run_while(lambda: not world.all_settled(), SETTLE_LIMIT_S)


def _run_faults(world: World, clients: Clients, plan: Plan) -> None:
    old = {name: dict(disk) for name, disk in world.disks.items()}
    for fault in plan.faults:
        if fault.at > world.now:
            world.scheduler.run_until(fault.at)
        if world.now > plan.duration_s:
            return
        if fault.kind == "reset":
            world.reset(*fault.nodes)
            continue
        if fault.kind == "cut":
            world.cut_off(*fault.nodes)
            world.scheduler.run_until(world.now + fault.for_s)
            world.heal()
            continue
        if not _settle(world):
            return
        if fault.kind == "crash_all":
            world.scheduler.run_while(lambda: not world.all_stored(), SETTLE_LIMIT_S)
        nodes = _wait_for_receipt(world, clients, plan) if fault.hot else fault.nodes
        for name in nodes:
            if name in world.processes:
                world.crash(name)
            if fault.disk != "kept":
                world.disks[name] = {} if fault.disk == "lost" else dict(old[name])
        # A copy of a disk, for a later fault to bring back; not of one that was just put back.
        if fault.kind == "crash_all":
            old = {name: dict(disk) for name, disk in world.disks.items()}
        world.scheduler.run_until(world.now + fault.for_s)
        for name in nodes:
            world.start(name)
        if fault.kind == "crash_again":
            world.scheduler.run_until(world.now + fault.for_s / 8)
            for name in nodes:
                world.crash(name)
                world.start(name)


def _wait_for_receipt(world: World, clients: Clients, plan: Plan) -> tuple[str, ...]:
    """Let time pass until shortly after an undegraded receipt; return the name that gave it."""
    clients.look_away()
    world.scheduler.run_while(lambda: clients.hot is None, 5.0)
    if clients.hot is None or not world.all_settled():
        return ()
    pause = Random(f"{plan.seed}/{world.now}".encode()).uniform(0, 0.06)
    world.scheduler.run_until(world.now + pause)
    return (clients.hot_owner,) if world.all_settled() else ()


def _check_convergence(world: World, checker: Checker) -> None:
    """Demand that all holders of a home hold the same, whole records."""
    for home in world.ring.names:
        views = list[dict[SessionId, int]]()
        for name in world.ring.holders(home, world.processes):
            replica = world.processes[name].replica
            prefix = home.encode() + b"."
            view = dict[SessionId, int]()
            for session_id in replica.session_ids():
                record = replica.record(session_id)
                if session_id.startswith(prefix) and record is not None:
                    view[session_id] = record.digest
                    if not record.whole:
                        story = f"{name} has a part of a session of {home} only"
                        checker.violations.append(Violation("convergence", story))
            views.append(view)
        if any(view != views[0] for view in views):
            story = f"the holders of {home} hold {[len(view) for view in views]} unlike records"
            checker.violations.append(Violation("convergence", story))
