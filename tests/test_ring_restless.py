"""Members whose links come and go: nobody waits for ever, or goes on without the others."""

from replicas import Rig
from samples import session

from ring.messages import Compared, Found, Records
from ring.settings import Settings

SESSIONS = [session("a", number << 116) for number in range(20)]


def test_who_was_lost_once_is_compared_with_to_the_end_however_long_that_takes() -> None:
    """One whose link was lost a while ago counted as one that comes and goes.

    A member with much to tell was then passed over, and what it alone has was denied.
    """
    settings = Settings(records_per_frame_max=1, suspect_after_s=1e6)
    rig = Rig("ab", settings=settings)
    for session_id in SESSIONS:
        rig.create("a", session_id, cart=b"\x01")
    rig.kill("a")
    rig.hold_back("b", "a", Records)
    rig.begin("a", disk=False)
    rig.run()
    rig.reset("a", "b")
    for _ in range(len(SESSIONS)):
        assert not rig.is_ready("a")
        rig.pass_time(1)
        rig.let_one_go()
    rig.let_go()
    rig.pass_time(1)
    assert rig.is_ready("a")
    assert all(isinstance(rig.find("a", each).reply, Found) for each in SESSIONS)


def test_who_is_there_again_is_heard_first_though_it_has_come_and_gone() -> None:
    """a took over from b, which was leaving and there, and denied what it had not heard of."""
    rig = Rig("ab", copies=1, settings=Settings(suspect_after_s=1e6), stores=False)
    rig.create("b", session("b", 1), cart=b"\x01")
    rig.hold_back("b", "a", Compared)
    for _ in range(8):
        rig.reset("a", "b")
        rig.pass_time(1)
    rig.perform("b", rig.replicas["b"].drain(rig.now))
    rig.run()
    assert "b" not in rig.replicas["a"].claims
    rig.let_go()
    rig.pass_time(1)
    assert "b" in rig.replicas["a"].claims
    assert isinstance(rig.find("a", session("b", 1)).reply, Found)


def test_who_was_lost_last_is_compared_with_last() -> None:
    """With one that comes and goes no other had its turn."""
    rig = Rig("abcd", copies=4, settings=Settings(suspect_after_s=1e6))
    rig.create("a", SESSIONS[0], cart=b"\x01")
    rig.hold_back("b", "a", Compared)
    for other in "bcdb":
        rig.reset("a", other)
        rig.pass_time(0.5)
    comparing = rig.replicas["a"]._comparing
    assert not comparing.is_heard("a", "b")
    assert all(comparing.is_heard("a", name) for name in "cd")
