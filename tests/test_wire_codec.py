"""Messages as bytes: every one comes back as it was, and nothing else is taken for one."""

from contextlib import suppress
from typing import Any

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import MESSAGES, messages, session_ids

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.announcements import Announced, Announcements
from ring.clock import Stamp
from ring.errors import RemoteProtocolError
from ring.identity import SessionId, parse_session_id
from ring.inquiry import Inspect, Inspected, Row, State, Story, Why
from ring.journal import Happening, Note
from ring.messages import (
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    Durability,
    End,
    Failed,
    Failure,
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
from ring.placement import Departed, Member, Ring
from ring.questions import Matches, Query
from ring.table import BUCKETS
from wire import control
from wire.checks import check_session_ids
from wire.codec import TAGS, decode, encode
from wire.limits import (
    BUCKETS_BYTES,
)

ID = SessionId(b"a." + b"x" * 22)
OTHER_ID = SessionId(b"a." + b"y" * 22)
ROW: list[bytes | int] = [ID, 7, b"\x00"]

RING = Ring("shop", (Member("a", "h:1"), Member("b", "", True)), 3, 2, (Departed("c", "a"),))

ROW_OF_PAGE = Row(ID, State.ALIVE, 9, 1, Stamp(5), 6, 7, "ada", ("a",), b"\x00\x90")

EXAMPLES: list[Message] = [
    Changes([*ROW, *ROW]),
    Acks(9, ((3, b""), (9, b"\x00"))),
    Status(Stamp(5), True, False, 3, ("a", "b"), False),
    Status(Stamp(5), True, True, 3, (), False, draining=True, heard=2),
    Status(Stamp(5), True, True, 3, (), False, listens_to=30),
    Announced([ID, 1, 7, OTHER_ID, 4, 8]),
    Announcements("a", Stamp(7), True, [ID, 2, 7, b"\x00", b"", ID, 4, 7, b"", OTHER_ID]),
    Release([ID, 7]),
    Compare("a", 1, bytes(BUCKETS_BYTES)),
    Offer("a", [ID, 7]),
    Offered("a", 1),
    Records("a", 1, list(ROW)),
    Listing("a", 1, (0, BUCKETS - 1), [ID, 7]),
    Compared("a", 1),
    Ask(1, ID),
    Answer(1, b""),
    Find(1, ID, True, False),
    Save(1, ID, True, ((b"k", b"v"), (b"l", None)), Durability.BACKUP, False, True),
    End(1, ID, Durability.BACKUP_AND_DISK, True, False),
    Rotate(1, ID, OTHER_ID, ((b"k", b"v"), (b"l", None)), Durability.BACKUP, False, True),
    Found(1, b"\x00"),
    Absent(1),
    Saved(1, ("a", "b"), ("a",), False),
    Failed(1, Failure.UNAVAILABLE, "nobody to ask"),
    Members("shop", ("a", "b"), ("h:1", ""), ("b",), ("c",), ("a",)),
    Leaving(),
    Redirect(1, "b"),
    RingRecord(RING),
    ShowRing(1),
    SetRing(1, RING),
    RingShown(1, RING),
    Query(1, b"mail", b"\xa1a", b"", False),
    Matches(1, [ID, b"\x00\x90"], [b"\xa1a", 2], b"", ("a",), ("b",), ("c",), ""),
    Why(1, ID),
    Story(1, (Note("a", Happening.MERGED, Stamp(1), Stamp(2), 3, b"b"),), ("c",)),
    Inspect(1, "a", 3, ID, 5, ID, True, True),
    Inspected(1, "a", True, 3, 4, (ROW_OF_PAGE,), 64, b""),
]

STRANGE: list[object] = [
    None,
    True,
    False,
    0,
    3,
    -1,
    2**64 - 1,
    3.9,
    "",
    "a",
    "None",
    b"",
    b"a",
    bytes(ID),
    str(ID, "ascii"),
    [],
    [0],
    ["a"],
    [[]],
    [None, None],
    {},
    {"a": 1},
    msgpack.ExtType(5, b"x"),
    msgpack.Timestamp(1),
]
"""Values that some decoders take for others: None for "None", True for 1, 3.9 for 3."""


def pack(*parts: object) -> bytes:
    """Return a payload that no encoder of ours has looked at."""
    packed: bytes = msgpack.packb(list(parts))
    return packed


def fields_of(message: Message) -> list[Any]:
    """Return the fields as they stand in the payload."""
    fields: list[Any] = msgpack.unpackb(encode(message))[1:]
    return fields


def same(one: object, other: object) -> bool:
    """Equality that tells True from 1 and 1.0, at every depth."""
    return repr(one) == repr(other)


def check_refused(payload: bytes) -> str:
    """Check that ``payload`` is refused as the peer's mistake, and return what is said."""
    with pytest.raises(RemoteProtocolError) as caught:
        decode(payload)
    return str(caught.value)


# --- There and back ---


@given(messages)
def test_every_message_comes_back_as_it_was(message: Message) -> None:
    again = decode(encode(message))
    assert type(again) is type(message)
    assert same(again, message)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_the_examples_come_back_as_they_were(message: Message) -> None:
    assert same(decode(encode(message)), message)


def test_every_class_of_messages_has_its_own_tag_of_one_byte() -> None:
    assert set(TAGS) == set(MESSAGES) == {type(example) for example in EXAMPLES}
    assert len(set(TAGS.values())) == len(TAGS)
    assert all(0 < tag < 0x80 for tag in TAGS.values())


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_payload_is_one_array_of_the_tag_and_the_fields_in_their_order(message: Message) -> None:
    fields = attrs.fields(type(message))
    assert encode(message)[:2] == bytes([0x90 | 1 + len(fields), TAGS[type(message)]])


# --- Nothing is coerced ---


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_no_field_takes_a_value_of_another_type(message: Message) -> None:
    """What is taken is taken as it is: spelled again it is the same."""
    fields = fields_of(message)
    for position in range(len(fields)):
        for value in STRANGE:
            changed = [*fields[:position], value, *fields[position + 1 :]]
            payload = pack(TAGS[type(message)], *changed)
            try:
                taken = decode(payload)
            except RemoteProtocolError:
                continue
            assert type(value) is type(fields[position]), (position, value)
            assert same(fields_of(taken), changed)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_nothing_inside_a_list_takes_a_value_of_another_type(message: Message) -> None:
    fields = fields_of(message)
    for position, field in enumerate(fields):
        for inside in range(len(field) if type(field) is list else 0):
            for value in STRANGE:
                if type(value) is type(field[inside]):
                    continue
                changed = [*field[:inside], value, *field[inside + 1 :]]
                parts = [*fields[:position], changed, *fields[position + 1 :]]
                if (
                    isinstance(message, Save | Rotate)
                    and inside % 2
                    and type(value) in (bytes, type(None))
                ):
                    continue
                check_refused(pack(TAGS[type(message)], *parts))


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda message: type(message).__name__)
def test_a_field_too_many_or_too_few_is_refused(message: Message) -> None:
    tag, fields = TAGS[type(message)], fields_of(message)
    check_refused(pack(tag, *fields, 0))
    if fields:
        check_refused(pack(tag, *fields[:-1]))
        check_refused(pack(tag))


def test_a_field_of_a_type_without_a_rule_is_not_guessed() -> None:
    @attrs.frozen
    class Novel:
        share: float

    with pytest.raises(TypeError, match=r"no rule for Novel\.share: <class 'float'>"):
        control.read(Novel, [0.5])


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=30)
    | session_ids,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.integers(0, 9), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(st.sampled_from(sorted(TAGS.values())), st.lists(values, max_size=8))
def test_whatever_msgpack_can_spell_is_a_message_or_refused(tag: int, fields: list[object]) -> None:
    try:
        taken = decode(pack(tag, *fields))
    except RemoteProtocolError:
        return
    assert same(fields_of(taken), fields)


# --- Any bytes ---


@given(st.binary(max_size=200))
def test_random_bytes_are_refused_or_a_message(payload: bytes) -> None:
    with suppress(RemoteProtocolError):
        decode(payload)


@given(messages, st.data())
def test_damaged_bytes_are_refused_or_a_message(message: Message, data: st.DataObject) -> None:
    """What damage leaves readable is a message of which every limit holds: it can be sent on."""
    damaged = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 4), label="damages")):
        at = data.draw(st.integers(0, len(damaged)), label="at")
        until = data.draw(st.integers(at, min(len(damaged), at + 3)), label="until")
        damaged[at:until] = data.draw(st.binary(max_size=3), label="by")
    try:
        taken = decode(bytes(damaged))
    except RemoteProtocolError:
        return
    assert same(decode(encode(taken)), taken)


@given(messages, st.data())
def test_a_truncated_message_is_refused(message: Message, data: st.DataObject) -> None:
    payload = encode(message)
    check_refused(payload[: data.draw(st.integers(0, len(payload) - 1))])


@given(messages, st.binary(min_size=1, max_size=5))
def test_bytes_behind_a_message_are_refused(message: Message, more: bytes) -> None:
    check_refused(encode(message) + more)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "it has no tag"),
        (b"\x91", "it has no tag"),
        (b"\x90", "it has no tag"),
        (b"\x90\x01", "unpack"),
        (pack(0), "unknown tag"),
        (pack(127, 1, 2), "unknown tag"),
        (pack(200), "unknown tag"),
        (pack("1", []), "unknown tag"),
        (b"\x80", "not an array"),
        (b"\xdc\x00\x02\x01\x90", "not an array"),
        (b"\x92\xcc\x01\x90", "unknown tag"),
        (b"\x93\x43\x01\xa1\xff", "not UTF-8|fields"),
    ],
)
def test_what_is_not_even_an_array_with_a_tag_is_refused(payload: bytes, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        decode(payload)


def test_text_that_is_not_utf_8_is_refused() -> None:
    payload = encode(Failed(1, Failure.GONE, "abc"))
    assert "text that is not UTF-8" in check_refused(payload.replace(b"abc", b"a\xffc"))


@pytest.mark.parametrize("tag", sorted(TAGS.values()))
@pytest.mark.parametrize("header", [b"\x91", b"\xdc\x00\x01", b"\xdc\x0c\x00", b"\x81\x01"])
def test_arrays_in_arrays_are_refused_however_deep(tag: int, header: bytes) -> None:
    """A thousand headers are accepted by msgpack, and too deep for repr; nothing looks inside."""
    for depth in (1, 500, 1000, 1022, 2000, 100_000):
        check_refused(bytes([0x92, tag]) + header * depth + b"\xc0")


@pytest.mark.parametrize("kind", TAGS)
def test_no_room_is_made_for_an_array_longer_than_the_message_may_have(kind: type[Message]) -> None:
    """Each element that is announced costs 8 bytes before the first of them has come."""
    announced = b"\xdd\x00\x0f\x00\x00" + bytes(0x0F0000)
    assert "exceeds max_array_len" in check_refused(bytes([0x92, TAGS[kind]]) + announced)


def test_an_extension_type_is_refused_wherever_it_stands() -> None:
    for ext in (msgpack.ExtType(1, b""), msgpack.ExtType(1, b"x"), msgpack.Timestamp(0)):
        check_refused(pack(TAGS[Absent], ext))
        check_refused(pack(TAGS[Changes], [ID, ext, b"\x00"]))


def test_the_reason_given_repeats_no_session_id() -> None:
    """Ids are secrets, and the reason goes to the log."""
    secret = b"a." + b"SECRETSECRETSECRETSECR"
    for payload in (
        pack(TAGS[Ask], -1, secret),
        pack(TAGS[Ask], 1, secret + b"!"),
        pack(TAGS[Ask], secret, 1),
        pack(TAGS[Changes], [secret, 1, b""]),
        pack(TAGS[Changes], [secret + b"\n", 1, b"\x00"]),
        pack(TAGS[End], 1, secret, str(secret, "ascii"), False, False),
        pack(TAGS[Compare], str(secret, "ascii"), 1, b""),
        pack(TAGS[Failed], 1, str(secret, "ascii"), "why"),
    ):
        assert "SECRET" not in check_refused(payload)


nearly_ids = st.one_of(
    session_ids,
    st.just(b""),
    st.just(b"\n"),
    st.builds(lambda one, two: one + b"\n" + two, session_ids, session_ids),
    st.builds(lambda one: one + b"\n", session_ids),
    st.builds(lambda one: one[:-1], session_ids),
    st.builds(lambda one: one + b"x", session_ids),
    st.builds(lambda one: one.upper(), session_ids),
)


@given(st.lists(nearly_ids, max_size=6))
def test_ids_checked_together_are_judged_as_one_by_one(ids: list[bytes]) -> None:
    expected = all(parse_session_id(one) is not None for one in ids)
    try:
        check_session_ids(list(ids))
        taken = True
    except ValueError:
        taken = False
    assert taken is expected
