"""Who is told of no changes hears of what has ended before the others forget it.

A stand-in that is not freed, or a member that takes itself for a holder, had what came back once
nobody remembered its end.
"""

import pytest
from attrs import evolve
from replicas import Rig
from samples import IDS

from ring.identity import SessionId
from ring.messages import Absent, Compared, Offer, Offered
from ring.record import Record
from ring.releasing import Releasing
from ring.settings import Settings

ID, OTHER = IDS[0], IDS[1]
RETENTION_S = 100.0
SWEEP_S = 64 * 1.1 + 2
SETTINGS = Settings(sweep_interval_s=64.0, suspect_after_s=1e6, retention_s=RETENTION_S)


def held(rig: Rig, name: str, session_id: SessionId = ID) -> Record:
    record = rig.replicas[name].record(session_id)
    assert record is not None
    return record


def a_ring_with_a_stand_in() -> Rig:
    """Return a ring in which c still has sessions of a, whose holders are a and b.

    It has not offered them yet, since it waits for d.
    """
    rig = Rig("abcd", settings=evolve(SETTINGS, settle_timeout_s=1e6))
    rig.cut("a", "b")
    rig.hold_back("d", "c", Compared)
    rig.reset("c", "d")
    for session_id in (ID, OTHER):
        rig.create("a", session_id, cart=b"\x01")
    rig.heal("a", "b")
    rig.heal("b", "a")
    rig.pass_time(5)
    assert not held(rig, "c", ID).ended
    return rig


def test_who_has_stood_in_has_nothing_left_that_ended_and_was_forgotten() -> None:
    """It is told of no changes: it brought the session back, once the end was forgotten."""
    rig = a_ring_with_a_stand_in()
    rig.end("a", ID)
    rig.pass_time(RETENTION_S * 1.5, step_s=1)
    assert rig.replicas["a"].record(ID) is None
    assert isinstance(rig.find("a", ID).reply, Absent)
    rig.let_go()
    rig.pass_time(RETENTION_S + 2 * SWEEP_S, step_s=1)
    assert [rig.replicas[name].record(ID) for name in "abcd"] == [None] * 4


@pytest.mark.parametrize("is_healed", [False, True])
def test_who_takes_itself_for_a_holder_has_nothing_left_that_ended(*, is_healed: bool) -> None:
    """c alone does not reach b, and keeps a's home in its place; a tells b alone of the end."""
    rig = Rig("abcd", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.cut("b", "c")
    rig.pass_time(3)
    assert not held(rig, "c", ID).ended
    rig.end("a", ID)
    rig.pass_time(RETENTION_S + 2 * SWEEP_S, step_s=1)
    if is_healed:
        rig.heal("b", "c")
        rig.heal("c", "b")
    else:
        rig.reset("a", "c")
    rig.pass_time(3)
    assert isinstance(rig.find("a", ID).reply, Absent)
    assert rig.replicas["c"].record(ID) is None


@pytest.fixture
def _offers_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an offer carry one session, and nothing be released."""
    monkeypatch.setattr("ring.releasing.RELEASED_MAX", 1)
    monkeypatch.setattr(Releasing, "_may_release", lambda *_: False)


@pytest.mark.usefixtures("_offers_one_by_one")
def test_an_offer_is_answered_by_one_that_has_left_the_home_to_another() -> None:
    """Its late answer was taken for one to nothing, and it was called down."""
    rig = a_ring_with_a_stand_in()
    rig.hold_back("a", "c", Offered)
    rig.pass_time(RETENTION_S / 2 + 1)
    rig.perform("a", rig.replicas["a"].drain(rig.now))
    rig.run()
    rig.pass_time(3)
    assert rig.replicas["c"]._core.view.acting_owner("a") == "b"
    rig.let_go("a")
    assert "c" not in rig.notices("member_down")


@pytest.mark.usefixtures("_offers_one_by_one")
def test_all_is_offered_though_an_earlier_member_comes_and_goes() -> None:
    """Whenever b was undetermined the walk was ended, and began anew with the first session."""
    rig = a_ring_with_a_stand_in()
    rig.hold_back("a", "c", Offered)
    for _ in range(60):
        rig.stalled |= {("b", "c"), ("c", "b")}
        rig.reset("b", "c")
        rig.let_one_go()
        rig.pass_time(0.75)
        rig.stalled.clear()
        rig.heal("c", "b")
        rig.heal("b", "c")
        rig.pass_time(0.75)
    offers = [each.message for each in rig.sent if isinstance(each.message, Offer)]
    assert {each.flat[0] for each in offers} == {ID, OTHER}


@pytest.mark.usefixtures("_offers_one_by_one")
def test_who_has_stood_in_hears_of_every_end_though_it_is_not_freed() -> None:
    """Nothing is released while somebody is missing; then all is offered all the same."""
    rig = a_ring_with_a_stand_in()
    rig.end("a", ID)
    rig.end("a", OTHER)
    rig.pass_time(RETENTION_S * 0.7, step_s=1)
    assert held(rig, "c", ID).ended
    assert held(rig, "c", OTHER).ended
