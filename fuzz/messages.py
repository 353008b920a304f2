"""Messages that are read from bytes: of every class, with values that a ring might know.

Rule: what has the right form is made here; what has not is made by changing its bytes.
"""

from collections.abc import Sequence
from typing import Any, Final

import attrs

from fuzz.drawn import Drawn
from ring.announcements import LIFE_CYCLE, Announced, Announcements, EventKind
from ring.clock import Stamp
from ring.entry import CREATED, EXPIRED, LIFETIME, MAX_IDLE, PRINCIPAL, EndReason, make_entry
from ring.identity import RANDOM_CHARS, SessionId
from ring.inquiry import ROWS_MAX, Inspect, Row, State
from ring.journal import Happening, Note
from ring.messages import (
    Durability,
    Failure,
    Found,
    Listing,
    Members,
    Message,
    Offer,
    Release,
)
from ring.packed import EMPTY_FRAGMENT
from ring.placement import Departed, Member, Ring
from ring.questions import Matches
from ring.record import Record
from ring.structured import TOKEN_BYTES, Kind, ensuring, marker, member_key, shard_key
from ring.table import BUCKET_DIGESTS_BYTES, BUCKETS, SHARDS
from wire.codec import TAGS

NAMES: Final = "abcz"
"""Three members, and a name that the ring does not have."""

NOW_MS: Final = 1_700_000_000_000
"""About when it is for the nodes that are told of it, in milliseconds since 1970."""

KINDS: Final = tuple(TAGS)

KEYS: Final = (
    *(b"cart", b"map", CREATED, EXPIRED, LIFETIME, MAX_IDLE, PRINCIPAL),
    member_key(b"map", b"k"),
    shard_key(b"map", Stamp(5), bytes(TOKEN_BYTES)),
)
VALUES: Final = (
    b"\x01",
    None,
    b"\x00",
    b"\xc0",
    bytes(9),
    marker(Kind.MAP),
    ensuring(Kind.COUNTER),
)

PRINCIPALS: Final = (b"\xa1a", b"\xa1b", b"")

_PAIRS: Final = (Release, Offer, Listing)


def message(drawn: Drawn, kinds: Sequence[type[Message]] = KINDS) -> Message:
    """Return a message of one of these classes."""
    kind: type[Any] = drawn.one_of(kinds)
    if kind is Members:
        names = _names(drawn)
        return Members("world", names, tuple(map(address_of, names)))
    if kind is Inspect:
        home, number = drawn.one_of(NAMES), drawn.number(20)
        place = drawn.number(SHARDS), session_id(drawn) if drawn.maybe() else b""
        room, flags = drawn.number(ROWS_MAX), (drawn.maybe(), drawn.maybe(), drawn.maybe())
        return Inspect(number, home, *place, room, _only(drawn, home), *flags)
    return kind(*(_field(drawn, kind, each) for each in attrs.fields(kind)))  # type: ignore[no-any-return]


def address_of(name: str) -> str:
    """Return where a member listens."""
    return f"{name}.world:1"


def _place(drawn: Drawn, name: str) -> str:
    """Return where a member listens, or another, or nobody."""
    return address_of(drawn.one_of(NAMES)) if drawn.number(7) == 1 else address_of(name)


def _field(drawn: Drawn, kind: type[Message], field: "attrs.Attribute[Any]") -> object:
    match field.name:
        case "flat" if kind is Matches:
            rows = [(session_id(drawn), portable(drawn)) for _ in range(drawn.number(3))]
            return [part for row in rows for part in row if row[1]]
        case "flat" if kind in (Announced, Announcements):
            return [part for _ in range(drawn.number(3)) for part in _announced(drawn, kind)]
        case "flat":
            return _flat(drawn, is_listing=kind in _PAIRS)
        case "counts":
            return [drawn.one_of(PRINCIPALS), drawn.u64()] * drawn.number(3)
        case "index":
            return drawn.one_of((PRINCIPAL, b"cart", b"map"))
        case "value":
            return drawn.one_of(PRINCIPALS) if drawn.maybe() else drawn.some(20)
        case "cursor":
            return drawn.some(40)
        case "different":
            return tuple((1 + drawn.number(3), portable(drawn)) for _ in range(drawn.number(2)))
        case "changes":
            return _edits(drawn)
        case "notes":
            return tuple(_note(drawn) for _ in range(drawn.number(3)))
        case "rows":
            return tuple(_row(drawn) for _ in range(drawn.number(2)))
        case "shard":
            return drawn.number(SHARDS)
        case "after":
            return session_id(drawn) if drawn.maybe() else b""
        case "claims" | "missing" | "holders" | "on_disk" | "homes" | "unreachable" | "unheard":
            return _names(drawn)
        case "home" | "to" | "acting":
            return drawn.one_of(NAMES)
        case "buckets" if kind is Listing:
            return tuple(drawn.number(BUCKETS - 1) for _ in range(drawn.number(3)))
        case "buckets":
            return drawn.take(8) * (BUCKET_DIGESTS_BYTES // 8) if drawn.maybe() else b""
        case "portable":
            return portable(drawn) or (EMPTY_FRAGMENT if kind is Found else b"")
        case "session_id" | "new_id":
            return session_id(drawn)
        case "reason":
            return "a reason"
        case "clock":
            return stamp(drawn)
        case "ring":
            return ring(drawn)
        case "upto":
            return 4 + drawn.number(5)
        case "number" | "round" | "version" | "heard" | "released" | "sessions" | "ended":
            return drawn.number(20) if drawn.maybe() else drawn.u64()
        case "durability":
            return drawn.one_of(tuple(Durability))
        case "failure":
            return drawn.one_of(tuple(Failure))
        case "namespace":
            return drawn.one_of(("", "shop"))
        case "since":
            return stamp(drawn)
        case "local" | "expected" | "age_ms" | "listens_to":
            return field.default  # Nothing is drawn: what is in the corpus keeps its meaning.
        case _:
            return drawn.maybe()


def _announced(drawn: Drawn, kind: type[Message]) -> list[bytes | int]:
    """Return a row of what was delivered, or of what was not."""
    what = drawn.one_of(sorted(LIFE_CYCLE))
    row: list[bytes | int] = [session_id(drawn), int(what), stamp(drawn)]
    if kind is Announcements:
        row += [portable(drawn), session_id(drawn) if what is EventKind.ROTATED else b""]
    return row


def _note(drawn: Drawn) -> Note:
    member = drawn.one_of(NAMES) if drawn.maybe() else ""
    happening = drawn.one_of(tuple(Happening))
    other = session_id(drawn) if drawn.maybe() else drawn.one_of(NAMES).encode()
    return Note(member, happening, stamp(drawn), stamp(drawn), drawn.number(5), other)


def _row(drawn: Drawn) -> Row:
    state = drawn.one_of(tuple(State))
    numbers = drawn.number(500), drawn.number(9), stamp(drawn), drawn.u64(), drawn.u64()
    return Row(session_id(drawn), state, *numbers, "ada", _names(drawn), portable(drawn))


def _only(drawn: Drawn, home: str) -> bytes:
    """Return an id of this home, or none."""
    return f"{home}.".encode().ljust(len(home) + 1 + RANDOM_CHARS, b"A") if drawn.maybe() else b""


def _flat(drawn: Drawn, *, is_listing: bool) -> list[bytes | int]:
    flat = list[bytes | int]()
    for _ in range(drawn.number(4)):
        flat += (session_id(drawn), drawn.u64())
        if not is_listing:
            flat.append(portable(drawn) or EMPTY_FRAGMENT)
    return flat


def _edits(drawn: Drawn) -> tuple[tuple[bytes, bytes | None], ...]:
    edits = {
        drawn.one_of(KEYS) if drawn.maybe() else drawn.some(20) or b"k": drawn.one_of(VALUES)
        for _ in range(drawn.number(4))
    }
    return tuple(edits.items())


def _names(drawn: Drawn) -> tuple[str, ...]:
    return tuple(dict.fromkeys(drawn.one_of(NAMES) for _ in range(drawn.number(3))))


def session_id(drawn: Drawn) -> SessionId:
    """Return one of a few ids."""
    home, which = drawn.one_of(NAMES), drawn.one_of("ABg-")
    place = f"{home}.shop." if which == "g" else f"{home}."
    return SessionId(place.encode() + which.encode().ljust(RANDOM_CHARS, b"A"))


def stamp(drawn: Drawn) -> Stamp:
    """Return a stamp of about now, or any."""
    if drawn.maybe():
        return Stamp(drawn.u64())
    return Stamp((NOW_MS + 1000 * (drawn.number(200) - 100)) << 16 | drawn.number(3))


def portable(drawn: Drawn) -> bytes:
    """Return the portable form of a record, or something else."""
    match drawn.number(4):
        case 0:
            return b""
        case 1:
            return drawn.some(60)
        case 2:
            record = Record()
            new_id = session_id(drawn) if drawn.maybe() else None
            reason = EndReason.DELETED if new_id is None else EndReason.ROTATED
            record.end(reason, drawn.one_of(NAMES), stamp(drawn), new_id=new_id)
            return record.portable(0.0)
        case _:
            return _live_record(drawn).portable(0.0)


def _live_record(drawn: Drawn) -> Record:
    record = Record()
    for _ in range(drawn.number(4)):
        value = drawn.one_of(VALUES) if drawn.maybe() else drawn.some(30)
        record.put(drawn.one_of(KEYS), make_entry(stamp(drawn), value))
    if drawn.maybe() and (accessed := stamp(drawn)):
        record.touch(accessed, -float(drawn.number(60_000)))
    if record.digest and drawn.maybe():
        record.make_whole()
    return record


def ring(drawn: Drawn) -> Ring:
    """Return a ring that might follow the one of the world."""
    names = tuple(dict.fromkeys([drawn.one_of(NAMES) for _ in range(1 + drawn.number(3))]))
    departed = tuple(
        Departed(name, names[0], address_of(name) if drawn.maybe() else "")
        for name in NAMES
        if name not in names and drawn.maybe()
    )
    members = tuple(
        Member(name, _place(drawn, name), backup=place > 0 and drawn.maybe())
        for place, name in enumerate(names)
    )
    version = max(1, drawn.u64() >> 1) if drawn.maybe() else 1 + drawn.number(5)
    return Ring("world", members, version, 1 + drawn.number(3), departed)
