"""What is done to a local ring, phase by phase: members are killed, stopped, restarted, replaced.

Rule: a fault window is open from the fault until the ring is expected to be as good as before:
until every probe has succeeded, if enough members live to hold every copy; else until the member is
ready again.
"""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import Final

import trio

from simulations.real_nodes import COPIES
from simulations.resizing import add_member, remove_member
from simulations.ring_tally import Phase
from simulations.script import STEADY, Act, Script, Stage, listed

TAKEOVER: Final = "kill and takeover"
SUCCESSOR: Final = "its successor too"
RECOVERY: Final = "restart and recovery"
FREEZE: Final = "freeze and thaw"
ROLLING: Final = "rolling restart"
FULL_DISK: Final = "full disk"
RESIZE: Final = "one more, one fewer"
RESTART: Final = "whole ring from disk"


FULL_S: Final = 1.0
"""How long a disk stays full."""


RESIZED_S: Final = 1.0
"""How long the ring has one member more."""


class Part(StrEnum):
    """What a user may choose to have played, beside the steady load."""

    KILL = "kill"
    FREEZE = "freeze"
    ROLLING = "rolling"
    FULL_DISK = "full-disk"
    RESIZE = "resize"
    RESTART = "restart"


class RingScript(Script):
    """The acts of this module that were chosen; see ``Script``."""

    def __init__(
        self,
        stage: Stage,
        parts: Collection[str],
        seconds: float,
        seed: int,
        on_phase: Callable[[Phase], None],
    ) -> None:
        super().__init__(ACTS, stage, parts, seconds, seed, on_phase)
        self._victim = self._random.choice(self._nodes.names)

    async def take_over(self, phase: Phase) -> None:
        """Kill a member."""
        await self._kill_one(phase, self._victim)

    async def kill_successor(self, phase: Phase) -> None:
        """Kill who acts for the member that was killed, once the others say that they may."""
        await self._nodes.wait_settled()
        await self._kill_one(phase, self._nodes.acting[self._victim])

    async def recover(self, phase: Phase) -> None:
        """Start what was killed; a member that is alone is killed only now."""
        self._tally.open_window()
        if len(self._nodes.names) == 1:
            async with self.struck(phase, self._victim):
                self._nodes.kill(self._victim)
                phase.recovery_s = await self._nodes.start(self._victim)
            phase.remark = f"{self._victim} killed, and ready again from its own disk"
        else:
            down = self._nodes.down
            phase.recovery_s = await self._nodes.start(*down)
            await self._nodes.wait_settled()
            phase.remark = f"{listed(down)} ready again"
        self.close_window()

    async def freeze(self, phase: Phase) -> None:
        """Stop a process until others answer for it, and let it go on."""
        victim = self._random.choice(self._nodes.names)
        async with self.struck(phase, victim):
            self._nodes.freeze(victim)
            await self._nodes.wait_acting(victim)
        actor = self._nodes.acting[victim]
        began = trio.current_time()
        self._nodes.thaw(victim)
        await self._nodes.wait_acting(victim, by=victim)
        await self._nodes.wait_settled()
        phase.recovery_s = trio.current_time() - began
        self.close_window()
        phase.remark = f"{victim} stopped, {actor} answered for it; thawed, and acting again"

    async def roll(self, phase: Phase) -> None:
        """Stop every member as for an upgrade, and start it again, one after the other."""
        slowest = 0.0
        for name in self._nodes.names:
            await self._nodes.wait_settled()
            await self._nodes.drain(name)
            slowest = max(slowest, await self._nodes.start(name))
        await self._nodes.wait_settled()
        phase.recovery_s = slowest
        failed = phase.counts.unknown + phase.counts.refused
        phase.remark = f"each drained and started again, {failed} requests failed; slowest ready"

    async def fill_disk(self, phase: Phase) -> None:
        """Let a member's disk take no more for a while."""
        victim = self._random.choice(self._nodes.names)
        self._tally.open_window()
        self._nodes.fill_disk(victim)
        await self._nodes.wait_said(victim, "store_failing")
        await trio.sleep(FULL_S)
        began = trio.current_time()
        self._nodes.free_disk(victim)
        await self._nodes.wait_said(victim, "store_healed")
        phase.recovery_s = trio.current_time() - began
        self.close_window()
        phase.remark = f"{victim}'s disk was full, and has everything again"

    async def resize(self, phase: Phase) -> None:
        """Add a member, and then remove one of those that were there from the start."""
        leaver = self._random.choice(self._nodes.names)
        joined, phase.recovery_s = await add_member(self._nodes)
        await trio.sleep(RESIZED_S)
        seconds = await remove_member(self._nodes, leaver)
        await self._nodes.wait_settled()
        self._clients.follow(self._nodes.addresses)
        failed = phase.counts.unknown + phase.counts.refused
        phase.remark = (
            f"{joined} added, {leaver} removed: gone after {seconds:.1f} s, {failed} requests "
            f"failed; {joined} ready"
        )

    async def restart(self, phase: Phase) -> None:
        """Kill all at once, and start them from their disks."""
        async with self.struck(phase, *self._nodes.names):
            self._nodes.kill(*self._nodes.names)
            phase.recovery_s = await self._nodes.start(*self._nodes.names)
        self.close_window()
        phase.remark = "all killed, and ready again from disk"

    # --- Their parts --------------------------------------------------------------------------

    async def _kill_one(self, phase: Phase, victim: str) -> None:
        homes = [home for home, actor in self._nodes.acting.items() if actor == victim]
        async with self.struck(phase, *homes):
            self._nodes.kill(victim)
            for home in homes:
                await self._nodes.wait_acting(home)
        if len(self._nodes.names) - len(self._nodes.down) >= COPIES:
            self.close_window()
        phase.remark = f"{victim} killed, {self._nodes.acting[victim]} answers for it"


ACTS: Final = (
    Act(STEADY, 0.28, None, 1, RingScript.steady),
    Act(
        *(TAKEOVER, 0.12, Part.KILL, 2, RingScript.take_over),
        away="takeover, as clients saw it",
    ),
    Act(
        *(SUCCESSOR, 0.12, Part.KILL, 3, RingScript.kill_successor),
        away="the next takeover, likewise",
    ),
    Act(
        *(RECOVERY, 0.12, Part.KILL, 1, RingScript.recover),
        away="restart, as clients saw it",
        recovery="recovery of what was killed",
    ),
    Act(
        *(FREEZE, 0.08, Part.FREEZE, 2, RingScript.freeze),
        away="a stopped process, as clients saw it",
        recovery="recovery after the thaw",
    ),
    Act(
        *(ROLLING, 0.08, Part.ROLLING, 2, RingScript.roll),
        recovery="slowest start of a rolling restart",
    ),
    Act(
        *(FULL_DISK, 0.08, Part.FULL_DISK, 1, RingScript.fill_disk),
        recovery="the disk has all again after",
    ),
    Act(
        *(RESIZE, 0.08, Part.RESIZE, 2, RingScript.resize),
        recovery="a member that was added is ready",
    ),
    Act(
        *(RESTART, 0.12, Part.RESTART, 1, RingScript.restart),
        away="restart of all, as clients saw it",
        recovery="recovery of all from disk",
    ),
)
