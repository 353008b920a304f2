"""Classes that change: older values are brought up to date, newer ones are left as they are."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import attrs
import msgpack
import pytest
from shelf import Shelf, at_once, found, saved

from node import registered
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.registered import register
from node.session import Session
from node.unpacking import unpack_value
from ring.identity import SessionId


@attrs.define
class First:
    apples: int = 0


@attrs.define
class Second:
    counts: dict[str, int]


@attrs.define
class Third:
    counts: dict[str, int]
    currency: str


def to_second(fields: dict[str, Any]) -> dict[str, Any]:
    return {"counts": {"apples": fields["apples"]}}


def to_third(fields: dict[str, Any]) -> dict[str, Any]:
    return fields | {"currency": "EUR"}


@pytest.fixture(autouse=True)
def only_our_classes() -> Iterator[None]:
    """Forgets what a test registers."""
    with patch.dict(registered._by_class, clear=True), patch.dict(registered._by_name, clear=True):
        yield


def run_version(number: int) -> None:
    """Have this process be one of the application's version ``number``."""
    registered._by_class.clear()
    registered._by_name.clear()
    if number == 1:
        register(First, "Cart")
    elif number == 2:
        register(Second, "Cart", version=2, upcast={1: to_second})
    else:
        register(Third, "Cart", version=3, upcast={1: to_second, 2: to_third})


def kept(shelf: Shelf, session: Session) -> bytes | None:
    return shelf.records[SessionId(session.id.encode())].value(b"cart")


def test_what_an_older_version_wrote_is_brought_up_to_date_step_by_step() -> None:
    shelf = Shelf()
    run_version(1)
    session = saved(shelf, cart=First(3), others=[First(1), {"deep": First(2)}])
    run_version(2)
    assert found(shelf, session)["cart"] == Second({"apples": 3})
    run_version(3)
    session = found(shelf, session)
    assert session["cart"] == Third({"apples": 3}, "EUR")
    assert session["others"][1]["deep"] == Third({"apples": 2}, "EUR")


def test_what_was_only_read_stays_readable_for_the_older_version() -> None:
    """Both are running while an application is deployed."""
    shelf = Shelf()
    run_version(1)
    session = saved(shelf, cart=First(3), color="red")
    before = kept(shelf, session)
    run_version(3)
    copy = found(shelf, session)
    assert copy["cart"].currency == "EUR"
    copy["color"] = "blue"
    at_once(copy.save())
    assert kept(shelf, session) == before
    copy["cart"].counts["pears"] = 1
    at_once(copy.save())
    assert kept(shelf, session) != before
    assert found(shelf, session)["cart"] == Third({"apples": 3, "pears": 1}, "EUR")


def test_what_a_newer_version_wrote_is_an_error_of_that_attribute_and_stays() -> None:
    shelf = Shelf()
    run_version(3)
    session = saved(shelf, cart=Third({"apples": 3}, "EUR"), color="red")
    before = kept(shelf, session)
    for number in (1, 2):
        run_version(number)
        copy = found(shelf, session)
        with pytest.raises(
            AttributeDecodeError,
            match=rf"'cart' .* of version 3 of the class registered as 'Cart', .* version {number}",
        ):
            copy["cart"]
        copy["color"] = f"as of {number}"
        at_once(copy.save())
        assert kept(shelf, session) == before
    run_version(3)
    assert found(shelf, session)["cart"] == Third({"apples": 3}, "EUR")


def test_a_version_without_an_upcast_cannot_be_read() -> None:
    shelf = Shelf()
    run_version(1)
    session = saved(shelf, cart=First(3))
    registered._by_class.clear()
    registered._by_name.clear()
    register(Third, "Cart", version=3, upcast={2: to_third})
    with pytest.raises(AttributeDecodeError, match=r"version 1 of the class .* has no upcast"):
        found(shelf, session)["cart"]


@pytest.mark.parametrize("step", [lambda fields: None, lambda fields: fields["no"], dict])
def test_an_upcast_that_fails_is_an_error_of_that_attribute(step: Any) -> None:
    shelf = Shelf()
    run_version(1)
    session = saved(shelf, cart=First(3), color="red")
    registered._by_class.clear()
    registered._by_name.clear()
    register(Second, "Cart", version=2, upcast={1: step})
    session = found(shelf, session)
    with pytest.raises(AttributeDecodeError, match="attribute 'cart' cannot be decoded"):
        session["cart"]
    assert session["color"] == "red"


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"version": 0}, "with version 0; use 1 to"),
        ({"version": True}, "with version True; use 1 to"),
        ({"version": "2"}, "with version '2'; use 1 to"),
        ({"version": 2**31}, "use 1 to 2147483647"),
        ({"upcast": {1: to_second}}, "upcast of version 1: only those before 1"),
        ({"version": 2, "upcast": {2: to_third}}, "upcast of version 2: only those before 2"),
        ({"version": 2, "upcast": {0: to_third}}, "upcast of version 0"),
        ({"version": 2, "upcast": {1: 5}}, "its upcast of version 1 is 5; give a function"),
    ],
)
def test_a_version_that_cannot_be_is_refused_and_nothing_is_registered(
    options: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueNotStorableError, match=complaint):
        register(Second, "Cart", **options)
    assert registered.registered_as("Cart") is None


@pytest.mark.parametrize("version", [1, 0, -1, True, "2", 2.0])
def test_a_version_has_one_spelling(version: object) -> None:
    """The first one is not written, so that it is read by what knew of no versions."""
    run_version(2)
    content = msgpack.packb(["Cart", {"counts": {}}, version])
    with pytest.raises(AttributeDecodeError, match="without its name and fields"):
        unpack_value("cart", msgpack.packb(msgpack.ExtType(9, content)))
