"""Frames: cut anywhere, they come out the same; a length is checked before anything is kept."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ring.errors import LocalProtocolError, RemoteProtocolError
from wire.framing import LENGTH_BYTES, FrameReader, frame
from wire.limits import FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX


def frames_of(reader: FrameReader) -> Iterator[bytes]:
    """Take every complete frame."""
    while (payload := reader.next_frame()) is not None:
        yield payload


def test_a_frame_is_its_length_big_endian_and_its_payload() -> None:
    assert frame(b"abc") == b"\x00\x00\x00\x03abc"


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=20),
    st.lists(st.integers(0, 60), max_size=40),
    st.sampled_from([bytes, bytearray, memoryview]),
)
def test_frames_come_out_the_same_wherever_they_were_cut(
    payloads: list[bytes],
    pieces: list[int],
    kind: type[bytes] | type[bytearray] | type[memoryview],
) -> None:
    stream = b"".join(map(frame, payloads))
    reader = FrameReader(50)
    received: list[bytes] = []
    start = 0
    for size in [*pieces, len(stream)]:
        reader.receive_data(kind(stream[start : start + size]))
        start += size
        received += frames_of(reader)
    assert received == payloads
    assert reader.unread_bytes == 0


def test_half_a_frame_is_no_frame() -> None:
    reader = FrameReader(10)
    for byte in frame(b"abc")[:-1]:
        reader.receive_data(bytes([byte]))
        assert reader.next_frame() is None
    assert reader.unread_bytes == LENGTH_BYTES + 2


@pytest.mark.parametrize("limit", [HANDSHAKE_FRAME_BYTES_MAX, FRAME_BYTES_MAX])
def test_a_frame_of_just_the_limit_passes_and_one_byte_more_does_not(limit: int) -> None:
    reader = FrameReader(limit)
    reader.receive_data(frame(bytes(limit)))
    assert reader.next_frame() == bytes(limit)
    with pytest.raises(RemoteProtocolError, match=f"{limit + 1} bytes is announced; {limit} are"):
        reader.receive_data(frame(bytes(limit + 1)))


@pytest.mark.parametrize("cut", range(LENGTH_BYTES + 1))
def test_nothing_is_kept_for_a_length_over_the_limit(cut: int) -> None:
    """However the length itself is cut up; else 1,000 strangers could make us hold a lot."""
    reader = FrameReader(100)
    hostile = frame(bytes(101))
    reader.receive_data(hostile[:cut][: LENGTH_BYTES - 1])
    with pytest.raises(RemoteProtocolError, match="a frame of 101 bytes is announced"):
        reader.receive_data(hostile[:cut][LENGTH_BYTES - 1 :] + hostile[cut:])
    assert reader.unread_bytes < LENGTH_BYTES


def test_a_length_over_the_limit_behind_a_good_frame_is_found_after_it() -> None:
    reader = FrameReader(100)
    reader.receive_data(frame(b"good") + frame(bytes(101)))
    assert reader.next_frame() == b"good"
    with pytest.raises(RemoteProtocolError, match="101 bytes is announced"):
        reader.next_frame()


def test_an_empty_frame_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="without a payload"):
        FrameReader(100).receive_data(bytes(LENGTH_BYTES))


@pytest.mark.parametrize(
    ("beginning", "name"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP"),
        (b"POST /login HTTP/1.1\r\n", "HTTP"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
    ],
)
@pytest.mark.parametrize("limit", [HANDSHAKE_FRAME_BYTES_MAX, FRAME_BYTES_MAX])
def test_another_protocol_on_the_port_is_named(beginning: bytes, name: str, limit: int) -> None:
    with pytest.raises(RemoteProtocolError, match=f"^this looks like {name}, which") as caught:
        FrameReader(limit).receive_data(beginning)
    assert "\n" not in str(caught.value)


def test_the_limit_may_be_raised_between_two_frames_of_one_piece() -> None:
    """As when a welcome and the first messages arrive together."""
    reader = FrameReader(10)
    reader.receive_data(frame(b"welcome") + frame(bytes(20)))
    assert reader.next_frame() == b"welcome"
    reader.payload_bytes_max = 20
    assert reader.next_frame() == bytes(20)


def test_frames_that_are_not_taken_do_not_pile_up() -> None:
    """The mistake would be this side's, and it is told; a peer cannot cause it."""
    reader = FrameReader(10)
    reader.receive_data(frame(b"0123456789") * 2)
    with pytest.raises(LocalProtocolError, match="take every complete frame"):
        reader.receive_data(b"x")
    assert list(frames_of(reader)) == [b"0123456789"] * 2


def test_no_byte_is_moved_more_than_a_few_times() -> None:
    """Work that grew with the square of the bytes would take minutes for either of these."""
    reader = FrameReader(FRAME_BYTES_MAX)
    reader.receive_data(frame(b"x") * 100_000)
    assert sum(1 for _ in frames_of(reader)) == 100_000
    big = frame(bytes(FRAME_BYTES_MAX))
    for start in range(0, len(big), 64):
        assert reader.next_frame() is None
        reader.receive_data(big[start : start + 64])
    assert reader.next_frame() == bytes(FRAME_BYTES_MAX)


def test_what_was_received_can_be_forgotten() -> None:
    reader = FrameReader(10)
    reader.receive_data(frame(b"abc")[:-1])
    reader.clear()
    assert reader.unread_bytes == 0
    assert reader.next_frame() is None
