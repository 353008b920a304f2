"""What has happened to sessions at this node, for people who ask why: bounded, in memory only.

Rules:
- A story is one bytearray, which the garbage collector never looks at. The last fields of a note
  have a fixed size, and changes of one hour are one note: so a save costs a look and a few bytes
  written in place, and reads leave nothing.
- The story in which nothing has happened for longest goes first, to the minute, and a story loses
  its oldest notes. What happens to many sessions at once begins no story where there is no room.
- Who acts is noted by home, not by session: a takeover costs one note, however many sessions.
- What outlives the process is what records and tombstones say of themselves.
"""

import struct
from collections import OrderedDict, deque
from enum import IntEnum
from typing import Final

from attrs import frozen

from ring.clock import Stamp
from ring.identity import SessionId


class Happening(IntEnum):
    """What may happen to a session."""

    CREATED = 1
    CHANGED = 2
    MERGED = 3
    """What another member had, and this one had not, was merged into what was here."""
    MOVED = 4
    """From then on the member acted for the session."""
    EXPIRED = 5
    ENDED = 6
    ROTATED = 7
    """It ended under this id, and went on under another one."""
    CONTINUED = 8
    """It had another id before."""
    RELEASED = 9
    """The member dropped its copy, since others had the session again."""
    SET_ASIDE = 10
    """The member's copy counts no more: it was away for longer than ends are remembered."""
    ACCESSED = 11
    """It was used; only the last time is known."""


@frozen
class Note:
    """Something that happened to a session at one member, once or several times in a row."""

    member: str
    happening: Happening
    first: Stamp
    last: Stamp
    times: int
    """0: known from the record alone."""
    other: bytes = b""
    """Who else had to do with it: the name of a member, or another id of the session."""


NOTES_BYTES_MAX: Final = 2048
"""The notes of one story; some 90 of them. The older half goes when there are more."""
STORY_BYTES: Final = 240
"""What a story takes beside its notes, the id included (measured with 100,000 of them)."""
TAKEOVERS_MAX: Final = 64
"""Of one home; the oldest goes."""
_FORGOTTEN_AT_ONCE: Final = 1024

_END: Final = struct.Struct(">BBIQQ")
"""The end of a note: the length of its other, what, how often, and the first and last stamp."""
_END_BYTES: Final = _END.size
_HAPPENING_AT: Final = 1 - _END_BYTES
_MINUTE: Final = 60_000 << 16
_HOUR: Final = 60 * _MINUTE
_TIMES_MAX: Final = (1 << 32) - 1
_CHANGED: Final = int(Happening.CHANGED)


class Journal:
    """The stories that one node can tell.

    Args:
        name: this member's name.
        bytes_max: what all stories may take. Larger: they go further back.
    """

    def __init__(self, name: str, bytes_max: int) -> None:
        self._name = name
        self._bytes_max = bytes_max
        self._stories: OrderedDict[SessionId, bytearray] = OrderedDict()
        self._bytes = 0
        self._takeovers: dict[str, deque[Stamp]] = {}

    def __len__(self) -> int:
        return len(self._stories)

    @property
    def size(self) -> int:
        """Bytes that all stories take, about."""
        return self._bytes

    # --- Writing ---

    def note_changed(self, session_id: SessionId, stamp: Stamp) -> None:
        """Note that a session was changed here; every save comes here."""
        story = self._stories.get(session_id)
        if story is not None and story[_HAPPENING_AT] == _CHANGED:
            at = len(story) - _END_BYTES
            _, _, times, first, last = _END.unpack_from(story, at)
            if stamp - first < _HOUR and times < _TIMES_MAX:
                _END.pack_into(story, at, 0, _CHANGED, times + 1, first, stamp)
                if stamp - last >= _MINUTE:  # It costs more than all the rest.
                    self._stories.move_to_end(session_id)
                return
        self.note(session_id, Happening.CHANGED, stamp)

    def note(
        self, session_id: SessionId, happening: Happening, stamp: Stamp, other: bytes = b""
    ) -> None:
        """Note what has happened to a session."""
        self._append(session_id, happening, stamp, other)
        self._stories.move_to_end(session_id)
        while self._bytes > self._bytes_max:
            self._drop_first()

    def note_of_many(
        self, session_id: SessionId, happening: Happening, stamp: Stamp, other: bytes = b""
    ) -> None:
        """Note what happens to many sessions at once, of which few are ever asked for."""
        if session_id in self._stories:
            self.note(session_id, happening, stamp, other)
        elif self._bytes + STORY_BYTES + _END_BYTES + len(other) <= self._bytes_max:
            self._append(session_id, happening, stamp, other)
            self._stories.move_to_end(session_id, last=False)

    def note_takeover(self, home: str, stamp: Stamp) -> None:
        """Note that this node acts for a home from now on."""
        self._takeovers.setdefault(home, deque(maxlen=TAKEOVERS_MAX)).append(stamp)

    def forget(self, before: Stamp) -> None:
        """Drop the stories in which nothing has happened since; only so many in one call."""
        for _ in range(_FORGOTTEN_AT_ONCE):
            story = next(iter(self._stories.values()), None)
            if story is None or _last(story) >= before:
                return
            self._drop_first()

    def _append(
        self, session_id: SessionId, happening: Happening, stamp: Stamp, other: bytes
    ) -> None:
        story = self._stories.get(session_id)
        if story is None:
            story = self._stories[session_id] = bytearray()
            self._bytes += STORY_BYTES
        before = len(story)
        story += other + _END.pack(len(other), happening, 1, stamp, stamp)
        if len(story) > NOTES_BYTES_MAX:
            del story[: _half_of(story)]
        self._bytes += len(story) - before

    def _drop_first(self) -> None:
        _, story = self._stories.popitem(last=False)
        self._bytes -= STORY_BYTES + len(story)

    # --- Reading ---

    def notes(self, session_id: SessionId) -> list[Note]:
        """Return what is remembered of a session, the oldest first."""
        notes = list[Note]()
        story = bytes(self._stories.get(session_id, b""))
        while story:
            length, happening, times, first, last = _END.unpack_from(story, len(story) - _END_BYTES)
            start = len(story) - _END_BYTES - length
            other = story[start : start + length]
            note = Note(self._name, Happening(happening), Stamp(first), Stamp(last), times, other)
            notes.append(note)
            story = story[:start]
        return notes[::-1]

    def takeovers(self, home: str) -> list[Note]:
        """Return when this node has begun to act for a home, the oldest first."""
        return [
            Note(self._name, Happening.MOVED, stamp, stamp, 1)
            for stamp in self._takeovers.get(home, ())
        ]


def _last(story: bytearray) -> int:
    return int.from_bytes(story[-8:], "big")


def _half_of(story: bytearray) -> int:
    """Return where the younger half of a story begins."""
    start = len(story)
    while start > len(story) // 2:
        start -= _END_BYTES + story[start - _END_BYTES]
    return start
