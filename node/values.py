"""What an application may keep in a session, and how its bytes look.

Rules:
- Each value comes back as the type it went in as. What would come back as another type (a
  subclass, an enum, a named tuple) is refused when it is packed, with the path to it.
- Equal sets give equal bytes: members are written in the order of their bytes. The order of a
  dict is kept. (``1``, ``1.0`` and ``True`` are equal members with different bytes.)
- Decoding is strict and bounded, and runs no code but constructors and upcasts of registered
  classes.
- ``node.packing`` writes the bytes, ``node.unpacking`` reads them.

The bytes are msgpack. What msgpack has no type for is an extension; big-endian, without padding:

==== ============ ==========================================================================
code type         payload
==== ============ ==========================================================================
1    tuple        msgpack array of the items
2    set          msgpack array of the members, in ascending order of their bytes
3    frozenset    the same
4    datetime     year u16, month u8, day u8, hour u8, minute u8, second u8, microsecond u32,
                  fold u8; for an aware one, its offset from UTC in microseconds, i64
5    date         year u16, month u8, day u8
6    timedelta    days i32, seconds u32 (0 to 86399), microseconds u32 (0 to 999999)
7    UUID         its 16 bytes
8    Decimal      its text in ASCII, as ``str`` writes it
9    registered   msgpack array of the registered name, a map of field name to value and, if the
                  class has a version above 1, the version
==== ============ ==========================================================================

An aware datetime keeps its offset, not the rules of its time zone: it comes back with a
``timezone`` of that offset. None, bool, int, float, str, bytes, list and dict are msgpack's own.
Codes below 0 are msgpack's (its timestamp is not used here); codes are never given a new meaning.
"""

from typing import Final

from node.scalars import SCALARS

NESTING_MAX: Final = 64
"""Containers inside one another; comparing or printing deeper ones may exhaust Python's stack."""

PLAIN_TYPES: Final = frozenset({type(None), bool, int, float, str, bytes})
"""Types of msgpack's own that contain nothing."""

IMMUTABLE_TYPES: Final = PLAIN_TYPES | frozenset(SCALARS)
"""Types whose values cannot change in place. A tuple is not among them: its items may."""

KEY_TYPES: Final = frozenset({str, int})
"""Types of the keys of a dict."""

TUPLE: Final = 1
SET: Final = 2
FROZENSET: Final = 3
REGISTERED: Final = 9
