"""Frames: a length of four bytes, big-endian, and that many bytes of payload.

Rules:
- A length is checked before a byte of its payload is kept, and the limit is the reader's, which
  is small until the peer has authenticated. There are no empty frames.
- What is held is at most one unfinished frame and the last piece received, however the bytes
  are cut up; the work is linear in the bytes.
"""

import struct
from typing import Final

from ring.errors import LocalProtocolError, RemoteProtocolError

LENGTH: Final = struct.Struct(">I")
LENGTH_BYTES: Final = LENGTH.size

_OTHER_PROTOCOLS: Final = (
    ((b"GET ", b"HEAD", b"POST", b"PUT ", b"DELE", b"OPTI", b"PATC", b"CONN", b"TRAC"), "HTTP"),
    ((b"PRI ", b"HTTP"), "HTTP"),
    ((b"\x16\x03",), "TLS"),
    ((b"SSH-",), "SSH"),
)
"""What comes to a port by mistake. As lengths all of these are far above every limit."""


def frame(payload: bytes) -> bytes:
    """Return ``payload`` with its length in front; the caller has checked its size."""
    return LENGTH.pack(len(payload)) + payload


class FrameReader:
    """Cuts a stream of bytes into payloads.

    Args:
        payload_bytes_max: the largest payload to accept, in bytes.
    """

    def __init__(self, payload_bytes_max: int) -> None:
        self.payload_bytes_max = payload_bytes_max
        """May be raised between two frames, once the peer is known."""
        self._buffer = bytearray()
        self._start = 0

    @property
    def unread_bytes(self) -> int:
        """How many bytes are held that no frame has taken yet."""
        return len(self._buffer) - self._start

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Keep ``data`` for ``next_frame``.

        Raises:
            RemoteProtocolError: the frame that begins here is empty or too long; ``data`` was
                not kept.
            LocalProtocolError: complete frames of earlier data were not taken; ``data`` was not
                kept.
        """
        unread = self.unread_bytes
        if unread > LENGTH_BYTES + self.payload_bytes_max:
            raise LocalProtocolError("take every complete frame before receiving more data")
        if self._start:
            del self._buffer[: self._start]
            self._start = 0
        if unread < LENGTH_BYTES:
            header = bytes(self._buffer) + bytes(data[: LENGTH_BYTES - unread])
            if len(header) == LENGTH_BYTES:
                self._check_length(header)
        self._buffer += data

    def next_frame(self) -> bytes | None:
        """Return the payload of the next complete frame, or None: more data is needed.

        Raises:
            RemoteProtocolError: the next frame is empty or too long.
        """
        begin = self._start + LENGTH_BYTES
        if len(self._buffer) < begin:
            return None
        end = begin + self._check_length(self._buffer[self._start : begin])
        if len(self._buffer) < end:
            return None
        with memoryview(self._buffer) as view:
            payload = bytes(view[begin:end])
        if end == len(self._buffer):
            self.clear()
        else:
            self._start = end
        return payload

    def clear(self) -> None:
        """Forget all that is held, and give its memory back."""
        self._buffer = bytearray()
        self._start = 0

    def _check_length(self, header: bytes | bytearray) -> int:
        (length,) = LENGTH.unpack(header)
        if not length:
            raise RemoteProtocolError("a frame without a payload")
        if length > self.payload_bytes_max:
            for beginnings, protocol in _OTHER_PROTOCOLS:
                if header.startswith(beginnings):
                    raise RemoteProtocolError(
                        f"this looks like {protocol}, which is not spoken on this port; "
                        "check the address and the port"
                    )
            raise RemoteProtocolError(
                f"a frame of {length} bytes is announced; {self.payload_bytes_max} are allowed here"
            )
        return int(length)
