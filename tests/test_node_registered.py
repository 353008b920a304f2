"""Classes of the application's own, as values in sessions."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import attrs
import msgpack
import pytest

from node import registered
from node.errors import AttributeDecodeError, ValueNotStorableError
from node.packing import pack_value
from node.registered import register
from node.unpacking import unpack_value


@attrs.frozen
class Point:
    x: object
    y: object = 0


@attrs.define
class Stranger:
    """Made by attrs, but not registered."""

    x: int = 0


@pytest.fixture(autouse=True)
def only_our_classes() -> Iterator[None]:
    """Registers Point, and forgets what a test registers."""
    with patch.dict(registered._by_class), patch.dict(registered._by_name):
        register(Point, "geometry.Point")
        yield


def pack(value: object) -> bytes:
    return pack_value("cart", value, 1000)


def unpack(packed: bytes) -> Any:
    return unpack_value("cart", packed)


def again(value: object) -> Any:
    return unpack(pack(value))


def packed_as(name: str, fields: dict[str, object]) -> bytes:
    """What a process with a class of this name and these fields writes."""
    packed: bytes = msgpack.packb(msgpack.ExtType(9, msgpack.packb([name, fields])))
    return packed


def test_a_value_comes_back_by_its_fields() -> None:
    assert again(Point(1, [Point(2)])) == Point(1, [Point(2)])


def test_a_value_of_a_class_that_is_not_registered_is_refused() -> None:
    with pytest.raises(ValueNotStorableError, match=r"Stranger, .* or register its class"):
        pack(Stranger())


def test_a_field_that_was_added_later_takes_its_default() -> None:
    assert unpack(packed_as("geometry.Point", {"x": 1})) == Point(1, 0)


def test_a_class_that_is_not_registered_here_is_a_decode_error() -> None:
    with pytest.raises(AttributeDecodeError, match="no class is registered as 'Stranger'"):
        unpack(packed_as("Stranger", {"x": 1}))


def test_a_constructor_that_raises_is_a_decode_error() -> None:
    @attrs.define
    class Positive:
        number: int

        def __attrs_post_init__(self) -> None:
            if self.number <= 0:
                raise RuntimeError("not positive")

    register(Positive)
    assert again(Positive(1)) == Positive(1)
    with pytest.raises(AttributeDecodeError, match="RuntimeError: not positive"):
        unpack(packed_as("Positive", {"number": 0}))


def test_a_private_field_is_given_to_the_constructor_by_its_public_name() -> None:
    @attrs.define
    class Sealed:
        _note: str

    register(Sealed)
    assert again(Sealed(note="x")) == Sealed(note="x")


def test_register_gives_the_class_back_so_that_it_can_decorate() -> None:
    assert register(Stranger) is Stranger
    assert again(Stranger(3)) == Stranger(3)


def test_registering_a_class_again_changes_nothing() -> None:
    register(Point, "geometry.Point")
    assert again(Point(1)) == Point(1)


def test_a_class_has_one_name() -> None:
    """Else a value would be written under the one name, and both would go on being read."""
    with pytest.raises(ValueNotStorableError, match=r"Point is registered as 'geometry.Point'"):
        register(Point, "Other")


def test_a_class_that_is_defined_anew_takes_the_place_of_the_old_one() -> None:
    """As when a development server loads a module again."""

    def define() -> Any:
        @attrs.define
        class Reloaded:
            x: int

        return register(Reloaded)

    old, new = define(), define()
    assert type(again(new(1))) is new
    with pytest.raises(ValueNotStorableError, match=r"type .*Reloaded"):
        pack(old(1))


def test_two_classes_cannot_have_one_name() -> None:
    with pytest.raises(ValueNotStorableError, match=r"'geometry.Point': .*Point.* give another"):
        register(Stranger, "geometry.Point")
    with pytest.raises(ValueNotStorableError, match="type Stranger"):
        pack(Stranger())


@pytest.mark.parametrize("name", ["", 5, "\ud800", "x" * 256], ids=ascii)
def test_a_name_that_cannot_be_written_is_refused(name: Any) -> None:
    with pytest.raises(ValueNotStorableError, match="use 1 to 255 bytes of UTF-8"):
        register(Stranger, name)


def test_what_attrs_did_not_make_cannot_be_registered() -> None:
    class Plain:
        pass

    class Derived(Point):
        pass

    things: list[Any] = [Plain, Derived, 5, Point(1)]
    for thing in things:
        with pytest.raises(ValueNotStorableError, match="is not an attrs class"):
            register(thing)


def test_a_class_with_a_field_that_its_constructor_does_not_take_cannot_be_registered() -> None:
    @attrs.define
    class Derived:
        total: int = attrs.field(init=False, default=0)

    with pytest.raises(ValueNotStorableError, match="its field 'total' is no argument"):
        register(Derived)
