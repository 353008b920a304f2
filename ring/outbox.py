"""Announcements that are not known to be delivered, and the names of those that are.

Rules:
- Bounded in number, bytes and time: what nobody takes is dropped, the oldest first, and counted.
- Members may know a session in different states when they see its end. Whoever announces it knows
  what any of them has told: the states are merged.
- What was delivered is remembered for as long, so that it is not taken for news when it comes again
  by another road.
"""

from collections.abc import Iterator
from typing import Final

from attrs import define, evolve, field

from ring.announcements import Announcement, Key
from ring.identity import SessionId, home_of
from ring.record import Record

KEPT_S: Final = 300.0
"""How long an announcement waits for somebody to take it."""
ENTRIES_MAX: Final = 16_384
BYTES_MAX: Final = 32 << 20
DELIVERED_MAX: Final = 65_536
_ENTRY_BYTES: Final = 400
"""What one takes beside its state."""


@define
class Waiting:
    """An announcement that waits."""

    announcement: Announcement
    added_at: float
    is_given: bool = False
    """This node's process has it, and was not heard of again."""

    @property
    def cost(self) -> int:
        """What it takes, in bytes."""
        return _ENTRY_BYTES + len(self.announcement.state)

    def learn(self, state: bytes, now: float) -> None:
        """Merge what another member knew of the session, before this is told to anybody."""
        mine = self.announcement.state
        if not state or state == mine:
            return
        record, other = Record.from_portable(mine, now), Record.from_portable(state, now)
        if not other.ended:
            record.merge(other)
            self.announcement = evolve(self.announcement, state=record.portable(now))


@define
class Outbox:
    """What one node has to announce, or would have, should it act."""

    dropped: int = 0
    """How many were dropped because there were too many."""
    _waiting: dict[Key, Waiting] = field(factory=dict)
    _delivered: dict[Key, tuple[int, float]] = field(factory=dict)
    """The stamp, and when it was delivered."""
    _bytes: int = 0

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def has_any(self) -> bool:
        """Whether there is anything that time may change."""
        return bool(self._waiting or self._delivered)

    def add(self, announcement: Announcement, now: float) -> bool:
        """Note what has happened; return False if that is known, with the session's state."""
        key = announcement.key
        known = self._waiting.get(key)
        if key in self._delivered or (known is not None and known.is_given):
            return False
        if known is not None and known.announcement.state:
            self._bytes -= known.cost
            known.learn(announcement.state, now)
            self._bytes += known.cost
            return False
        if known is not None and not announcement.state:
            return False
        self._drop(key)
        waiting = self._waiting[key] = Waiting(announcement, now)
        self._bytes += waiting.cost
        while len(self._waiting) > ENTRIES_MAX or self._bytes > BYTES_MAX:
            self._drop(next(iter(self._waiting)))
            self.dropped += 1
        return key in self._waiting

    def deliver(self, key: Key, stamp: int, now: float) -> bool:
        """Note that an announcement was delivered; return whether that is news."""
        is_news = key not in self._delivered
        self._drop(key)
        self._delivered[key] = (stamp, now)
        if len(self._delivered) > DELIVERED_MAX:
            del self._delivered[next(iter(self._delivered))]
        return is_news

    def is_delivered(self, key: Key) -> bool:
        """Return whether this is known to be delivered."""
        return key in self._delivered

    def get(self, key: Key) -> Waiting | None:
        """Return what waits under a key."""
        return self._waiting.get(key)

    def of_home(self, home: str) -> list[Waiting]:
        """Return what waits of a home, oldest first."""
        return [each for each in self if each.announcement.home == home]

    def homes(self) -> set[str]:
        """Return the homes of which something waits."""
        return {each.announcement.home for each in self}

    def delivered_of(self, home: str) -> list[tuple[SessionId, int, int]]:
        """Return session, kind and stamp of all that is known to be delivered of a home."""
        return [
            (session_id, kind, stamp)
            for (session_id, kind, _), (stamp, _) in self._delivered.items()
            if home_of(session_id) == home
        ]

    def forget_old(self, now: float) -> int:
        """Forget what is too old; return how many were never delivered."""
        before, expired = now - KEPT_S, 0
        while self._waiting:
            key, waiting = next(iter(self._waiting.items()))
            if waiting.added_at > before:
                break
            self._drop(key)
            expired += 1
        while self._delivered:
            key, (_, at) = next(iter(self._delivered.items()))
            if at > before:
                break
            del self._delivered[key]
        return expired

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._waiting.values()))

    def _drop(self, key: Key) -> None:
        waiting = self._waiting.pop(key, None)
        if waiting is not None:
            self._bytes -= waiting.cost
