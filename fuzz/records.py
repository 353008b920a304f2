"""Target: records in portable form, from a peer or a disk, and what a table makes of them.

Input: where the first record ends, then two records in portable form.
"""

from typing import Final

from fuzz.drawn import Drawn
from ring.errors import RecordFormatError
from ring.packed import (
    aged,
    held_access,
    held_digest,
    held_is_ended,
    held_is_whole,
    held_portable,
    is_sendable,
)
from ring.record import Record

NOW: Final = 1_000_000_000.0
EPOCH: Final = 1_700_000_000.0
AGE_ERROR_S: Final = 0.01


def fuzz(data: bytes) -> None:
    """Check one input."""
    drawn = Drawn(data)
    one, other = _read(drawn.some(4096)), _read(drawn.rest())
    if one is None:
        return
    _check_forms(one)
    if other is not None:
        _check_merge(one, other)


def _read(portable: bytes) -> Record | None:
    try:
        return Record.from_portable(portable, NOW)
    except RecordFormatError:
        return None


def _copy(record: Record) -> Record:
    return Record.from_portable(record.portable(NOW), NOW)


def _check_forms(record: Record) -> None:
    portable = record.portable(NOW)
    again = Record.from_portable(portable, NOW)
    _check_same(again, record)
    held = record.held(EPOCH)
    assert Record.from_held(held) == record
    assert held_portable(held, NOW) == portable
    assert held_digest(held) == record.digest
    assert held_is_ended(held) == record.ended
    assert held_is_whole(held) == record.whole
    assert held_access(held) == (record.accessed, record.accessed_at)
    assert is_sendable(portable)
    older = Record.from_portable(aged(portable, 5.0), NOW)
    assert older.entries == record.entries
    assert older.accessed_at <= record.accessed_at
    record.touch_due(NOW)
    record.due(EPOCH)
    for key in sorted(record.keys()):
        part = Record.from_portable(record.portable(NOW, [key]), NOW)
        assert not _copy(record).merge(part), "a part of a record is no news to it"


def _check_merge(one: Record, other: Record) -> None:
    there, back = _copy(one), _copy(other)
    there.merge(other)
    back.merge(one)
    _check_same(there, back)
    _check_same(there, _copy(there))
    digest = there.digest
    assert not there.merge(other), "what is merged again is news"
    assert there.digest == digest


def _check_same(one: Record, other: Record) -> None:
    """Check that two records say the same; an age loses what is below a millisecond."""
    assert one.entries == other.entries
    assert (one.whole, one.accessed, one.digest) == (other.whole, other.accessed, other.digest)
    assert abs(one.accessed_at - other.accessed_at) < AGE_ERROR_S
