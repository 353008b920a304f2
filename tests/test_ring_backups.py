"""Who is nobody's home: backups, which hold and act, and the departed, which have heirs."""

from attrs import evolve
from replicas import Rig
from samples import ring_of, session

from ring.messages import Found, Saved
from ring.placement import Departed, Member, Ring

ID = session("a", 7)


def with_backup() -> Ring:
    """Return a ring of a, b and c, of which b is only a backup."""
    ring = ring_of("abc")
    return evolve(ring, members=(ring.members[0], Member("b", "b:1", backup=True), ring.members[2]))


def test_a_backup_is_nobodys_home_and_what_is_created_there_is_the_next_members() -> None:
    """Without it, a small machine that is only to hold copies would own every session made there.

    Nothing is refused: an application on that host goes on as if it were a client.
    """
    rig = Rig(ring=with_backup())
    assert {name: rig.replicas[name].home_for_new() for name in "abc"} == {
        "a": "a",
        "b": "c",
        "c": "c",
    }
    made = session("c", 1)
    reply = rig.create("b", made, cart=b"\x01").reply
    assert isinstance(reply, Saved)
    assert reply.holders == ("c", "a")
    rig.kill("c")
    assert rig.replicas["b"].home_for_new() == "a"


def test_a_backup_holds_and_acts_for_others() -> None:
    rig = Rig(ring=with_backup())
    assert rig.create("a", ID, cart=b"\x01").reply == Saved(1, ("a", "b"), ("a",), False)
    rig.kill("a")
    assert "a" in rig.replicas["b"].claims
    assert isinstance(rig.find("b", ID).reply, Found)


def test_the_sessions_of_a_departed_member_are_served_by_its_heir() -> None:
    """Without an heir the ids that it has given away would be nobody's from one day to the next."""
    rig = Rig("ab", ring=evolve(ring_of("ab"), departed=(Departed("z", "b"),)))
    assert "z" in rig.replicas["b"].claims
    old = session("z", 1)
    reply = rig.create("a", old, cart=b"\x01").reply
    assert isinstance(reply, Saved)
    assert reply.holders == ("b", "a")
    rig.kill("b")
    assert isinstance(rig.find("a", old).reply, Found)


def test_nobody_waits_at_a_cold_start_for_a_departed_member_that_is_gone() -> None:
    """Its address is still in the ring, but whoever has stopped for good is never up again."""
    rig = Rig("ab", ring=evolve(ring_of("ab"), departed=(Departed("z", "b", "z:1"),)))
    assert rig.is_ready("a", "b")
    assert rig.notices("ready_alone") == []
    assert rig.notices("member_gone") == ["a", "b"]
    assert rig.notices("member_down") == []
