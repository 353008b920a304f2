"""Messages and records in words: what a page shows of them.

Rule: whatever is in a record can be shown; what cannot be read is shown as bytes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgpack

from ring import Record
from ring.announcements import Announced, Announcements, EventKind
from ring.clock import STAMP_BYTES, Stamp, stamp_ms
from ring.entry import (
    ACCESSED,
    CREATED,
    ENDED,
    EXPIRED,
    LIFETIME,
    MAX_IDLE,
    NIL,
    PRINCIPAL,
    REMEMBERED,
    ROTATED,
    EndReason,
    entry_stamp,
)
from ring.errors import RecordFormatError
from ring.messages import (
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
    Listing,
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
from ring.structured import SHARD, TOKEN_BYTES, is_part, kind_of, name_of
from simulations.picture.recording import Shown
from simulations.process import WALL_MS

GROUPS: Final[dict[str, tuple[str, ...]]] = {
    "changes": ("Changes",),
    "acks": ("Acks",),
    "comparisons": ("Compare", "Compared", "Records", "Listing"),
    "releases": ("Release", "Offer", "Offered"),
    "announcements": ("Announced", "Announcements"),
    "asks": ("Ask", "Answer"),
    "requests": ("Find", "Save", "End", "Rotate", "Query", "Why", "Inspect"),
    "replies": (
        *("Found", "Absent", "Saved", "Failed", "Redirect"),
        *("Matches", "Story", "Inspected"),
    ),
    "status": ("Status",),
    "ring": ("RingRecord", "ShowRing", "SetRing", "RingShown", "Members", "Leaving"),
}
"""Kinds of messages, as they are coloured and filtered."""

VALUE_LETTERS_MAX: Final = 120
_MADE_UP_BELOW: Final = 1 << 32
"""Stamps of the first minute of 1970 have been read from no clock."""

_NAMES: Final = {
    ACCESSED: "accessed",
    CREATED: "created",
    EXPIRED: "expired",
    LIFETIME: "lifetime",
    MAX_IDLE: "max idle",
    PRINCIPAL: "principal",
    REMEMBERED: "remembered",
    ROTATED: "rotated",
    ENDED: "ended",
}

Entry = tuple[str, str, str]


def what_is_said(message: Message) -> tuple[str, tuple[Shown, ...]]:
    """Return what a message says, and what it says of which sessions."""
    match message:
        case Changes(flat):
            return _counted(len(flat) // 3, "change"), _records(flat)
        case Records(home, number, flat):
            return f"home {home}, round {number}", _records(flat)
        case Release(flat):
            return "drop what is in this state", _digests(flat)
        case Offer(home, flat):
            return f"home {home}: may these go?", _digests(flat)
        case Offered(home, released):
            return f"home {home}: {_counted(released, 'session')} may go", ()
        case Announced(flat):
            what = _counted(len(flat) // 3, "announcement")
            return f"{what} delivered", _announced(flat, 3, "delivered")
        case Announcements(home, since, is_handed_over, flat):
            what = "all that waits" if since else "more that waits"
            handed = ", handed over" if is_handed_over else ""
            return f"home {home}: {what}{handed}", _announced(flat, 5, "to be told")
        case Acks(upto, different):
            unlike = f", but not {', '.join(str(number) for number, _ in different)}"
            return f"holds all up to change {upto}{unlike if different else ''}", ()
        case Status():
            return _status(message), ()
        case Compare(home, number, buckets, wants):
            has = f"{len(buckets):,} bytes of buckets" if buckets else "has nothing"
            return f"home {home}, round {number}: {has}{'' if wants else ', wants nothing'}", ()
        case Listing(home, number, buckets_unlike, flat):
            unlike = _counted(len(buckets_unlike), "bucket")
            return f"home {home}, round {number}: {unlike} differ", _digests(flat)
        case Compared(home, number):
            return f"home {home}, round {number}: that was all", ()
        case Ask(number, session_id):
            return f"question {number}", (Shown(text_of(session_id)),)
        case Answer(number, portable):
            return f"to question {number}: {'' if portable else 'has nothing'}", _one(portable)
        case Find(number, session_id, touch):
            touches = "" if touch else ", no access"
            return f"request {number}{touches}{_manner(message)}", (Shown(text_of(session_id)),)
        case Save(number, session_id, create, changes):
            what = "may create, " if create else ""
            shown = Shown(text_of(session_id), "asked for", _asked(changes))
            return f"request {number}: {what}{message.durability}{_manner(message)}", (shown,)
        case End(number, session_id, durability):
            shown = Shown(text_of(session_id), "is to end")
            return f"request {number}: {durability}{_manner(message)}", (shown,)
        case Rotate(number, session_id, new_id, changes):
            old = Shown(text_of(session_id), "is to end")
            new = Shown(text_of(new_id), "asked for", _asked(changes))
            return f"request {number}: {message.durability}{_manner(message)}", (old, new)
        case Found(number, portable, maybe_stale):
            return f"to request {number}{', maybe stale' if maybe_stale else ''}", _one(portable)
        case Absent(number):
            return f"to request {number}: there is none", ()
        case Saved(number, holders, on_disk, degraded):
            held = f"held by {_names(holders)}, on disk at {_names(on_disk)}"
            return f"to request {number}: {held}{', degraded' if degraded else ''}", ()
        case Failed(number, failure, reason):
            return f"to request {number}: {failure.name.lower()}, {reason}", ()
        case Redirect(number, to):
            return f"to request {number}: ask {to}", ()
        case _:
            return _shortened(repr(message)), ()


def text_of(raw: bytes) -> str:
    """Return bytes as text, whatever they are."""
    return raw.decode("utf-8", "backslashreplace")


def described(session: str, record: Record, now: float) -> Shown:
    """Return a record as it is shown at ``now``, on the clock of who has it."""
    entries = [_entry(key, entry) for key, entry in sorted(record.entries.items())]
    if record.accessed:
        age_s = max(0.0, now - record.accessed_at)
        entries.insert(0, ("accessed", f"{age_s:.3f} s ago", _stamp(record.accessed)))
    form = "ended" if record.ended else "whole" if record.whole else "a part"
    if record.expired:
        form += ", expired"
    return Shown(session, f"{form}, digest {record.digest:016x}", tuple(entries))


# --- Parts ---


def _records(flat: Sequence[bytes | int]) -> tuple[Shown, ...]:
    """Return what ``flat`` says: id, digest, portable."""
    shown = []
    for session_id, digest, portable in zip(flat[::3], flat[1::3], flat[2::3], strict=True):
        assert isinstance(session_id, bytes)
        assert isinstance(digest, int)
        assert isinstance(portable, bytes)
        it = _portable(text_of(session_id), portable)
        after = f"then the sender has {digest:016x}"
        shown.append(Shown(it.session, f"{it.note}; {after}", it.entries))
    return tuple(shown)


def _digests(flat: Sequence[bytes | int]) -> tuple[Shown, ...]:
    """Return what ``flat`` says: id, digest."""
    shown = []
    for session_id, digest in zip(flat[::2], flat[1::2], strict=True):
        assert isinstance(session_id, bytes)
        assert isinstance(digest, int)
        shown.append(Shown(text_of(session_id), f"digest {digest:016x}"))
    return tuple(shown)


def _announced(flat: Sequence[bytes | int], stride: int, what: str) -> tuple[Shown, ...]:
    """Return what ``flat`` says: id, kind, and more."""
    shown = []
    for session_id, kind in zip(flat[::stride], flat[1::stride], strict=True):
        assert isinstance(session_id, bytes)
        assert isinstance(kind, int)
        shown.append(Shown(text_of(session_id), f"{EventKind(kind).name.lower()}, {what}"))
    return tuple(shown)


def _one(portable: bytes) -> tuple[Shown, ...]:
    """Return a record whose session the message does not name."""
    return (_portable("", portable),) if portable else ()


def _portable(session: str, portable: bytes) -> Shown:
    try:
        return described(session, Record.from_portable(portable, 0.0), 0.0)
    except RecordFormatError:
        return Shown(session, f"no record: {_shortened(portable.hex())}")


def _asked(changes: Iterable[tuple[bytes, bytes | None]]) -> tuple[Entry, ...]:
    """Return changes, which nobody has stamped but the shards of counters, which have no stamp."""
    return tuple(
        _entry(key, value or b"") if key[0] == SHARD else (_key(key), _value(key, value or b""), "")
        for key, value in changes
    )


def _status(status: Status) -> str:
    words = ["ready" if status.ready else "not ready"]
    words += ["synced"] * status.synced + ["draining"] * status.draining
    words.append(f"acts for {_names(status.claims)}, version {status.version & 0xFFFF}")
    words += [f"missing {_names(status.missing)}"] * bool(status.missing)
    words += ["an answer"] * status.echo
    return ", ".join(words)


def _manner(request: Find | Save | End | Rotate) -> str:
    return ", insists" if request.insist else ", forwarded" if request.forwarded else ""


def _names(names: Sequence[str]) -> str:
    return ", ".join(names) or "nobody"


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _entry(key: bytes, entry: bytes) -> Entry:
    value = entry[STAMP_BYTES:]
    if key[0] == SHARD:
        changes = f"{entry_stamp(entry):,}"  # Where others have a stamp.
        return _key(key), f"{_value(key, value)} by {changes} changes", ""
    return _key(key), _value(key, value), _stamp(entry_stamp(entry))


def _key(key: bytes) -> str:
    if key in _NAMES:
        return _NAMES[key]
    try:
        name = name_of(key) if is_part(key) else key
    except RecordFormatError:
        name = key
    if name == key:
        return text_of(key)
    rest = key[3 + len(name) :]
    if key[0] == SHARD:
        return f"{text_of(name)} by writer {rest[-TOKEN_BYTES:].hex().lstrip('0') or '0'}"
    return f"{text_of(name)}[{_unpacked(rest)}]"


def _value(key: bytes, value: bytes) -> str:
    if not value:
        return "removed"
    if value == NIL and key[0] <= SHARD:
        return ""  # It says all by its stamp.
    if key == ENDED:
        return _end(value)
    if (kind := kind_of(bytes(STAMP_BYTES) + value)) is not None:
        return f"a {kind.name.lower()}"
    return _unpacked(value)


def _end(value: bytes) -> str:
    """Return what a tombstone tells: why, by whom, and under which id the session goes on."""
    try:
        node, _, _, *new_id = msgpack.unpackb(value[1:])
        goes_on = f", goes on as {text_of(new_id[0])}" if new_id else ""
        return f"{EndReason(value[0]).name.lower()} by {node}{goes_on}"
    except (ValueError, TypeError, AttributeError, msgpack.UnpackException):
        return value.hex()  # A newer version's spelling.


def _unpacked(packed: bytes) -> str:
    try:
        value = msgpack.unpackb(packed, strict_map_key=False)
    except (ValueError, msgpack.UnpackException):
        # A name, which is not packed, or a newer version's spelling.
        return _shortened(text_of(packed) if packed.isascii() else packed.hex())
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= VALUE_LETTERS_MAX else f"{text[:VALUE_LETTERS_MAX]}…"


def _stamp(stamp: Stamp) -> str:
    if stamp < _MADE_UP_BELOW:
        return f"made up, {stamp}"
    return f"{(stamp_ms(stamp) - WALL_MS) / 1000:.3f}"
