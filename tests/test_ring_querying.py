"""Questions by the value of an attribute: asked of one node, answered for the whole ring."""

import msgpack
import pytest
from attrs import evolve
from replica_parts import Asked
from replicas import Rig
from samples import NOW, WALL_MS, session

from ring.clock import Stamp
from ring.cursors import Progress, read_place, read_progress, spell_place, spell_progress
from ring.entry import CREATED, LIFETIME, MAX_IDLE, PRINCIPAL, entry_stamp, make_entry
from ring.errors import RemoteProtocolError
from ring.identity import SessionId
from ring.index import CHUNK_IDS, Place
from ring.messages import Failed, Failure
from ring.questions import Matches
from ring.record import Record
from ring.settings import Settings
from ring.structured import Kind, marker

ADA, BOB = msgpack.packb("ada"), msgpack.packb("bob")
MAILED = Settings(indexes=("mail",))


def login(rig: Rig, name: str, session_id: SessionId, whose: bytes = ADA) -> None:
    asked = rig.save(name, session_id, {PRINCIPAL: whose, b"cart": b"\x01"}, create=True)
    assert not isinstance(asked.reply, Failed), asked.reply


def ask(
    rig: Rig, name: str, value: bytes = ADA, *, index: bytes = PRINCIPAL, cursor: bytes = b""
) -> Asked:
    return rig.query(name, index, value, cursor)


def page_of(asked: Asked) -> Matches:
    assert asked.matches is not None
    assert not asked.matches.reason
    return asked.matches


def whole_answer(rig: Rig, name: str, value: bytes = ADA, *, index: bytes = PRINCIPAL) -> Matches:
    """Return all pages as one."""
    flat, counts, page = list[bytes](), list[bytes | int](), None
    while page is None or page.cursor:
        page = page_of(ask(rig, name, value, index=index, cursor=page.cursor if page else b""))
        flat += page.flat
        counts += page.counts
    return evolve(page, flat=flat, counts=counts)


def ids(matches: Matches) -> set[bytes]:
    found = matches.flat[::2]
    assert len(set(found)) == len(found)
    return set(found)


def test_every_node_names_the_sessions_of_all_homes_each_once() -> None:
    rig = Rig()
    expected = {session(home, number) for home in "abc" for number in range(3)}
    for each in expected:
        login(rig, "a", each)
    login(rig, "a", session("a", 99), BOB)
    for name in "abc":
        page = page_of(ask(rig, name))
        assert ids(page) == expected
        assert (page.cursor, page.missing, page.unreachable) == (b"", (), ())
        assert page.homes == ("a", "b", "c")


def test_a_row_tells_of_the_life_of_a_session_and_of_no_attribute() -> None:
    rig = Rig()
    idle, life = msgpack.packb(60.0), msgpack.packb(3600.0)
    rows: dict[bytes, bytes | None] = {PRINCIPAL: ADA, MAX_IDLE: idle, LIFETIME: life}
    rig.save("b", session("a", 1), rows | {b"cart": b"\x01"}, create=True)
    rig.pass_time(20)
    (row,) = page_of(ask(rig, "c")).flat[1::2]
    record = Record.from_portable(row, NOW)
    assert record.keys() == {PRINCIPAL, CREATED, MAX_IDLE, LIFETIME, b"\x00a"}
    assert record.value(PRINCIPAL) == ADA
    assert record.accessed_at == NOW - 20
    assert not record.whole


def test_what_has_ended_or_expired_or_gone_to_another_is_not_named() -> None:
    rig = Rig()
    idle = msgpack.packb(10.0)
    for number in range(4):
        rows: dict[bytes, bytes | None] = {PRINCIPAL: ADA}
        if number == 1:
            rows[MAX_IDLE] = idle
        rig.save("a", session("b", number), rows, create=True)
    assert ids(page_of(ask(rig, "a"))) == {session("b", number) for number in range(4)}
    rig.end("a", session("b", 0))
    rig.save("a", session("b", 2), {PRINCIPAL: BOB})
    rig.save("a", session("b", 3), {PRINCIPAL: None})
    rig.pass_time(12)
    for name in "abc":
        assert ids(page_of(ask(rig, name))) == set()
        assert ids(page_of(ask(rig, name, BOB))) == {session("b", 2)}


def test_a_rotated_session_is_named_by_its_new_id() -> None:
    rig = Rig()
    login(rig, "a", session("a", 1))
    rig.rotate("a", session("a", 1), session("a", 2))
    assert ids(page_of(ask(rig, "c"))) == {session("a", 2)}


def test_the_successor_answers_for_who_is_lost_and_the_lost_one_is_named() -> None:
    rig = Rig()
    login(rig, "a", session("a", 1))
    rig.kill("a")
    rig.pass_time(1)
    page = page_of(ask(rig, "c"))
    assert ids(page) == {session("a", 1)}
    assert (page.homes, page.missing, page.unreachable) == (("a", "b", "c"), (), ("a",))


def test_a_home_for_which_nobody_answers_yet_is_named() -> None:
    """It was lost just now: the successor has not compared what it has with the others."""
    rig = Rig()
    login(rig, "a", session("a", 1))
    rig.hold_back("c", "b")
    rig.kill("a")
    asked = ask(rig, "b")
    rig.pass_time(1.25)
    page = page_of(asked)
    assert "a" in page.missing
    assert "a" not in page.homes
    rig.let_go()
    rig.pass_time(2)
    page = page_of(ask(rig, "b"))
    assert ids(page) == {session("a", 1)}
    assert page.missing == ()


def test_a_home_of_whose_session_only_a_part_is_there_is_named() -> None:
    """It may be alive, and another one's by now: the rest will tell."""
    rig = Rig()
    part = Record()
    part.put(PRINCIPAL, make_entry(Stamp(WALL_MS << 16), ADA))
    rig.replicas["a"]._core.table.merge(session("a", 1), part)
    for value in (ADA, b""):
        page = page_of(ask(rig, "b", value))
        assert (page.flat, page.counts, page.missing) == ([], [], ("a",))


def test_a_member_that_does_not_answer_soon_is_named() -> None:
    rig = Rig()
    login(rig, "a", session("a", 1))
    login(rig, "a", session("c", 1))
    rig.hold_back("c", "a", Matches)
    asked = ask(rig, "a")
    assert asked.waits
    rig.pass_time(1.25)
    page = page_of(asked)
    assert ids(page) == {session("a", 1)}
    assert page.missing == ("c",)
    rig.let_go()
    assert ids(page_of(ask(rig, "a"))) == {session("a", 1), session("c", 1)}
    assert rig.replicas["a"].unfinished()["requests"] == 0


def test_a_member_whose_link_is_lost_is_not_waited_for() -> None:
    rig = Rig()
    rig.hold_back("c", "a", Matches)
    asked = ask(rig, "a")
    rig.kill("c")
    assert not asked.waits
    assert "c" in page_of(asked).missing


def test_of_two_that_act_for_a_home_both_are_heard_and_the_home_is_named() -> None:
    """On one side of a cut that is not between all: neither knows all there is."""
    rig = Rig("abcd")
    rig.cut("a", "b")
    rig.pass_time(10)
    login(rig, "a", session("a", 1))
    page = page_of(ask(rig, "a"))
    assert ids(page) == {session("a", 1)}
    assert "b" in page.unreachable


def test_what_was_changed_by_another_node_is_found_as_it_is_now() -> None:
    """The index follows whatever comes: here as a change, and as a record after a return."""
    rig = Rig()
    login(rig, "a", session("a", 1))
    rig.kill("a")
    rig.pass_time(1)
    rig.save("c", session("a", 1), {PRINCIPAL: BOB})
    login(rig, "c", session("a", 2))
    rig.start("a")
    rig.pass_time(5)
    for name in "abc":
        assert ids(page_of(ask(rig, name))) == {session("a", 2)}
        assert ids(page_of(ask(rig, name, BOB))) == {session("a", 1)}


@pytest.mark.parametrize("asked_at", "ac")
def test_many_are_named_page_by_page(asked_at: str) -> None:
    rig = Rig(copies=1)
    expected = {session(home, number) for home in "ab" for number in range(2 * CHUNK_IDS + 5)}
    for each in sorted(expected):
        login(rig, each[:1].decode(), each)
    first = page_of(ask(rig, asked_at))
    assert len(first.flat) == 2 * 2 * CHUNK_IDS
    assert first.cursor
    answer = whole_answer(rig, asked_at)
    assert ids(answer) == expected
    assert (answer.homes, answer.missing) == (("a", "b", "c"), ())


def test_a_question_goes_on_at_another_node() -> None:
    rig = Rig(copies=1)
    expected = {session("a", number) for number in range(CHUNK_IDS + 5)}
    for each in sorted(expected):
        login(rig, "a", each)
    first = page_of(ask(rig, "b"))
    second = page_of(ask(rig, "c", cursor=first.cursor))
    assert not second.cursor
    assert ids(first) | ids(second) == expected


def test_a_home_that_changes_hands_between_two_pages_is_named() -> None:
    rig = Rig()
    for number in range(CHUNK_IDS + 5):
        login(rig, "a", session("a", number))
    first = page_of(ask(rig, "c"))
    rig.kill("a")
    rig.pass_time(2)
    last = page_of(ask(rig, "c", cursor=first.cursor))
    assert not last.cursor
    assert "a" in last.missing


def test_who_was_started_again_between_two_pages_is_read_from_the_beginning() -> None:
    """The places in its index are others now: what was read before may come later."""
    rig = Rig(copies=1)
    expected = {session("a", number) for number in range(2 * CHUNK_IDS + 5)}
    for each in sorted(expected):
        login(rig, "a", each)
    first = page_of(ask(rig, "c"))
    rig.kill("a")
    rig.disks["a"].content = dict(sorted(rig.disks["a"].content.items(), reverse=True))
    rig.pass_time(1)
    rig.start("a")
    rig.pass_time(1)
    seen, page = set[bytes](), first
    while page.cursor:
        page = page_of(ask(rig, "c", cursor=page.cursor))
        seen |= ids(page)
    assert seen == expected


def test_values_are_counted_over_all_homes() -> None:
    rig = Rig()
    for number in range(7):
        login(rig, "a", session("abc"[number % 3], number), ADA if number else BOB)
    rig.end("a", session("b", 1))
    answer = whole_answer(rig, "b", b"")
    rows = list(zip(answer.counts[::2], answer.counts[1::2], strict=True))
    assert sorted(rows) == [(ADA, 1), (ADA, 2), (ADA, 2), (BOB, 1)]
    assert answer.flat == []


def test_very_many_values_are_counted_page_by_page() -> None:
    rig = Rig(copies=1)
    for number in range(2 * CHUNK_IDS + 9):
        login(rig, "a", session("a", number), msgpack.packb(f"user-{number}"))
    first = page_of(ask(rig, "b", b""))
    assert len(first.counts) == 2 * CHUNK_IDS
    answer = whole_answer(rig, "b", b"")
    assert len(set(answer.counts[::2])) == len(answer.counts) // 2 == 2 * CHUNK_IDS + 9


def test_other_attributes_are_found_if_every_node_has_an_index_of_them() -> None:
    rig = Rig(settings=MAILED)
    mail = msgpack.packb("ada@example.org")
    rig.save("a", session("b", 1), {b"mail": mail}, create=True)
    rig.save("a", session("c", 1), {b"mail": msgpack.packb("bob@example.org")}, create=True)
    assert ids(page_of(ask(rig, "a", mail, index=b"mail"))) == {session("b", 1)}


def test_an_index_that_a_node_does_not_have_is_an_error_that_names_it() -> None:
    rig = Rig(settings=MAILED)
    rig.settings = evolve(rig.settings, indexes=())
    rig.kill("c")
    rig.start("c")
    rig.pass_time(2)
    for name in "abc":
        answer = ask(rig, name, ADA, index=b"mail").matches
        assert answer is not None
        assert (
            answer.reason == "c has no index of 'mail'; name it in sessions.indexes, on every node"
        )
        assert answer.flat == []


def test_a_structured_attribute_is_not_found_by_its_value() -> None:
    rig = Rig(settings=MAILED)
    rig.save("a", session("b", 1), {b"mail": marker(Kind.MAP)}, create=True)
    answer = ask(rig, "c", ADA, index=b"mail").matches
    assert answer is not None
    assert "'mail' is a map, a set or a counter in 1 sessions" in answer.reason


@pytest.mark.parametrize("name", [b"\x01", b"\xa0", b"\xc4\x01a", msgpack.packb("a" * 256)])
def test_nothing_but_a_name_is_a_principal(name: bytes) -> None:
    """So every principal is in the index."""
    rig = Rig()
    asked = rig.save("a", session("a", 1), {PRINCIPAL: name}, create=True)
    assert isinstance(asked.reply, Failed)
    assert asked.reply.failure is Failure.INVALID


def test_a_principal_is_stamped_when_it_is_set_and_not_when_other_things_change() -> None:
    rig = Rig()
    login(rig, "a", session("a", 1))
    (before,) = page_of(ask(rig, "b")).flat[1::2]
    rig.pass_time(5)
    rig.save("a", session("a", 1), {b"cart": b"\x02"})
    (after,) = page_of(ask(rig, "b")).flat[1::2]
    stamps = {
        entry_stamp(Record.from_portable(each, 0.0).entries[PRINCIPAL]) for each in (before, after)
    }
    assert len(stamps) == 1


# --- Cursors ---


def test_a_place_comes_back_and_counts_in_that_life_only() -> None:
    place = Place(7, b"\xa1A", 3)
    assert read_place(spell_place(5, place), 5) == place
    assert read_place(spell_place(5, place), 6) == Place()
    assert read_place(b"", 5) == Place()


def test_how_far_all_were_asked_comes_back() -> None:
    told = Progress("a", b"c", homes=frozenset("ab"), partly=frozenset("c"))
    there = [told, Progress("b", done=True, is_down=True), Progress("c", is_missing=True)]
    assert read_progress(spell_progress(there)) == there


@pytest.mark.parametrize(
    "cursor",
    [
        b"\x01",
        b"\x91\x01",
        b"\xc1",
        b"\x91\x95\xa1a\xc4\x00\x08\xc0\x90",
        b"\x91\x95\x01\xc4\x00\x00\xc0\x90",
        b"\xdf" + b"\xff" * 4,
        bytes(70_000),
    ],
)
def test_a_cursor_that_nobody_made_is_the_mistake_of_who_sends_it(cursor: bytes) -> None:
    for read in (read_progress, lambda cursor: read_place(cursor, 5)):
        with pytest.raises(RemoteProtocolError):
            read(cursor)


def test_homes_that_were_not_said_in_every_page_are_not_said() -> None:
    progress = Progress("a")
    progress.note(frozenset("ab"), frozenset(), b"more")
    progress.note(frozenset("bc"), frozenset(), b"")
    assert progress.homes == frozenset("b")
    assert progress.partly == {"a", "c"}
    assert progress.done
