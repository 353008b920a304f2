"""The file store against a dictionary, on a disk that fails, dies and forgets."""

import contextlib
import errno
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import IDS, loaded, open_store

from node.stores import FileStore, Stored
from node.stores.file import GROUP_FILES
from node.stores.session_file import FILE_BYTES_MAX, encode, file_name
from ring.identity import SessionId
from simulations.whole.files import Fault, Killed, SimulatedDisk

Batch = list[tuple[SessionId, bytes | None]]

batches: st.SearchStrategy[Batch] = st.lists(
    st.tuples(st.sampled_from(IDS[:4]), st.none() | st.integers(0, 40).map(bytes)), max_size=5
)
faults = st.builds(
    Fault, st.sampled_from([errno.EIO, errno.ENOSPC, errno.EMFILE, errno.EACCES]), st.booleans()
)


def records(*numbers: int, text: str = "first") -> Batch:
    return [(IDS[number], f"{text} {number}".encode()) for number in numbers]


def temporary_files(disk: SimulatedDisk) -> list[str]:
    return [name for name in disk.files() if name.endswith(".tmp")]


# --- what a store is for ----------------------------------------------------------------------


@given(st.lists(st.tuples(batches, st.booleans())))
def test_a_store_is_a_dictionary_that_survives_reopening(plan: list[tuple[Batch, bool]]) -> None:
    disk, model = SimulatedDisk(), dict[SessionId, bytes | None]()
    store, _ = open_store(disk)
    for batch, is_reopened in plan:
        assert store.write(batch, 1) == {}
        model.update(batch)
        if is_reopened:
            store.close()
            disk.restart()
            store, notices = open_store(disk)
            assert notices == []
        assert loaded(store) == {key: value for key, value in model.items() if value is not None}
        assert disk.open_descriptors == 0
    store.close()
    assert temporary_files(disk) == []


def test_a_record_comes_back_with_the_time_at_which_it_was_written() -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0), 1_700_000_000_000)
    assert list(store.load()) == [Stored(IDS[0], b"first 0", 1_700_000_000_000)]


def test_a_batch_needs_one_sync_of_the_directory() -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    disk.calls.clear()
    ids = [SessionId(b"a.%d" % number) for number in range(3 * GROUP_FILES)]
    store.write([(session_id, b"record") for session_id in ids], 1)
    assert disk.calls.count("fsync_directory") == 1
    assert disk.calls.count("fsync") == len(ids)


def test_saves_in_the_steady_state_make_and_free_no_file() -> None:
    """Each is written over the file that the save before it replaced."""
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0, 1), 1)
    store.write(records(0, 1), 1)
    disk.calls.clear()
    store.write(records(0, 1, text="x"), 1)
    assert not {"create", "unlink"} & set(disk.calls)
    assert loaded(store) == dict(records(0, 1, text="x"))


def test_neither_names_nor_notices_tell_an_id() -> None:
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    store.write(records(0), 1)
    disk.put(file_name(IDS[0]), encode(Stored(IDS[0], b"record", 1))[:-1])
    disk.restart()
    store, notices = open_store(disk)
    assert loaded(store) == {}
    told = str([*disk.files(), *notices])
    assert IDS[0].decode() not in told
    assert file_name(IDS[0]) in told


# --- whatever happens -------------------------------------------------------------------------


class Promises:
    """What may be in the store after a loss of power, as its answers promise it."""

    def __init__(self) -> None:
        self._possible: dict[SessionId, set[bytes | None]] = {}
        self._doubtful_removals: set[SessionId] = set()
        self._doubtful_writes: set[SessionId] = set()

    def tried(self, changes: Sequence[tuple[SessionId, bytes | None]]) -> None:
        for session_id, portable in changes:
            self._possible.setdefault(session_id, {None}).add(portable)

    def durable(self, session_id: SessionId, portable: bytes | None) -> None:
        self._doubtful_writes.discard(session_id)
        if portable is not None:
            self._doubtful_removals.discard(session_id)
        if session_id not in self._doubtful_removals:
            self._possible[session_id] = {portable}

    def failed(self, session_id: SessionId, portable: bytes | None) -> None:
        doubtful = self._doubtful_removals if portable is None else self._doubtful_writes
        doubtful.add(session_id)

    def check(self, found: dict[SessionId, bytes | None], *, lost_power: bool) -> None:
        """Compare with what a restart found, and take that as the truth from now on.

        Only a loss of power settles what became of a change whose directory sync failed: until
        then the system shows it as done, and may have forgotten to do it.
        """
        for session_id, possible in self._possible.items():
            assert found.get(session_id) in possible
        assert set(found) <= set(self._possible)
        if lost_power:
            self._doubtful_removals.clear()
            self._doubtful_writes.clear()
        doubtful = self._doubtful_removals | self._doubtful_writes
        for session_id in self._possible.keys() - doubtful:
            self._possible[session_id] = {found.get(session_id)}


lives = st.tuples(
    st.lists(batches, max_size=4),
    st.dictionaries(st.integers(1, 60), faults, max_size=4),
    st.none() | st.integers(1, 60),
    st.booleans(),
)


@given(st.lists(lives, min_size=1, max_size=4), st.integers())
def test_what_was_not_named_as_failed_survives_kills_and_losses_of_power(
    plan: list[tuple[list[Batch], dict[int, Fault], int | None, bool]], seed: int
) -> None:
    """Nothing torn is ever served either, nor found under a session's name."""
    disk, promises, random = SimulatedDisk(), Promises(), Random(seed)
    for writes, planned_faults, killed_at, loses_power in plan:
        store, _ = open_store(disk)
        disk.calls.clear()
        disk.faults, disk.killed_at = planned_faults, killed_at
        try:
            for batch in writes:
                latest = dict(batch)
                promises.tried(list(latest.items()))
                failures = store.write(batch, 1)
                for session_id, portable in latest.items():
                    if session_id in failures:
                        promises.failed(session_id, portable)
                    else:
                        promises.durable(session_id, portable)
        except Killed:
            pass
        else:
            disk.faults, disk.killed_at = {}, None
            assert disk.open_descriptors == 0
        if loses_power:
            disk.lose_power(random)
        disk.restart()
        store, notices = open_store(disk)
        assert {notice.event for notice in notices} <= {"store_leftovers_removed"}
        promises.check(loaded(store), lost_power=loses_power)
        assert temporary_files(disk) == []
        disk.restart()


def prepared(disk: SimulatedDisk) -> FileStore:
    """Return a store with three sessions, one file to write over, and no calls counted."""
    store, _ = open_store(disk)
    assert store.write(records(0, 1, 2), 1) == {}
    assert store.write(records(0), 1) == {}
    disk.calls.clear()
    return store


def save_under_test() -> Batch:
    """Return a batch that replaces, creates and deletes."""
    return [*records(0, 1, 3, text="second"), (IDS[2], None)]


def calls_of_the_save() -> list[tuple[int, str]]:
    disk = SimulatedDisk()
    prepared(disk).write(save_under_test(), 1)
    return list(enumerate(disk.calls, 1))


every_fault = pytest.mark.parametrize(
    ("number", "call", "fault"),
    [
        (number, call, fault)
        for number, call in calls_of_the_save()
        for fault in (Fault(errno.EIO), Fault(errno.EMFILE), Fault(errno.ENOSPC, short=True))
        if call == "write" or not fault.short
    ],
)


@every_fault
def test_a_fault_at_any_call_fails_its_session_only_and_heals(
    number: int, call: str, fault: Fault
) -> None:
    disk = SimulatedDisk()
    store = prepared(disk)
    disk.faults = {number: fault}
    before, latest = loaded_now(disk), dict(save_under_test())
    failures = store.write(save_under_test(), 1)
    match call:
        case "fsync_directory":
            assert set(failures) == set(latest)
        case "private_size" | "link" | "open_again":
            assert failures == {}
        case _:
            assert len(failures) == 1
            now = loaded_now(disk)
            for session_id, portable in latest.items():
                has_failed = session_id in failures
                assert now.get(session_id) == (before.get(session_id) if has_failed else portable)
    assert all(error.errno == fault.number for error in failures.values())
    assert disk.open_descriptors == 0

    assert store.write(save_under_test(), 1) == {}
    expected = {**before, **latest}
    assert loaded_now(disk) == {key: value for key, value in expected.items() if value is not None}
    store.close()
    assert temporary_files(disk) == []


@every_fault
def test_after_a_fault_at_any_call_the_saves_of_others_harm_nothing(
    number: int, call: str, fault: Fault
) -> None:
    """A file that may still be some session's is not written over."""
    others: Batch = [(SessionId(b"a.other-%d" % other), b"other") for other in range(6)]
    for seed in range(30):
        disk = SimulatedDisk()
        store = prepared(disk)
        disk.faults = {number: fault}
        before, latest = loaded_now(disk), dict(save_under_test())
        failures = store.write(save_under_test(), 1)
        disk.killed_at = len(disk.calls) + 1 + seed
        with contextlib.suppress(Killed):
            store.write(others, 1)
        disk.lose_power(Random(seed))
        store, notices = open_store(disk)
        found = loaded(store)
        for session_id, portable in latest.items():
            possible = {portable, before.get(session_id)} if session_id in failures else {portable}
            assert found.get(session_id) in possible
        assert {notice.event for notice in notices} <= {"store_leftovers_removed"}


def loaded_now(disk: SimulatedDisk) -> dict[SessionId, bytes | None]:
    """Return what a second process would read, without counting it."""
    other = SimulatedDisk()
    for name, content in disk.files().items():
        other.put(name, content)
    return loaded(open_store(other)[0])


def test_a_failed_fsync_is_never_repeated_on_the_same_file() -> None:
    """Linux would call the file clean, and the second fsync would lie."""
    disk = SimulatedDisk()
    store, _ = open_store(disk)
    disk.faults = {len(disk.calls) + 4: Fault(errno.EIO)}
    assert set(store.write(records(0), 1)) == {IDS[0]}
    assert disk.calls[-4:] == ["fsync", "close", "unlink", "fsync_directory"]
    assert store.write(records(0), 1) == {}
    disk.lose_power(Random(0))
    assert loaded(open_store(disk)[0]) == dict(records(0))


def test_a_record_that_could_not_be_loaded_again_is_not_written() -> None:
    store, _ = open_store(SimulatedDisk())
    failures = store.write([(IDS[0], bytes(FILE_BYTES_MAX)), *records(1)], 1)
    assert {key: error.errno for key, error in failures.items()} == {IDS[0]: errno.EFBIG}
    assert loaded(store) == dict(records(1))
