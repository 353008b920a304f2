"""Changes on their way: only what changed travels, everything is merged, news goes on, once."""

from replicas import Rig
from samples import IDS, NOW, session

from ring.clock import Stamp
from ring.effects import Persist
from ring.entry import ACCESSED, ENDED, MAX_IDLE, make_entry
from ring.messages import Absent, Acks, Changes, Durability, Failed, Failure, Found, Saved
from ring.packed import EMPTY_FRAGMENT
from ring.record import Record

ID = IDS[0]
TEN: dict[bytes, bytes | None] = {b"key-%d" % number: b"\x01" for number in range(10)}


def a_ring(names: str = "abc", copies: int = 2) -> Rig:
    """Return a ring with one session of a, and nothing sent yet."""
    rig = Rig(names, copies, stores=False)
    rig.save("a", ID, TEN, create=True)
    rig.sent.clear()
    rig.effects.clear()
    return rig


def changes_sent(rig: Rig, sender: str = "") -> list[tuple[str, str, Record]]:
    """Return sender, receiver and content of every change that was sent."""
    return [
        (each.sender, each.receiver, Record.from_portable(bytes(portable), NOW))
        for each in rig.sent
        if isinstance(each.message, Changes) and each.sender.startswith(sender)
        for portable in each.message.flat[2::3]
        if isinstance(portable, bytes)
    ]


def assert_same_everywhere(rig: Rig, *names: str) -> None:
    first = rig.replicas[names[0]].record(ID)
    assert first is not None
    for name in names:
        assert rig.replicas[name].record(ID) == first


# --- What travels ---


def test_one_changed_attribute_of_ten_sends_one_entry_to_one_backup() -> None:
    rig = a_ring()
    rig.save("a", ID, {b"key-3": b"\x02"})
    ((sender, receiver, part),) = changes_sent(rig)
    assert (sender, receiver) == ("a", "b")
    assert part.keys() == {b"key-3"}
    assert part.value(b"key-3") == b"\x02"
    assert_same_everywhere(rig, "a", "b")


def test_changes_made_while_the_link_is_busy_travel_together() -> None:
    rig = a_ring()
    rig.hold_back("a", "b")
    for number in range(10):
        rig.save("a", ID, {b"key-%d" % (number % 2): bytes([number])})
    rig.let_go()
    ((_, _, part),) = changes_sent(rig)
    assert part.keys() == {b"key-0", b"key-1"}
    assert part.value(b"key-1") == b"\x09"


def test_a_removed_attribute_travels_as_removed() -> None:
    rig = a_ring()
    rig.save("a", ID, {b"key-3": None})
    assert_same_everywhere(rig, "a", "b")
    record = rig.replicas["b"].record(ID)
    assert record is not None
    assert b"key-3" in record.entries
    assert record.value(b"key-3") is None


def test_a_read_on_the_acting_owner_sends_nothing() -> None:
    rig = a_ring()
    for touch in (False, True):
        assert isinstance(rig.find("a", ID, touch=touch).reply, Found)
        found, effects = rig.replicas["a"].read(ID, touch, rig.now)
        assert isinstance(found, Found)
        assert effects == []
    assert rig.sent == []


def test_touches_travel_at_most_once_per_allowance() -> None:
    """A touch is kept beside the entry, and becomes the entry, once per min(60 s, max idle/10)."""
    rig = Rig(stores=False)
    rig.save("a", ID, {MAX_IDLE: b"\x64"}, create=True)  # 100 s: an allowance of 10 s
    rig.sent.clear()
    for _ in range(40):
        rig.now += 0.9
        assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    touches = changes_sent(rig)
    assert len(touches) == 3
    assert all(part.keys() == {ACCESSED} for _, _, part in touches)
    assert_same_everywhere(rig, "a", "b")


def test_a_look_that_is_no_access_never_touches() -> None:
    rig = a_ring()
    rig.now += 120
    rig.find("a", ID, touch=False)
    assert rig.sent == []
    rig.find("a", ID, touch=True)
    assert [part.keys() for _, _, part in changes_sent(rig)] == [{ACCESSED}]


def test_a_write_touches_as_well_and_as_seldom() -> None:
    """It counts as an access; a session that is written all the time does not travel twice."""
    rig = a_ring()
    rig.save("a", ID, {b"key-1": b"\x02"})
    rig.now += 61
    rig.save("a", ID, {b"key-1": b"\x03"})
    rig.save("a", ID, {b"key-1": b"\x04"})
    keys = [part.keys() for _, _, part in changes_sent(rig)]
    assert keys == [{b"key-1"}, {b"key-1", ACCESSED}, {b"key-1"}]


def test_an_end_travels_as_a_whole_tombstone() -> None:
    rig = a_ring()
    rig.end("a", ID)
    ((_, _, end),) = changes_sent(rig)
    assert end.keys() == {ENDED}
    assert end.whole
    assert_same_everywhere(rig, "a", "b")


# --- Who has something else ---


def test_a_backup_that_has_nothing_of_it_gets_all_of_it() -> None:
    """A delta that lands on nothing must not become a session with an empty cart."""
    rig = a_ring()
    rig.replicas["b"]._core.table.drop(ID)
    rig.save("a", ID, {b"key-3": b"\x02"})
    parts = [part for _, _, part in changes_sent(rig, "a")]
    assert [part.keys() == {b"key-3"} for part in parts] == [True, False]
    assert_same_everywhere(rig, "a", "b")
    assert rig.replicas["b"]._core.table.fragments("a") == 0


def test_a_backup_that_has_more_brings_it() -> None:
    """It answers with its own record; both have everything after one change."""
    rig = a_ring()
    record = rig.replicas["b"].record(ID)
    assert record is not None
    record.put(b"only-b", make_entry(record.stamp(), b"\x07"))
    rig.replicas["b"]._core.table.put(ID, record)
    rig.save("a", ID, {b"key-3": b"\x02"})
    assert_same_everywhere(rig, "a", "b")
    kept = rig.replicas["a"].record(ID)
    assert kept is not None
    assert kept.value(b"only-b") == b"\x07"


def test_what_is_missing_after_a_difference_is_sent_and_no_more() -> None:
    """The peer's own record tells which entries it lacks."""
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    record.put(b"only-a", make_entry(record.stamp(), b"\x07"))
    rig.replicas["a"]._core.table.put(ID, record)
    rig.save("a", ID, {b"key-3": b"\x02"})
    keys = [part.keys() for _, _, part in changes_sent(rig, "a")]
    assert keys == [{b"key-3"}, {b"only-a"}]
    assert_same_everywhere(rig, "a", "b")


def test_a_backup_that_knows_of_the_end_ends_it_everywhere() -> None:
    """A delta that arrives for an ended session is answered with the tombstone."""
    rig = a_ring()
    record = rig.replicas["b"].record(ID)
    assert record is not None
    record.end(2, "b", record.stamp())  # type: ignore[arg-type]
    rig.replicas["b"]._core.table.put(ID, record)
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, {b"key-3": b"\x02"})
    rig.let_go()
    assert isinstance(asked.reply, Saved)
    assert_same_everywhere(rig, "a", "b")
    assert isinstance(rig.find("a", ID).reply, Absent)


def test_ended_wins_over_a_save_that_was_stamped_later() -> None:
    """Logout on one side of a cut, a request about to save on the other."""
    rig = a_ring()
    rig.cut("a", "b")
    rig.cut("a", "c")
    assert isinstance(rig.end("b", ID).reply, Saved)
    rig.now += 5
    assert isinstance(rig.save("a", ID, {b"key-1": b"\x05"}).reply, Saved)
    for pair in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")):
        rig.heal(*pair)
    assert_same_everywhere(rig, "a", "b")
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Absent)
        reply = rig.save(name, ID, {b"key-1": b"\x06"}).reply
        assert isinstance(reply, Failed)
        assert reply.failure is Failure.GONE


def test_changes_to_different_attributes_on_two_sides_of_a_cut_all_survive() -> None:
    """No lost attribute: source, the project's promise 5."""
    rig = a_ring()
    rig.cut("a", "b")
    rig.cut("a", "c")
    rig.save("b", ID, {b"key-1": b"\x11", b"key-3": b"\x13"})
    rig.now += 1
    rig.save("a", ID, {b"key-2": b"\x12", b"key-3": b"\x23"})
    for pair in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")):
        rig.heal(*pair)
    assert_same_everywhere(rig, "a", "b")
    record = rig.replicas["a"].record(ID)
    assert record is not None
    assert record.value(b"key-1") == b"\x11"
    assert record.value(b"key-2") == b"\x12"
    assert record.value(b"key-3") == b"\x23"


# --- Passing on ---


def test_news_goes_on_to_the_holders_but_not_to_where_it_came_from() -> None:
    rig = a_ring("abcd", copies=3)
    record, part = rig.replicas["b"].record(ID), Record()
    assert record is not None
    part.put(b"key-3", make_entry(Stamp(record.stamp() + 1), b"\x09"))
    record.merge(part)
    rig.replicas["b"]._core.table.put(ID, record)
    rig.sent.clear()
    change = Changes([ID, record.digest, part.portable(NOW, {b"key-3"})])
    rig.deliver(rig.link("b", "a"), "b", change)
    rig.run()
    # c does not know that b told a; b does, and it is no news to b.
    assert [(s, r) for s, r, _ in changes_sent(rig)] == [("a", "c"), ("c", "b")]
    rig.sent.clear()
    rig.deliver(rig.link("b", "a"), "b", change)
    rig.run()
    assert changes_sent(rig) == []


def test_what_changed_nothing_is_not_stored_again() -> None:
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    change = Changes([ID, record.digest, record.portable(NOW)])
    rig.deliver(rig.link("a", "b"), "a", change)
    rig.run()
    assert not [each for _, each in rig.effects if isinstance(each, Persist)]


def test_a_fragment_that_makes_a_record_whole_is_stored() -> None:
    """The bit is part of the record: after a restart it must not be missing again."""
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    rig.replicas["b"]._core.table.drop(ID)
    table = rig.replicas["b"]._core.table
    table.merge(ID, Record.from_portable(record.portable(NOW, record.keys()), NOW))
    assert table.fragments("a") == 1
    rig.deliver(rig.link("a", "b"), "a", Changes([ID, record.digest, EMPTY_FRAGMENT]))
    rig.run()
    assert table.fragments("a") == 0
    assert [name for name, each in rig.effects if each == Persist(ID)] == ["b"]


def test_a_question_for_a_session_that_nobody_has_is_acknowledged() -> None:
    rig = a_ring()
    unknown = session("a", 77)
    rig.deliver(rig.link("a", "b"), "a", Changes([unknown, 0, EMPTY_FRAGMENT]))
    rig.run()
    acks = [each.message for each in rig.sent if isinstance(each.message, Acks)]
    assert acks[0].different == ()
    assert rig.replicas["b"].record(unknown) is None


def test_a_stamp_that_was_merged_is_passed_by_the_next_write() -> None:
    """Else the next write, by a clock that is behind, would lose against what it replaces."""
    rig = a_ring()
    record = rig.replicas["a"].record(ID)
    assert record is not None
    ahead = Stamp(record.stamp() + (60_000 << 16))
    part = Record()
    part.put(b"key-3", make_entry(ahead, b"\x09"))
    rig.deliver(rig.link("b", "a"), "b", Changes([ID, 0, part.portable(NOW, {b"key-3"})]))
    rig.run()
    rig.save("a", ID, {b"key-3": b"\x0a"}, durability=Durability.LOCAL)
    after = rig.replicas["a"].record(ID)
    assert after is not None
    assert after.value(b"key-3") == b"\x0a"
