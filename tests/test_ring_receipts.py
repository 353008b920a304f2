"""What a write returns: who has it, by their own word, and whether that is less than was asked."""

import pytest
from replica_parts import Asked
from replicas import Rig
from samples import IDS, session

from ring.identity import SessionId
from ring.messages import Acks, Changes, Durability, Failed, Failure, Reply, Saved
from ring.settings import Settings

ID = IDS[0]
CHANGE: dict[bytes, bytes | None] = {b"cart": b"\x02"}


def a_ring(names: str = "abc", copies: int = 2, *, stores: bool = True) -> Rig:
    """Return a ring with one session of a."""
    rig = Rig(names, copies, stores=stores)
    rig.create("a", ID, cart=b"\x01")
    return rig


def kept(*holders: str, disk: str = "", degraded: bool = False) -> Saved:
    """Return a receipt, its number left open."""
    return Saved(0, holders, tuple(disk), degraded)


def receipt(asked: Asked) -> Reply | None:
    """Return an answer without its number."""
    if isinstance(asked.reply, Saved):
        saved = asked.reply
        assert saved.number == asked.number
        return Saved(0, saved.holders, saved.on_disk, saved.degraded)
    return asked.reply


def assert_not_replicated(asked: Asked) -> None:
    assert isinstance(asked.reply, Failed)
    assert asked.reply.number == asked.number
    assert asked.reply.failure is Failure.NOT_REPLICATED
    assert ID.decode() not in asked.reply.reason


# --- Backups ---


def test_a_holder_is_named_only_after_its_acknowledgement() -> None:
    """Honest: no receipt names who did not hold the change when it said so."""
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE)
    assert asked.waits
    rig.let_go()
    assert receipt(asked) == kept("a", "b", disk="a")


def test_every_backup_that_has_said_so_by_then_is_named() -> None:
    rig = a_ring(copies=3)
    rig.hold_back("b", "a")
    rig.hold_back("c", "a")
    asked = rig.save("a", ID, CHANGE)
    assert asked.waits
    rig.disks["a"].stuck = True
    also = rig.save("a", ID, {b"cart": b"\x03"}, durability=Durability.BACKUP_AND_DISK)
    rig.let_go()
    assert receipt(asked) in (kept("a", "b", disk="a"), kept("a", "c", disk="a"))
    found = rig.replicas["a"].persistent(ID, rig.now)
    assert found is not None
    version = found[0]
    rig.perform("a", rig.replicas["a"].on_persisted({ID: version}, rig.now))
    rig.run()
    assert isinstance(also.reply, Saved)
    assert sorted(also.reply.holders) == ["a", "b", "c"]


def test_an_older_acknowledgement_does_not_count_for_a_newer_change() -> None:
    """A receipt waits on a version of the session, not on any frame with it."""
    rig = a_ring(stores=False)
    rig.hold_back("b", "a")
    first = rig.save("a", ID, {b"cart": b"\x02"})
    rig.hold_back("a", "b")
    second = rig.save("a", ID, {b"cart": b"\x03"})
    rig.let_go("b")
    assert receipt(first) == kept("a", "b")
    assert second.waits
    rig.let_go()
    assert receipt(second) == kept("a", "b")


def test_a_change_that_the_backup_has_differently_does_not_count_as_held() -> None:
    """It answered with its own record: it holds once the difference is settled."""
    rig = a_ring(stores=False)
    asked = list[Asked]()
    original = rig.replicas["b"].record(ID)
    assert original is not None
    rig.replicas["b"]._core.table.drop(ID)
    rig.sent.clear()
    asked.append(rig.save("a", ID, CHANGE))
    answers = [each.message for each in rig.sent if isinstance(each.message, Acks)]
    assert answers[0].different == ((answers[0].upto, answers[0].different[0][1]),)
    assert receipt(asked[0]) == kept("a", "b")
    assert rig.replicas["b"].record(ID) == rig.replicas["a"].record(ID)


def test_with_nobody_up_a_receipt_is_degraded_at_once_and_nothing_is_refused() -> None:
    """There is nobody to wait for, and refusing would not make it safer."""
    rig = a_ring()
    rig.kill("b")
    rig.kill("c")
    assert receipt(rig.save("a", ID, CHANGE)) == kept("a", degraded=True)
    saved = rig.save("a", ID, {b"cart": b"\x03"}, refuse=True)
    assert receipt(saved) == kept("a", degraded=True)
    assert receipt(rig.end("a", ID)) == kept("a", degraded=True)


@pytest.mark.parametrize("durability", [Durability.LOCAL, Durability.BACKUP])
def test_a_ring_of_one_is_never_degraded_for_lack_of_a_backup(durability: Durability) -> None:
    rig = a_ring("a")
    assert receipt(rig.save("a", ID, CHANGE, durability=durability)) == kept("a")


def test_a_ring_of_one_copy_is_never_degraded_for_lack_of_a_backup() -> None:
    """None was asked to hold it."""
    rig = a_ring(copies=1)
    assert receipt(rig.save("a", ID, CHANGE)) == kept("a")
    assert rig.replicas["b"].record(ID) is None


def test_a_live_backup_that_does_not_answer_in_time_degrades_the_receipt() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE)
    rig.pass_time(0.95)
    assert asked.waits
    rig.pass_time(0.1)
    assert receipt(asked) == kept("a", disk="a", degraded=True)


def test_or_refuses_it_if_that_was_asked_for_and_the_change_may_survive() -> None:
    """The failure is indefinite, and says so: the change is in force where it was made."""
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE, refuse=True)
    rig.pass_time(1.1)
    assert_not_replicated(asked)
    record = rig.replicas["a"].record(ID)
    assert record is not None
    assert record.value(b"cart") == b"\x02"


def test_writes_of_one_session_time_out_each_by_its_own_deadline() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    first = rig.save("a", ID, CHANGE)
    rig.pass_time(0.5)
    second = rig.save("a", ID, {b"cart": b"\x03"})
    rig.pass_time(0.6)
    assert first.reply is not None
    assert second.waits
    rig.let_go()
    assert receipt(second) == kept("a", "b", disk="a")
    rig.pass_time(2)
    assert rig.replicas["a"].next_due(rig.now) > rig.now


def test_when_the_backup_is_lost_the_change_is_sent_to_the_next_at_once() -> None:
    """A save does not wait for a time-out if there is a member that can stand in."""
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE)
    rig.kill("b")
    assert receipt(asked) == kept("a", "c", disk="a")
    assert rig.replicas["c"].record(ID) == rig.replicas["a"].record(ID)


def test_a_backup_whose_link_was_renewed_is_asked_again() -> None:
    """What it acknowledged on the old link is not known any more."""
    rig = Rig("abc", copies=3, stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("b", "a")
    rig.hold_back("c", "a")
    asked = rig.save("a", ID, CHANGE)
    assert asked.waits
    rig.held_back = {("c", "a")}
    rig.reset("a", "b")
    assert receipt(asked) == kept("a", "b")


def test_a_receipt_waits_for_a_backup_whose_link_was_lost_a_moment_ago() -> None:
    """It may be back in another moment."""
    rig = Rig("ab", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE)
    rig.stalled |= {("a", "b"), ("b", "a")}
    rig.reset("a", "b")
    assert asked.waits
    rig.held_back.clear()
    rig.heal("a", "b")
    assert receipt(asked) == kept("a", "b")


def test_when_the_only_backup_is_lost_the_receipt_is_degraded_at_once() -> None:
    rig = Rig("ab", stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE)
    assert asked.waits
    rig.kill("b")
    assert receipt(asked) == kept("a", degraded=True)


def test_a_backup_that_was_lost_before_the_receipt_is_complete_is_not_named() -> None:
    """What it said ended with its connection: it may come back without its memory."""
    rig = a_ring()
    rig.disks["a"].stuck = True
    asked = rig.save("a", ID, CHANGE, durability=Durability.BACKUP_AND_DISK)
    rig.kill("b")
    assert asked.waits
    found = rig.replicas["a"].persistent(ID, rig.now)
    assert found is not None
    version = found[0]
    rig.perform("a", rig.replicas["a"].on_persisted({ID: version}, rig.now))
    rig.run()
    assert receipt(asked) == kept("a", "c", disk="a")


def test_local_durability_waits_for_nobody() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    assert receipt(rig.save("a", ID, CHANGE, durability=Durability.LOCAL)) == kept("a")


# --- Disks ---


def test_a_disk_is_named_when_it_has_the_change() -> None:
    rig = a_ring()
    rig.disks["a"].stuck = True
    asked = rig.save("a", ID, CHANGE, durability=Durability.BACKUP_AND_DISK)
    assert asked.waits
    found = rig.replicas["a"].persistent(ID, rig.now)
    assert found is not None
    version = found[0]
    rig.perform("a", rig.replicas["a"].on_persisted({ID: version - 1}, rig.now))
    rig.run()
    assert asked.waits
    rig.perform("a", rig.replicas["a"].on_persisted({ID: version}, rig.now))
    rig.run()
    assert receipt(asked) == kept("a", "b", disk="a")


def test_a_change_waits_for_the_disk_alone_if_only_that_is_asked_for() -> None:
    rig = a_ring()
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, CHANGE, durability=Durability.DISK)
    assert receipt(asked) == kept("a", disk="a")


@pytest.mark.parametrize("durability", [Durability.DISK, Durability.BACKUP_AND_DISK])
def test_a_disk_that_fails_shows_in_the_receipt_at_once(durability: Durability) -> None:
    rig = a_ring()
    rig.disks["a"].fails = True
    asked = rig.save("a", ID, CHANGE, durability=durability)
    assert isinstance(asked.reply, Saved)
    assert asked.reply.degraded
    assert asked.reply.on_disk == ()
    assert_not_replicated(rig.save("a", ID, {b"cart": b"\x03"}, durability=durability, refuse=True))


def test_a_disk_that_heals_in_time_still_counts() -> None:
    """The driver goes on trying; who waits for a backup meanwhile learns of it."""
    rig = a_ring()
    rig.hold_back("b", "a")
    rig.disks["a"].fails = True
    asked = rig.save("a", ID, CHANGE, durability=Durability.BACKUP_AND_DISK)
    assert asked.waits
    found = rig.replicas["a"].persistent(ID, rig.now)
    assert found is not None
    version = found[0]
    rig.perform("a", rig.replicas["a"].on_persisted({ID: version}, rig.now))
    rig.let_go()
    assert receipt(asked) == kept("a", "b", disk="a")


def test_a_disk_that_does_not_answer_degrades_the_receipt_in_time() -> None:
    rig = a_ring()
    rig.disks["a"].stuck = True
    asked = rig.save("a", ID, CHANGE, durability=Durability.DISK)
    rig.pass_time(1.1)
    assert receipt(asked) == kept("a", "b", degraded=True)


def test_without_a_store_whoever_asks_for_a_disk_is_told_at_once() -> None:
    rig = a_ring(stores=False)
    asked = rig.save("a", ID, CHANGE, durability=Durability.BACKUP_AND_DISK)
    assert receipt(asked) == kept("a", "b", degraded=True)


def test_an_outcome_of_the_store_that_nobody_waits_for_is_no_news() -> None:
    rig = a_ring()
    assert rig.replicas["a"].on_persisted({ID: 99}, rig.now) == []
    assert rig.replicas["a"].on_persist_failed([ID], "no space", rig.now) == []


# --- Elsewhere ---


def test_a_save_elsewhere_gets_the_receipt_of_the_acting_owner() -> None:
    rig = a_ring()
    assert receipt(rig.save("c", ID, CHANGE)) == kept("a", "b", disk="a")
    assert receipt(rig.save("b", ID, {b"cart": b"\x03"})) == kept("a", "b", disk="a")


def test_a_change_that_changes_nothing_is_confirmed_by_those_who_hold_it() -> None:
    """The receipt of a save without news names whoever has the session as it is."""
    rig = a_ring(stores=False)
    rig.hold_back("b", "a")
    asked = rig.save("a", ID, {})
    assert asked.waits
    rig.let_go()
    assert receipt(asked) == kept("a", "b")


def test_a_save_for_a_whole_window_of_sessions_is_answered_for_each() -> None:
    """The window to one peer bounds what is under way, not what may wait."""
    settings = Settings(unacknowledged_max=3, changes_per_frame_max=2)
    rig = Rig("ab", settings=settings, stores=False)
    rig.hold_back("b", "a")
    ids: list[SessionId] = [session("a", number << 100) for number in range(10)]
    asked = [rig.create("a", each, cart=b"\x01") for each in ids]
    sent = [each.message for each in rig.sent if isinstance(each.message, Changes)]
    assert sum(len(each.flat) // 3 for each in sent) == 3
    rig.let_go()
    assert [receipt(each) for each in asked] == [kept("a", "b")] * 10
