"""Members that leave: for a moment, for good, or just their part in keeping a home."""

from ring.messages import Durability, Release
from ring.placement import Departed, Member, Ring
from simulations.scenarios.stage import ID, Stage, demand


def drain_with_a_crash_of_the_receiver() -> None:
    """Whom a leaving node has handed over to dies: the next one gets everything before it goes."""
    stage = Stage("abcd", stores=False)
    for other in "bcd":
        stage.hold_back("a", other)
    stage.saves("a", create=True, durability=Durability.LOCAL, cart=1)
    stage.perform("a", stage.replicas["a"].drain(stage.now))
    stage.run()
    stage.let_go("b", "c", "d")
    demand(not stage.replicas["a"].drained, "a may leave, and has told nobody what it has")
    stage.kill("b")
    stage.pass_time(0.5)
    demand(not stage.replicas["a"].drained, "a may leave, and who knows what it has is gone")
    stage.let_go()
    stage.pass_time(2)
    demand(stage.replicas["a"].drained, "a never comes to leave")
    stage.kill("a")
    for name in "cd":
        stage.reads(name, cart=1)


def release_that_crosses_a_new_claim() -> None:
    """A stand-in is released while the other holder dies: it holds again, and drops nothing."""
    stage = Stage(stores=False)
    stage.creates("a", cart=1)
    stage.kill("b")
    stage.pass_time(1)
    stage.hold_back("a", "c", Release)
    stage.start("b", disk=False)
    stage.pass_time(2.5)
    demand(stage.holders() == "abc", "c has dropped what it was not released from")
    stage.kill("b")
    stage.hold_back("a", "c")
    stage.let_one_go()
    demand(any(isinstance(each.message, Release) for each in stage.sent), "nothing was released")
    stage.kill("a")
    stage.let_go()
    stage.reads("c", cart=1)


def owner_that_left_the_ring_for_good() -> None:
    """The member named in an id is no member any more: its heir serves the session."""
    stage = Stage("abcd")
    stage.creates("a", cart=1)
    members = tuple(Member(name, f"{name}:1") for name in "bcd")
    ring = Ring("rig", members, version=2, copies=2, departed=(Departed("a", "c"),))
    stage.adopt("b", ring)
    stage.pass_time(8)
    stage.kill("a")
    stage.pass_time(1)
    for name in "bcd":
        stage.reads(name, cart=1)
    demand("a" in stage.replicas["c"].claims, "the heir does not act for the home that it has now")
    stage.saves("b", cart=2)
    stage.reads("d", cart=2)
    demand(ID.startswith(b"a."), "the id has changed")
