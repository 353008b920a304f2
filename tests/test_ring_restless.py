"""Members whose links come and go: nobody waits for ever, or goes on without the others."""

from replicas import Rig
from samples import session

from ring.messages import Found, Records
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
