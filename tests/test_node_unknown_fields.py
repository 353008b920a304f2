"""Fields that a newer release has added: the older one goes on, and passes them on."""

import gc
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf, at_once, found, last_save, saved

from node import registered, unknown_fields
from node.errors import AttributeDecodeError
from node.packing import pack_value
from node.registered import register
from node.session import Session
from node.unpacking import unpack_value
from ring.identity import SessionId


@attrs.define
class Cart:
    counts: dict[str, int]


@attrs.define
class Gift:
    to: str


@attrs.define
class NewerCart:
    counts: dict[str, int]
    gift: Gift | None = None
    notes: Any = ()


@pytest.fixture(autouse=True)
def only_our_classes() -> Iterator[None]:
    """Forgets what a test registers."""
    with patch.dict(registered._by_class, clear=True), patch.dict(registered._by_name, clear=True):
        yield


def run(release: str) -> None:
    """Have this process be of a release of the application."""
    registered._by_class.clear()
    registered._by_name.clear()
    if release == "newer":
        register(NewerCart, "Cart")
        register(Gift)
    else:
        register(Cart, "Cart")


def kept(shelf: Shelf, session: Session) -> bytes | None:
    return shelf.records[SessionId(session.id.encode())].value(b"cart")


NEWER = NewerCart({"tea": 1}, Gift("Bob"), [("a", 1), {"deep": {1.5}}])


def test_the_older_release_reads_what_it_knows_and_passes_on_the_rest() -> None:
    """Gift is no class that it has ever heard of."""
    shelf = Shelf()
    run("newer")
    session = saved(shelf, cart=NEWER)
    run("older")
    copy = found(shelf, session)
    assert copy["cart"] == Cart({"tea": 1})
    copy["cart"].counts["milk"] = 2
    at_once(copy.save())
    run("newer")
    now = found(shelf, session)["cart"]
    assert now == attrs.evolve(NEWER, counts={"tea": 1, "milk": 2})


def test_what_was_only_read_is_not_written() -> None:
    shelf = Shelf()
    run("newer")
    session = saved(shelf, cart=NEWER)
    before = kept(shelf, session)
    run("older")
    copy = found(shelf, session)
    assert copy["cart"].counts == {"tea": 1}
    at_once(copy.save())
    assert shelf.asked == []
    assert kept(shelf, session) == before


def test_it_is_so_deep_inside_of_other_values_and_in_maps() -> None:
    shelf = Shelf()
    run("newer")
    session = saved(shelf, cart=[{"mine": (NEWER, 1)}, NEWER])
    session.map("carts")["one"] = NEWER
    at_once(session.save())
    run("older")
    copy = found(shelf, session)
    copy["cart"][0]["mine"][0].counts["milk"] = 2
    copy["cart"].reverse()
    copy.map("carts")["one"].counts.clear()
    at_once(copy.save())
    run("newer")
    copy = found(shelf, session)
    milk = attrs.evolve(NEWER, counts={"tea": 1, "milk": 2})
    assert copy["cart"] == [NEWER, {"mine": (milk, 1)}]
    assert copy.map("carts")["one"] == attrs.evolve(NEWER, counts={})


def test_an_object_takes_them_along_to_another_attribute_and_session() -> None:
    shelf = Shelf()
    run("newer")
    session, other = saved(shelf, cart=NEWER), saved(shelf)
    run("older")
    cart = found(shelf, session)["cart"]
    there = found(shelf, other)
    there["moved"] = [cart]
    at_once(there.save())
    run("newer")
    assert found(shelf, other)["moved"] == [NEWER]


def test_an_object_that_is_made_anew_has_none() -> None:
    shelf = Shelf()
    run("newer")
    session = saved(shelf, cart=NEWER)
    run("older")
    copy = found(shelf, session)
    copy["cart"] = attrs.evolve(copy["cart"])
    at_once(copy.save())
    run("newer")
    assert found(shelf, session)["cart"] == NewerCart({"tea": 1})


def test_a_value_of_a_newer_version_is_still_not_read() -> None:
    """Whoever raises the version says that the older release must not."""
    run("newer")
    register(NewerCart, "Cart", version=2)
    packed = pack_value("cart", NewerCart({"tea": 1}), 10_000)
    run("older")
    with pytest.raises(AttributeDecodeError, match="it is of version 2"):
        unpack_value("cart", packed)


def test_what_an_upcast_leaves_behind_is_still_an_error() -> None:
    packed = msgpack.packb(msgpack.ExtType(9, msgpack.packb(["Cart", {"apples": 1}])))
    register(Cart, "Cart", version=2, upcast={1: lambda fields: fields | {"counts": {}}})
    with pytest.raises(AttributeDecodeError, match="'Cart' has no field 'apples'"):
        unpack_value("cart", packed)


def test_what_nothing_can_be_kept_with_is_not_read() -> None:
    """It would be saved without what the newer release has written."""

    @attrs.define(weakref_slot=False)
    class Bare:
        counts: dict[str, int]

    run("newer")
    packed = pack_value("cart", NEWER, 10_000)
    run("none")
    registered._by_class.clear()
    registered._by_name.clear()
    register(Bare, "Cart")
    with pytest.raises(AttributeDecodeError, match="attribute 'cart' cannot be decoded"):
        unpack_value("cart", packed)
    assert unpack_value("cart", pack_value("cart", Bare({}), 1000)) == Bare({})


def test_nothing_is_kept_longer_than_its_object() -> None:
    run("newer")
    packed = pack_value("cart", [NEWER] * 10, 10_000)
    run("older")
    before = len(unknown_fields._kept)
    carts = unpack_value("cart", packed)
    assert len(unknown_fields._kept) == before + 10
    del carts
    gc.collect()
    assert len(unknown_fields._kept) == before


def test_a_known_field_that_cannot_be_read_is_an_error_all_the_same() -> None:
    run("newer")
    packed = pack_value("cart", NewerCart({"tea": Gift("Bob")}), 1000)  # type: ignore[dict-item]
    run("older")
    with pytest.raises(AttributeDecodeError, match="no class is registered as 'Gift'"):
        unpack_value("cart", packed)


@pytest.mark.parametrize(
    "content",
    [
        b"\x92\xa4Cart\x83\xa6counts\x80\xa3new\x01\xa3new\x02",
        b"\x92\xa4Cart\x82\xa6counts\x80\x01\x02",
        b"\x92\xa4Cart\x82\xa6counts\x80\xa3new",
        b"\x92\xa4Cart\x82\xa6counts\x80\xa3new\x01\x01",
        b"\x93\xa4Cart\x82\xa6counts\x80\xa3new\x01\x01",
        b"\x93\xa4Cart\x82\xa6counts\x80\xa3new\x01",
        b"\x91\xa4Cart",
        b"\x92\xa4Cart\xdf\xff\xff\xff\xff",
        b"\x92\xa4Cart\x82\xa6counts\x80\xa3new" + b"\x91" * 5000,
    ],
)
def test_damaged_bytes_are_never_taken_for_fields(content: bytes) -> None:
    run("older")
    with pytest.raises(AttributeDecodeError):
        unpack_value("cart", msgpack.packb(msgpack.ExtType(9, content)))


def test_what_is_nested_costs_no_more_than_twice() -> None:
    """Each level that was read twice would double what is inside of it."""

    run("older")
    packed: bytes = msgpack.packb(msgpack.ExtType(9, msgpack.packb(["Nobody", {}])))
    for _ in range(30):
        content = msgpack.packb(["Cart", {}])[:-1] + b"\x81\xa6counts" + packed
        packed = msgpack.packb(msgpack.ExtType(9, content))
    counting = patch("node.unpacking.registered_as", wraps=registered.registered_as)
    with counting as looked_up, pytest.raises(AttributeDecodeError, match="'Nobody'"):
        unpack_value("cart", packed)
    assert looked_up.call_count <= 2 * 31


@attrs.define
class Known:
    a: Any = None


@attrs.define
class More:
    a: Any = None
    b: Any = None
    c: Any = None


plain = st.recursive(
    st.none() | st.integers(-9, 9) | st.text(max_size=2) | st.dates(),
    lambda inner: st.lists(inner, max_size=2) | st.tuples(inner) | st.builds(More, inner, inner),
    max_leaves=6,
)


@given(plain, plain, plain)
def test_whatever_is_in_them_comes_back_as_it_was(a: object, b: object, c: object) -> None:
    register(More, "More")
    packed = pack_value("x", [More(a, b, c), 1], 10_000)
    with (
        patch.dict(registered._by_class, clear=True),
        patch.dict(registered._by_name, clear=True),
    ):
        register(Known, "More")
        read = unpack_value("x", packed)
        again = pack_value("x", read, 10_000)
        assert type(read[0]) is Known
    assert unpack_value("x", again) == [More(a, b, c), 1]


def test_a_save_that_changes_it_sends_it_whole() -> None:
    shelf = Shelf()
    run("newer")
    session = saved(shelf, cart=NEWER)
    run("older")
    copy = found(shelf, session)
    copy["cart"].counts = {}
    at_once(copy.save())
    ((_, packed),) = last_save(shelf).changes
    assert packed is not None
    assert b"Bob" in packed
