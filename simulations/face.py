"""What faults, clients, checkers and people ask of a simulated ring, whichever level it is.

At level 1 the replicas alone are real (``world``), at level 2 the whole nodes are (``whole``).
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ring import Record, Replica, Ring, SessionId
from ring.announcements import Announcement, Takeover
from simulations.ground import Ground
from simulations.plan import Plan, Trigger
from simulations.scheduler import Scheduler
from simulations.ways import Road


class AnyProcess(Protocol):
    """One life of a node."""

    name: str
    replica: Replica
    started_at: float
    alive: bool
    frozen: bool
    frozen_at: float

    def clock(self, true_time: float) -> float:
        """Return this node's monotonic clock."""

    def has_frames(self) -> bool:
        """Return whether something that it has sent is on its way."""

    def is_linked_to(self, far: Any) -> bool:
        """Return whether the latest connection that it dialled to another process lives."""


class AnyDisk(Protocol):
    """One node's disk, through all its lives."""

    failing: int
    """Faults because of which it takes nothing now."""
    slowness: float

    @property
    def is_idle(self) -> bool:
        """Whether it is writing nothing."""

    @property
    def has_all(self) -> bool:
        """Whether nothing waits to be written."""

    def record(self, session_id: SessionId) -> Record | None:
        """Return what is on it of a session."""

    def lose(self) -> None:
        """Have it empty."""

    def restore_oldest(self) -> bool:
        """Have on it what was there some time ago; return whether anything is remembered."""

    def take_from(self, other: Any) -> None:
        """Have on it what is on another node's disk, but for the ring."""

    def keep_copy(self, copies_max: int) -> None:
        """Remember what is on it now, for a later fault to bring back."""


class AnyWorld(Ground, Protocol):
    """A ring, its network, its disks and its time."""

    plan: Plan
    scheduler: Scheduler
    ring: Ring
    healed: bool
    roads: dict[tuple[str, str], Road]
    cut: dict[tuple[str, str], int]
    wall_offsets_s: dict[str, float]
    on_trigger: Callable[[Trigger, str], None]
    on_release: Callable[[Iterable[object]], None]
    on_set_aside: Callable[[Iterable[SessionId]], None]
    on_notice: Callable[[str], None]
    on_heard: Callable[[str, int, Announcement | Takeover], None]

    @property
    def processes(self) -> Mapping[str, AnyProcess]:
        """The processes that live, by node."""

    @property
    def disks(self) -> Mapping[str, AnyDisk]:
        """Every node's disk."""

    def all_settled(self) -> bool:
        """Return whether every live node says that another one may be lost, and sees the others."""

    def address_of(self, name: str) -> str:
        """Return where a node listens."""

    def start(self, name: str, ring: Ring | None = None) -> object:
        """Start a process for ``name``, from what its disk has."""

    def crash(self, name: str) -> None:
        """Kill a process; its memory is gone, and its connections break."""

    def drain(self, name: str) -> None:
        """Tell a node to hand everything over, since it is going to stop."""

    def freeze(self, name: str) -> None:
        """Let a process do nothing until ``thaw``."""

    def thaw(self, name: str, process: Any) -> None:
        """Let a process go on, if it is still there."""

    def adopt(self, process: Any, ring: Ring) -> None:
        """Have a node adopt a ring that somebody sets there."""

    def break_between(self, one: str, other: str, *, unnoticed_by: str = "") -> None:
        """Break every connection between two nodes; ``unnoticed_by`` does not notice."""
