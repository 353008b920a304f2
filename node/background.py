"""Tasks of ours behind a block of the application's: ``async with open_node(...)`` and its like.

Rules:
- What the block raises comes out as it is, not inside a group, as if there were no tasks.
- The tasks live until the block has been left, also when the block is cancelled from outside: so
  that what the block does last, such as saying good-bye, still has them.
- What a task raises cancels the block and comes out as a group: it is a bug, and loud.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio


@asynccontextmanager
async def background_nursery() -> AsyncIterator[trio.Nursery]:
    """Open a nursery whose tasks live as long as the block, and are cancelled then."""
    raised: BaseException | None = None
    shield = trio.CancelScope(shield=True)
    holding = _Holding()
    async with trio.open_nursery() as around:
        # Not by `start`, which waits for its task, and a shielded one would not hear the cancel.
        around.start_soon(holding.run, shield)
        try:
            await holding.opened.wait()
            yield holding.nursery
        except trio.Cancelled:
            raise
        except BaseException as error:  # noqa: BLE001 - raised again below, outside the nursery
            raised = error
        finally:
            shield.cancel()
    if raised is not None:
        raise raised


class _Holding:
    """A task that holds a nursery open until its shield is cancelled."""

    nursery: trio.Nursery

    def __init__(self) -> None:
        self.opened = trio.Event()

    async def run(self, shield: trio.CancelScope) -> None:
        with shield:
            async with trio.open_nursery() as self.nursery:
                self.opened.set()
                await trio.sleep_forever()
