"""One life of a simulated node: its replica, its clocks, its connections, and what waits for it."""

from collections.abc import Callable
from math import inf
from typing import Any, Final

from attrs import Factory, define, field

from ring import LinkId, Replica
from ring.identity import Incarnation
from ring.messages import Greeting
from simulations.ears import Ears
from simulations.plan import Clocks
from simulations.ways import Connection, End

WALL_MS: Final = 1_700_000_000_000
"""The true time of the world at its beginning."""


@define(eq=False)
class Process:
    """One life of a node: from its start to its end."""

    name: str
    replica: Replica
    started_at: float
    clocks: Clocks
    alive: bool = True
    frozen: bool = False
    frozen_at: float = inf
    waiting: list[Callable[[], None]] = field(factory=list)
    """What a frozen process will find to do."""
    asked: list[Callable[[], None]] = field(factory=list)
    """What the application in it will ask first."""
    connections: dict[LinkId, tuple[Connection, End]] = field(factory=dict)
    redialling: set[str] = field(factory=set)
    linked: dict[str, LinkId] = field(factory=dict)
    """By member: the latest connection that this process dialled."""
    replies: dict[int, Callable[[Any], None]] = field(factory=dict)
    ears: Ears | None = None
    """Of its application; None: it listens to nothing."""
    tick_at: float = inf
    """When its timer rings, in true time; inf: not at all."""
    tick_due: float = inf
    """The same as its replica has said it, by its own monotonic clock."""
    incarnation: Incarnation = Incarnation(0)
    wall_ahead_s: float = 0.0
    """Of true time: its wall clock when it was read, at the start."""

    rate: float = Factory(lambda self: 1 + self.clocks.drift, takes_self=True)
    """Seconds that its monotonic clock goes on in a second."""

    def clock(self, true_time: float) -> float:
        """Return this node's monotonic clock."""
        return true_time * self.rate

    def greeting(self, true_time: float) -> Greeting:
        """Return what its hello shows."""
        clock_ms = WALL_MS + int((true_time + self.wall_ahead_s) * 1000)
        return Greeting(self.incarnation, clock_ms, self.replica.ring.version)

    def has_frames(self) -> bool:
        """Return whether something that it has sent is on its way."""
        return any(end.queue for _, end in self.connections.values())

    def is_linked_to(self, far: "Process") -> bool:
        """Return whether the latest connection that it dialled to another process lives."""
        link = self.linked.get(far.name)
        if link not in self.connections:
            return False
        connection, _ = self.connections[link]
        return connection.alive and connection.acceptor.link in far.connections

    def true_time(self, reading: float) -> float:
        """Return when this node's monotonic clock shows ``reading``."""
        return reading / self.rate
