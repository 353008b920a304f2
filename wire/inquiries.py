"""What people ask about sessions, spelled by hand: stories and pages are flat lists.

Rule: as in ``wire.hot``. A member that is not known has an empty name here.
"""

from typing import Any, Final

from ring.clock import Stamp
from ring.identity import SessionId
from ring.inquiry import (
    NOTES_MAX,
    PRINCIPAL_CHARS_MAX,
    ROWS_MAX,
    Inspect,
    Inspected,
    Row,
    State,
    Story,
)
from ring.journal import Happening, Note
from ring.table import SHARDS
from wire import checks

NOTE_COLUMNS: Final = 6
STORY_ELEMENTS_MAX: Final = NOTE_COLUMNS * NOTES_MAX
ROW_COLUMNS: Final = 10
PAGE_ELEMENTS_MAX: Final = ROW_COLUMNS * ROWS_MAX
OTHER_BYTES_MAX: Final = 55
"""The longest session id."""


def spell_story(message: Story) -> list[object]:
    """Return the fields of a Story."""
    flat = list[object]()
    for note in message.notes:
        flat += (note.member, note.happening.value, note.first, note.last)
        flat += (note.times, note.other)
    return [message.number, flat, list(message.unheard)]


def read_story(fields: list[object]) -> Story:
    """Return the Story that ``fields`` spell, or raise a ValueError."""
    number, flat, unheard = fields
    columns = checks.flat_columns(flat, NOTE_COLUMNS, NOTES_MAX)
    return Story(
        checks.u64(number, "number"),
        tuple(_note(*row) for row in zip(*columns, strict=True)),
        checks.member_names(unheard, "unheard"),
    )


def _note(
    member: object, happening: object, first: object, last: object, times: object, other: object
) -> Note:
    others = checks.exactly(bytes, other, "other")
    if len(others) > OTHER_BYTES_MAX:
        raise ValueError(f"other has {len(others)} bytes; {OTHER_BYTES_MAX} are allowed")
    return Note(
        checks.member_name(member, "member") if member != "" else "",
        Happening(checks.exactly(int, happening, "happening")),
        Stamp(checks.u64(first, "first")),
        Stamp(checks.u64(last, "last")),
        checks.u64(times, "times"),
        others,
    )


def spell_inspect(message: Inspect) -> list[object]:
    """Return the fields of an Inspect."""
    return [
        message.number,
        message.home,
        message.shard,
        message.after,
        message.rows_max,
        message.only,
        message.with_ended,
        message.with_values,
        message.forwarded,
    ]


def read_inspect(fields: list[object]) -> Inspect:
    """Return the Inspect that ``fields`` spell, or raise a ValueError."""
    number, home, shard, after, rows_max, only, with_ended, with_values, forwarded = fields
    question = Inspect(
        checks.u64(number, "number"),
        checks.member_name(home, "home"),
        _shard(shard),
        _maybe_id(after, "after"),
        checks.u64(rows_max, "rows_max"),
        _maybe_id(only, "only"),
        checks.exactly(bool, with_ended, "with_ended"),
        checks.exactly(bool, with_values, "with_values"),
        checks.exactly(bool, forwarded, "forwarded"),
    )
    if question.rows_max > ROWS_MAX:
        raise ValueError(f"rows_max is {question.rows_max}; {ROWS_MAX} are allowed")
    if question.only and not question.only.startswith(f"{question.home}.".encode()):
        raise ValueError("only is of another home")
    return question


def spell_inspected(message: Inspected) -> list[object]:
    """Return the fields of an Inspected."""
    flat = list[object]()
    for row in message.rows:
        flat += (
            row.session_id,
            row.state.value,
            row.size,
            row.attributes,
            row.created,
            row.accessed_ms,
            row.due_ms,
            row.principal,
            list(row.holders),
            row.portable,
        )
    return [
        message.number,
        message.acting,
        message.told,
        message.sessions,
        message.ended,
        flat,
        message.shard,
        message.after,
    ]


def read_inspected(fields: list[object]) -> Inspected:
    """Return the Inspected that ``fields`` spell, or raise a ValueError."""
    number, acting, told, sessions, ended, flat, shard, after = fields
    columns = checks.flat_columns(flat, ROW_COLUMNS, ROWS_MAX)
    return Inspected(
        checks.u64(number, "number"),
        checks.member_name(acting, "acting"),
        checks.exactly(bool, told, "told"),
        checks.u64(sessions, "sessions"),
        checks.u64(ended, "ended"),
        tuple(_row(row) for row in zip(*columns, strict=True)),
        _shard(shard),
        _maybe_id(after, "after"),
    )


def _row(columns: tuple[Any, ...]) -> Row:
    session_id, state, size, attributes, created, accessed, due, principal, holders, portable = (
        columns
    )
    return Row(
        checks.session_id(session_id, "session id"),
        State(checks.exactly(int, state, "state")),
        checks.u64(size, "size"),
        checks.u64(attributes, "attributes"),
        Stamp(checks.u64(created, "created")),
        checks.u64(accessed, "accessed_ms"),
        checks.u64(due, "due_ms"),
        checks.text(principal, "principal", PRINCIPAL_CHARS_MAX),
        checks.member_names(holders, "holders"),
        checks.exactly(bytes, portable, "portable"),
    )


def _shard(value: object) -> int:
    shard = checks.u64(value, "shard")
    if shard > SHARDS:
        raise ValueError(f"shard is {shard}; 0 to {SHARDS} are allowed")
    return shard


def _maybe_id(value: object, what: str) -> bytes:
    return checks.session_id(value, what) if value != b"" else SessionId(b"")
