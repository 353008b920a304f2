"""Writes that wait for a backup or a disk to have them, and what their receipts say.

Rules:
- A receipt waits on a session and a version of this node, never on a frame: any acknowledgement
  that covers the version counts, on whatever connection it comes.
- It names whoever said so, and nobody else.
- A write that was made here while another member acts waits for that one, whatever else it asks.
- No member that keeps copies: degraded at once. Refused then only if one is there that should, and
  does not keep up; a ring of one has nobody to lack.
- No answer in time, or a disk that fails: degraded, or refused if the caller chose so.
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeAlias

from attrs import define, field

from ring.core import Core
from ring.identity import LinkId, SessionId, home_of
from ring.liveness import Liveness
from ring.messages import End, Failed, Failure, Reply, Rotate, Save, Saved

Origin: TypeAlias = LinkId | None
"""Where a request came from and its answer goes: a link, or the application in this process."""


@define
class Waiter:
    """One write that was made here and is not answered yet."""

    origin: Origin
    request: Save | End | Rotate
    versions: dict[SessionId, int]
    """The sessions whose states of this node it waits for; more than one if one was rotated."""
    deadline: float
    owners: tuple[str, ...] = ()
    """Who acts for the session, or may, where that is not this node: they have to know as well, or
    whoever asks them next would read an older state."""
    held_by: list[str] = field(factory=list)
    on_disk: bool = False
    disk_failed: bool = False
    answered: bool = False
    _partly: dict[str, set[SessionId]] = field(factory=dict)
    """Of members and disks (an empty name) that have some of several sessions: which."""

    def has_all(self, who: str, session_id: SessionId, version: int) -> bool:
        """Note what ``who`` has; return whether that is now all that is waited for."""
        if version < self.versions[session_id]:
            return False
        if len(self.versions) == 1:
            return True
        has = self._partly.setdefault(who, set())
        has.add(session_id)
        return len(has) == len(self.versions)

    def forget(self, who: str) -> None:
        """Forget what a member has."""
        self._partly.pop(who, None)
        if who in self.held_by:
            self.held_by.remove(who)

    def begin_anew(self, versions: dict[SessionId, int]) -> None:
        """Wait for these, from everybody."""
        self.versions, self.held_by, self.on_disk = versions, [], False
        self._partly.clear()

    def lacks_owner(self) -> bool:
        """Whether another member acts, or may, and does not have the change."""
        return any(owner not in self.held_by for owner in self.owners)

    def lacks_disk(self) -> bool:
        """Whether this node's disk is asked for and does not have the change."""
        return self.request.durability.wants_disk and not self.on_disk


class Receipts:
    """All writes that wait; ``respond`` is called once for each."""

    def __init__(self, core: Core, respond: Callable[[Origin, Reply], None]) -> None:
        self._core = core
        self._respond = respond
        self._waiting: dict[SessionId, list[Waiter]] = {}
        self._in_line: deque[Waiter] = deque()
        """By deadline: all wait equally long."""

    def wait(
        self,
        origin: Origin,
        request: Save | End | Rotate,
        concerned: Iterable[SessionId],
        now: float,
    ) -> None:
        """Answer ``request``, which has just changed these sessions, as soon as it is durable."""
        deadline = now + self._core.settings.ack_timeout_s
        owners = self._other_owners(home_of(request.session_id))
        versions = dict.fromkeys(concerned, self._core.version)
        waiter = Waiter(origin, request, versions, deadline, owners)
        waiter.disk_failed = not self._core.has_store
        for session_id in versions:
            self._waiting.setdefault(session_id, []).append(waiter)
        self._in_line.append(waiter)
        self._settle(request.session_id)

    def _other_owners(self, home: str) -> tuple[str, ...]:
        """Return who has to have what this node takes for ``home``; nobody, if it acts itself.

        Whoever has just lost its connection here may act on, and answer.
        """
        view = self._core.view
        acts = home in view.claims
        owners = (view.acting_owner(home),) if acts else view.answering(home)
        return tuple(owner for owner in owners if owner != view.name)

    def follow(self, old_id: SessionId, new_id: SessionId) -> bool:
        """Have saves of a session that was rotated wait for what it has become.

        Returns:
            Whether there are any; who has the new record has to say so anew.
        """
        waiters = self._waiting.pop(old_id, [])
        saves = [each for each in waiters if isinstance(each.request, Save)]
        if rest := [each for each in waiters if not isinstance(each.request, Save)]:
            self._waiting[old_id] = rest
        for waiter in saves:
            waiter.begin_anew({new_id: self._core.version})
            self._waiting.setdefault(new_id, []).append(waiter)
        return bool(saves)

    def on_held(self, session_id: SessionId, peer: str, version: int) -> None:
        """Note that ``peer`` holds the session as it was at ``version``."""
        for waiter in self._waiting.get(session_id, ()):
            if peer not in waiter.held_by and waiter.has_all(peer, session_id, version):
                waiter.held_by.append(peer)
        self._settle(session_id)

    def on_persisted(self, session_id: SessionId, version: int) -> None:
        """Note that this node's disk has the session as it was at ``version``."""
        for waiter in self._waiting.get(session_id, ()):
            waiter.on_disk |= waiter.has_all("", session_id, version)
        self._settle(session_id)

    def on_persist_failed(self, session_id: SessionId) -> None:
        """Note that this node's disk did not take the session."""
        for waiter in self._waiting.get(session_id, ()):
            waiter.disk_failed = True
        self._settle(session_id)

    def give_up(self, session_id: SessionId) -> None:
        """Nothing of a session is here any more: whoever waits is told that all may have failed."""
        for waiter in self._waiting.pop(session_id, []):
            for other in waiter.versions.keys() - {session_id}:
                self._waiting[other].remove(waiter)
                if not self._waiting[other]:
                    del self._waiting[other]
            waiter.answered = True
            reason = "another member's state of the session was taken in place of this one's"
            number = waiter.request.number
            self._respond(waiter.origin, Failed(number, Failure.OUTCOME_UNKNOWN, reason))

    def on_link_lost(self, peer: str) -> None:
        """Forget that ``peer`` holds anything: what it said ended with its connection."""
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.forget(peer)

    def on_view_changed(self) -> None:
        """Stop waiting for a backup where there is none left to wait for."""
        for session_id in self.waiting():
            self._settle(session_id)

    def is_waiting(self, session_id: SessionId) -> bool:
        """Return whether a write of this session waits."""
        return session_id in self._waiting

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
            self._settle(next(iter(self._in_line.popleft().versions)), now)

    def _settle(self, session_id: SessionId, now: float | None = None) -> None:
        """Answer every write of a session that has all it asked for, or all it can get."""
        waiters = self._waiting.get(session_id)
        if not waiters:
            return
        view = self._core.view
        # One whose link was lost a moment ago may be back in another.
        undetermined = bool(view.peers_in(Liveness.UNDETERMINED))
        nobody = not (view.targets(home_of(session_id)) or undetermined)
        left = []
        for waiter in waiters:
            lacks = self._lacks_backup(waiter) or waiter.lacks_owner()
            waits = (lacks and not nobody) or (waiter.lacks_disk() and not waiter.disk_failed)
            if waits and (now is None or waiter.deadline > now):
                left.append(waiter)
            else:
                self._answer(waiter, session_id)
        if left:
            self._waiting[session_id] = left
        else:
            del self._waiting[session_id]

    def _answer(self, waiter: Waiter, settled: SessionId) -> None:
        """Answer a write; the list of the session that is being settled is the caller's."""
        waiter.answered = True
        for session_id in waiter.versions:
            if session_id != settled:
                self._waiting[session_id].remove(waiter)
                if not self._waiting[session_id]:
                    del self._waiting[session_id]
        self._respond(waiter.origin, self._reply(waiter))

    def _lacks_backup(self, waiter: Waiter) -> bool:
        """Return whether a backup is asked for, and configured, and none holds the change."""
        kept = min(self._core.ring.copies, len(self._core.ring.names))
        return waiter.request.durability.wants_backup and kept > 1 and not waiter.held_by

    def _is_alone(self) -> bool:
        """Return whether nobody is there who should keep copies; who leaves should not any more."""
        view = self._core.view
        staying = view.up - view.draining - {view.name}
        return not staying and not view.peers_in(Liveness.UNDETERMINED)

    def _reply(self, waiter: Waiter) -> Saved | Failed:
        """Return the answer to a write as it stands now, complete or not."""
        request, name = waiter.request, self._core.name
        lacks_backup = self._lacks_backup(waiter) or waiter.lacks_owner()
        if request.refuse and (waiter.lacks_disk() or (lacks_backup and not self._is_alone())):
            return Failed(
                request.number,
                Failure.NOT_REPLICATED,
                f"durability {request.durability.value!r} was not reached in time; "
                f"the change is in force at {name} and may survive",
            )
        on_disk = (name,) if waiter.on_disk else ()
        degraded = lacks_backup or waiter.lacks_disk()
        return Saved(request.number, (name, *waiter.held_by), on_disk, degraded)
