"""A script: what is done to a ring of real nodes, act by act, while its clients go on and on.

Rules:
- Faults happen under load, and without warning; only a planned stop is told to a node beforehand.
- An act that a ring of this size cannot play is skipped, with the reason.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from enum import StrEnum
from random import Random
from typing import Any, Final, Protocol

import trio
from attrs import field, frozen

from simulations.real_clients import Clients
from simulations.real_nodes import RealNodes
from simulations.ring_probes import Probes
from simulations.ring_tally import Phase, Tally

STEADY: Final = "steady load"


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
    part: StrEnum | None
    """By what a user chooses it; None: always played."""
    members_min: int
    play: Callable[[Any, Phase], Awaitable[None]]
    """A method of the script."""
    away: str = field(default="", kw_only=True)
    """What the times of its probes are, in words."""
    recovery: str = field(default="", kw_only=True)
    """What its recovery is, in words."""


class Script:
    """The acts that were chosen, one after the other.

    Args:
        acts: those that there are.
        stage: the ring, its clients and the counts.
        parts: which parts are played.
        seconds: how long the load lasts beside what the faults take, in all.
        seed: decides who is struck.
        on_phase: is told of each phase that is over, or was skipped.
    """

    def __init__(
        self,
        acts: Sequence[Act],
        stage: Stage,
        parts: Collection[str],
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
        self._acts = [act for act in acts if act.part is None or act.part in parts]
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
                phase.away, phase.recovery = act.away, act.recovery
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

    async def steady(self, phase: Phase) -> None:
        """Load, and nothing else."""
        await self._clients.wait_created()

    @asynccontextmanager
    async def struck(self, phase: Phase, *homes: str) -> AsyncIterator[None]:
        """Strike within the block; stay until clients have again what is of these homes."""
        probes = Probes(self._clients, frozenset(homes), self._random)
        self._tally.open_window()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(probes.run, trio.current_time())
            yield
        phase.readable_ms, phase.unavailable_ms = probes.readable_ms, probes.unavailable_ms

    def close_window(self) -> None:
        """The ring is expected to be as good as before."""
        self._tally.close_window(self._clients.now())


def listed(names: Collection[str]) -> str:
    """Return names in words."""
    return " and ".join(names)
