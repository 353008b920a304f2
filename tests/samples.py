"""Plain values that many tests of the ring begin with."""

from simulations.rig_parts import NOW, WALL_MS, ring_of, session

__all__ = ["IDS", "NOW", "WALL_MS", "ring_of", "session"]

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
