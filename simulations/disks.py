"""The disks of a simulated ring, record by record: what was written, what was not, what fails.

Rules:
- What the disk has answered is there after a crash. Of a batch that it has not answered yet, each
  record may have arrived or not.
- One batch at a time, as a node's store is written. What could not be written is tried again.
"""

from collections.abc import Callable, Mapping
from functools import partial
from random import Random
from typing import Final, TypeAlias

from attrs import define, field

from ring import Record, Ring, SessionId
from simulations.plan import Plan
from simulations.scheduler import Scheduler

RETRY_S: Final = 0.25

Content: TypeAlias = dict[SessionId, tuple[bytes, int]]
"""Portable record and the wall clock of its writing, in milliseconds."""

Done: TypeAlias = Callable[[dict[SessionId, int], bool], None]
"""Is told what was written, by version, and whether it has failed."""


def _nobody(_: Callable[[], None]) -> None:
    """Whoever has written is gone."""


@define(eq=False)
class Disk:
    """One node's disk, through all its lives."""

    scheduler: Scheduler
    random: Random
    delay_s: tuple[float, float]
    content: Content = field(factory=dict)
    contacts: dict[str, int] = field(factory=dict)
    """When the node was last in contact with each member, by its wall clock in milliseconds."""
    owner: Callable[[Callable[[], None]], None] = _nobody
    """Has the process that runs do something, now or when it thaws."""
    failing: int = 0
    """Faults because of which it takes nothing now."""
    slowness: float = 1.0
    ring: Ring | None = None
    """The ring that was adopted last by a node with this disk."""
    copies: list[tuple[Content, dict[str, int]]] = field(factory=list)
    """What was on it at earlier times, the oldest first: records and contacts."""
    _dirty: dict[SessionId, None] = field(factory=dict)
    _batch: dict[SessionId, tuple[int, bytes | None]] = field(factory=dict)
    _wall_ms: int = 0
    _life: int = 0

    @classmethod
    def of(cls, plan: Plan, scheduler: Scheduler, name: str) -> "Disk":
        """Return the disk of a node."""
        return cls(scheduler, plan.stream(f"disk/{name}"), plan.disk_s)

    @property
    def is_idle(self) -> bool:
        """Whether it is writing nothing."""
        return not self._batch

    @property
    def has_all(self) -> bool:
        """Whether nothing waits to be written."""
        return not (self._batch or self._dirty)

    def record(self, session_id: SessionId) -> Record | None:
        """Return what is on it of a session."""
        stored = self.content.get(session_id)
        return Record.from_portable(stored[0], 0.0) if stored else None

    def mark(self, session_id: SessionId) -> None:
        """Note that a session has changed."""
        self._dirty[session_id] = None

    def take(self) -> list[SessionId]:
        """Return what is to be written next, if the disk is idle."""
        if self._batch:
            return []
        batch = list(self._dirty)
        self._dirty.clear()
        return batch

    def write(
        self, batch: Mapping[SessionId, tuple[int, bytes | None]], wall_ms: int, done: Done
    ) -> None:
        """Write a batch; ``done`` is told when the disk has answered."""
        self._batch, self._wall_ms = dict(batch), wall_ms
        delay_s = self.random.uniform(*self.delay_s) * self.slowness
        if self.failing:
            delay_s += RETRY_S
        self.scheduler.after(delay_s, partial(self._answer, self._life, done))

    def _answer(self, life: int, done: Done) -> None:
        if life != self._life:
            return
        batch, self._batch = self._batch, {}
        if self.failing:
            self._dirty.update(dict.fromkeys(batch))
        else:
            self._store(batch, self._wall_ms)
        versions = {session_id: version for session_id, (version, _) in batch.items()}
        self.owner(partial(done, versions, bool(self.failing)))

    def _store(self, batch: Mapping[SessionId, tuple[int, bytes | None]], wall_ms: int) -> None:
        for session_id, (_, portable) in batch.items():
            if portable is None:
                self.content.pop(session_id, None)
            else:
                self.content[session_id] = (portable, wall_ms)

    def crash(self) -> None:
        """The process has died; what the disk has not answered may have arrived or not."""
        self._life += 1
        arrived = {key: each for key, each in self._batch.items() if self.random.random() < 0.5}
        self._store(arrived, self._wall_ms)
        self._batch, self._dirty = {}, {}
        self.owner = _nobody

    def lose(self) -> None:
        """Have it empty."""
        self.content, self.contacts, self.ring = {}, {}, None

    def restore_oldest(self) -> bool:
        """Have on it what was there some time ago; return whether anything is remembered."""
        if self.copies:
            content, contacts = self.copies[0]
            self.content, self.contacts = dict(content), dict(contacts)
        return bool(self.copies)

    def take_from(self, other: "Disk") -> None:
        """Have on it what is on another node's disk, but for the ring."""
        self.content, self.contacts = dict(other.content), dict(other.contacts)

    def keep_copy(self, copies_max: int) -> None:
        """Remember what is on it now, for a later fault to bring back."""
        self.copies.append((dict(self.content), dict(self.contacts)))
        del self.copies[:-copies_max]
