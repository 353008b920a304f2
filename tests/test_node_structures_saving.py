"""What of maps, sets and counters travels, how copies of them merge, and what failures leave."""

from collections.abc import Callable
from itertools import permutations
from random import Random
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, last_save, repository, saved, shards, stocked

from node.session import Session
from node.writers import Writers, Written
from ring.clock import Stamp
from ring.entry import make_entry
from ring.errors import (
    OutcomeUnknownError,
    SessionRingError,
)
from ring.messages import Failure, Find, Rotate
from ring.record import Record
from ring.structured import SHARD, Kind, ensuring, marker, member_key

APPLE = member_key(b"cart", b"\xa5apple")
PEAR = member_key(b"cart", b"\xa4pear")

# --- What travels ---------------------------------------------------------------------------


def test_of_one_member_that_changed_one_entry_is_sent() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.map("cart")["apple"] = 5
    at_once(session.save())
    assert last_save(shelf).changes == ((APPLE, b"\x05"),)
    session.map("cart")["pear"].append(2)
    at_once(session.save())
    assert last_save(shelf).changes == ((PEAR, b"\x92\x01\x02"),)
    del session.map("cart")["apple"]
    at_once(session.save())
    assert last_save(shelf).changes == ((APPLE, None),)
    session.set("rooms").add("cellar")
    at_once(session.save())
    assert last_save(shelf).changes == ((member_key(b"rooms", b"\xa6cellar"), b"\xc0"),)
    session.counter("visits").add()
    at_once(session.save())
    assert [key[0] for key, _ in last_save(shelf).changes] == [SHARD]
    shelf.asked.clear()
    at_once(session.save())
    assert shelf.asked == []


def test_what_is_new_brings_its_kind_along() -> None:
    shelf = Shelf()
    session = saved(shelf)
    session.map("cart")["apple"] = 1
    at_once(session.save())
    assert dict(last_save(shelf).changes) == {APPLE: b"\x01", b"cart": ensuring(Kind.MAP)}
    session.map("cart")["apple"] = 2
    at_once(session.save())
    assert last_save(shelf).changes == ((APPLE, b"\x02"),)


def test_what_is_emptied_is_sent_as_one_entry() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.map("cart").clear()
    at_once(session.save())
    assert last_save(shelf).changes == ((b"cart", marker(Kind.MAP)),)
    session.map("cart")["apple"] = 1
    del session["cart"]
    at_once(session.save())
    assert last_save(shelf).changes == ((b"cart", None),)


def test_what_was_put_in_and_taken_out_before_it_was_saved_is_not_sent() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.set("rooms").add("cellar")
    session.set("rooms").remove("cellar")
    session.counter("visits").add(3)
    session.counter("visits").subtract(3)
    session.set("new").add(1)
    del session["new"]
    at_once(session.save())
    assert shelf.asked == []


def test_a_new_session_is_created_with_all_of_it_at_once() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session.map("cart")["apple"] = 1
    session.set("rooms").add("lobby")
    session.counter("visits").add(2)
    session.counter("stock").set(100)
    at_once(session.save())
    expected = {"cart": {"apple": 1}, "rooms": {"lobby"}, "visits": 2, "stock": 100}
    assert dict(found(shelf, session)) == expected
    session.counter("visits").add()
    at_once(session.save())
    assert len(shelf.asked) == 1


# --- Copies that merge ----------------------------------------------------------------------


def test_what_copies_have_done_to_different_members_is_all_there() -> None:
    shelf = Shelf()
    one = stocked(shelf)
    other = found(shelf, one)
    one.map("cart")["plum"] = 1
    one.set("rooms").discard("attic")
    one.counter("visits").add(10)
    other.map("cart").update(cherry=2, apple=7)
    other.set("rooms").add("cellar")
    other.counter("visits").subtract(1)
    at_once(one.save())
    at_once(other.save())
    both = found(shelf, one)
    assert both["cart"] == {"apple": 7, "cherry": 2, "pear": [1], "plum": 1}
    assert both["rooms"] == {"lobby", "cellar"}
    assert both["visits"] == 11


def test_what_is_added_again_is_there_though_another_one_has_just_taken_it_out() -> None:
    shelf = Shelf()
    one = stocked(shelf)
    other = found(shelf, one)
    other.set("rooms").remove("attic")
    at_once(other.save())
    one.set("rooms").add("attic")
    at_once(one.save())
    assert "attic" in found(shelf, one)["rooms"]


def on_two_sides(shelf: Shelf) -> tuple[Shelf, Shelf]:
    """Return two sides of a partition, in other processes, which both have all that is here."""
    sides = Shelf(), Shelf()
    for number, side in enumerate(sides):
        side.writers = Writers(Random(7 + number))
        for session_id, record in shelf.records.items():
            side.records[session_id] = Record.from_portable(record.portable(0.0), 0.0)
    return sides


def met(*sides: Shelf) -> Shelf:
    """Return what all sides have after they have met."""
    shelf = Shelf()
    for side in sides:
        for session_id, record in side.records.items():
            shelf.records.setdefault(session_id, Record()).merge(record)
    return shelf


side_steps = st.lists(
    st.tuples(
        st.integers(0, 1),
        st.sampled_from(["put", "drop", "add", "leave", "count", "set", "rest", "rest"]),
        st.integers(-3, 3),
    ),
    max_size=24,
)


@given(st.booleans(), side_steps)
def test_nothing_that_two_sides_of_a_partition_do_to_members_of_their_own_is_lost(
    is_there: bool, steps: list[tuple[int, str, int]]
) -> None:
    """Each side only touches its own keys, and both the counter: the dumb merge is the union."""
    shelf = Shelf()
    begun = stocked(shelf) if is_there else saved(shelf)
    sides = on_two_sides(shelf)
    copies = [found(side, begun) for side in sides]
    cart: dict[Any, Any] = {"apple": 1, "pear": [1]} if is_there else {}
    rooms = {"attic", "lobby"} if is_there else set[Any]()
    visits = 2 if is_there else 0
    for side, what, number in steps:
        session, mine = copies[side], f"{number} of {side}"
        match what:
            case "put":
                session.map("cart")[mine] = cart[mine] = number
            case "drop":
                session.map("cart").pop(mine, None)
                cart.pop(mine, None)
            case "add":
                session.set("rooms").add((side, number))
                rooms.add((side, number))
            case "leave":
                session.set("rooms").discard((side, number))
                rooms.discard((side, number))
            case "count":
                session.counter("visits").add(number)
                visits += number
            case "set":
                session[mine] = number
                session.counter(mine + " counted").set(number)
                session.counter(mine + " counted").add()
            case _:
                at_once(session.save())
                copies[side] = found(sides[side], session)
    for session in copies:
        at_once(session.save())
    for order in permutations((*sides, sides[0])):
        both = found(met(*order), begun)
        assert both.get("cart", {}) == cart
        assert list(both.get("cart", {})) == sorted(cart)
        assert both.get("rooms", set()) == rooms
        assert both.get("visits", 0) == visits
        for name in [name for name in both if name.endswith(" counted")]:
            assert both[name] == both[name.removesuffix(" counted")] + 1


# --- Kinds that others have changed meanwhile ----------------------------------------------


def assign(session: Session) -> None:
    session["cart"] = 5


def delete(session: Session) -> None:
    del session["cart"]


def count_instead(session: Session) -> None:
    del session["cart"]
    session.counter("cart").add(3)


def assign_and_delete(session: Session) -> None:
    assign(session)
    at_once(session.save())
    delete(session)


OTHERS = [assign, delete, count_instead, assign_and_delete]


@pytest.mark.parametrize("do", OTHERS)
def test_what_is_put_into_a_map_that_others_have_replaced_is_there(
    do: Callable[[Session], None],
) -> None:
    """The later change counts, as it does for plain attributes."""
    shelf = Shelf()
    session = stocked(shelf)
    other = found(shelf, session)
    do(other)
    at_once(other.save())
    session.map("cart")["plum"] = 1
    at_once(session.save())
    assert found(shelf, session)["cart"] == {"plum": 1}


@pytest.mark.parametrize("do", OTHERS)
def test_what_is_taken_out_of_a_map_that_others_have_replaced_changes_nothing(
    do: Callable[[Session], None],
) -> None:
    shelf = Shelf()
    session = stocked(shelf)
    other = found(shelf, session)
    do(other)
    at_once(other.save())
    expected = dict(found(shelf, session))
    del session.map("cart")["apple"]
    session["color"] = "red"
    at_once(session.save())
    assert dict(found(shelf, session)) == expected | {"color": "red"}


def test_what_was_hidden_by_another_kind_is_there_when_it_is_put_in_again() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    other = found(shelf, session)
    assign(other)
    at_once(other.save())
    # Stamped later, on another side: above a floor of another kind it is kept, and not shown.
    shelf.records[session._id].put(APPLE, make_entry(Stamp(2**60), b"\x01"))
    session = found(shelf, session)
    del session["cart"]
    at_once(session.save())
    session.map("cart")["apple"] = 2
    assert session["cart"] == session.map("cart") == {"apple": 2}
    at_once(session.save())
    assert session["cart"] == {"apple": 2}


def test_a_map_and_a_set_of_one_name_made_at_once_are_one_or_the_other() -> None:
    """A mistake of the application's; nobody is locked out of the session by it."""
    shelf = Shelf()
    begun = saved(shelf)
    sides = on_two_sides(shelf)
    copies = [found(side, begun) for side in sides]
    copies[0].map("x")["a"] = 1
    copies[1].set("x").add("b")
    for session in copies:
        at_once(session.save())
    both = found(met(*sides), begun)
    assert both["x"] == {"a", "b"}
    both.set("x").add("c")
    at_once(both.save())


# --- Kinds that were only looked at ---------------------------------------------------------

LOOKS: list[Callable[[Session], object]] = [
    lambda session: len(session.map("x")),
    lambda session: len(session.set("x")),
    lambda session: session.counter("x").value,
]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("was", LOOKS)
def test_who_looks_at_what_was_deleted_takes_nothing_from_those_who_make_it_anew(
    was: Callable[[Session], object], look: Callable[[Session], object]
) -> None:
    shelf = Shelf()
    session = saved(shelf)
    session.set("x").add("a")
    at_once(session.save())
    del session["x"]
    at_once(session.save())
    reader, other = found(shelf, session), found(shelf, session)
    other.map("x")["k"] = 1
    at_once(other.save())
    was(reader)
    look(reader)
    reader["color"] = "red"
    at_once(reader.save())
    assert last_save(shelf).changes == ((b"color", b"\xa3red"),)
    assert found(shelf, session)["x"] == {"k": 1}


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("deletes_first", [True, False])
def test_what_was_looked_at_as_another_kind_can_be_counted(
    deletes_first: bool, look: Callable[[Session], object]
) -> None:
    shelf = Shelf()
    session = saved(shelf, x=1)
    del session["x"]
    if deletes_first:
        at_once(session.save())
    look(session)
    at_once(session.save())
    session.counter("x").add(5)
    at_once(session.save())
    session.counter("x").add(1)
    at_once(session.save())
    assert session["x"] == found(shelf, session)["x"] == 6


@pytest.mark.parametrize("number", [0, 3])
def test_what_was_taken_out_is_not_there_though_it_is_a_counter_now(number: int) -> None:
    """Of a map that was deleted while another request has put something in."""
    shelf = Shelf()
    session = stocked(shelf)
    other = found(shelf, session)
    del session["cart"]
    at_once(session.save())
    other.map("cart")["plum"] = 1
    at_once(other.save())
    session = found(shelf, session)
    del session.map("cart")["plum"]
    session.counter("cart").add(number)
    at_once(session.save())
    assert session.get("cart") == found(shelf, session).get("cart") == (number or None)


# --- Saves that fail, and saves at the same time --------------------------------------------


async def test_what_a_map_was_emptied_of_does_not_come_back_with_a_late_answer() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    answer = trio.Event()
    shelf.held_back.append(answer)
    async with trio.open_nursery() as nursery:
        session.map("cart")["plum"] = 1
        nursery.start_soon(session.save)
        await trio.testing.wait_all_tasks_blocked()
        session.map("cart").clear()
        session.map("cart")["new"] = 1
        answer.set()
    assert session["cart"] == {"new": 1}
    plum = member_key(b"cart", b"\xa4plum")
    assert plum not in session.entry_sizes({}), "it would count towards the session's limit"
    await session.save()
    assert session["cart"] == found(shelf, session)["cart"] == {"new": 1}


def test_a_member_of_a_save_that_failed_is_taken_out_of_the_ring_too() -> None:
    """The save that failed may have arrived."""
    shelf = Shelf()
    session = saved(shelf)
    session.set("rooms").update("ab")
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    session.set("rooms").remove("a")
    at_once(session.save())
    assert found(shelf, session)["rooms"] == {"b"}


@pytest.mark.parametrize("failure", [Failure.OUTCOME_UNKNOWN, Failure.UNAVAILABLE])
def test_what_was_taken_out_after_a_save_that_failed_may_become_of_another_kind(
    failure: Failure,
) -> None:
    """A map that came to nothing, perhaps; a counter under its name has no members."""
    shelf = Shelf()
    session = saved(shelf)
    session.map("x")["a"] = 1
    shelf.replies.append(failure)
    with pytest.raises(SessionRingError):
        at_once(session.save())
    del session.map("x")["a"]
    session.counter("x").add(3)
    at_once(session.save())
    assert session["x"] == found(shelf, session)["x"] == 3


# --- Rotation -------------------------------------------------------------------------------


def test_all_of_it_goes_on_under_a_fresh_id() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.map("cart")["plum"] = 1
    session.counter("visits").add(3)
    at_once(session.rotate_id())
    session.counter("visits").add(1)
    session.set("rooms").add("cellar")
    at_once(session.save())
    again = found(shelf, session)
    assert again["cart"] == {"apple": 1, "pear": [1], "plum": 1}
    assert again["rooms"] == {"attic", "cellar", "lobby"}
    assert (again["visits"], shards(shelf, session)) == (6, 1)


def test_a_rotation_learns_what_a_counter_counts_from() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    session.counter("visits").set(10)
    at_once(session.save())
    session.counter("visits").add(1)
    shelf.asked.clear()
    at_once(session.rotate_id())
    assert [type(request) for request in shelf.asked] == [Find, Rotate]
    assert found(shelf, session)["visits"] == 11


def test_a_rotation_whose_outcome_is_unknown_learns_from_the_new_id() -> None:
    shelf = Shelf()
    session = stocked(shelf)
    old_id = session._id
    session.counter("visits").add(1)
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        at_once(session.rotate_id())
    rotated = next(
        record for key, record in shelf.records.items() if key != old_id and not record.ended
    )
    rotated.put(b"visits", make_entry(Stamp(2**60), marker(Kind.COUNTER, base=70)))
    at_once(session.save())
    assert found(shelf, session)["visits"] == 71


# --- Tokens ---------------------------------------------------------------------------------


def test_a_token_is_given_to_one_at_a_time_and_forgotten_in_the_order_of_use() -> None:
    writers = Writers(Random(0), remembered_max=2)
    first, second, third = (writers.fresh() for _ in range(3))
    assert len({each.token for each in (first, second, third)}) == 3
    for each in (first, second, Written(third.token, 4, 40)):
        writers.give_back(each)
    assert writers.take([first.token]).token not in (first.token, second.token)
    assert writers.take([first.token, third.token]) == Written(third.token, 4, 40)
    assert writers.take([third.token]) != Written(third.token, 4, 40)
