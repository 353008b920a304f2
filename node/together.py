"""Several things at the same time, though not all of them at once; and time that passes."""

from collections.abc import Awaitable, Callable, Sequence

import trio


class Together:
    """What a backend that runs under trio does with time; see ``node.receipts.Backend``."""

    async def perform_all(
        self, works: Sequence[Callable[[], Awaitable[None]]], at_once_max: int
    ) -> None:
        """Do all of this, up to ``at_once_max`` at the same time; return when all is done.

        What one of them raises ends the others, and is raised in a group.
        """
        waiting = iter(works)

        async def work_on() -> None:
            for work in waiting:
                await work()

        async with trio.open_nursery() as nursery:
            for _ in range(min(at_once_max, len(works))):
                nursery.start_soon(work_on)

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await trio.sleep(seconds)
