"""Turns: what is done to one session is done in the order in which it was begun.

Rule: sessions do not wait for each other, and one that nobody waits for costs a place in a dict.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from ring.identity import SessionId
from ring.messages import Failed, Failure, Request


def turn_never_came(request: Request) -> Failed:
    """Return the answer to a request that had to wait for others until its deadline. Definite."""
    reason = "an earlier change of the session is still under way"
    return Failed(request.number, Failure.UNAVAILABLE, reason)


class Turns:
    """For each session, one turn at a time, in the order of asking."""

    def __init__(self) -> None:
        self._queues: dict[SessionId, deque[trio.Event]] = {}

    async def enter(self, session_id: SessionId) -> None:
        """Wait for a turn, which lasts until `leave`. No checkpoint if there is nobody before.

        If cancelled, no turn was taken.
        """
        queue = self._queues.get(session_id)
        if queue is None:
            self._queues[session_id] = deque()
            return
        turn = trio.Event()
        queue.append(turn)
        try:
            await turn.wait()
        except BaseException:
            if turn.is_set():
                self.leave(session_id)
            else:
                queue.remove(turn)
            raise

    def leave(self, session_id: SessionId) -> None:
        """End the turn; the next one in the queue has it."""
        queue = self._queues[session_id]
        if queue:
            queue.popleft().set()
        else:
            del self._queues[session_id]

    @asynccontextmanager
    async def within(self, session_id: SessionId, deadline: float) -> AsyncIterator[bool]:
        """Have a turn for the block, if it comes by ``deadline`` (trio's clock).

        Yields:
            Whether it is this caller's turn; False: the deadline has passed before.
        """
        if session_id not in self._queues:
            self._queues[session_id] = deque()  # As ``enter`` does, without a deadline.
        else:
            with trio.move_on_at(deadline) as scope:
                await self.enter(session_id)
            if scope.cancelled_caught:
                yield False
                return
        try:
            yield True
        finally:
            self.leave(session_id)

    def __len__(self) -> int:
        return len(self._queues)
