"""A session's story: what one member knows of it, and what all of them know together.

Rules:
- What a record or a tombstone says of itself is told as well, so that something is known after a
  restart, and after what the journal had was dropped. Where a journal knows the same, it counts.
- That somebody acted for the home is part of a story from the session's creation to its end.
"""

from collections.abc import Iterable
from typing import Final

from ring.clock import Stamp
from ring.core import Core
from ring.entry import CREATED, ROTATED, EndReason, entry_stamp
from ring.identity import SessionId, home_of
from ring.inquiry import NOTES_MAX
from ring.journal import Happening, Note
from ring.tombstone import epitaph_of

_BEGINNINGS: Final = (Happening.CREATED, Happening.CONTINUED)
_ENDS: Final = (Happening.ENDED, Happening.ROTATED)


def known_here(core: Core, session_id: SessionId) -> tuple[Note, ...]:
    """Return all that this member knows of a session, in no order."""
    notes = core.journal.notes(session_id) + core.journal.takeovers(home_of(session_id))
    return (*notes[-NOTES_MAX:], *_said_by_record(core, session_id))


def _said_by_record(core: Core, session_id: SessionId) -> list[Note]:
    record = core.table.get(session_id)
    if record is None:
        return []
    said = list[Note]()
    epitaph = epitaph_of(record)
    created, accessed = Stamp(0), record.accessed
    if CREATED in record.entries:
        created = entry_stamp(record.entries[CREATED])
    if epitaph is not None:
        created, accessed = epitaph.created, epitaph.accessed
        is_rotation = epitaph.reason is EndReason.ROTATED
        what = Happening.ROTATED if is_rotation else Happening.ENDED
        said.append(
            Note(epitaph.node, what, epitaph.stamp, epitaph.stamp, 0, epitaph.new_id or b"")
        )
    if created:
        said.append(Note("", Happening.CREATED, created, created, 0))
    if ROTATED in record.entries:
        rotated = entry_stamp(record.entries[ROTATED])
        said.append(Note("", Happening.CONTINUED, rotated, rotated, 0))
    if accessed:
        said.append(Note("", Happening.ACCESSED, accessed, accessed, 0))
    return said


def in_order(notes: Iterable[Note]) -> tuple[Note, ...]:
    """Return what members know of one session as one story, the oldest first; at most the newest.

    Args:
        notes: of all members, in any order.
    """
    told = set(notes)
    noted = {(each.happening, each.first) for each in told if each.times}
    used = max((each.first for each in told if each.happening is Happening.ACCESSED), default=0)
    # A session that was rotated into this id was moved under its old one before.
    begun = max((each.first for each in told if each.happening in _BEGINNINGS), default=None)
    ended = min((each.first for each in told if each.happening in _ENDS), default=None)

    def belongs(note: Note) -> bool:
        match note.happening:
            case Happening.MOVED:
                was_there = begun is not None and note.first > begun
                return was_there and (ended is None or note.first < ended)
            case Happening.ACCESSED:
                return note.first == used
            case _:
                return bool(note.times) or (note.happening, note.first) not in noted

    story = sorted(
        filter(belongs, told),
        key=lambda each: (each.first, each.happening, each.member, each.last, each.other),
    )
    return tuple(story[-NOTES_MAX:])
