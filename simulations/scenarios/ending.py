"""Ends: a logout is final whatever comes late, and an expiry is not a logout."""

import msgpack

from ring.entry import MAX_IDLE
from ring.messages import Changes, Durability, Save
from simulations.scenarios.stage import ID, Stage, demand, packed


def logout_while_a_request_is_about_to_save() -> None:
    """A request has read the session and saves it after the logout: it stays ended."""
    stage = Stage()
    stage.creates("a", cart=1)
    stage.hold_back("c", "a")
    late = stage.save("c", ID, {b"cart": packed(2)})
    stage.logs_out("b")
    stage.let_go()
    demand(not late.waits, "the late save was not answered")
    for name in "abc":
        stage.is_gone(name)
        stage.cannot_save(name, cart=3)


def delta_for_an_ended_session() -> None:
    """A change is held up on its way, and the end overtakes it by another road: it stays ended."""
    stage = Stage(copies=3)
    stage.creates("a", cart=1)
    stage.hold_back("a", "b", Changes)
    stage.saves("a", cart=2)
    stage.logs_out("a")
    stage.is_gone("b")
    stage.let_go()
    stage.pass_time(1)
    for name in "abc":
        stage.is_gone(name)
        stage.cannot_save(name, cart=3)


def touch_lost_with_its_owner() -> None:
    """An access was known to the owner alone, which dies: the session does not expire for that."""
    stage = Stage()
    rows = ((b"cart", packed(1)), (MAX_IDLE, msgpack.packb(100.0)))
    stage.ask("a", lambda n: Save(n, ID, True, rows, Durability.BACKUP, False, False))
    stage.now += 9
    demand(stage.find("a", ID, touch=True).reply is not None, "a does not answer")
    stage.kill("a")
    stage.now += 99
    stage.reads("b", cart=1)
