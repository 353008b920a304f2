"""What an application reads from the node in its process, timed one by one."""

import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import cycle
from statistics import median
from typing import Final, TypeVar

import trio

from benchmarks.payload import ATTRIBUTES
from node import Node, Session, SessionUnavailableError

T = TypeVar("T")

_AT_ONCE: Final = 64
"""Reads between two checkpoints, which no read makes: a server reads once in a request."""

_PAUSE_S: Final = 0.001


class Reads:
    """Reads at one node.

    Args:
        node: in this process.
        ids: of the sessions that are read.
    """

    def __init__(self, node: Node, ids: Sequence[str]) -> None:
        self._node = node
        self._ids = ids

    async def latency(self, what: str, seconds: float) -> float:
        """Return the median time of a read, in microseconds.

        Args:
            what: "session": a whole session, all its attributes. "attribute": one of them.
                "again": one of them, of a session that was read just before.
            seconds: for how long to read.
        """
        read = self._whole if what == "session" else self._attribute
        ids = cycle(self._ids[:1] if what == "again" else self._ids)
        times: list[int] = []
        until = time.monotonic() + seconds
        while time.monotonic() < until or not times:
            for _, session_id in zip(range(_AT_ONCE), ids, strict=False):
                began = time.perf_counter_ns()
                await read(session_id)
                times.append(time.perf_counter_ns() - began)
            await trio.lowlevel.checkpoint()
        return median(times) / 1e3

    async def many(self, count: int) -> None:
        """Read whole sessions, one after the other, and wait for nothing."""
        for _, session_id in zip(range(count), cycle(self._ids), strict=False):
            await self._whole(session_id)

    async def values(self, ids: Sequence[str]) -> list[str]:
        """Return the first attribute of each session as this node's own copy has it."""
        sessions = [await self._node.sessions.find(each, read="local") for each in ids]
        return [str(each[ATTRIBUTES[0]]) if each is not None else "" for each in sessions]

    async def await_taken_over(self, ids: Sequence[str]) -> dict[str, float]:
        """Return when all these sessions could be read, and written, by the monotonic clock."""
        found = [await self._wait_found(each) for each in ids]
        readable = time.monotonic()
        for session in found:
            session[ATTRIBUTES[0]] = "written by the successor"
            await _until(session.save)
        return {"readable": readable, "writable": time.monotonic()}

    async def _whole(self, session_id: str) -> dict[str, object]:
        session = await self._node.sessions.find(session_id)
        assert session is not None
        return dict(session)

    async def _attribute(self, session_id: str) -> object:
        session = await self._node.sessions.find(session_id)
        assert session is not None
        return session[ATTRIBUTES[3]]

    async def _wait_found(self, session_id: str) -> Session:
        async def find() -> Session | None:
            return await self._node.sessions.find(session_id)

        session = await _until(find)
        assert session is not None, "a session was lost with its owner"
        return session


async def _until(attempt: Callable[[], Awaitable[T]]) -> T:
    """Try again until it is known who has the session."""
    while True:
        try:
            return await attempt()
        except SessionUnavailableError:
            await trio.sleep(_PAUSE_S)
