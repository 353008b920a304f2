"""The journal of one node: what it remembers, and that it stays small whatever happens."""

from random import Random

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import session

from ring.clock import Stamp
from ring.identity import SessionId, new_session_id
from ring.journal import (
    NOTES_BYTES_MAX,
    STORY_BYTES,
    TAKEOVERS_MAX,
    Happening,
    Journal,
    Note,
)
from ring.settings import Settings

ID = session("a", 1)
OTHER = session("a", 2)
HOUR = 3_600_000 << 16
FAR = 1 << 30

ids = st.integers(0, 5).map(lambda number: session("a", number))
notes = st.tuples(ids, st.sampled_from(Happening), st.binary(max_size=55), st.integers(0, HOUR))


def note(
    journal: Journal, session_id: SessionId, what: Happening, stamp: int, other: bytes
) -> None:
    if what is Happening.CHANGED:
        journal.note_changed(session_id, Stamp(stamp))
    else:
        journal.note(session_id, what, Stamp(stamp), other)


@given(st.lists(notes, max_size=40))
def test_with_enough_room_everything_is_remembered_in_its_order(
    noted: list[tuple[SessionId, Happening, bytes, int]],
) -> None:
    """Against a list of all that was noted, in which changes of one hour are one note."""
    journal, stories = Journal("a", FAR), dict[SessionId, list[Note]]()
    stamp = 0
    for session_id, what, other, later in noted:
        stamp += later
        other = b"" if what is Happening.CHANGED else other
        note(journal, session_id, what, stamp, other)
        story = stories.setdefault(session_id, [])
        last = story[-1] if story else None
        changes_on = what is Happening.CHANGED and last is not None and last.happening is what
        if changes_on and last is not None and stamp - last.first < HOUR:
            story[-1] = evolve(last, last=Stamp(stamp), times=last.times + 1)
            continue
        story.append(Note("a", what, Stamp(stamp), Stamp(stamp), 1, other))
    for session_id, story in stories.items():
        assert journal.notes(session_id) == story
    assert len(journal) == len(stories)


@given(st.lists(notes, max_size=200), st.integers(1, 2000))
def test_it_never_takes_more_than_it_may_and_counts_what_it_takes(
    noted: list[tuple[SessionId, Happening, bytes, int]], bytes_max: int
) -> None:
    journal = Journal("a", bytes_max)
    for stamp, (session_id, what, other, late) in enumerate(noted):
        if late % 3:
            note(journal, session_id, what, stamp, other)
        else:
            journal.note_of_many(session_id, what, Stamp(stamp), other)
        assert journal.size <= bytes_max
        stories = [journal._stories[each] for each in journal._stories]
        assert journal.size == sum(STORY_BYTES + len(story) for story in stories)


def test_the_story_in_which_nothing_has_happened_for_longest_goes_first() -> None:
    journal = Journal("a", 2 * (STORY_BYTES + 60))
    journal.note(ID, Happening.CREATED, Stamp(1))
    journal.note_changed(ID, Stamp(2))
    journal.note(OTHER, Happening.CREATED, Stamp(3))
    journal.note_changed(ID, Stamp(HOUR // 60 + 2))
    journal.note(session("a", 3), Happening.CREATED, Stamp(HOUR // 60 + 3))
    assert journal.notes(OTHER) == []
    assert [each.times for each in journal.notes(ID)] == [1, 2]


def test_what_happens_to_many_begins_no_story_where_there_is_no_room() -> None:
    journal = Journal("a", 2 * (STORY_BYTES + 60))
    journal.note(ID, Happening.CREATED, Stamp(1))
    for number in range(100):
        journal.note_of_many(session("b", number), Happening.RELEASED, Stamp(2), b"a")
    assert journal.notes(session("b", 0))
    assert not journal.notes(session("b", 99))
    journal.note(OTHER, Happening.CREATED, Stamp(3))
    assert journal.notes(ID), "those go before it does"
    journal.note_of_many(ID, Happening.RELEASED, Stamp(4), b"b")
    assert [each.happening.name for each in journal.notes(ID)] == ["CREATED", "RELEASED"]


def test_a_story_without_end_loses_its_beginning() -> None:
    journal = Journal("a", FAR)
    for stamp in range(1000):
        journal.note(ID, Happening.MERGED, Stamp(stamp), b"b")
    notes = journal.notes(ID)
    assert journal.size <= STORY_BYTES + NOTES_BYTES_MAX
    assert len(notes) > 40
    assert [each.first for each in notes] == list(range(1000 - len(notes), 1000))


def test_takeovers_are_remembered_by_home_and_bounded() -> None:
    journal = Journal("a", 1)
    for stamp in range(1000):
        journal.note_takeover("b", Stamp(stamp))
    journal.note_takeover("c", Stamp(7))
    assert [each.first for each in journal.takeovers("b")] == list(range(1000))[-TAKEOVERS_MAX:]
    assert [each.first for each in journal.takeovers("c")] == [7]
    assert journal.takeovers("d") == []


def test_what_is_older_than_ends_are_remembered_is_forgotten() -> None:
    rig = Rig("a", copies=1, settings=Settings(retention_s=100.0, sweep_interval_s=6.4))
    rig.create("a", ID)
    rig.end("a", ID)
    rig.pass_time(60)
    rig.create("a", OTHER)
    journal = rig.replicas["a"]._core.journal
    assert len(journal) == 2
    rig.pass_time(60)
    assert journal.notes(ID) == []
    assert journal.notes(OTHER)


def test_it_stays_within_its_limit_under_load() -> None:
    limit = 20_000
    rig = Rig("ab", settings=Settings(journal_bytes_max=limit))
    random = Random(3)
    made = list[SessionId]()
    for number in range(400):
        made.append(new_session_id("a", random))
        rig.create("a", made[-1])
        rig.save("b", made[number // 2], {b"k": bytes([number % 256])})
        if number % 3 == 0:
            rig.end("a", made[number // 3])
        for replica in rig.replicas.values():
            assert replica._core.journal.size <= limit
    journal = rig.replicas["a"]._core.journal
    assert journal.size > limit // 2
    assert journal.notes(made[-1]), "the newest is there"


def test_reads_leave_nothing_in_it() -> None:
    rig = Rig("a", copies=1)
    rig.create("a", ID)
    journal = rig.replicas["a"]._core.journal
    before = {session_id: bytes(story) for session_id, story in journal._stories.items()}
    for _ in range(20):
        rig.find("a", ID, touch=True)
        rig.pass_time(30)
    assert journal._stories == before
