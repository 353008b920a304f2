"""Maps, sets and counters in their session: assigned, deleted, of another kind, at their limits."""

import json
from collections.abc import Callable
from copy import copy as shallow
from copy import deepcopy
from typing import Any

import pytest
from shelf import Shelf, at_once, found, repository, saved

from node.copies import MapCopy
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.session import Session
from ring.clock import Stamp
from ring.entry import make_entry
from ring.errors import SessionTooLargeError
from ring.structured import member_key


def with_all(shelf: Shelf) -> Session:
    session = saved(shelf, color="red")
    session.map("cart")["apple"] = [1]
    session.set("rooms").add("lobby")
    session.counter("visits").add(2)
    at_once(session.save())
    return session


@pytest.mark.parametrize("is_found", [False, True])
def test_under_its_name_it_is_a_copy_that_cannot_be_changed(is_found: bool) -> None:
    shelf = Shelf()
    session = with_all(shelf)
    if is_found:
        session = found(shelf, session)
    expected = {"color": "red", "cart": {"apple": [1]}, "rooms": {"lobby"}, "visits": 2}
    assert dict(session) == expected
    assert set(session) == set(expected)
    assert len(session) == 4
    assert type(session["cart"]) is MapCopy
    assert type(session["rooms"]) is frozenset
    assert type(session["visits"]) is int
    copy: Any = session["cart"]
    with pytest.raises(TypeError):
        copy["pear"] = 1
    session.map("cart")["pear"] = 1
    assert copy == {"apple": [1]}


def test_a_copy_of_a_map_is_a_dict_but_for_changes() -> None:
    session = with_all(Shelf())
    copy: Any = session["cart"]
    assert json.loads(json.dumps(copy)) == {"apple": [1]} == copy
    assert (repr(copy), copy | {"b": 1}) == ("{'apple': [1]}", {"apple": [1], "b": 1})
    for again in (copy.copy(), shallow(copy), deepcopy(copy)):
        again["pear"] = 1
        assert type(again) is dict
    changes: list[Callable[[], object]] = [
        *(copy.clear, copy.popitem, lambda: copy.pop("apple"), lambda: copy.update(b=1)),
        *(lambda: copy.setdefault("b", 1), lambda: copy.__ior__({}), lambda: copy.__delitem__(1)),
        lambda: copy.__setitem__("b", 1),
    ]
    for change in changes:
        with pytest.raises(TypeError, match=r"a copy that .*; use session\.map\('cart'\)"):
            change()
    assert session["cart"] == {"apple": [1]}


READINGS: dict[str, Callable[[Session, str], Any]] = {
    "copy": lambda session, name: session[name],
    "map": lambda session, name: session.map(name),
    "set": lambda session, name: session.set(name),
    "counter": lambda session, name: session.counter(name),
}


@pytest.mark.parametrize(
    ("name", "how", "came_to"),
    [
        *(("cart", how, {"apple": [1]}) for how in ("copy", "map")),
        *(("rooms", how, {"lobby"}) for how in ("copy", "set")),
        *(("visits", how, 2) for how in ("copy", "counter")),
    ],
)
def test_what_is_assigned_from_a_structure_is_what_is_in_it_now(
    name: str, how: str, came_to: object
) -> None:
    shelf = Shelf()
    session = with_all(shelf)
    session["plain"] = READINGS[how](session, name)
    if name != "visits":
        session[name] = READINGS[how](session, name)
    at_once(session.save())
    again = found(shelf, session)
    assert again["plain"] == session["plain"] == again[name] == came_to
    assert type(again["plain"]) is type(session["plain"])
    assert type(again["plain"]) in (dict, set, frozenset, int)
    with pytest.raises(TypeError, match="is a plain attribute"):
        again.map("plain")


def test_an_int_does_not_take_the_place_of_a_counter() -> None:
    """What others add would be lost, and their next addition a TypeError."""
    shelf = Shelf()
    session = with_all(shelf)
    for each in (session, found(shelf, session)):
        with pytest.raises(TypeError, match=r"session\.counter\('visits'\)\.add\("):
            each["visits"] += 1
        with pytest.raises(TypeError, match="'visits' is a counter"):
            each["visits"] = each.counter("visits")
        assert each["visits"] == 2
    session["visits"] = "many"
    session["visits"] = 1
    session["visits"] += 1
    at_once(session.save())
    assert found(shelf, session)["visits"] == 2


@pytest.mark.parametrize("name", ["cart", "rooms", "visits"])
@pytest.mark.parametrize("is_saved", [False, True])
def test_it_is_deleted_like_any_attribute(name: str, is_saved: bool) -> None:
    shelf = Shelf()
    session = with_all(shelf)
    kept = session.map("cart"), session.set("rooms"), session.counter("visits")
    del session[name]
    if is_saved:
        at_once(session.save())
        session = found(shelf, session)
    assert name not in session
    assert len(session) == 3
    with pytest.raises(KeyError):
        session[name]
    with pytest.raises(KeyError):
        del session[name]
    assert [len(session.map("cart")), len(session.set("rooms"))].count(0) == (name != "visits")
    assert sum(map(bool, kept)) == 2
    kept[2].add()
    assert kept[2] == (1 if name == "visits" else 3)


@pytest.mark.parametrize("how", ["map", "set", "counter"])
@pytest.mark.parametrize("is_found", [False, True])
def test_an_attribute_of_another_kind_is_named_with_the_remedy(how: str, is_found: bool) -> None:
    shelf = Shelf()
    session = with_all(shelf)
    if is_found:
        session = found(shelf, session)
    own = {"map": "cart", "set": "rooms", "counter": "visits"}
    remedies = {"color": r"a plain attribute; use session\['color'\]"} | {
        name: f"a {kind}; use .{kind}\\('{name}'\\)" for kind, name in own.items()
    }
    del remedies[own[how]]
    for name, remedy in remedies.items():
        with pytest.raises(TypeError, match=rf"session\.{how}\('{name}'\).* is {remedy}, or del"):
            getattr(session, how)(name)
    assert getattr(session, how)(own[how])


def test_what_was_opened_before_the_kind_changed_says_so() -> None:
    session = with_all(Shelf())
    cart = session.map("cart")
    session["cart"] = 5
    with pytest.raises(TypeError, match="'cart' is a plain attribute"):
        cart["apple"] = 1
    del session["cart"]
    assert cart == {}
    session.set("cart").add("apple")
    with pytest.raises(TypeError, match="'cart' is a set"):
        len(cart)


CHANGES: dict[str, Callable[[Session], object]] = {
    "plain": lambda session: session.update(x=7),
    "map": lambda session: session.map("x").update(a=1),
    "set": lambda session: session.set("x").add("a"),
    "counter": lambda session: session.counter("x").add(3),
}
CAME_TO: dict[str, object] = {"plain": 7, "map": {"a": 1}, "set": {"a"}, "counter": 3}


@pytest.mark.parametrize("saves", [0, 1, 2, 3])
@pytest.mark.parametrize("new", CHANGES)
@pytest.mark.parametrize("old", CHANGES)
def test_any_kind_takes_the_place_of_any_other(old: str, new: str, saves: int) -> None:
    """Saved in between or not: what is there in the end is what was put there last."""
    shelf = Shelf()
    session = saved(shelf)
    CHANGES[old](session)
    if saves & 1:
        at_once(session.save())
    if new != "plain" or old == "counter":
        session.pop("x")
    if saves & 2:
        at_once(session.save())
    CHANGES[new](session)
    assert session["x"] == CAME_TO[new]
    at_once(session.save())
    assert found(shelf, session)["x"] == CAME_TO[new]
    assert list(found(shelf, session)) == ["x"]


def test_clear_ends_structured_attributes_too() -> None:
    shelf = Shelf()
    session = with_all(shelf)
    session.clear()
    at_once(session.save())
    assert dict(found(shelf, session)) == {}


def test_what_is_only_looked_at_does_not_come_to_be() -> None:
    shelf = Shelf()
    session = saved(shelf)
    assert (session.map("a") == {}, session.set("b") == set(), session.counter("c") == 0) == (
        *(True, True, True),
    )
    assert dict(session) == {}
    at_once(session.save())
    assert shelf.asked == []
    session.set("a").add(1)
    assert session["a"] == {1}


def test_an_emptied_map_is_there_and_empty() -> None:
    shelf = Shelf()
    session = with_all(shelf)
    for empty in (lambda: session.map("cart").pop("apple"), lambda: session.set("rooms").clear()):
        empty()
    at_once(session.save())
    assert dict(found(shelf, session)) == {"color": "red", "cart": {}, "rooms": set(), "visits": 2}


@pytest.mark.parametrize("how", ["map", "set", "counter"])
def test_names_are_those_of_attributes(how: str) -> None:
    session = saved(Shelf())
    for name in ("", "a\0", "\x01a", "x" * 256, "\ud800"):
        with pytest.raises(ValueError, match="attribute name"):
            getattr(session, how)(name)
    with pytest.raises(TypeError, match="is a str, not 5"):
        getattr(session, how)(5)


# --- Limits ---------------------------------------------------------------------------------


def test_a_member_is_as_long_as_a_key_has_room() -> None:
    shelf = Shelf()
    session = saved(shelf)
    for name in ("r", "x" * 255):
        room = 512 - 3 - len(name)
        longest = "y" * (room - (2 if room < 256 + 2 else 3))
        session.set(name).add(longest)
        at_once(session.save())
        assert longest in found(shelf, session).set(name)
        for too_long in (longest + "y", "y" * 100_000):
            with pytest.raises(ValueError, match=rf"bytes packed; use at most {room}, and keep"):
                session.set(name).add(too_long)


def test_values_in_a_map_have_the_limits_of_attributes() -> None:
    shelf = Shelf()
    session = repository(shelf, attribute_bytes_max=100, session_bytes_max=500).create()
    cart = session.map("cart")
    cart["big"] = "x" * 101
    with pytest.raises(SessionTooLargeError, match=r"attribute 'cart\.big' takes 103 bytes"):
        at_once(session.save())
    cart["big"] = {"inside": [object()]}
    with pytest.raises(ValueNotStorableError, match=r"cart\.big\.inside\[0\] is of type object"):
        at_once(session.save())
    for number in range(5):
        cart[number] = "x" * 90
    del cart["big"]
    with pytest.raises(SessionTooLargeError, match="its largest attribute is 'cart'"):
        at_once(session.save())
    assert shelf.asked == []
    del cart[0]
    at_once(session.save())
    cart.clear()
    cart["new"] = "x" * 90
    for number in range(3):
        session[f"other{number}"] = "x" * 80
    at_once(session.save())


def test_what_two_sides_of_a_cut_have_made_too_large_may_be_made_smaller() -> None:
    shelf = Shelf()
    big = saved(shelf)
    for number in range(10):
        big.map("cart")[number] = "x" * 90
    for number in range(4):
        big.map("old")[number] = "x" * 90
    at_once(big.save())

    def limited() -> Session:
        copy = at_once(
            repository(shelf, session_bytes_max=700, attribute_bytes_max=200).find(big.id)
        )
        assert copy is not None
        return copy

    session = limited()
    session["more"] = 1
    with pytest.raises(SessionTooLargeError) as caught:
        at_once(session.save())
    assert str(caught.value).endswith(
        "700; its largest attribute is 'cart' with 1094 bytes, 10 members and 0 removed ones; "
        "clear() it, or assign it anew"
    )
    del session["more"]
    del session.map("cart")[0]
    at_once(session.save())
    at_once(session.rotate_id())
    big = session
    session = limited()
    session["old"] = "y" * 90
    at_once(session.save())
    assert found(shelf, session)["old"] == "y" * 90
    session["more"] = 1
    with pytest.raises(SessionTooLargeError, match="9 members and 1 removed ones"):
        at_once(session.save())
    session.map("cart").clear()
    at_once(session.save())
    assert found(shelf, session)["more"] == 1


# --- What this version does not understand ------------------------------------------------


STRANGE = b"\xc7\x00\x63"


def test_a_value_that_cannot_be_decoded_hinders_no_other_one() -> None:
    shelf = Shelf()
    session = with_all(shelf)
    cart = found(shelf, session).map("cart")
    key = member_key(b"cart", b"\xa4pear")
    shelf.records[session._id].put(key, make_entry(Stamp(2**60), STRANGE))
    session = found(shelf, session)
    cart = session.map("cart")
    assert list(cart) == ["pear", "apple"][::-1]
    assert cart["apple"] == [1]
    with pytest.raises(AttributeDecodeError, match=r"attribute 'cart\.pear' cannot be decoded"):
        cart["pear"]
    assert repr(cart) == "SessionMap('cart', not decoded here)"
    cart["plum"] = 1
    at_once(session.save())
    assert shelf.records[session._id].value(key) == STRANGE


@pytest.mark.parametrize("strange", [STRANGE, b"\x90", b"\xc2"], ids=["newer", "list", "bool"])
def test_a_member_that_cannot_be_decoded_stays_and_hinders_no_other_one(strange: bytes) -> None:
    shelf = Shelf()
    session = with_all(shelf)
    for name in (b"cart", b"rooms"):
        key = member_key(name, strange)
        shelf.records[session._id].put(key, make_entry(Stamp(2), b"\xc0"))
    session = found(shelf, session)
    cart, rooms = session.map("cart"), session.set("rooms")
    assert session["color"] == "red"
    assert "cart" in session
    with pytest.raises(AttributeDecodeError, match="attribute 'cart' cannot be decoded"):
        list(cart)
    with pytest.raises(AttributeDecodeError, match="attribute 'cart' cannot be decoded"):
        session["cart"]
    cart["plum"] = cart["apple"]
    rooms.add("attic")
    rooms.remove("lobby")
    at_once(session.save())
    record = shelf.records[session._id]
    assert record.value(member_key(b"cart", strange)) == b"\xc0"
    assert found(shelf, session).map("cart")["plum"] == [1]
    session.map("cart").clear()
    assert session["cart"] == {}
    if strange != b"\xc2":
        with pytest.raises(AttributeDecodeError):
            len(rooms)
        del session["rooms"]
    at_once(session.save())
    assert found(shelf, session)["cart"] == {}
