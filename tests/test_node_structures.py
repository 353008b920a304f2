"""Maps, sets and counters of a session are what the built-in types are for which they stand."""

import json
from collections.abc import Callable
from contextlib import suppress
from copy import copy as shallow
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, repository, saved

from node.copies import MapCopy
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.session import Session
from node.writers import Writers
from ring.clock import Stamp
from ring.entry import make_entry
from ring.errors import SessionRingError, SessionTooLargeError
from ring.messages import Failure
from ring.structured import member_key

NUMBER_MAX = 2**63 - 1
FAILURES = [Failure.UNAVAILABLE, Failure.OUTCOME_UNKNOWN, Failure.NOT_REPLICATED, Failure.FULL]

Step = tuple[str, Any, Any]


def attempt(doing: Callable[[], object]) -> object:
    """Return what comes of it, an error included."""
    try:
        return doing()
    except (KeyError, TypeError, ValueError) as error:
        return type(error)


def between(shelf: Shelf, session: Session, step: str, failure: Failure | None) -> Session:
    """Save, with whatever comes of it; or save, and go on with another copy."""
    if step == "other":
        at_once(session.save())
        return found(shelf, session)
    if failure is not None:
        shelf.replies.append(failure)
    with suppress(SessionRingError):
        at_once(session.save())
    shelf.replies.clear()
    return session


BETWEEN = st.tuples(
    st.sampled_from(["save", "other"]), st.sampled_from([None, *FAILURES]), st.none()
)

# --- Maps -----------------------------------------------------------------------------------

keys = st.sampled_from(["a", "b", "longer", "ä", 3, -70, 1000])
map_steps = st.lists(
    st.tuples(
        st.sampled_from(["put", "put", "del", "pop", "setdefault", "append", "clear", "popitem"]),
        keys,
        st.integers(0, 3) | st.lists(st.integers(0, 3), max_size=2),
    )
    | BETWEEN,
    max_size=20,
)


def in_order(members: Any) -> list[Any]:
    """Return members as every copy has them: the dumb definition."""
    return sorted(k for k in members if type(k) is int) + sorted(
        k for k in members if type(k) is str
    )


def do_to_map(map_: Any, step: Step) -> object:
    what, key, value = step
    if what == "put":
        map_[key] = list(value) if isinstance(value, list) else value
        return None
    if what == "del":
        del map_[key]
    elif what == "pop":
        return map_.pop(key, "nothing")
    elif what == "setdefault":
        return map_.setdefault(key, value)
    elif what == "append":
        if isinstance(map_.get(key), list):
            map_[key].append(9)
    elif what == "clear":
        map_.clear()
    return None


@given(map_steps)
def test_a_map_is_a_dict_through_saves_that_fail_and_other_copies(steps: list[Step]) -> None:
    shelf = Shelf()
    session, model = saved(shelf), dict[Any, Any]()
    for step in steps:
        if step[0] in ("save", "other"):
            session = between(shelf, session, step[0], step[1])
            continue
        last = (in_order(model) or [None])[-1]
        map_ = session.map("cart")
        if step[0] == "popitem" and model:
            assert map_.popitem() == (last, model.pop(last))
        else:
            does = partial(do_to_map, step=step)
            assert attempt(partial(does, map_)) == attempt(partial(does, model))
        assert list(map_.items()) == [(key, model[key]) for key in in_order(model)]
        assert (len(map_), bool(map_), map_ == model) == (len(model), bool(model), True)
    at_once(session.save())
    again = found(shelf, session)
    assert again.map("cart") == model
    assert again.get("cart", {}) == model
    at_once(again.save())
    assert shelf.asked == [], "what was only read is not sent"


def test_a_map_offers_what_a_dict_offers() -> None:
    session = saved(Shelf())
    map_ = session.map("cart")
    map_.update({"b": 2, "a": 1} | {7: 1})
    assert list(map_) == [7, "a", "b"]
    assert list(reversed(map_)) == ["b", "a", 7]
    assert map_ | {"c": 3} == {7: 1, "a": 1, "b": 2, "c": 3}
    assert {"b": 9} | map_ == {7: 1, "a": 1, "b": 2}
    map_ |= {"c": 3}
    assert map_.copy() == {7: 1, "a": 1, "b": 2, "c": 3}
    assert type(map_.copy()) is dict
    assert True not in map_
    assert repr(map_) == "SessionMap('cart', {7: 1, 'a': 1, 'b': 2, 'c': 3})"
    map_.clear()
    with pytest.raises(KeyError, match="empty"):
        map_.popitem()


@pytest.mark.parametrize("key", [True, 1.5, None, b"a", ("a",)], ids=repr)
def test_a_key_of_a_map_is_one_of_a_dict(key: object) -> None:
    map_ = saved(Shelf()).map("cart")
    with pytest.raises(TypeError, match="key of the map 'cart' is a str or an int"):
        map_[key] = 1
    assert key not in map_
    assert map_.get(key) is None
    with pytest.raises(TypeError, match="unhashable"):
        map_[[]] = 1


# --- Sets -----------------------------------------------------------------------------------

MEMBERS: list[Any] = [
    *("a", "b", "longer", b"a", None, True, 1, 1.0, 2, Decimal(2), -3, ("a", 1), ("a", True)),
    *(frozenset({1}), frozenset({True}), UUID(int=7), timedelta(1), float("nan")),
    datetime(2020, 1, 1, 12, tzinfo=UTC),
    datetime(2020, 1, 1, 13, tzinfo=timezone(timedelta(hours=1))),
]
set_steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "discard", "remove", "|", "-", "&", "^", "clear"]),
        st.sampled_from(MEMBERS[:-3] + MEMBERS[-2:]),
        st.frozensets(st.sampled_from(MEMBERS[:8]), max_size=3),
    )
    | BETWEEN,
    max_size=20,
)


def do_to_set(set_: Any, step: Step) -> None:
    what, member, others = step
    match what:
        case "add" | "discard" | "remove":
            getattr(set_, what)(member)
        case "|":
            set_ |= others
        case "-":
            set_ -= others
        case "&":
            set_ &= others
        case "^":
            set_ ^= others
        case "clear":
            set_.clear()


@given(set_steps)
def test_a_set_is_a_set_through_saves_that_fail_and_other_copies(steps: list[Step]) -> None:
    """Equal members are one, whatever their bytes: 1, 1.0 and True, and one moment in two zones."""
    shelf = Shelf()
    session, model = saved(shelf), set[Any]()
    for step in steps:
        if step[0] in ("save", "other"):
            session = between(shelf, session, step[0], step[1])
            continue
        set_ = session.set("rooms")
        does = partial(do_to_set, step=step)
        assert attempt(partial(does, set_)) == attempt(partial(does, model))
        assert (set_ == model, len(set_), set(set_)) == (True, len(model), model)
        assert all((member in set_) == (member in model) for member in MEMBERS[:-3])
    at_once(session.save())
    assert found(shelf, session).set("rooms") == model
    assert found(shelf, session).get("rooms", set()) == model


def test_equal_members_that_were_added_apart_are_one_and_go_together() -> None:
    shelf = Shelf()
    session = saved(shelf)
    other = found(shelf, session)
    session.set("numbers").add(1)
    other.set("numbers").add(True)
    at_once(session.save())
    at_once(other.save())
    both = found(shelf, session)
    assert len(both.set("numbers")) == 1
    both.set("numbers").remove(1.0)
    at_once(both.save())
    assert found(shelf, session)["numbers"] == frozenset()


def test_what_is_not_equal_to_itself_is_kept_once() -> None:
    shelf = Shelf()
    session = saved(shelf)
    for _ in range(2):
        session.set("numbers").update([float("nan"), float("nan")])
        assert len(session.set("numbers")) == 1
        at_once(session.save())
        session = found(shelf, session)
    assert len(session.set("numbers")) == 1


def test_a_set_offers_what_a_set_offers() -> None:
    set_ = saved(Shelf()).set("rooms")
    set_.update({"b", 7}, ["a"])
    assert list(set_) == [7, "a", "b"]
    assert repr(set_) == "SessionSet('rooms', [7, 'a', 'b'])"
    for name in ("union", "intersection", "difference", "symmetric_difference"):
        made = getattr(set_, name)(["a", "c"])
        assert made == getattr({7, "a", "b"}, name)(["a", "c"])
        assert type(made) is set
    assert type(set_ | {1}) is set
    assert {7, "a", "b"} == set_
    assert set_ <= {7, "a", "b", "c"}
    assert set_.issubset([7, "a", "b", "c"])
    assert set_.issuperset(["a"])
    assert set_.isdisjoint({"z"})
    assert set_.copy() == {7, "a", "b"}
    set_.intersection_update([7, "a"], {"a", "z"})
    assert set_ == {"a"}
    set_.symmetric_difference_update(["a", "x", "y"])
    set_.difference_update(["x"], ["nothing"])
    assert set_.pop() == "y"
    assert not set_
    with pytest.raises(TypeError, match="unhashable"):
        set_.add([])
    with pytest.raises(TypeError, match="unhashable"):
        hash(set_)


@pytest.mark.parametrize("member", [object(), (1, object())], ids=["object", "inside"])
def test_a_member_that_cannot_be_kept_is_refused_at_once(member: object) -> None:
    set_ = saved(Shelf()).set("rooms")
    with pytest.raises(ValueNotStorableError, match=r"rooms\{member\}.* is of type object"):
        set_.add(member)
    assert not set_


# --- Counters -------------------------------------------------------------------------------

counter_steps = st.lists(
    st.tuples(
        st.sampled_from(["add", "add", "subtract", "set", "del"]), st.integers(-5, 5), st.none()
    )
    | BETWEEN,
    max_size=20,
)


@given(counter_steps)
def test_a_counter_is_an_int_through_saves_that_fail_and_other_copies(steps: list[Step]) -> None:
    """Whatever became of a save, what it added counts once."""
    shelf = Shelf()
    session, model = saved(shelf), 0
    for what, number, _ in steps:
        counter = session.counter("visits")
        if what in ("save", "other"):
            session = between(shelf, session, what, number)
        elif what == "del":
            session.pop("visits", None)
            model = 0
        else:
            getattr(counter, what)(number)
            model = {"add": model + number, "subtract": model - number, "set": number}[what]
        assert session.counter("visits").value == model
    at_once(session.save())
    assert found(shelf, session).counter("visits") == model
    assert found(shelf, session).get("visits", 0) == model


def test_a_counter_offers_what_an_int_offers() -> None:
    session = saved(Shelf())
    counter = session.counter("visits")
    assert not counter
    counter.add()
    counter.add(5)
    counter.subtract(2)
    assert (int(counter), counter.value, counter == 4, counter != 5) == (4, 4, True, True)
    assert counter == session.counter("visits")
    assert counter != "4"
    assert [10, 11, 12, 13, 14][counter] == 14
    assert repr(counter) == "SessionCounter('visits', 4)"
    with pytest.raises(TypeError, match="unhashable"):
        hash(counter)
    assert (str(counter), f"{counter}", f"{counter:03d}") == ("4", "4", "004")
    assert all([counter < 5, counter <= 4.5, counter > 3, counter >= counter, counter <= 4])
    assert not any([counter < 4, counter > counter, counter <= 3, counter >= 5])
    assert (counter + 1, 1 + counter, counter - 1, 1 - counter) == (5, 5, 3, -3)
    assert (counter + counter, counter - counter, sum([counter, counter])) == (8, 0, 8)
    with pytest.raises(TypeError):
        sorted([counter, "5"])  # type: ignore[type-var]
    with pytest.raises(TypeError):
        counter + "5"
    counter += 3
    counter -= 1
    assert session["visits"] == 6


@pytest.mark.parametrize("number", [1.0, True, "1", None], ids=repr)
def test_a_counter_counts_ints(number: Any) -> None:
    counter = saved(Shelf()).counter("visits")
    for change in (
        *(counter.add, counter.subtract, counter.set, counter.__iadd__, counter.__isub__),
    ):
        with pytest.raises(TypeError, match="counter 'visits' counts ints, not"):
            change(number)
    assert counter == 0


def test_a_counter_has_64_bits_whoever_adds() -> None:
    """What one process alone has added may come to more: then it goes on in another shard."""
    shelf = Shelf()
    session = saved(shelf)
    processes = [Writers(Random(1)), Writers(Random(2))]
    for _ in range(3):
        for shelf.writers, sign in zip(processes, (1, -1), strict=True):
            session = found(shelf, session)
            session.counter("visits").add(sign * NUMBER_MAX)
            if sign > 0:
                with pytest.raises(ValueError, match="has 64 bits, from -"):
                    session.counter("visits").add()
                with pytest.raises(ValueError, match="has 64 bits, from -"):
                    session.counter("visits").set(-NUMBER_MAX - 1)
            at_once(session.save())
    assert found(shelf, session)["visits"] == 0


# --- In the session -------------------------------------------------------------------------


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
