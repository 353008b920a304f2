"""Members whose links come and go: nobody waits for ever, or goes on without the others."""

from replicas import Rig
from samples import session

from ring.liveness import Liveness
from ring.messages import Absent, Compare, Failed, Find, Found, Records, Redirect, Saved
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


def test_what_is_asked_of_a_member_that_comes_and_goes_is_carried_out_near_by() -> None:
    """c acts for its home as b sees it; to a it comes and goes, and loses what it was sent."""
    rig = Rig("abc", copies=3, settings=Settings(request_timeout_s=8))
    rig.create("c", session("c", 1), cart=b"\x01")
    for kind in (Found, Saved, Redirect):
        rig.hold_back("c", "a", kind)
    for _ in range(8):
        rig.pass_time(1)
        rig.reset("a", "c")
    found = rig.find("a", session("c", 1))
    saved = rig.save("a", session("c", 1), {b"cart": b"\x02"})
    for _ in range(3):
        rig.pass_time(1)
        rig.reset("a", "c")
    assert isinstance(found.reply, Found)
    assert isinstance(saved.reply, Saved)
    record = rig.replicas["c"].record(session("c", 1))
    assert record is not None
    assert record.value(b"cart") == b"\x02"


def test_a_member_that_comes_and_goes_does_not_have_the_others_compare_anew() -> None:
    """Each time another one became a holder in its place; the two were never done."""
    rig = Rig("abcd", copies=2)
    rig.create("d", session("d", 1), cart=b"\x01")
    rig.pass_time(1)
    rig.stalled |= {("a", "d"), ("d", "a")}
    rig.sent.clear()
    rig.reset("a", "d")
    assert rig.replicas["a"].liveness["d"] is Liveness.UNDETERMINED
    assert not any(isinstance(each.message, Compare) for each in rig.sent if each.sender == "a")


def test_what_a_member_that_comes_and_goes_may_have_is_not_denied() -> None:
    """Who insists asks all who are near; one that is just away may be the only one that has it."""
    rig = Rig("abc", copies=1, settings=Settings(request_timeout_s=8))
    rig.create("c", session("c", 1), cart=b"\x01")
    for _ in range(8):
        rig.pass_time(1)
        rig.reset("b", "c")
    rig.stalled |= {("b", "c"), ("c", "b")}
    rig.reset("b", "c")
    request = Find(1, session("c", 1), False, True, insist=True)
    rig.deliver(rig.link("a", "b"), "a", request)
    rig.run()
    replies = [each.message for each in rig.sent if (each.sender, each.receiver) == ("b", "a")]
    assert not any(isinstance(each, Absent) for each in replies)
    assert any(isinstance(each, Failed) for each in replies)
