"""Counters: every increment counts once, whoever made it, and however often it is told."""

from ring.clock import Stamp
from ring.structured import TOKEN_BYTES, Kind, ensuring, shard_entry, shard_key, total
from simulations.scenarios.stage import ID, Stage, demand

VISITS = b"visits"
_FLOOR = Stamp(1)
"""That of a counter which nobody has set."""


def token(writer: int, life: int) -> bytes:
    """Return under what a writer counts: something new in each of its lives."""
    return (10 * writer + life).to_bytes(TOKEN_BYTES, "big")


def _counter() -> Stage:
    stage = Stage()
    stage.creates("a", cart=1)
    stage.answer(stage.save("a", ID, {VISITS: ensuring(Kind.COUNTER)}))
    return stage


def _adds(stage: Stage, node: str, by: bytes, changes: int, so_far: int) -> None:
    """Have a writer say at ``node`` what it has added so far, in so many changes."""
    shard: dict[bytes, bytes | None] = {shard_key(VISITS, _FLOOR, by): shard_entry(changes, so_far)}
    stage.answer(stage.save(node, ID, shard))


def _stands_at(stage: Stage, names: str, expected: int) -> None:
    for name in names:
        stage.reads(name, cart=1)
    for name in "ab":
        record = stage.replicas[name].record(ID)
        found = total(record.entries, VISITS) if record is not None else None
        demand(found == expected, f"the counter should stand at {expected}, and {name} has {found}")


def counter_restart() -> None:
    """Who counts is restarted and has forgotten what it had added: that stays, and it goes on."""
    stage = _counter()
    _adds(stage, "a", token(1, 0), 3, 30)
    stage.kill("a")
    stage.pass_time(1)
    _adds(stage, "b", token(1, 1), 1, 1)
    stage.start("a")
    stage.pass_time(2)
    _stands_at(stage, "abc", 31)


def two_forwarded_increments_at_once() -> None:
    """Two nodes add on two sides of a cut, and one of them says so twice: each counts once."""
    stage = _counter()
    stage.part("a", "bc")
    _adds(stage, "a", token(1, 0), 1, 5)
    _adds(stage, "a", token(1, 0), 2, 6)
    _adds(stage, "c", token(2, 0), 1, 10)
    stage.pass_time(1)
    # What the first one said is told once more, by another road, and later than the second.
    _adds(stage, "b", token(1, 0), 1, 5)
    stage.meet()
    _stands_at(stage, "abc", 16)
