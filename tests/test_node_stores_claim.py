"""A store's directory on this machine: private, its own, and one process's at a time."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from stores import IDS, open_store_at

from node.stores.claim import LOCK_NAME
from ring.effects import Notice
from ring.errors import StoreError, StoreLockedError

HOLD_IT = """
import sys
from node.stores import FileStore, OsDisk

store = FileStore(OsDisk(sys.argv[1], "first", print), print)
store.open()
print("open", flush=True)
sys.stdin.read()
"""


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_process_is_refused_by_name_until_the_first_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD_IT, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"open\n"
        with pytest.raises(StoreLockedError) as refusal:
            open_store_at(tmp_path)
        assert f"node first, process {first.pid}" in str(refusal.value)
        assert str(tmp_path) in str(refusal.value)
        first.send_signal(signal.SIGKILL)
        first.wait()
        open_store_at(tmp_path).close()


def test_a_second_store_of_the_same_process_is_refused(tmp_path: Path) -> None:
    first = open_store_at(tmp_path)
    with pytest.raises(StoreLockedError, match=f"node a, process {os.getpid()}"):
        open_store_at(tmp_path)
    assert first.write([(IDS[0], b"record")], 1) == {}
    first.close()
    first.close()
    open_store_at(tmp_path).close()


def test_a_forked_child_does_not_keep_the_lock_of_a_closed_store(tmp_path: Path) -> None:
    store = open_store_at(tmp_path)
    reads, writes = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writes)
        os.read(reads, 1)
        os._exit(0)
    store.close()
    open_store_at(tmp_path).close()
    os.close(writes)
    os.close(reads)
    os.waitpid(child, 0)


def test_directories_and_files_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "store"
    before = os.umask(0)
    try:
        store = open_store_at(path)
        store.write([(IDS[0], b"record")], 1)
        (path / "foreign").write_bytes(b"")
        assert len(list(store.load())) == 1
        store.close()
    finally:
        os.umask(before)
    assert mode_of(path.parent) == mode_of(path) == mode_of(path / "set-aside") == 0o700
    assert {mode_of(file) for file in path.iterdir() if file.is_file()} == {0o600}


def test_a_directory_that_others_may_read_is_made_private_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "store"
    path.mkdir()
    path.chmod(0o755)
    notices: list[Notice] = []
    open_store_at(path, notices).close()
    assert mode_of(path) == 0o700
    assert [(n.event, n.fields["mode_was"]) for n in notices] == [("store_made_private", "0755")]


def test_a_directory_with_other_files_is_refused_untouched(tmp_path: Path) -> None:
    """A store sets aside what it does not know: not so in somebody's home."""
    (tmp_path / "thesis.txt").write_bytes(b"years of work")
    tmp_path.chmod(0o755)
    with pytest.raises(StoreError, match=r"other files \('thesis.txt'\): give the store a dir"):
        open_store_at(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    assert mode_of(tmp_path) == 0o755


def test_session_files_copied_into_a_new_directory_are_taken(tmp_path: Path) -> None:
    """So a backup is restored by copying its files, with or without the lock file."""
    old, new = tmp_path / "old", tmp_path / "new"
    store = open_store_at(old)
    store.write([(IDS[0], b"record")], 1)
    store.close()
    new.mkdir()
    for file in old.glob("*.session"):
        (new / file.name).write_bytes(file.read_bytes())
    assert [stored.session_id for stored in open_store_at(new).load()] == [IDS[0]]
    assert (new / LOCK_NAME).exists()


def test_a_path_that_is_no_directory_is_refused_with_its_name(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    for not_a_store in (path, path / "below"):
        with pytest.raises(StoreError, match=str(not_a_store)):
            open_store_at(not_a_store)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_is_refused(tmp_path: Path) -> None:
    """Else a node once started as root leaves files that its own user cannot read."""
    os.chown(tmp_path, 1, -1)
    with pytest.raises(StoreError, match="belongs to user 1, and this process runs as 0"):
        open_store_at(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_file_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    store = tmp_path / "store"
    store.mkdir()
    (store / LOCK_NAME).symlink_to(target)
    with pytest.raises(StoreError):
        open_store_at(store)
    assert not target.exists()
