"""Stand-ins give their copies back, and nothing is left with fewer copies than it should have."""

from random import Random

import pytest
from replica_parts import Sent
from replicas import Rig
from samples import NOW, session

from ring.clock import Stamp
from ring.entry import make_entry
from ring.identity import SessionId, new_session_id
from ring.messages import (
    RELEASED_MAX,
    Changes,
    Compared,
    Durability,
    Found,
    Message,
    Offer,
    Offered,
    Release,
    Saved,
    Status,
)
from ring.record import Record
from ring.settings import Settings

ID = session("a", 7)
OTHER = session("a", 8)


def held_by(rig: Rig, session_id: SessionId = ID) -> str:
    held = [name for name, each in rig.replicas.items() if each.record(session_id) is not None]
    return "".join(sorted(held))


def sent(rig: Rig, kind: type[Message]) -> list[Sent]:
    return [each for each in rig.sent if isinstance(each.message, kind)]


def copy_at(rig: Rig, name: str) -> Record:
    record = rig.replicas[name].record(ID)
    assert record is not None
    return record


def with_stand_in(names: str = "abc", copies: int = 2, settings: Settings | None = None) -> Rig:
    """Return a ring in which c has stood in for b, which is away; nothing was offered yet."""
    rig = Rig(names, copies, settings or Settings())
    rig.create("a", ID, cart=b"\x01")
    rig.kill("b")
    rig.pass_time(1)
    assert held_by(rig) == "ac"
    return rig


# --- What it comes to ---


@pytest.mark.parametrize(("names", "copies"), [("abc", 1), ("abc", 2), ("abcd", 3), ("abcde", 2)])
def test_everything_has_exactly_its_copies_when_all_are_back(names: str, copies: int) -> None:
    rig = Rig(names, copies)
    ids = [session(home, number) for home in names for number in range(5)]
    for session_id in ids:
        rig.create(session_id.decode()[0], session_id, cart=b"\x01")
    for name in names:
        rig.kill(name)
        rig.pass_time(1)
        for session_id in ids if copies > 1 else ():
            other = "b" if name == "a" else "a"
            assert isinstance(rig.save(other, session_id, {b"at": name.encode()}).reply, Saved)
        rig.start(name, disk=copies == 1)
        rig.pass_time(5)
        assert rig.is_ready(*names)
        for session_id in ids:
            home = session_id.decode()[0]
            expected = rig.ring.preference_list(home)[:copies]
            assert held_by(rig, session_id) == "".join(sorted(expected))
    for name in names:
        kept = {i for i in ids if name in rig.ring.preference_list(i.decode()[0])[:copies]}
        assert set(rig.disks[name].content) == kept


def test_what_an_owner_wrote_alone_gets_its_copies_and_loses_the_others() -> None:
    rig = with_stand_in()
    rig.kill("a")
    rig.pass_time(1)
    rig.create("c", OTHER, cart=b"\x02")
    rig.start("b", disk=False)
    rig.start("a", disk=False)
    rig.pass_time(5)
    assert held_by(rig) == held_by(rig, OTHER) == "ab"
    for name in "abc":
        assert isinstance(rig.find(name, OTHER).reply, Found)


def test_tombstones_are_released_as_well() -> None:
    rig = with_stand_in()
    rig.end("a", ID)
    rig.start("b")
    rig.pass_time(5)
    assert held_by(rig) == "ab"
    assert copy_at(rig, "a").ended


def test_many_are_offered_a_part_at_a_time() -> None:
    rig = with_stand_in()
    ids = [session("a", number) for number in range(RELEASED_MAX + 100)]
    for session_id in ids:
        rig.create("a", session_id)
    rig.start("b")
    rig.pass_time(6)
    assert rig.replicas["c"].counts()["a"] == 0
    assert rig.replicas["a"].counts()["a"] == len(ids)
    offers = [each.message for each in rig.sent if isinstance(each.message, Offer)]
    sizes = [len(offer.flat) // 2 for offer in offers]
    assert max(sizes) == RELEASED_MAX
    assert len(sizes) < 10


def test_a_ring_that_lacks_holders_frees_nobody() -> None:
    """c keeps its copy as long as b is away, whatever it may offer."""
    rig = with_stand_in()
    rig.pass_time(5)
    offer = Offer("a", release_of(rig, "c").flat)
    rig.deliver(rig.link("c", "a"), "c", offer)
    rig.pass_time(1)
    assert held_by(rig) == "ac"
    assert not sent(rig, Release)


def test_a_stand_in_that_comes_back_brings_what_it_has_and_fetches_nothing() -> None:
    """It would have to be released from all of it at once."""
    rig = Rig("abc")
    rig.create("a", ID)
    for number in range(50):
        rig.create("a", session("a", number))
        rig.create("a", new_session_id("a", Random(number)))
    rig.kill("c")
    rig.disks["c"].content[ID] = rig.disks["a"].content[ID]
    rig.start("c")
    assert rig.replicas["c"].counts()["a"] == 1
    rig.pass_time(5)
    assert rig.replicas["c"].counts()["a"] == 0
    assert held_by(rig) == "ab"


# --- When it must not ---


def until_released(rig: Rig) -> None:
    """Bring b back, and let everything follow but the arrival of the release at c."""
    rig.hold_back("a", "c", Release)
    rig.start("b")
    rig.pass_time(1.5)
    assert held_by(rig) == "abc"


def status(*claims: str) -> Status:
    """Return what a member says that acts for these homes, newer than all that it has said."""
    return Status(Stamp(1), True, True, 1 << 62, claims, False)


def release_of(rig: Rig, name: str) -> Release:
    """Return what would release a member from the state in which it has the session."""
    return Release([ID, copy_at(rig, name).digest])


def test_what_changed_after_the_release_was_written_is_kept() -> None:
    """Without the digest the stand-in would drop what nobody has released it from."""
    rig = with_stand_in()
    until_released(rig)
    fragment = Record({b"x": make_entry(Stamp(1), b"\x09")}).portable(NOW)
    rig.deliver(rig.link("b", "c"), "b", Changes([ID, 0, fragment]))
    rig.run()
    rig.let_go()
    assert held_by(rig) == "abc"
    rig.pass_time(3)
    assert held_by(rig) == "ab"
    assert [copy_at(rig, name).value(b"x") for name in "ab"] == [b"\x09"] * 2


def test_what_differs_is_asked_for_instead() -> None:
    """It may be the only copy of a change, for example one that an old disk has brought back."""
    rig = with_stand_in()
    rig.start("b")
    record = copy_at(rig, "c")
    record.put(b"x", make_entry(Stamp(1), b"\x09"))
    rig.replicas["c"]._core.table.put(ID, record)
    rig.pass_time(4)
    assert held_by(rig) == "ab"
    assert [copy_at(rig, name).value(b"x") for name in "ab"] == [b"\x09"] * 2


def test_a_stand_in_that_is_a_holder_again_keeps_what_it_was_released_from() -> None:
    rig = with_stand_in()
    until_released(rig)
    rig.kill("b")
    rig.hold_back("a", "c")
    rig.let_one_go()
    assert sent(rig, Release)
    assert held_by(rig) == "ac"


def test_who_is_to_hold_again_drops_first_and_is_compared_then() -> None:
    """The owner has lost the other holder, and the stand-in does not know: it obeys the release.

    Were the comparison ahead of the release, it would say that it holds, and then drop.
    """
    rig = with_stand_in()
    until_released(rig)
    rig.cut("a", "b")
    rig.let_go()
    assert "c" in rig.replicas["a"]._core.view.holders("a")
    assert held_by(rig) == "abc"
    sent_to_c = [each.message for each in rig.sent if (each.sender, each.receiver) == ("a", "c")]
    kinds = [type(message) for message in sent_to_c]
    assert Changes in kinds[kinds.index(Release) :]


def test_a_release_that_has_not_left_is_void_when_its_receiver_is_to_hold_again() -> None:
    rig = with_stand_in()
    rig.start("b")
    rig.hold_back("a", "c", Status)
    rig.pass_time(1.5)
    assert rig.replicas["a"]._links.outbound["c"].releases
    rig.cut("a", "b")
    rig.let_go()
    assert not sent(rig, Release)
    assert held_by(rig) == "abc"


def test_a_change_takes_the_place_of_a_release_that_has_not_left() -> None:
    rig = with_stand_in()
    rig.start("b")
    rig.hold_back("a", "c", Status)
    rig.pass_time(1.5)
    owner = rig.replicas["a"]
    assert owner._links.outbound["c"].releases
    owner._replication.mark("c", ID, None)
    assert not owner._links.outbound["c"].releases


def test_while_a_holder_lacks_a_change_nobody_is_freed() -> None:
    rig = with_stand_in()
    rig.start("b")
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, {b"cart": b"\x02"})
    rig.pass_time(2)
    assert isinstance(asked.reply, Saved)
    assert asked.reply.holders == ("a", "c")
    assert held_by(rig) == "abc"
    rig.let_go()
    rig.pass_time(3)
    assert held_by(rig) == "ab"


def test_while_a_holder_is_still_compared_with_nobody_is_freed() -> None:
    rig = with_stand_in()
    rig.hold_back("b", "a", Compared)
    rig.start("b")
    rig.pass_time(2)
    assert held_by(rig) == "abc"
    rig.let_go()
    rig.pass_time(3)
    assert held_by(rig) == "ab"


def test_while_it_is_not_known_that_a_holder_has_all_nobody_is_freed() -> None:
    """A comparison that was given up counts as done for who waits, but not for this."""
    rig = with_stand_in(settings=Settings(suspect_after_s=1e6, settle_timeout_s=2))
    rig.hold_back("b", "a", Compared)
    rig.start("b")
    rig.pass_time(6)
    assert rig.notices("comparison_given_up")
    assert held_by(rig) == "abc"


@pytest.mark.parametrize("name", ["a", "c"])
def test_who_is_named_in_a_receipt_is_not_freed_before_it_is_given(name: str) -> None:
    """The receipt waits for a disk, and tells then who holds the change."""
    rig = with_stand_in(settings=Settings(ack_timeout_s=10))
    if name == "c":
        rig.kill("a")
        rig.pass_time(1)
    rig.disks[name].stuck = True
    asked = rig.save(name, ID, {b"cart": b"\x02"}, durability=Durability.BACKUP_AND_DISK)
    for other in "ab" if name == "c" else "b":
        rig.start(other)
    rig.pass_time(5)
    assert asked.waits
    assert held_by(rig) == "abc"
    rig.pass_time(8)
    assert isinstance(asked.reply, Saved)
    assert {name, "c"} <= set(asked.reply.holders)
    assert held_by(rig) == "ab"


def test_a_stand_in_obeys_only_the_acting_owner() -> None:
    """Two members may act at once; each knows only what its own holders have."""
    rig = with_stand_in("abcd", 2)
    rig.hold_back("a", "c", Release)
    rig.start("b")
    rig.deliver(rig.link("d", "c"), "d", release_of(rig, "c"))
    view = rig.replicas["c"]._core.view
    view.note_status(view.peers["b"], status("a", "b"))
    rig.deliver(rig.link("b", "c"), "b", release_of(rig, "c"))
    assert "c" in held_by(rig)
    rig.deliver(rig.link("a", "c"), "a", release_of(rig, "c"))
    assert "c" not in held_by(rig)


def test_a_release_that_crosses_a_new_claim_is_not_obeyed() -> None:
    """Whoever acts now has not said that its holders have it."""
    rig = with_stand_in("abcd", 2)
    until_released(rig)
    view = rig.replicas["c"]._core.view
    view.note_status(view.peers["a"], status())
    view.note_status(view.peers["b"], status("a", "b"))
    rig.let_go("a")
    assert "c" in held_by(rig)


def test_who_acts_itself_keeps_what_another_releases_it_from() -> None:
    rig = with_stand_in()
    rig.kill("a")
    rig.pass_time(1)
    rig.hold_back("c", "a")
    rig.start("a")
    view = rig.replicas["c"]._core.view
    assert "a" in view.claims
    view.note_status(view.peers["a"], status("a"))
    rig.deliver(rig.link("a", "c"), "a", release_of(rig, "c"))
    assert "c" in held_by(rig)


def test_what_is_still_on_its_way_to_another_is_kept() -> None:
    """It is read from the table when it leaves."""
    rig = with_stand_in()
    until_released(rig)
    rig.hold_back("c", "b")
    rig.replicas["c"]._replication.mark("b", ID, None)
    rig.let_go("a")
    assert "c" in held_by(rig)


def test_two_that_act_at_once_lose_nothing_by_freeing_a_stand_in() -> None:
    """a and b do not reach each other; c keeps for both of them, and d has a copy of before."""
    rig = Rig("abcd", copies=2)
    rig.create("a", ID, cart=b"\x01")
    rig.kill("b", "c")
    rig.pass_time(1)
    assert held_by(rig) == "ad"
    rig.hold_back("d", "a", Offer)
    rig.start("b")
    rig.start("c")
    rig.cut("a", "b")
    rig.pass_time(4)
    assert "a" in rig.replicas["a"].claims & rig.replicas["b"].claims
    rig.save("b", ID, {b"b": b"\x02"}, durability=Durability.BACKUP)
    rig.save("a", ID, {b"a": b"\x03"}, durability=Durability.BACKUP)
    rig.let_go()
    rig.pass_time(4)
    for name in held_by(rig):
        record = copy_at(rig, name)
        assert (record.value(b"a"), record.value(b"b")) == (b"\x03", b"\x02")
    rig.refused.clear()
    rig.heal("a", "b")
    rig.heal("b", "a")
    rig.pass_time(5)
    assert held_by(rig) == "ab"


# --- What peers may not say ---


@pytest.mark.parametrize(
    "message",
    [
        Offer("z", []),
        Offer("a", [session("b", 1), 7]),
        Release([session("z", 1), 7]),
    ],
)
def test_an_offer_or_a_release_that_cannot_be_ends_the_connection(message: Message) -> None:
    rig = Rig("abc")
    link = rig.link("c", "a")
    rig.replicas["a"].on_message(link.accepted, message, rig.now)
    assert rig.replicas["a"]._links.get(link.accepted) is None


def test_an_answer_to_no_offer_ends_the_connection() -> None:
    rig = Rig("abc")
    link = rig.link("c", "a")
    rig.replicas["c"].on_message(link.dialled, Offered("a", 1), rig.now)
    assert rig.replicas["c"]._links.get(link.dialled) is None
