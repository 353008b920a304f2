"""Bytes of an attribute are decoded strictly: what no value has is refused by name."""

import struct
from collections.abc import Iterator
from itertools import count
from typing import Any
from unittest.mock import patch

import attrs
import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node import registered
from node.errors import AttributeDecodeError
from node.packing import pack_value
from node.registered import register
from node.unpacking import unpack_value
from node.values import NESTING_MAX


@attrs.frozen
class Point:
    x: object
    y: object = 0


@pytest.fixture(autouse=True)
def only_our_classes() -> Iterator[None]:
    with patch.dict(registered._by_class), patch.dict(registered._by_name):
        register(Point, "geometry.Point")
        yield


def unpack(packed: bytes) -> Any:
    return unpack_value("cart", packed)


def _ext(code: int, payload: bytes) -> bytes:
    packed: bytes = msgpack.packb(msgpack.ExtType(code, payload))
    return packed


def _packed(value: object) -> bytes:
    packed: bytes = msgpack.packb(value)
    return packed


def _nested(heads: bytes, levels: int) -> bytes:
    return heads * levels + b"\x00"


def _tuples(levels: int) -> bytes:
    packed = b"\x90"
    for _ in range(levels):
        packed = b"\x91" + _ext(1, packed)
    return _ext(1, packed)


@pytest.mark.parametrize(
    ("packed", "reason"),
    [
        (b"", "incomplete"),
        (b"\xc1", "FormatError"),
        (b"\x01\x01", "extra data"),
        (b"\xa1\xff", "UnicodeDecodeError"),
        (b"\xdd\xff\xff\xff\xff", "exceeds"),
        (b"\xdf\xff\xff\xff\xff", "exceeds"),
        (b"\x82\x01\x00\x01\x00", "same key twice"),
        (b"\x81\xc3\x00", "neither str nor int"),
        (b"\x81\xc4\x00\x00", "neither str nor int"),
        (b"\x81\x90\x00", "unhashable"),
        (_nested(b"\x91", NESTING_MAX + 1), "nested more than"),
        (_nested(b"\x81\x00", NESTING_MAX + 1), "nested more than"),
        (_nested(b"\x91", 5000), "StackError"),
        (_tuples(NESTING_MAX), "nested more than"),
        (_tuples(500), "nested more than"),
        (_ext(9, _packed(["geometry.Point", {"x": 1}])[:-1] + b"\x91" * 70 + b"\x00"), "nested"),
        (_packed(msgpack.Timestamp(1)), "timestamp"),
        (_packed([1, {"a": msgpack.Timestamp(1, 5)}]), "timestamp"),
        (_ext(1, _packed([msgpack.Timestamp(2**40, 5)])), "timestamp"),
        (_ext(9, _packed(["geometry.Point", {"x": msgpack.Timestamp(1)}])), "timestamp"),
        (b"\xc7\x04\xff" + bytes(4), "timestamp"),
        (b"\x91\xc7\x08\xff" + bytes(8), "timestamp"),
        (b"\xc8\x00\x0c\xff" + bytes(12), "timestamp"),
        (b"\xc9\x00\x00\x00\x04\xff" + bytes(4), "timestamp"),
        (_ext(1, b"\x80"), "without its items"),
        (_ext(1, b"\x90\x90"), "extra data"),
        (_ext(2, b"\x92\x01\x01"), "same member twice"),
        (_ext(3, b"\x91\x90"), "unhashable"),
        (_ext(4, bytes(12)), "year 0 is out of range"),
        (_ext(4, bytes(13)), "another form"),
        (_ext(4, struct.pack(">HBBBBBIB", 2025, 1, 1, 0, 0, 0, 0, 2)), "fold"),
        (_ext(4, struct.pack(">HBBBBBIBq", 2025, 1, 1, 0, 0, 0, 0, 0, 10**15)), "offset"),
        (_ext(4, struct.pack(">HBBBBBIBq", 2025, 1, 1, 0, 0, 0, 0, 0, 2**63 - 1)), "offset"),
        (_ext(5, struct.pack(">HBB", 2025, 2, 29)), "day is out of range"),
        (_ext(5, b"\x00"), "another form"),
        (_ext(6, struct.pack(">iII", 0, 86_400, 0)), "below a day"),
        (_ext(6, struct.pack(">iII", 0, 0, 1_000_000)), "below a second"),
        (_ext(6, struct.pack(">iII", 2**31 - 1, 0, 0)), "another form"),
        (_ext(7, bytes(15)), "16"),
        (_ext(8, b" 1"), "not spelled"),
        (_ext(8, b"1_000"), "not spelled"),
        (_ext(8, b"one"), "another form"),
        (_ext(8, b"\xff"), "UnicodeDecodeError"),
        (_ext(9, b"\x90"), "without its name and fields"),
        (_ext(9, _packed(["Nobody", {}])), "no class is registered as 'Nobody'"),
        (_ext(9, _packed(["geometry.Point", {"x": 1, 2: 2}])), "has no field 2"),
        (_ext(9, _packed(["geometry.Point", {}])), "missing 1 required"),
        (_ext(10, b""), "extension 10 is not known"),
        (_ext(127, b"x"), "extension 127 is not known"),
    ],
    ids=count(),
)
def test_bytes_of_no_value_are_refused_by_the_name_of_their_attribute(
    packed: bytes, reason: str
) -> None:
    with pytest.raises(AttributeDecodeError, match="attribute 'cart' cannot be decoded: ") as error:
        unpack(packed)
    assert reason in str(error.value)


@given(st.binary())
def test_any_bytes_are_a_value_or_refused(packed: bytes) -> None:
    """And whatever is accepted could be stored again."""
    try:
        value = unpack(packed)
    except AttributeDecodeError:
        return
    pack_value("cart", value, 10_000)


def test_long_lists_and_strings_with_bytes_like_heads_are_let_be() -> None:
    """They are looked through, and found to be neither deep nor timestamps."""
    value = [[], {}, b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff"] * 40
    assert unpack(pack_value("cart", value, 10_000)) == value
