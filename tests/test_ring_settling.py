"""Comparing homes: only what differs moves, every member ends with the same, and then it acts."""

from collections import Counter

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import IDS, NOW, session
from strategies_ring import ids, records

from ring.effects import Notice
from ring.identity import SessionId
from ring.liveness import Liveness
from ring.messages import Acks, Changes, Compare, Compared, Found, Listing, Message, Records, Saved
from ring.record import Record
from ring.settings import Settings
from ring.settling import Settling
from ring.table import bucket_of

SESSIONS = [session("a", number << 118) for number in range(40)]
"""One in each bucket."""


def a_ring(names: str = "abc", copies: int = 2, settings: Settings | None = None) -> Rig:
    """Return a ring with forty sessions of a, and nothing sent yet."""
    rig = Rig(names, copies, settings or Settings(), stores=False)
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=b"\x01", color=b"\x02")
    rig.sent.clear()
    return rig


def moved(rig: Rig, receiver: str = "") -> int:
    """Return how many records with at least one entry were sent, to anybody or to one."""
    portables = list[object]()
    for each in rig.sent:
        if each.receiver.startswith(receiver):
            if isinstance(each.message, Changes | Records):
                portables += each.message.flat[2::3]
            if isinstance(each.message, Acks):
                portables += [portable for _, portable in each.message.different if portable]
    return sum(
        bool(Record.from_portable(each, NOW).keys())
        for each in portables
        if isinstance(each, bytes)
    )


def sent(rig: Rig, kind: type[Message]) -> list[tuple[str, str]]:
    return [(each.sender, each.receiver) for each in rig.sent if isinstance(each.message, kind)]


def assert_all_hold(rig: Rig, names: str, home: str = "a") -> None:
    """Demand that these members hold the same whole records of a home."""
    tables = [rig.replicas[name]._core.table for name in names]
    for table in tables:
        assert table.buckets(home) == tables[0].buckets(home)
        assert table.fragments(home) == 0


# --- What moves ---


def test_after_a_reconnection_only_what_differs_moves() -> None:
    rig = a_ring("ab")
    rig.cut("a", "b")
    for session_id in SESSIONS[:3]:
        assert isinstance(rig.save("a", session_id, {b"cart": b"\x09"}).reply, Saved)
    rig.sent.clear()
    rig.heal("a", "b")
    rig.heal("b", "a")
    assert 3 <= moved(rig) <= 6  # A side that only asks is answered with the other's record.
    assert_all_hold(rig, "ab")


def test_members_that_hold_the_same_send_nothing_but_digests() -> None:
    rig = a_ring("ab")
    rig.reset("a", "b")
    assert moved(rig) == 0
    assert sent(rig, Listing) == []
    assert len(sent(rig, Compare)) == len(sent(rig, Compared)) > 0
    assert rig.replicas["a"].settled
    assert rig.replicas["b"].settled


def test_an_empty_member_gets_everything_once() -> None:
    """It fetches for itself first; then the others bring what it still lacks, which is nothing."""
    rig = a_ring()
    rig.kill("a")
    rig.pass_time(1)
    rig.sent.clear()
    rig.start("a", disk=False)
    rig.pass_time(1)
    assert moved(rig) == len(SESSIONS)
    assert rig.is_ready("a")
    assert_all_hold(rig, "ab")


def test_a_member_with_an_old_disk_gets_only_what_is_newer() -> None:
    rig = Rig()
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=b"\x01")
    rig.kill("a")
    for session_id in SESSIONS[:5]:
        rig.save("b", session_id, {b"cart": b"\x09"})
    rig.sent.clear()
    rig.start("a")
    assert 5 <= moved(rig) <= 10
    assert_all_hold(rig, "ab")


def test_a_member_that_becomes_a_holder_gets_everything() -> None:
    """It was up all the time, but what it did not hold it was not sent."""
    rig = a_ring()
    assert rig.replicas["c"].counts()["a"] == 0
    rig.kill("b")
    assert moved(rig, "c") >= len(SESSIONS)
    assert_all_hold(rig, "ac")
    assert rig.replicas["a"].settled


def test_a_member_that_was_no_holder_for_a_while_compares_again() -> None:
    """It missed the stream meanwhile."""
    rig = a_ring()
    rig.kill("b")
    rig.start("b", disk=False)
    rig.save("a", SESSIONS[0], {b"cart": b"\x09"})
    rig.kill("b")
    rig.pass_time(1)
    assert_all_hold(rig, "ac")


def test_records_that_swapped_their_contents_are_found() -> None:
    """Both sides have the same digests, in the same bucket, under other ids."""
    rig = a_ring()
    rig.create("a", IDS[0], cart=b"\x05")
    rig.create("a", IDS[1], cart=b"\x06")
    table = rig.replicas["b"]._core.table
    first, second = table.get(IDS[0]), table.get(IDS[1])
    assert first is not None
    assert second is not None
    table.put(IDS[0], second)
    table.put(IDS[1], first)
    rig.reset("a", "b")
    assert_all_hold(rig, "ab")


def test_what_only_a_bystander_has_left_is_fetched_from_it() -> None:
    """A stand-in that holds a session nobody else has must not keep it to itself."""
    rig = a_ring()
    table = rig.replicas["c"]._core.table
    record = rig.replicas["a"].record(SESSIONS[0])
    assert record is not None
    only = session("a", 5)
    table.put(only, record)
    rig.reset("a", "c")
    assert_all_hold(rig, "ab")
    assert rig.replicas["b"].record(only) == record


@given(
    st.dictionaries(
        ids, st.lists(st.tuples(st.sampled_from("abc"), records), max_size=4), max_size=5
    ),
    st.permutations("abc"),
    st.booleans(),
)
def test_whatever_the_disks_have_the_holders_end_with_the_merge_of_it(
    stored: dict[SessionId, list[tuple[str, Record]]], order: list[str], frames_are_small: bool
) -> None:
    """Convergence: holders hold the same, whoever starts first and whoever had what."""
    long = Settings(retention_s=1e12)  # The stamps are those of 1970.
    small = evolve(long, changes_per_frame_max=1, records_per_frame_max=1, unacknowledged_max=2)
    rig = Rig(settings=small if frames_are_small else long, start="")
    expected = dict[SessionId, Record]()
    for session_id, pieces in stored.items():
        disks = dict[str, Record]()
        for name, piece in pieces:
            if piece.keys():
                disks.setdefault(name, Record()).merge(piece)
                expected.setdefault(session_id, Record()).merge(piece)
        for name, piece in disks.items():
            rig.disks[name].content[session_id] = (piece.portable(NOW), NOW)
    for name in order:
        rig.begin(name)
    rig.run()
    assert rig.is_ready(*"abc")
    for session_id, record in expected.items():
        holders = rig.ring.holders(session_id[:1].decode(), "abc")
        held = [rig.replicas[name].record(session_id) for name in holders]
        for each in held:
            assert each is not None
            assert (each.entries, each.whole) == (record.entries, record.whole)
            # The younger of two accesses may have been stamped anew.
            assert each.accessed >= record.accessed
        # Ages are not compared: each node keeps its own until a later access comes.
        assert len({each.digest for each in held if each is not None}) == 1
    assert all(replica.settled for replica in rig.replicas.values())


# --- In which pieces ---


def test_records_go_in_frames_of_bounded_number() -> None:
    rig = a_ring(settings=Settings(records_per_frame_max=7))
    rig.kill("a")
    rig.sent.clear()
    rig.start("a", disk=False)
    sizes = [len(each.message.flat) // 3 for each in rig.sent if isinstance(each.message, Records)]
    assert max(sizes) == 7
    assert sum(sizes) == len(SESSIONS)


def test_records_go_in_frames_of_bounded_size() -> None:
    """A record that is larger than that goes alone."""
    rig = a_ring(settings=Settings(frame_fill_bytes=300))
    rig.save("a", SESSIONS[3], {b"large": bytes(1000)})
    rig.kill("a")
    rig.sent.clear()
    rig.start("a", disk=False)
    frames = [each.message.flat for each in rig.sent if isinstance(each.message, Records)]
    sizes = [sum(len(each) for each in flat[2::3] if isinstance(each, bytes)) for flat in frames]
    assert all(size <= 300 or len(flat) == 3 for size, flat in zip(sizes, frames, strict=True))
    assert max(sizes) > 1000
    assert len(frames) > 10
    assert_all_hold(rig, "ab")


def test_a_listing_goes_in_frames_of_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that does not fit is continued, and named when it is complete."""
    monkeypatch.setattr("ring.answering.LISTED_PER_FRAME", 3)
    rig = a_ring("ab")
    crowd = [session("a", 1 << 119 | number) for number in range(10)]
    for session_id in crowd:
        rig.create("a", session_id, cart=b"\x01")
    rig.cut("a", "b")
    for session_id in [*crowd, *SESSIONS[:9]]:
        rig.save("a", session_id, {b"cart": b"\x09"})
    rig.sent.clear()
    rig.heal("b", "a")
    listings = [each.message for each in rig.sent if isinstance(each.message, Listing)]
    assert max(len(each.flat) // 2 for each in listings) == 3
    assert [not each.buckets for each in listings].count(True) == 3
    assert Counter(bucket for each in listings for bucket in each.buckets) == {
        bucket_of(session_id): 1 for session_id in SESSIONS[:9]
    }
    assert listings[-1].buckets
    assert_all_hold(rig, "ab")


def test_a_record_that_is_gone_before_its_frame_is_written_is_passed_over() -> None:
    rig = a_ring("ab", settings=Settings(records_per_frame_max=5))
    rig.kill("a")
    rig.hold_back("b", "a", Records)
    rig.start("a", disk=False)
    for session_id in SESSIONS[20:]:
        rig.replicas["b"]._core.table.drop(session_id)
    rig.let_go()
    assert rig.replicas["a"].counts()["a"] == 20
    assert rig.is_ready("a")


# --- How long it takes ---


def test_a_comparison_without_progress_is_given_up_and_said_to_be() -> None:
    """Nobody waits for ever for a member that answers heartbeats and nothing else."""
    rig = Rig(start="ab", settings=Settings(suspect_after_s=60))
    rig.hold_back("b", "a", Compared)
    rig.start("c")
    rig.reset("a", "b")
    rig.pass_time(30)
    given_up = [
        each.fields
        for _, each in rig.effects
        if isinstance(each, Notice) and each.event == "comparison_given_up"
    ]
    assert {"home": "a", "peer": "b"} in given_up
    assert all(each["peer"] == "b" for each in given_up)


def test_a_comparison_is_not_given_up_while_its_turn_has_not_come() -> None:
    """The other member answers for one home after the other, and the first may take long."""
    rig = Rig("ab", settings=Settings(suspect_after_s=600, records_per_frame_max=1), stores=False)
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=b"\x01")
    rig.kill("a")
    rig.hold_back("b", "a", Records)
    rig.start("a", disk=False)
    for _ in SESSIONS:
        rig.pass_time(1)
        rig.let_one_go()
    rig.let_go()
    rig.pass_time(1)
    assert rig.notices("comparison_given_up") == []
    assert rig.is_ready("a")
    assert_all_hold(rig, "ab")


def test_a_comparison_ends_with_its_connection_and_begins_anew_with_the_next() -> None:
    rig = a_ring()
    rig.cut("a", "b")
    rig.save("a", SESSIONS[0], {b"cart": b"\x09"})
    rig.hold_back("b", "a", Listing)
    rig.heal("a", "b")
    rig.reset("a", "b")
    rig.let_go()
    rig.heal("b", "a")
    rig.pass_time(1)
    assert_all_hold(rig, "ab")
    assert rig.replicas["a"].settled


def test_a_newer_question_about_a_home_replaces_the_older() -> None:
    """The dialler has dropped that one, and ignores what still comes of it."""
    rig = a_ring()
    rig.sent.clear()
    connection = rig.link("b", "a")
    for number in (100, 101):
        rig.deliver(connection, "b", Compare("a", number, b""))
    rig.deliver(connection, "b", Compare("b", 102, b""))
    rig.run()
    rounds = [each.message.round for each in rig.sent if isinstance(each.message, Compared)]
    assert rounds == [101, 102]


# --- Who acts ---


def test_a_successor_that_has_not_compared_with_everybody_does_not_act_yet() -> None:
    """Somebody may know more of the home than it does."""
    rig = a_ring("abcd")
    rig.hold_back("d", "b")
    rig.reset("b", "d")
    rig.kill("a")
    assert rig.replicas["b"].claims == {"b"}
    asked = rig.find("b", SESSIONS[0])
    assert asked.waits
    rig.let_go()
    assert rig.replicas["b"].claims == {"a", "b"}
    assert isinstance(asked.reply, Found)


def test_a_successor_waits_for_the_verdict_on_every_earlier_member() -> None:
    rig = a_ring("abcd")
    rig.stalled.add(("b", "a"))
    rig.kill("a")
    assert rig.replicas["b"].liveness["a"] is Liveness.UNDETERMINED
    assert rig.replicas["b"].claims == {"b"}
    rig.stalled.clear()
    rig.pass_time(0.25)
    assert rig.replicas["b"].claims == {"a", "b"}


def test_the_successor_of_the_lost_successor_is_next() -> None:
    rig = a_ring("abcd", copies=3)
    rig.kill("a", "b")
    assert rig.replicas["c"].claims == {"a", "b", "c"}
    assert isinstance(rig.find("d", SESSIONS[0]).reply, Found)


def test_a_member_that_never_dials_is_not_waited_for_for_ever() -> None:
    """Its own comparisons cannot be done without its own link."""
    rig = Rig(settings=Settings(suspect_after_s=60), start="bc")
    rig.refused |= {("b", "a"), ("c", "a")}
    rig.start("a")
    rig.pass_time(9)
    assert not rig.is_ready("a")
    rig.pass_time(3)
    assert rig.is_ready("a")


def test_a_settled_ring_draws_no_conclusions_from_heartbeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without rest every heartbeat walks all homes and members: most of what an idle node does."""
    rig = Rig("abc")
    rig.pass_time(5)
    looks = list[str]()
    review = Settling.review

    def counted(settling: Settling, now: float) -> None:
        looks.append(settling._core.name)
        review(settling, now)

    monkeypatch.setattr(Settling, "review", counted)
    rig.pass_time(10)
    assert looks == []
    rig.kill("b")
    rig.pass_time(5)
    assert set(looks) == {"a", "c"}
