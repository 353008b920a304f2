"""The smallest rings, and frames and processes that come twice."""

from ring.effects import Close
from ring.identity import Incarnation, LinkId
from ring.messages import Changes, Durability, Greeting
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


def frame_twice_and_late() -> None:
    """A frame comes twice, and once more after the connection was renewed: it changes nothing."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.saves("a", cart=2)
    frames = [
        each.message
        for each in stage.sent
        if (each.sender, each.receiver) == ("a", "b") and isinstance(each.message, Changes)
    ]
    stage.saves("a", cart=3)
    for frame in frames:
        stage.deliver(stage.link("a", "b"), "a", frame)
    stage.run()
    stage.reset("a", "b")
    for frame in frames:
        stage.deliver(stage.link("a", "b"), "a", frame)
    stage.run()
    stage.kill("a")
    stage.pass_time(1)
    stage.reads("b", cart=3)


def second_process_of_a_name() -> None:
    """A second live process of one name is refused; a restarted one is let in."""
    stage = Stage()
    stage.creates("a", cart=1)
    replica = stage.replicas["a"]
    clock_ms = int((stage.now - replica.epoch) * 1000)
    effects = replica.on_accepted(
        LinkId(900), "b", stage.now, Greeting(Incarnation(77), clock_ms, 1)
    )
    refused = any(isinstance(each, Close) and each.name_in_use for each in effects)
    demand(refused, "a talks to two processes that are both b")
    stage.kill("b")
    stage.start("b")
    stage.pass_time(1)
    demand(stage.is_ready("b"), "the next process of b is not let in")
    stage.saves("b", cart=2)
