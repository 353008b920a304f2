"""Limits: what just keeps one passes, what is over one is neither sent nor taken."""

import msgpack
import pytest

from ring.administration import RingRecord, RingShown, SetRing
from ring.announcements import ANNOUNCED_MAX, Announced, Announcements
from ring.clock import Stamp
from ring.entry import ENTRIES_MAX, KEY_BYTES_MAX
from ring.errors import LocalProtocolError, RemoteProtocolError
from ring.identity import SessionId
from ring.messages import (
    RELEASED_MAX,
    Absent,
    Acks,
    Ask,
    Changes,
    Compare,
    Durability,
    Failed,
    Failure,
    Find,
    Found,
    Listing,
    Members,
    Message,
    Offer,
    Records,
    Release,
    Save,
    Saved,
    Status,
)
from ring.placement import VERSION_MAX, Member, Ring
from ring.table import BUCKETS
from wire.codec import TAGS, decode, encode
from wire.limits import (
    ADDRESS_CHARS_MAX,
    BUCKETS_BYTES,
    CHANGES_MAX,
    DIFFERENT_MAX,
    FRAME_BYTES_MAX,
    LISTED_MAX,
    NAMES_MAX,
    REASON_CHARS_MAX,
    RECORDS_MAX,
    RING_NAME_CHARS_MAX,
)

ID = SessionId(b"a." + b"x" * 22)
ROW: list[bytes | int] = [ID, 7, b"\x00"]


def pack(*parts: object) -> bytes:
    """Return a payload that no encoder of ours has looked at."""
    packed: bytes = msgpack.packb(list(parts))
    return packed


def same(one: object, other: object) -> bool:
    """Equality that tells True from 1 and 1.0, at every depth."""
    return repr(one) == repr(other)


def check_refused(payload: bytes) -> str:
    """Check that ``payload`` is refused as the peer's mistake, and return what is said."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode(payload)
    return str(caught.value)


def at_the_limit() -> list[Message]:
    """Return one message for each limit, which it just keeps."""
    names = tuple(f"n{number}" for number in range(NAMES_MAX))
    return [
        Changes(ROW * CHANGES_MAX),
        Acks(DIFFERENT_MAX, tuple((n + 1, b"") for n in range(DIFFERENT_MAX))),
        Records("a" * 32, 2**64 - 1, ROW * RECORDS_MAX),
        Listing("a", 1, tuple(range(BUCKETS)), [ID, 7] * LISTED_MAX),
        Release([ID, 7] * RELEASED_MAX),
        Announced([ID, 1, 7] * ANNOUNCED_MAX),
        Announcements("a" * 32, Stamp(1), True, [ID, 4, 7, b"\x00", ID] * ANNOUNCED_MAX),
        Offer("a" * 32, [ID, 7] * RELEASED_MAX),
        Status(Stamp(2**64 - 1), True, True, 1, names, True),
        Save(
            1,
            ID,
            True,
            tuple((n.to_bytes(2, "big"), None) for n in range(ENTRIES_MAX)),
            Durability.LOCAL,
            False,
            False,
        ),
        Save(1, ID, True, ((bytes(KEY_BYTES_MAX), b""),), Durability.LOCAL, False, False),
        Saved(1, names, names, False),
        Failed(1, Failure.INVALID, "\U0001f642" * REASON_CHARS_MAX),
        Members("r" * RING_NAME_CHARS_MAX, names, ("h" * ADDRESS_CHARS_MAX,) * NAMES_MAX),
        Found(1, bytes(FRAME_BYTES_MAX - 11)),
        RingRecord(
            Ring(
                "r" * RING_NAME_CHARS_MAX,
                tuple(Member(name, "h" * ADDRESS_CHARS_MAX) for name in names),
                VERSION_MAX,
                8,
            )
        ),
    ]


def test_a_message_at_its_limit_passes() -> None:
    for message in at_the_limit():
        assert same(decode(encode(message)), message)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (Changes(ROW * (CHANGES_MAX + 1)), "1024 rows"),
        (Changes(ROW[:2]), "2 elements"),
        (Records("a", 1, ROW * (RECORDS_MAX + 1)), "1024 rows"),
        (Listing("a", 1, (), [ID, 7] * (LISTED_MAX + 1)), "16384 rows"),
        (Release([ID, 7] * (RELEASED_MAX + 1)), "1024 rows"),
        (Announced([ID, 1, 7] * (ANNOUNCED_MAX + 1)), "1025 rows"),
        (Announced([ID, 5, 7]), "a kind is none that members tell each other"),
        (Announced([ID, 1, -7]), "2..64"),
        (Announcements("A", Stamp(1), True, []), "not a member name"),
        (Announcements("a", Stamp(1), True, [ID, 4, 7, b"", b""]), "goes on under a new id"),
        (Announcements("a", Stamp(1), True, [ID, 2, 7, b"", ID]), "goes on under a new id"),
        (Announcements("a", Stamp(1), True, [ID, 4, 7, b"", b"x"]), "not home.random"),
        (Offer("a", [ID, 7] * (RELEASED_MAX + 1)), "1024 rows"),
        (Acks(9999, tuple((n + 1, b"") for n in range(DIFFERENT_MAX + 1))), "1025 rows"),
        (Acks(2, ((3, b""),)), "1 to upto"),
        (Acks(2, ((0, b""),)), "1 to upto"),
        (Status(Stamp(0), True, True, 2**64, (), True), "2..64"),
        (Status(Stamp(-1), True, True, 1, (), True), "2..64"),
        (Status(Stamp(0), True, True, 1, ("a",) * (NAMES_MAX + 1), True), "65 names"),
        (Status(Stamp(0), True, True, 1, ("A",), True), "not a member name"),
        (Compare("a", 1, bytes(8)), "8 bytes"),
        (Compare("", 1, b""), "not a member name"),
        (Ask(1, SessionId(b"x")), "not home.random"),
        (
            Save(
                1,
                ID,
                True,
                ((b"k", b"v"),) * (ENTRIES_MAX + 1),
                Durability.LOCAL,
                False,
                False,
            ),
            "4097 rows",
        ),
        (Save(1, ID, True, ((b"", b"v"),), Durability.LOCAL, False, False), "a key has 0"),
        (Save(1, ID, True, ((bytes(513), b""),), Durability.LOCAL, False, False), "a key has 513"),
        (Save(1, ID, True, ((b"k", b""),) * 2, Durability.LOCAL, False, False), "comes twice"),
        (Failed(1, Failure.INVALID, "x" * 513), "513 characters"),
        (Found(1, b""), "has none"),
        (Members("r" * 65, (), ()), "65 characters"),
        (Members("r", ("a",), ("h" * 263,)), "263 characters"),
        (Members("r", ("a",), ("h",) * 65), "65 elements"),
        (Members("r", ("a",), ()), "not one address for each name"),
        (Members("r", (), (), (), ("a",), ()), "not one heir for each"),
        (RingRecord(Ring("r" * 65, (Member("a", ""),))), "65 characters"),
        (SetRing(1, Ring("r", (Member("a", "h" * 263),))), "263 characters"),
        (RingShown(-1, Ring("r", (Member("a", ""),))), "number"),
        (Found(1, bytes(FRAME_BYTES_MAX)), "bytes; 1048576 are allowed"),
        (Find("1", ID, True, False), "number is not int"),  # type: ignore[arg-type]
        (Absent(2**70), "number"),
        (object(), "object is not a message"),
    ],
)
def test_what_is_over_a_limit_is_not_sent(message: Message, why: str) -> None:
    with pytest.raises(LocalProtocolError, match=why):
        encode(message)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (Changes, [ROW * (CHANGES_MAX + 1)]),
        (Changes, [[*ROW, ID]]),
        (Changes, [[ID, 7, b""]]),
        (Changes, [[b"a.x", 7, b"\x00"]]),
        (Changes, [[ID, -7, b"\x00"]]),
        (Records, ["a", 1, ROW * (RECORDS_MAX + 1)]),
        (Records, ["A", 1, ROW]),
        (Listing, ["a", 1, [], [ID, 7] * (LISTED_MAX + 1)]),
        (Listing, ["a", 1, [BUCKETS], []]),
        (Listing, ["a", 1, [-1], []]),
        (Listing, ["a", 1, [0] * (BUCKETS + 1), []]),
        (Acks, [2, [3, b""]]),
        (Acks, [1 << 20, [1, b""] * (DIFFERENT_MAX + 1)]),
        (Compare, ["a", 1, bytes(BUCKETS_BYTES + 1)]),
        (Status, [0, True, True, 1, ["a"] * (NAMES_MAX + 1), True]),
        (Save, [1, ID, True, [b"k", b"v"] * (ENTRIES_MAX + 1), "local", False, False]),
        (Save, [1, ID, True, [b"k", b"v", b"l"], "local", False, False]),
        (Save, [1, ID, True, [], "all", False, False]),
        (Saved, [1, ["a"] * (NAMES_MAX + 1), [], False]),
        (Failed, [1, 9, "why"]),
        (Failed, [1, 0, "why"]),
        (Failed, [1, 1, "x" * (REASON_CHARS_MAX + 1)]),
        (Failed, [1, 1, "x" * (5 * REASON_CHARS_MAX)]),
        (Members, ["r", ["a"], [], [], [], []]),
        (RingRecord, [["r", 0, 2, ["a", "h:1", False], []]]),
        (RingRecord, [["r", 1, 2, [], []]]),
        (RingRecord, [["r", 1, 2, ["a", "h:1"], []]]),
        (RingRecord, [["r", 1, 2, ["a", "h:1", 0], []]]),
        (RingRecord, [["r", 1, 2, ["a", "h:1", False] * 65, []]]),
        (RingRecord, [["r", 1, 2, ["a", "h:1", False], ["b", "c", ""]]]),
        (RingRecord, [["r", 1, 2, ["a", "h:1", False]]]),
        (SetRing, [-1, ["r", 1, 2, ["a", "h:1", False], []]]),
        (RingShown, [1, ["r", 1, 9, ["a", "h:1", False], []]]),
    ],
)
def test_what_is_over_a_limit_is_refused(kind: type[Message], fields: list[object]) -> None:
    check_refused(pack(TAGS[kind], *fields))
