"""Acting for a session: what a request does to its record, and to whatever it has become.

Rule: every record concerned is on its way to the store and to who has to have it when ``write``
returns; who waits for that is decided elsewhere.
"""

from typing import Final, assert_never

from ring.core import Core
from ring.entry import ACCESSED, CREATED, EndReason, entry_stamp
from ring.identity import SessionId, home_of, namespace_of
from ring.journal import Happening
from ring.messages import End, Failure, Request, Rotate, Save
from ring.packed import held_touch_may_be_due
from ring.record import Record
from ring.replication import Replication
from ring.rotating import CHAIN_MAX, Rotation, may_follow, rotation_at
from ring.writing import FULL_REASON, RefusedChange, apply_changes, apply_end, apply_rotation

_OF_UNKNOWN: Final = 0.5
"""Up to this share of what may be remembered the ends of unknown ids are remembered as well."""


class Acting:
    """The acting owner's hand on its table."""

    def __init__(self, core: Core, replication: Replication) -> None:
        self._core = core
        self._replication = replication

    def sought(self, request: Request) -> SessionId:
        """Return whose record a request needs: of a rotation that was done already, the new one."""
        if isinstance(request, Rotate):
            rotation = self._rotation(request.session_id)
            if rotation is not None and rotation.new_id == request.new_id:
                return request.new_id
        return request.session_id

    def touch(self, session_id: SessionId, held: bytes, now: float) -> None:
        """Write an access down, if the last one is long enough ago."""
        if held_touch_may_be_due(held, now):
            record = Record.from_held(held)
            if record.touch_due(now):
                record.touch(self._core.clock.tick(now), now)
                self._replication.write(session_id, record, {ACCESSED}, now)

    def write(self, request: Save | End | Rotate, now: float) -> list[SessionId]:
        """Carry ``request`` out; return the sessions for which its receipt has to wait.

        What is ``sought`` is here, and whole, unless ``request`` creates or ends it.

        Raises:
            RefusedChange: it cannot be carried out. Nothing was changed.
        """
        match request:
            case Save():
                self._save(request.session_id, request, now)
                return [request.session_id]
            case End():
                return self._end(request.session_id, now)
            case Rotate():
                return self._rotate(request, now)
            case _:
                assert_never(request)

    def _is_full(self, share: float = 1.0) -> bool:
        """Return whether ends take this share of what they may take."""
        limit = self._core.settings.tombstone_bytes_max
        return self._core.table.tombstone_bytes >= share * limit

    def _why_full(self, session_id: SessionId) -> str:
        """Return why no session may be created with this id; empty if one may."""
        if self._is_full():
            return FULL_REASON
        namespace, home = namespace_of(session_id), home_of(session_id)
        limit = self._core.settings.limits_of(namespace).sessions_max
        if not limit or self._core.table.alive(home, namespace) < limit:
            return ""
        where = f"namespace {namespace}" if namespace else "the default namespace"
        return (
            f"{home} has {limit} living sessions of {where}, which is its limit sessions_max; "
            "raise that, or let sessions expire sooner"
        )

    def _save(self, session_id: SessionId, request: Save | Rotate, now: float) -> None:
        core = self._core
        record = core.table.get(session_id)
        why_full = self._why_full(session_id) if record is None else ""
        record = record or Record()
        is_new = not record.digest
        before = dict(record.entries) if core.overwrites is not None else {}
        keys = apply_changes(
            record,
            request,
            core.settings.limits_of(namespace_of(session_id)),
            core.clock,
            core.table.epoch,
            now,
            why_full=why_full,
        )
        if core.overwrites is not None:
            core.overwrites.note_written(session_id, before, record)
        if keys:
            self._replication.write(session_id, record, keys, now)
            if is_new:
                created = entry_stamp(record.entries[CREATED])
                core.journal.note(session_id, Happening.CREATED, created)
            else:
                core.journal.note_changed(session_id, core.clock.last)
        else:
            self._replication.confirm(session_id)

    def _end(self, session_id: SessionId, now: float) -> list[SessionId]:
        """End a session, and whatever it has become under other ids."""
        core = self._core
        ended = [session_id]
        while (rotation := self._rotation(ended[-1])) and len(ended) < CHAIN_MAX:
            ended.append(rotation.new_id)
        record = core.table.get(session_id)
        if record is None and self._is_full(_OF_UNKNOWN):
            # Strangers may make up as many ids as they like; there has to be room for the others.
            raise RefusedChange(Failure.FULL, FULL_REASON)
        record = record or Record()
        if apply_end(record, core.name, core.clock, now):
            self._replication.merge(session_id, record, 0, (), now)
            for each_id in ended:
                core.journal.note(each_id, Happening.ENDED, record.stamp())
        else:
            self._replication.confirm(session_id)
        return ended

    def _rotation(self, session_id: SessionId) -> Rotation | None:
        return rotation_at(session_id, self._core.table.get(session_id))

    def _rotate(self, request: Rotate, now: float) -> list[SessionId]:
        core, old_id, new_id = self._core, request.session_id, request.new_id
        if not may_follow(old_id, new_id):
            raise RefusedChange(
                Failure.INVALID,
                "a session goes on under another id of the same home and namespace, or not at all",
            )
        record = core.table.get(old_id) or Record()
        rotation = rotation_at(old_id, record)
        if rotation is not None and rotation.new_id == new_id:
            # It is asked for again, since the answer was lost.
            assert core.table.held(new_id) is not None, "it is what was sought"
            self._save(new_id, request, now)
            self._replication.confirm(old_id)
        else:
            other = core.table.get(new_id)
            if other is not None and other.ended:
                raise RefusedChange(Failure.GONE, "the session was ended under its new id")
            if self._is_full() and not record.ended:
                # Each one is remembered like an end, and nothing else limits how many there are.
                raise RefusedChange(Failure.FULL, FULL_REASON)
            limits = core.settings.limits_of(namespace_of(old_id))
            rotated, stamp = apply_rotation(
                record, request, limits, core.clock, core.table.epoch, now
            )
            record.end(EndReason.ROTATED, core.name, stamp, new_id=new_id)
            self._replication.rotate(old_id, new_id, record, rotated, now)
            core.journal.note(old_id, Happening.ROTATED, stamp, new_id)
            core.journal.note(new_id, Happening.CONTINUED, stamp, old_id)
            core.notice("rotated", home=home_of(old_id))
        return [new_id, old_id]
