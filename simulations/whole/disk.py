"""One node's disk at level 2: files, through all its lives, with the face of a disk of level 1.

Rules:
- A crash is a loss of power: what was synced is there, of the rest whatever the disk likes. A
  process that dies while it writes makes some of its calls, and no more.
- A dead process reaches the disk no more, whatever its ``finally`` still tries.
"""

import errno
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import cast

from attrs import define, field

from node.contacts import ContactsFile
from node.ring_file import RingFile
from node.stores.disk import Disk
from node.stores.session_file import UnreadableFileError, decode, file_name
from ring import Record, Ring, SessionId
from simulations.plan import Plan
from simulations.scheduler import Scheduler
from simulations.whole.files import Fault, Killed, SimulatedDisk

_WRITES = frozenset({"create", "write", "fsync", "rename", "link", "fsync_directory"})


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
    ring: Ring | None = None
    contacts: dict[str, int] = field(factory=dict)
    """When the node was last in contact with each member, by its wall clock in milliseconds."""
    copies: list[tuple[dict[str, bytes], dict[str, int]]] = field(factory=list)
    """What was on it at earlier times, the oldest first: files and contacts."""
    under_way: Callable[[], object] | None = None
    """What the process that runs has the disk do now."""
    unwritten: Callable[[], int] = field(default=lambda: 0)
    """How many sessions wait to be written, as the process that runs sees it."""

    @classmethod
    def of(cls, plan: Plan, scheduler: Scheduler, name: str) -> "NodeDisk":
        """Return the disk of a node; its time is that of the tasks which use it."""
        return cls(plan.stream(f"disk/{name}"), plan.disk_s)

    @property
    def is_idle(self) -> bool:
        """Whether it is doing nothing."""
        return self.under_way is None

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
        if self.under_way is not None:
            self.files.killed_at = len(self.files.calls) + self.random.randrange(1, 12)
            with suppress(Killed, OSError):
                self.under_way()
            self.under_way = None
        self.files.lose_power(self.random)
        self.unwritten = lambda: 0

    def fail_next(self, call: str) -> None:
        """Have the next call fail, as one of a disk that is full or broken may."""
        number = self.random.choice((errno.ENOSPC, errno.EIO, errno.EDQUOT))
        is_short = call == "write" and self.random.random() < 0.5
        self.files.faults[len(self.files.calls) + 1] = Fault(number, short=is_short)

    def keep_copy(self, copies_max: int) -> None:
        """Remember what is on it now, for a later fault to bring back."""
        self.copies.append((self.files.files(), dict(self.contacts)))
        del self.copies[:-copies_max]

    def lose(self) -> None:
        """Have it empty, or have a bit of every file turn round."""
        files, self.files = self.files.files(), SimulatedDisk()
        self.contacts, self.ring = {}, None
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
            self._fill(*self.copies[0])
        return bool(self.copies)

    def take_from(self, other: "NodeDisk") -> None:
        """Have on it what is on another node's disk."""
        self._fill(other.files.files(), other.contacts)

    def _fill(self, files: dict[str, bytes], contacts: dict[str, int]) -> None:
        self.files, self.contacts = SimulatedDisk(), dict(contacts)
        for name, content in files.items():
            self.files.put(name, content)


class KeptRing(RingFile):
    """The ring that a process keeps on its disk, as long as it lives."""

    def __init__(self, disk: NodeDisk, is_alive: Callable[[], bool]) -> None:
        super().__init__(Path("/world"))
        self._disk = disk
        self._is_alive = is_alive

    def read(self) -> Ring | None:
        """See ``RingFile``."""
        return self._disk.ring

    def write(self, ring: Ring) -> bool:
        """See ``RingFile``."""
        if not self._is_alive() or self._disk.failing:
            return False
        self._disk.ring = ring
        return True


class KeptContacts(ContactsFile):
    """The contacts that a process keeps on its disk, as long as it lives."""

    def __init__(self, disk: NodeDisk, is_alive: Callable[[], bool]) -> None:
        super().__init__(Path("/world"))
        self._disk = disk
        self._is_alive = is_alive

    def read(self) -> dict[str, int]:
        """See ``ContactsFile``."""
        return dict(self._disk.contacts)

    def write(self, contacts_ms: Mapping[str, int]) -> None:
        """See ``ContactsFile``."""
        if self._is_alive() and not self._disk.failing:
            self._disk.contacts = dict(contacts_ms)


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
