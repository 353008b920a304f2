"""The bytes of a session file: read back exactly, or not at all."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.stores import Stored
from node.stores.session_file import FORMAT_VERSION, UnreadableFileError, decode, encode, file_name
from ring.identity import SessionId

ids = st.binary(min_size=1, max_size=60).map(SessionId)
records = st.builds(
    Stored,
    session_id=ids,
    portable=st.binary(max_size=300),
    written_ms=st.integers(0, 2**64 - 1),
)

AN_ID = SessionId(b"a.0123456789abcdefghijkl")
A_FILE = encode(Stored(AN_ID, b"a record", 1_700_000_000_000))


@given(records)
def test_what_is_written_is_read_back(stored: Stored) -> None:
    assert decode(file_name(stored.session_id), encode(stored)) == stored


def test_every_changed_bit_is_noticed() -> None:
    for position in range(len(A_FILE)):
        for bit in range(8):
            rotten = bytearray(A_FILE)
            rotten[position] ^= 1 << bit
            with pytest.raises(UnreadableFileError):
                decode(file_name(AN_ID), bytes(rotten))


def test_every_torn_file_is_noticed() -> None:
    for size in range(len(A_FILE)):
        for torn in (A_FILE[:size], A_FILE[:size] + bytes(len(A_FILE) - size)):
            with pytest.raises(UnreadableFileError):
                decode(file_name(AN_ID), torn)


@given(st.binary(min_size=1, max_size=100))
def test_a_file_with_more_at_its_end_is_not_read(more: bytes) -> None:
    with pytest.raises(UnreadableFileError, match=f"it has {len(A_FILE) + len(more)} bytes"):
        decode(file_name(AN_ID), A_FILE + more)


@given(st.binary(max_size=200))
def test_foreign_bytes_are_never_read_as_a_session(content: bytes) -> None:
    with pytest.raises(UnreadableFileError):
        decode(file_name(AN_ID), content)


def test_a_session_under_anothers_name_is_not_read() -> None:
    """Otherwise a file copied by hand would bring back an older state of a session."""
    other = file_name(SessionId(b"a.another-0123456789abcd"))
    with pytest.raises(UnreadableFileError, match="belongs under another name"):
        decode(other, A_FILE)


def test_a_newer_form_is_told_from_a_damaged_file() -> None:
    """Whatever follows the version may look different by then."""
    newer = A_FILE[:8] + (FORMAT_VERSION + 1).to_bytes(2, "big") + b"of a form not known yet"
    with pytest.raises(UnreadableFileError, match="format version 2 is newer than 1") as caught:
        decode(file_name(AN_ID), newer)
    assert "start the newer sessionring again" in caught.value.remedy


def test_a_name_is_a_hash_and_never_the_id() -> None:
    name = file_name(SessionId(b"../../etc/passwd"))
    assert re.fullmatch("[0-9a-f]{32}[.]session", name)


def test_version_1_stays_as_it_is() -> None:
    """Stores of earlier releases must open for ever."""
    assert file_name(AN_ID) == "ccb977a30b8909b2bd8026404ddeb922.session"
    assert A_FILE.hex(" ", -8) == (
        "73736e72696e670a "  # magic
        "0001 0018 00000008 "  # version, lengths of the id and of the record
        "0000018bcfe56800 "  # written_ms
        "d92215225f29ed3d a5ad815bec0ca2d2 "  # checksum
        "612e303132333435 3637383961626364 65666768696a6b6c "  # id
        "61207265636f7264"  # record
    ).replace("0001 0018 00000008", "0001001800000008")
