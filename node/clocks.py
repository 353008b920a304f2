"""A session's clocks: when it was created and used, and when it expires.

Rules:
- What is told here is what was known when this copy was found or saved: others may have used the
  session since, which puts its expiry off. The ring decides, and never expires it before what is
  told here.
- The lifetime counts from the creation, for ever: neither use, nor ``remember``, nor a new id
  begins it anew.
"""

from datetime import UTC, datetime, timedelta
from math import inf
from typing import Final

import msgpack

from node.durations import pack_seconds
from node.receipts import Backend
from node.reserved import Reserved
from node.terms import Terms
from ring.clock import stamp_ms
from ring.entry import CREATED, LIFETIME, MAX_IDLE, NIL, REMEMBERED, entry_stamp
from ring.record import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, which is the end of Python's calendar."""
_TRUE: Final[bytes] = msgpack.packb(True)


class Clocks(Reserved):
    """The attributes of a session, and its life in time.

    Args:
        backend: tells the time.
        record: as the ring gave it, read as of the moment 0; None for a new session.
        terms: what holds for a session that is to be remembered.
        used_ms: when this copy was asked for, if that counts as an access, in milliseconds since
            1970; 0: it does not.
    """

    __slots__ = ("_backend", "_created_ms", "_last_access_ms", "_terms", "_used_ms")

    def __init__(
        self, backend: Backend, record: Record | None, terms: Terms, used_ms: int = 0
    ) -> None:
        self._backend = backend
        self._terms = terms
        self._created_ms = self._last_access_ms = used_ms or backend.wall_ms()
        self._used_ms = used_ms
        """The latest access that was counted for this copy; the ring may write it down later."""
        if record is None:
            super().__init__({}, backend.writers)
            self.change_reserved(CREATED, NIL)
            return
        super().__init__(record.entries, backend.writers)
        created = record.entries.get(CREATED)
        if created is not None:
            self._created_ms = stamp_ms(entry_stamp(created))
        if record.accessed:
            # Read as of the moment 0, an access was at minus its age.
            self._last_access_ms += int(record.accessed_at * 1000)

    @property
    def created_at(self) -> datetime:
        """When the session was created, in UTC; exact once it was found after its first save."""
        return _EPOCH + timedelta(milliseconds=self._created_ms)

    @property
    def last_accessed(self) -> datetime:
        """When the session was last accessed, in UTC, as was known when it was found."""
        return _EPOCH + timedelta(milliseconds=self._last_access_ms)

    @property
    def expires_at(self) -> datetime | None:
        """When the session expires if nobody uses it any more, in UTC; None: never.

        The earlier one of what ``max_idle`` and ``lifetime`` say here, saved or not, from the last
        access that was known when this copy was found or saved. The ring may keep an idle session
        for a tenth of ``max_idle`` longer, at most 60 s; never for less.
        """
        due_ms = self._due_ms()
        return _EPOCH + timedelta(milliseconds=due_ms) if due_ms <= _MOMENT_MS_MAX else None

    @property
    def is_expired(self) -> bool:
        """Whether ``expires_at`` has passed. Who asks the ring knows better: others may use it."""
        return self._due_ms() <= self._backend.wall_ms()

    def _due_ms(self) -> float:
        """Return when it expires, in milliseconds since 1970; inf: never."""
        max_idle, lifetime = self.max_idle, self.lifetime
        used_ms = max(self._last_access_ms, self._used_ms)
        idle_ms = used_ms + max_idle * 1000 if max_idle > 0 else inf
        return min(idle_ms, self._created_ms + lifetime * 1000 if lifetime > 0 else inf)

    @property
    def remembered(self) -> bool:
        """Whether ``remember`` was called for it, here or by others who have saved it."""
        return self._reserved_value(REMEMBERED) is True

    def remember(self) -> None:
        """Keep the session for as long as the configuration says for users who want to stay.

        ``max_idle`` and ``lifetime`` become ``sessions.remember_max_idle`` and
        ``sessions.remember_lifetime``, in force once it is saved. The lifetime counts from the
        creation of the session: calling this again, or ``rotate_id``, gives it no new one.
        """
        terms = {
            MAX_IDLE: pack_seconds("max_idle", self._terms.remember_max_idle),
            LIFETIME: pack_seconds("lifetime", self._terms.remember_lifetime),
            REMEMBERED: _TRUE,
        }
        for key, packed in terms.items():
            if self.reserved(key) != packed:
                self.change_reserved(key, packed)

    def note_used(self, at_ms: int) -> None:
        """Note an access that the ring has counted, in milliseconds since 1970."""
        self._used_ms = max(self._used_ms, at_ms)
