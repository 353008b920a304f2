"""An entry: a stamp and a packed value, and the keys under which entries say something special.

Rules:
- An entry is 8 bytes of stamp, big-endian, then a packed value; nothing after the stamp means
  "removed". So the greater stamp wins, and on equal stamps the greater bytes, by one comparison
  of bytes.
- A key that begins with a zero byte is reserved: it says something about the session itself.
- An entry's hash names it together with its key; a record's digest adds them up.
"""

import struct
from enum import IntEnum
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from ring.clock import STAMP_BYTES, Stamp

ACCESSED: Final = b"\x00a"
CREATED: Final = b"\x00c"
EXPIRED: Final = b"\x00e"
MAX_IDLE: Final = b"\x00i"
LIFETIME: Final = b"\x00l"
PRINCIPAL: Final = b"\x00p"
ROTATED: Final = b"\x00n"
"""Its stamp says when the session got this id in place of another one."""
REMEMBERED: Final = b"\x00r"
ENDED: Final = b"\x00x"
RESERVED: Final = frozenset(
    {ACCESSED, CREATED, EXPIRED, MAX_IDLE, LIFETIME, PRINCIPAL, ROTATED, REMEMBERED, ENDED}
)


PRINCIPAL_BYTES_MAX: Final = 255
"""The longest name of a principal, in UTF-8."""
KEY_BYTES_MAX: Final = 512
ENTRIES_MAX: Final = 4096
NIL: Final = b"\xc0"
"""msgpack's nil: the value of an entry that says all by its stamp."""


_STAMP: Final = struct.Struct(">Q")


_SHORT_BYTES_MAX: Final = 64


class EndReason(IntEnum):
    """Why a session ended. The greater one wins: a deletion also ends what a rotation moved."""

    ROTATED = 1
    DELETED = 2


def entry_hash(key: bytes, entry: bytes) -> int:
    """Return 64 bits that name this entry under this key: a part of the digest."""
    # An entry is hashed when it comes and when it goes, often soon after; large ones are not kept.
    return (_short_hash if len(entry) <= _SHORT_BYTES_MAX else _hash)(key, entry)


def _hash(key: bytes, entry: bytes) -> int:
    content = len(key).to_bytes(2, "big") + key + entry
    return int.from_bytes(blake2b(content, digest_size=8).digest(), "big")


_short_hash = lru_cache(maxsize=4096)(_hash)


WHOLE_HASH: Final = entry_hash(b"", b"whole")
"""What being whole adds to a digest."""


def make_entry(stamp: Stamp, value: bytes | None) -> bytes:
    """Return the entry of a packed value, or of "removed" for None."""
    return _STAMP.pack(stamp) + (value or b"")


def entry_stamp(entry: bytes) -> Stamp:
    """Return the stamp of an entry."""
    return Stamp(int.from_bytes(entry[:STAMP_BYTES], "big"))


@lru_cache(maxsize=64)
def coalescing_s(max_idle_s: float) -> float:
    """Return how long after an access the next one is not written: min(60 s, max idle / 10).

    A session that never expires has no max idle to go by: 60 s.
    """
    return min(60.0, max_idle_s / 10) if max_idle_s > 0 else 60.0


def end_order(entry: bytes) -> tuple[bytes, bytes]:
    """Return by what tombstones are compared: the reason, then stamp and story."""
    return entry[STAMP_BYTES : STAMP_BYTES + 1], entry
