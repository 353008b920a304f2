"""Plain values that many tests of the ring begin with."""

import base64
from collections.abc import Iterable

from ring.identity import SessionId
from ring.placement import Member, Ring

NOW = 1000.0
"""A moment of the monotonic clock. Ages are whole seconds before it: frames keep them exactly."""

WALL_MS = 1_700_000_000_000
"""The wall clock at a node's start."""


def session(home: str, number: int) -> SessionId:
    """Return the id of ``home`` whose random part, read as one number, is ``number``."""
    text = base64.urlsafe_b64encode(number.to_bytes(16, "big"))[:22]
    return SessionId(home.encode() + b"." + text)


IDS = (
    session("a", 0),
    session("a", 1 << 8),  # the same bucket as the first
    session("a", 1 << 118),  # the next bucket, the same shard
    session("a", 1 << 122),  # the next shard
    session("a", (1 << 128) - 1),  # the last bucket
    session("b", 0),
    session("b", 1 << 127),
)
"""Ids of two homes that share shards and buckets with each other."""


def ring_of(names: Iterable[str], copies: int = 2) -> Ring:
    """Return a ring of members that are called so."""
    return Ring("rig", tuple(Member(name, f"{name}:1") for name in names), copies=copies)
