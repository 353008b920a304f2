"""What counts as contact, so that a member need not yield: nothing but whole comparisons."""

from apart import LONG_S, RETENTION_S, SETTINGS, has, reunite, set_aside
from attrs import evolve
from replicas import Rig
from samples import IDS, session

from ring.messages import Acks, Changes, Compared, Found, Listing, Records

ID = IDS[0]


def test_a_member_that_was_away_for_less_keeps_what_it_has() -> None:
    rig = Rig("ab", settings=SETTINGS)
    rig.kill("b")
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.now += RETENTION_S / 2
    rig.start("b")
    rig.start("a")
    rig.pass_time(20)
    assert set_aside(rig, "a") == []
    assert has(rig, "b", ID)


def test_what_was_yielded_is_gone_from_the_disk_before_contacts_are_noted() -> None:
    """Else a crash between the two has the next start believe it."""
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.kill("b")
    rig.pass_time(LONG_S)
    rig.begin("b")
    rig.disks["b"].stuck = True
    rig.pass_time(5)
    assert set_aside(rig, "b") == [ID]
    assert rig.replicas["b"].ready
    assert rig.replicas["b"].contacts(rig.now) == {}
    replica = rig.replicas["b"]
    found = replica.persistent(ID, rig.now)
    assert found is not None
    version = found[0]
    rig.perform("b", replica.on_persisted({ID: version}, rig.now))
    assert replica.contacts(rig.now).keys() == {"a", "b"}


def test_one_that_was_cut_off_from_a_third_only_is_ready_again_after_a_restart() -> None:
    """It yields to the third, and takes everything from the one that it had never lost."""
    rig = Rig(settings=SETTINGS)
    for name in "abc":
        rig.create(name, session(name, 3 << 90), cart=b"\x01")
    rig.cut("a", "c")
    rig.pass_time(LONG_S)
    rig.kill("a")
    rig.pass_time(1)
    rig.refused.clear()
    rig.start("a")
    rig.pass_time(20)
    assert rig.notices("home_yielded")
    assert all(replica.settled for replica in rig.replicas.values())
    for home in "abc":
        for name in "abc":
            assert isinstance(rig.find(name, session(home, 3 << 90)).reply, Found)


def test_a_comparison_that_was_given_up_is_no_contact() -> None:
    """Else it counts as one that all ends went by, and hides how long the two have been apart."""
    rig = Rig("ab", settings=evolve(SETTINGS, suspect_after_s=1e6))
    rig.create("a", ID, cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(1)
    rig.end("a", ID, refuse=False)
    rig.pass_time(RETENTION_S * 0.6)
    for kind in (Changes, Compared, Listing, Records, Acks):
        rig.hold_back("a", "b", kind)
    reunite(rig, "ab")
    rig.pass_time(10)
    assert "b" in rig.notices("comparison_given_up")
    rig.cut("a", "b")
    rig.let_go()
    assert has(rig, "b", ID)
    rig.pass_time(RETENTION_S * 0.6)
    assert rig.replicas["a"].record(ID) is None
    reunite(rig, "ab")
    rig.pass_time(20)
    assert not any(has(rig, name, ID) for name in "ab")


def test_who_hears_only_itself_is_not_in_contact() -> None:
    """It reaches the other one, which does not reach it: so it is told of no end."""
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.refused.add(("a", "b"))
    rig.reset("a", "b")
    rig.pass_time(5)
    rig.end("a", ID, refuse=False)
    rig.pass_time(LONG_S)
    assert rig.replicas["a"].record(ID) is None
    assert has(rig, "b", ID)
    rig.heal("a", "b")
    rig.pass_time(20)
    assert not any(has(rig, name, ID) for name in "ab")


def test_a_flapping_link_makes_nobody_strange() -> None:
    rig = Rig("ab", settings=evolve(SETTINGS, retention_s=60.0))
    rig.create("a", ID, cart=b"\x01")
    for _ in range(10):
        rig.pass_time(10)
        rig.reset("a", "b")
    assert rig.notices("estranged") == []
    assert set_aside(rig, "a") == set_aside(rig, "b") == []
