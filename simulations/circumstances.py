"""The circumstances in which faults strike: the moments that have come about, counted.

Rule: nothing here changes anything in the world.
"""

from collections import Counter
from typing import Final

from simulations.face import AnyWorld
from simulations.moments import Moment
from simulations.plan import Trigger

JUST_NOW_S: Final = 0.3

_NOTICED: Final = {
    "tombstones_forgotten": Moment.TOMBSTONE_DROPPED,
    "home_yielded": Moment.HOME_YIELDED,
}


class Circumstances:
    """What was going on.

    Args:
        world: where.
    """

    def __init__(self, world: AnyWorld) -> None:
        self._world = world
        self.moments: Counter[str] = Counter()
        self._last: dict[Trigger, tuple[float, str]] = {}

    def is_blocked(self) -> bool:
        """Return whether something still keeps nodes apart."""
        world = self._world
        return any(world.cut.values()) or any(
            road.stalls or road.slowness > 1 for road in world.roads.values()
        )

    def on_notice(self, event: str) -> None:
        """A node has told people something."""
        if (moment := _NOTICED.get(event)) is not None:
            self.moments[moment] += 1

    def note_trigger(self, trigger: Trigger, node: str) -> None:
        """Something has happened at a node."""
        self._last[trigger] = (self._world.now, node)

    def is_just_after(self, trigger: Trigger, node: str = "") -> bool:
        """Return whether that has happened a moment ago, at a node or anywhere."""
        at, where = self._last.get(trigger, (-1.0, ""))
        return 0 <= at >= self._world.now - JUST_NOW_S and node in ("", where)

    def note_crash(self, nodes: list[str], *, reshaping: bool) -> None:
        """Nodes that run are about to crash."""
        noted = {
            Moment.CRASH_AFTER_RECEIPT: self.is_just_after(
                Trigger.RECEIPT, nodes[0] if nodes else "-"
            ),
            Moment.CRASH_DURING_TAKEOVER: self.is_just_after(Trigger.MEMBER_DOWN)
            or self.is_just_after(Trigger.ACTING),
            Moment.CRASH_DURING_HAND_BACK: self.is_just_after(Trigger.HANDED_BACK),
            Moment.CRASH_DURING_ROTATION: self.is_just_after(Trigger.ROTATED),
            Moment.CRASH_DURING_SNAPSHOT: self.is_just_after(Trigger.SNAPSHOT),
            Moment.CRASH_OF_SEVERAL: len(nodes) > 1,
            Moment.CRASH_OF_ALL: len(nodes) == len(self._world.processes) > 0,
            Moment.CRASH_BEHIND_A_CUT: self.is_blocked(),
            Moment.CRASH_DURING_A_WRITE: any(not self._world.disks[name].is_idle for name in nodes),
            Moment.CRASH_DURING_RESHAPING: reshaping,
            Moment.CRASH_DURING_DRAIN: any(
                process.replica.draining for process in self._world.processes.values()
            ),
            Moment.CRASH_DURING_SETTLE: any(
                not self._world.processes[name].replica.ready for name in nodes
            ),
        }
        for moment, has_come in noted.items():
            self.moments[moment] += bool(nodes) and has_come

    def note_claimants(self) -> None:
        """Somebody has begun to act for a home."""
        claims = Counter(
            home for process in self._world.processes.values() for home in process.replica.claims
        )
        self.moments[Moment.TWO_CLAIMANTS] += any(number > 1 for number in claims.values())
