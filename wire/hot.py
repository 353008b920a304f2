"""The messages that every request or change costs, spelled by hand.

Rules:
- What is written here is a list ``[tag, field, ...]`` for msgpack; what is read is one, of the
  right length, in which nothing has been checked yet.
- Streams of records are one flat list, checked column by column: unpacking and checking a frame
  of 256 changes costs some 0.4 us per change, more than half of it for the ids (measured).
- A sender checks the counts of a stream only; all else is checked on both sides, since an
  application's values may be at fault.
"""

from typing import Any, Final

from ring.entry import ENTRIES_MAX, KEY_BYTES_MAX
from ring.messages import (
    RELEASED_MAX,
    Acks,
    Changes,
    Find,
    Found,
    Listing,
    Offer,
    Records,
    Release,
    Rotate,
    Save,
    Saved,
)
from ring.table import BUCKETS
from wire import checks
from wire.limits import CHANGES_MAX, DIFFERENT_MAX, LISTED_MAX, RECORDS_MAX

CHANGE_STRIDE: Final = 3
LISTED_STRIDE: Final = 2


def _check_flat_size(flat: list[bytes | int], stride: int, rows_max: int) -> list[bytes | int]:
    if len(flat) % stride or len(flat) > rows_max * stride:
        raise ValueError(f"flat has {len(flat)} elements; {rows_max} rows of {stride} are allowed")
    return flat


def _records(flat: object, rows_max: int) -> Any:
    ids, digests, portables = checks.flat_columns(flat, CHANGE_STRIDE, rows_max)
    checks.check_session_ids(ids)
    checks.check_u64s(digests)
    checks.check_portables(portables)
    return flat


def spell_changes(message: Changes) -> list[object]:
    """Return the fields of a Changes."""
    return [_check_flat_size(message.flat, CHANGE_STRIDE, CHANGES_MAX)]


def read_changes(fields: list[object]) -> Changes:
    """Return the Changes that ``fields`` spell, or raise a ValueError."""
    (flat,) = fields
    return Changes(_records(flat, CHANGES_MAX))


def spell_acks(message: Acks) -> list[object]:
    """Return the fields of an Acks."""
    return [message.upto, [part for pair in message.different for part in pair]]


def read_acks(fields: list[object]) -> Acks:
    """Return the Acks that ``fields`` spell, or raise a ValueError."""
    upto, flat = fields
    upto = checks.u64(upto, "upto")
    if flat == []:
        return Acks(upto)
    numbers, portables = checks.flat_columns(flat, 2, DIFFERENT_MAX)
    different = []
    for number, portable in zip(numbers, portables, strict=True):
        number = checks.exactly(int, number, "number")
        if not 1 <= number <= upto:
            raise ValueError("a number is not of 1 to upto")
        different.append((number, checks.exactly(bytes, portable, "portable")))
    return Acks(upto, tuple(different))


def spell_records(message: Records) -> list[object]:
    """Return the fields of a Records."""
    flat = _check_flat_size(message.flat, CHANGE_STRIDE, RECORDS_MAX)
    return [message.home, message.round, flat]


def read_records(fields: list[object]) -> Records:
    """Return the Records that ``fields`` spell, or raise a ValueError."""
    home, number, flat = fields
    return Records(
        checks.member_name(home, "home"), checks.u64(number, "round"), _records(flat, RECORDS_MAX)
    )


def spell_listing(message: Listing) -> list[object]:
    """Return the fields of a Listing."""
    flat = _check_flat_size(message.flat, LISTED_STRIDE, LISTED_MAX)
    return [message.home, message.round, list(message.buckets), flat]


def read_listing(fields: list[object]) -> Listing:
    """Return the Listing that ``fields`` spell, or raise a ValueError."""
    home, number, buckets, flat = fields
    (listed,) = checks.flat_columns(buckets, 1, BUCKETS)
    for bucket in listed:
        if not 0 <= checks.exactly(int, bucket, "bucket") < BUCKETS:
            raise ValueError(f"a bucket is not of 0 to {BUCKETS - 1}")
    ids, digests = checks.flat_columns(flat, LISTED_STRIDE, LISTED_MAX)
    checks.check_session_ids(ids)
    checks.check_u64s(digests)
    return Listing(
        checks.member_name(home, "home"),
        checks.u64(number, "round"),
        tuple(listed),  # type: ignore[arg-type]  # just checked, one by one
        flat,  # type: ignore[arg-type]  # just checked, by columns
    )


def spell_release(message: Release) -> list[object]:
    """Return the fields of a Release."""
    return [_check_flat_size(message.flat, LISTED_STRIDE, RELEASED_MAX)]


def read_release(fields: list[object]) -> Release:
    """Return the Release that ``fields`` spell, or raise a ValueError."""
    (flat,) = fields
    return Release(_listed(flat))


def spell_offer(message: Offer) -> list[object]:
    """Return the fields of an Offer."""
    return [message.home, _check_flat_size(message.flat, LISTED_STRIDE, RELEASED_MAX)]


def read_offer(fields: list[object]) -> Offer:
    """Return the Offer that ``fields`` spell, or raise a ValueError."""
    home, flat = fields
    return Offer(checks.member_name(home, "home"), _listed(flat))


def _listed(flat: object) -> Any:
    ids, digests = checks.flat_columns(flat, LISTED_STRIDE, RELEASED_MAX)
    checks.check_session_ids(ids)
    checks.check_u64s(digests)
    return flat


def spell_find(message: Find) -> list[object]:
    """Return the fields of a Find."""
    return [
        message.number,
        message.session_id,
        message.touch,
        message.forwarded,
        message.insist,
        message.local,
    ]


def read_find(fields: list[object]) -> Find:
    """Return the Find that ``fields`` spell, or raise a ValueError."""
    number, session_id, touch, forwarded, insist, local = fields
    return Find(
        checks.u64(number, "number"),
        checks.session_id(session_id, "session id"),
        checks.exactly(bool, touch, "touch"),
        checks.exactly(bool, forwarded, "forwarded"),
        checks.exactly(bool, insist, "insist"),
        checks.exactly(bool, local, "local"),
    )


def spell_save(message: Save) -> list[object]:
    """Return the fields of a Save."""
    return [
        message.number,
        message.session_id,
        message.create,
        _spell_edits(message.changes),
        message.durability.value,
        message.refuse,
        message.forwarded,
        message.insist,
        message.expected,
    ]


def read_save(fields: list[object]) -> Save:
    """Return the Save that ``fields`` spell, or raise a ValueError."""
    number, session_id, create, flat, durability, refuse, forwarded, insist, expected = fields
    return Save(
        checks.u64(number, "number"),
        checks.session_id(session_id, "session id"),
        checks.exactly(bool, create, "create"),
        _read_edits(flat),
        checks.durability(durability, "durability"),
        checks.exactly(bool, refuse, "refuse"),
        checks.exactly(bool, forwarded, "forwarded"),
        checks.exactly(bool, insist, "insist"),
        checks.u64(expected, "expected"),
    )


def spell_rotate(message: Rotate) -> list[object]:
    """Return the fields of a Rotate."""
    return [
        message.number,
        message.session_id,
        message.new_id,
        _spell_edits(message.changes),
        message.durability.value,
        message.refuse,
        message.forwarded,
        message.insist,
        message.expected,
    ]


def read_rotate(fields: list[object]) -> Rotate:
    """Return the Rotate that ``fields`` spell, or raise a ValueError."""
    number, session_id, new_id, flat, durability, refuse, forwarded, insist, expected = fields
    return Rotate(
        checks.u64(number, "number"),
        checks.session_id(session_id, "session id"),
        checks.session_id(new_id, "new id"),
        _read_edits(flat),
        checks.durability(durability, "durability"),
        checks.exactly(bool, refuse, "refuse"),
        checks.exactly(bool, forwarded, "forwarded"),
        checks.exactly(bool, insist, "insist"),
        checks.u64(expected, "expected"),
    )


def _spell_edits(changes: tuple[tuple[bytes, bytes | None], ...]) -> list[object]:
    return [part for change in changes for part in change]


def _read_edits(flat: object) -> tuple[tuple[bytes, bytes | None], ...]:
    keys, values = checks.flat_columns(flat, 2, ENTRIES_MAX)
    changes: list[tuple[bytes, bytes | None]] = []
    for key, value in zip(keys, values, strict=True):
        key = checks.exactly(bytes, key, "key")
        if not 1 <= len(key) <= KEY_BYTES_MAX:
            raise ValueError(f"a key has {len(key)} bytes; 1 to {KEY_BYTES_MAX} are allowed")
        changes.append((key, None if value is None else checks.exactly(bytes, value, "value")))
    if len(set(keys)) != len(keys):
        raise ValueError("a key comes twice")
    return tuple(changes)


def spell_found(message: Found) -> list[object]:
    """Return the fields of a Found."""
    return [
        message.number,
        message.portable,
        message.maybe_stale,
        message.age_ms,
        message.failed_over,
    ]


def read_found(fields: list[object]) -> Found:
    """Return the Found that ``fields`` spell, or raise a ValueError."""
    number, portable, maybe_stale, age_ms, failed_over = fields
    checks.check_portables([portable])
    return Found(
        checks.u64(number, "number"),
        checks.exactly(bytes, portable, "portable"),
        checks.exactly(bool, maybe_stale, "maybe_stale"),
        checks.u64(age_ms, "age_ms"),
        checks.exactly(bool, failed_over, "failed_over"),
    )


def spell_saved(message: Saved) -> list[object]:
    """Return the fields of a Saved."""
    return [message.number, list(message.holders), list(message.on_disk), message.degraded]


def read_saved(fields: list[object]) -> Saved:
    """Return the Saved that ``fields`` spell, or raise a ValueError."""
    number, holders, on_disk, degraded = fields
    return Saved(
        checks.u64(number, "number"),
        checks.member_names(holders, "holders"),
        checks.member_names(on_disk, "on_disk"),
        checks.exactly(bool, degraded, "degraded"),
    )
