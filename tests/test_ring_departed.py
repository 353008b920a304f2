"""Members go while the ring serves: they hand over, and their heirs serve what was theirs.

Also one that was removed while it was away, or that was cut away at once.
"""

import pytest
from later_rings import holders, later, read, saved
from replicas import Rig
from samples import ring_of, session

from ring.messages import Compare, Durability, Failed, Saved
from ring.placement import Ring


def may_stop(rig: Rig, name: str) -> bool:
    return rig.replicas[name].drained


def test_a_member_that_is_removed_hands_over_and_its_heir_serves_its_ids() -> None:
    """Also what only it had: a save with the durability ``local`` is nowhere else."""
    rig = Rig("abcd")
    local = session("d", 1)
    rig.hold_back("d", "a")
    rig.save("d", local, {b"cart": b"\x01"}, create=True, durability=Durability.LOCAL)
    rig.adopt("b", later("abc", departed="d"))
    assert not may_stop(rig, "d")
    rig.let_go()
    rig.pass_time(1)
    assert may_stop(rig, "d")
    assert "d" in rig.replicas["a"].claims
    assert holders(rig, local) == "abd"
    # Until it stops it serves whatever is asked, by way of the others.
    assert read(rig, "d", local) == b"\x01"
    assert rig.replicas["d"].home_for_new() == "a"
    rig.kill("d")
    rig.pass_time(1)
    assert [read(rig, name, local) for name in "abc"] == [b"\x01"] * 3
    assert rig.notices("member_down") == []


@pytest.mark.parametrize("known", [ring_of("abc"), later("ab", departed="c")])
def test_a_member_that_was_removed_while_it_was_away_hands_over_when_it_comes(known: Ring) -> None:
    """Its disk may have what nobody else has: with one copy, everything it owned.

    Whether it is told only now, or knows from the start: it may have stopped before it was done.
    """
    rig = Rig("abc", copies=1)
    saved(rig, "c", session("c", 1))
    rig.kill("c")
    rig.adopt("a", later("ab", departed="c"))
    rig.start("c", ring=known)
    rig.pass_time(2)
    assert may_stop(rig, "c")
    rig.kill("c")
    assert read(rig, "b", session("c", 1)) == b"\x01"


def test_what_is_ended_while_a_departed_member_is_away_stays_ended_when_it_hands_over() -> None:
    """Nobody else has the session, nor its end, unless that is kept for whoever may bring it."""
    rig = Rig("abc", copies=1)
    saved(rig, "c", session("c", 1))
    rig.kill("c")
    rig.adopt("a", later("ab", departed="c"))
    rig.pass_time(11)
    assert isinstance(rig.end("b", session("c", 1)).reply, Saved)
    rig.start("c", ring=ring_of("abc"))
    rig.pass_time(2)
    assert [read(rig, name, session("c", 1)) for name in "abc"] == [None] * 3


@pytest.mark.parametrize("is_up", [True, False])
def test_a_member_without_a_place_serves_nothing_once_it_knows(is_up: bool) -> None:
    """Else it would go on alone, and what it acknowledged would be nobody's."""
    rig = Rig("abc")
    saved(rig, "c", session("c", 1))
    if not is_up:
        rig.kill("c")
    rig.adopt("a", later("ab", gone="c"))
    if not is_up:
        rig.start("c", ring=ring_of("abc"))
    assert rig.notices("removed") == ["c"]
    rig.pass_time(20)
    assert rig.replicas["c"].claims == frozenset()
    assert isinstance(rig.find("c", session("c", 1)).reply, Failed | None)
    rig.pass_time(10)
    assert may_stop(rig, "c")
    assert read(rig, "b", session("c", 1)) == b"\x01"
    assert set(rig.replicas["a"].liveness) == {"b"}


def test_who_succeeds_a_member_that_is_cut_away_asks_the_others_first() -> None:
    """It is a loss like any: what it had acknowledged by the word of a third may be only there."""
    rig = Rig("abcd")
    saved(rig, "a")
    rig.sent.clear()
    rig.adopt("b", later("bcd", gone="a"))
    asked = [
        (each.sender, each.receiver)
        for each in rig.sent
        if isinstance(each.message, Compare) and each.message.home == "a"
    ]
    assert ("b", "d") in asked
    assert "a" in rig.replicas["b"].claims


def test_a_home_that_the_ring_forgets_is_dropped_by_all() -> None:
    rig = Rig("abc")
    saved(rig, "c", session("c", 1))
    rig.adopt("a", later("ab", departed="c"))
    rig.pass_time(1)
    rig.kill("c")
    rig.adopt("b", later("ab", 3))
    assert holders(rig, session("c", 1)) == ""
    assert rig.notices("home_forgotten") == ["b", "a"]
    assert read(rig, "a", session("c", 1)) is None
    saved(rig, "a")
    rig.pass_time(3)
    assert holders(rig) == "ab"
