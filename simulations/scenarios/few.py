"""The smallest rings: one node alone, and two that are each other's successor."""

from ring.messages import Durability
from simulations.scenarios.stage import ID, Stage, demand, packed


def ring_of_one() -> None:
    """One node alone has its sessions on its disk, is never degraded, and has them after a kill."""
    stage = Stage("a", copies=2)
    stage.saves("a", create=True, durability=Durability.BACKUP_AND_DISK, cart=1)
    stage.kill("a")
    stage.start("a")
    demand(stage.is_ready("a"), "a waits for others, and there are none")
    stage.reads("a", cart=1)
    stage.is_marked("a", marked=False)


def ring_of_two() -> None:
    """Successor and predecessor are the same member: either may be lost, one after the other."""
    stage = Stage("ab")
    stage.creates("a", cart=1)
    for value, name in enumerate("abab", start=2):
        other = "b" if name == "a" else "a"
        stage.kill(name)
        stage.save(other, ID, {b"cart": packed(value)})
        stage.hold_knowledge(other, name)
        stage.start(name)
        asked = stage.find(name, ID)
        stage.is_not_known_yet(asked, name)
        stage.let_go()
        stage.has_read(asked, name, cart=value)
        stage.pass_time(1)
        demand(stage.is_ready("a", "b"), f"{name} does not become ready beside {other}")
