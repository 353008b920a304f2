"""The ring changes while it serves: it becomes known, members come, and nothing is lost."""

from random import Random

import pytest
from attrs import evolve
from later_rings import ID, holders, later, read, saved, versions
from replicas import Rig
from samples import ring_of, session

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.clock import Stamp
from ring.identity import Incarnation, LinkId, SessionId
from ring.messages import (
    Failed,
    Find,
    Greeting,
    Leaving,
    Members,
    Status,
)
from ring.placement import Departed, Member, Ring
from ring.replica import Replica

# --- How a ring becomes known ---


def test_a_ring_that_is_set_at_one_node_is_adopted_and_kept_by_all() -> None:
    rig = Rig("abc")
    rig.adopt("b", later("abc"))
    assert versions(rig) == {"a": 2, "b": 2, "c": 2}
    assert {name: disk.ring for name, disk in rig.disks.items()} == dict.fromkeys(
        "abc", later("abc")
    )
    assert sorted(rig.notices("ring_adopted")) == ["a", "b", "c"]


def test_a_ring_is_told_once_to_each_member_on_each_connection() -> None:
    """Whoever is known to know it is not told it again: else it would go round for ever."""
    rig = Rig("abcd")
    rig.sent.clear()
    rig.adopt("a", later("abcd"))
    told = [(each.sender, each.receiver) for each in rig.sent if type(each.message) is RingRecord]
    assert max(told.count(pair) for pair in told) <= 2


def test_a_node_that_was_away_learns_the_ring_when_it_returns() -> None:
    rig = Rig("abc", stores=False)
    rig.kill("c")
    rig.adopt("a", later("acb"))
    rig.start("c", ring=ring_of("abc"))
    assert versions(rig) == {"a": 2, "b": 2, "c": 2}
    assert rig.is_ready("a", "b", "c")


def test_an_adopted_ring_beats_an_older_file_and_is_beaten_by_a_newer_one() -> None:
    rig = Rig("abc")
    rig.adopt("a", later("acb"))
    rig.kill("a", "b", "c")
    rig.begin("a", ring=ring_of("abc"))
    rig.begin("b", ring=later("bca", 3))
    rig.begin("c", ring=ring_of("abc"))
    assert versions(rig) == {"a": 2, "b": 3, "c": 2}
    rig.run()
    assert versions(rig) == {"a": 3, "b": 3, "c": 3}


def test_nothing_is_heard_of_whoever_has_not_told_the_ring_that_it_knows() -> None:
    """Else its words would be taken for words about another ring: of other homes and holders."""
    rig = Rig("ab")
    a = rig.replicas["a"]
    rig.kill("b")
    greeting = Greeting(Incarnation(9), int((rig.now - a.epoch) * 1000), ring_version=2)
    a.on_accepted(LinkId(99), "b", rig.now, greeting)
    effects = a.on_message(LinkId(99), Find(1, ID, False, True), rig.now)
    assert "Close" in {type(effect).__name__ for effect in effects}


def test_two_rings_of_one_version_refuse_each_other() -> None:
    """Two people have changed the ring at the same time: no node can know who is right."""
    rig = Rig("abc")
    rig.cut("a", "b")
    rig.cut("a", "c")
    rig.adopt("a", later("acb"))
    rig.adopt("b", later("abc", departed="z"))
    rig.heal("a", "b")
    assert versions(rig) == {"a": 2, "b": 2, "c": 2}
    assert rig.replicas["a"].liveness["b"].value == "down"
    rig.adopt("c", later("abc", 3))
    rig.heal("a", "c")
    rig.pass_time(1)
    assert versions(rig) == {"a": 3, "b": 3, "c": 3}
    assert rig.replicas["a"].liveness["b"].value == "up"


def test_two_rings_of_one_version_that_meet_on_a_living_connection_part() -> None:
    rig = Rig("ab")
    for name in "ab":
        rig.hold_back(name, "b" if name == "a" else "a")
    rig.adopt("a", later("ab", departed="y"))
    rig.adopt("b", later("ab", departed="z"))
    rig.let_go()
    assert set(rig.notices("ring_conflict")) <= {"a", "b"}
    assert rig.notices("ring_conflict")
    assert versions(rig) == {"a": 2, "b": 2}


def test_a_rolling_restart_with_a_new_file_brings_the_new_ring() -> None:
    rig = Rig("abc")
    saved(rig, "a")
    for name in "cab":
        rig.kill(name)
        rig.start(name, ring=later("bca"))
        assert set(versions(rig).values()) == {2}
        rig.pass_time(1)
    assert rig.is_ready("a", "b", "c")
    assert read(rig, "b") == b"\x01"


# --- Members come ---


def test_a_member_that_is_added_brings_the_ring_itself_and_takes_its_place() -> None:
    """It is started with the new file, and nothing else has to be done on any other host."""
    rig = Rig("abc")
    saved(rig, "c", session("c", 1))
    rig.start("d", ring=later("abcd"))
    assert versions(rig) == {"a": 2, "b": 2, "c": 2, "d": 2}
    assert rig.is_ready("a", "b", "c", "d")
    assert rig.replicas["d"].claims == {"d"}
    # The successor of c is d now, and a, which was, is freed.
    rig.pass_time(5)
    assert holders(rig, session("c", 1)) == "cd"
    saved(rig, "d", session("d", 1))
    assert holders(rig, session("d", 1)) == "ad"


def test_a_member_that_is_added_and_not_there_yet_is_stood_in_for() -> None:
    rig = Rig("abc")
    rig.adopt("a", later("abcd"))
    rig.pass_time(11)
    assert "d" in rig.replicas["a"].claims
    saved(rig, "b", session("d", 1))
    rig.start("d", ring=later("abcd"))
    rig.pass_time(1)
    assert rig.replicas["d"].claims == {"d"}
    assert read(rig, "d", session("d", 1)) == b"\x01"


def dialled_by(replica: Replica, name: str) -> LinkId | None:
    """Return the connection of a member that a replica listens to."""
    return replica._core.view.peers[name].inbound


def test_a_stranger_is_a_member_once_it_has_told_the_ring_and_not_before() -> None:
    """Also if its listing came from elsewhere: what it said as a stranger was never heard."""
    rig = Rig("ab")
    a = rig.replicas["a"]
    greeting = Greeting(Incarnation(9), int((rig.now - a.epoch) * 1000), ring_version=2)
    rig.perform("a", a.on_accepted(LinkId(99), "d", rig.now, greeting))
    rig.perform("a", a.adopt(later("abd"), rig.now))
    assert dialled_by(a, "d") is None
    rig.perform("a", a.on_message(LinkId(99), RingRecord(later("abd")), rig.now))
    assert dialled_by(a, "d") == 99
    rig.perform("a", a.on_accepted(LinkId(101), "z", rig.now, evolve(greeting, ring_version=1)))
    assert a.take(LinkId(101), rig.now) == RingRecord(later("abd"))
    rig.perform("a", a.adopt(later("abdz", 3), rig.now))
    clock = a._core.clock.last
    a.on_message(LinkId(101), Status(Stamp(clock + 5), True, True, 9, ("z",), False), rig.now)
    assert dialled_by(a, "z") is None
    assert a._core.clock.last == clock


def test_a_stranger_that_brings_a_ring_without_itself_is_sent_away() -> None:
    rig = Rig("ab")
    a = rig.replicas["a"]
    greeting = Greeting(Incarnation(9), int((rig.now - a.epoch) * 1000), ring_version=2)
    rig.perform("a", a.on_accepted(LinkId(99), "z", rig.now, greeting))
    effects = a.on_message(LinkId(99), RingRecord(later("ab")), rig.now)
    assert "Close" in {type(effect).__name__ for effect in effects}
    assert a.ring.version == 2


def test_a_stranger_that_says_nothing_is_sent_away_like_any_silent_member() -> None:
    rig = Rig("ab")
    a = rig.replicas["a"]
    for version, link in ((1, 98), (2, 99)):
        greeting = Greeting(Incarnation(9), int((rig.now - a.epoch) * 1000), ring_version=version)
        effects = a.on_accepted(LinkId(link), "z", rig.now, greeting)
        assert ("Close" in {type(effect).__name__ for effect in effects}) == (version == 1)
    rig.pass_time(4)
    closed = [effect for name, effect in rig.effects if type(effect).__name__ == "Close"]
    assert any(getattr(effect, "link", None) == 99 for effect in closed)


# --- What people and clients say and hear ---


def client_of(rig: Rig, name: str) -> LinkId:
    link = LinkId(500)
    rig.perform(name, rig.replicas[name].on_accepted(link, None, rig.now))
    return link


def heard(rig: Rig, name: str, link: LinkId) -> list[object]:
    said = list[object]()
    while (message := rig.replicas[name].take(link, rig.now)) is not None:
        said.append(message)
    return said


def test_clients_are_told_the_members_anew() -> None:
    rig = Rig("abc")
    link = client_of(rig, "a")
    heard(rig, "a", link)
    rig.adopt("b", later("ab", departed="c"))
    expected = Members("rig", ("a", "b"), ("a:1", "b:1"), (), ("c",), ("a",))
    assert heard(rig, "a", link) == [expected]


def test_the_clients_of_a_member_that_is_removed_are_sent_to_others() -> None:
    rig = Rig("abc")
    link = client_of(rig, "c")
    heard(rig, "c", link)
    rig.adopt("b", later("ab", departed="c"))
    assert [type(message) for message in heard(rig, "c", link)] == [Members, Leaving]


def test_a_client_may_show_and_set_the_ring() -> None:
    rig = Rig("abc")
    link = client_of(rig, "a")
    heard(rig, "a", link)
    a = rig.replicas["a"]
    rig.perform("a", a.on_message(link, ShowRing(1), rig.now))
    assert heard(rig, "a", link) == [RingShown(1, ring_of("abc"))]
    for number in (2, 3):
        rig.perform("a", a.on_message(link, SetRing(number, later("acb")), rig.now))
    rig.run()
    answers = [each for each in heard(rig, "a", link) if isinstance(each, RingShown)]
    assert answers == [RingShown(2, later("acb")), RingShown(3, later("acb"))]
    assert versions(rig) == {"a": 2, "b": 2, "c": 2}


@pytest.mark.parametrize(
    ("ring", "why"),
    [
        (evolve(later("abc"), name="other"), "it is called 'other', and the ring of this node"),
        (later("acb", 1), "its version is 1; use one above 1"),
        (later("ab"), r"it has no place for c, whose sessions would be nobody's; write \[\[ring"),
        (later("bc", gone="a"), "it has no address for a, which was asked; ask one that stays"),
    ],
)
def test_a_ring_that_cannot_follow_is_not_set(ring: Ring, why: str) -> None:
    rig = Rig("abc")
    link = client_of(rig, "a")
    heard(rig, "a", link)
    rig.perform("a", rig.replicas["a"].on_message(link, SetRing(1, ring), rig.now))
    (failed,) = heard(rig, "a", link)
    assert isinstance(failed, Failed)
    assert failed.reason.startswith("the ring was not set: " + why.replace("\\", ""))
    assert versions(rig) == {"a": 1, "b": 1, "c": 1}


def test_no_ring_is_set_at_a_node_that_is_not_in_it_any_more() -> None:
    """It knows its last ring only: it would take another one of the version that removed it."""
    rig = Rig("abc")
    rig.adopt("a", later("ab", gone="c"))
    assert rig.replicas["c"].objection(later("acb")) == "c is not in it any more; ask one that is"


# --- Everything together ---


@pytest.mark.parametrize("seed", range(30))
def test_however_the_ring_changes_no_session_is_lost(seed: int) -> None:
    """Members are added, removed, moved and made backups, while sessions are saved and read."""
    random = Random(seed)
    rig = Rig("abc", copies=random.choice([1, 2, 3]))
    ring, pool, values = rig.ring, list("abcdefg"), dict[SessionId, bytes]()
    present, left, gone = list("abc"), dict[str, str](), set[str]()
    for step in range(12):
        staying = [name for name in present if name in rig.replicas]
        at = random.choice(staying)
        made = session(rig.replicas[at].home_for_new(), step)
        value = bytes([step])
        saved(rig, at, made, value)
        values[made] = value
        for session_id in values:
            assert read(rig, random.choice(staying), session_id) == values[session_id]
        added = [name for name in pool if name not in present and name not in left]
        if added and random.random() < 0.5:
            present.insert(random.randrange(len(present) + 1), random.choice(added))
        elif len(present) > 2:
            leaver = random.choice([name for name in present if name != at])
            present.remove(leaver)
            left[leaver] = random.choice(present)
            # One that is cut away is a loss like any other: the copies cover it once all is quiet.
            quiet = all(each.settled for each in rig.replicas.values() if not each.draining)
            if rig.ring.copies > 1 and quiet and random.random() < 0.3:
                gone.add(leaver)
        if random.random() < 0.3:
            random.shuffle(present)
        backup = random.choice([None, *present[1:]])
        ring = Ring(
            "rig",
            tuple(Member(name, f"{name}:1", name == backup) for name in present),
            2 + step,
            rig.ring.copies,
            tuple(
                Departed(
                    name,
                    heir if heir in present else present[0],
                    "" if name in gone else f"{name}:1",
                )
                for name, heir in left.items()
            ),
        )
        for name in present:
            if name not in rig.replicas:
                rig.begin(name, ring=ring)
        rig.adopt(at, ring)
        rig.pass_time(random.choice([0, 0.5, 3]))
        for name in [each for each in left if each in rig.replicas]:
            if name in gone or (rig.replicas[name].drained and random.random() < 0.7):
                rig.kill(name)
    rig.pass_time(15)
    for name in present:
        assert rig.replicas[name].ring == ring
        assert rig.replicas[name].settled
        for session_id, value in values.items():
            assert read(rig, name, session_id) == value
    for name in left:
        assert name not in rig.replicas or rig.replicas[name].drained
    for session_id in values:
        kept = [name for name in holders(rig, session_id) if name in present]
        assert len(kept) == min(rig.ring.copies, len(present))
