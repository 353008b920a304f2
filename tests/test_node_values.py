"""What goes into a session comes back as it was, and what could not is refused with its path."""

# ruff: noqa: DTZ001, DTZ901 - datetimes without an offset are values like others

import math
import struct
from collections import OrderedDict, namedtuple
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from enum import IntEnum, StrEnum
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import registered
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.packing import pack_value
from node.registered import register
from node.unpacking import unpack_value
from node.values import NESTING_MAX
from ring.errors import SessionRingError, SessionTooLargeError

BYTES_MAX = 256 * 1024


@attrs.define
class Line:
    """A line of a cart, as an application might have it."""

    article: str
    price: object = Decimal(0)
    _note: object = None


@attrs.frozen
class Point:
    x: object
    y: object = 0


@pytest.fixture(autouse=True)
def only_our_classes() -> Iterator[None]:
    """Registers the classes above, and forgets what a test registers."""
    with patch.dict(registered._by_class), patch.dict(registered._by_name):
        register(Line)
        register(Point, "geometry.Point")
        yield


def pack(value: object) -> bytes:
    return pack_value("cart", value, BYTES_MAX)


def unpack(packed: bytes) -> Any:
    return unpack_value("cart", packed)


def again(value: object) -> Any:
    return unpack(pack(value))


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type and content, all the way down."""
    if type(one) is not type(other):
        return False
    match one, other:
        case float(), float():
            return struct.pack(">d", one) == struct.pack(">d", other)
        case Decimal(), Decimal():
            return str(one) == str(other)
        case datetime(), datetime():
            naive = one.replace(tzinfo=None), other.replace(tzinfo=None)
            offsets = one.utcoffset(), other.utcoffset()
            return naive[0] == naive[1] and one.fold == other.fold and offsets[0] == offsets[1]
        case (list(), list()) | (tuple(), tuple()):
            return len(one) == len(other) and all(map(same, one, other))
        case dict(), dict():
            return same(list(one.items()), list(other.items()))
        case (set(), set()) | (frozenset(), frozenset()):
            return sorted(map(pack, one)) == sorted(map(pack, other))
        case (Line(), Line()) | (Point(), Point()):
            return same(attrs.astuple(one, recurse=False), attrs.astuple(other, recurse=False))
    return bool(one == other)


offsets = st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone)
hashable_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.none() | offsets, allow_imaginary=True)
    | st.dates()
    | st.timedeltas()
    | st.uuids()
    | st.decimals().filter(lambda number: not number.is_snan())
)
hashables = st.recursive(
    hashable_scalars,
    lambda inner: st.lists(inner).map(tuple) | st.frozensets(inner) | st.builds(Point, inner),
    max_leaves=6,
)
keys = st.text() | st.integers(-(2**63), 2**64 - 1)
values = st.recursive(
    hashables | st.sets(hashables, max_size=4) | st.just(Decimal("sNaN123")),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(keys, inner)
        | st.lists(inner).map(tuple)
        | st.builds(Line, st.text(), inner, inner)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=20,
)


# --- Round trips --------------------------------------------------------------------------------


@given(values)
def test_a_value_comes_back_as_the_type_and_content_it_had(value: object) -> None:
    assert same(again(value), value)


@given(values)
def test_a_value_that_came_back_has_the_same_bytes(value: object) -> None:
    """So an attribute that was only looked at is not taken for changed."""
    packed = pack(value)
    assert pack(unpack(packed)) == packed


@given(st.lists(hashables, unique_by=pack, max_size=8), st.randoms())
def test_equal_sets_have_equal_bytes(members: list[object], random: Any) -> None:
    one = set(members)
    members = list(one)
    random.shuffle(members)
    other = set(members)
    assert pack(one) == pack(other)
    assert pack(frozenset(one)) == pack(frozenset(other))


@pytest.mark.parametrize(
    "value",
    [
        2**64 - 1,
        -(2**63),
        0.1,
        -0.0,
        math.inf,
        math.nan,
        "",
        "\0 Grüße \U0001f600",
        b"",
        [],
        {},
        (),
        set(),
        frozenset(),
        {1: "int", "1": "str"},
        {-1: [(), {"deep": {frozenset({(1, b"x")})}}]},
        datetime.min,
        datetime.max,
        datetime(2025, 10, 26, 2, 30, fold=1),
        datetime(2025, 1, 1, tzinfo=UTC),
        datetime(1880, 1, 1, tzinfo=timezone(timedelta(minutes=53, seconds=28, microseconds=5))),
        date.min,
        date.max,
        timedelta.min,
        timedelta.max,
        timedelta(microseconds=-1),
        UUID(int=0),
        UUID(int=2**128 - 1),
        Decimal("1E+999999"),
        Decimal("-0.00"),
        Decimal("NaN17"),
        Decimal("sNaN"),
        Decimal("-Infinity"),
        Line("tea", Decimal("3.50"), {"gift": True}),
        Point(Point(1, 2), (Point(3),)),
    ],
    ids=ascii,
)
def test_an_edge_comes_back(value: object) -> None:
    assert same(again(value), value)


def test_the_order_of_a_dict_is_kept() -> None:
    assert list(again({"z": 1, "a": 2, 5: 3})) == ["z", "a", 5]


class _SummerTime(tzinfo):
    """A zone with rules, as zoneinfo has them."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=2 if moment and 3 < moment.month < 11 else 1)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "CEST"


def test_an_aware_datetime_keeps_its_offset_and_loses_the_rules_of_its_zone() -> None:
    moment = again(datetime(2025, 7, 1, 12, tzinfo=_SummerTime()))
    assert moment == datetime(2025, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert type(moment.tzinfo) is timezone


def test_the_deepest_nesting_that_is_allowed_comes_back() -> None:
    deep: Any = 7
    for level in range(NESTING_MAX):
        deep = ([deep], (deep,), {"deep": deep}, Point(deep))[level % 4]
    assert same(again(deep), deep)


# --- Refusals ---------------------------------------------------------------------------------


class Colour(IntEnum):
    RED = 1


class Size(StrEnum):
    SMALL = "s"


class Money(Decimal):
    pass


class _NoOffset(tzinfo):
    def utcoffset(self, moment: datetime | None) -> None:
        return None

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "nowhere"


Pair = namedtuple("Pair", "left right")


def _bare_line() -> Line:
    line = Line("tea")
    del line.price
    return line


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        (object(), "cart", "type object, which cannot be stored; store its parts"),
        ({"items": [0, 1, 2, {"price": 1j}]}, "cart.items[3].price", "type complex"),
        ({"no name": {5: {"x": ...}}}, "cart['no name'][5].x", "type ellipsis"),
        ({"Grüße": ...}, "cart.Grüße", "type ellipsis"),
        ({'"\n': ...}, "cart['\"\\n']", "type ellipsis"),
        ((1, (2, ...)), "cart[1][1]", "type ellipsis"),
        ({1, (2, ...)}, "cart{member}[1]", "type ellipsis"),
        (frozenset({...}), "cart{member}", "type ellipsis"),
        (Line("tea", ...), "cart.price", "type ellipsis"),
        (Line("tea", note=[...]), "cart._note[0]", "type ellipsis"),
        (_bare_line(), "cart.price", "has been deleted"),
        ([2**64], "cart[0]", "an int of more than 64 bits; store it as str or Decimal"),
        (-(2**63) - 1, "cart", "an int of more than 64 bits"),
        ({2**64: 1}, "cart[18446744073709551616]", "an int of more than 64 bits"),
        (["\ud800"], "cart[0]", "a lone surrogate; store bytes"),
        ({"\ud800": 1}, "cart['\\ud800']", "a lone surrogate"),
        ({True: 1}, "cart", "a key of type bool; only str and int keys"),
        ({"a": {None: 1}}, "cart.a", "a key of type NoneType"),
        ({(1,): 1}, "cart", "a key of type tuple"),
        ({1.0: 1}, "cart", "a key of type float"),
        ({b"k": 1}, "cart", "a key of type bytes"),
        ({Colour.RED: 1}, "cart", "a key of type Colour"),
        (OrderedDict(a=1), "cart", "type OrderedDict, which cannot be stored; it would come back"),
        (Colour.RED, "cart", "would come back as int: convert it"),
        (Size.SMALL, "cart", "would come back as str: convert it"),
        (Pair(1, 2), "cart", "would come back as tuple: convert it"),
        (Money(1), "cart", "would come back as Decimal: convert it"),
        (bytearray(b"x"), "cart", "type bytearray"),
        (memoryview(b"x"), "cart", "type memoryview"),
        (range(3), "cart", "type range"),
        (datetime(2025, 1, 1, tzinfo=_NoOffset()), "cart", "a datetime whose tzinfo gives no"),
        (Point, "cart", "type type"),
        (msgpack.Timestamp(0), "cart", "type Timestamp"),
        (msgpack.ExtType(2, b"\x90"), "cart", "would come back as tuple"),
    ],
    ids=count(),
)
def test_what_would_not_come_back_is_refused_with_its_path(
    value: object, path: str, reason: str
) -> None:
    with pytest.raises(ValueNotStorableError) as refusal:
        pack(value)
    assert str(refusal.value).startswith(f"attribute 'cart' cannot be stored: {path} ")
    assert reason in str(refusal.value)
    assert isinstance(refusal.value, TypeError)
    assert isinstance(refusal.value, SessionRingError)


def test_a_list_in_itself_is_refused() -> None:
    circle: list[object] = []
    circle.append(circle)
    with pytest.raises(ValueNotStorableError, match=f"nested more than {NESTING_MAX} deep"):
        pack(circle)


def test_one_level_too_many_is_refused() -> None:
    deep: object = 7
    for _ in range(NESTING_MAX + 1):
        deep = [deep]
    with pytest.raises(ValueNotStorableError, match=r"cart\[0\]\[0\].* deep; flatten it"):
        pack(deep)


def test_a_value_over_the_limit_is_refused_with_its_size() -> None:
    assert len(pack_value("cart", "x" * 97, 100)) == 99
    with pytest.raises(SessionTooLargeError, match=r"'cart' takes 101 bytes, .* is 100"):
        pack_value("cart", "x" * 99, 100)


def test_a_small_graph_that_stands_for_too_much_is_refused_before_it_fills_the_memory() -> None:
    """Each level has the one below twice: 2**60 items in a kilobyte."""
    shared: object = 1
    for level in range(60):
        shared = ([shared, shared], (shared, shared), {1: shared, 2: shared})[level % 3]
    with pytest.raises(SessionTooLargeError, match="attribute 'cart' is over"):
        pack(shared)


@given(values, st.data())
def test_damaged_bytes_are_a_value_or_refused(value: object, data: st.DataObject) -> None:
    packed = bytearray(pack(value))
    at = data.draw(st.integers(0, len(packed) - 1))
    packed[at] = data.draw(st.integers(0, 255))
    try:
        damaged = unpack(bytes(packed[: data.draw(st.integers(at, len(packed)))]))
    except AttributeDecodeError:
        return
    pack(damaged)
