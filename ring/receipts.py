"""Writes that wait for a backup or a disk to have them, and what their receipts say.

Rules:
- A receipt waits on a session and a version of this node, never on a frame: any acknowledgement
  that covers the version counts, on whatever connection it comes.
- It names whoever said so, and nobody else.
- No member to ask: degraded at once. No answer in time: degraded, or refused if the caller chose.
"""

from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from attrs import define, field

from ring.core import Core
from ring.identity import LinkId, SessionId, home_of
from ring.messages import Durability, End, Failed, Failure, Reply, Save, Saved

Origin: TypeAlias = LinkId | None
"""Where a request came from and its answer goes: a link, or the application in this process."""


@define
class Waiter:
    """One write that was made here and is not answered yet."""

    origin: Origin
    request: Save | End
    version: int
    deadline: float
    held_by: list[str] = field(factory=list)
    on_disk: bool = False
    disk_failed: bool = False
    answered: bool = False

    def waits_for_disk(self) -> bool:
        """Whether the disk is asked for, and neither has the change nor failed with it."""
        return self.request.durability.wants_disk and not (self.on_disk or self.disk_failed)

    def waits_for_backup(self) -> bool:
        """Whether a backup is asked for and none holds the change yet."""
        return self.request.durability.wants_backup and not self.held_by

    def reply(self, name: str) -> Saved | Failed:
        """Return the answer as it stands now, complete or not."""
        durability: Durability = self.request.durability
        degraded = (durability.wants_backup and not self.held_by) or (
            durability.wants_disk and not self.on_disk
        )
        if degraded and self.request.refuse:
            return Failed(
                self.request.number,
                Failure.NOT_REPLICATED,
                f"durability {durability.value!r} was not reached; the change is in force at "
                f"{name} and may survive",
            )
        on_disk = (name,) if self.on_disk else ()
        return Saved(self.request.number, (name, *self.held_by), on_disk, degraded)


class Receipts:
    """All writes that wait; ``respond`` is called once for each."""

    def __init__(self, core: Core, respond: Callable[[Origin, Reply], None]) -> None:
        self._core = core
        self._respond = respond
        self._waiting: dict[SessionId, list[Waiter]] = {}
        self._in_line: deque[Waiter] = deque()
        """By deadline: all wait equally long."""

    def wait(self, origin: Origin, request: Save | End, now: float) -> None:
        """Answer ``request``, which has just been carried out, as soon as it is durable."""
        deadline = now + self._core.settings.ack_timeout_s
        waiter = Waiter(origin, request, self._core.version, deadline)
        waiter.disk_failed = not self._core.has_store
        self._waiting.setdefault(request.session_id, []).append(waiter)
        self._in_line.append(waiter)
        self._settle(request.session_id)

    def on_held(self, session_id: SessionId, peer: str, version: int) -> None:
        """Note that ``peer`` holds the session as it was at ``version``."""
        for waiter in self._waiting.get(session_id, ()):
            if waiter.version <= version and peer not in waiter.held_by:
                waiter.held_by.append(peer)
        self._settle(session_id)

    def on_persisted(self, session_id: SessionId, version: int) -> None:
        """Note that this node's disk has the session as it was at ``version``."""
        for waiter in self._waiting.get(session_id, ()):
            waiter.on_disk |= waiter.version <= version
        self._settle(session_id)

    def on_persist_failed(self, session_id: SessionId) -> None:
        """Note that this node's disk did not take the session."""
        for waiter in self._waiting.get(session_id, ()):
            waiter.disk_failed = True
        self._settle(session_id)

    def on_view_changed(self) -> None:
        """Stop waiting for a backup where there is none left to wait for."""
        for session_id in self.waiting():
            self._settle(session_id)

    def waiting(self) -> list[SessionId]:
        """Return the sessions with a write that waits."""
        return list(self._waiting)

    def next_due(self) -> float | None:
        """Return the earliest deadline; None: nothing waits."""
        while self._in_line and self._in_line[0].answered:
            self._in_line.popleft()
        return self._in_line[0].deadline if self._in_line else None

    def on_tick(self, now: float) -> None:
        """Answer what has waited long enough."""
        while (due := self.next_due()) is not None and due <= now:
            self._settle(self._in_line.popleft().request.session_id, now)

    def _settle(self, session_id: SessionId, now: float | None = None) -> None:
        """Answer every write of a session that has all it asked for, or all it can get."""
        waiters = self._waiting.get(session_id)
        if not waiters:
            return
        nobody = not self._core.view.targets(home_of(session_id))
        left = []
        for waiter in waiters:
            backup = waiter.waits_for_backup() and not nobody
            late = now is not None and waiter.deadline <= now
            if late or not (backup or waiter.waits_for_disk()):
                waiter.answered = True
                self._respond(waiter.origin, waiter.reply(self._core.name))
            else:
                left.append(waiter)
        if left:
            self._waiting[session_id] = left
        else:
            del self._waiting[session_id]
