"""What an application writes at the node in its process, timed, as fast as it can.

Rules:
- A change is of one attribute, as a request makes it, or of all of them: as much as a store of
  values is given with each write.
- Each value is a new one: what is assigned anew and is equal would not be sent.
- An acknowledged write whose receipt is degraded is no result: the run ends.
"""

import time
from collections.abc import Iterator
from itertools import cycle, islice
from statistics import median
from typing import Final

import msgpack
import trio

from benchmarks.payload import ATTRIBUTES, attributes
from node import Node, Session

_KEPT: Final = 1000
"""Ids that are kept for reads; those of a million would be memory that is not the node's."""

_FRESH: Final = 61
"""Contents that are prepared, to be written in turn; a prime, so that no session gets its last one
again unless there are as many sessions."""

_AT_ONCE: Final = 64


class Writes:
    """Writes at one node.

    Args:
        node: in this process.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self.ids: list[str] = []
        """Of the sessions that were created last, not all of them."""

    async def create(self, count: int, session_bytes: int) -> float:
        """Create sessions of this size, many at a time; return the seconds until a backup has all.

        They are created with durability "local"; the last one waits for the backup, which has all
        others then: they go in this order.
        """
        began = time.monotonic()
        contents = _contents(session_bytes, "all")

        async def some(number: int) -> None:
            for _ in range(number):
                await self._create(next(contents), "local")

        async with trio.open_nursery() as nursery:
            for task in range(_AT_ONCE):
                nursery.start_soon(some, (count - 1) // _AT_ONCE + (task < (count - 1) % _AT_ONCE))
        await self._create(next(contents), "backup")
        return time.monotonic() - began

    async def _create(self, content: dict[str, str], durability: str) -> None:
        session = self._node.sessions.create()
        session.update(content)
        await session.save(durability=durability)
        if len(self.ids) < _KEPT:
            self.ids.append(session.id)
        await trio.lowlevel.checkpoint()

    async def latency(self, change: str, session_bytes: int, seconds: float) -> float:
        """Return the median time of an acknowledged write by one writer, in microseconds."""
        (session,) = await self._found(1)
        times: list[int] = []
        until = time.monotonic() + seconds
        for content in _contents(session_bytes, change):
            began = time.perf_counter_ns()
            session.update(content)
            receipt = await session.save()
            times.append(time.perf_counter_ns() - began)
            assert not receipt.degraded, "a write was not acknowledged"
            if time.monotonic() > until:
                break
        return median(times) / 1e3

    async def rate(self, writers: int, change: str, session_bytes: int, seconds: float) -> float:
        """Return how many acknowledged writes so many writers make in a second."""
        sessions = await self._found(writers)
        contents = _contents(session_bytes, change)
        done = 0
        began = time.monotonic()

        async def write_on(session: Session) -> None:
            nonlocal done
            while time.monotonic() < began + seconds or not done:
                session.update(next(contents))
                receipt = await session.save()
                assert not receipt.degraded, "a write was not acknowledged"
                done += 1

        async with trio.open_nursery() as nursery:
            for session in sessions:
                nursery.start_soon(write_on, session)
        return done / (time.monotonic() - began)

    async def stream(self, change: str, session_bytes: int, seconds: float) -> float:
        """Return how many changes in a second reach the backup, acknowledged to nobody.

        The last one waits for the backup. No session is changed twice before the first change of
        it was sent, or the two would be one.
        """
        sessions = await self._found(len(self.ids))
        turn = cycle(sessions)
        contents = _contents(session_bytes, change)
        done = 0
        began = time.monotonic()
        while time.monotonic() < began + seconds or not done:
            for session in islice(turn, _AT_ONCE):
                session.update(next(contents))
                await session.save(durability="local")
                done += 1
            await trio.lowlevel.checkpoint()
        last = next(turn)
        last.update(next(contents))
        receipt = await last.save()
        assert not receipt.degraded, "a change was not acknowledged"
        return (done + 1) / (time.monotonic() - began)

    async def write(self, count: int, change: str, session_bytes: int, durability: str) -> int:
        """Write so many changes; return how many bytes the values of each have, packed."""
        sessions = await self._found(len(self.ids))
        contents = _contents(session_bytes, change)
        for session, content in zip(islice(cycle(sessions), count - 1), contents, strict=False):
            session.update(content)
            await session.save(durability=durability)
            await trio.lowlevel.checkpoint()
        content = next(contents)
        sessions[-1].update(content)
        await sessions[-1].save()
        return sum(len(msgpack.packb(value)) for value in content.values())

    async def _found(self, count: int) -> list[Session]:
        found = [await self._node.sessions.find(each) for each in islice(cycle(self.ids), count)]
        return [each for each in found if each is not None]


def _contents(session_bytes: int, change: str) -> Iterator[dict[str, str]]:
    """Return what to assign, again and again; ``change`` is "one" attribute or "all"."""
    prepared = [attributes(session_bytes) for _ in range(_FRESH)]
    if change == "one":
        prepared = [{ATTRIBUTES[3]: each[ATTRIBUTES[3]]} for each in prepared]
    return cycle(prepared)
