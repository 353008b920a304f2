"""Networks that are cut: both sides go on, and nothing of either is lost when they meet again."""

import msgpack

from ring.entry import MAX_IDLE
from ring.messages import Durability, Save
from simulations.rig_parts import Asked
from simulations.scenarios.stage import ID, Stage, demand, packed

MAX_IDLE_S = 100.0


def two_acting_owners_with_a_common_backup() -> None:
    """Owner and backup do not see each other and both act; the third passes on what each writes."""
    stage = Stage(copies=3)
    stage.creates("a", cart=1, color=1)
    stage.cut("a", "b")
    stage.pass_time(2)
    stage.saves("a", cart=2)
    stage.saves("b", color=3)
    for name in "abc":
        stage.reads(name, cart=2, color=3)
    stage.meet()
    stage.agree("abc")


def _idling(stage: Stage) -> None:
    """Create a session that expires after 100 s without access."""
    rows = ((b"cart", packed(1)), (MAX_IDLE, msgpack.packb(MAX_IDLE_S)))
    stage.ask("a", lambda n: Save(n, ID, True, rows, Durability.BACKUP, False, False))


def _used_on_the_other_side(stage: Stage) -> None:
    """Use the session at b every minute, for longer than it may idle."""
    for _ in range(4):
        stage.pass_time(60, step_s=2)
        demand(_touches(stage, "b").reply is not None, "b does not answer")


def _touches(stage: Stage, node: str) -> Asked:
    return stage.find(node, ID, touch=True)


def expiry_under_partition() -> None:
    """A session expires where nobody uses it and lives on where somebody does: it lives."""
    stage = Stage()
    _idling(stage)
    stage.part("a", "bc")
    _used_on_the_other_side(stage)
    stage.pass_time(70, step_s=2)
    demand(stage.notices("expired") == ["a"], "a does not notice that nobody uses the session")
    stage.is_gone("a")
    stage.reads("b", cart=1)
    stage.meet()
    for name in "abc":
        stage.reads(name, cart=1)


def logout_during_a_partition_longer_than_max_idle() -> None:
    """A logout on one side is final on the other as well, however long that one used it."""
    stage = Stage()
    _idling(stage)
    stage.part("a", "bc")
    stage.end("a", ID)
    _used_on_the_other_side(stage)
    stage.saves("b", cart=2)
    stage.meet()
    for name in "abc":
        stage.is_gone(name)
        stage.cannot_save(name, cart=3)


def divergent_histories() -> None:
    """What was written after another change was seen wins, whatever the wall clocks say."""
    stage = Stage(start="")
    stage.begin("a", ahead_s=50)
    stage.begin("b")
    stage.begin("c")
    stage.run()
    stage.creates("a", cart=1)
    stage.saves("a", cart=2)
    stage.part("a", "bc")
    stage.saves("b", cart=3, color=3)
    stage.save("a", ID, {b"size": packed(4)})
    stage.meet()
    for name in "abc":
        stage.reads(name, cart=3, color=3, size=4)


def asymmetric_partition() -> None:
    """One direction between two members is dead: whoever is asked answers, and nothing is lost."""
    for deaf, mute in ("ab", "ba", "ac", "ca", "bc", "cb"):
        stage = Stage()
        stage.creates("a", cart=1)
        stage.hold_back(mute, deaf)
        stage.refused |= {(mute, deaf), (deaf, mute)}  # A handshake needs both directions.
        stage.pass_time(7)
        for value, name in enumerate("abc", start=2):
            stage.saves(name, cart=value)
            for reader in "abc":
                stage.reads(reader, cart=value)
        stage.meet()
        stage.agree("ab")


def two_requests_at_two_nodes() -> None:
    """Two changes at once, on two sides: different attributes survive, of one, one wins."""
    stage = Stage(copies=3)
    stage.creates("a", cart=1, color=1, size=1)
    stage.part("a", "bc")
    stage.save("a", ID, {b"cart": packed(2), b"size": packed(2)})
    stage.saves("b", color=3, size=3)
    stage.meet()
    record = stage.replicas["a"].record(ID)
    size = record.value(b"size") if record is not None else None
    demand(size in (packed(2), packed(3)), "neither of the two has won")
    assert size is not None
    for name in "abc":
        stage.reads(name, cart=2, color=3, size=size[0])
