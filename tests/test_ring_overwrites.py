"""In development a ring says which attributes two nodes have overwritten for each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import NOW, session

from ring import overwrites
from ring.clock import Stamp
from ring.effects import Notice
from ring.entry import make_entry
from ring.overwrites import Overwrites
from ring.record import Record
from ring.settings import Settings
from ring.structured import Kind, ensuring, member_key

ID = session("a", 7)


def a_ring(*, warns: bool = True) -> Rig:
    rig = Rig("abc", 2, Settings(warn_overwrites=warns))
    rig.create("a", ID, cart=b"\x01", color=b"\x01")
    rig.pass_time(1)
    rig.effects.clear()
    return rig


def cut_off(rig: Rig, name: str = "a") -> None:
    """Cut one member off from the others, until each side acts by itself."""
    for other in "abc".replace(name, ""):
        rig.cut(name, other)
    rig.pass_time(20)


def heal(rig: Rig, name: str = "a") -> None:
    for other in "abc".replace(name, ""):
        rig.heal(name, other)
        rig.heal(other, name)
    rig.pass_time(20)


def told(rig: Rig) -> set[object]:
    """Return the attributes of which somebody says that they were overwritten."""
    notices = [
        each
        for _, each in rig.effects
        if isinstance(each, Notice) and each.event == "attribute_overwritten"
    ]
    assert all(each.alarming and each.session_id == ID for each in notices)
    assert not any(ID.decode() in str(each.fields) for each in notices)
    return {each.fields["attribute"] for each in notices}


@pytest.mark.parametrize("last", ["a", "b"])
def test_two_sides_of_a_cut_that_write_one_attribute_are_told_whoever_wins(last: str) -> None:
    rig = a_ring()
    cut_off(rig)
    for name in ("b", "a") if last == "a" else ("a", "b"):
        rig.save(name, ID, {b"cart": name.encode()})
        rig.pass_time(1)
    heal(rig)
    assert told(rig) == {"cart"}
    record = rig.replicas["b"].record(ID)
    assert record is not None
    assert record.value(b"cart") == last.encode()


def test_what_only_one_side_writes_is_no_overwrite() -> None:
    for name in "ab":
        rig = a_ring()
        cut_off(rig)
        rig.save(name, ID, {b"cart": b"\x02"})
        rig.save(name, ID, {b"cart": b"\x03"})
        heal(rig)
        assert told(rig) == set()


def test_different_attributes_of_both_sides_are_none_either() -> None:
    rig = a_ring()
    cut_off(rig)
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.save("b", ID, {b"color": b"\x02"})
    heal(rig)
    assert told(rig) == set()


def test_nor_is_the_same_value() -> None:
    rig = a_ring()
    cut_off(rig)
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.save("b", ID, {b"cart": b"\x02"})
    heal(rig)
    assert told(rig) == set()


def test_nor_are_members_of_which_each_counts() -> None:
    rig = a_ring()
    rig.save("a", ID, {b"m": ensuring(Kind.MAP), member_key(b"m", b"\x01"): b"\x01"})
    cut_off(rig)
    for name in "ab":
        rig.save(name, ID, {member_key(b"m", b"\x01"): name.encode()})
    heal(rig)
    assert told(rig) == set()


def test_what_goes_from_hand_to_hand_is_no_overwrite() -> None:
    """Through kills, takeovers, returns and drains each writer has seen what was there."""
    rig = a_ring()
    number = 1
    for step in ("kill a", "", "start a", "", "kill b", "start b", "", "kill c", "", "start c"):
        what, _, name = step.partition(" ")
        if what == "kill":
            rig.kill(name)
        elif what == "start":
            rig.start(name)
        rig.pass_time(20)
        for writer in rig.replicas:
            number += 1
            rig.save(writer, ID, {b"cart": bytes([number])})
    rig.pass_time(20)
    assert told(rig) == set()


def test_a_removal_on_one_side_is_an_overwrite_as_well() -> None:
    rig = a_ring()
    cut_off(rig)
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.pass_time(1)
    rig.save("b", ID, {b"cart": None})
    heal(rig)
    assert told(rig) == {"cart"}


def test_nobody_is_told_unless_it_was_asked_for() -> None:
    rig = a_ring(warns=False)
    cut_off(rig)
    rig.save("a", ID, {b"cart": b"\x02"})
    rig.save("b", ID, {b"cart": b"\x03"})
    heal(rig)
    assert told(rig) == set()
    assert rig.replicas["a"]._core.overwrites is None


def test_so_many_sessions_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overwrites, "SESSIONS_MAX", 3)
    memory = Overwrites()
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), b"\x01"))
    for number in range(10):
        memory.note_written(session("a", number), {}, record)
    assert list(memory._written) == [session("a", number) for number in (7, 8, 9)]


writes = st.lists(st.tuples(st.booleans(), st.booleans()), max_size=30)


@given(writes)
def test_what_is_told_has_neither_seen_the_other(steps: list[tuple[bool, bool]]) -> None:
    """The dumb model keeps, for each value, all values that its writer had seen."""
    memory, stamp = Overwrites(), 1
    ours, theirs = Record(), Record()
    seen: dict[bytes, set[bytes]] = {}
    for is_ours, meets in steps:
        record = ours if is_ours else theirs
        stamp += 1
        before = dict(record.entries)
        entry = make_entry(Stamp(stamp), bytes([stamp]))
        old = before.get(b"cart")
        seen[entry] = {old, *seen[old]} if old is not None else set()
        record.put(b"cart", entry)
        if record is ours:
            memory.note_written(ID, before, record)
        if meets and b"cart" in ours.entries and b"cart" in theirs.entries:
            one, other = ours.entries[b"cart"], theirs.entries[b"cart"]
            if list(memory.found(ID, ours, theirs)):
                assert other not in seen[one]
                assert one not in seen[other]
            ours.merge(theirs)
            seen[ours.entries[b"cart"]] |= {one, other, *seen[one], *seen[other]}
            theirs = Record.from_portable(ours.portable(NOW), NOW)
            memory.note_known(ID)
