"""The nodes of a ring, each at a host of its own; and when they are as one again after a cut.

Rules:
- A node's log tells of its links. A ring is *calm* when every node has said last that it is settled
  with all members, and nobody has had news of a link for longer than a dead one goes unnoticed.
- Until then a node's word may be of the past: a connection that a cut has killed in silence counts
  as alive until it has been silent for too long.
"""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from ring.placement import Member, Ring
from simulations.host_network import HostNetwork, within
from simulations.real_node import RealNode
from simulations.real_nodes import COPIES, RING_NAME, SETTLED_S, RealNodes
from simulations.ring_place import Place

CALM_S: Final = 4.0
"""More than a member may be silent (3 s), and than a handshake takes that may fail (2 s)."""

_LINK_NEWS: Final = re.compile(
    r" (link_closed|link_broken_off|dial_failed|member_up|member_down|acting|handed_back|settled)\b"
)
_SETTLED: Final = re.compile(r" settled members_up=(\d+)\b")
_ACTING: Final = re.compile(r" acting home=(\w+)")


class HostNodes(RealNodes):
    """The ring as processes, each in the namespace of its host; made by ``open_host_nodes``.

    Args:
        place: where their files are, and the group they are started in.
        network: has the hosts.
    """

    def __init__(self, place: Place, network: HostNetwork) -> None:
        super().__init__(place, len(network.hosts.members))
        self._network = network
        self.news_at = 0.0
        """When a node has last had news of a link, by trio's clock."""
        self.actors: dict[str, dict[str, None]] = {}
        """By home: who has begun to act for it since this was last cleared."""
        self._up: dict[str, int] = {}
        """How many members each node was settled with when it last said so; 0: it is not now."""
        for name, node in self.nodes.items():
            node.within = within(network.prefix, name)

    def _choose_addresses(self) -> None:
        members = (Member(name, self._network.address(name)) for name in self.names)
        self.configure(Ring(RING_NAME, tuple(members), copies=COPIES))

    def _take_line(self, node: RealNode, line: str) -> None:
        super()._take_line(node, line)
        if not (news := _LINK_NEWS.search(line)):
            return
        self.news_at = trio.current_time()
        if settled := _SETTLED.search(line):
            self._up[node.name] = int(settled[1])
        elif acting := _ACTING.search(line):
            self.actors.setdefault(acting[1], {})[node.name] = None
        elif news[1] == "member_down":
            self._up[node.name] = 0

    def is_calm(self, since: float) -> bool:
        """Return whether all are settled with all, and nothing has happened for long enough.

        Args:
            since: when the last cut was mended, by trio's clock.
        """
        settled = all(self._up.get(name) == len(self.names) for name in self.names)
        return settled and trio.current_time() > max(since, self.news_at) + CALM_S

    async def wait_calm(self) -> float:
        """Return once the ring is calm: the seconds from now until the last news of a link.

        Raises:
            NodeFailedError: it was not in time, or a member ended meanwhile.
        """
        since = trio.current_time()
        await self._wait(lambda: self.is_calm(since), SETTLED_S, "the ring has not settled")
        return max(0.0, self.news_at - since)


@asynccontextmanager
async def open_host_nodes(place: Place, network: HostNetwork) -> AsyncIterator[HostNodes]:
    """Have a ring at the hosts of a network, none started yet; none runs after the block."""
    nodes = HostNodes(place, network)
    try:
        yield nodes
    finally:
        await nodes.aclose()
