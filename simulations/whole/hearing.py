"""What the application in a process at level 2 makes of events: one after the other."""

from random import Random
from typing import Protocol

import trio

from node.events import Event
from node.node import Node
from ring import SessionId, Stamp
from ring.announcements import Announcement, EventKind, Takeover
from simulations.whole.life import Life


class Hall(Protocol):
    """Who notes what is heard."""

    def note_heard(self, name: str, life: int, what: Announcement | Takeover) -> None:
        """The application in a process is told of a session."""


async def hear(
    life: Life, hall: Hall, random: Random, listening_s: tuple[float, float], node: Node
) -> None:
    """Listen as long as the process lives.

    Args:
        life: of the process.
        hall: notes what it hears.
        random: draws for how long it is busy with each.
        listening_s: at least and at most.
        node: its node.
    """
    async with node.events() as events:
        async for event in events:
            if not life.alive:
                return
            hall.note_heard(life.name, round(1000 * life.started_at), _announcement_of(event))
            await trio.sleep(random.uniform(*listening_s))


def _announcement_of(event: Event) -> Announcement:
    """Return what the replica has announced, as the application was told."""
    return Announcement(
        SessionId(event.session_id.encode()),
        EventKind[event.kind.name],
        Stamp(event.stamp),
        event.session.portable,
        SessionId(event.new_id.encode()) if event.new_id is not None else None,
    )
