"""What comes twice: frames, and processes of one name."""

from ring.effects import Close
from ring.identity import Incarnation, LinkId
from ring.messages import Changes, Greeting
from simulations.scenarios.stage import Stage, demand


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
