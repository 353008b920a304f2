"""Sessions that go on under a fresh id, while something happens under the old one."""

from ring.messages import Changes, Found, Saved
from ring.settings import Settings
from simulations.rig_parts import session
from simulations.scenarios.stage import ID, Stage, demand, packed

NEW = session("a", 8)


def _rotates(stage: Stage, node: str) -> None:
    reply = stage.answer(stage.rotate(node, ID, NEW, user=packed(9)))
    demand(isinstance(reply, Saved), f"a rotation at {node} was answered by {reply}")


def rotation_against_logout() -> None:
    """One side of a cut rotates the session, the other ends it: it has ended under either id."""
    stage = Stage(copies=3)
    stage.creates("a", cart=1)
    stage.part("c", "ab")
    _rotates(stage, "a")
    stage.end("c", ID)
    stage.meet()
    for name in "abc":
        stage.is_gone(name)
        stage.is_gone(name, session_id=NEW)


def end_of_the_old_id_after_its_rotation() -> None:
    """A logout with the cookie from before a login ends what the session has become."""
    stage = Stage()
    stage.creates("a", cart=1)
    _rotates(stage, "a")
    stage.answer(stage.end("c", ID))
    for name in "abc":
        stage.is_gone(name, session_id=NEW)
        stage.cannot_save(name, session_id=NEW, cart=2)


def rotation_and_a_save_of_the_old_id() -> None:
    """A save of the old id on the other side of a cut is found under the new one."""
    stage = Stage(copies=3)
    stage.creates("a", cart=1, color=1)
    stage.part("c", "ab")
    stage.save("c", ID, {b"cart": packed(2)})
    stage.pass_time(1)
    _rotates(stage, "a")
    stage.pass_time(1)
    stage.save("c", ID, {b"color": packed(3)})
    stage.meet()
    for name in "abc":
        stage.reads(name, session_id=NEW, cart=2, color=3, user=9)
        stage.cannot_save(name, cart=4)


def crash_in_the_middle_of_a_rotation() -> None:
    """The owner dies while its backup hears of a rotation: the session is under one id at least."""
    for heard in range(3):
        stage = Stage(settings=Settings(changes_per_frame_max=1), stores=False)
        stage.creates("a", cart=1)
        stage.hold_back("a", "b", Changes)
        stage.hold_knowledge("b", "a")
        stage.rotate("a", ID, NEW, user=packed(9))
        for _ in range(heard):
            stage.let_one_go()
        stage.kill("a")
        answers = [stage.answer(stage.find("c", each)) for each in (ID, NEW)]
        there = any(isinstance(answer, Found) for answer in answers)
        demand(there, f"{heard} frames were heard, and the session is under neither id")
