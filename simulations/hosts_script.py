"""What is done to a ring on hosts of its own, phase by phase: ways are cut, broken and slowed down.

Rules:
- Each fault begins when the ring is calm, and a phase ends when it is calm again.
- The judge is told who is kept apart before a cut begins, and when all have settled after it.
  What is out of reach meanwhile is excused, and everything that was acknowledged has to be there
  afterwards. Connections that break, a way that is slow for a time that no time-out notices, and
  clients that cannot reach a member excuse nothing.
- While the ring is cut in two, half of the clients are on either side, and see nobody else.
"""

from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Final

import trio
from attrs import frozen

from simulations.cuts import Cuts, Way, both_ways
from simulations.host_network import SIDES, HostNetwork
from simulations.host_nodes import HostNodes
from simulations.judge import Judge
from simulations.real_node import State
from simulations.ring_tally import Phase
from simulations.script import STEADY, Act, Script, Stage, listed
from simulations.slow_ways import open_slow_ways

ONE_WAY: Final = "one direction dead"
PAIR: Final = "a pair cut"
SPLIT: Final = "ring cut in two"
CLIENTS: Final = "clients cut off"
CABLE: Final = "a cable pulled"
SWITCH: Final = "switch off and on"
RESET: Final = "connections reset"
SLOW: Final = "slow network"

CUT_S: Final = 8.0
"""How long a cut lasts: longer than it takes to call a member down and to answer for it."""

SPLIT_S: Final = 15.0
"""How long the ring is in two: longer than it takes to deny what may be on the other side."""

SWITCH_S: Final = (1.5, 5.0)
"""How long a switch is off: first for less than a member may be silent, then for more."""

RESETS: Final = 4
RESET_S: Final = 0.75
"""From one reset of all connections to the next."""

RECONNECT_S: Final = 4.0
"""What members get to find each other again before the switch is off once more."""

SLOW_S: Final = 5.0
DELAY_S: Final = (0.02, 0.1)
"""How long a slow way takes: less than any time-out notices."""

LOUD: Final = 0.5
"""The share of the cuts that answer with resets; the others say nothing."""


class Part(StrEnum):
    """What a user may choose to have played, beside the steady load."""

    ONE_WAY = "one-way"
    PAIR = "pair"
    SPLIT = "split"
    CLIENTS = "clients"
    CABLE = "cable"
    SWITCH = "switch"
    RESET = "reset"
    SLOW = "slow"


@frozen
class Site:
    """What is beside the clients and the counts."""

    nodes: HostNodes
    network: HostNetwork
    judge: Judge


class HostsScript(Script):
    """The acts of this module that were chosen; see ``Script``.

    Args:
        site: the ring, its network, and who judges.
        stage: see ``Script``, like the rest.
    """

    def __init__(
        self,
        site: Site,
        stage: Stage,
        parts: Collection[str],
        seconds: float,
        seed: int,
        on_phase: Callable[[Phase], None],
    ) -> None:
        super().__init__(ACTS, stage, parts, seconds, seed, on_phase)
        self._hosts, self._network, self._judge = site.nodes, site.network, site.judge

    async def one_way(self, phase: Phase) -> None:
        """Lose what one member sends to another one."""
        one, other = self._random.sample(self._nodes.names, 2)
        async with self._disturbed(phase, one, other):
            await self._cut(f"from {one} to {other}", silent=frozenset({(one, other)}))
            await trio.sleep(CUT_S)
        phase.remark = f"nothing from {one} reached {other}; {self._takeovers()}"

    async def pair(self, phase: Phase) -> None:
        """Cut two members off from each other."""
        one, other = self._random.sample(self._nodes.names, 2)
        async with self._disturbed(phase, one, other):
            how = await self._part(f"{one} and {other}", both_ways([one], [other]))
            await trio.sleep(CUT_S)
        phase.remark = f"{one} and {other} {how}; {self._takeovers()}"

    async def split(self, phase: Phase) -> None:
        """Cut the ring in two, with clients on both sides."""
        names = list(self._nodes.names)
        self._random.shuffle(names)
        size = self._random.randint(1, len(names) - 1)
        some, others = sorted(names[:size]), sorted(names[size:])
        near, far = SIDES
        ways = both_ways(some, others) | {(near, name) for name in others}
        ways |= {(far, name) for name in some}
        async with self._disturbed(phase, *names):
            self._mark(min(some, others, key=len))
            how = await self._part(f"{listed(some)} from {listed(others)}", ways)
            await trio.sleep(SPLIT_S)
        phase.remark = f"{' '.join(some)} | {' '.join(others)} {how}; {self._takeovers()}"

    async def cut_clients_off(self, phase: Phase) -> None:
        """Lose what half of the clients send to a member; the members see each other."""
        victim = self._random.choice(self._nodes.names)
        async with self._disturbed(phase):
            way = (SIDES[1], victim)
            await self._cut(f"from half of the clients to {victim}", silent=frozenset({way}))
            async with self.struck(phase, victim):
                await trio.sleep(CUT_S)
        phase.remark = f"half of the clients did not reach {victim}; {self._takeovers()}"

    async def pull_cable(self, phase: Phase) -> None:
        """Take a member's cable out; the others answer for it, and it for all."""
        victim = self._random.choice(self._nodes.names)
        async with self._disturbed(phase, *self._nodes.names):
            self._mark([victim])
            await self._unplug(victim)
            async with self.struck(phase, victim):
                await trio.sleep(CUT_S)
        phase.remark = f"{victim}'s cable out and in again; {self._takeovers()}"

    async def switch_off(self, phase: Phase) -> None:
        """Take all cables out: for a moment, and then until everybody believes to be alone."""
        async with self._disturbed(phase, *self._nodes.names):
            for off_s in SWITCH_S:
                self._mark(self._nodes.names)
                await self._unplug(*self._nodes.names)
                await trio.sleep(off_s)
                await self._mend()
                await trio.sleep(RECONNECT_S)
        phase.remark = f"off for {SWITCH_S[0]:g} and {SWITCH_S[1]:g} s; {self._takeovers()}"

    async def reset(self, phase: Phase) -> None:
        """Break every connection, a few times."""
        async with self._disturbed(phase):
            for _ in range(RESETS):
                await self._cut("every connection", renew=True)
                await trio.sleep(RESET_S)
        failed = phase.counts.unknown + phase.counts.refused
        phase.remark = f"every connection, {RESETS} times; {failed} requests failed; one again"

    async def slow_down(self, phase: Phase) -> None:
        """Have the members reach each other by slow ways only."""
        delay_s = self._random.uniform(*DELAY_S)
        what = f"{delay_s * 1000:.0f} ms in each direction"
        slow_ways = open_slow_ways(self._network, self._nodes.place, delay_s)
        async with slow_ways, self._disturbed(phase):
            await self._cut(what, slow=frozenset(self._nodes.names), renew=True)
            await trio.sleep(SLOW_S)
            await self._cut("every slow connection", renew=True)
        phase.remark = f"{what} between members; {self._takeovers()}"

    # --- Their parts --------------------------------------------------------------------------

    @asynccontextmanager
    async def _disturbed(self, phase: Phase, *apart: str) -> AsyncIterator[None]:
        """Disturb the ring within the block; then mend all, and stay until it is calm.

        Args:
            phase: gets how long that took.
            apart: the members that may not reach each other meanwhile.
        """
        self._tally.open_window()
        self._hosts.actors.clear()
        if apart:
            self._judge.budget.on_apart(apart)
            self._judge.have_all_met = False
        yield
        await self._mend()
        phase.recovery_s = await self._hosts.wait_calm()
        if apart:
            self._judge.budget.on_settled(self._nodes.names)
            self._judge.have_all_met = True
        self.close_window()

    async def _part(self, whom: str, ways: frozenset[Way]) -> str:
        """Cut ways off, in silence or not; return in words which of the two it was."""
        if self._random.random() < LOUD:
            await self._cut(f"{whom}, with resets", refused=ways)
            return "refused each other"
        await self._cut(f"{whom}, in silence", silent=ways)
        return "parted in silence"

    async def _cut(
        self,
        what: str,
        *,
        silent: frozenset[Way] = frozenset(),
        refused: frozenset[Way] = frozenset(),
        slow: frozenset[str] = frozenset(),
        renew: bool = False,
    ) -> None:
        """Let these stand between the hosts; ``renew``: break the connections that there are."""
        self._nodes.note(f"cut or slowed down: {what}")
        await self._network.cut(Cuts(silent, refused, slow, self._network.cuts.era + renew))

    async def _unplug(self, *names: str) -> None:
        self._nodes.note(f"took out the cables of {', '.join(names)}")
        await self._network.plug(names)

    async def _mend(self) -> None:
        self._nodes.note("mended all")
        await self._network.cut(Cuts(era=self._network.cuts.era))
        await self._network.plug(())
        for node in self._nodes.nodes.values():
            node.state = State.READY

    def _mark(self, names: Collection[str]) -> None:
        """Show these as cut off."""
        for name in names:
            self._nodes.nodes[name].state = State.CUT_OFF

    def _takeovers(self) -> str:
        """Return in words how often one began to act for another, and that this is over."""
        number = sum(len(set(actors) - {home}) for home, actors in self._hosts.actors.items())
        return f"{number} {'takeover' if number == 1 else 'takeovers'}; one again"


ACTS: Final = (
    Act(STEADY, 0.2, None, 1, HostsScript.steady),
    Act(
        *(ONE_WAY, 0.1, Part.ONE_WAY, 2, HostsScript.one_way), recovery="one again after a dead way"
    ),
    Act(*(PAIR, 0.1, Part.PAIR, 2, HostsScript.pair), recovery="one again after a cut pair"),
    Act(*(SPLIT, 0.1, Part.SPLIT, 2, HostsScript.split), recovery="one again after two halves"),
    Act(
        *(CLIENTS, 0.1, Part.CLIENTS, 2, HostsScript.cut_clients_off),
        away="a member that half cannot reach",
    ),
    Act(
        *(CABLE, 0.1, Part.CABLE, 2, HostsScript.pull_cable),
        away="a pulled cable, as clients saw it",
        recovery="one again after a pulled cable",
    ),
    Act(
        *(SWITCH, 0.1, Part.SWITCH, 1, HostsScript.switch_off),
        recovery="one again after the switch was off",
    ),
    Act(*(RESET, 0.1, Part.RESET, 1, HostsScript.reset), recovery="one again after resets"),
    Act(*(SLOW, 0.1, Part.SLOW, 2, HostsScript.slow_down), recovery="one again after slow ways"),
)
