"""Pages of sessions: every one once, of bounded work, told by whoever acts for the home."""

from collections.abc import Iterator
from itertools import count
from random import Random

import msgpack
import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import session

from ring.clock import stamp_ms
from ring.effects import Tell
from ring.entry import MAX_IDLE, PRINCIPAL, EndReason
from ring.errands import check_page
from ring.identity import SessionId, new_session_id
from ring.inquiring import ANSWER_TIMEOUT_S
from ring.inquiry import ROWS_MAX, Inspect, Inspected, Row, State
from ring.messages import Failed, Failure, Found
from ring.record import Record
from ring.structured import Kind, marker, member_key
from ring.table import SHARDS, Table
from ring.tombstone import epitaph_of
from simulations.rig_parts import WALL_MS
from wire.codec import decode, encode

ID = session("a", 5)
NEW = session("a", 6)
TEN_SECONDS = msgpack.packb(10)

numbers = count(1)


def ask(rig: Rig, name: str, question: Inspect) -> Inspected | Failed:
    """Return what a node answers at once, after its answer has been over the wire."""
    rig.perform(name, rig.replicas[name].inquire(question, rig.now))
    rig.run()
    told = [each.account for who, each in rig.effects if who == name and isinstance(each, Tell)]
    answer = told[-1]
    assert isinstance(answer, Inspected | Failed)
    assert answer.number == question.number
    assert decode(encode(answer)) == answer
    return answer


def page(rig: Rig, name: str, question: Inspect) -> Inspected:
    answer = ask(rig, name, question)
    assert isinstance(answer, Inspected)
    check_page(answer)
    return answer


def row(rig: Rig, name: str, session_id: SessionId, *, values: bool = False) -> Row:
    question = Inspect(next(numbers), "a", only=session_id, with_values=values)
    (found,) = page(rig, name, question).rows
    return found


def pages(rig: Rig, name: str, question: Inspect) -> Iterator[Inspected]:
    while question.shard < SHARDS:
        told = page(rig, name, question)
        yield told
        question = evolve(question, number=next(numbers), shard=told.shard, after=told.after)


# --- Pages ---


@pytest.mark.parametrize("rows_max", [1, 7, ROWS_MAX])
def test_every_session_is_listed_once_whoever_is_asked(rows_max: int) -> None:
    rig, random = Rig("abc"), Random(1)
    ids = [new_session_id("a", random) for _ in range(60)]
    for session_id in ids:
        rig.create("a", session_id)
    rig.create("b", session("b", 1))
    for session_id in ids[:10]:
        rig.end("a", session_id)
    for name in "abc":
        told = list(pages(rig, name, Inspect(next(numbers), "a", rows_max=rows_max)))
        assert all(len(each.rows) <= rows_max for each in told)
        listed = [row.session_id for each in told for row in each.rows]
        assert len(listed) == 50
        assert set(listed) == set(ids[10:])
        assert {(each.acting, each.sessions, each.ended) for each in told} == {("a", 50, 10)}
    everything = list(pages(rig, "c", Inspect(next(numbers), "a", with_ended=True)))
    assert {row.session_id for each in everything for row in each.rows} == set(ids)


ids_in_one_shard = st.lists(st.integers(0, 40), unique=True, max_size=30)


@given(ids_in_one_shard, st.sets(st.integers(0, 40)), st.integers(1, 8), st.booleans())
def test_what_follows_an_id_is_what_sorting_says(
    held: list[int], ended: set[int], room: int, with_ended: bool
) -> None:
    table = Table("a", 0.0)
    for number in held:
        record = Record(whole=False)
        record.make_whole()
        if number in ended:
            record.end(EndReason.DELETED, "a", stamp=WALL_MS << 16)  # type: ignore[arg-type]
        table.put(session("a", number), record)
    wanted = sorted(session("a", n) for n in held if with_ended or n not in ended)
    found, after = list[SessionId](), SessionId(b"")
    while some := table.following("a", 0, after, room, with_ended=with_ended):
        assert len(some) <= room
        found += some
        after = some[-1]
    assert found == wanted
    assert table.ended("a") == len(ended.intersection(held))


def test_counting_asks_for_no_session() -> None:
    rig = Rig("ab")
    rig.create("a", ID)
    counted = page(rig, "b", Inspect(1, "a", rows_max=0))
    assert (counted.sessions, counted.ended, counted.rows) == (1, 0, ())


def test_one_page_looks_at_few_shards_where_they_are_full(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a filter that lets nothing pass would hold the loop up for the whole home."""
    monkeypatch.setattr("ring.inspecting.LOOKED_AT_MAX", 5)
    rig, random = Rig("a", copies=1), Random(2)
    ids = [new_session_id("a", random) for _ in range(200)]
    for session_id in ids:
        rig.create("a", session_id)
        rig.end("a", session_id)
    told = list(pages(rig, "a", Inspect(next(numbers), "a")))
    assert len(told) > 10
    assert all(each.rows == () for each in told)


# --- What a row says ---


def test_a_row_says_what_the_record_says() -> None:
    rig = Rig("abc")
    ada = msgpack.packb("ada" * 80)
    changes = {b"k": b"\x01", b"cart": marker(Kind.MAP), PRINCIPAL: ada, MAX_IDLE: TEN_SECONDS}
    rig.save("a", ID, {**changes, member_key(b"cart", b"\x05"): b"\x07"}, create=True)
    rig.pass_time(2)
    rig.find("a", ID, touch=True)
    shown = row(rig, "c", ID)
    assert (shown.state, shown.attributes, shown.holders) == (State.ALIVE, 2, ("a", "b"))
    assert shown.principal == ("ada" * 80)[:128]
    now_ms = WALL_MS + int(rig.now * 1000)
    assert abs(shown.accessed_ms - now_ms) <= 1
    assert abs(shown.due_ms - now_ms - 11_000) <= 1
    assert abs(stamp_ms(shown.created) - now_ms + 2000) <= 1
    held = rig.replicas["a"].record(ID)
    assert held is not None
    assert shown.size > len(held.portable(rig.now))


def test_values_and_members_are_told_only_if_they_are_asked_for() -> None:
    rig = Rig("ab")
    secret = msgpack.packb("a secret")
    member = member_key(b"cart", secret)
    rig.save(
        "a",
        ID,
        {b"k": secret, b"cart": marker(Kind.MAP), member: secret, b"o": b"\x01"},
        create=True,
    )
    rig.save("a", ID, {b"o": None})
    shown = row(rig, "b", ID).portable
    assert b"a secret" not in shown
    names = [key for key in Record.from_portable(shown, rig.now).entries if key[0] != 0]
    assert names == [b"cart", b"k"]
    whole = row(rig, "b", ID, values=True).portable
    found = rig.find("b", ID).reply
    assert isinstance(found, Found)
    assert Record.from_portable(whole, rig.now) == Record.from_portable(found.portable, rig.now)
    (listed,) = page(rig, "b", Inspect(9, "a")).rows
    assert listed.portable == b""


def test_looking_is_no_access() -> None:
    rig = Rig("a", copies=1)
    rig.save("a", ID, {MAX_IDLE: TEN_SECONDS}, create=True)
    for _ in range(12):
        rig.pass_time(1)
        row(rig, "a", ID, values=True)
    assert row(rig, "a", ID).state is State.EXPIRED


def test_what_is_over_says_how() -> None:
    rig = Rig("ab")
    rig.create("a", ID, k=b"\x01")
    rig.rotate("a", ID, NEW)
    assert row(rig, "b", ID, values=True).state is State.ROTATED
    assert row(rig, "b", NEW).state is State.ALIVE
    created = row(rig, "b", NEW).created
    rig.end("a", NEW)
    ended = row(rig, "b", NEW)
    assert (ended.state, ended.attributes, ended.portable) == (State.ENDED, 0, b"")
    assert ended.created == created
    assert ended.accessed_ms


def test_who_has_not_got_it_yet_is_no_holder() -> None:
    rig = Rig("abc")
    rig.create("a", ID)
    assert row(rig, "a", ID).holders == ("a", "b")
    rig.hold_back("a", "b")
    rig.save("a", ID, {b"k": b"\x01"})
    assert row(rig, "a", ID).holders == ("a",)
    rig.let_go()
    assert row(rig, "a", ID).holders == ("a", "b")


# --- Who tells ---


def test_whoever_acts_tells_and_where_nobody_can_the_answer_is_not_now() -> None:
    rig = Rig("abc")
    rig.create("a", ID)
    rig.kill("a")
    rig.pass_time(1)
    told = page(rig, "c", Inspect(1, "a"))
    assert (told.acting, [row.session_id for row in told.rows]) == ("b", [ID])
    rig.hold_back("b", "c")
    rig.perform("c", rig.replicas["c"].inquire(Inspect(2, "a"), rig.now))
    rig.pass_time(ANSWER_TIMEOUT_S + 0.5)
    *_, failed = (each.account for who, each in rig.effects if isinstance(each, Tell))
    assert isinstance(failed, Failed)
    assert failed.failure is Failure.UNAVAILABLE


def test_a_member_that_does_not_act_tells_nothing() -> None:
    """It would list what it holds for others, which may be old, or a part."""
    rig = Rig("abc")
    rig.create("a", ID)
    forwarded = Inspect(1, "a", forwarded=True)
    connection = rig.link("c", "b")
    rig.deliver(connection, "c", forwarded)
    answer = rig.replicas["b"].take(connection.accepted, rig.now)
    assert answer == Inspected(1, "a", False, 0, 0, (), 0, b"")


def test_a_node_that_starts_says_that_it_cannot_tell_yet() -> None:
    rig = Rig("ab", start="a")
    failed = ask(rig, "a", Inspect(1, "a"))
    assert isinstance(failed, Failed)
    assert failed.failure is Failure.UNAVAILABLE


# --- What a tombstone tells ---


@given(st.binary(max_size=40))
def test_a_tombstone_of_another_spelling_tells_nothing_and_harms_nobody(story: bytes) -> None:
    record = Record()
    record.put(b"\x00x", bytes(8) + b"\x02" + story)
    epitaph = epitaph_of(record)
    assert epitaph is None or epitaph.node
