"""Who answers for a session, by the ring alone."""

from collections.abc import Set

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ring_of
from strategies_ring import rings

from ring.errors import ConfigError, UnknownMemberError
from ring.placement import MEMBERS_MAX, Departed, Member, Ring


def clockwise(names: tuple[str, ...], home: str) -> list[str]:
    """Return the members as they are met when walking from ``home``: the dumb definition."""
    met, position = list[str](), names.index(home)
    while len(met) < len(names):
        met.append(names[position % len(names)])
        position += 1
    return met


@given(rings, st.data())
def test_the_preference_list_is_the_ring_read_clockwise(ring: Ring, data: st.DataObject) -> None:
    """The following host is the backup. Source: Resin's TCP ring; Dynamo, SOSP 2007, 4.3."""
    home = data.draw(st.sampled_from(ring.names))
    assert list(ring.preference_list(home)) == clockwise(ring.names, home)


@given(rings, st.data())
def test_losing_a_member_keeps_the_order_of_the_rest(ring: Ring, data: st.DataObject) -> None:
    """So when an owner is lost, its first backup, which holds the session, answers next."""
    home, lost = (data.draw(st.sampled_from(ring.names)) for _ in range(2))
    if lost == home:
        return
    smaller = ring_of(name for name in ring.names if name != lost)
    expected = tuple(name for name in ring.preference_list(home) if name != lost)
    assert smaller.preference_list(home) == expected


@given(rings, st.sets(st.sampled_from("abcdefgh")), st.data())
def test_holders_are_the_first_members_that_are_up(
    ring: Ring, up: Set[str], data: st.DataObject
) -> None:
    home = data.draw(st.sampled_from(ring.names))
    holders = ring.holders(home, up)
    present = [name for name in clockwise(ring.names, home) if name in up]
    assert list(holders) == present[: ring.copies]


def test_an_unknown_home_is_named_in_the_error() -> None:
    with pytest.raises(UnknownMemberError, match="no member 'z' in the ring a, b"):
        ring_of("ab").preference_list("z")


def test_membership_is_by_name() -> None:
    ring = ring_of("ab")
    assert "a" in ring
    assert "z" not in ring
    assert ring.names == ("a", "b")


def test_equal_rings_have_equal_digests_and_every_difference_shows() -> None:
    """Members compare it at the handshake: two that disagree must not link."""
    members = (Member("a", "h:1"), Member("b", "h:2"))
    ring = Ring("shop", members)
    others = [
        Ring("other", members),
        Ring("shop", members, version=2),
        Ring("shop", members, copies=1),
        Ring("shop", members[:1]),
        Ring("shop", members[::-1]),
        Ring("shop", (members[0], Member("b", "h:3"))),
        Ring("shop", (members[0], Member("b", "h:2", backup=True))),
        Ring("shop", members, departed=(Departed("c", "a", "h:3"),)),
        Ring("shop", members, departed=(Departed("c", "a", ""),)),
        Ring("shop", members, departed=(Departed("c", "b", ""),)),
    ]
    assert Ring("shop", members).digest == ring.digest
    assert len({ring.digest, *(other.digest for other in others)}) == 1 + len(others)
    assert len(ring.digest) == 32


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"members": ()}, "ring.members has 0 members; use 1 to 64"),
        (
            {"members": tuple(Member(f"m{n}", "") for n in range(MEMBERS_MAX + 1))},
            "ring.members has 65 members; use 1 to 64",
        ),
        ({"members": (Member("a", "h:1"), Member("a", "h:2"))}, "names 'a' twice"),
        (
            {"members": (Member("A", "h:1"),)},
            r"ring.members\[0\].name is 'A', which cannot be part of a session id",
        ),
        ({"copies": 0}, "ring.copies is 0; use 1 to 8"),
        ({"copies": 9}, "ring.copies is 9; use 1 to 8"),
        ({"version": 0}, "ring.version is 0; use 1 or more"),
        ({"version": 1 << 63}, "ring.version is 9223372036854775808; use 1 or more, below"),
        ({"members": (Member("a", "h:1", backup=True),)}, "ring.members are all backup = true"),
        ({"departed": (Departed("A", "a"),)}, r"ring.departed\[0\].name is 'A', which cannot"),
        (
            {"departed": (Departed("a", "a"),)},
            r"ring.departed\[0\].name is 'a', which the ring has",
        ),
        ({"departed": (Departed("b", "a"),) * 2}, "name is 'b', which the ring has already"),
        ({"departed": (Departed("b", "c"),)}, "heir is 'c', which is no member; use one of a"),
        (
            {"departed": tuple(Departed(f"m{n}", "a") for n in range(MEMBERS_MAX))},
            "ring.departed and ring.members have 65 names; use up to 64",
        ),
    ],
)
def test_a_ring_that_cannot_be_is_refused_with_the_remedy(
    wrong: dict[str, object], said: str
) -> None:
    fields: dict[str, object] = {"name": "shop", "members": (Member("a", "h:1"),), **wrong}
    with pytest.raises(ConfigError, match=said):
        Ring(**fields)  # type: ignore[arg-type]


def test_the_sessions_of_a_departed_member_are_its_heirs() -> None:
    """So whoever meets an id of it knows whom to ask, for as long as it may live."""
    members = ring_of("abc").members
    ring = Ring("rig", members, departed=(Departed("d", "b", "d:1"), Departed("e", "c")))
    assert ring.preference_list("d") == ring.preference_list("b") == ("b", "c", "a")
    assert ring.preference_list("e") == ("c", "a", "b")
    assert ring.homes == ("a", "b", "c", "d", "e")
    assert "e" in ring
    # One that is to hand over is still linked, and asked last; one that is gone is not.
    assert ring.addresses == {"a": "a:1", "b": "b:1", "c": "c:1", "d": "d:1"}
    assert ring.everyone("e") == ("c", "a", "b", "d")


def test_a_ring_may_be_as_large_as_the_limit_says() -> None:
    assert len(ring_of(f"m{n}" for n in range(MEMBERS_MAX)).names) == MEMBERS_MAX
