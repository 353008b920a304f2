"""The client when answers are lost: what it repeats, and what it never does."""

from functools import partial

import pytest
import trio
import trio.lowlevel
import trio.testing
from attrs import evolve
from scripted_nodes import HANG_UP, SILENCE, Answer, Site, session_id, unavailable, usual

from node.client import FIND_PATIENCE_S, _is_repeatable
from node.station import ON_THE_WAY_MAX
from ring.errors import (
    OutcomeUnknownError,
    SessionEnded,
)
from ring.identity import SessionId
from ring.messages import (
    Durability,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Reply,
    Request,
    Save,
    Saved,
)
from ring.record import Record

A = "a.memory:1"


# --- Lost answers ---------------------------------------------------------------------------


async def test_a_find_whose_connection_breaks_is_asked_elsewhere_at_once(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: HANG_UP
    await site.start()
    async with site.client() as client:
        began = trio.current_time()
        assert await client.sessions.find(session_id("a")) is None
        assert trio.current_time() == began
        assert site.asked == {"a": ["Find"], "b": ["Find"]}
    nursery.cancel_scope.cancel()


async def test_whoever_is_asked_is_told_at_every_try_within_the_task_that_asks(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: HANG_UP
    await site.start()
    asked: list[tuple[str, trio.lowlevel.Task]] = []
    async with site.client() as client:
        client.on_asked = lambda member: asked.append((member, trio.lowlevel.current_task()))
        await client.sessions.find(session_id("a"))
    me = trio.lowlevel.current_task()
    assert asked == [("a", me), ("b", me)]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("reply", [Saved(0, (), (), False), Found(0, b"no record")])
async def test_a_node_that_answers_a_find_with_something_else_loses_its_connection(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery, reply: Reply
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: evolve(reply, number=request.number)
    await site.start()
    async with site.client() as client:
        assert await client.sessions.find(session_id("a")) is None
        assert site.asked == {"a": ["Find"], "b": ["Find"]}
    nursery.cancel_scope.cancel()


async def test_the_outcome_of_a_change_that_is_answered_with_a_record_is_unknown(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        session = client.sessions.create()
        home = site[session.id[0]]
        await session.save()
        home.answer = lambda request: Found(request.number, Record().portable(0.0))
        session["x"] = 1
        with pytest.raises(OutcomeUnknownError):
            await session.save()
    nursery.cancel_scope.cancel()


async def test_a_save_whose_answer_was_lost_is_never_repeated(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        session = client.sessions.create()
        home = site[session.id[0]]
        await session.save()
        home.answer = lambda request: HANG_UP
        session["x"] = 1
        with pytest.raises(OutcomeUnknownError, match=f"no answer from {home.name}"):
            await session.save()
        assert site.asked == {home.name: ["Save", "Save"]}
    nursery.cancel_scope.cancel()


async def test_the_save_that_creates_a_session_is_repeated_elsewhere(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Nobody else knows its id before it is answered: nothing can be overwritten."""
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        session = client.sessions.create()
        session["x"] = 1
        site[session.id[0]].answer = lambda request: HANG_UP
        await session.save()
        asked = [request for node in site.nodes.values() for request in node.asked]
        assert len(asked) == 2
        assert all(isinstance(request, Save) and request.create for request in asked)
        assert asked[0].number != asked[1].number
    nursery.cancel_scope.cancel()


async def test_an_end_whose_answer_was_lost_is_repeated_because_ending_twice_is_ending(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: HANG_UP
    await site.start()
    async with site.client() as client:
        await client.sessions.end(session_id("a"))
        assert site.asked == {"a": ["End"], "b": ["End"]}
    nursery.cancel_scope.cancel()


async def test_a_change_that_may_have_happened_is_never_called_undone(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """The first answer was lost, the others know nothing yet: still unknown."""
    site = Site(nursery)
    site["a"].answer = lambda request: HANG_UP
    site["b"].answer = site["c"].answer = unavailable
    await site.start()
    async with site.client() as client:
        with pytest.raises(OutcomeUnknownError):
            await client.sessions.end(session_id("a"))
    nursery.cancel_scope.cancel()


async def test_a_node_that_keeps_silent_is_passed_over_by_finds_and_then_asked_last(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: SILENCE
    await site.start()
    async with site.client() as client:
        began = trio.current_time()
        assert await client.sessions.find(session_id("a")) is None
        assert trio.current_time() - began == pytest.approx(FIND_PATIENCE_S)
        assert await client.sessions.find(session_id("a")) is None
        assert trio.current_time() - began == pytest.approx(FIND_PATIENCE_S)
        assert site.asked == {"a": ["Find"], "b": ["Find", "Find"]}
    nursery.cancel_scope.cancel()


async def test_no_session_is_created_with_a_home_that_keeps_silent(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Its first save would wait until the other members know that the home is down."""
    site = Site(nursery)
    site["a"].answer = lambda request: SILENCE
    await site.start()
    async with site.client() as client:
        assert {client.sessions.create().id[0] for _ in range(50)} == {"a", "b", "c"}
        await client.sessions.find(session_id("a"))
        assert {client.sessions.create().id[0] for _ in range(50)} == {"b", "c"}
    nursery.cancel_scope.cancel()


async def test_a_save_waits_for_a_silent_node_until_its_deadline_and_then_dials_anew(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        session = client.sessions.create()
        await session.save()
        home = site[session.id[0]]
        home.answer = lambda request: SILENCE
        session["x"] = 1
        began = trio.current_time()
        with pytest.raises(OutcomeUnknownError):
            await session.save()
        assert trio.current_time() - began == pytest.approx(8)
        await trio.sleep(1)
        assert len(home.streams) == 2
    nursery.cancel_scope.cancel()


async def test_a_lost_node_is_connected_again_when_it_is_back(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        await site["a"].stop()
        await trio.sleep(60)
        assert set(client.linked) == {"b", "c"}
        nursery.start_soon(site["a"].run)
        began = trio.current_time()
        await client.wait_linked(3)
        assert trio.current_time() - began <= 2.5
        await client.sessions.find(session_id("a"))
        assert site.asked == {"a": ["Find"]}
    nursery.cancel_scope.cancel()


async def test_a_request_waits_for_a_node_to_come_back(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start("a")
    async with site.client(A, linked=1) as client:
        await site["a"].stop()
        await trio.sleep(3)

        async def come_back() -> None:
            await trio.sleep(2)
            await site["a"].run()

        nursery.start_soon(come_back)
        assert await client.sessions.find(session_id("a")) is None
    nursery.cancel_scope.cancel()


# --- Many at once ---------------------------------------------------------------------------


async def test_answers_reach_those_who_asked(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    for node in site.nodes.values():
        node.answer = lambda request: Failed(
            request.number, Failure.GONE, request.session_id.decode()
        )
    await site.start()
    right: list[bool] = []
    async with site.client() as client:

        async def end(number: int) -> None:
            name = f"{'abc'[number % 3]}.{number:022d}"
            with pytest.raises(SessionEnded) as caught:
                await client.sessions.end(name)
            right.append(str(caught.value) == name)

        async with trio.open_nursery() as ending:
            for number in range(1000):
                ending.start_soon(end, number)
    assert right == [True] * 1000
    nursery.cancel_scope.cancel()


async def test_changes_of_one_session_are_carried_out_in_the_order_of_the_calls(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """Also if the first is refused by one node and repeated at the next."""
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        session = client.sessions.create()
        await session.save()
        told: list[tuple[str, bytes | None]] = []
        refusals = [unavailable]

        def answer_as(name: str, request: Request) -> Answer:
            assert isinstance(request, Save)
            told.append((name, dict(request.changes)[b"x"]))
            return refusals.pop()(request) if refusals else usual(request)

        for name, node in site.nodes.items():
            node.answer = partial(answer_as, name)
        async with trio.open_nursery() as saving:
            for value in (1, 2):
                session["x"] = value
                saving.start_soon(session.save)
                await trio.testing.wait_all_tasks_blocked()
        (first, _), (second, _), (third, _) = told
        assert [packed for _, packed in told] == [b"\x01", b"\x01", b"\x02"]
        assert first == third == session.id[0] != second
    nursery.cancel_scope.cancel()


def test_only_what_may_happen_twice_is_repeated() -> None:
    one = SessionId(session_id("a").encode())
    save = Save(1, one, False, (), Durability.LOCAL, False, False)
    assert _is_repeatable(Find(1, one, True, False))
    assert _is_repeatable(End(1, one, Durability.LOCAL, False, False))
    assert not _is_repeatable(save)


async def test_no_more_is_on_the_way_than_a_node_allows_and_the_rest_goes_elsewhere(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: SILENCE
    await site.start()
    found: list[object] = []
    async with site.client() as client:

        async def find() -> None:
            found.append(await client.sessions.find(session_id("a")))

        async with trio.open_nursery() as finding:
            for _ in range(ON_THE_WAY_MAX + 100):
                finding.start_soon(find)
        assert found == [None] * (ON_THE_WAY_MAX + 100)
        assert len(site["a"].asked) == ON_THE_WAY_MAX
        assert len(site["b"].asked) == ON_THE_WAY_MAX + 100
    nursery.cancel_scope.cancel()


async def test_a_place_on_the_way_is_free_again_when_the_answer_comes(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start("a")
    async with site.client(A, linked=1) as client:

        async def find() -> None:
            assert await client.sessions.find(session_id("a")) is None

        began = trio.current_time()
        async with trio.open_nursery() as finding:
            for _ in range(3 * ON_THE_WAY_MAX):
                finding.start_soon(find)
        assert trio.current_time() == began
        assert len(site["a"].asked) == 3 * ON_THE_WAY_MAX
    nursery.cancel_scope.cancel()


async def test_what_was_given_up_before_it_was_sent_is_not_sent(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.sessions.find(session_id("a"))
        await trio.sleep(1)
        assert site.asked == {}
        assert await client.sessions.find(session_id("a")) is None
        assert site.asked == {"a": ["Find"]}
    nursery.cancel_scope.cancel()


async def test_a_node_that_sends_what_is_no_answer_is_hung_up_on(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        await site["a"].streams[0].send_all(b"\x00\x00\x00\x02\xc1\xc1")
        await trio.testing.wait_all_tasks_blocked()
        await trio.sleep(1)
        assert await client.sessions.find(session_id("a")) is None
        assert len(site["a"].streams) == 2
    nursery.cancel_scope.cancel()
