"""What waits on a link, in which order it leaves, and that each wake brings all of it."""

import pytest
from replicas import Rig
from samples import IDS, NOW, session

from ring.effects import Wake
from ring.entry import EXPIRED, NIL, make_entry
from ring.identity import LinkId
from ring.messages import (
    Absent,
    Acks,
    Changes,
    Compare,
    Compared,
    Failed,
    Find,
    Found,
    Members,
    Message,
    Status,
)
from ring.record import Record
from ring.settings import Settings

ID = IDS[0]
SESSIONS = [session("a", number << 100) for number in range(20)]


def drain(rig: Rig, name: str, link: LinkId) -> list[Message]:
    """Take all that waits on a link."""
    messages = list[Message]()
    while (message := rig.replicas[name].take(link, rig.now)) is not None:
        messages.append(message)
    return messages


def test_a_link_is_woken_once_for_all_that_comes_together() -> None:
    """The driver then takes until there is nothing left."""
    rig = Rig("ab", stores=False)
    link = rig.link("a", "b").dialled
    rig.hold_back("a", "b")
    rig.effects.clear()
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=b"\x01")
    assert [each for _, each in rig.effects if each == Wake(link)] == [Wake(link)]
    (changes,) = drain(rig, "a", link)
    assert isinstance(changes, Changes)
    assert changes.flat[::3] == SESSIONS
    rig.effects.clear()
    rig.create("a", session("a", 3), cart=b"\x01")
    assert Wake(link) in [each for _, each in rig.effects]


def test_a_status_goes_before_changes_and_only_the_newest() -> None:
    """Liveness does not wait behind a recovery, and an older word has nothing to say."""
    rig = Rig("ab", stores=False)
    rig.hold_back("a", "b")
    rig.create("a", ID, cart=b"\x01")
    for _ in range(3):
        rig.pass_time(0.5)
    messages = drain(rig, "a", rig.link("a", "b").dialled)
    assert [type(each) for each in messages] == [Status, Changes]


def test_acknowledgements_go_first_then_answers_then_what_was_compared() -> None:
    """Receipts wait for acknowledgements; a recovery has time."""
    rig = Rig("ab", stores=False)
    rig.create("b", session("b", 1), cart=b"\x01")
    rig.hold_back("b", "a")
    connection = rig.link("a", "b")
    rig.deliver(connection, "a", Compare("b", 100, b""))
    rig.deliver(connection, "a", Find(100, session("b", 1), False, True))
    rig.deliver(
        connection, "a", Status(rig.replicas["a"]._core.clock.last, True, True, 0, (), False)
    )
    rig.create("a", ID, cart=b"\x01")
    kinds = [type(each) for each in drain(rig, "b", connection.accepted)]
    assert kinds[:3] == [Acks, Status, Found]
    assert kinds[-1] is Compared
    assert len(kinds) == 5


def test_a_comparison_is_answered_on_a_link_that_is_never_empty() -> None:
    """One so slow that heartbeats and answers fill it kept a member unsettled for good."""
    rig = Rig("ab", stores=False)
    rig.create("b", session("b", 1), cart=b"\x01")
    rig.hold_back("b", "a")
    connection = rig.link("a", "b")
    rig.deliver(connection, "a", Compare("b", 100, b""))
    taken = list[type]()
    for number in range(100, 110):
        rig.deliver(connection, "a", Find(number, session("b", 1), False, True))
        message = rig.replicas["b"].take(connection.accepted, rig.now)
        taken.append(type(message))
    assert taken[:4] == [Found] * 4
    assert Compared in taken


def test_changes_leave_on_a_link_that_is_never_empty() -> None:
    """Else whoever forwards more than a link takes has no receipt for anything."""
    rig = Rig("ab", stores=False)
    rig.hold_back("a", "b")
    link = rig.link("a", "b").dialled
    rig.create("a", ID, cart=b"\x01")
    taken = list[type]()
    for number in range(10):
        rig.find("a", session("b", number))
        message = rig.replicas["a"].take(link, rig.now)
        taken.append(type(message))
    assert Changes in taken
    assert taken[0] is not Changes


def test_differences_are_answered_in_frames_of_bounded_size() -> None:
    """What does not fit is acknowledged later, in order."""
    rig = Rig("ab", settings=Settings(frame_fill_bytes=300), stores=False)
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=bytes(100))
    for session_id in SESSIONS:
        record = rig.replicas["b"].record(session_id)
        assert record is not None
        record.put(b"only-b", make_entry(record.stamp(), NIL))
        rig.replicas["b"]._core.table.put(session_id, record)
    rig.sent.clear()
    rig.hold_back("a", "b")
    asked = [rig.save("a", session_id, {b"color": b"\x01"}) for session_id in SESSIONS]
    rig.let_go()
    acks = [each.message for each in rig.sent if isinstance(each.message, Acks)]
    assert len(acks) > 5
    assert [each.upto for each in acks] == sorted(each.upto for each in acks)
    for each in acks:
        assert (
            sum(len(portable) for _, portable in each.different) <= 300 or len(each.different) == 1
        )
    assert not any(each.waits for each in asked)
    tables = [rig.replicas[name]._core.table for name in "ab"]
    assert tables[0].buckets("a") == tables[1].buckets("a")


def test_differences_are_answered_in_frames_of_bounded_number() -> None:
    rig = Rig("ab", stores=False)
    many = [session("a", number << 90) for number in range(600)]
    for session_id in many:
        rig.create("a", session_id)
    for session_id in many:
        rig.replicas["b"]._core.table.drop(session_id)
    rig.hold_back("a", "b")
    for session_id in many:
        rig.save("a", session_id, {b"color": b"\x01"})
    rig.hold_back("b", "a")
    rig.let_go("a")
    rig.sent.clear()
    rig.let_go()
    acks = [each.message for each in rig.sent if isinstance(each.message, Acks)]
    assert [len(each.different) for each in acks[:2]] == [512, 88]
    assert rig.replicas["b"].counts() == rig.replicas["a"].counts()


def test_everything_known_of_a_connection_dies_with_it() -> None:
    """What was pending is covered by the comparison at the next one."""
    rig = Rig("ab", stores=False)
    rig.hold_back("a", "b")
    rig.create("a", ID, cart=b"\x01")
    link = rig.link("a", "b").dialled
    rig.kill("b")
    assert rig.replicas["a"].take(link, rig.now) is None
    rig.held_back.clear()
    rig.start("b")
    assert rig.replicas["b"].record(ID) == rig.replicas["a"].record(ID)
    assert [*drain(rig, "a", link)] == []


def test_what_a_client_is_told_first_is_owed_to_nobody() -> None:
    rig = Rig("ab", stores=False)
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    replica.on_message(link, Find(1, session("z", 1), False, False), rig.now)
    assert drain(rig, "a", link) == [Members("rig", ("a", "b"), ("a:1", "b:1")), Absent(1)]


def test_a_record_that_is_gone_before_its_frame_goes_as_nothing_and_is_brought_back() -> None:
    """The peer has more, and says so."""
    rig = Rig("ab", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.replicas["a"]._core.table.drop(ID)
    rig.let_go()
    kept = rig.replicas["b"].record(ID)
    assert kept is not None
    assert kept == rig.replicas["a"].record(ID)
    assert EXPIRED not in kept.entries


def test_answers_of_other_members_wait_on_a_link_up_to_a_limit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A client that asks and does not read costs no more than that."""
    monkeypatch.setattr("ring.links.PASSING_BYTES_MAX", 500)
    rig = Rig("ab", stores=False)
    rig.create("b", session("b", 1), cart=bytes(150))
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    replica.take(link, rig.now)

    def ask(number: int) -> None:
        find = Find(number, session("b", 1), False, False)
        rig.perform("a", replica.on_message(link, find, rig.now))
        rig.run()

    for number in range(4):
        ask(number)
    kinds = [type(each) for each in drain(rig, "a", link)]
    assert kinds == [Found, Found, Failed, Failed]
    ask(4)
    assert [type(each) for each in drain(rig, "a", link)] == [Found]


def test_an_answer_is_as_fresh_as_the_frame() -> None:
    """What waits on a link is an id; the record is read when there is room."""
    rig = Rig("ab", stores=False)
    rig.create("a", ID, cart=b"\x01")
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    replica.on_message(link, Find(1, ID, False, False), rig.now)
    replica.on_message(link, Find(2, ID, False, False), rig.now)
    rig.save("a", ID, {b"cart": b"\x02"})
    _, found = (replica.take(link, rig.now) for _ in range(2))
    assert isinstance(found, Found)
    assert Record.from_portable(found.portable, NOW).value(b"cart") == b"\x02"
    rig.end("a", ID)
    assert drain(rig, "a", link) == [Absent(2)]
