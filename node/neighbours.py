"""The other members of the ring, each dialled by a task of its own, as long as the ring has it.

Rules:
- The tasks come and go with the ring: a new member is dialled when the replica says so, one that
  is not in the ring any more is dialled no longer, and one that has moved at its new address next.
- Whatever connection is made greets with the ring as it is known then.
"""

from random import Random

import trio
from attrs import define, evolve

from node.dialling import Dialling
from node.driver import Driver
from node.timekeeping import Timekeeper
from node.transport import Transport
from ring.placement import Ring
from wire import Connection, Identity


@define
class _Neighbour:
    """One other member."""

    dialling: Dialling
    scope: trio.CancelScope


class Neighbours:
    """Keeps a connection to every other member.

    Args:
        identity: who this node is.
        driver: runs the replica, and every connection once it is authenticated.
        transport: dials.
        timekeeper: the node's clock.
        random: for nonces and jitter.
        timeout_s: for a connection and its handshake, in seconds, above 0.
        wait_max_s: the longest pause between two dials, in seconds, above 0.
    """

    def __init__(
        self,
        identity: Identity,
        *,
        driver: Driver,
        transport: Transport,
        timekeeper: Timekeeper,
        random: Random,
        timeout_s: float,
        wait_max_s: float,
    ) -> None:
        self._identity = identity
        self._driver = driver
        self._transport = transport
        self._timekeeper = timekeeper
        self._random = random
        self._timeout_s = timeout_s
        self._wait_max_s = wait_max_s
        self._neighbours: dict[str, _Neighbour] = {}
        self._nursery: trio.Nursery | None = None

    def start(self, ring: Ring, nursery: trio.Nursery) -> None:
        """Begin to keep connections, in ``nursery``."""
        self._nursery = nursery
        self.follow(ring)

    def follow(self, ring: Ring) -> None:
        """Dial those whom ``ring`` has, and nobody else."""
        assert self._nursery is not None
        if self._identity.name in ring.addresses:
            members = frozenset(ring.addresses)
            self._identity = evolve(
                self._identity,
                ring_version=ring.version,
                ring_digest=ring.digest,
                members=members,
            )
            others = {n: a for n, a in ring.addresses.items() if n != self._identity.name}
        else:
            others = {}
        for name in self._neighbours.keys() - others.keys():
            self._neighbours.pop(name).scope.cancel()
        for name, address in others.items():
            known = self._neighbours.get(name)
            if known is not None:
                known.dialling.move(address)
                continue
            neighbour = _Neighbour(self._dialling_for(name, address), trio.CancelScope())
            self._neighbours[name] = neighbour
            self._nursery.start_soon(_run, neighbour)

    def dial_now(self, name: str) -> None:
        """Dial a member at once, if it is not being dialled already."""
        if (neighbour := self._neighbours.get(name)) is not None:
            neighbour.dialling.dial_now()

    def new_connection(self, dialled: str | None = None) -> Connection:
        """Return this node's side of a new connection: to a member, or of whoever has dialled."""
        return Connection(
            self._identity,
            dialler=dialled is not None,
            peer=dialled,
            clock_ms=self._timekeeper.wall_ms(),
            random=self._random,
        )

    def _dialling_for(self, name: str, address: str) -> Dialling:
        return Dialling(
            name,
            address,
            transport=self._transport,
            new_connection=lambda: self.new_connection(name),
            run_link=lambda stream, link: self._driver.run_link(stream, link, dialled=name),
            on_unreachable=lambda: self._note_unreachable(name),
            on_refused=lambda: self._driver.feed(self._driver.replica.on_refused, name),
            timekeeper=self._timekeeper,
            random=self._random,
            timeout_s=self._timeout_s,
            wait_max_s=self._wait_max_s,
        )

    def _note_unreachable(self, name: str) -> None:
        replica, neighbour = self._driver.replica, self._neighbours.get(name)
        if neighbour is not None:
            began = neighbour.dialling.began
            self._driver.feed(lambda now: replica.on_unreachable(name, now, began))


async def _run(neighbour: _Neighbour) -> None:
    with neighbour.scope:
        await neighbour.dialling.run()
