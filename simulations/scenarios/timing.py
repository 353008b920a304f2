"""Time: clocks that are wrong, and members that are slow."""

from ring.messages import Acks, Saved
from simulations.scenarios.stage import ID, Stage, demand, packed


def clock_a_day_ahead_then_corrected() -> None:
    """A node with a wrong clock stays out, and what it stamped is passed by the next write."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.kill("b")
    stage.backs_off = True
    stage.begin("b", ahead_s=86_000)
    stage.run()
    stage.pass_time(15)
    demand(not stage.is_ready("b"), "b serves with a clock that is a day ahead")
    before = stage.replicas["a"]._core.clock.last
    stage.saves("a", cart=2)
    ahead_s = ((stage.replicas["a"]._core.clock.last - before) >> 16) / 1000
    demand(ahead_s < 60, "the clock of a has followed the wrong one")
    stage.kill("b")
    stage.start("b")
    stage.kill("a")
    stage.pass_time(1)
    stage.reads("b", cart=2)
    # Within the bound a node serves; who takes over from it has a clock that is behind its stamps.
    stage.begin("a", ahead_s=50)
    stage.run()
    stage.pass_time(1)
    stage.saves("a", cart=3)
    stage.kill("a")
    stage.pass_time(1)
    stage.saves("b", cart=4)
    stage.reads("c", cart=4)


def slow_but_live_successor() -> None:
    """A backup does not acknowledge: a save waits for a second, and is reported as degraded."""
    stage = Stage("ab")
    stage.creates("a", cart=1)
    stage.hold_back("b", "a", Acks)
    asked = stage.save("a", ID, {b"cart": packed(2)})
    demand(asked.waits, "the save did not wait for the backup")
    stage.pass_time(1.5)
    reply = asked.reply
    degraded = isinstance(reply, Saved) and reply.degraded and reply.holders == ("a",)
    demand(degraded, f"after 1.5 s the answer is {reply}")
    stage.reads("b", cart=2)
