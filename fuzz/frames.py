"""Target: the frames of a stream, cut anywhere. What comes out is what a dumb reader finds.

Input: the limit, how long the pieces are, then the stream.
"""

from fuzz.drawn import Drawn
from ring.errors import RemoteProtocolError
from wire.framing import LENGTH_BYTES, FrameReader, frame


def fuzz(data: bytes) -> None:
    """Check one input."""
    drawn = Drawn(data)
    limit = drawn.one_of((4096, 1, 5, 1 << 20))
    sizes = [1 + drawn.number(40) for _ in range(1 + drawn.number(3))]
    stream = drawn.rest()
    expected, broken = _read_at_once(stream, limit)
    reader, found, failed = FrameReader(limit), list[bytes](), False
    try:
        at = turn = 0
        while at < len(stream):
            piece = stream[at : at + sizes[turn % len(sizes)]]
            reader.receive_data(piece)
            while (payload := reader.next_frame()) is not None:
                found.append(payload)
            assert reader.unread_bytes < LENGTH_BYTES + limit, "more is kept than a frame"
            at, turn = at + len(piece), turn + 1
    except RemoteProtocolError:
        failed = True
    assert found == expected
    assert failed is broken
    assert b"".join(map(frame, found)) == stream[: sum(LENGTH_BYTES + len(one) for one in found)]


def _read_at_once(stream: bytes, limit: int) -> tuple[list[bytes], bool]:
    """Return the frames, and whether one is announced that may not be."""
    found = list[bytes]()
    while len(stream) >= LENGTH_BYTES:
        length = int.from_bytes(stream[:LENGTH_BYTES], "big")
        if not 1 <= length <= limit:
            return found, True
        if len(stream) < LENGTH_BYTES + length:
            break
        found.append(stream[LENGTH_BYTES : LENGTH_BYTES + length])
        stream = stream[LENGTH_BYTES + length :]
    return found, False
