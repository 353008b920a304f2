"""Target: the values of attributes. Bytes are of a value that can be kept again, or of none.

Input: the packed value.
"""

from typing import Final

import attrs

from node.errors import AttributeDecodeError
from node.packing import pack_value
from node.registered import register
from node.unpacking import unpack_value

BYTES_MAX: Final = 1 << 20


@attrs.frozen
class Point:
    """A class of an application's."""

    x: object
    y: object = 0


register(Point, "fuzz.Point")


def fuzz(data: bytes) -> None:
    """Check one input."""
    try:
        value = unpack_value("cart", data)
    except AttributeDecodeError:
        return
    packed = pack_value("cart", value, BYTES_MAX)
    again = unpack_value("cart", packed)
    # By bytes: a NaN is not equal to itself.
    assert pack_value("cart", again, BYTES_MAX) == packed
    assert type(again) is type(value)
