"""What is done to a local ring, phase by phase, while its clients go on and on.

Rules:
- Faults happen under load, and without warning; only a planned stop is told to a node beforehand.
- A fault window is open from the fault until the ring is expected to be as good as before: until
  every probe has succeeded, if enough members live to hold every copy; else until the member is
  ready again.
- A phase that a ring of this size cannot play is skipped, with the reason.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from enum import StrEnum
from random import Random
from typing import Final, Protocol

import trio
from attrs import frozen

from simulations.real_clients import Clients
from simulations.real_nodes import COPIES, RealNodes
from simulations.resizing import add_member, remove_member
from simulations.ring_probes import Probes
from simulations.ring_tally import Phase, Tally

STEADY: Final = "steady load"
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


class Stage(Protocol):
    """What a script plays on."""

    @property
    def nodes(self) -> RealNodes:
        """The ring."""

    @property
    def clients(self) -> Clients:
        """Its load."""

    @property
    def tally(self) -> Tally:
        """Where everything is counted."""


@frozen
class Act:
    """One phase as it is written down."""

    name: str
    weight: float
    """Its share of the time of the load, among those that are played."""
    part: Part | None
    """None: always played."""
    members_min: int
    play: Callable[["Script", Phase], Awaitable[None]]


class Script:
    """The acts that were chosen, one after the other.

    Args:
        stage: the ring, its clients and the counts.
        parts: which parts are played.
        seconds: how long the load lasts beside what the faults take, in all.
        seed: decides who is struck.
        on_phase: is told of each phase that is over, or was skipped.
    """

    def __init__(
        self,
        stage: Stage,
        parts: Collection[Part],
        seconds: float,
        seed: int,
        on_phase: Callable[[Phase], None],
    ) -> None:
        self._nodes = stage.nodes
        self._clients = stage.clients
        self._tally = stage.tally
        self._on_phase = on_phase
        self._seconds = seconds
        self._random = Random(f"{seed}/kills".encode())
        self._victim = self._random.choice(self._nodes.names)
        self._acts = [act for act in ACTS if act.part is None or act.part in parts]
        self._progress = 0.0

    @property
    def names(self) -> list[str]:
        """The phases, in their order."""
        return [act.name for act in self._acts]

    async def play(self) -> None:
        """Play every act under load."""
        members = len(self._nodes.names)
        played = sum(act.weight for act in self._acts if act.members_min <= members)
        async with trio.open_nursery() as loading:
            loading.start_soon(self._clients.run)
            for act in self._acts:
                phase = self._tally.begin(act.name)
                if members < act.members_min:
                    phase.skipped = f"needs {act.members_min} members or more"
                else:
                    await self._play(act, phase, act.weight / played)
                self._on_phase(phase)
            self._clients.stop()

    async def _play(self, act: Act, phase: Phase, share: float) -> None:
        """Play an act, and then go on with the load for its share of the time."""
        began = trio.current_time()
        self._progress += share
        self._clients.progress_max = min(1.0, self._progress)
        await act.play(self, phase)
        await trio.sleep(share * self._seconds)
        phase.seconds = trio.current_time() - began

    # --- The acts -----------------------------------------------------------------------------

    async def steady(self, phase: Phase) -> None:
        """Load, and nothing else."""
        await self._clients.wait_created()

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
            async with self._struck(phase, self._victim):
                self._nodes.kill(self._victim)
                phase.recovery_s = await self._nodes.start(self._victim)
            phase.remark = f"{self._victim} killed, and ready again from its own disk"
        else:
            down = self._nodes.down
            phase.recovery_s = await self._nodes.start(*down)
            await self._nodes.wait_settled()
            phase.remark = f"{_listed(down)} ready again"
        self._close_window()

    async def freeze(self, phase: Phase) -> None:
        """Stop a process until others answer for it, and let it go on."""
        victim = self._random.choice(self._nodes.names)
        async with self._struck(phase, victim):
            self._nodes.freeze(victim)
            await self._nodes.wait_acting(victim)
        actor = self._nodes.acting[victim]
        began = trio.current_time()
        self._nodes.thaw(victim)
        await self._nodes.wait_acting(victim, by=victim)
        await self._nodes.wait_settled()
        phase.recovery_s = trio.current_time() - began
        self._close_window()
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
        self._close_window()
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
        async with self._struck(phase, *self._nodes.names):
            self._nodes.kill(*self._nodes.names)
            phase.recovery_s = await self._nodes.start(*self._nodes.names)
        self._close_window()
        phase.remark = "all killed, and ready again from disk"

    # --- Their parts --------------------------------------------------------------------------

    async def _kill_one(self, phase: Phase, victim: str) -> None:
        homes = [home for home, actor in self._nodes.acting.items() if actor == victim]
        async with self._struck(phase, *homes):
            self._nodes.kill(victim)
            for home in homes:
                await self._nodes.wait_acting(home)
        if len(self._nodes.names) - len(self._nodes.down) >= COPIES:
            self._close_window()
        phase.remark = f"{victim} killed, {self._nodes.acting[victim]} answers for it"

    @asynccontextmanager
    async def _struck(self, phase: Phase, *homes: str) -> AsyncIterator[None]:
        """Strike within the block; stay until clients have again what is of these homes."""
        probes = Probes(self._clients, frozenset(homes), self._random)
        self._tally.open_window()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(probes.run, trio.current_time())
            yield
        phase.readable_ms, phase.unavailable_ms = probes.readable_ms, probes.unavailable_ms

    def _close_window(self) -> None:
        self._tally.close_window(self._clients.now())


def _listed(names: Collection[str]) -> str:
    return " and ".join(names)


ACTS: Final = (
    Act(STEADY, 0.28, None, 1, Script.steady),
    Act(TAKEOVER, 0.12, Part.KILL, 2, Script.take_over),
    Act(SUCCESSOR, 0.12, Part.KILL, 3, Script.kill_successor),
    Act(RECOVERY, 0.12, Part.KILL, 1, Script.recover),
    Act(FREEZE, 0.08, Part.FREEZE, 2, Script.freeze),
    Act(ROLLING, 0.08, Part.ROLLING, 2, Script.roll),
    Act(FULL_DISK, 0.08, Part.FULL_DISK, 1, Script.fill_disk),
    Act(RESIZE, 0.08, Part.RESIZE, 2, Script.resize),
    Act(RESTART, 0.12, Part.RESTART, 1, Script.restart),
)
