"""What a node does when the ring changes: it dials others, listens elsewhere, keeps it, or leaves.

Rules:
- What needs no waiting is done at once, before whatever the replica wants next: the new members
  are dialled by its word.
- A node that is not a member any more hands over and says so. Its block is left, or its process
  stopped, by whoever runs it.
"""

import logging
from collections.abc import Awaitable, Callable

import trio
from attrs import evolve

from node.config import NodeConfig
from node.doors import Doors
from node.listener import Reception
from node.log import log_event
from node.neighbours import Neighbours
from node.ring_file import RingFile
from ring.errors import ConfigError
from ring.placement import Ring


class Following:
    """Follows the ring that the replica has adopted.

    Args:
        config: that of the node; its ring is the one at the start.
        neighbours: the other members.
        doors: where the node listens.
        reception: keeps places for members.
        ring_file: keeps the ring; None: there is no disk, and the others tell it after a restart.
        hand_over: has the others take over, and returns when they have.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        neighbours: Neighbours,
        doors: Doors,
        reception: Reception,
        ring_file: RingFile | None,
        hand_over: Callable[[], Awaitable[None]],
    ) -> None:
        self._config = config
        self._neighbours = neighbours
        self._doors = doors
        self._reception = reception
        self._ring_file = ring_file
        self._hand_over = hand_over
        self._nursery: trio.Nursery | None = None
        self._writing = trio.Lock()
        self._latest = self._kept = config.ring
        self._is_leaving = False
        self.removed = trio.Event()
        """Set once the ring has gone on without this node, and it has handed over."""

    def start(self, nursery: trio.Nursery) -> None:
        """Do what takes time in ``nursery`` from now on."""
        self._nursery = nursery
        self._neighbours.start(self._config.ring, nursery)
        if self._config.name not in self._config.ring.names:
            nursery.start_soon(self._follow, self._config.ring)

    def adopt(self, ring: Ring) -> None:
        """Go on with ``ring``."""
        assert self._nursery is not None, "nothing is adopted before the start"
        self._latest = ring
        self._neighbours.follow(ring)
        self._reception.keep_places(2 * len(ring.addresses))
        self._nursery.start_soon(self._follow, ring)

    async def keep(self) -> None:
        """Have the ring that was adopted last on the disk, if that takes it now."""
        async with self._writing:
            ring = self._latest
            if self._ring_file is None or ring is self._kept:
                return
            if await trio.to_thread.run_sync(self._ring_file.write, ring):
                self._kept = ring

    async def _follow(self, ring: Ring) -> None:
        await self.keep()
        if self._config.name in ring.names:
            await self._listen(ring)
        elif not self._is_leaving:
            self._is_leaving = True
            await self._hand_over()
            name, version = self._config.name, ring.version
            log_event(logging.WARNING, "left_the_ring", {"node": name, "version": version})
            self.removed.set()

    async def _listen(self, ring: Ring) -> None:
        """Listen where ``ring`` says, if that is elsewhere; the old address is kept as well."""
        before = self._config.listen_addresses
        try:
            self._config = evolve(self._config, ring=ring)
            for address in self._config.listen_addresses:
                if address not in before:
                    await self._doors.add(address)
        except ConfigError as error:
            log_event(logging.WARNING, "ring_unfit_here", {"reason": str(error)})
