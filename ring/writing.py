"""What a client's save or end does to a record; the acting owner stamps it.

Rule: a write is stamped above every stamp in the record that it changes, because the clock has
observed them all. It changes all that was asked for, or nothing.
"""

from collections.abc import Set
from typing import Final

import msgpack
from attrs import define

from ring.clock import STAMP_BYTES, Clock, Stamp
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    ENTRIES_MAX,
    KEY_BYTES_MAX,
    LIFETIME,
    MAX_IDLE,
    NIL,
    PRINCIPAL,
    PRINCIPAL_BYTES_MAX,
    REMEMBERED,
    EndReason,
    make_entry,
)
from ring.errors import RecordFormatError
from ring.largest import Measure, largest
from ring.messages import Failure, Rotate, Save
from ring.record import Record
from ring.rotating import moved, rotation_of
from ring.settings import Limits
from ring.state import is_as_expected
from ring.structured import entries_for, is_new_floor, is_part, name_of, why_not_written

ENTRIES_WRITTEN_MAX: Final = ENTRIES_MAX // 2
"""Half of what a record's form allows: two sides of a partition may both have filled theirs."""

_TERMS: Final = frozenset({LIFETIME, MAX_IDLE})

FULL_REASON: Final = "the ring remembers as many ended sessions as it may"

_WRITABLE_RESERVED: Final = frozenset({CREATED, LIFETIME, MAX_IDLE, PRINCIPAL, REMEMBERED})


@define
class RefusedChange(Exception):
    """The change cannot be made, and was not: ``failure`` and ``reason`` go to who asked."""

    failure: Failure
    reason: str


def apply_changes(
    record: Record,
    request: Save | Rotate,
    limits: Limits,
    clock: Clock,
    epoch: float,
    now: float,
    *,
    why_full: str = "",
) -> Set[bytes]:
    """Make the changes of ``request`` in ``record``; return the keys of what is news.

    With ``why_full``, which says the reason, no session is created.

    Raises:
        RefusedChange: the session is gone, or a change is not allowed. Nothing was changed.
    """
    if record.ended:
        raise RefusedChange(Failure.GONE, "the session was ended")
    exists = record.digest != 0
    if exists and (record.expired or record.due(epoch) <= now):
        raise RefusedChange(Failure.GONE, "the session has expired")
    if isinstance(request, Save):
        _check_expected(record, request)
    _check_changes(record, request, limits)
    if why_full and not exists:
        raise RefusedChange(Failure.FULL, why_full)
    made, stamp = _entries(record, request, clock, now)
    # It was created once, however often the first save is repeated.
    created = CREATED in record.entries
    keys = {
        key for key, entry in made if not (created and key == CREATED) and record.put(key, entry)
    }
    if not exists:
        if record.put(CREATED, make_entry(stamp, NIL)):
            keys.add(CREATED)
        record.make_whole()
    # A marker of expiry judges an access by the terms known then: with others it begins anew.
    if not exists or (keys and record.touch_due(now)) or keys & _TERMS:
        record.touch(stamp, now)
        keys.add(ACCESSED)
    return keys


def apply_rotation(
    record: Record, request: Rotate, limits: Limits, clock: Clock, epoch: float, now: float
) -> tuple[Record, Stamp]:
    """Return the record under its new id, with the changes of ``request``, and when it moved.

    Raises:
        RefusedChange: the session is gone, or a change is not allowed. Nothing was changed.
    """
    if record.ended or not record.digest:
        raise RefusedChange(Failure.GONE, "the session was ended")
    if record.expired or record.due(epoch) <= now:
        raise RefusedChange(Failure.GONE, "the session has expired")
    _check_expected(record, request)
    _check_changes(record, request, limits)
    made, stamp = _entries(record, request, clock, now)
    rotated = moved(record, stamp, now)
    for key, entry in made:
        rotated.put(key, entry)
    rotated.touch(stamp, now)
    return rotated, stamp


def apply_end(record: Record, node: str, clock: Clock, now: float) -> Set[bytes]:
    """Turn ``record`` into the tombstone of a deletion; return the keys of what is news."""
    if record.ended and rotation_of(record) is None:
        return frozenset()
    record.end(EndReason.DELETED, node, clock.tick(now))
    return frozenset({ENDED})


def _entries(
    record: Record, request: Save | Rotate, clock: Clock, now: float
) -> tuple[list[tuple[bytes, bytes]], Stamp]:
    """Return the entries that ``request`` makes, and the greatest stamp among them."""
    floors_at = stamp = clock.tick(now)
    if any(is_part(key) for key, _ in request.changes):
        stamp = clock.tick(now)  # Members are above a floor that is changed with them.
    return entries_for(record.entries, request.changes, floors_at, stamp), stamp


def _check_expected(record: Record, request: Save | Rotate) -> None:
    if not is_as_expected(record, request.expected):
        raise RefusedChange(Failure.CONFLICT, "somebody has changed the session meanwhile")


def _check_changes(record: Record, request: Save | Rotate, limits: Limits) -> None:
    after = {key: len(entry) for key, entry in record.entries.items()}
    for key, value in request.changes:
        if is_new_floor(value):
            for part in record.parts(key):
                del after[part]
    for key, value in request.changes:
        if not 0 < len(key) <= KEY_BYTES_MAX:
            raise RefusedChange(
                Failure.INVALID,
                f"an attribute's name has {len(key)} bytes; use 1 to {KEY_BYTES_MAX}",
            )
        if key.startswith(b"\x00") and key not in _WRITABLE_RESERVED:
            raise RefusedChange(Failure.INVALID, f"{key!r} is reserved; it cannot be written")
        size = len(value or b"")
        if size > limits.attribute_bytes_max:
            raise RefusedChange(
                Failure.TOO_LARGE,
                f"{_what(key)} has {size} bytes packed; "
                f"the limit attribute_bytes_max is {limits.attribute_bytes_max}",
            )
        if key == PRINCIPAL and value and not _is_name(value):
            raise RefusedChange(
                Failure.INVALID, f"a principal is a text of 1 to {PRINCIPAL_BYTES_MAX} bytes"
            )
        after[key] = size
    if reason := why_not_written(record.entries, request.changes):
        raise RefusedChange(Failure.INVALID, reason)
    _check_growth(record, request, after, limits)


def _is_name(value: bytes) -> bool:
    """Return whether a packed value is the name of a principal, so that it can be found by it."""
    try:
        name = msgpack.unpackb(value, max_str_len=PRINCIPAL_BYTES_MAX)
    except (ValueError, msgpack.UnpackException):
        return False
    return isinstance(name, str) and bool(name)


def _check_growth(
    record: Record, request: Save | Rotate, after: dict[bytes, int], limits: Limits
) -> None:
    """Check the limits of the whole session, given the bytes of its entries afterwards.

    What two sides of a cut have made too large may be anything but larger: it may be made smaller,
    and rotated, which nobody should be refused at login.
    """
    if len(after) > min(limits.attributes_max, ENTRIES_WRITTEN_MAX):
        _check_count(record, request, after, limits)
    total = sum(len(key) + size for key, size in after.items())
    before = sum(len(key) + len(entry) for key, entry in record.entries.items())
    if total > limits.session_bytes_max and total > before:
        raise RefusedChange(
            Failure.TOO_LARGE,
            f"the session would have {total} bytes packed; the limit session_bytes_max is "
            f"{limits.session_bytes_max}{_largest(record, request, after, Measure.BYTES)}",
        )


def _check_count(
    record: Record, request: Save | Rotate, after: dict[bytes, int], limits: Limits
) -> None:
    """Check how many entries there are afterwards: in all, and without those of its own life."""
    count, before = len(after), len(record.entries)
    limit = f"limit is {ENTRIES_WRITTEN_MAX}"
    if count <= ENTRIES_WRITTEN_MAX:
        count, before = (sum(key[0] != 0 for key in keys) for keys in (after, record.entries))
        limit = f"limit attributes_max is {limits.attributes_max}"
        if count <= limits.attributes_max:
            return
    if count > before:
        raise RefusedChange(
            Failure.TOO_LARGE,
            f"the session would have {count} attributes and members, removed ones included; the "
            f"{limit}{_largest(record, request, after, Measure.ENTRIES)}",
        )


def _largest(
    record: Record, request: Save | Rotate, after: dict[bytes, int], measure: Measure
) -> str:
    gone = {key for key in after if len(record.entries.get(key, NIL)) == STAMP_BYTES}
    for key, value in request.changes:
        (gone.discard if value else gone.add)(key)
    return largest({key: len(key) + size for key, size in after.items()}, gone, measure)


def _what(key: bytes) -> str:
    """Return what people call an entry that a client asks for, whatever its key."""
    try:
        name, what = (name_of(key), "a member of attribute") if is_part(key) else (key, "attribute")
    except RecordFormatError:
        name, what = key, "attribute"
    return f"{what} {name.decode(errors='replace')!r}"
