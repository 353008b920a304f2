"""Who does not know enough yet: it asks, waits, or says so, and serves nothing older meanwhile."""

from ring.entry import make_entry
from ring.messages import Acks, Changes, Compared, Failed, Find, Listing, Redirect
from ring.record import Record
from simulations.scenarios.stage import ID, Stage, demand, packed


def partial_record_that_lands_on_nothing() -> None:
    """A change reaches a backup that has nothing: it is no session there, and is not held."""
    stage = Stage(stores=False)
    stage.creates("a", cart=1)
    stage.replicas["b"]._core.table.drop(ID)
    stage.hold_back("b", "a", Acks)
    asked = stage.save("a", ID, {b"color": packed(5)})
    demand(asked.waits, "the receipt names a backup that has a part of the session")
    record = stage.replicas["b"].record(ID)
    demand(record is not None and not record.whole, "b takes a part for the whole")
    stage.kill("a")
    stage.is_not_known_yet(stage.find("b", ID), "b")


def fragment_asked_for_before_its_repair() -> None:
    """An owner that has a part of a session completes it before it answers."""
    stage = Stage()
    stage.creates("a", cart=1, color=1)
    owner = stage.replicas["a"]
    whole = owner.record(ID)
    assert whole is not None
    owner._core.table.drop(ID)
    part = Record()
    part.put(b"color", make_entry(owner._core.clock.tick(stage.now), packed(5)))
    merged = Record()
    merged.merge(whole)
    merged.merge(part)
    stage.hold_back("a", "c", Acks)
    stage.hold_back("b", "a", Acks)
    late = Changes([ID, merged.digest, part.portable(stage.now)])
    stage.deliver(stage.link("c", "a"), "c", late)
    stage.run()
    asked = stage.find("a", ID)
    stage.is_not_known_yet(asked, "a")
    stage.let_go()
    stage.has_read(asked, "a", cart=1, color=5)


def member_that_appears_while_a_home_settles() -> None:
    """A takeover waits for a member that comes meanwhile, and has the newest state."""
    stage = Stage("abcd", copies=2)
    stage.creates("a", cart=1)
    stage.cut("a", "b")
    stage.pass_time(1)
    stage.cut("b", "d")
    stage.cut("c", "d")
    stage.cut("a", "c")
    stage.pass_time(1)
    stage.hold_back("c", "b", Compared)
    holders = stage.saves("a", cart=2)
    demand(holders == ("a", "d"), f"the receipt names {holders}")
    stage.kill("a")
    stage.hold_knowledge("d", "b")
    stage.heal("d", "b")
    stage.heal("b", "d")
    stage.let_go("c")
    asked = stage.find("b", ID)
    stage.is_not_known_yet(asked, "b")
    stage.let_go()
    stage.has_read(asked, "b", cart=2)


def redirect_to_a_claimant_not_yet_compared_with() -> None:
    """Who has acted names nobody as the owner of whom it has not heard what it knows."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.hold_back("a", "b", Compared)
    stage.hold_back("a", "b", Listing)
    stage.reset("a", "b")
    stage.deliver(stage.link("c", "b"), "c", Find(5, ID, False, True))
    stage.run()
    answers = [each.message for each in stage.sent if (each.sender, each.receiver) == ("b", "c")]
    redirected = any(isinstance(each, Redirect) for each in answers)
    demand(not redirected, "b sends c to a, and has not compared with a")
    demand(any(isinstance(each, Failed) for each in answers), "b has not answered")
    stage.let_go()
    stage.reads("c", cart=1)


def _cut_off_and_written() -> Stage:
    """Return a ring whose a was cut off, and never restarted, while b and c changed its session."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.part("a", "bc")
    demand(stage.saves("b", cart=2) == ("b", "c"), "b does not act with c for the lost a")
    return stage


def failback_to_an_owner_that_was_never_restarted() -> None:
    """An owner that was cut off acts on; it answers nothing before it has asked who acted too."""
    stage = _cut_off_and_written()
    stage.refused.clear()
    for other in "bc":
        stage.hold_back(other, "a", Listing)
        stage.hold_back(other, "a", Changes)
    for dialler, acceptor in ("ab", "ba", "ac", "ca"):
        stage.heal(dialler, acceptor)
    asked = stage.find("a", ID)
    stage.let_go()
    stage.has_read(asked, "a", cart=2)
    stage.pass_time(5)
    stage.reads("c", cart=2)
    stage.agree("ab")


def writes_on_the_backup_and_the_owner_returns() -> None:
    """The backup dies as soon as the owner is back, and a third has what it wrote: that is read."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.kill("a")
    stage.pass_time(1)
    stage.saves("b", cart=2)
    stage.hold_knowledge("c", "a")
    stage.start("a")
    stage.kill("b")
    asked = stage.find("a", ID)
    stage.is_not_known_yet(asked, "a")
    stage.let_go()
    stage.has_read(asked, "a", cart=2)
    stage.reads("c", cart=2)


def frozen_node_thawed_within_the_suspect_time() -> None:
    """It stood still for less than it takes to be suspected, and yet others may have acted."""
    stage = Stage(stores=False, freezes=True)
    stage.creates("a", cart=1)
    stage.pass_time(1)
    stage.stand_still("a", 1.5)
    for other in "bc":
        # They had dialled anew, for another reason, and nobody answered.
        stage.cut("a", other)
    stage.pass_time(0.5)
    demand(stage.saves("b", cart=2) == ("b", "c"), "b does not act for a, which does not answer")
    stage.refused.clear()
    asked = stage.find("a", ID)
    stage.let_go()
    stage.has_read(asked, "a", cart=2)
