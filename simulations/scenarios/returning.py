"""Nodes that come back: with an old disk, without one, one after the other, or all at once."""

from itertools import permutations

from ring.messages import Changes, Durability, Records
from ring.settings import Settings
from simulations.rig_parts import session
from simulations.scenarios.stage import ID, Stage, demand


def stale_takeover() -> None:
    """A restarted backup takes over before its refill, and does not serve from its old disk."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.kill("b")
    stage.saves("a", cart=2)
    for other in "ac":
        stage.hold_knowledge(other, "b")
    stage.start("b")
    stage.kill("a")
    asked = stage.find("b", ID)
    stage.is_not_known_yet(asked, "b")
    stage.let_go()
    stage.has_read(asked, "b", cart=2)


def whole_ring_restart() -> None:
    """All come back from disks of different ages, in whatever order: the newest state is read."""
    for order in permutations("abc"):
        stage = Stage()
        stage.creates("a", cart=1)
        stage.kill("a")
        stage.saves("b", cart=2)
        stage.kill("c")
        stage.saves("b", cart=3, durability=Durability.DISK)
        stage.kill("b")
        for other in "ac":
            stage.hold_knowledge("b", other)
        for name in order:
            stage.start(name)
        asked = {name: stage.find(name, ID) for name in "abc"}
        for name in "ac":
            stage.is_not_known_yet(asked[name], name)
        stage.let_go()
        for name in "abc":
            stage.has_read(asked[name], name, cart=3)


def restored_old_disk_after_a_logout() -> None:
    """A disk from before a logout comes back, and the session does not."""
    stage = Stage()
    stage.creates("a", cart=1)
    old = dict(stage.disks["b"].content)
    stage.kill("b")
    stage.logs_out("a")
    stage.pass_time(120, step_s=1)
    stage.disks["b"].content = old
    stage.start("b")
    stage.kill("a")
    stage.pass_time(1)
    for name in "bc":
        stage.is_gone(name)
        stage.cannot_save(name, cart=2)


def rolling_kill() -> None:
    """Memory-only nodes are killed, each when the one before says ready: nothing is lost."""
    for order in ("abcd", "bcad", "dcba"):
        stage = Stage("abcd", stores=False)
        for home in order:
            stage.creates(home, session_id=session(home, 7), cart=1)
        for name in order:
            stage.kill(name)
            stage.pass_time(1)
            # Whose backup it is takes long to bring it what it lost.
            predecessor = "abcd"["abcd".index(name) - 1]
            for kind in (Records, Changes):
                stage.hold_back(predecessor, name, kind)
            stage.start(name, disk=False)
            if not stage.is_ready(name):
                stage.let_go()
                stage.pass_time(2)
            demand(stage.is_ready(name), f"{name} does not become ready")
        stage.let_go()
        for home in order:
            stage.reads(home, session_id=session(home, 7), cart=1)


def return_while_the_successor_is_down() -> None:
    """The successor is gone as well: whoever else lives is asked for what it holds."""
    stage = Stage("abcd")
    stage.creates("a", cart=1)
    stage.kill("a")
    stage.pass_time(1)
    stage.saves("b", cart=2)
    stage.kill("b")
    stage.pass_time(1)
    for other in "cd":
        stage.hold_knowledge(other, "a")
    stage.start("a")
    asked = stage.find("a", ID)
    stage.is_not_known_yet(asked, "a")
    stage.let_go("d")
    stage.is_not_known_yet(asked, "a")
    stage.let_go("c")
    stage.has_read(asked, "a", cart=2)


def return_alone_with_an_old_disk() -> None:
    """A node that finds nobody serves what it has, marked; the others' return merges with that."""
    stage = Stage()
    stage.creates("a", cart=1, color=1)
    stage.kill("c")
    stage.kill("a")
    stage.saves("b", cart=2, durability=Durability.DISK)
    stage.kill("b")
    stage.start("a")
    stage.pass_time(11)
    stage.reads("a", cart=1)
    stage.is_marked("a")
    stage.save("a", ID, {b"color": b"\x05"})
    stage.start("b")
    stage.start("c")
    stage.pass_time(3)
    for name in "abc":
        stage.reads(name, cart=2, color=5)
        stage.is_marked(name, marked=False)


def wait_alone_with_an_old_disk() -> None:
    """A node that may not serve alone says nothing until another one is there."""
    stage = Stage(settings=Settings(waits_alone=True))
    stage.creates("a", cart=1)
    stage.kill("c")
    stage.kill("a")
    stage.saves("b", cart=2, durability=Durability.DISK)
    stage.kill("b")
    stage.start("a")
    stage.pass_time(15)
    asked = stage.find("a", ID)
    stage.is_not_known_yet(asked, "a")
    stage.start("b")
    stage.has_read(asked, "a", cart=2)


def refill_before_the_next_loss() -> None:
    """A backup comes back empty; it has its copies again before whoever stood in drops them."""
    stage = Stage(stores=False)
    stage.creates("a", cart=1)
    stage.kill("b")
    stage.pass_time(1)
    demand(stage.holders() == "ac", "c does not stand in for b")
    stage.hold_back("a", "b")
    stage.start("b", disk=False)
    stage.pass_time(2.5)
    demand("c" in stage.holders(), "c has dropped its copy, and b has none")
    demand(not stage.is_ready("b"), "b says that the next one may be restarted, and has no copy")
    stage.let_go()
    stage.pass_time(5)
    stage.agree("ab")
    stage.kill("a")
    stage.reads("c", cart=1)


def away_longer_than_ends_are_remembered() -> None:
    """A node returns when nobody remembers a logout any more: it yields, the session stays away."""
    stage = Stage(settings=Settings(retention_s=100, sweep_interval_s=10))
    stage.creates("a", cart=1)
    stage.kill("a")
    stage.pass_time(1)
    stage.logs_out("b")
    stage.pass_time(130, step_s=1)
    demand(stage.holders() == "", "the end is still remembered")
    stage.start("a")
    stage.pass_time(10)
    for name in "abc":
        stage.is_gone(name)
    demand(stage.is_ready("a"), "a does not become ready")
