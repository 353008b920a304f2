"""Members that were apart for longer than ends are remembered: one yields, nothing comes back."""

import pytest
from apart import LONG_S, RETENTION_S, SETTINGS, has, isolate, reunite, set_aside
from attrs import evolve
from replicas import Rig
from samples import IDS, NOW, ring_of, session

from ring.messages import (
    Absent,
    Changes,
    Durability,
    Failed,
    Failure,
    Found,
    Records,
)
from ring.record import Record

ID, OTHER = IDS[0], IDS[1]


# --- Over a restart ---


def test_what_ended_while_a_member_was_away_for_long_does_not_come_back_with_its_disk() -> None:
    """A machine that is switched on after a month, or one that was restored from an old copy.

    Without yielding it brings the session to everybody: nobody remembers any more that it ended.
    """
    rig = Rig(settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x02")
    rig.kill("a")
    rig.pass_time(1)
    rig.end("b", ID)
    rig.pass_time(LONG_S)
    assert all(rig.replicas[name].record(ID) is None for name in "bc")
    rig.start("a")
    rig.pass_time(10)
    assert rig.is_ready(*"abc")
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Absent)
        assert isinstance(rig.find(name, OTHER).reply, Found)
    assert sorted(set_aside(rig, "a")) == sorted([ID, OTHER])
    assert ID not in rig.disks["a"].content
    assert all(replica.settled for replica in rig.replicas.values())


def test_what_was_set_aside_is_the_record_as_it_was() -> None:
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(LONG_S)
    rig.start("a")
    rig.pass_time(1)
    ((session_id, portable),) = rig.disks["a"].set_aside
    assert session_id == ID
    assert Record.from_portable(portable, rig.now).value(b"cart") == b"\x01"


def test_what_ended_on_the_old_disk_stays_ended() -> None:
    """An end never harms: it is no reason for a session to live that others still have it."""
    rig = Rig(settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    isolate(rig, "a")
    rig.end("a", ID, refuse=False)
    rig.kill("a")
    rig.now += RETENTION_S * 0.9
    rig.disks["a"].contacts = dict.fromkeys("abc", NOW)
    reunite(rig, "ab", "ac")
    rig.start("a")
    rig.pass_time(10)
    assert rig.notices("home_yielded")
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Absent)


def test_a_ring_that_was_switched_off_as_a_whole_merges_what_its_disks_have() -> None:
    """Nobody went on without the others, so nobody has forgotten anything that they have not."""
    rig = Rig(settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.create("b", IDS[5], cart=b"\x02")
    rig.kill("a")
    rig.create("b", OTHER, cart=b"\x03")
    rig.kill("b", "c")
    rig.now += LONG_S
    for name in "abc":
        rig.begin(name)
    rig.pass_time(40)
    assert rig.is_ready(*"abc")
    assert all(set_aside(rig, name) == [] for name in "abc")
    assert all(has(rig, name, session_id) for name in "ab" for session_id in (ID, OTHER))
    for session_id in (ID, OTHER, IDS[5]):
        for name in "abc":
            assert isinstance(rig.find(name, session_id).reply, Found)


def test_one_that_was_away_yields_even_if_all_are_restarted_at_once() -> None:
    """The others went on without it until a moment ago: what they forgot, it must not bring."""
    rig = Rig(settings=SETTINGS)
    rig.create("b", IDS[5], cart=b"\x01")
    rig.kill("b")
    rig.pass_time(1)
    rig.end("c", IDS[5])
    rig.pass_time(LONG_S)
    assert rig.replicas["c"].record(IDS[5]) is None
    rig.kill("a", "c")
    for name in "bac":
        rig.begin(name)
    rig.run()
    rig.pass_time(30)
    assert rig.is_ready(*"abc")
    assert set_aside(rig, "b") == [IDS[5]]
    for name in "abc":
        assert isinstance(rig.find(name, IDS[5]).reply, Absent)


# --- Both sides of a long cut serve ---


def test_after_a_long_cut_the_later_one_of_each_home_yields() -> None:
    """Both served; of each home one has to be right, and it is the one that comes first."""
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.create("b", IDS[5], cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(1)
    rig.end("a", ID, refuse=False)
    rig.end("b", IDS[5], refuse=False)
    rig.create("a", OTHER, cart=b"\x02")
    only_here = session("a", 5 << 100)
    rig.create("b", only_here, cart=b"\x03")
    rig.pass_time(LONG_S)
    assert rig.replicas["a"].record(ID) is None
    assert has(rig, "b", ID)
    reunite(rig, "ab")
    rig.pass_time(10)
    assert all(replica.settled for replica in rig.replicas.values())
    for name in "ab":
        assert isinstance(rig.find(name, ID).reply, Absent)
        assert isinstance(rig.find(name, IDS[5]).reply, Absent)
        assert isinstance(rig.find(name, only_here).reply, Absent)
        assert isinstance(rig.find(name, OTHER).reply, Found)
    assert sorted(set_aside(rig, "b")) == sorted([ID, only_here])
    assert set_aside(rig, "a") == [IDS[5]]


@pytest.mark.parametrize("first", ["ab", "ac", "bc", "ba", "ca"])
def test_of_three_the_one_that_was_alone_yields_whoever_it_meets_first(first: str) -> None:
    """Nothing of it comes to the others by way of the one that does not act for the home."""
    rig = Rig(settings=SETTINGS)
    lone = first[0]
    homes = {name: session(name, 7 << 90) for name in "abc"}
    for name, session_id in homes.items():
        rig.create(name, session_id, cart=b"\x01")
    isolate(rig, lone)
    rig.pass_time(1)
    others = [name for name in "abc" if name != lone]
    # Each side ends those of which it is to be right in the end.
    for name, session_id in homes.items():
        rig.end(others[0] if name != lone else lone, session_id, refuse=False)
    rig.pass_time(LONG_S)
    pairs = [first, *(lone + other for other in others if other != first[1])]
    for pair in pairs:
        if set(pair) & {lone}:
            reunite(rig, pair)
    rig.pass_time(20)
    assert all(replica.settled for replica in rig.replicas.values())
    for session_id in homes.values():
        for name in "abc":
            assert not has(rig, name, session_id), (name, session_id)


def test_what_is_saved_before_it_is_known_who_yields_does_not_cross_over() -> None:
    """A change is sent with its key alone; it would make a part of a session that has ended."""
    rig = Rig(settings=SETTINGS)
    ended = session("c", 7 << 90)
    rig.create("c", ended, cart=b"\x01")
    isolate(rig, "a")
    rig.pass_time(1)
    rig.end("c", ended, refuse=False)
    rig.pass_time(LONG_S)
    reunite(rig, "ab")
    rig.save("a", ended, {b"cart": b"\x02"})
    assert all(rig.replicas[name].record(ended) is None for name in "bc")
    reunite(rig, "ac")
    rig.pass_time(10)
    assert not any(has(rig, name, ended) for name in "abc")


def test_what_ended_is_not_asked_for_from_who_is_going_to_yield_it() -> None:
    """The acting owner asks who was not compared for each id, and would take and serve it."""
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(1)
    rig.end("a", ID, refuse=False)
    rig.pass_time(LONG_S)
    rig.heal("a", "b")
    assert has(rig, "b", ID)
    assert isinstance(rig.find("a", ID).reply, Absent)
    rig.heal("b", "a")
    rig.pass_time(10)
    assert not any(has(rig, name, ID) for name in "ab")


def test_what_a_companion_sent_before_is_not_taken_after_yielding() -> None:
    """It was under way: part of an answer to a comparison that does not count any more."""
    rig = Rig(settings=SETTINGS, copies=3)
    old = session("a", 9 << 120)
    isolate(rig, "a")
    rig.pass_time(LONG_S)
    rig.create("b", ID, cart=b"\x01")
    rig.cut("b", "c")
    rig.pass_time(1)
    rig.create("c", old, cart=b"\x01")
    for kind in (Records, Changes):
        rig.hold_back("c", "b", kind)
    reunite(rig, "bc")
    reunite(rig, "ab")
    rig.let_go("c")
    assert not has(rig, "b", old)
    reunite(rig, "ac")
    rig.pass_time(10)
    assert not any(has(rig, name, old) for name in "abc")
    assert all(replica.settled for replica in rig.replicas.values())


def test_who_has_yielded_takes_nothing_from_a_companion_that_has_not_yet() -> None:
    """Else the ended session goes round by way of the one that has met the others first."""
    rig = Rig(settings=SETTINGS)
    ended = session("b", 7 << 90)
    rig.create("b", ended, cart=b"\x01")
    isolate(rig, "b")
    rig.pass_time(1)
    rig.end("b", ended, refuse=False)
    rig.pass_time(LONG_S)
    reunite(rig, "ab")
    assert not has(rig, "a", ended)
    rig.save("c", ended, {b"cart": b"\x02"})
    assert not any(has(rig, name, ended) for name in "ab")
    reunite(rig, "bc")
    rig.pass_time(10)
    assert not any(has(rig, name, ended) for name in "abc")
    assert all(replica.settled for replica in rig.replicas.values())


def test_a_receipt_that_waits_does_not_name_who_has_yielded() -> None:
    """Honest: nobody holds that change any more."""
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(LONG_S)
    rig.disks["b"].stuck = True
    asked = rig.save("b", ID, {b"cart": b"\x02"}, durability=Durability.DISK)
    assert asked.waits
    reunite(rig, "ab")
    assert isinstance(asked.reply, Failed)
    assert asked.reply.failure is Failure.OUTCOME_UNKNOWN


def test_two_that_a_third_kept_together_lose_nothing() -> None:
    """They were apart from each other, and still have all: it comes back from who acts."""
    rig = Rig(settings=SETTINGS)
    for name in "abc":
        rig.create(name, session(name, 3 << 90), cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(LONG_S)
    reunite(rig, "ab")
    rig.pass_time(20)
    assert all(replica.settled for replica in rig.replicas.values())
    for home in "abc":
        for name in "abc":
            assert isinstance(rig.find(name, session(home, 3 << 90)).reply, Found)


def test_a_home_that_the_ring_got_later_is_yielded_like_any_other() -> None:
    """Else what ended there comes back from whoever was cut off, for as long as processes live."""
    rig = Rig("ab", settings=SETTINGS)
    ring = ring_of("abc")
    rig.adopt("a", evolve(ring, version=2))
    rig.start("c", ring=evolve(ring, version=2))
    rig.pass_time(1)
    ended = session("c", 7 << 90)
    rig.create("c", ended, cart=b"\x01")
    for other in "bc":
        rig.cut("a", other)
    rig.pass_time(1)
    assert has(rig, "a", ended)
    rig.end("c", ended, refuse=False)
    rig.pass_time(LONG_S)
    assert all(rig.replicas[name].record(ended) is None for name in "bc")
    reunite(rig, "ab", "ac")
    rig.pass_time(20)
    assert not any(has(rig, name, ended) for name in "abc")
    assert set_aside(rig, "a") == [ended]
    assert all(replica.settled for replica in rig.replicas.values())


def test_what_was_compared_with_a_stranger_is_compared_anew_when_it_comes_a_second_time() -> None:
    """The connection by which it comes makes the two silent again, in the middle of it.

    Else what was not said then is never said: the two are content, and unlike.
    """
    rig = Rig("ab", settings=SETTINGS)
    rig.create("a", ID, cart=b"\x01")
    isolate(rig, "a")
    rig.create("b", session("b", 7), cart=b"\x02")
    rig.pass_time(LONG_S)
    rig.kill("a", "b")
    rig.refused.clear()
    rig.stalled.add(("b", "a"))
    rig.begin("a")
    rig.begin("b")
    rig.pass_time(12)
    rig.stalled.clear()
    rig.pass_time(20)
    assert all(replica.settled for replica in rig.replicas.values())
    a, b = (rig.replicas[name] for name in "ab")
    assert set(a.session_ids()) == set(b.session_ids()) != set()
