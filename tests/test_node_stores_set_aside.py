"""What a store cannot read: set aside, reported, kept, and no reason not to start."""

import errno

import pytest
from stores import IDS, loaded, open_store

from node.stores.session_file import decode, file_name
from node.stores.set_aside import SET_ASIDE
from ring.errors import StoreError
from ring.identity import SessionId
from simulations.whole.files import Fault, SimulatedDisk

EIO = Fault(errno.EIO)


def records(*numbers: int) -> list[tuple[SessionId, bytes]]:
    return [(IDS[number], b"record %d" % number) for number in numbers]


def test_a_damaged_file_is_set_aside_and_stops_nothing() -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0, 1), 1)
    name = file_name(IDS[0])
    disk.put(name, b"garbage")
    disk.put("notes.txt", b"somebody's")
    disk.restart()
    store, notices = open_store(disk)
    assert loaded(store) == dict(records(1))
    assert disk.files()[f"{SET_ASIDE}/{name}.1"] == b"garbage"
    assert disk.files()[f"{SET_ASIDE}/notes.txt.1"] == b"somebody's"
    assert [(notice.event, notice.fields["file"]) for notice in notices] == [
        ("store_file_set_aside", "notes.txt"),
        ("store_file_set_aside", name),
    ]
    assert all(notice.alarming and notice.fields["remedy"] for notice in notices)
    assert store.write(records(0), 2) == {}
    assert loaded(store) == dict(records(0, 1))


def test_what_was_set_aside_is_never_overwritten() -> None:
    disk = SimulatedDisk()
    for number in (1, 2, 3):
        disk.put(file_name(IDS[0]), b"garbage %d" % number)
        disk.restart()
        store, _ = open_store(disk)
        assert loaded(store) == {}
    kept = {name: content for name, content in disk.files().items() if name.startswith(SET_ASIDE)}
    assert sorted(kept.values()) == [b"garbage 1", b"garbage 2", b"garbage 3"]


@pytest.mark.parametrize("call", ["make_directory", "create", "rename"])
def test_a_damaged_file_that_cannot_be_moved_is_left_and_stops_nothing(call: str) -> None:
    calls = [
        "names",
        "open_to_read",
        "read",
        "close",
        "make_directory",
        "create",
        "close",
        "rename",
    ]
    disk = SimulatedDisk()
    disk.put(file_name(IDS[0]), b"garbage")
    store, notices = open_store(disk)
    disk.calls.clear()
    disk.faults = {calls.index(call) + 1: Fault(errno.EROFS)}
    assert loaded(store) == {}
    assert disk.calls[calls.index(call)] == call
    assert disk.files() == {file_name(IDS[0]): b"garbage"}
    assert [(notice.event, notice.fields["left_because"]) for notice in notices] == [
        ("store_file_left", "EROFS")
    ]


@pytest.mark.parametrize("call", ["open_to_read", "read"])
def test_a_file_on_a_bad_block_is_set_aside(call: str) -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0, 1), 1)
    disk.restart()
    store, notices = open_store(disk)
    disk.calls.clear()
    disk.faults = {["names", "open_to_read", "open_to_read", "read"].index(call) + 1: EIO}
    assert len(loaded(store)) == 1
    assert [notice.event for notice in notices] == ["store_file_set_aside"]
    assert "EIO" in str(notices[0].fields["reason"])


def test_a_process_short_of_descriptors_loads_in_smaller_groups() -> None:
    """That says nothing about the files, so none is set aside."""
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0, 1, 2, 3), 1)
    disk.calls.clear()
    disk.faults = {number: Fault(errno.EMFILE) for number in (4, 10)}
    assert loaded(store) == dict(records(0, 1, 2, 3))


def test_a_process_that_can_open_nothing_does_not_start() -> None:
    """Else it would serve as if the sessions had never been."""
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0), 1)
    disk.calls.clear()
    disk.faults = {2: Fault(errno.EMFILE)}
    with pytest.raises(StoreError, match="more open files"):
        loaded(store)


def test_leftovers_of_a_killed_process_are_removed_and_those_that_stay_are_harmless() -> None:
    disk = SimulatedDisk()
    disk.put("1.tmp", b"half")
    disk.put("7.tmp", b"made")
    disk.faults = {2: Fault(errno.EACCES)}
    store, notices = open_store(disk)
    assert [notice.event for notice in notices] == [
        "store_leftover_left",
        "store_leftovers_removed",
    ]
    assert store.write(records(0), 1) == {}
    assert loaded(store) == dict(records(0))
    assert disk.files()["1.tmp"] == b"half"


@pytest.mark.parametrize("call", [1, 2])
def test_a_disk_that_cannot_be_listed_or_synced_is_refused_and_let_go(call: int) -> None:
    disk = SimulatedDisk(faults={call: EIO})
    with pytest.raises(StoreError, match="check its disk"):
        open_store(disk)
    disk.faults = {}
    open_store(disk)


def test_sessions_that_count_no_more_are_kept_beside_and_never_loaded_again() -> None:
    """Of one session there may be several, set aside at different times: all of them stay."""
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0, 1), 1)
    assert store.set_aside(records(0, 1), 5) == {}
    assert store.set_aside([(IDS[0], b"later")], 7) == {}
    store.write([(IDS[0], None), (IDS[1], None)], 6)
    disk.restart()
    store, _ = open_store(disk)
    assert loaded(store) == {}
    name = file_name(IDS[0])
    first = decode(name, disk.files()[f"{SET_ASIDE}/{name}.1"])
    assert (first.session_id, first.portable, first.written_ms) == (IDS[0], b"record 0", 5)
    assert decode(name, disk.files()[f"{SET_ASIDE}/{name}.2"]).portable == b"later"


def test_what_cannot_be_set_aside_is_said_and_leaves_nothing_half_made() -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    disk.calls.clear()
    disk.faults = {2: Fault(errno.ENOSPC)}
    failures = store.set_aside(records(0), 5)
    assert failures[IDS[0]].errno == errno.ENOSPC
    assert disk.files() == {}
