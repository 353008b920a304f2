"""A planned stop: what this node has is handed over, and its clients go elsewhere, before it ends.

Rules:
- Until then everything is served as before; who can ask another member is told to.
- Where there is nobody to hand over to, its disk takes everything, if it can.
- It ends at a deadline in any case, and says what could not be handed over.
- A node that is stopped by a bug, or whose tasks are gone, has nothing to hand over any more.
"""

import logging
from collections.abc import Callable
from typing import Final

import trio

from node.driver import Driver
from node.listener import Reception
from node.log import log_event
from node.persisting import Persisting

LOOK_S: Final = 0.02
"""How often a draining node looks whether it may stop."""

CLIENTS_LEAVE_S: Final = 1.0
"""What clients get, once everything is handed over, to end their connections themselves."""


async def hand_over(
    driver: Driver,
    reception: Reception,
    persisting: Persisting | None,
    lives: Callable[[], bool],
    timeout_s: float,
) -> None:
    """Have the others take over; return when they have, or after ``timeout_s``.

    Args:
        driver: runs the replica that is to leave.
        reception: knows how many clients are connected.
        persisting: brings what has changed to the disk; None: there is none.
        lives: tells whether the node's tasks still run.
        timeout_s: seconds until the node stops with or without the others, above 0.
    """
    replica = driver.replica
    if not lives():
        return

    def only_here() -> int:
        """Return how many sessions would be nowhere if the node stopped now."""
        return persisting.dirty if persisting is not None and replica.is_last else 0

    began = trio.current_time()
    driver.feed(replica.drain)

    def is_handed_over() -> bool:
        return (replica.drained and not only_here()) or not lives()

    with trio.move_on_after(timeout_s):
        await _wait_until(is_handed_over)
        with trio.move_on_after(CLIENTS_LEAVE_S):
            await _wait_until(lambda: not reception.clients or not lives())
        # What was asked here while clients left is answered as well.
        await _wait_until(is_handed_over)
    if not lives():
        return
    fields: dict[str, str | int | float | bool] = {
        "after_s": round(trio.current_time() - began, 3),
        **replica.undrained(),
    }
    if lacking := only_here():
        fields["sessions"] = lacking
    if replica.drained and not lacking:
        log_event(logging.INFO, "drained", fields)
    else:
        log_event(logging.WARNING, "drain_incomplete", fields)


async def _wait_until(condition: Callable[[], bool]) -> None:
    # Any message may bring it about, and an event would have every one of them look.
    while not condition():  # noqa: ASYNC110
        await trio.sleep(LOOK_S)
