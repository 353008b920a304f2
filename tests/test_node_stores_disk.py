"""The store on this machine's disk: full, out of descriptors, and with strange files in it."""

import errno
import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from stores import IDS, loaded, open_store_at

from node.stores.session_file import file_name
from node.stores.spares import SPARE_BYTES_MAX
from ring.effects import Notice


def names_in(path: Path) -> list[str]:
    return sorted(file.name for file in path.iterdir())


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@contextmanager
def limit(which: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(which)
    resource.setrlimit(which, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(which, (soft, hard))


def test_a_store_comes_back_as_it_was_left(tmp_path: Path) -> None:
    store = open_store_at(tmp_path)
    large = {IDS[number]: os.urandom(number * 4099) for number in range(40)}
    assert store.write(list(large.items()), 1) == {}
    assert store.write([(IDS[0], None), (IDS[50], None)], 2) == {}
    del large[IDS[0]]
    assert loaded(store) == large
    store.close()
    again = open_store_at(tmp_path)
    assert loaded(again) == large
    again.close()
    assert len(names_in(tmp_path)) == len(large) + 1


def test_a_file_over_its_limit_fails_as_itself_and_the_older_one_stays(tmp_path: Path) -> None:
    """RLIMIT_FSIZE cuts the write short first, and then refuses it, as a full disk does."""
    store = open_store_at(tmp_path)
    assert store.write([(IDS[0], b"older")], 1) == {}
    with limit(resource.RLIMIT_FSIZE, 1000):
        failures = store.write([(IDS[0], bytes(5000)), (IDS[1], b"fits")], 2)
    assert {key: error.errno for key, error in failures.items()} == {IDS[0]: errno.EFBIG}
    assert loaded(store) == {IDS[0]: b"older", IDS[1]: b"fits"}
    assert not [name for name in names_in(tmp_path) if name.endswith(".tmp")]
    assert store.write([(IDS[0], bytes(5000))], 3) == {}
    assert loaded(store) == {IDS[0]: bytes(5000), IDS[1]: b"fits"}


def test_a_process_out_of_descriptors_fails_the_rest_and_heals(tmp_path: Path) -> None:
    store = open_store_at(tmp_path)
    before = descriptors()
    batch = [(session_id, b"record") for session_id in IDS]
    with limit(resource.RLIMIT_NOFILE, before + 10):
        failures = store.write(batch, 1)
    assert failures
    assert {error.errno for error in failures.values()} == {errno.EMFILE}
    assert descriptors() == before
    assert set(loaded(store)) == set(IDS) - set(failures)
    assert store.write(batch, 2) == {}
    assert loaded(store) == dict(batch)
    with limit(resource.RLIMIT_NOFILE, before + 10):
        assert loaded(store) == dict(batch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "small"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small disk takes root, and the right to mount a tmpfs")
    try:
        yield path
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_fails_what_does_not_fit_and_heals_when_there_is_room(
    small_disk: Path,
) -> None:
    store = open_store_at(small_disk)
    older = [(session_id, b"older") for session_id in IDS[:4]]
    assert store.write(older, 1) == {}
    ballast = small_disk / "set-aside"
    ballast.mkdir()
    (ballast / "ballast").write_bytes(bytes(36 << 10))
    newer = [(session_id, bytes(3000)) for session_id in IDS[:10]]
    failures = store.write(newer, 2)
    assert 0 < len(failures) < 10
    assert {error.errno for error in failures.values()} == {errno.ENOSPC}
    done = {key: value for key, value in newer if key not in failures}
    assert loaded(store) == {**dict(older), **done}
    (ballast / "ballast").unlink()
    assert store.write(newer, 3) == {}
    store.close()
    again = open_store_at(small_disk)
    assert loaded(again) == dict(newer)
    again.close()


def test_a_node_starts_on_a_disk_that_is_full(small_disk: Path) -> None:
    store = open_store_at(small_disk)
    store.write([(IDS[0], b"record")], 1)
    store.close()
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "1.tmp").write_bytes(bytes(100 << 10))
    (small_disk / "1.tmp").rename(small_disk / "2.session")
    notices: list[Notice] = []
    store = open_store_at(small_disk, notices)
    assert loaded(store) == {IDS[0]: b"record"}
    assert len(notices) == 1


def test_links_pipes_and_directories_are_neither_followed_nor_waited_for(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"not for the store")
    path = tmp_path / "store"
    open_store_at(path).close()
    (path / file_name(IDS[0])).symlink_to(secret)
    os.mkfifo(path / file_name(IDS[1]))
    (path / file_name(IDS[2])).mkdir()
    notices: list[Notice] = []
    store = open_store_at(path, notices)
    assert loaded(store) == {}
    assert sorted(str(notice.fields["file"]) for notice in notices) == sorted(
        [file_name(IDS[0]), file_name(IDS[1])]
    )
    assert (path / "set-aside" / f"{file_name(IDS[0])}.1").is_symlink()
    assert secret.read_bytes() == b"not for the store"
    failures = store.write([(IDS[0], b"record"), (IDS[2], b"record")], 1)
    assert {key: error.errno for key, error in failures.items()} == {IDS[2]: errno.EISDIR}


def test_a_backup_made_of_hard_links_keeps_the_state_it_was_made_of(tmp_path: Path) -> None:
    """A replaced file is written over only if nothing else still has it."""
    path, backup = tmp_path / "store", tmp_path / "backup"
    store = open_store_at(path)
    store.write([(IDS[0], b"as backed up")], 1)
    backup.hardlink_to(path / file_name(IDS[0]))
    for number in range(4):
        store.write([(IDS[0], b"version %d" % number)], 2)
    assert b"as backed up" in backup.read_bytes()


def test_large_or_public_files_are_not_kept_to_be_written_over(tmp_path: Path) -> None:
    """They would hold room that nobody needs, or show the next session to others."""
    store = open_store_at(tmp_path)
    store.write([(IDS[0], bytes(SPARE_BYTES_MAX)), (IDS[1], b"public")], 1)
    (tmp_path / file_name(IDS[1])).chmod(0o644)
    store.write([(IDS[0], b"small"), (IDS[1], b"private")], 1)
    assert not [name for name in names_in(tmp_path) if name.endswith(".tmp")]


def test_a_file_of_exactly_one_read_is_read_whole(tmp_path: Path) -> None:
    store = open_store_at(tmp_path)
    for size in range((64 << 10) - 80, (64 << 10) + 3):
        store.write([(IDS[0], bytes(size))], 1)
        assert loaded(store) == {IDS[0]: bytes(size)}


def test_a_file_larger_than_any_session_is_set_aside(tmp_path: Path) -> None:
    notices: list[Notice] = []
    store = open_store_at(tmp_path, notices)
    with (tmp_path / file_name(IDS[0])).open("wb") as file:
        file.truncate(1 << 40)
    assert loaded(store) == {}
    assert notices[0].fields["reason"] == "it is larger than any session"
