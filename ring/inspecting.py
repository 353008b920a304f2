"""Looking through the sessions of a home, a page at a time, without changing anything.

Rules:
- A page begins behind the last id of the one before, in one shard after the other; so what comes
  and goes meanwhile is listed or not, and nothing that stays is left out or comes twice.
- A page looks at one shard, and at more while they have few records, so that none takes long.
- Values, and the members of maps and sets, are told only of a session that is asked for by its id.
"""

from typing import Final

import msgpack

from ring.clock import STAMP_BYTES, Stamp, stamp_ms
from ring.comparing import Comparing
from ring.core import Core
from ring.entry import CREATED, NIL, PRINCIPAL, EndReason, entry_stamp
from ring.identity import SessionId, home_of
from ring.inquiry import PRINCIPAL_CHARS_MAX, ROWS_MAX, Inspect, Inspected, Row, State
from ring.links import Links
from ring.packed import is_sendable
from ring.record import Record
from ring.structured import is_part, says_removed
from ring.table import SHARDS
from ring.tombstone import epitaph_of

LOOKED_AT_MAX: Final = 16_384
"""Records after which no further shard is begun: some 5 ms (measured)."""


class Inspecting:
    """This node's table, to be looked through."""

    def __init__(self, core: Core, links: Links, comparing: Comparing) -> None:
        self._core = core
        self._links = links
        self._comparing = comparing

    def page(self, question: Inspect, now: float) -> Inspected:
        """Return what is asked for; ``told`` is False if another member acts for the home."""
        core, home = self._core, question.home
        acting = core.view.acting_owner(home)
        if home not in core.view.claims:
            return Inspected(question.number, acting, False, 0, 0, (), 0, b"")
        if question.only:
            session_id = SessionId(question.only)
            ids, shard, after = [session_id], SHARDS, b""
        else:
            ids, shard, after = self._next(question)
        rows = [row for row in (self._row(each, question, now) for each in ids) if row is not None]
        ended = core.table.ended(home)
        sessions = core.table.count(home) - ended
        return Inspected(
            question.number, core.name, True, sessions, ended, tuple(rows), shard, after
        )

    def _next(self, question: Inspect) -> tuple[list[SessionId], int, bytes]:
        """Return the ids on a page, and where the next one begins."""
        table, room = self._core.table, min(question.rows_max, ROWS_MAX)
        shard, after, looked_at = question.shard, question.after, 0
        ids = list[SessionId]()
        while shard < SHARDS and room and looked_at < LOOKED_AT_MAX:
            found = table.following(
                question.home, shard, SessionId(after), room, with_ended=question.with_ended
            )
            looked_at += table.shard_size(question.home, shard)
            ids += found
            room -= len(found)
            if room:
                shard, after = shard + 1, b""
            else:
                after = ids[-1]
        return ids, shard, after

    def _row(self, session_id: SessionId, question: Inspect, now: float) -> Row | None:
        core = self._core
        held = core.table.held(session_id)
        if held is None:
            return None
        record = Record.from_held(held)
        created, accessed_ms, due_ms = Stamp(0), 0, 0
        if CREATED in record.entries:
            created = entry_stamp(record.entries[CREATED])
        if record.accessed:
            accessed_ms = max(0, core.clock.physical_ms(record.accessed_at))
        due = record.due(core.table.epoch)
        if due < _FAR:
            due_ms = max(0, core.clock.physical_ms(due))
        epitaph = epitaph_of(record)
        if epitaph is not None:
            created, accessed_ms = epitaph.created, stamp_ms(epitaph.accessed)
        return Row(
            session_id,
            _state(record, due, now),
            len(session_id) + len(held),
            len(_attributes(record)),
            created,
            accessed_ms,
            due_ms,
            _principal(record),
            self._holders(session_id),
            _portable(record, now, question) if question.only else b"",
        )

    def _holders(self, session_id: SessionId) -> tuple[str, ...]:
        """Return who is known to have a session as it is here."""
        core, home = self._core, home_of(session_id)
        return tuple(
            name
            for name in core.view.holders(home)
            if name == core.name or self._holds(name, home, session_id)
        )

    def _holds(self, name: str, home: str, session_id: SessionId) -> bool:
        outbound = self._links.outbound.get(name)
        return (
            outbound is not None
            and not outbound.stream.carries(session_id)
            and not self._comparing.lacks(home, name, session_id)
        )


_FAR: Final = float(1 << 48)
"""A moment so late that it is none."""


def _state(record: Record, due: float, now: float) -> State:
    if record.ended:
        epitaph = epitaph_of(record)
        is_rotation = epitaph is not None and epitaph.reason is EndReason.ROTATED
        return State.ROTATED if is_rotation else State.ENDED
    if record.expired or due <= now:
        return State.EXPIRED
    return State.ALIVE if record.whole else State.PARTIAL


def _attributes(record: Record) -> list[bytes]:
    """Return the names of the attributes that are there."""
    entries = record.entries
    return [
        key
        for key, entry in entries.items()
        if key[0] != 0 and not is_part(key)
        if not says_removed(entry) or not all(says_removed(entries[p]) for p in record.parts(key))
    ]


def _principal(record: Record) -> str:
    value = record.value(PRINCIPAL)
    try:
        principal = msgpack.unpackb(value) if value else ""
    except (ValueError, msgpack.UnpackException):
        return ""  # A newer version's spelling.
    return principal[:PRINCIPAL_CHARS_MAX] if isinstance(principal, str) else ""


def _portable(record: Record, now: float, question: Inspect) -> bytes:
    """Return the record; without its values, and without members, unless they are asked for."""
    if record.ended:
        return b""  # It has no attributes, and says the rest above.
    shown = record
    if not question.with_values:
        shown = Record(accessed=record.accessed, accessed_at=record.accessed_at)
        shown.entries = {key: each for key, each in record.entries.items() if key[0] == 0}
        for name in _attributes(record):
            shown.entries[name] = record.entries[name][:STAMP_BYTES] + NIL
    portable = shown.portable(now)
    return portable if is_sendable(portable) else b""
