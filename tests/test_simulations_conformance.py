"""Stores by the tests for stores: ours pass all of them, broken ones fail with a story."""

import fcntl
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from unittest.mock import patch

import pytest
from memory_store import MemoryStore

from node.stores import FileStore, OsDisk, Report, Store, Stored
from node.stores.session_file import file_name
from node.stores.set_aside import SET_ASIDE
from ring.effects import Notice
from ring.errors import StoreLockedError
from ring.identity import SessionId
from simulations.conformance import StoreConformance

Change = tuple[SessionId, bytes | None]


class TestFileStore(StoreConformance):
    def make(self, directory: Path, report: Report) -> Store:
        return FileStore(OsDisk(directory, "a", report), report)


class TestMemoryStore(StoreConformance):
    """Its next life begins with what the last one had."""

    locks = False

    def make(self, directory: Path, report: Report) -> Store:
        before: MemoryStore | None = vars(self).setdefault("latest", {}).get(directory)
        kept = list[Stored]()
        if before is not None:
            kept = [each for each in before.loaded if each.session_id not in before.records]
            kept += [
                Stored(session_id, portable, before.written_ms[session_id])
                for session_id, portable in before.records.items()
                if portable is not None
            ]
        store = vars(self)["latest"][directory] = MemoryStore(*kept)
        return store


# --- and the tests have teeth ---------------------------------------------------------------


class LazyStore(FileStore):
    """Writes when it is closed."""

    waiting: tuple[Change, ...] = ()

    def write(self, changes: Sequence[Change], written_ms: int) -> Mapping[SessionId, OSError]:
        self.waiting += tuple(changes)
        self.written_ms = written_ms
        return {}

    def close(self) -> None:
        if self.waiting:
            super().write(self.waiting, self.written_ms)
        self.waiting = ()
        super().close()


class RaisingStore(FileStore):
    """Raises what it should return."""

    def write(self, changes: Sequence[Change], written_ms: int) -> Mapping[SessionId, OSError]:
        for failure in super().write(changes, written_ms).values():
            raise failure
        return {}


class BoastingStore(FileStore):
    """Says that everything was written."""

    def write(self, changes: Sequence[Change], written_ms: int) -> Mapping[SessionId, OSError]:
        super().write(changes, written_ms)
        return {}


class FirstStore(FileStore):
    """Takes the first of several changes in a batch."""

    def write(self, changes: Sequence[Change], written_ms: int) -> Mapping[SessionId, OSError]:
        return super().write(changes[::-1], written_ms)


class LoyalStore(FileStore):
    """Works in one thread only, as connections to databases do."""

    def open(self) -> None:
        self.thread = threading.current_thread()  # The number of one that ended is given again.
        super().open()

    def write(self, changes: Sequence[Change], written_ms: int) -> Mapping[SessionId, OSError]:
        if threading.current_thread() is not self.thread:
            raise RuntimeError("objects made in one thread can only be used there")
        return super().write(changes, written_ms)


class ChattyStore(FileStore):
    """Says something at each open, and nothing of what it could not read."""

    def __init__(self, disk: OsDisk, report: Report) -> None:
        super().__init__(disk, lambda notice: None)
        self.say = report

    def open(self) -> None:
        super().open()
        self.say(Notice("store_opened", {}))


class TidyStore(FileStore):
    """Deletes what it could not read."""

    def __init__(self, disk: OsDisk, report: Report) -> None:
        super().__init__(disk, report)
        self.directory = Path(disk._path)

    def load(self) -> Iterator[Stored]:
        yield from super().load()
        shutil.rmtree(self.directory / SET_ASIDE, ignore_errors=True)


class ForgetfulStore(FileStore):
    """Throws away what it is to set aside."""

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        return {}


class HalfStore(FileStore):
    """Sets the first one aside."""

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        return super().set_aside(records[:1], written_ms)


class OpenDisk(OsDisk):
    """Takes a directory that another one has."""

    def attach(self) -> None:
        with patch("node.stores.claim.fcntl.flock"):
            super().attach()


class OpenStore(FileStore):
    def __init__(self, disk: OsDisk, report: Report) -> None:
        super().__init__(OpenDisk(disk._path, "a", report), report)


def case_blind(session_id: SessionId) -> str:
    return file_name(SessionId(session_id.lower()))


def no_checksum() -> AbstractContextManager[object]:
    return patch("node.stores.session_file._checksum", lambda lengths, content: bytes(16))


def no_case() -> AbstractContextManager[object]:
    return patch.multiple("node.stores.file", file_name=case_blind)


@pytest.mark.parametrize(
    ("kind", "spoiled", "test", "story"),
    [
        (LazyStore, nullcontext, "a_kill_takes_nothing_that_was_written", "not there"),
        (
            RaisingStore,
            nullcontext,
            "what_could_not_be_written_is_named",
            r"write raised OSError\(27.* has to return each change",
        ),
        (
            BoastingStore,
            nullcontext,
            "what_could_not_be_written_is_named",
            "a change was not named as failed.*found b'before'",
        ),
        (
            FirstStore,
            nullcontext,
            "of_several_changes_to_one_session_the_last_one_counts",
            "is b'first'; what was written last is b'last'",
        ),
        (
            OpenStore,
            nullcontext,
            "a_second_one_is_refused_until_the_first_is_closed",
            "a second store was opened.*StoreLockedError",
        ),
        (
            FileStore,
            no_checksum,
            "what_is_damaged_is_reported_and_not_served",
            "byte .* was changed, and a record was loaded that nobody has written so",
        ),
        (
            ChattyStore,
            nullcontext,
            "what_is_damaged_is_reported_and_not_served",
            "1 of 5 records were not loaded, of which nothing was reported",
        ),
        (
            TidyStore,
            nullcontext,
            "what_is_damaged_is_reported_and_not_served",
            "a record that was not loaded is not in the files any more",
        ),
        (
            ForgetfulStore,
            nullcontext,
            "what_is_set_aside_is_never_loaded_again",
            "4 records were set aside, and 4 of them are not in the files",
        ),
        (
            HalfStore,
            nullcontext,
            "what_is_set_aside_is_never_loaded_again",
            "4 records were set aside, and 2 of them are not in the files",
        ),
        (FileStore, no_case, "ids_that_look_alike_are_kept_apart", "what was written last"),
    ],
)
def test_a_broken_store_fails_with_a_story(
    kind: type[FileStore],
    spoiled: Callable[[], AbstractContextManager[object]],
    test: str,
    story: str,
    tmp_path: Path,
) -> None:
    class Broken(StoreConformance):
        def make(self, directory: Path, report: Report) -> Store:
            return kind(OsDisk(directory, "a", report), report)

    with spoiled(), pytest.raises(AssertionError, match=story):
        getattr(Broken(), f"test_{test}")(tmp_path)


class PosixStore(FileStore):
    """Keeps out other processes, by a lock that its own one does not feel."""

    def __init__(self, disk: OsDisk, report: Report) -> None:
        super().__init__(disk, report)
        self.lock_path = Path(disk._path).parent / "lock"

    def open(self) -> None:
        self.lock = self.lock_path.open("w")
        try:
            fcntl.lockf(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreLockedError("another process has it") from error
        with patch("node.stores.claim.fcntl.flock"):
            super().open()

    def close(self) -> None:
        super().close()
        self.lock.close()


def test_a_lock_that_keeps_out_other_processes_will_do(tmp_path: Path) -> None:
    class Posix(StoreConformance):
        def make(self, directory: Path, report: Report) -> Store:
            return PosixStore(OsDisk(directory / "store", "a", report), report)

    Posix().test_a_second_one_is_refused_until_the_first_is_closed(tmp_path)


def test_a_store_of_one_thread_fails(tmp_path: Path) -> None:
    class Broken(StoreConformance):
        def make(self, directory: Path, report: Report) -> Store:
            return LoyalStore(OsDisk(directory, "a", report), report)

    with pytest.raises(RuntimeError, match="one thread"):
        Broken().test_any_thread_may_call_it(tmp_path)


def test_a_subclass_that_makes_no_store_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match=r"make\(directory, report\)"):
        StoreConformance().test_it_may_be_closed_twice(tmp_path)
