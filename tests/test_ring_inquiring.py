"""Why: what members remember of a session, told as one story by whichever of them is asked."""

from collections.abc import Sequence

from attrs import evolve
from replicas import Rig
from samples import session

from ring.clock import stamp_ms
from ring.effects import Close, Tell
from ring.entry import CREATED, MAX_IDLE, entry_stamp
from ring.identity import LinkId, SessionId
from ring.inquiring import ANSWER_TIMEOUT_S, OPEN_MAX
from ring.inquiry import Inspect, Inspected, Story, Why
from ring.journal import Happening, Note
from ring.messages import Failed, Failure, Message, Saved
from ring.settings import Settings
from simulations.rig_parts import Connection

ID = session("a", 5)
NEW = session("a", 6)
UNKNOWN = session("a", 7)


def ask(rig: Rig, name: str, session_id: SessionId, number: int = 1) -> None:
    """Have people ask a node; its answer may take time."""
    rig.perform(name, rig.replicas[name].inquire(Why(number, session_id), rig.now))
    rig.run()


def answers(rig: Rig, name: str) -> list[Story | Failed]:
    """Return what a node has told the people of its process."""
    told = [each.account for who, each in rig.effects if who == name and isinstance(each, Tell)]
    return [each for each in told if isinstance(each, Story | Failed)]


def why(rig: Rig, name: str, session_id: SessionId) -> Story:
    """Return the story that a node tells at once."""
    ask(rig, name, session_id)
    story = answers(rig, name)[-1]
    assert isinstance(story, Story)
    return story


def plot(notes: Sequence[Note]) -> list[tuple[str, str]]:
    """Return who and what, in order, but for accesses, which are in every story."""
    return [
        (each.member, each.happening.name.lower())
        for each in notes
        if each.happening is not Happening.ACCESSED
    ]


def happenings(story: Story) -> set[str]:
    """Return what has happened, whoever did it."""
    return {what for _, what in plot(story.notes)}


# --- What is told ---


def test_every_member_tells_the_same_story() -> None:
    rig = Rig("abc")
    rig.create("b", ID, cart=b"\x01")
    rig.pass_time(1)
    rig.save("c", ID, {b"cart": b"\x02"})
    rig.save("b", ID, {b"cart": b"\x03"})
    stories = [why(rig, name, ID) for name in "abc"]
    assert plot(stories[0].notes) == [("a", "created"), ("a", "changed")]
    assert {story.notes for story in stories} == {stories[0].notes}
    assert {story.unheard for story in stories} == {()}
    created, changed = stories[0].notes[0], stories[0].notes[-1]
    assert changed.times == 2
    assert stamp_ms(changed.last) - stamp_ms(created.first) == 1000


def test_it_has_the_stamps_that_the_record_has() -> None:
    rig = Rig("ab")
    rig.create("a", ID, cart=b"\x01")
    record = rig.replicas["b"].record(ID)
    assert record is not None
    created = next(e for e in why(rig, "b", ID).notes if e.happening is Happening.CREATED)
    assert created.first == entry_stamp(record.entries[CREATED])
    assert created.times == 1, "what a journal knows is not told a second time, by the record"


def test_an_end_is_told_by_who_has_carried_it_out_also_afterwards() -> None:
    rig = Rig("abc")
    rig.create("a", ID, cart=b"\x01")
    rig.end("c", ID)
    rig.pass_time(3600, step_s=60)
    assert plot(why(rig, "b", ID).notes) == [("a", "created"), ("a", "ended")]


def test_a_rotation_tells_the_id_under_which_the_session_goes_on_and_where_it_was() -> None:
    rig = Rig("abc")
    rig.create("a", ID, cart=b"\x01")
    rig.pass_time(1)
    assert isinstance(rig.rotate("b", ID, NEW).reply, Saved)
    old, new = why(rig, "c", ID).notes, why(rig, "c", NEW).notes
    assert plot(old) == [("a", "created"), ("a", "rotated")]
    assert old[-1].other == NEW
    assert plot(new) == [("", "created"), ("a", "continued")]
    assert new[-1].other == ID or new[-2].other == ID


def test_an_end_of_a_rotated_session_is_told_under_each_of_its_ids() -> None:
    rig = Rig("ab")
    rig.create("a", ID)
    rig.rotate("a", ID, NEW)
    rig.end("a", ID)
    assert plot(why(rig, "b", NEW).notes)[-1] == ("a", "ended")
    assert plot(why(rig, "b", ID).notes)[-1] == ("a", "ended")


def test_a_takeover_and_the_return_are_told_as_moves() -> None:
    rig = Rig("abc")
    rig.create("a", ID, cart=b"\x01")
    rig.kill("a")
    rig.pass_time(2)
    rig.save("c", ID, {b"cart": b"\x02"})
    assert plot(why(rig, "c", ID).notes) == [("", "created"), ("b", "moved"), ("b", "changed")]
    assert why(rig, "c", ID).unheard == ("a",)
    rig.start("a")
    rig.pass_time(2)
    rig.end("c", ID)
    assert plot(why(rig, "c", ID).notes) == [
        ("", "created"),
        ("b", "moved"),
        ("b", "changed"),
        ("a", "merged"),  # Its disk did not have the change.
        ("a", "moved"),
        ("c", "released"),
        ("a", "ended"),
    ]


def test_what_moves_before_its_creation_or_after_its_end_is_no_part_of_its_story() -> None:
    rig = Rig("abc")
    rig.create("a", ID)
    rig.end("a", ID)
    rig.kill("a")
    rig.pass_time(2)
    rig.start("a")
    rig.pass_time(2)
    rig.create("a", NEW)
    assert "moved" not in happenings(why(rig, "b", ID))
    assert plot(why(rig, "b", NEW).notes) == [("a", "created")]


def test_what_the_other_side_of_a_cut_had_is_told_as_merged() -> None:
    rig = Rig("abc", copies=3)
    rig.create("a", ID, cart=b"\x01")
    for other in "ab":
        rig.cut("c", other)
    rig.pass_time(4)
    rig.save("c", ID, {b"seen": b"\x07"})
    assert set(why(rig, "c", ID).unheard) == {"a", "b"}
    rig.refused.clear()
    rig.pass_time(15)
    told = why(rig, "b", ID).notes
    assert ("c", "changed") in plot(told)
    merged = [(e.member, e.other) for e in told if e.happening is Happening.MERGED]
    assert ("a", b"c") in merged


def test_changes_that_a_backup_takes_are_no_differences() -> None:
    rig = Rig("abc", copies=3)
    rig.create("a", ID, cart=b"\x01")
    for number in range(5):
        rig.save("abc"[number % 3], ID, {b"cart": bytes([number])})
        rig.pass_time(0.5)
    assert "merged" not in happenings(why(rig, "b", ID))


def test_expiry_is_told_when_it_is_marked() -> None:
    rig = Rig("ab", settings=Settings(sweep_interval_s=6.4))
    rig.save("a", ID, {MAX_IDLE: b"\x0a"}, create=True)
    rig.pass_time(30)
    created, expired = (
        [e for e in why(rig, "b", ID).notes if e.happening is what]
        for what in (Happening.CREATED, Happening.EXPIRED)
    )
    assert [each.member for each in expired] == ["a"]
    assert stamp_ms(expired[0].first) - stamp_ms(created[0].first) >= 11_000


def test_a_stand_in_that_was_released_says_so() -> None:
    rig = Rig("abc")
    rig.create("a", ID, cart=b"\x01")
    rig.kill("b")
    rig.pass_time(2)
    assert rig.replicas["c"].record(ID) is not None
    rig.start("b")
    rig.pass_time(10)
    assert rig.replicas["c"].record(ID) is None
    released = [e for e in why(rig, "a", ID).notes if e.happening is Happening.RELEASED]
    assert [(each.member, each.other) for each in released] == [("c", b"a")]


def test_after_a_restart_the_record_and_the_tombstone_tell_what_they_know() -> None:
    rig = Rig("a", copies=1)
    rig.create("a", ID, cart=b"\x01")
    rig.create("a", NEW)
    rig.end("a", NEW)
    rig.kill("a")
    rig.start("a")
    rig.pass_time(20)
    assert plot(why(rig, "a", NEW).notes) == [("", "created"), ("a", "ended")]
    told = why(rig, "a", ID).notes
    assert plot(told)[0] == ("", "created")
    assert Happening.ACCESSED in [each.happening for each in told]
    assert plot(told)[1:] == [("a", "moved")]


def test_the_record_tells_that_it_had_another_id_when_who_rotated_it_is_lost() -> None:
    """So who acted for it under that one is no part of its story."""
    rig = Rig("ab")
    rig.create("a", ID)
    rig.kill("a")
    rig.pass_time(20)
    rig.start("a")
    rig.pass_time(20)
    rig.rotate("a", ID, NEW)
    rig.pass_time(1)
    rig.kill("a")
    rig.pass_time(20)
    assert plot(why(rig, "b", NEW).notes) == [("", "created"), ("", "continued"), ("b", "moved")]


def test_of_what_nobody_knows_there_is_no_story() -> None:
    rig = Rig("ab")
    assert why(rig, "a", UNKNOWN) == Story(1, (), ())
    ask(rig, "a", session("z", 1))
    refused = answers(rig, "a")[-1]
    assert isinstance(refused, Failed)
    assert refused.failure is Failure.INVALID


# --- Who is asked, and for how long ---


def test_a_member_that_hangs_is_waited_for_a_moment_and_named() -> None:
    rig = Rig("abc")
    rig.create("a", ID)
    rig.hold_back("c", "a")
    ask(rig, "a", ID)
    assert answers(rig, "a") == []
    rig.pass_time(ANSWER_TIMEOUT_S + 0.5)
    (story,) = answers(rig, "a")
    assert isinstance(story, Story)
    assert story.unheard == ("c",)
    assert plot(story.notes) == [("a", "created")]
    rig.let_go()
    assert len(answers(rig, "a")) == 1, "what comes too late is let be"


def test_a_member_that_is_lost_meanwhile_is_named_soon() -> None:
    rig = Rig("abc")
    rig.create("a", ID)
    rig.hold_back("c", "a")
    ask(rig, "a", ID)
    rig.kill("c")
    rig.pass_time(0.75)
    (story,) = answers(rig, "a")
    assert isinstance(story, Story)
    assert story.unheard == ("c",)


def test_questions_that_wait_are_bounded() -> None:
    rig = Rig("ab", settings=Settings(suspect_after_s=600))
    rig.hold_back("b", "a")
    for number in range(OPEN_MAX + 1):
        ask(rig, "a", ID, number)
    (refused,) = answers(rig, "a")
    assert isinstance(refused, Failed)
    assert refused.failure is Failure.UNAVAILABLE
    link = rig.link("a", "b")
    for number in range(3):
        rig.pass_time(ANSWER_TIMEOUT_S + 0.5)
        ask(rig, "a", ID, 100 + number)
        late = answers(rig, "a")[-1]
        assert isinstance(late, Story)
        assert late.unheard == ("b",), "it is asked no more before it has answered some"
    assert link.alive
    rig.let_go()
    assert why(rig, "a", ID).unheard == ()


def client(rig: Rig, name: str) -> LinkId:
    link = LinkId(9000)
    rig.perform(name, rig.replicas[name].on_accepted(link, None, rig.now))
    return link


def taken(rig: Rig, name: str, link: LinkId) -> list[Message]:
    """Return what waits for a client, which reads it now."""
    taken = list[Message]()
    while (message := rig.replicas[name].take(link, rig.now)) is not None:
        taken.append(message)
    return taken


def test_a_client_is_answered_like_people_of_the_process() -> None:
    rig = Rig("ab")
    rig.create("b", ID)
    link = client(rig, "b")
    rig.perform("b", rig.replicas["b"].on_message(link, Why(7, ID), rig.now))
    rig.run()
    assert taken(rig, "b", link)[-1] == evolve(why(rig, "a", ID), number=7)


def test_a_client_that_does_not_read_its_answers_gets_no_more() -> None:
    rig = Rig("a")
    link = client(rig, "a")
    for number in range(OPEN_MAX + 1):
        rig.perform("a", rig.replicas["a"].on_message(link, Inspect(number, "a"), rig.now))
    answered = taken(rig, "a", link)[-OPEN_MAX - 1 :]
    assert [type(each).__name__ for each in answered] == ["Inspected"] * OPEN_MAX + ["Failed"]


def closed(rig: Rig, connection: Connection, sender: str, message: Message) -> str:
    """Have a member say something; return why its connection was closed."""
    rig.effects.clear()
    rig.deliver(connection, sender, message)
    (close,) = (each for _, each in rig.effects if isinstance(each, Close))
    return close.reason


def test_a_member_asks_only_on_behalf_of_others() -> None:
    for dialler, message, why_not in (
        ("b", Why(1, ID), "what only a client may ask"),
        ("b", Why(1, session("z", 1), forwarded=True), "not in this ring"),
        ("b", Inspect(1, "z", forwarded=True), "not in this ring"),
        ("b", Story(1, ()), "what only an acceptor"),
        ("a", Why(1, ID, forwarded=True), "what only a dialler"),
    ):
        rig = Rig("ab")
        acceptor = "a" if dialler == "b" else "b"
        assert why_not in closed(rig, rig.link(dialler, acceptor), "b", message)


def test_a_member_tells_only_what_it_was_asked() -> None:
    page = Inspected(1, "b", True, 0, 0, (), 64, b"")
    for answer, why_not in ((page, "something else"), (Story(1, ()), None)):
        rig = Rig("ab")
        rig.hold_back("b", "a")
        ask(rig, "a", ID)
        if why_not is not None:
            assert why_not in closed(rig, rig.link("a", "b"), "b", answer)
        else:
            rig.deliver(rig.link("a", "b"), "b", answer)
            assert isinstance(answers(rig, "a")[-1], Story)
