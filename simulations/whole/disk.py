"""One node's disk at level 2: files, through all its lives, with the face of a disk of level 1.

Rules:
- A crash is a loss of power: what was synced is there, of the rest whatever the disk likes. A
  process that dies while it writes makes some of its calls, and no more.
- A dead process reaches the disk no more, whatever its ``finally`` still tries.
- The files of the ring and of the contacts fare like those of the sessions.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Final, cast

from attrs import define, field

from node.stores.disk import Disk
from node.stores.session_file import UnreadableFileError, decode, file_name
from ring import Record, SessionId
from simulations.plan import Plan
from simulations.scheduler import Scheduler
from simulations.whole.files import Fault, Killed, SimulatedDisk

_RING: Final = "ring/"
"""What the names of the files begin with in which a node keeps the ring."""

_WRITES: Final = frozenset({"create", "write", "fsync", "rename", "link", "fsync_directory"})


@define(eq=False)
class NodeDisk:
    """The files of one node.

    Args:
        random: what becomes of what was not synced, and where a dying process stops.
        delay_s: least and most seconds that a call of the store takes.
    """

    random: Random
    delay_s: tuple[float, float]
    files: SimulatedDisk = field(factory=SimulatedDisk)
    failing: int = 0
    """Faults because of which it takes nothing now."""
    slowness: float = 1.0
    copies: list[dict[str, bytes]] = field(factory=list)
    """The files that were on it at earlier times, the oldest first."""
    under_way: list[Callable[[], object]] = field(factory=list)
    """What the process that runs has the disk do now, side by side."""
    unwritten: Callable[[], int] = field(default=lambda: 0)
    """How many sessions wait to be written, as the process that runs sees it."""

    @classmethod
    def of(cls, plan: Plan, scheduler: Scheduler, name: str) -> "NodeDisk":
        """Return the disk of a node; its time is that of the tasks which use it."""
        return cls(plan.stream(f"disk/{name}"), plan.disk_s)

    @property
    def is_idle(self) -> bool:
        """Whether it is doing nothing."""
        return not self.under_way

    @property
    def has_all(self) -> bool:
        """Whether nothing waits to be written."""
        return self.is_idle and not self.unwritten()

    def call_s(self) -> float:
        """Return how long the next call of the store takes."""
        return self.random.uniform(*self.delay_s) * self.slowness

    def record(self, session_id: SessionId) -> Record | None:
        """Return what is on it of a session, should the power fail now."""
        name = file_name(session_id)
        content = self.files.durable(name)
        if content is None:
            return None
        try:
            return Record.from_portable(decode(name, content).portable, 0.0)
        except UnreadableFileError:
            return None

    def crash(self) -> None:
        """The process has died, and the power with it."""
        for call in self.under_way:
            self.files.killed_at = len(self.files.calls) + self.random.randrange(1, 12)
            with suppress(Killed, OSError):
                call()
        self.under_way = []
        self.files.lose_power(self.random)
        self.unwritten = lambda: 0

    def fail_next(self, call: str) -> None:
        """Have the next call fail, as one of a disk that is full or broken may."""
        number = self.random.choice((errno.ENOSPC, errno.EIO, errno.EDQUOT))
        is_short = call == "write" and self.random.random() < 0.5
        self.files.faults[len(self.files.calls) + 1] = Fault(number, short=is_short)

    def keep_copy(self, copies_max: int) -> None:
        """Remember what is on it now, for a later fault to bring back."""
        self.copies.append(self.files.files())
        del self.copies[:-copies_max]

    def lose(self) -> None:
        """Have it empty, or have a bit of every file turn round."""
        files, self.files = self.files.files(), SimulatedDisk()
        if self.random.random() < 0.5:
            for name, content in files.items():
                self.files.put(name, self._rotten(content))

    def _rotten(self, content: bytes) -> bytes:
        bit = self.random.randrange(8 * max(1, len(content)))
        damaged = bytearray(content or b"?")
        damaged[bit // 8] ^= 1 << bit % 8
        return bytes(damaged)

    def restore_oldest(self) -> bool:
        """Have on it what was there some time ago; return whether anything is remembered."""
        if self.copies:
            self._fill(self.copies[0])
        return bool(self.copies)

    def take_from(self, other: "NodeDisk") -> None:
        """Have on it what is on another node's disk."""
        self._fill(other.files.files())

    def _fill(self, files: dict[str, bytes]) -> None:
        """Have these files on it, but the ring that it had: it is what people have set there."""
        ring = {name: each for name, each in self.files.files().items() if name.startswith(_RING)}
        others = {name: each for name, each in files.items() if not name.startswith(_RING)}
        self.files = SimulatedDisk()
        for name, content in (ring | others).items():
            self.files.put(name, content)


class _FencedDisk:
    def __init__(self, disk: NodeDisk, is_alive: Callable[[], bool]) -> None:
        self._disk = disk
        self._is_alive = is_alive
        self._has_written = False

    def __getattr__(self, name: str) -> Callable[..., object]:
        call: Callable[..., object] = getattr(self._disk.files, name)
        if not self._is_alive():
            return _nothing if name == "detach" else _gone
        # A disk that fails while it is opened keeps a node from starting; that is not played here.
        self._has_written |= name == "create"
        if self._disk.failing and self._has_written and name in _WRITES:
            self._disk.fail_next(name)
        return call


def fenced(disk: NodeDisk, is_alive: Callable[[], bool]) -> Disk:
    """Return the disk as a process reaches it: while it lives, and as the disk's faults let it."""
    return cast(Disk, _FencedDisk(disk, is_alive))


def _nothing() -> None:
    """Do nothing."""


def _gone(*_: object) -> None:
    raise OSError(errno.EIO, "this process is dead")
