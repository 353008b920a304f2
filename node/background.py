"""Tasks of ours behind a block of the application's: ``async with open_node(...)`` and its like.

Rules:
- What the block raises comes out as it is, not inside a group, as if there were no tasks.
- When the block is left, the tasks are cancelled.
- What a task raises cancels the block and comes out as a group: it is a bug, and loud.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose tasks live as long as the block."""
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            yield nursery
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below, outside the nursery
            raised = error
        nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised
