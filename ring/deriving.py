"""What has happened to a session, seen from how its record has changed.

Rules:
- Whoever merges a change sees what happened by itself, the acting owner and the holders alike,
  whichever way the change has come. So a holder that acknowledges has noted it.
- What comes from a disk is never looked at; what is stamped before this node could see everything
  was announced by others, or will be.
- A rotation is one event of the old id, not a creation of the new one.
"""

from collections.abc import Collection
from typing import Final

from ring.announcements import Announcement, EventKind, key_of
from ring.announcing import Announcing
from ring.clock import Stamp
from ring.core import Core
from ring.entry import CREATED, ENDED, EXPIRED, ROTATED, entry_stamp
from ring.identity import SessionId, home_of
from ring.packed import held_access, held_due, held_is_ended, held_is_whole, held_portable
from ring.record import Record
from ring.rotating import rotation_at
from ring.structured import is_part, name_of
from ring.tombstone import is_blind

_NEVER: Final = float("-inf")


class Deriving:
    """What is noted of changes; call it only while the announcing is on."""

    def __init__(self, core: Core, announcing: Announcing) -> None:
        self._core = core
        self._announcing = announcing

    def on_written(
        self, session_id: SessionId, before: bytes | None, keys: Collection[bytes], now: float
    ) -> None:
        """This node has changed entries of a session, which has not ended."""
        self.on_merged(session_id, before, keys, now)
        home = home_of(session_id)
        listens = self._core.view.listens_to >> EventKind.CHANGED & 1
        if not listens or CREATED in keys or home not in self._core.view.claims:
            return
        names = {name_of(key) if is_part(key) else key for key in keys if key[0] != 0}
        if names:
            stamp, named = self._core.clock.last, tuple(sorted(names))
            changed = Announcement(session_id, EventKind.CHANGED, stamp, names=named)
            self._announcing.hint(changed)

    def on_merged(
        self, session_id: SessionId, before: bytes | None, keys: Collection[bytes], now: float
    ) -> None:
        """Entries of a session have changed, which has not ended."""
        if CREATED in keys:
            self._note_creation(session_id, before, now)
        if EXPIRED in keys and before is not None:
            self._note_expiry(session_id, before, now)

    def _note_creation(self, session_id: SessionId, before: bytes | None, now: float) -> None:
        if before is not None and CREATED in Record.from_held(before).entries:
            return
        held = self._core.table.held(session_id)
        assert held is not None
        record = Record.from_held(held)
        stamp = entry_stamp(record.entries[CREATED])
        if ROTATED in record.entries or not self._is_listened_to(
            session_id, EventKind.CREATED, stamp
        ):
            return
        portable = held_portable(held, now)
        self._announcing.add(Announcement(session_id, EventKind.CREATED, stamp, portable), now)

    def _note_expiry(self, session_id: SessionId, before: bytes, now: float) -> None:
        held = self._core.table.held(session_id)
        assert held is not None
        if held_due(held) != _NEVER or held_due(before) == _NEVER or not held_is_whole(held):
            return
        accessed, _ = held_access(held)
        if self._announcing.listeners(home_of(session_id)) >> EventKind.EXPIRED & 1:
            portable = held_portable(before, now)
            self._announcing.add(
                Announcement(session_id, EventKind.EXPIRED, accessed, portable), now
            )

    def on_ended(
        self, session_id: SessionId, before: bytes | None, tombstone: Record, now: float
    ) -> None:
        """A session has become a tombstone, or a tombstone another one."""
        if before is not None and held_is_ended(before):
            return
        entry = tombstone.entries[ENDED]
        rotation = rotation_at(session_id, tombstone)
        kind = EventKind.DELETED if rotation is None else EventKind.ROTATED
        if before is not None and held_due(before) == _NEVER:
            # Its expiry was its end. Who hears of this one only is told that it was announced.
            self._core.outbox.deliver(key_of(session_id, kind, 0), entry_stamp(entry), now)
            return
        # Who ended what it had not has announced nothing, whenever that was.
        blind = is_blind(tombstone)
        if before is None and blind:
            return  # An end of an id that nobody had.
        stamp = entry_stamp(entry)
        if not self._is_listened_to(session_id, kind, stamp, always=blind):
            return
        state = held_portable(before, now) if before is not None else b""
        if rotation is not None:
            moved = self._core.table.portable(rotation.new_id, now)
            state = moved or state
        self._announcing.add(
            Announcement(
                session_id,
                kind,
                entry_stamp(entry),
                state,
                rotation.new_id if rotation is not None else None,
            ),
            now,
        )
        if blind:
            self._announcing.tell_acting(home_of(session_id))

    def _is_listened_to(
        self, session_id: SessionId, kind: EventKind, stamp: Stamp, *, always: bool = False
    ) -> bool:
        home, announcing = home_of(session_id), self._announcing
        is_heard = bool(announcing.listeners(home) >> kind & 1)
        return is_heard and (always or stamp > announcing.since(home))
