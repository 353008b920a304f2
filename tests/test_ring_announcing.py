"""Every life-cycle event is delivered at least once, and exactly once where nothing goes wrong."""

import msgpack
from replicas import Rig
from samples import session

from ring.announcements import (
    Announced,
    Announcement,
    Announcements,
    EventKind,
    Takeover,
)
from ring.clock import Stamp
from ring.entry import MAX_IDLE
from ring.messages import Changes
from ring.record import Record
from ring.settings import Settings

ID, OTHER, NEW = session("a", 7), session("a", 8), session("a", 9)


def a_ring(names: str = "abc", copies: int = 2, settings: Settings | None = None) -> Rig:
    rig = Rig(names, copies, settings or Settings())
    rig.listen()
    return rig


def heard(rig: Rig, *names: str) -> list[tuple[str, str]]:
    """Return who was told of which kinds, in order."""
    return [
        (name, what.kind.name.lower())
        for name, what in rig.heard
        if isinstance(what, Announcement) and (not names or name in names)
    ]


def test_the_member_that_acts_announces_and_nobody_else() -> None:
    rig = a_ring()
    rig.create("a", ID, cart=b"\x01")
    rig.end("b", ID)
    rig.pass_time(10)
    assert heard(rig) == [("a", "created"), ("a", "deleted")]


def test_what_was_delivered_is_announced_no_more_when_the_member_is_lost() -> None:
    rig = a_ring()
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(20)
    assert heard(rig) == [("a", "created")]


def test_what_was_not_delivered_is_announced_by_whoever_takes_over() -> None:
    rig = a_ring()
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    rig.end("a", ID)
    rig.kill("a")
    rig.pass_time(20)
    assert heard(rig, "b") == [("b", "created"), ("b", "created"), ("b", "deleted")]
    deleted = rig.heard[-1][1]
    assert isinstance(deleted, Announcement)
    assert Record.from_portable(deleted.state, rig.now).value(b"cart") == b"\x01"


def test_an_end_by_a_member_that_had_nothing_of_the_session_is_announced_by_who_had_it() -> None:
    """It was rotated on the other side of a cut, and its new id is ended on this one."""
    rig = a_ring()
    rig.create("a", ID, cart=b"\x01")
    for other in "bc":
        rig.cut("a", other)
    rig.pass_time(10)
    rig.rotate("b", ID, NEW)
    rig.end("a", NEW)
    rig.heard.clear()
    for other in "bc":
        rig.hold_back("a", other, Changes)
        rig.heal("a", other)
        rig.heal(other, "a")
    # Until then all are told that they see everything from now on.
    rig.pass_time(2)
    rig.let_go()
    rig.pass_time(20)
    told = [what for _, what in rig.heard if isinstance(what, Announcement)]
    (deleted,) = [what for what in told if what.kind is EventKind.DELETED]
    assert deleted.session_id == NEW
    assert Record.from_portable(deleted.state, rig.now).value(b"cart") == b"\x01"


def test_a_drained_member_hands_over_what_nobody_has_begun_with() -> None:
    rig = a_ring()
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    rig.perform("a", rig.replicas["a"].drain(rig.now))
    rig.pass_time(2)
    assert heard(rig) == [("a", "created")]
    assert rig.replicas["a"].undrained()
    rig.end_business("a")
    rig.pass_time(1)
    assert rig.replicas["a"].drained
    rig.kill("a")
    rig.pass_time(10)
    assert heard(rig) == [("a", "created"), ("b", "created")]
    rig.start("a")
    rig.listen("a")
    rig.pass_time(10)
    rig.end("c", OTHER)
    assert heard(rig) == [("a", "created"), ("b", "created"), ("a", "deleted")]


def test_a_member_that_is_refilled_is_told_what_waits() -> None:
    """It lost its memory and its disk, and is brought the session by a comparison."""
    rig = a_ring("ab")
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.pass_time(1)
    rig.kill("b")
    rig.begin("b", disk=False)
    rig.listen("b")
    rig.pass_time(2)
    rig.kill("a")
    rig.pass_time(20)
    assert heard(rig) == [("a", "created"), ("b", "created")]


def test_a_member_that_is_refilled_takes_nothing_old_for_news() -> None:
    rig = a_ring("ab")
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    rig.end("a", OTHER)
    rig.pass_time(1)
    rig.kill("b")
    rig.begin("b", disk=False)
    rig.listen("b")
    rig.pass_time(2)
    rig.kill("a")
    rig.pass_time(20)
    assert heard(rig) == [("a", "created"), ("a", "created"), ("a", "deleted")]


def test_what_only_another_holder_has_noted_is_sent_to_whoever_takes_over() -> None:
    """The first backup has not heard of the end, which the second has acknowledged."""
    rig = a_ring(copies=3)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    rig.hold_back("c", "b")
    rig.busy.add("a")
    rig.end("a", ID)
    rig.kill("a")
    rig.let_go()
    rig.pass_time(20)
    assert heard(rig) == [("a", "created"), ("a", "deleted"), ("b", "deleted")]


def test_nothing_is_announced_because_it_is_read_from_a_disk() -> None:
    rig = a_ring("ab")
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a", "b")
    rig.start("a")
    rig.start("b")
    rig.listen()
    rig.pass_time(30)
    assert heard(rig) == [("a", "created")]


def test_what_happens_while_nobody_listens_is_announced_to_nobody() -> None:
    rig = Rig("abc", 2, Settings())
    rig.create("a", ID, cart=b"\x01")
    rig.listen()
    rig.create("a", OTHER, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(20)
    assert [what.session_id for _, what in rig.heard if isinstance(what, Announcement)] == [OTHER]


def test_nobody_says_anything_of_announcements_where_nobody_listens() -> None:
    rig = Rig("abc", 3, Settings())
    rig.create("a", ID, cart=b"\x01")
    rig.end("b", ID)
    rig.kill("a")
    rig.pass_time(20)
    assert not [each for each in rig.sent if isinstance(each.message, Announced | Announcements)]


def test_a_rotation_is_one_event_of_the_old_id() -> None:
    rig = a_ring(copies=3)
    rig.create("a", ID, cart=b"\x01")
    rig.busy.add("a")
    rig.rotate("a", ID, OTHER, user=b"\x02")
    rig.kill("a")
    rig.pass_time(20)
    assert heard(rig) == [("a", "created"), ("a", "rotated"), ("b", "rotated")]
    rotated = rig.heard[-1][1]
    assert isinstance(rotated, Announcement)
    assert (rotated.session_id, rotated.new_id) == (ID, OTHER)
    assert Record.from_portable(rotated.state, rig.now).value(b"user") == b"\x02"


def test_an_end_of_an_id_that_nobody_had_is_no_event() -> None:
    rig = a_ring()
    rig.cut("a", "c")
    rig.kill("c")
    rig.end("a", ID)
    rig.kill("a")
    rig.pass_time(20)
    assert not heard(rig)


def test_a_session_that_expires_is_announced_once_with_its_last_state() -> None:
    rig = a_ring()
    rig.save("a", ID, {MAX_IDLE: msgpack.packb(60)}, create=True)
    rig.pass_time(200, step_s=1)
    assert heard(rig) == [("a", "created"), ("a", "expired")]
    rig.end("b", ID)
    rig.kill("a")
    rig.pass_time(400, step_s=1)
    assert heard(rig) == [("a", "created"), ("a", "expired")]


def test_a_session_that_expires_soon_is_announced_once_for_each_access() -> None:
    rig = a_ring(settings=Settings(expiring_lead_s=60, sweep_interval_s=10))
    rig.listen(mask=1 << EventKind.EXPIRING)
    rig.save("a", ID, {MAX_IDLE: msgpack.packb(600)}, create=True)
    rig.pass_time(580, step_s=1)
    assert not heard(rig)  # Everyone allows for 60 s more.
    rig.pass_time(50, step_s=1)
    assert heard(rig) == [("a", "expiring")]
    rig.find("c", ID, touch=True)
    rig.pass_time(580, step_s=1)
    assert heard(rig) == [("a", "expiring")]
    rig.pass_time(200, step_s=1)
    assert heard(rig) == [("a", "expiring")] * 2


def test_a_takeover_and_a_hand_back_are_announced_once_for_a_home() -> None:
    rig = a_ring()
    rig.listen(mask=1 << EventKind.FAILED_OVER)
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(20)
    rig.begin("a")
    rig.listen("a", mask=1 << EventKind.FAILED_OVER)
    rig.pass_time(20)
    told = [
        (name, what.home, what.before, what.after, what.sessions)
        for name, what in rig.heard
        if isinstance(what, Takeover)
    ]
    assert told == [("b", "a", "a", "b", 1), ("a", "a", "b", "a", 1)]


def test_changes_are_told_by_the_names_of_attributes_where_the_member_acts() -> None:
    rig = a_ring()
    rig.listen(mask=1 << EventKind.CHANGED)
    rig.create("a", ID, cart=b"\x01")
    rig.save("b", ID, {b"user": b"\x02", b"cart": None})
    told = [(name, what.names) for name, what in rig.heard if isinstance(what, Announcement)]
    assert told == [("a", (b"cart", b"user"))]


def an_end(state: bytes) -> Announcements:
    return Announcements("a", Stamp(0), False, [ID, EventKind.DELETED, 1 << 60, state, b""])


def test_an_end_waits_for_a_member_that_has_had_the_session() -> None:
    rig = a_ring()
    state = Record({b"cart": bytes(8) + b"\x01"}).portable(rig.now)
    rig.deliver(rig.link("b", "a"), "b", an_end(b""))
    rig.deliver(rig.link("c", "a"), "c", an_end(state))
    rig.deliver(rig.link("b", "a"), "b", an_end(b""))
    rig.pass_time(5)
    assert [(who, what.state) for who, what in rig.heard if isinstance(what, Announcement)] == [
        ("a", state)
    ]


def test_an_end_of_a_session_that_no_member_has_had_is_announced_all_the_same() -> None:
    rig = a_ring()
    rig.deliver(rig.link("b", "a"), "b", an_end(b""))
    rig.run()
    assert not rig.heard
    rig.pass_time(5)
    assert heard(rig) == [("a", "deleted")]


def test_a_drained_member_leaves_when_the_others_know_what_was_announced() -> None:
    """What it says last may be on its way, and would be announced again if it did not arrive."""
    rig = a_ring()
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.perform("a", rig.replicas["a"].drain(rig.now))
    rig.pass_time(2)
    rig.hold_back("a", "b", Announcements)
    rig.end_business("a")
    rig.pass_time(2)
    assert not rig.replicas["a"].drained
    rig.let_go()
    rig.pass_time(1)
    assert rig.replicas["a"].drained


def test_who_has_taken_over_says_so_again_where_the_link_has_lost_its_word() -> None:
    """The link of the other direction lives, so who has handed over has no reason to repeat it."""
    rig = a_ring()
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.perform("a", rig.replicas["a"].drain(rig.now))
    rig.pass_time(2)
    rig.hold_back("b", "a", Announcements)
    rig.end_business("a")
    rig.pass_time(2)
    assert not rig.replicas["a"].drained
    rig.break_off(rig.link("b", "a"))
    rig.let_go()
    rig.pass_time(2)
    assert rig.replicas["a"].drained


def test_a_drained_member_waits_for_no_word_of_one_that_is_lost_when_nobody_listens() -> None:
    """Who has taken over is told, stops listening as all do, and is lost before it says so."""
    rig = a_ring()
    rig.busy.add("a")
    rig.create("a", ID, cart=b"\x01")
    rig.perform("a", rig.replicas["a"].drain(rig.now))
    rig.pass_time(2)
    rig.hold_back("b", "a", Announcements)
    rig.end_business("a")
    rig.pass_time(2)
    assert not rig.replicas["a"].drained
    rig.listen(mask=0)
    rig.kill("b")
    rig.pass_time(30)
    assert rig.replicas["a"].drained


def test_who_begins_to_hold_a_home_takes_nothing_old_for_news() -> None:
    """It has run for long, and whoever acts is lost before it has told what waits."""
    rig = a_ring()
    rig.pass_time(1)
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", OTHER, cart=b"\x01")
    rig.end("a", OTHER)
    rig.pass_time(400, step_s=1)
    rig.hold_back("b", "c", Announcements)
    rig.kill("a")
    rig.pass_time(2)
    rig.kill("b")
    rig.pass_time(30)
    assert "a" in rig.replicas["c"].claims
    assert heard(rig) == [("a", "created"), ("a", "created"), ("a", "deleted")]
