"""Plans for Hypothesis: a ring and what goes wrong in it; they shrink to few faults, even ways.

``@given(plans())``, then ``simulate(plan, workload)``.
"""

from typing import Final

from attrs import evolve
from hypothesis import strategies as st

from ring.settings import Settings
from simulations.plan import DURATION_S, EVEN, Disk, Fault, Kind, Plan, Trigger, Way, simplest
from simulations.world import HANDSHAKE_S

_KINDS: Final = (
    *(Kind.CRASH, Kind.RESET, Kind.CUT, Kind.STALL, Kind.STOP, Kind.FREEZE),
    *(Kind.SPLIT, Kind.HALF_OPEN, Kind.SLOW, Kind.CRASH_AGAIN, Kind.DISK_FAILS),
)
_TRIGGERS: Final = (None, Trigger.RECEIPT, Trigger.ACTING, Trigger.HANDED_BACK, Trigger.READY)
_SETTINGS: Final = Settings(settle_timeout_s=3.0 + HANDSHAKE_S + 1.0)


@st.composite
def plans(
    draw: st.DrawFn,
    *,
    nodes: int = 3,
    copies: int = 2,
    clients: int = 2,
    faults: int = 4,
    duration_s: float = DURATION_S,
) -> Plan:
    """Draw a plan: with no faults and an even network first, since that is the simplest.

    Args:
        draw: Hypothesis's.
        nodes: how many members the ring has, from 1 to 7.
        copies: how many of them keep each session, from 1 to 4.
        clients: how many run the workload at the same time, from 1.
        faults: how many things go wrong at most.
        duration_s: how long workloads may take, in simulated seconds; faults strike meanwhile.
    """
    even = simplest(nodes, copies, clients, duration_s)
    way = draw(st.sampled_from((EVEN, Way(0.005, 0.18), Way(0.02, 0.24))))
    struck = draw(st.lists(_faults(even.names, duration_s), max_size=faults))
    return evolve(
        even,
        seed=draw(st.integers(0, 2**32 - 1)),
        settings=_SETTINGS,
        ways=dict.fromkeys(even.ways, way),
        faults=tuple(struck),
    )


@st.composite
def _faults(draw: st.DrawFn, names: str, duration_s: float) -> Fault:
    kinds = _KINDS if len(names) > 1 else (Kind.CRASH, Kind.DISK_FAILS)
    kind = draw(st.sampled_from(kinds))
    nodes = draw(st.permutations(names))
    disk = draw(st.sampled_from((Disk.KEPT, Disk.LOST, Disk.OLD)))
    amount = draw(st.sampled_from((0.0, 1.0))) if kind in (Kind.CUT, Kind.SPLIT) else 0.0
    if kind is Kind.SLOW:
        amount = 5.0
    trigger = draw(st.sampled_from(_TRIGGERS))
    one = kind in (Kind.CRASH, Kind.CRASH_AGAIN, Kind.STOP, Kind.FREEZE, Kind.SPLIT)
    return Fault(
        kind,
        at=draw(st.floats(0.5, duration_s)),
        nodes=tuple(nodes[:1] if one else nodes[:2]),
        for_s=draw(st.floats(0.05, 5.0)),
        trigger=trigger,
        delay_s=draw(st.floats(0.0, 0.4)) if trigger is not None else 0.0,
        disk=disk if kind in (Kind.CRASH, Kind.CRASH_AGAIN) else Disk.KEPT,
        amount=amount,
    )
