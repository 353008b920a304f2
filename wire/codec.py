"""Messages: each is one msgpack array, a tag and the fields of its class in their order.

Rules:
- The tags stand in one table, below, and never change; a tag that is gone is not used again.
- Array and tag are spelled in one byte each, so that the tag is known, and with it every limit,
  before msgpack sees the payload. There are no maps, no floats and no extension types.
- Whatever bytes a peer sends, ``decode`` raises RemoteProtocolError or returns a message in
  which every type, range, length and count has been checked.

msgpack makes room for an array when it reads its header, so nested headers cost memory before
they fail: 1,000 of them with the largest count of a stream 34 MB, and 0.1 s, once per link and
only from an authenticated member (measured).
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

import msgpack
from attrs import frozen

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.announcements import ANNOUNCED_MAX, Announced, Announcements
from ring.entry import ENTRIES_MAX
from ring.errors import LocalProtocolError, RemoteProtocolError
from ring.inquiry import Inspect, Inspected, Story, Why
from ring.messages import (
    RELEASED_MAX,
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    End,
    Failed,
    Find,
    Found,
    Leaving,
    Listing,
    Members,
    Message,
    Offer,
    Offered,
    Records,
    Redirect,
    Release,
    Rotate,
    Save,
    Saved,
    Status,
)
from ring.questions import MATCHES_MAX, Matches, Query
from wire import asking, control, hot, inquiries, tidings
from wire.limits import (
    CHANGES_MAX,
    DIFFERENT_MAX,
    FRAME_BYTES_MAX,
    LISTED_MAX,
    NAMES_MAX,
    RECORDS_MAX,
    TEXT_BYTES_MAX,
)
from wire.rings import COLUMNS

_T = TypeVar("_T")

_SHORT_ARRAY: Final = 0x90
"""msgpack's array of up to 15 elements begins with this, its length in the lower half."""


@frozen
class _Spelling:
    """How one class of messages is written and read."""

    tag: int
    spell: Callable[[Any], list[object]]
    read: Callable[[list[object]], Any]
    elements_max: int
    """The longest array anywhere in the message."""
    checked_when_sent: bool = True
    """Off for streams of records, whose values were made by this project."""


def _by_hand(
    tag: int,
    spell: Callable[[_T], list[object]],
    read: Callable[[list[object]], _T],
    elements_max: int = NAMES_MAX,
    *,
    checked_when_sent: bool = True,
) -> _Spelling:
    return _Spelling(tag, spell, read, elements_max, checked_when_sent)


def _by_cattrs(tag: int, kind: type[Message], elements_max: int = NAMES_MAX) -> _Spelling:
    return _Spelling(tag, control.spell, partial(control.read, kind), elements_max)


_SPELLINGS: Final[dict[type[Message], _Spelling]] = {
    # The stream.
    Changes: _by_hand(
        1, hot.spell_changes, hot.read_changes, 3 * CHANGES_MAX, checked_when_sent=False
    ),
    Release: _by_hand(
        3, hot.spell_release, hot.read_release, 2 * RELEASED_MAX, checked_when_sent=False
    ),
    Announced: _by_hand(4, tidings.spell_announced, tidings.read_announced, 3 * ANNOUNCED_MAX),
    Announcements: _by_hand(
        5, tidings.spell_announcements, tidings.read_announcements, 5 * ANNOUNCED_MAX
    ),
    Acks: _by_hand(2, hot.spell_acks, hot.read_acks, 2 * DIFFERENT_MAX),
    # Liveness.
    Status: _by_cattrs(16, Status),
    # The ring itself.
    RingRecord: _by_cattrs(17, RingRecord, COLUMNS * NAMES_MAX),
    ShowRing: _by_cattrs(52, ShowRing),
    SetRing: _by_cattrs(53, SetRing, COLUMNS * NAMES_MAX),
    RingShown: _by_cattrs(71, RingShown, COLUMNS * NAMES_MAX),
    # Comparison.
    Compare: _by_cattrs(32, Compare),
    Records: _by_hand(
        33, hot.spell_records, hot.read_records, 3 * RECORDS_MAX, checked_when_sent=False
    ),
    Listing: _by_hand(
        34, hot.spell_listing, hot.read_listing, 2 * LISTED_MAX, checked_when_sent=False
    ),
    Compared: _by_cattrs(35, Compared),
    Offer: _by_hand(38, hot.spell_offer, hot.read_offer, 2 * RELEASED_MAX, checked_when_sent=False),
    Offered: _by_cattrs(39, Offered),
    Ask: _by_cattrs(36, Ask),
    Answer: _by_cattrs(37, Answer),
    # Requests and replies.
    Find: _by_hand(48, hot.spell_find, hot.read_find),
    Save: _by_hand(49, hot.spell_save, hot.read_save, 2 * ENTRIES_MAX),
    End: _by_cattrs(50, End),
    Rotate: _by_hand(51, hot.spell_rotate, hot.read_rotate, 2 * ENTRIES_MAX),
    Found: _by_hand(64, hot.spell_found, hot.read_found),
    Absent: _by_cattrs(65, Absent),
    Saved: _by_hand(66, hot.spell_saved, hot.read_saved),
    Failed: _by_cattrs(67, Failed),
    Members: _by_cattrs(68, Members),
    Leaving: _by_cattrs(69, Leaving),
    Redirect: _by_cattrs(70, Redirect),
    # Questions about many sessions.
    Query: _by_hand(54, asking.spell_query, asking.read_query),
    Matches: _by_hand(72, asking.spell_matches, asking.read_matches, 2 * MATCHES_MAX),
    # Questions of people.
    Why: _by_cattrs(55, Why),
    Inspect: _by_hand(56, inquiries.spell_inspect, inquiries.read_inspect),
    Story: _by_hand(73, inquiries.spell_story, inquiries.read_story, inquiries.STORY_ELEMENTS_MAX),
    Inspected: _by_hand(
        74, inquiries.spell_inspected, inquiries.read_inspected, inquiries.PAGE_ELEMENTS_MAX
    ),
}
"""The tag table; ``docs/protocol.md`` gives every field's type and limit."""

TAGS: Final[dict[type[Message], int]] = {
    kind: spelling.tag for kind, spelling in _SPELLINGS.items()
}
_BY_TAG: Final = {spelling.tag: (kind, spelling) for kind, spelling in _SPELLINGS.items()}


def encode(message: Message) -> bytes:
    """Return the payload of ``message``.

    Raises:
        LocalProtocolError: it is not a message, or a field, a count or the whole is over its
            limit. Definite: the caller has nothing to send.
    """
    name = type(message).__name__
    spelling = _SPELLINGS.get(type(message))
    if spelling is None:
        raise LocalProtocolError(f"{name} is not a message")
    try:
        fields = spelling.spell(message)
        if spelling.checked_when_sent:
            spelling.read(fields)
        payload: bytes = msgpack.packb([spelling.tag, *fields])
    except (ValueError, TypeError, OverflowError) as error:
        raise LocalProtocolError(f"cannot send {name}: {error}") from error
    if len(payload) > FRAME_BYTES_MAX:
        raise LocalProtocolError(
            f"cannot send {name}: it has {len(payload)} bytes; {FRAME_BYTES_MAX} are allowed"
        )
    return payload


def decode(payload: bytes) -> Message:
    """Return the message that ``payload`` spells.

    Raises:
        RemoteProtocolError: it spells none, whatever is wrong with it. Nothing of it was used.
    """
    name = "bytes"
    try:
        if payload[0] & 0xF0 != _SHORT_ARRAY:
            raise ValueError("it is not an array of up to 15 elements")
        kind, spelling = _BY_TAG[payload[1]]
        name = kind.__name__
        tagged = msgpack.unpackb(
            payload,
            max_array_len=spelling.elements_max,
            max_bin_len=len(payload),
            max_str_len=TEXT_BYTES_MAX,
            max_map_len=0,
            max_ext_len=0,
        )
        message: Message = spelling.read(tagged[1:])
    except Exception as error:
        # The one broad except of the package: whatever is wrong with the bytes is the peer's.
        raise RemoteProtocolError(f"the peer sent unreadable {name}: {_why(error)}") from error
    return message


def _why(error: Exception) -> str:
    """Return what ``error`` says, in a form that repeats no value of the peer's."""
    match error:
        case KeyError():
            return "unknown tag"
        case IndexError():
            return "it has no tag"
        case UnicodeDecodeError():
            return "text that is not UTF-8"
        case _:
            return str(error) or type(error).__name__
