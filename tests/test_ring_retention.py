"""Ends and removals are remembered for their time, then forgotten by everyone, without argument."""

from itertools import pairwise

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import IDS, NOW, session
from strategies_ring import copy, digest_of, records

from ring.clock import STAMP_BYTES, Stamp
from ring.effects import Notice
from ring.entry import ENDED, entry_stamp
from ring.identity import SessionId
from ring.messages import Absent, Changes, Compare, Failed, Failure, Found, Offer, Records, Saved
from ring.record import Record
from ring.settings import Settings
from ring.table import SHARDS, Table

ID, OTHER = IDS[0], IDS[1]
RETENTION_S = 100.0
SWEEP_S = 64 * 1.1 + 2
SETTINGS = Settings(sweep_interval_s=64.0, suspect_after_s=1e6, retention_s=RETENTION_S)


def a_ring(names: str = "abc", settings: Settings = SETTINGS) -> Rig:
    """Return a ring in which one session of a has ended, and another lost an attribute."""
    rig = Rig(names, settings=settings)
    rig.create("a", ID, cart=b"\x01")
    rig.end("a", ID)
    rig.create("a", OTHER, cart=b"\x01", seen=b"\x02")
    rig.save("a", OTHER, {b"seen": None})
    return rig


def held(rig: Rig, name: str, session_id: SessionId) -> Record:
    record = rig.replicas[name].record(session_id)
    assert record is not None
    return record


def sweep(rig: Rig, *names: str) -> None:
    """Have only these members look after what is old; the others' clocks go on."""
    for _ in range(int(SWEEP_S) + 1):
        rig.now += 1
        for name in names:
            rig.perform(name, rig.replicas[name].on_tick(rig.now))
        rig.run()


def changes_sent(rig: Rig) -> int:
    return sum(isinstance(each.message, Changes) for each in rig.sent)


# --- Forgetting ---


def test_an_end_is_remembered_until_retention_is_over_and_then_dropped_by_everyone() -> None:
    """Else the table, the disk and every comparison grow for ever."""
    rig = a_ring()
    rig.now = NOW + RETENTION_S - SWEEP_S
    rig.pass_time(SWEEP_S - 1, step_s=0.5)
    for name in "ab":
        assert held(rig, name, ID).ended
    rig.pass_time(SWEEP_S + 2, step_s=0.5)
    for name in "ab":
        assert rig.replicas[name].record(ID) is None
        assert ID not in rig.disks[name].content
    assert sorted(rig.notices("tombstones_forgotten")) == ["a", "b"]
    assert isinstance(rig.find("c", ID).reply, Absent)
    assert all(replica.settled for replica in rig.replicas.values())


def test_a_removal_is_forgotten_as_well_and_the_rest_of_the_session_stays() -> None:
    """A session that is used for years may add and remove attributes for years."""
    rig = a_ring()
    assert b"seen" in held(rig, "b", OTHER).entries
    rig.now = NOW + RETENTION_S
    rig.pass_time(SWEEP_S, step_s=0.5)
    for name in "ab":
        record = held(rig, name, OTHER)
        assert b"seen" not in record.entries
        assert record.value(b"cart") == b"\x01"
        stored = Record.from_portable(rig.disks[name].content[OTHER][0], rig.now)
        assert b"seen" not in stored.entries
    assert held(rig, "a", OTHER).digest == held(rig, "b", OTHER).digest
    assert isinstance(rig.find("a", OTHER).reply, Found)


def test_no_end_is_forgotten_before_who_has_come_back_is_told() -> None:
    """It was away for less than retention. Without waiting, an end goes just before it is told."""
    rig = Rig("ab", settings=evolve(SETTINGS, settle_timeout_s=1e6))
    rig.create("a", ID, cart=b"\x01")
    rig.cut("a", "b")
    rig.pass_time(1)
    rig.end("a", ID, refuse=False)
    rig.now = NOW + 0.6 * RETENTION_S
    rig.refused.clear()
    rig.hold_back("a", "b", Compare)
    rig.heal("a", "b")
    rig.heal("b", "a")
    sweep(rig, "a", "b")
    assert held(rig, "a", ID).ended
    rig.let_go()
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert not any(rig.replicas[name].record(ID) for name in "ab")


# --- No argument between who has forgotten and who has not yet ---


def test_a_reconnection_brings_no_end_back_that_one_side_has_forgotten() -> None:
    """Else it goes round from whoever has not looked yet to whoever has, for ever."""
    rig = a_ring("ab")
    rig.now = NOW + RETENTION_S
    sweep(rig, "a")
    assert rig.replicas["a"].record(ID) is None
    assert held(rig, "b", ID).ended
    rig.reset("a", "b")
    rig.pass_time(1)
    for name in "ab":
        assert rig.replicas[name].record(ID) is None
    assert rig.is_ready(*"ab")
    assert all(replica.settled for replica in rig.replicas.values())


def test_a_member_that_recovers_is_not_sent_what_is_past_retention() -> None:
    rig = a_ring("ab")
    rig.kill("a")
    rig.now = NOW + RETENTION_S + 1
    rig.sent.clear()
    rig.start("a", disk=False)
    rig.pass_time(1)
    assert rig.replicas["a"].record(ID) is None
    sent = [
        each
        for frame in rig.sent
        if isinstance(frame.message, Records)
        for each in frame.message.flat[::3]
    ]
    assert ID not in sent
    assert OTHER in sent


def test_a_change_ends_a_difference_in_what_was_forgotten_within_one_exchange() -> None:
    """One has forgotten a removal, the other not: both agree, and the receipt is complete."""
    for swept in "ab":
        rig = a_ring("ab")
        rig.hold_back("b", "a", Offer)  # Else that agrees first.
        rig.now = NOW + RETENTION_S
        sweep(rig, swept)
        assert held(rig, "a", OTHER).digest != held(rig, "b", OTHER).digest
        rig.sent.clear()
        reply = rig.save("a", OTHER, {b"cart": b"\x05"}).reply
        assert isinstance(reply, Saved)
        assert set(reply.holders) == {"a", "b"}
        assert held(rig, "a", OTHER).digest == held(rig, "b", OTHER).digest
        assert b"seen" not in held(rig, "a", OTHER).entries
        assert changes_sent(rig) <= 2


def test_clocks_that_disagree_about_retention_make_no_endless_exchange() -> None:
    """One side thinks an entry too old that the other thinks young: both keep it, for now."""
    for ahead in "ab":
        rig = Rig("ab", settings=SETTINGS, start="")
        for name in "ab":
            rig.begin(name, ahead_s=50.0 if name == ahead else 0.0)
        rig.run()
        rig.pass_time(1)
        rig.create("a", OTHER, cart=b"\x01", seen=b"\x02")
        rig.save("a", OTHER, {b"seen": None})
        rig.now += RETENTION_S - 60
        rig.now += 30
        for _ in range(3):
            sweep_one = rig.replicas[ahead]
            rig.perform(ahead, sweep_one.on_tick(rig.now))
            rig.sent.clear()
            reply = rig.save("a", OTHER, {b"cart": bytes([5])}).reply
            assert isinstance(reply, Saved)
            assert set(reply.holders) == {"a", "b"}
            assert held(rig, "a", OTHER).digest == held(rig, "b", OTHER).digest
            assert changes_sent(rig) <= 3
            rig.now += 20


def test_an_end_past_retention_still_ends_what_somebody_has() -> None:
    """Ended wins: it is forgotten because nobody needs it, and here somebody does."""
    settings = evolve(SETTINGS, sweep_interval_s=1e6, lagging_after_s=1e6)
    rig = Rig("ab", settings=settings)
    rig.create("a", ID, cart=b"\x01")
    rig.hold_back("a", "b")
    rig.end("a", ID)
    rig.pass_time(RETENTION_S + 1)
    rig.held_back.clear()
    rig.reset("a", "b")
    assert rig.notices("estranged") == []
    for name in "ab":
        assert held(rig, name, ID).ended


# --- The cap ---


def test_at_the_limit_nothing_is_created_and_no_end_is_forgotten_early() -> None:
    """An end that made room for itself by dropping another would bring that session back."""
    rig = Rig("abc", settings=evolve(SETTINGS, tombstone_bytes_max=1000))
    created = list[SessionId]()
    for number in range(100):
        session_id = session("a", number << 8)
        reply = rig.create("c", session_id, cart=b"\x01").reply
        if isinstance(reply, Failed):
            assert reply.failure is Failure.FULL
            break
        created.append(session_id)
        assert isinstance(rig.end("c", session_id).reply, Saved)
    assert 5 < len(created) < 20
    assert all(held(rig, "a", each).ended for each in created)
    rig.pass_time(1)
    assert sorted(rig.notices("tombstones_near_limit")) == ["a", "b"]
    rig.now += RETENTION_S
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert isinstance(rig.create("c", session("a", 1 << 40), cart=b"\x01").reply, Saved)
    assert "a" in rig.notices("tombstones_below_limit")


def test_at_the_limit_sessions_that_are_there_change_and_end_as_ever() -> None:
    rig = Rig("ab", settings=evolve(SETTINGS, tombstone_bytes_max=80))
    rig.create("a", OTHER, cart=b"\x01")
    rig.create("a", ID, cart=b"\x01")
    rig.end("a", ID)
    assert isinstance(rig.create("a", IDS[2], cart=b"\x01").reply, Failed)
    assert isinstance(rig.save("a", OTHER, {b"cart": b"\x02"}).reply, Saved)
    assert isinstance(rig.end("a", OTHER).reply, Saved)
    assert held(rig, "b", OTHER).ended


def test_at_the_limit_no_session_is_rotated() -> None:
    """Else one client that rotates in a circle fills the memory of its node."""
    rig = Rig("ab", settings=evolve(SETTINGS, tombstone_bytes_max=1000))
    ids = [session("a", number << 8) for number in range(20)]
    rig.create("a", ids[0], cart=b"\x01")
    replies = [rig.rotate("a", old, new).reply for old, new in pairwise(ids)]
    done = [isinstance(reply, Saved) for reply in replies].index(False)
    failed = replies[done]
    assert isinstance(failed, Failed)
    assert failed.failure is Failure.FULL
    # The last one that was done may be asked for again, since its answer may have been lost.
    assert isinstance(rig.rotate("b", ids[done - 1], ids[done]).reply, Saved)
    assert isinstance(rig.end("b", ids[0]).reply, Saved)
    assert isinstance(rig.find("a", ids[done]).reply, Absent)


def test_the_ends_of_ids_that_nobody_has_leave_room_for_others() -> None:
    """They are kept for a member that is away; but strangers may make up any number of them.

    Else these would keep everybody from creating a session, for as long as ends are remembered.
    """
    rig = Rig("ab", settings=evolve(SETTINGS, tombstone_bytes_max=1000))
    rig.kill("b")
    rig.pass_time(11)
    replies = [rig.end("a", session("a", number << 8), refuse=False).reply for number in range(40)]
    assert isinstance(replies[0], Saved)
    failed = replies[-1]
    assert isinstance(failed, Failed)
    assert failed.failure is Failure.FULL
    assert len(rig.replicas["a"].session_ids()) < 10
    assert isinstance(rig.create("a", session("a", 7 << 100), cart=b"\x01").reply, Saved)


def test_nearness_to_the_limit_is_told_once() -> None:
    rig = Rig("a", settings=evolve(SETTINGS, tombstone_bytes_max=100))
    rig.create("a", ID, cart=b"\x01")
    rig.end("a", ID)
    rig.pass_time(5)
    told = [
        effect
        for _, effect in rig.effects
        if isinstance(effect, Notice) and effect.event == "tombstones_near_limit"
    ]
    assert len(told) == 1
    assert told[0].alarming


# --- The parts, against their dumb definitions ---

stamps = st.integers(0, (2**32 - 2) * 1000 << 16).map(Stamp)
"""Until the year 2106; the header of a held record counts seconds in 32 bits."""
LAST = Stamp(2**64 - 1)


def is_old(before: Stamp, record: Record, key: bytes) -> bool:
    entry = record.entries[key]
    ends = key == ENDED or len(entry) == STAMP_BYTES
    return ends and not record.parts(key) and entry_stamp(entry) < before


@given(records, st.data())
def test_what_is_forgotten_is_what_ended_or_was_removed_before(
    record: Record, data: st.DataObject
) -> None:
    some = [entry_stamp(entry) for entry in record.entries.values()]
    before = data.draw(st.sampled_from(some) | stamps if some else stamps)
    old = [key for key in record.entries if is_old(before, record, key)]
    left = copy(record)
    assert left.forget(before) == bool(old)
    assert left.entries == {k: e for k, e in record.entries.items() if k not in old}
    assert left.digest == (0 if ENDED in old else digest_of(left))


@given(st.lists(st.tuples(st.sampled_from(IDS), records), max_size=6), stamps)
def test_a_table_knows_what_tombstones_take_and_what_may_be_forgotten(
    puts: list[tuple[SessionId, Record]], before: Stamp
) -> None:
    table = Table("ab", 0.0)
    for session_id, record in puts:
        table.put(session_id, copy(record))
    latest = dict(puts)
    taken = sum(
        len(each) + len(record.held(0.0)) for each, record in latest.items() if record.ended
    )
    assert table.tombstone_bytes == taken
    found = {each for shard in range(SHARDS) for each in table.forgettable(shard, before)}
    has_old = {
        each
        for each, record in latest.items()
        if any(is_old(before, record, key) for key in record.entries)
    }
    removed = {
        each
        for each, record in latest.items()
        if any(is_old(LAST, record, key) or record.parts(key) for key in record.entries)
    }
    assert has_old <= found <= removed
    for session_id in latest:
        table.drop(session_id)
    assert table.tombstone_bytes == 0
