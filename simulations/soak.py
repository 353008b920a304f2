"""A soak: sessions come and go in a real ring for minutes, and its memory stays flat.

Rules:
- Retention is short, so that what is remembered of ended sessions has its full size long before
  the figures begin that are compared.
- What counts is each node's resident memory as the system tells it, at the end of each minute.
"""

import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Final

import trio
from attrs import define, field, frozen

from node import Session, open_client
from node.client import Client
from ring.errors import SessionRingError
from simulations.local_ring import unless_told
from simulations.real_nodes import RealNodes, open_nodes
from simulations.ring_place import Place, open_place

MINUTE_S: Final = 60.0
FLAT: Final = 1.05
"""What a node may take at the end, as a multiple of what it took after ``BASE_MINUTE``."""

BASE_MINUTE: Final = 2
SETTINGS: Final = '[node]\nretention = "60s"\nsweep = "5s"\n'

MAX_IDLE_S: Final = 2.0
LEFT_TO_EXPIRE: Final = 0.1
"""The share of the sessions that nobody ends."""

PAUSE_S: Final = (0.2, 1.5)
"""Between two uses of a session; it does not expire meanwhile."""

VALUE_BYTES: Final = (10, 400)


@frozen
class Options:
    """What the user asked for."""

    nodes: int
    minutes: int
    rate: float
    """Sessions created in a second."""
    seed: int


@define
class Outcome:
    """What came of it."""

    created: int = 0
    ended: int = 0
    failed: int = 0
    kib: dict[str, list[int]] = field(factory=dict)
    """By node: its resident memory in KiB after each minute."""

    def growth(self) -> dict[str, float]:
        """Return, for each node, its memory in the end as a multiple of that of minute 2."""
        return {name: kib[-1] / kib[BASE_MINUTE - 1] for name, kib in self.kib.items()}

    @property
    def ok(self) -> bool:
        """Whether memory stayed flat everywhere."""
        return all(growth <= FLAT for growth in self.growth().values())


Say = Callable[[str], None]


def soak(options: Options, say: Say) -> Outcome | int:
    """Have sessions come and go; return the figures, or the number of the signal that ended it.

    Raises:
        NodeFailedError: a node ended by itself, or did not become ready.
    """
    with open_place(None) as place:
        return unless_told(lambda: _soak(options, place, say))


async def _soak(options: Options, place: Place, say: Say) -> Outcome:
    outcome = Outcome()
    async with open_nodes(place, options.nodes, SETTINGS) as nodes:
        await nodes.start_ring()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nodes.watch)
            async with open_client(*nodes.addresses, secrets=[nodes.secret]) as client:
                await client.wait_linked(options.nodes)
                churn = Churn(client, outcome, options.rate, Random(options.seed))
                nursery.start_soon(churn.run)
                for minute in range(1, options.minutes + 1):
                    await trio.sleep(MINUTE_S)
                    _measure(nodes, outcome)
                    figures = ", ".join(
                        f"{name} {kib[-1] / 1024:.1f} MiB" for name, kib in outcome.kib.items()
                    )
                    say(
                        f"minute {minute}: {figures}; {outcome.created} sessions created, "
                        f"{outcome.ended} ended, {outcome.failed} requests failed"
                    )
                nursery.cancel_scope.cancel()
    return outcome


def _measure(nodes: RealNodes, outcome: Outcome) -> None:
    for name, node in nodes.nodes.items():
        assert node.process is not None
        outcome.kib.setdefault(name, []).append(resident_kib(node.process.pid))


def resident_kib(pid: int) -> int:
    """Return what a process has in memory, in KiB; from Linux's /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


class Churn:
    """Creates, changes, reads and ends sessions at a steady rate.

    Args:
        client: of the ring.
        outcome: is counted in.
        rate: sessions created in a second.
        random: decides what becomes of each.
    """

    def __init__(self, client: Client, outcome: Outcome, rate: float, random: Random) -> None:
        self._client = client
        self._outcome = outcome
        self._rate = rate
        self._random = random

    async def run(self) -> None:
        """Go on until cancelled."""
        began, number = trio.current_time(), 0
        async with trio.open_nursery() as nursery:
            while True:
                number += 1
                await trio.sleep_until(began + number / self._rate)
                nursery.start_soon(self._live)

    async def _live(self) -> None:
        """Be one session, from its creation to its end, if it gets one."""
        random = self._random
        try:
            session = self._client.sessions.create(max_idle=MAX_IDLE_S)
            await self._change(session)
            self._outcome.created += 1
            for _ in range(random.randint(1, 3)):
                await trio.sleep(random.uniform(*PAUSE_S))
                found = await self._client.sessions.find(session.id)
                if found is None:
                    self._outcome.failed += 1
                    return
                await self._change(found)
            if random.random() >= LEFT_TO_EXPIRE:
                await self._client.sessions.end(session.id)
                self._outcome.ended += 1
        except SessionRingError:
            self._outcome.failed += 1

    async def _change(self, session: Session) -> None:
        random = self._random
        key = f"key {random.randint(1, 5)}"
        if key in session and random.random() < 0.3:
            del session[key]
        else:
            session[key] = random.randbytes(random.randint(*VALUE_BYTES))
        await session.save()
