"""Maps and counters on two sides of a cut, in a ring: what both have added is everywhere."""

import pytest
from replicas import Rig
from samples import NOW, session

from ring.clock import Stamp
from ring.messages import Changes, Failed, Failure, Found, Saved
from ring.record import Record
from ring.structured import (
    Kind,
    ensuring,
    marker,
    member_key,
    members,
    shard_entry,
    shard_key,
    total,
)

ID = session("a", 7)
CART, APPLE, PEAR = b"cart", member_key(b"cart", b"apple"), member_key(b"cart", b"pear")
MAP = ensuring(Kind.MAP)
COUNTER = ensuring(Kind.COUNTER)
PAIRS = (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a"))


def a_ring() -> Rig:
    rig = Rig("abc", stores=False)
    rig.create("a", ID, color=b"\x01")
    return rig


def save(rig: Rig, name: str, **changes: tuple[bytes, bytes | None]) -> None:
    reply = rig.save(name, ID, dict(changes.values())).reply
    assert isinstance(reply, Saved), reply


def cut_off(rig: Rig) -> None:
    rig.cut("a", "b")
    rig.cut("a", "c")


def heal(rig: Rig) -> None:
    rig.now += 1
    for pair in PAIRS:
        rig.heal(*pair)
    rig.pass_time(2)


def read(rig: Rig, name: str) -> Record:
    reply = rig.find(name, ID).reply
    assert isinstance(reply, Found), reply
    return Record.from_portable(reply.portable, NOW)


@pytest.mark.parametrize("first", ["a", "b"])
def test_what_two_sides_add_to_a_map_that_neither_had_is_in_it(first: str) -> None:
    """No lost attribute. As one plain value under the name, the later dict would win everywhere.

    Were the floor of a new map stamped like the addition, the map of the later side would end
    what the other had added.
    """
    rig = a_ring()
    cut_off(rig)
    second = "b" if first == "a" else "a"
    save(rig, first, floor=(CART, MAP), member=(APPLE, b"\x01"))
    rig.now += 1
    save(rig, second, floor=(CART, MAP), member=(PEAR, b"\x02"))
    heal(rig)
    for name in "abc":
        expected = {b"apple": b"\x01", b"pear": b"\x02"}
        assert members(read(rig, name).entries, CART) == expected
    assert rig.replicas["a"].record(ID) == rig.replicas["b"].record(ID)


def test_what_was_emptied_on_one_side_keeps_only_what_came_later_on_the_other() -> None:
    """And it does so at once everywhere: no member comes back by a copy that had not heard."""
    rig = a_ring()
    save(rig, "a", floor=(CART, MAP), member=(APPLE, b"\x01"))
    cut_off(rig)
    save(rig, "b", member=(PEAR, b"\x02"))
    rig.now += 1
    save(rig, "a", floor=(CART, marker(Kind.MAP)))
    rig.now += 1
    save(rig, "b", member=(member_key(CART, b"plum"), b"\x03"))
    heal(rig)
    for name in "abc":
        assert members(read(rig, name).entries, CART) == {b"plum": b"\x03"}
    assert rig.replicas["a"].record(ID) == rig.replicas["b"].record(ID)


def test_a_new_floor_travels_alone_and_ends_the_members_of_the_backup() -> None:
    """The digest after it is the same on both sides: no second round, and no repair."""
    rig = a_ring()
    save(rig, "a", floor=(CART, MAP), one=(APPLE, b"\x01"), other=(PEAR, b"\x02"))
    rig.sent.clear()
    save(rig, "a", floor=(CART, marker(Kind.MAP)))
    sent = [each.message for each in rig.sent if isinstance(each.message, Changes)]
    ((_, _, portable),) = [message.flat for message in sent]
    assert isinstance(portable, bytes)
    assert Record.from_portable(portable, NOW).keys() == {CART}
    backup = rig.replicas["b"].record(ID)
    assert backup == rig.replicas["a"].record(ID)
    assert backup is not None
    assert backup.parts(CART) == ()


def test_what_two_nodes_add_to_a_counter_at_once_is_counted_once_each() -> None:
    """Two forwarded increments, on two sides of a cut; one of them is sent again afterwards.

    With the node's name as token, or a stamp of the acting owner's on the total, the one that
    comes late would take back what its writer has added since.
    """
    rig = a_ring()
    save(rig, "a", floor=(b"visits", COUNTER))
    cut_off(rig)
    mine, theirs = (shard_key(b"visits", Stamp(1), each * 8) for each in (b"1", b"2"))
    save(rig, "a", shard=(mine, shard_entry(1, 5)))
    save(rig, "a", shard=(mine, shard_entry(2, 6)))
    save(rig, "c", shard=(theirs, shard_entry(1, 10)))
    rig.now += 1
    save(rig, "b", shard=(mine, shard_entry(1, 5)))
    heal(rig)
    for name in "abc":
        assert total(read(rig, name).entries, b"visits") == 16


def test_who_restarts_counts_under_a_new_token_and_loses_nothing() -> None:
    """Counter restart: what its former self had added stays, whoever still has it."""
    rig = a_ring()
    save(rig, "a", floor=(b"visits", COUNTER))
    former, later = (shard_key(b"visits", Stamp(1), each * 8) for each in (b"1", b"2"))
    save(rig, "a", shard=(former, shard_entry(3, 30)))
    rig.kill("a")
    save(rig, "b", shard=(later, shard_entry(1, 1)))
    rig.start("a")
    rig.pass_time(2)
    assert total(read(rig, "a").entries, b"visits") == 31


def test_a_member_without_a_map_is_refused_at_whoever_acts() -> None:
    rig = a_ring()
    for name in "ab":
        reply = rig.save(name, ID, {APPLE: b"\x01"}).reply
        assert isinstance(reply, Failed)
        assert reply.failure is Failure.INVALID
