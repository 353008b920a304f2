"""What a member has still to be told of announcements on one link, in its order.

Rule: lists are keys until they leave, so what waits for a slow member is small, and what was
delivered meanwhile is not sent at all.
"""

from collections import deque
from typing import Final, TypeAlias

from attrs import define, field

from ring.announcements import (
    ANNOUNCED_MAX,
    Announced,
    Announcement,
    Announcements,
    EventKind,
    Key,
)
from ring.clock import Stamp
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import SessionId
from ring.outbox import Outbox
from ring.packed import is_sendable
from ring.record import Record

_ROWS_MAX: Final = 65_536
"""Deliveries that wait to be told; those dropped may be repeated by a member that takes over."""

_Delivered: TypeAlias = tuple[SessionId, int, int]


@define
class _List:
    """A list of what waits of one home, that has not left or not to its end."""

    home: str
    since: Stamp
    is_handed_over: bool
    keys: deque[Key]


@define
class Telling:
    """What waits for one link."""

    frame_fill_bytes: int
    _items: deque[_Delivered | _List] = field(factory=deque)

    def __len__(self) -> int:
        return len(self._items)

    def tell_delivered(self, session_id: SessionId, kind: int, stamp: int) -> None:
        """Note that the member is to know of a delivery."""
        self._items.append((session_id, int(kind), stamp))
        if len(self._items) > _ROWS_MAX and not isinstance(self._items[0], _List):
            self._items.popleft()

    def tell_waiting(self, home: str, since: Stamp, is_handed_over: bool, keys: list[Key]) -> None:
        """Note that the member is to know what waits of a home."""
        self._items.append(_List(home, since, is_handed_over, deque(keys)))

    def take(self, outbox: Outbox) -> Announced | Announcements | None:
        """Return the next message; None: there is none."""
        if not self._items:
            return None
        if isinstance(first := self._items[0], _List):
            message = self._part(first, outbox)
            if not first.keys:
                self._items.popleft()
            return message
        flat = list[bytes | int]()
        while self._items and len(flat) < 3 * ANNOUNCED_MAX:
            item = self._items[0]
            if isinstance(item, _List):
                break
            flat += self._items.popleft()  # type: ignore[arg-type]  # it is no list, as was checked
        return Announced(flat)

    def _part(self, listed: _List, outbox: Outbox) -> Announcements:
        """Return as much of a list as goes into one frame."""
        flat, size = list[bytes | int](), 0
        while listed.keys and len(flat) < 5 * ANNOUNCED_MAX:
            waiting = outbox.get(listed.keys[0])
            if waiting is not None:
                each = waiting.announcement
                size += len(each.state)
                if flat and size > self.frame_fill_bytes:
                    break
                state = each.state if each.state and is_sendable(each.state) else b""
                flat += (each.session_id, int(each.kind), each.stamp, state, each.new_id or b"")
            listed.keys.popleft()
        since, listed.since = listed.since, Stamp(0)
        return Announcements(listed.home, since, listed.is_handed_over and not listed.keys, flat)


def announcement_in(
    session_id: object, kind: object, stamp: object, portable: object, new_id: object, now: float
) -> Announcement:
    """Return what one row of a list says, which is checked but for its record.

    Raises:
        RemoteProtocolError: that is none.
    """
    assert isinstance(session_id, bytes)
    assert isinstance(kind, int)
    assert isinstance(stamp, int)
    assert isinstance(portable, bytes)
    assert isinstance(new_id, bytes)
    if portable:
        try:
            Record.from_portable(portable, now)
        except RecordFormatError as error:
            raise RemoteProtocolError(f"announces a malformed record: {error}") from error
    return Announcement(
        SessionId(session_id),
        EventKind(kind),
        Stamp(stamp),
        portable,
        SessionId(new_id) if new_id else None,
    )
