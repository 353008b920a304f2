"""Maps, sets and counters of a session are what the built-in types are for which they stand."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, saved

from node.errors import ValueNotStorableError
from node.session import Session
from node.writers import Writers
from ring.errors import SessionRingError
from ring.messages import Failure

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
