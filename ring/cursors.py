"""How far a question was answered, as bytes: they travel to whoever asks, and come back.

Rules:
- Nobody remembers a question between two of its pages: all that is needed is in the cursor.
- A member's part is meant for that life of that member. In another one it means nothing, and the
  member is read from the beginning.
- What comes back is checked like anything that a peer has sent.
"""

from typing import Any, Final

import msgpack
from attrs import define, field

from ring.errors import RemoteProtocolError
from ring.index import INDEXED_BYTES_MAX, Place
from ring.placement import MEMBERS_MAX
from ring.questions import CURSOR_BYTES_MAX

_PART_BYTES_MAX: Final = INDEXED_BYTES_MAX + 64


def spell_place(life: int, place: Place) -> bytes:
    """Return how far a member was read in one of its lives."""
    spelled: bytes = msgpack.packb([life, place.shard, place.value, place.chunk])
    return spelled


def read_place(cursor: bytes, life: int) -> Place:
    """Return where a member that is in this life goes on.

    Raises:
        RemoteProtocolError: no member has made this.
    """
    if not cursor:
        return Place()
    parts = _unpacked(cursor, _PART_BYTES_MAX, 4)
    if list(map(type, parts)) != [int, int, bytes, int] or min(parts[1], parts[3]) < 0:
        raise RemoteProtocolError("a question goes on at a place that cannot be")
    of_life, shard, value, chunk = parts
    return Place(shard, value, chunk) if of_life == life else Place()


@define
class Progress:
    """How far one member was asked."""

    member: str
    cursor: bytes = b""
    done: bool = False
    is_down: bool = False
    """It could not be asked, and is not about to come."""
    is_missing: bool = False
    """It could not be asked, or did not answer."""
    homes: frozenset[str] | None = None
    """Of which homes it has said all, in every page so far; None: it has said nothing yet."""
    partly: frozenset[str] = field(factory=frozenset)
    """For which it acts as well, without knowing all, or not in every page."""

    def note(self, homes: frozenset[str], partly: frozenset[str], cursor: bytes) -> None:
        """Take a page of its answer."""
        before = homes if self.homes is None else self.homes
        self.partly |= partly | (homes ^ before)
        self.homes = before & homes
        self.cursor, self.done = cursor, not cursor


def spell_progress(all_progress: list[Progress]) -> bytes:
    """Return how far all members were asked."""
    spelled: bytes = msgpack.packb(
        [
            [
                each.member,
                each.cursor,
                each.done + 2 * each.is_down + 4 * each.is_missing,
                sorted(each.homes) if each.homes is not None else None,
                sorted(each.partly),
            ]
            for each in all_progress
        ]
    )
    return spelled


def read_progress(cursor: bytes) -> list[Progress]:
    """Return how far all members were asked.

    Raises:
        RemoteProtocolError: no member has made this.
    """
    rows = _unpacked(cursor, CURSOR_BYTES_MAX, None)
    try:
        return [_progress(*row) for row in rows]
    except (TypeError, ValueError) as error:
        raise RemoteProtocolError("a question goes on in a way that cannot be") from error


def _progress(
    member: object, cursor: object, flags: object, homes: object, partly: object
) -> Progress:
    if type(cursor) is not bytes or type(flags) is not int or not 0 <= flags < 8:
        raise ValueError("no cursor of a member")
    return Progress(
        _name(member),
        cursor,
        bool(flags & 1),
        bool(flags & 2),
        bool(flags & 4),
        None if homes is None else _names(homes),
        _names(partly),
    )


def _names(names: object) -> frozenset[str]:
    if type(names) is not list:
        raise ValueError("no names")
    return frozenset(map(_name, names))


def _name(name: object) -> str:
    if type(name) is not str or len(name) > 64:
        raise ValueError("no name")
    return name


def _unpacked(cursor: bytes, bytes_max: int, length: int | None) -> list[Any]:
    """Return the array that a cursor is."""
    try:
        if len(cursor) > bytes_max:
            raise ValueError("too long")
        parts = msgpack.unpackb(
            cursor,
            max_array_len=MEMBERS_MAX,
            max_bin_len=_PART_BYTES_MAX,
            max_str_len=64,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RemoteProtocolError("a question goes on in a way that cannot be") from error
    if type(parts) is not list or length not in (None, len(parts)):
        raise RemoteProtocolError("a question goes on in a way that cannot be")
    return parts
