"""Small files beside the sessions: what is read is what was written, or nothing."""

import errno
from contextlib import suppress
from itertools import product
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import held

from node.small_file import (
    FILE_BYTES_MAX,
    DamagedFileError,
    read_small_file,
    sealed,
    unsealed,
    write_small_file,
)
from node.stores.disk import FILE_MODE
from simulations.whole.files import Fault, Killed, SimulatedDisk

TEXT = "version = 3\nwhoever = 'ü'\n"


@given(st.text())
def test_what_is_sealed_comes_back(text: str) -> None:
    assert unsealed(sealed(text)) == text


def test_every_changed_bit_is_noticed() -> None:
    """A digit with another bit is another digit: a later version of the ring, a later contact."""
    content = sealed(TEXT)
    for at in range(8 * len(content)):
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(DamagedFileError):
            unsealed(bytes(changed))


def test_every_torn_or_padded_file_is_noticed() -> None:
    content = sealed(TEXT)
    for size in range(len(content)):
        with pytest.raises(DamagedFileError):
            unsealed(content[:size])
    for more in (b"\n", b"\0", b"# more\n", content):
        with pytest.raises(DamagedFileError):
            unsealed(content + more)


@given(st.binary())
def test_foreign_bytes_are_never_read(content: bytes) -> None:
    with pytest.raises(DamagedFileError):
        unsealed(content)


def test_a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file.txt"
    with held(tmp_path) as disk:
        for text in (TEXT, "other\n"):
            write_small_file(disk, "below", "file.txt", text)
            assert read_small_file(disk, "below", "file.txt") == text
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == sealed("other\n")
    assert path.stat().st_mode & 0o777 == FILE_MODE


def test_a_file_that_has_grown_beyond_measure_is_not_read_into_memory(tmp_path: Path) -> None:
    with held(tmp_path) as disk:
        disk.make_directory("below")
        with (tmp_path / "below" / "file.txt").open("wb") as file:
            file.truncate(FILE_BYTES_MAX + 1)
        with pytest.raises(DamagedFileError, match="larger"):
            read_small_file(disk, "below", "file.txt")
        write_small_file(disk, "below", "file.txt", "x" * 1000)
        assert read_small_file(disk, "below", "file.txt") == "x" * 1000


def read_after_all(disk: SimulatedDisk) -> str | None:
    try:
        return read_small_file(disk, "below", "file.txt")
    except FileNotFoundError:
        return None


@pytest.mark.parametrize("before", [None, "before"])
def test_a_process_that_is_killed_at_any_call_leaves_the_old_text_or_the_new_one(
    before: str | None,
) -> None:
    """And the next one writes it, whatever was left beside it."""
    came = set[str | None]()
    for killed_at, seed in product(range(1, 20), range(5)):
        disk = SimulatedDisk()
        if before is not None:
            write_small_file(disk, "below", "file.txt", before)
            disk.restart()
        disk.killed_at = killed_at
        with suppress(Killed):
            write_small_file(disk, "below", "file.txt", "after")
        has_ended = disk.killed_at > len(disk.calls) + 1
        disk.lose_power(Random(seed))
        came.add(text := read_after_all(disk))
        assert text in ({"after"} if has_ended else {before, "after"})
        write_small_file(disk, "below", "file.txt", "at last")
        assert read_after_all(disk) == "at last"
    assert came == {before, "after"}


@pytest.mark.parametrize("call", range(1, 9))
def test_a_disk_that_fails_at_any_call_keeps_the_old_text_or_has_the_new_one(call: int) -> None:
    disk = SimulatedDisk()
    write_small_file(disk, "below", "file.txt", "before")
    disk.restart()
    disk.faults = {call: Fault(errno.EIO, short=True)}
    with suppress(OSError):
        write_small_file(disk, "below", "file.txt", "after")
    assert read_after_all(disk) in ("before", "after")
    assert disk.open_descriptors == 0
    write_small_file(disk, "below", "file.txt", "at last")
    assert read_after_all(disk) == "at last"


def test_the_form_stays_as_it_is() -> None:
    assert sealed("a = 1\n") == b"a = 1\n# checksum fa5ab3875330ec562eb5dc4f67761bab\n"
