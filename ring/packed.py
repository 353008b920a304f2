"""A record's two byte forms, and what can be read from them without decoding.

*Portable*, for frames and disks: one byte of flags, the access stamp and idle age if there is one,
then a msgpack array of key, entry, key, entry, ... in ascending order of keys. *Held*, in a table:
a fixed header with digest, due time and the second of the oldest end or removal, in front of the
same array; one bytes object per session costs 762 B for 512 B of attributes, where decoded dicts
cost 3,563 B (measured), and the garbage collector never looks at it.

Rule: the held form was made here and is trusted; the portable form comes from anywhere, and what
can be wrong with it is a ``RecordFormatError``.
"""

import operator
import struct
from itertools import chain
from math import inf
from typing import Final

import msgpack

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import ACCESSED, ENTRIES_MAX, KEY_BYTES_MAX
from ring.errors import RecordFormatError

SENDABLE_BYTES_MAX: Final = (1 << 20) - 4096
"""A record's portable form and an envelope fit into a frame of 1 MiB."""
EMPTY_FRAGMENT: Final = b"\x00\x90"
"""A fragment without an entry, in portable form: asks whether the peer holds."""
IDLE_MS_MAX: Final = 1 << 48

WHOLE: Final = 1
FULL: Final = 2
HAS_ACCESSED: Final = 4
ENDED_FLAG: Final = 8
ACCESS: Final = struct.Struct(">QQ")
HELD: Final = struct.Struct(">BQQddI")
_DUE_AT: Final = struct.calcsize(">BQQd")
_MINUS_INFINITE: Final = struct.pack(">d", -inf)[0]
NEVER_S: Final = (1 << 32) - 1
"""In place of the second of the oldest end or removal, where there is none."""
_BODY_BYTES_MAX: Final = 1 << 20
_RESERVED_BYTES: Final = 512
"""Where entries under reserved keys usually end."""


def is_sendable(portable: bytes) -> bool:
    """Return whether a record in portable form, if there is one, fits into a frame.

    Two sides of a cut may together make of a session more than either of them would let a client
    write. Such a record stays where it is, until its client makes it smaller.
    """
    return 0 < len(portable) <= SENDABLE_BYTES_MAX and _count(portable) <= ENTRIES_MAX


def held_digest(held: bytes) -> int:
    """Return the digest of a held record without decoding it."""
    return int.from_bytes(held[1:9], "big")


def held_access(held: bytes) -> tuple[Stamp, float]:
    """Return the stamp of the last access, 0 for none, and when it was in monotonic seconds."""
    _, _, accessed, accessed_at, _, _ = HELD.unpack_from(held)
    return accessed, accessed_at


def held_due(held: bytes) -> float:
    """Return when a held record expires, in monotonic seconds; -inf: it is marked expired."""
    due: float = HELD.unpack_from(held)[4]
    return due


def held_forgettable_s(held: bytes) -> int:
    """Return the second, since 1970, of the oldest end or removal in a held record."""
    return int.from_bytes(held[HELD.size - 4 : HELD.size], "big")


def held_is_ended(held: bytes) -> bool:
    """Return whether a held record is a tombstone."""
    return bool(held[0] & ENDED_FLAG)


def held_is_alive(held: bytes) -> bool:
    """Return whether a held record is whole, not ended, and not marked as expired.

    Read from two bytes, since every change of a table asks: of no finite due time is the first
    byte that of minus infinity.
    """
    return held[0] & (WHOLE | ENDED_FLAG) == WHOLE and held[_DUE_AT] != _MINUS_INFINITE


def held_serves(held: bytes, now: float) -> bool:
    """Return whether a held record is whole, not ended and not expired at ``now``."""
    flags, _, _, _, due, _ = HELD.unpack_from(held)
    return bool(flags & WHOLE) and not flags & ENDED_FLAG and due > now


def held_is_whole(held: bytes) -> bool:
    """Return whether a held record is whole; tombstones always are."""
    return bool(held[0] & WHOLE)


def held_touch_may_be_due(held: bytes, now: float) -> bool:
    """Return False if an access at ``now`` is too close to the last one to be written.

    Max idle itself is not in the header. An idle session is due 11 tenths of max idle after its
    access, or max idle and 60 s; so an 11th of that, at most 60 s, is what may be kept back. Near
    the end of a lifetime the answer is True too early: ``Record.touch_due`` decides.
    """
    _, _, _, accessed_at, due, _ = HELD.unpack_from(held)
    return bool(now - accessed_at >= min(60.0, (due - accessed_at) / 11))


def held_reserved(held: bytes) -> dict[bytes, bytes]:
    """Return the entries under reserved keys, which come first, without decoding the others."""
    body = held[HELD.size :]
    for bytes_max in (_RESERVED_BYTES, len(body)):
        reader = msgpack.Unpacker(max_buffer_size=0)
        reader.feed(body[:bytes_max])
        entries = dict[bytes, bytes]()
        try:
            for _ in range(reader.read_array_header() // 2):
                key = reader.unpack()
                if key[0]:
                    break
                entries[key] = reader.unpack()
        except msgpack.OutOfData:
            continue
        return entries
    raise AssertionError("what is held is all there")


def held_summary(held: bytes, entries: dict[bytes, bytes], now: float) -> bytes:
    """Return a fragment of a held record, in portable form: its access, and these entries of it."""
    _, _, accessed, accessed_at, _, _ = HELD.unpack_from(held)
    return spell_portable(0, accessed, accessed_at, now, pack(entries))


def held_portable(held: bytes, now: float) -> bytes:
    """Return the portable form of a held record without decoding it."""
    flags, _, accessed, accessed_at, _, _ = HELD.unpack_from(held)
    return spell_portable(FULL | (flags & WHOLE), accessed, accessed_at, now, held[HELD.size :])


def aged(portable: bytes, absence_s: float) -> bytes:
    """Return ``portable`` with its idle age grown by ``absence_s``, as after lying on a disk."""
    if not portable or not portable[0] & HAS_ACCESSED or len(portable) < 1 + ACCESS.size:
        return portable
    accessed, idle_ms = ACCESS.unpack_from(portable, 1)
    older = min(IDLE_MS_MAX, idle_ms + max(0, round(absence_s * 1000)))
    return portable[:1] + ACCESS.pack(accessed, older) + portable[1 + ACCESS.size :]


def _count(portable: bytes) -> int:
    """Return how many entries a portable form made here has, by its array's header."""
    start = 1 + ACCESS.size if portable[0] & HAS_ACCESSED else 1
    head = portable[start]
    if head < 0xDC:
        return (head & 15) // 2
    length = 2 if head == 0xDC else 4
    return int.from_bytes(portable[start + 1 : start + 1 + length], "big") // 2


def spell_portable(
    flags: int, accessed: Stamp, accessed_at: float, now: float, body: bytes
) -> bytes:
    """Return the portable form with this packed array of entries."""
    if not accessed:
        return bytes([flags]) + body
    idle_ms = min(IDLE_MS_MAX, max(0, int((now - accessed_at) * 1000)))
    return bytes([flags | HAS_ACCESSED]) + ACCESS.pack(accessed, idle_ms) + body


def pack(entries: dict[bytes, bytes]) -> bytes:
    """Return entries, their keys ascending, as both forms carry them."""
    packed: bytes = msgpack.packb(list(chain.from_iterable(entries.items())))
    return packed


def unpack(body: bytes) -> dict[bytes, bytes]:
    """Return checked entries; what a peer or a disk can get wrong is a RecordFormatError."""
    try:
        flat = msgpack.unpackb(
            body,
            max_bin_len=_BODY_BYTES_MAX,
            max_array_len=2 * ENTRIES_MAX,
            max_str_len=0,
            max_map_len=0,
            max_ext_len=0,
        )
    except (ValueError, TypeError, msgpack.UnpackException) as error:
        raise RecordFormatError(f"a record's entries are not msgpack: {error}") from error
    if type(flat) is not list or len(flat) % 2:
        raise RecordFormatError("a record's entries are not a flat list of key, entry")
    if not flat:
        return {}
    # Every received record passes here: C-level loops take a third of the time of a written one.
    if set(map(type, flat)) != {bytes}:
        raise RecordFormatError("keys and entries are bytes")
    keys, entries = flat[::2], flat[1::2]
    if not (keys[0] and all(map(operator.lt, keys, keys[1:]))):
        raise RecordFormatError("keys are not empty, and ascend")
    if max(map(len, keys)) > KEY_BYTES_MAX or ACCESSED in keys:
        raise RecordFormatError("a key has at most 512 bytes, and is never the access")
    if min(map(len, entries)) < STAMP_BYTES:
        raise RecordFormatError("an entry begins with a stamp of 8 bytes")
    return dict(zip(keys, entries, strict=True))
