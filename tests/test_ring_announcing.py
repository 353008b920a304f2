"""Every life-cycle event is delivered at least once, and exactly once where nothing goes wrong."""

from replicas import Rig
from samples import session

from ring.announcements import Announcement
from ring.record import Record
from ring.settings import Settings

ID, OTHER = session("a", 7), session("a", 8)


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
