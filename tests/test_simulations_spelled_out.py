"""Classes spelled out for the compiler do what the ones that attrs makes do."""

import copy
import sys
from types import ModuleType

import pytest

from simulations.spelled_out import spell_out

MODULE = '''"""Things that are carried."""

from attrs import Factory, define, evolve, field, frozen


@frozen
class Thing:
    """Something."""

    name: str
    """As people call it."""
    heavy: bool = False

    @property
    def title(self) -> str:
        """Its name, on a sign."""
        return self.name.title()


@define
class Basket:
    """Carries them."""

    owner: str
    things: list[Thing] = field(factory=list)
    _counted: int = field(default=0, eq=False, repr=False)
    _seen: int | None = field(default=None, init=False, eq=False, repr=False)
    label: str = Factory(lambda self: f"of {self.owner}", takes_self=True)


@define(eq=False)
class Cart:
    basket: Basket


@define
class Refusal(Exception):
    """It has a base."""

    reason: str


def heavier(thing: Thing) -> Thing:
    return evolve(thing, heavy=True)
'''


def made(source: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the module of this source."""
    module = ModuleType("things")
    monkeypatch.setitem(sys.modules, "things", module)
    exec(compile(source, "things", "exec"), module.__dict__)
    return module


@pytest.fixture(params=["by attrs", "spelled out"])
def things(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, as it is and spelled out: every test is of both."""
    return made(MODULE if request.param == "by attrs" else spell_out(MODULE), monkeypatch)


def test_values_are_made_printed_and_compared(things: ModuleType) -> None:
    apple = things.Thing("apple")
    basket = things.Basket("a", [apple], counted=3)
    assert repr(basket) == (
        "Basket(owner='a', things=[Thing(name='apple', heavy=False)], label='of a')"
    )
    assert basket == things.Basket("a", [things.Thing("apple", False)], counted=4)
    assert basket != things.Basket("b")
    assert things.Thing("apple", heavy=True) != apple
    assert hash(apple) == hash(things.Thing("apple"))
    assert apple.title == "Apple"


def test_nothing_that_is_made_is_shared(things: ModuleType) -> None:
    assert things.Basket("a").things is not things.Basket("a").things


def test_some_are_compared_by_identity_alone(things: ModuleType) -> None:
    basket = things.Basket("a")
    assert things.Cart(basket) != things.Cart(basket)


def test_they_match_by_position(things: ModuleType) -> None:
    match things.Thing("apple", True):
        case things.Thing(name, heavy):
            assert (name, heavy) == ("apple", True)
        case _:
            pytest.fail("it does not match")


def test_they_are_copied_and_changed(things: ModuleType) -> None:
    apple = things.Thing("apple")
    assert copy.copy(apple) == apple
    assert things.heavier(apple) == things.Thing("apple", True)


def test_what_has_a_base_is_left_to_attrs(things: ModuleType) -> None:
    assert hasattr(things.Refusal, "__attrs_attrs__")
    with pytest.raises(things.Refusal):
        raise things.Refusal("too heavy")


def test_a_class_that_is_spelled_out_is_no_class_of_attrs(monkeypatch: pytest.MonkeyPatch) -> None:
    things = made(spell_out(MODULE), monkeypatch)
    for name in ("Thing", "Basket", "Cart"):
        assert not hasattr(getattr(things, name), "__attrs_attrs__")
