"""Maybe stale: what is served without the word of a member that may know more says so."""

from collections.abc import Callable

import pytest
from attrs import evolve
from replicas import Rig
from samples import NOW, session

from ring.doubting import Doubts
from ring.liveness import Peer
from ring.messages import (
    Answer,
    Changes,
    Compared,
    Durability,
    Failed,
    Found,
    Listing,
    Status,
)
from ring.record import Record
from ring.settings import Settings

ID = session("a", 7)
NEW = session("a", 1 << 100)


def found(rig: Rig, name: str) -> tuple[bytes | None, bool]:
    """Return what a node answers of the session, and whether that is in doubt."""
    reply = rig.find(name, ID).reply
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW).value(b"cart"), reply.maybe_stale


def all_killed(settings: Settings | None = None) -> Rig:
    """Return a ring of which every process is gone; b alone has the last change, on its disk."""
    rig = Rig(settings=settings or Settings())
    rig.create("a", ID, cart=b"\x01")
    rig.kill("c")
    rig.kill("a")
    rig.save("b", ID, {b"cart": b"\x02"}, durability=Durability.DISK)
    rig.kill("b")
    return rig


# --- Without the word of members that are missing -------------------------------------------------


def test_a_node_that_came_back_alone_says_that_it_may_be_stale() -> None:
    """Without the mark an old cart looks like the cart: the newest one is on another disk."""
    rig = all_killed()
    rig.start("a")
    rig.pass_time(11)
    assert found(rig, "a") == (b"\x01", True)


def test_the_return_of_the_others_merges_and_ends_the_doubt() -> None:
    rig = all_killed()
    rig.start("a")
    rig.pass_time(11)
    rig.save("a", ID, {b"color": b"\x07"})
    rig.start("b")
    rig.pass_time(1)
    assert found(rig, "a") == (b"\x02", True)  # The third may know even more.
    rig.start("c")
    rig.pass_time(1)
    for name in "abc":
        assert found(rig, name) == (b"\x02", False)
        record = rig.replicas[name].record(ID)
        assert record is None or record.value(b"color") == b"\x07"


def test_who_learns_from_a_node_in_doubt_is_in_doubt_as_well() -> None:
    """Without it in the status, c would vouch for a session of which it knows what a knew."""
    rig = all_killed()
    rig.start("c")
    rig.pass_time(11)
    rig.start("a")
    rig.pass_time(1)
    assert found(rig, "a") == (b"\x01", True)
    rig.start("b")
    rig.pass_time(1)
    assert found(rig, "a") == (b"\x02", False)


def test_what_is_created_meanwhile_is_in_no_doubt() -> None:
    """Nobody who is missing can know it: without this a node alone doubts all it has, for ever."""
    rig = all_killed()
    rig.start("a")
    rig.pass_time(11)
    rig.create("a", NEW, cart=b"\x01")
    reply = rig.find("a", NEW).reply
    assert isinstance(reply, Found)
    assert not reply.maybe_stale


def test_what_can_be_read_here_and_now_says_so_as_well() -> None:
    rig = all_killed()
    rig.start("a")
    rig.pass_time(11)
    read, _ = rig.replicas["a"].read(ID, False, rig.now)
    assert isinstance(read, Found)
    assert read.maybe_stale


def test_a_member_that_returns_to_one_that_served_all_along_doubts_nothing() -> None:
    """The one that stayed has heard whatever the missing one acknowledged."""
    rig = Rig()
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.kill("c")
    rig.start("a")
    rig.pass_time(1)
    assert found(rig, "a") == (b"\x01", False)


def test_after_a_standstill_alone_everything_is_in_doubt() -> None:
    """Whoever was down may have come meanwhile, acted, and be out of reach now."""
    rig = Rig("ab", freezes=True)
    rig.create("a", ID, cart=b"\x01")
    rig.kill("b")
    rig.pass_time(1)
    assert found(rig, "a") == (b"\x01", False)
    rig.now += 5
    rig.pass_time(11)
    assert found(rig, "a") == (b"\x01", True)


# --- Waiting for somebody instead -----------------------------------------------------------------


def test_a_node_that_may_not_serve_alone_waits_until_another_is_there() -> None:
    """The policy "wait": no answer is better than one that may be old."""
    rig = all_killed(Settings(waits_alone=True))
    rig.start("a")
    rig.pass_time(30)
    assert not rig.is_ready("a")
    assert rig.notices("waits_alone") == ["a"]
    assert isinstance(rig.find("a", ID).reply, Failed | None)
    rig.start("b")
    rig.pass_time(1)
    assert rig.is_ready("a", "b")
    assert found(rig, "a") == (b"\x02", True)


def test_a_ring_of_one_waits_for_nobody() -> None:
    rig = Rig("a", settings=Settings(waits_alone=True))
    assert rig.is_ready("a")


# --- Without the word of a member that did not answer in time -------------------------------------


def given_up() -> Rig:
    """Return a ring whose a was lost, and whose b acts in its place without the word of c.

    c acknowledged the last change, and has not answered the comparison to its end.
    """
    rig = Rig(copies=3, settings=Settings(suspect_after_s=60), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    rig.hold_back("c", "b", Compared)
    assert rig.save("a", ID, {b"cart": b"\x02"}).reply is not None
    rig.reset("b", "c")
    rig.kill("a")
    rig.pass_time(15)
    assert "a" in rig.replicas["b"].claims
    return rig


def test_a_comparison_that_was_given_up_leaves_a_doubt() -> None:
    rig = given_up()
    assert rig.notices("comparison_given_up")
    assert found(rig, "b")[1]


def test_that_doubt_ends_when_the_member_was_heard_after_all() -> None:
    rig = given_up()
    rig.let_go()
    rig.pass_time(1)
    assert found(rig, "b") == (b"\x02", False)


def test_a_member_that_comes_and_goes_unheard_leaves_a_doubt_until_it_was_heard() -> None:
    """It has acted on the other side of a cut, and a flapping link keeps it from telling so."""
    rig = Rig("ab", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(1)
    rig.save("b", ID, {b"cart": b"\x02"})
    rig.refused.clear()
    for kind in (Listing, Changes, Compared, Answer):
        rig.hold_back("b", "a", kind)
    for _ in range(10):
        rig.pass_time(0.5)
        rig.reset("a", "b")
        rig.stalled |= {("a", "b"), ("b", "a")}
        rig.reset("a", "b")
        rig.pass_time(0.5)
        rig.stalled.clear()
    assert found(rig, "a") == (b"\x01", True)
    rig.let_go()
    rig.pass_time(2)
    assert found(rig, "a") == (b"\x02", False)


# --- The mechanism is needed ----------------------------------------------------------------------


def _hears_nothing_of_it(self: Peer, status: Status) -> bool:
    return _note_status(self, evolve(status, missing=()))


_note_status = Peer.note_status


@pytest.mark.parametrize(
    ("scenario", "owner", "name", "instead"),
    [
        (
            test_a_node_that_came_back_alone_says_that_it_may_be_stale,
            Doubts,
            "begin",
            lambda *arguments: None,
        ),
        (
            test_after_a_standstill_alone_everything_is_in_doubt,
            Doubts,
            "begin",
            lambda *arguments: None,
        ),
        (
            test_who_learns_from_a_node_in_doubt_is_in_doubt_as_well,
            Peer,
            "note_status",
            _hears_nothing_of_it,
        ),
        (
            test_a_comparison_that_was_given_up_leaves_a_doubt,
            Doubts,
            "pass_over",
            lambda *arguments: None,
        ),
        (
            test_a_member_that_comes_and_goes_unheard_leaves_a_doubt_until_it_was_heard,
            Doubts,
            "pass_over",
            lambda *arguments: None,
        ),
    ],
)
def test_without_it_nobody_would_know(
    scenario: Callable[[], None],
    owner: type,
    name: str,
    instead: Callable[..., object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each rule of the module, taken out, breaks the scenario that is about it."""
    monkeypatch.setattr(owner, name, instead)
    with pytest.raises(AssertionError):
        scenario()
