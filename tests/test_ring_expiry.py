"""Sessions that nobody uses: hidden at their moment, marked by the owner, dropped by everyone."""

from math import inf

import pytest
from attrs import evolve
from replicas import Rig
from samples import IDS, NOW, session

from ring.clock import Stamp
from ring.effects import Persist
from ring.entry import EXPIRED, LIFETIME, MAX_IDLE, NIL, make_entry
from ring.identity import SessionId
from ring.messages import Absent, Changes, Durability, Failed, Failure, Found
from ring.record import Record
from ring.settings import Settings
from ring.table import SHARDS, Table

ID = IDS[0]
MAX_IDLE_S = 100.0
ALLOWANCE_S = 10.0
DUE_S = MAX_IDLE_S + ALLOWANCE_S
SWEEP_S = 64 * 1.1 + 2
"""A whole sweep with its jitter, and the heartbeats at which it is done, for SWEEPING."""
SWEEPING = Settings(sweep_interval_s=64.0, suspect_after_s=1e6)


def a_ring(names: str = "abc", **changes: bytes) -> Rig:
    """Return a ring with one session of a that expires after 100 s without access."""
    rig = Rig(names, settings=SWEEPING)
    rows: dict[bytes, bytes | None] = {MAX_IDLE: b"\x64", b"cart": b"\x01"}
    rows |= {key.encode(): each for key, each in changes.items()}
    rig.save("a", ID, rows, create=True)
    return rig


def is_marked(rig: Rig, name: str) -> bool:
    record = rig.replicas[name].record(ID)
    assert record is not None
    return record.expired


def markers_sent(rig: Rig) -> list[str]:
    return [
        each.sender
        for each in rig.sent
        if isinstance(each.message, Changes)
        for portable in each.message.flat[2::3]
        if isinstance(portable, bytes) and EXPIRED in Record.from_portable(portable, NOW).entries
    ]


def test_a_session_is_served_until_max_idle_and_the_allowance_have_passed() -> None:
    """Never before max idle since the last acknowledged access, whoever holds the copy."""
    rig = a_ring()
    rig.now += DUE_S - 0.1
    assert isinstance(rig.find("a", ID, touch=False).reply, Found)
    rig.now += 0.2
    assert isinstance(rig.find("a", ID, touch=False).reply, Absent)
    assert not is_marked(rig, "a")


def test_the_acting_owner_marks_it_and_everybody_hides_it() -> None:
    rig = a_ring()
    rig.now += DUE_S
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert is_marked(rig, "a")
    assert is_marked(rig, "b")
    assert set(markers_sent(rig)) == {"a"}
    assert rig.notices("expired") == ["a"]
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Absent)
    reply = rig.save("c", ID, {b"cart": b"\x02"}).reply
    assert isinstance(reply, Failed)
    assert reply.failure is Failure.GONE


def test_a_backup_marks_nothing() -> None:
    """It does not know what the owner knows; if it takes over, it judges for itself."""
    rig = a_ring()
    rig.now += DUE_S
    for _ in range(int(SWEEP_S)):
        rig.now += 1
        rig.perform("b", rig.replicas["b"].on_tick(rig.now))
        rig.run()
    assert not is_marked(rig, "b")
    assert isinstance(rig.find("b", ID).reply, Absent)
    rig.kill("a")
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert rig.notices("expired") == ["b"]


def test_a_touch_prolongs_it_by_another_max_idle() -> None:
    rig = a_ring()
    rig.now += 90
    assert isinstance(rig.find("c", ID, touch=True).reply, Found)
    rig.now += 90
    for name in "abc":
        assert isinstance(rig.find(name, ID, touch=False).reply, Found)


def test_a_touch_that_did_not_travel_is_allowed_for_after_a_takeover() -> None:
    """The owner had it in memory only; the backup waits out the allowance for everyone."""
    rig = a_ring()
    rig.now += ALLOWANCE_S - 0.5
    assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    touched_at = rig.now
    rig.kill("a")
    rig.now = touched_at + MAX_IDLE_S
    assert isinstance(rig.find("b", ID).reply, Found)


def test_a_marker_yields_to_a_later_access_on_the_other_side_of_a_cut() -> None:
    """Expiry is not an end: the session was in use where the marker could not see it."""
    rig = a_ring()
    rig.cut("a", "b")
    rig.cut("a", "c")
    for _ in range(4):
        rig.now += 60
        assert isinstance(rig.find("b", ID, touch=True).reply, Found)
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert rig.notices("expired") == ["a"]
    assert isinstance(rig.find("a", ID).reply, Absent)
    assert isinstance(rig.find("b", ID, touch=True).reply, Found)
    for pair in (("a", "b"), ("b", "a"), ("a", "c"), ("c", "a")):
        rig.heal(*pair)
    rig.pass_time(1)
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Found)
    assert not is_marked(rig, "a")


def cut_with_other_terms(max_idle: bytes) -> Rig:
    """Return a ring of which c, cut off, has changed the max idle soon after the last access."""
    rig = a_ring()
    rig.save("c", ID, {b"step": b"\x01"})
    for other in "ab":
        rig.cut("c", other)
    rig.pass_time(1)
    rig.save("c", ID, {MAX_IDLE: max_idle})
    return rig


def heal(rig: Rig) -> None:
    rig.refused.clear()
    rig.pass_time(10)


def test_what_was_given_a_longer_life_elsewhere_is_not_hidden() -> None:
    """Its marker judged the access by the old max idle, and c has acknowledged another one."""
    rig = cut_with_other_terms(b"\xcd\x03\xe8")
    rig.pass_time(DUE_S + SWEEP_S)
    assert is_marked(rig, "a")
    heal(rig)
    assert [isinstance(rig.find(name, ID).reply, Found) for name in "abc"] == [True] * 3


def test_what_does_not_expire_any_more_is_neither_hidden_nor_kept_for_ever() -> None:
    """Without an end of its life nothing would ever drop it."""
    rig = cut_with_other_terms(b"\x00")
    rig.pass_time(20)
    rig.save("a", ID, {b"step": b"\x02"})
    rig.pass_time(DUE_S + SWEEP_S)
    assert is_marked(rig, "a")
    heal(rig)
    assert [isinstance(rig.find(name, ID).reply, Found) for name in "abc"] == [True] * 3


def test_marker_and_record_are_dropped_together_by_everyone_and_by_the_disks() -> None:
    rig = a_ring()
    rig.now += DUE_S
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert ID in rig.disks["a"].content
    rig.now = NOW + DUE_S + 290
    rig.effects.clear()
    rig.pass_time(9, step_s=0.5)
    assert is_marked(rig, "a")
    rig.pass_time(SWEEP_S + 5, step_s=0.5)
    for name in "ab":
        assert rig.replicas[name].record(ID) is None
        assert rig.disks[name].content == {}
        assert (name, Persist(ID)) in rig.effects
    assert rig.notices("expired") == []
    assert all(replica.settled for replica in rig.replicas.values())
    assert isinstance(rig.find("a", ID).reply, Absent)


def test_a_tombstone_does_not_expire() -> None:
    """No late frame may find it gone."""
    rig = a_ring()
    rig.end("a", ID)
    rig.now += 3600
    rig.pass_time(SWEEP_S, step_s=0.5)
    record = rig.replicas["a"].record(ID)
    assert record is not None
    assert record.ended


def test_a_session_without_max_idle_stays() -> None:
    rig = a_ring()
    rig.save("a", ID, {MAX_IDLE: b"\x00"})
    rig.now += 10_000
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert isinstance(rig.find("a", ID).reply, Found)


def test_no_access_prolongs_a_lifetime() -> None:
    rig = a_ring()
    rig.save("a", ID, {LIFETIME: b"\xcc\xc8"})
    for _ in range(3):
        rig.now += 60
        assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    rig.now += 21
    assert isinstance(rig.find("a", ID, touch=True).reply, Absent)
    rig.pass_time(SWEEP_S, step_s=0.5)
    assert is_marked(rig, "b")


def test_a_sweep_takes_one_shard_after_the_other_and_all_of_them_in_its_time() -> None:
    """No step is long, and none waits for more than a sweep."""
    rig = Rig("a", settings=SWEEPING)
    for shard in range(SHARDS):
        rig.save("a", session("a", shard << 122), {MAX_IDLE: b"\x0a"}, create=True)
    rig.now += 11
    counts = list[int]()
    for _ in range(int(SWEEP_S)):
        before = len(rig.notices("expired"))
        rig.pass_time(1)
        counts.append(len(rig.notices("expired")) - before)
    # The time until now is caught up with at the first heartbeat.
    assert sum(counts) == SHARDS
    assert max(counts[1:]) <= 3


def test_after_a_long_sleep_one_sweep_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A suspended machine wakes up days later: each shard has to be looked at once, not often."""
    rig, looks = Rig("a", settings=SWEEPING), list[int]()
    due = Table.due

    def counted(table: Table, shard: int, now: float) -> list[SessionId]:
        looks.append(shard)
        return due(table, shard, now)

    monkeypatch.setattr(Table, "due", counted)
    rig.now += 10_000
    rig.pass_time(0.5)
    assert sorted(looks) == list(range(SHARDS))
    rig.pass_time(2)
    assert len(looks) <= SHARDS + 3


def test_members_do_not_sweep_in_step() -> None:
    """The jitter is drawn from each member's own source."""
    rig = Rig("ab", settings=SWEEPING)
    dues = set[float]()
    for replica in rig.replicas.values():
        dues.add(replica._expiry._due)
        assert 0.9 <= replica._expiry._due - NOW <= 1.1
    assert len(dues) == 2


def test_a_session_that_grew_old_on_a_disk_is_not_served_after_a_restart() -> None:
    """On loading, age grows by the absence."""
    rig = Rig("a", settings=evolve(SWEEPING, join_timeout_s=1.0))
    disk = Durability.DISK
    for session_id in (ID, IDS[1]):
        rig.save("a", session_id, {MAX_IDLE: b"\x64"}, create=True, durability=disk)
    rig.now += 90
    rig.save("a", IDS[1], {b"cart": b"\x01"}, durability=disk)
    rig.kill("a")
    rig.now += 90
    rig.start("a")
    assert isinstance(rig.find("a", ID).reply, Absent)
    assert isinstance(rig.find("a", IDS[1]).reply, Found)


def test_near_the_end_of_a_lifetime_a_read_touches_no_more_often() -> None:
    """The due time comes near, but what is kept back stays what max idle says."""
    rig = a_ring()
    rig.save("a", ID, {LIFETIME: b"\x3c"})
    rig.now += 9
    rig.sent.clear()
    assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    assert rig.sent == []


def test_a_marker_that_comes_when_the_session_is_gone_goes_as_well() -> None:
    """It has no access from which to reckon; without a time of its own it stays for ever."""
    marker = Record()
    marker.put(EXPIRED, make_entry(Stamp(50_000 << 16), NIL))
    assert marker.due(epoch=-1000.0) == 50.0 - 1000.0
    marker.put(b"cart", make_entry(Stamp(1), b"\x01"))
    assert marker.due(epoch=-1000.0) == inf


def used_under_two_clocks() -> Rig:
    """Return a ring whose b, cut off and with its clock ahead, has used it 20 s before a."""
    rig = a_ring()
    rig.kill("b")
    for other in "ac":
        rig.cut("b", other)
    rig.begin("b", ahead_s=50)
    rig.pass_time(15)
    assert isinstance(rig.find("b", ID, touch=True).reply, Found)
    rig.pass_time(20)
    assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    return rig


def test_a_later_access_is_not_hidden_by_one_whose_clock_was_ahead() -> None:
    """The greater stamp wins, and is not the later one here: the younger is stamped anew."""
    rig = used_under_two_clocks()
    heal(rig)
    rig.now += DUE_S - 11
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Found)
    rig.now += 12
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Absent)


def test_a_later_access_revives_what_a_clock_ahead_has_marked() -> None:
    """The marker names the access that it judged, by a stamp above that of the later one."""
    rig = used_under_two_clocks()
    rig.now += DUE_S - 19
    rig.perform("b", rig.replicas["b"].on_tick(rig.now))
    rig.run()
    assert rig.notices("expired") == ["b"]
    heal(rig)
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Found)


def test_a_later_access_is_not_hidden_on_the_disks_of_a_whole_ring() -> None:
    """Nobody acts while they compare."""
    rig = used_under_two_clocks()
    rig.kill("a", "b", "c")
    rig.refused.clear()
    for name in "abc":
        rig.begin(name)
    rig.run()
    rig.pass_time(10)
    rig.now += DUE_S - 11
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Found)


@pytest.mark.parametrize("first", ["ab", "ba"])
def test_a_later_access_is_not_hidden_where_the_older_one_acts(first: str) -> None:
    """Whoever has the younger one stamps it anew, not the acting owner alone."""
    rig = a_ring()
    rig.kill("a")
    rig.begin("a", ahead_s=50)
    rig.run()
    rig.pass_time(2)
    for other in "bc":
        rig.cut("a", other)
    rig.pass_time(15)
    assert isinstance(rig.find("a", ID, touch=True).reply, Found)
    rig.pass_time(20)
    assert isinstance(rig.find("b", ID, touch=True).reply, Found)
    rig.heal(first[0], first[1])
    heal(rig)
    rig.now += DUE_S - 12
    for name in "abc":
        assert isinstance(rig.find(name, ID).reply, Found)


def test_an_older_access_that_comes_late_is_not_stamped_anew() -> None:
    """It looks younger by what held it up; two members would stamp it in turn for ever."""
    rig = a_ring()
    before = rig.replicas["a"].record(ID)
    assert before is not None
    portable = before.portable(rig.now)
    rig.now += 20
    rig.find("a", ID, touch=True)
    touched = rig.replicas["a"].record(ID)
    assert touched is not None
    assert touched.accessed > before.accessed
    rig.now += 20
    rig.deliver(rig.link("b", "a"), "b", Changes([ID, before.digest, portable]))
    rig.run()
    assert rig.replicas["a"].record(ID) == touched
