"""Sessions saved and restored one by one, over any store, without a node.

Rules:
- For one process that keeps sessions of its own kind: the store is its own while it is open, and
  everything in it is in memory, packed.
- What is restored is as it was saved, or None. It never was expired: as in a node, it may be older
  than ``max_idle`` by a tenth, at most 60 s, within which an access is not written down again.
- It reads the sessions that a node has left in the store, their maps, sets and counters as plain
  values. What the node remembers as ended stays ended. Records that cannot be read are left alone.
- Ages go by the wall clock. One lock is all there is, however many ids come by.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from random import SystemRandom
from types import TracebackType
from typing import Any, Final

from attrs import field, frozen

from node.attributes import Attributes, check_attribute_name
from node.copies import MapCopy
from node.durations import pack_seconds
from node.log import SessionTagger, log_event
from node.packing import pack_value
from node.sections import SESSION_BYTES_MAX
from node.stores.base import Store
from node.timekeeping import real_wall_ms
from node.writers import Writers
from ring.clock import Clock, Stamp, stamp_ms
from ring.entry import CREATED, LIFETIME, MAX_IDLE, NIL, entry_stamp, make_entry
from ring.errors import (
    RecordFormatError,
    SessionEnded,
    SessionTooLargeError,
    StoreError,
)
from ring.identity import SessionId, check_member_name, new_session_id, parse_session_id
from ring.packed import aged, held_access, held_due, held_is_ended, held_is_whole, held_serves
from ring.record import Record
from ring.writing import ENTRIES_WRITTEN_MAX

ATTRIBUTES_MAX: Final = ENTRIES_WRITTEN_MAX

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MS: Final = timedelta(milliseconds=1)


@frozen
class SavedSession:
    """One session, as it is given to a store and comes back from it."""

    id: str
    """An id from ``SavedSessions.new_id``, or of a node."""
    attributes: Mapping[str, Any] = field(factory=dict)
    """Names and values, such as a ``Session`` may have. A dict of its own when it comes back."""
    created_at: datetime | None = None
    """With a time zone, and kept to the millisecond; None, or to come: when it is saved."""
    last_seen: datetime | None = None
    """When it was accessed last; the same."""
    max_idle: float = 1800.0
    """Seconds without access after which it expires; 0 or less: never."""
    lifetime: float = 0.0
    """Seconds after its creation at which it expires in any case; 0 or less: never."""


class SavedSessions:
    """Sessions by id, in a store; to be used in a ``with`` block, or opened and closed.

    May be called from any thread.

    Args:
        store: where they are kept; nobody else has it open.
        home: what new ids begin with, like the name of a member.
        wall_ms: reads the wall clock, in milliseconds since 1970.

    Raises:
        ConfigError: ``home`` cannot stand before an id.
    """

    def __init__(
        self, store: Store, *, home: str = "a", wall_ms: Callable[[], int] = real_wall_ms
    ) -> None:
        self._store = store
        self._home = check_member_name(home, "home")
        self._wall_ms = wall_ms
        self._random = SystemRandom()
        self._writers = Writers(self._random)
        self._tag = SessionTagger(secrets.token_bytes(16))
        self._lock = threading.Lock()
        self._clock = Clock(0, 0.0)
        self._held: dict[SessionId, bytes] = {}

    def __enter__(self) -> "SavedSessions":
        self.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def open(self) -> None:
        """Open the store, and load what is in it.

        Raises:
            StoreLockedError: another process has it. Definite.
            StoreError: it cannot be used. Nothing is held.
        """
        with self._lock:
            self._store.open()
            try:
                self._load()
            except BaseException:
                self._store.close()
                raise

    def close(self) -> None:
        """Give the store up. Everything that was saved is durable already. May be called twice."""
        with self._lock:
            self._held.clear()
            self._store.close()

    def new_id(self) -> str:
        """Return a fresh id, of which nothing is kept."""
        return new_session_id(self._home, self._random).decode("ascii")

    def save(self, session: SavedSession) -> None:
        """Keep ``session`` in place of what was kept under its id.

        Raises:
            ValueError: its id, a name or a duration cannot be used. Definite.
            ValueNotStorableError: a value cannot be kept. Definite.
            SessionTooLargeError: it is larger than a session may be. Definite.
            SessionEnded: a node has ended it. Definite.
            StoreError: the store did not take it; what was kept before is kept. A loss of power
                may still bring either back.
        """
        session_id = parse_session_id(session.id)
        if session_id is None:
            raise ValueError("id is not the id of a session; use one from new_id()")
        with self._lock:
            old = self._held.get(session_id)
            if old is not None and held_is_ended(old):
                raise SessionEnded("a node has ended this session")
            now = self._now()
            record = self._record_of(session, now)
            self._write([(session_id, record.portable(now))])
            self._held[session_id] = record.held(0.0)

    def restore(self, session_id: str | None) -> SavedSession | None:
        """Return what was saved under an id; None: nothing, it has expired, or it is no id.

        Raises:
            AttributeDecodeError: a value is of a class that is not registered here.
        """
        with self._lock:
            known = self._serving(session_id)
            return self._saved(*known) if known is not None else None

    def touch(self, session_id: str | None) -> bool:
        """Count an access, and return whether there is such a session.

        Raises:
            StoreError: the store did not take it. It counts until this process ends.
        """
        with self._lock:
            known = self._serving(session_id)
            if known is None:
                return False
            record, now = Record.from_held(known[1]), self._now()
            if record.touch_due(now):
                record.touch(self._clock.tick(now), now)
                self._held[known[0]] = record.held(0.0)
                self._write([(known[0], record.portable(now))])
            return True

    def remove(self, session_id: str | None) -> None:
        """Keep nothing under an id any more; what a node has ended stays ended.

        Raises:
            StoreError: the store did not take it. It may be back in the next process.
        """
        with self._lock:
            known = self._known(session_id)
            if known is not None and not held_is_ended(known[1]):
                del self._held[known[0]]
                self._write([(known[0], None)])

    def remove_expired(self, ttl_s: float | None = None) -> list[SavedSession]:
        """Remove what has expired, and return it.

        Args:
            ttl_s: seconds without access after which a session counts as expired, whatever its
                own ``max_idle`` is; None: only that counts.

        Raises:
            StoreError: the store did not take all of it. What is left may be back in the next
                process.
        """
        with self._lock:
            now = self._now()
            expired = []
            for session_id, held in self._held.items():
                if held_is_whole(held) and not held_is_ended(held):
                    is_old = ttl_s is not None and now - held_access(held)[1] >= ttl_s
                    if is_old or held_due(held) <= now:
                        expired.append((session_id, held))
            removed = [self._saved(*each) for each in expired]
            for session_id, _ in expired:
                del self._held[session_id]
            self._write([(session_id, None) for session_id, _ in expired])
            return removed

    # --- Parts ---

    def _now(self) -> float:
        return self._wall_ms() / 1000

    def _load(self) -> None:
        self._held.clear()
        now = self._now()
        self._clock = Clock(self._wall_ms(), now)
        for stored in self._store.load():
            absence_s = max(0.0, now - stored.written_ms / 1000)
            try:
                if parse_session_id(stored.session_id) is None:
                    raise RecordFormatError("what it is stored under is no session id")
                record = Record.from_portable(aged(stored.portable, absence_s), now)
            except RecordFormatError as error:
                fields = {"session": self._tag(stored.session_id), "reason": str(error)}
                log_event(logging.ERROR, "record_unreadable", fields)
                continue
            self._clock.observe(record.stamp())
            self._held[stored.session_id] = record.held(0.0)

    def _known(self, session_id: str | None) -> tuple[SessionId, bytes] | None:
        """Return an id, and what is held of it, if anything is."""
        parsed = parse_session_id(session_id) if isinstance(session_id, str) else None
        held = self._held.get(parsed) if parsed is not None else None
        return (parsed, held) if parsed is not None and held is not None else None

    def _serving(self, session_id: str | None) -> tuple[SessionId, bytes] | None:
        """Return the same of a session that lives."""
        known = self._known(session_id)
        return known if known is not None and held_serves(known[1], self._now()) else None

    def _record_of(self, session: SavedSession, now: float) -> Record:
        record = Record()
        stamp = self._clock.tick(now)
        created_ms = _ms("created_at", session.created_at, now)
        record.put(CREATED, make_entry(Stamp(created_ms << 16), NIL))
        record.put(MAX_IDLE, make_entry(stamp, pack_seconds("max_idle", session.max_idle)))
        record.put(LIFETIME, make_entry(stamp, pack_seconds("lifetime", session.lifetime)))
        if len(session.attributes) > ATTRIBUTES_MAX:
            raise SessionTooLargeError(
                f"the session has {len(session.attributes)} attributes; at most {ATTRIBUTES_MAX} "
                "are kept"
            )
        size = 0
        for name, value in session.attributes.items():
            check_attribute_name(name)
            packed = pack_value(name, value, SESSION_BYTES_MAX)
            size += len(name.encode()) + len(packed)
            record.put(name.encode(), make_entry(stamp, packed))
        if size > SESSION_BYTES_MAX:
            raise SessionTooLargeError(
                f"the session takes {size} bytes; at most {SESSION_BYTES_MAX} are kept"
            )
        record.touch(stamp, _ms("last_seen", session.last_seen, now) / 1000)
        record.make_whole()
        return record

    def _saved(self, session_id: SessionId, held: bytes) -> SavedSession:
        record = Record.from_held(held)
        created = record.entries.get(CREATED)
        attributes = Attributes(record.entries, self._writers)
        return SavedSession(
            id=session_id.decode("ascii"),
            attributes={name: _plain(value) for name, value in attributes.items()},
            created_at=_moment(stamp_ms(entry_stamp(created)) if created else 0),
            last_seen=_moment(round(record.accessed_at * 1000) if record.accessed else 0),
            max_idle=record.max_idle_s,
            lifetime=record.lifetime_s,
        )

    def _write(self, changes: Iterable[tuple[SessionId, bytes | None]]) -> None:
        failures = self._store.write(list(changes), self._wall_ms())
        for error in failures.values():
            raise StoreError(
                f"the store did not take {len(failures)} sessions ({error}); look after its disk, "
                "and repeat it"
            ) from error


def _plain(value: Any) -> Any:
    """Return a value that may be changed: of a map, a dict."""
    return value.copy() if isinstance(value, MapCopy) else value


def _moment(ms: int) -> datetime:
    return _EPOCH + ms * _MS


def _ms(name: str, moment: datetime | None, now: float) -> int:
    """Return a moment in milliseconds since 1970, at the latest ``now`` (seconds)."""
    if moment is None:
        return round(now * 1000)
    if moment.tzinfo is None:
        raise ValueError(f"{name} is {moment!r}, which has no time zone; use datetime.now(UTC)")
    if moment < _EPOCH:
        raise ValueError(f"{name} is {moment!r}, which is before 1970")
    return min(round(now * 1000), (moment - _EPOCH) // _MS)
