"""Plans drawn from a seed: hot by default, since uniform faults on even links find next to nothing.

Rules:
- Hot: ways of 5 to 180 ms, or every second one very slow; faults strike 0 to 0.4 s after something
  has happened, where it happened.
- Rings of 1 to 7, 1 to 4 copies, and the knobs that matter are drawn anew for each seed.
- Clocks that jump, and disks of other nodes, come with sessions that never expire: from a disk,
  idle time is known by the wall clock alone.
"""

from random import Random
from typing import Final

from attrs import evolve

from ring.settings import Settings
from simulations.plan import (
    NAMES,
    Clocks,
    Disk,
    Fault,
    Kind,
    Mode,
    Plan,
    Trigger,
    Way,
    Workload,
)
from simulations.world import HANDSHAKE_S

_WEIGHTS: Final = {
    Kind.CRASH: 10,
    Kind.CRASH_AGAIN: 4,
    Kind.STOP: 3,
    Kind.FREEZE: 3,
    Kind.RESET: 8,
    Kind.HALF_OPEN: 2,
    Kind.STALL: 2,
    Kind.SLOW: 1,
    Kind.CUT: 3,
    Kind.SPLIT: 1,
    Kind.SWIZZLE: 1,
    Kind.DISK_FAILS: 1,
    Kind.DISK_SLOW: 1,
    Kind.CLOCK_JUMPS: 1,
}

_ALONE: Final = {Kind.CRASH: 6, Kind.CRASH_AGAIN: 3, Kind.FREEZE: 1, Kind.DISK_FAILS: 1}

_STRUCK_AT: Final = [trigger for trigger in Trigger if trigger is not Trigger.ADOPTED]
_APART: Final = {Kind.SPLIT: 6, Kind.SWIZZLE: 1, Kind.CUT: 1, Kind.CRASH: 1, Kind.STOP: 1}

_PERMANENT: Final = (Kind.CRASH, Kind.FREEZE, Kind.SPLIT, Kind.RESET)


def draw_plan(seed: int, mode: Mode = Mode.SAFETY) -> Plan:
    """Return the plan of a seed."""
    random = Random(f"{seed}/{mode}/plan".encode())
    members = random.choice((1, 2, 3, 3, 3, 3, 4, 5, 7) if mode is Mode.SAFETY else (3, 4, 5))
    copies = random.choice((1, 2, 2, 2, 2, 3, 4))
    names = NAMES[:members]
    hot = random.random() < 0.8
    steady = random.random() < 0.5
    # Two sides that go on by themselves for a while, and meet again, now and then.
    apart = mode is Mode.SAFETY and members > 1 and random.random() < 0.2
    kinds = dict((_APART if apart else _WEIGHTS) if members > 1 else _ALONE)
    if not steady:
        kinds.pop(Kind.CLOCK_JUMPS, None)
    faults, at = list[Fault](), 2.0
    until = 25.0 if mode is Mode.LIVENESS else 55.0
    while at < until:
        at += random.uniform(8, 16) if apart else random.uniform(0.5, 6)
        faults.append(_draw_fault(random, at, names, kinds, hot=hot, steady=steady))
    if mode is Mode.SAFETY and members > 1:
        faults += _draw_reshaping(Random(f"{seed}/reshaping"), names)
    core: tuple[str, ...] = ()
    if mode is Mode.LIVENESS:
        core = tuple(sorted(random.sample(names, random.randint(2, members - 1))))
        faults = [fault for fault in faults if fault.at + fault.for_s < until]
        outside = [name for name in names if name not in core]
        faults += [_draw_permanent(random, until, name, core) for name in outside]
    plan = Plan(
        seed=seed,
        mode=mode,
        members=members,
        copies=copies,
        settings=_draw_settings(random, Random(f"{seed}/{mode}/alone".encode())),
        clocks={
            name: Clocks(random.uniform(-20, 20), random.uniform(-2e-4, 2e-4)) for name in names
        },
        ways=_draw_ways(random, names, hot=hot),
        workload=_draw_workload(random, members, steady=steady, apart=apart),
        faults=tuple(faults),
        window=random.choice((1, 4, 16)),
        core=core,
        permanent_from_s=until if mode is Mode.LIVENESS else 0.0,
        listening_s=_draw_listening(Random(f"{seed}/{mode}/listening".encode())),
    )
    return _have_principals(_shorten_retention(plan))


def _have_principals(plan: Plan) -> Plan:
    """Let sessions belong to principals in some runs; drawn apart, so that nothing else shifts."""
    random = Random(f"{plan.seed}/{plan.mode}/people".encode())
    principals = random.choice((0, 0, 0, 3))
    if not principals:
        return plan
    return evolve(plan, workload=evolve(plan.workload, principals=principals))


def _draw_fault(
    random: Random, at: float, names: str, kinds: dict[Kind, int], *, hot: bool, steady: bool
) -> Fault:
    kind = random.choices(list(kinds), list(kinds.values()))[0]
    nodes = tuple(random.sample(names, len(names)))
    trigger = None
    delay_s = random.uniform(0, 0.4)
    if hot and random.random() < (0.2 if kind is Kind.SPLIT else 0.7):
        trigger = random.choice(_STRUCK_AT)
        delay_s = random.choice((0.0, random.uniform(0, 0.06), random.uniform(0, 0.4)))
    amount, for_s, disk = (
        0.0,
        random.choice((0.05, random.uniform(0.3, 6), random.uniform(0.3, 6))),
        Disk.KEPT,
    )
    match kind:
        case Kind.CRASH | Kind.CRASH_AGAIN:
            several = random.choices((1, 2, len(names)), (8, 1, 1))[0]
            nodes = nodes[:several]
            disks = [Disk.KEPT, Disk.KEPT, Disk.LOST, Disk.OLD] + [Disk.WRONG] * steady
            disk = Disk.KEPT if several == len(names) > 1 else random.choice(disks)
        case Kind.STOP:
            nodes, disk = nodes[:1], random.choice((Disk.KEPT, Disk.LOST))
        case Kind.FREEZE:
            nodes, for_s = nodes[:1], random.choice((0.5, 1.5, 2.5, 4.0, 7.0, 12.0))
        case Kind.SPLIT:
            nodes = nodes[: random.randint(1, max(1, len(names) - 1))]
            amount = random.choice((0.0, 1.0))
            # Long enough for both sides to act.
            for_s = random.choice((for_s, random.uniform(6, 12)))
        case Kind.CUT:
            nodes, amount = nodes[:2], random.choice((0.0, 1.0))
        case Kind.SLOW | Kind.DISK_SLOW:
            nodes, amount = nodes[:2], random.choice((5.0, 50.0))
        case Kind.CLOCK_JUMPS:
            nodes, amount = nodes[:1], random.uniform(-15, 15)
        case _:
            nodes = nodes[:2]
    gated = kind in (Kind.CRASH, Kind.CRASH_AGAIN) and random.random() < 0.6
    return Fault(kind, at, nodes, for_s, trigger, delay_s, gated, disk, amount)


def _draw_reshaping(random: Random, names: str) -> list[Fault]:
    """Return how the ring changes, in a fourth of all plans, and crashes right after that."""
    faults = list[Fault]()
    if random.random() < 0.75:
        return faults
    for _ in range(random.randint(1, 3)):
        at, nodes = random.uniform(3, 45), tuple(random.sample(names, len(names)))
        kind = random.choice((Kind.RESIZE, Kind.RESIZE, Kind.REORDER))
        disk, place = random.choice((Disk.KEPT, Disk.LOST)), random.random()
        faults.append(Fault(kind, at, nodes, random.uniform(1, 12), disk=disk, amount=place))
        if random.random() < 0.5:
            struck = tuple(random.sample(names, 1))
            away_s, delay_s = random.uniform(0.05, 4), random.choice((0.0, random.uniform(0, 1)))
            faults.append(Fault(Kind.CRASH, at - 0.1, struck, away_s, Trigger.ADOPTED, delay_s))
    return faults


def _draw_permanent(random: Random, at: float, name: str, core: tuple[str, ...]) -> Fault:
    kind = random.choice(_PERMANENT)
    nodes = (name, random.choice(core)) if kind is Kind.RESET else (name,)
    amount = random.choice((0.0, 1.0)) if kind is Kind.SPLIT else 0.0
    return Fault(kind, at, nodes, random.uniform(0.2, 3.0), amount=amount)


def _draw_settings(random: Random, alone: Random) -> Settings:
    heartbeat_s, suspect_s = random.choice(((0.5, 3.0), (0.5, 3.0), (0.2, 1.2)))
    return Settings(
        heartbeat_interval_s=heartbeat_s,
        suspect_after_s=suspect_s,
        settle_timeout_s=suspect_s + HANDSHAKE_S + 1.0,
        join_timeout_s=random.choice((5.0, 10.0)) + suspect_s,
        waits_alone=alone.random() < 0.2,
        ack_timeout_s=random.choice((0.3, 1.0)),
        sweep_interval_s=random.choice((3.0, 60.0)),
        expired_kept_s=random.choice((5.0, 300.0)),
        changes_per_frame_max=random.choice((1, 8, 256)),
        records_per_frame_max=random.choice((1, 8, 512)),
        unacknowledged_max=random.choice((4, 64, 8192)),
    )


def _draw_listening(random: Random) -> tuple[float, float] | None:
    """Return how long applications are busy with each event; in most plans they do not listen."""
    if random.random() < 0.6:
        return None
    return random.choice(((0.0, 0.0), (0.0, 0.05), (0.0, 0.5), (0.2, 2.0)))


def _shorten_retention(plan: Plan) -> Plan:
    """Let ends be forgotten within some runs; drawn apart, so that nothing else shifts.

    Retention is far longer than clocks may be apart, so here they hardly are.
    """
    random = Random(f"{plan.seed}/{plan.mode}/retention".encode())
    retention_s = random.choice((0.0, 0.0, 12.0, 24.0))
    if not retention_s:
        return plan
    return evolve(
        plan,
        settings=evolve(plan.settings, retention_s=retention_s, sweep_interval_s=3.0),
        clocks={
            name: evolve(each, offset_s=each.offset_s / 40) for name, each in plan.clocks.items()
        },
        faults=tuple(fault for fault in plan.faults if fault.kind is not Kind.CLOCK_JUMPS),
    )


def _draw_ways(random: Random, names: str, *, hot: bool) -> dict[str, Way]:
    least_s, most_s, slow = 0.001, 0.004, 1.0
    if hot:
        least_s, most_s, slow = random.choice(
            ((0.005, 0.18, 1.0), (0.005, 0.18, 1.0), (0.001, 0.004, 20.0), (0.001, 0.004, 60.0))
        )
    ways = {}
    for one in names:
        for other in names:
            if one != other:
                factor = random.choice((1.0, slow))
                ways[f"{one} {other}"] = Way(least_s * factor, most_s * factor)
    return ways


def _draw_workload(random: Random, members: int, *, steady: bool, apart: bool) -> Workload:
    durable = ("backup", "backup", "backup+disk") if members > 1 else ("disk",)
    mixed = (*durable, "local", "disk")
    clients = random.randint(5, 8)
    pause_s = clients / 12  # About 12 operations a second in all.
    return Workload(
        clients=clients,
        think_s=(pause_s * 0.2, pause_s * 1.6),
        sessions_max=random.choice((4, 12)),
        durabilities=random.choice((durable, durable, mixed)),
        refuse=random.choice((0.0, 0.3)),
        max_idles_s=(0.0,) if steady else random.choice(((0.0,), (0.0, 4.0), (0.0, 3.0, 9.0))),
        wander=random.choice((0.0, 0.1, 0.3)),
        rotations=8 if apart else random.choice((0, 3, 8)),
        scatters=apart or random.random() < 0.6,
        patient=random.choice((0.0, 0.0, 0.02)),
    )
