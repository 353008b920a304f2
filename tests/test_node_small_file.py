"""Small files beside the sessions: what is read is what was written, or nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.small_file import (
    FILE_BYTES_MAX,
    DamagedFileError,
    read_small_file,
    sealed,
    unsealed,
    write_small_file,
)

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
    for text in (TEXT, "other\n"):
        write_small_file(path, text)
        assert read_small_file(path) == text
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == sealed("other\n")


def test_a_file_that_has_grown_beyond_measure_is_not_read_into_memory(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with path.open("wb") as file:
        file.truncate(FILE_BYTES_MAX + 1)
    with pytest.raises(DamagedFileError, match="larger"):
        read_small_file(path)
    write_small_file(path, "x" * 1000)
    assert read_small_file(path) == "x" * 1000


def test_the_form_stays_as_it_is() -> None:
    assert sealed("a = 1\n") == b"a = 1\n# checksum fa5ab3875330ec562eb5dc4f67761bab\n"
