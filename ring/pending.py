"""One peer's stream of changes: what it has not been sent, and what it has not acknowledged.

Rules:
- Pending is ids and keys, never values: those are read from the table when a frame is written,
  so changes coalesce, and a slow peer costs memory by the session and not by the change.
- Changes are numbered by their position in this connection's stream, from 1.
- A frame covers every change up to the node-wide version at which it was written. So a peer that
  acknowledges it *holds* all that was written before.
"""

from collections import deque
from collections.abc import Collection, Iterable

from attrs import define, field, frozen

from ring.errors import RemoteProtocolError
from ring.identity import SessionId, home_of
from ring.messages import Acks, Changes
from ring.packed import EMPTY_FRAGMENT, is_sendable
from ring.settings import Settings
from ring.table import Table


@frozen
class Acknowledged:
    """The peer merged one change of the stream."""

    session_id: SessionId
    version: int
    """Every local change up to this version was in it."""
    theirs: bytes | None
    """None: the peer holds. Otherwise its own, different record; empty bytes for none."""


@define
class Stream:
    """The changes on their way to one peer over one connection."""

    settings: Settings
    _pending: dict[SessionId, set[bytes] | None] = field(factory=dict)
    _sent: deque[tuple[SessionId, int]] = field(factory=deque)
    _acknowledged: int = 0
    _frames: deque[tuple[int, float]] = field(factory=deque)
    """Of each frame that is not acknowledged as a whole: its last change, and when it was sent."""

    def mark(self, session_id: SessionId, keys: Iterable[bytes] | None) -> None:
        """Note that the peer needs the entries under ``keys``; None: the whole record.

        No keys at all asks the peer whether it holds: its answer tells what to send.
        """
        if keys is None:
            self._pending[session_id] = None
            return
        marked = self._pending.setdefault(session_id, set())
        if marked is not None:
            marked.update(keys)

    def mark_last(self, session_id: SessionId) -> None:
        """Note that the peer needs the whole record, after all else that it needs now."""
        self._pending.pop(session_id, None)
        self._pending[session_id] = None

    def __len__(self) -> int:
        return len(self._pending) + len(self._sent)

    def keep(self, homes: Collection[str]) -> None:
        """Send nothing of other homes than these."""
        for session_id in [each for each in self._pending if home_of(each) not in homes]:
            del self._pending[session_id]

    def carried(self) -> set[SessionId]:
        """Return the sessions that the peer was not sent, or has not acknowledged."""
        return {*self._pending, *(session_id for session_id, _ in self._sent)}

    def carries(self, session_id: SessionId) -> bool:
        """Return whether the peer was not sent a session, or has not acknowledged it."""
        return session_id in self._pending or any(each == session_id for each, _ in self._sent)

    def fill(self, table: Table, version: int, now: float) -> Changes | None:
        """Take pending changes, oldest first, into one frame; None: nothing may be sent now."""
        if not self._pending:
            return None
        settings, flat, size = self.settings, list[bytes | int](), 0
        room = min(settings.changes_per_frame_max, settings.unacknowledged_max - len(self._sent))
        while self._pending and room > 0:
            session_id = next(iter(self._pending))
            portable = table.portable(session_id, now, self._pending[session_id])
            if portable and not is_sendable(portable):
                del self._pending[session_id]
                continue
            size += len(session_id) + len(portable)
            if flat and size > settings.frame_fill_bytes:
                break
            del self._pending[session_id]
            # A record that was dropped meanwhile goes as "nothing"; the answer brings it back.
            flat += (session_id, table.digest(session_id), portable or EMPTY_FRAGMENT)
            self._sent.append((session_id, version))
            room -= 1
        if not flat:
            return None
        self._frames.append((self._acknowledged + len(self._sent), now))
        return Changes(flat)

    def oldest_sent_at(self) -> float | None:
        """Return when the oldest change that is not acknowledged was sent; None: all are."""
        return self._frames[0][1] if self._frames else None

    def acknowledge(self, acks: Acks) -> list[Acknowledged]:
        """Take the peer's acknowledgement; return what it says of each change.

        Raises:
            RemoteProtocolError: it acknowledges what was never sent. Nothing was taken.
        """
        count = acks.upto - self._acknowledged
        if not 0 <= count <= len(self._sent):
            raise RemoteProtocolError(f"acknowledges change {acks.upto}, which was never sent")
        different = dict(acks.different)
        if any(not self._acknowledged < number <= acks.upto for number in different):
            raise RemoteProtocolError("answers a change outside of what it acknowledges")
        first = self._acknowledged + 1
        self._acknowledged = acks.upto
        while self._frames and self._frames[0][0] <= acks.upto:
            self._frames.popleft()
        return [
            Acknowledged(*self._sent.popleft(), different.get(number))
            for number in range(first, acks.upto + 1)
        ]
