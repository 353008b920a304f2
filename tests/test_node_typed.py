"""Attributes as the types that are asked for: strictly, with the path to what does not fit."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, IntEnum
from pathlib import Path
from typing import Any, Literal, NamedTuple, NewType, NotRequired, TypedDict
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, last_save, saved

from node import AttributeDecodeError, Session, register


@attrs.define
class Item:
    name: str
    count: int = 1


@attrs.define
class Cart:
    items: list[Item]
    currency: Literal["EUR", "USD"] = "EUR"
    parent: "Cart | None" = None


@dataclass
class Visit:
    path: str
    tags: set[str] = field(default_factory=set)


class Address(TypedDict):
    street: str
    number: NotRequired[int]


class Color(Enum):
    RED = 1
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


Euros = NewType("Euros", int)


@attrs.define
class Wish:
    what: str


@attrs.define
class Coupon:
    code: str


register(Wish)


def holding(value: object) -> Session:
    shelf = Shelf()
    return found(shelf, saved(shelf, x=value))


FITTING: list[tuple[object, Any, object]] = [
    (1, int, 1),
    (None, None, None),
    (True, bool, True),
    (b"x", bytes, b"x"),
    (Decimal("1.5"), Decimal, Decimal("1.5")),
    ([1, 2], list[int], [1, 2]),
    ([1, "a"], list, [1, "a"]),
    ([1, "a"], list[int | str], [1, "a"]),
    ((1, 2), tuple[int, ...], (1, 2)),
    ((1, "a"), tuple[int, str], (1, "a")),
    ((), tuple[()], ()),
    ((1, 2), Sequence[int], (1, 2)),
    ({"a": 1}, dict[str, int], {"a": 1}),
    ({1: [2]}, Mapping[int, list[int]], {1: [2]}),
    ({1, 2}, set[int], {1, 2}),
    (frozenset({1}), frozenset[int], frozenset({1})),
    (None, int | None, None),
    ({"a": 1}, Any, {"a": 1}),
    ({"a": 1}, object, {"a": 1}),
    ({"name": "tea"}, Item, Item("tea")),
    ({"items": [{"name": "tea", "count": 2}]}, Cart, Cart([Item("tea", 2)])),
    ({"items": [], "parent": {"items": []}}, Cart, Cart([], "EUR", Cart([]))),
    ({"path": "/", "tags": {"a"}}, Visit, Visit("/", {"a"})),
    ({"street": "High"}, Address, {"street": "High"}),
    ({"street": "High", "number": 3}, Address, {"street": "High", "number": 3}),
    ([{"name": "tea"}, {"path": "/"}], list[Item | Visit], [Item("tea"), Visit("/")]),
    (1, Color, Color.RED),
    ("blue", Color, Color.BLUE),
    (1, Level, Level.LOW),
    (3, Euros, 3),
    (Wish("a bike"), Wish, Wish("a bike")),
    ([Wish("a bike")], list[Wish], [Wish("a bike")]),
]


@pytest.mark.parametrize(("value", "kind", "expected"), FITTING, ids=lambda each: str(each)[:40])
def test_what_fits_is_read_as_what_it_is_wanted_as(
    value: object, kind: Any, expected: object
) -> None:
    read = holding(value).get("x", as_=kind)
    assert read == expected
    assert type(read) is type(expected)


MISFITS: list[tuple[object, Any, str]] = [
    (True, int, "it is of type bool, not int @ x"),
    (1, float, "it is of type int, not float @ x"),
    (1.0, int, "it is of type float, not int @ x"),
    ("1", int, "it is of type str, not int @ x"),
    (None, str, "it is of type NoneType, not str @ x"),
    (b"a", str, "it is of type bytes, not str @ x"),
    ("abc", list[str], "it is of type str, not list @ x"),
    ((1,), list[int], "it is of type tuple, not list @ x"),
    ({1}, frozenset[int], "it is of type set, not frozenset @ x"),
    ([1], tuple[int, ...], "it is of type list, not tuple @ x"),
    ((1, 2), tuple[int], "it has 2 items, not 1 @ x"),
    ([1, "a", 2], list[int], "it is of type str, not int @ x[1]"),
    ({"a": [1, None]}, dict[str, list[int]], "it is of type NoneType, not int @ x['a'][1]"),
    ({1: 2}, dict[str, int], "it is of type int, not str @ x[1]"),
    ({"name": "tea", "count": "2"}, Item, "it is of type str, not int @ x.count"),
    ({"name": "tea", "color": 1}, Item, "it has a field too many @ x"),
    ({"count": 2}, Item, "a field is missing @ x.name"),
    ([("name", "tea")], Item, "it is of type list, not dict @ x"),
    ({"items": [{"name": 1}]}, Cart, "it is of type int, not str @ x.items[0].name"),
    ({"items": [], "currency": "GBP"}, Cart, "it is none of 'EUR', 'USD' @ x.currency"),
    ({"street": 1}, Address, "it is of type int, not str @ x.street"),
    ({"street": "High", "town": ""}, Address, "it has a field too many @ x"),
    (1.0, Color, "it is the value of no Color @ x"),
    (True, Color, "it is the value of no Color @ x"),
    (True, Level, "it is the value of no Level @ x"),
    (True, Literal[1], "it is none of 1 @ x"),
    ("3", Euros, "it is of type str, not int @ x"),
    (True, int | str, "it is of type bool, and fits none of int | str @ x"),
    ({"what": "a bike"}, Wish, "it is of type dict, not Wish @ x"),
    (Wish("a bike"), Item, "it is of type Wish, not dict @ x"),
    ("2024-01-01", datetime, "it is of type str, not datetime.datetime @ x"),
    ("a" * 32, UUID, "it is of type str, not UUID @ x"),
]


@pytest.mark.parametrize(("value", "kind", "why"), MISFITS, ids=lambda each: str(each)[:40])
def test_what_does_not_fit_is_refused_with_the_path_to_it(
    value: object, kind: Any, why: str
) -> None:
    session = holding(value)
    with pytest.raises(AttributeDecodeError, match="'x' cannot be read as") as caught:
        session.get("x", as_=kind)
    assert str(caught.value).endswith(why.replace("datetime.datetime", "datetime"))
    assert session["x"] == value


def test_only_what_does_not_fit_cannot_be_read() -> None:
    session = holding([1])
    session["y"] = 2
    with pytest.raises(AttributeDecodeError):
        session.get("x", as_=int)
    assert session.get("y", as_=int) == 2


def test_an_error_repeats_nothing_of_the_value() -> None:
    """It may be a token, and errors are logged."""

    @attrs.define
    class Picky:
        token: str = attrs.field()

        @token.validator
        def _check(self, _: object, value: str) -> None:
            raise ValueError(f"no good token: {value}")

    secret = "hunter2"
    kinds: list[Any] = [int, list[bool], Color, Literal["a"], int | bool, dict[str, int], Picky]
    for kind in kinds:
        for value in (secret, [secret, 1], {"token": secret}):
            assert secret not in complaint(value, kind)


def complaint(value: object, kind: Any) -> str:
    with pytest.raises((AttributeDecodeError, TypeError)) as caught:
        holding(value).get("x", as_=kind)
    return str(caught.value)


def test_what_is_not_there_is_the_default() -> None:
    session = holding(1)
    assert session.get("y", as_=int) is None
    assert session.get("y", "none", as_=int) == "none"
    assert session.get("y") is None
    assert session.get("y", 3) == 3
    assert session.get("x", 3) == 1


def test_a_type_that_is_not_read_strictly_is_a_mistake_of_the_caller() -> None:
    @attrs.define
    class Strange:
        items: deque[int]

    class Text(str):
        __slots__ = ()

    class Pair(NamedTuple):
        one: int

    asked: list[tuple[object, Any]] = [
        ([1], deque[int]),
        ([[1]], list[deque[int]]),
        ({"a": [1]}, dict[str, complex]),
        ({"items": []}, Strange),
        ([1], int | deque[int]),
        ("/etc", Path),
        ("a", Text),
        ((1,), Pair),
        ([1], Iterable[int]),
    ]
    for value, kind in asked:
        assert "nothing is strictly read as" in complaint(value, kind), kind
    with pytest.raises(TypeError, match=r"nothing is strictly read as collections.deque\[int\]"):
        holding([1]).get("x", as_=deque[int])


def test_a_registered_object_is_the_one_whose_changes_are_saved() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, x=Wish("a bike")))
    wish = session.get("x", as_=Wish)
    assert wish is not None
    wish.what = "a car"
    at_once(session.save())
    assert found(shelf, session)["x"] == Wish("a car")


def test_what_is_made_of_plain_values_is_a_copy() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf, x={"items": [{"name": "tea", "count": 1}]}))
    cart = session.get("x", as_=Cart)
    assert cart is not None
    cart.items[0].count = 7
    at_once(session.save())
    assert shelf.asked == []
    session["x"] = attrs.asdict(cart)
    at_once(session.save())
    assert last_save(shelf).changes
    again = found(shelf, session).get("x", as_=Cart)
    assert again == cart


def test_a_class_that_is_registered_later_is_checked_from_then_on() -> None:
    assert holding({"code": "x"}).get("x", as_=Coupon) == Coupon("x")
    register(Coupon)
    with pytest.raises(AttributeDecodeError, match="it is of type dict, not Coupon"):
        holding({"code": "x"}).get("x", as_=Coupon)
    assert holding(Coupon("x")).get("x", as_=Coupon) == Coupon("x")


def test_a_map_may_be_read_as_what_its_members_are() -> None:
    shelf = Shelf()
    session = saved(shelf)
    session.map("cart")["tea"] = {"name": "tea"}
    assert session.get("cart", as_=dict[str, Item]) == {"tea": Item("tea")}


scalars = st.none() | st.booleans() | st.integers(0, 9) | st.floats(0, 9) | st.text(max_size=2)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=1), inner),
    max_leaves=4,
)
KINDS: dict[Any, Any] = {
    bool: lambda value: type(value) is bool,
    int: lambda value: type(value) is int,
    str: lambda value: type(value) is str,
    int | None: lambda value: value is None or type(value) is int,
    list[int]: lambda value: type(value) is list and all(type(each) is int for each in value),
    dict[str, float]: lambda value: (
        type(value) is dict and all(type(each) is float for each in value.values())
    ),
}


@given(values, st.sampled_from(list(KINDS)))
def test_it_is_read_as_it_is_or_not_at_all(value: object, kind: Any) -> None:
    """The dumb definition of each type."""
    session = holding(value)
    if KINDS[kind](value):
        assert repr(session.get("x", as_=kind)) == repr(value)
    else:
        with pytest.raises(AttributeDecodeError):
            session.get("x", as_=kind)
