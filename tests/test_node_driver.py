"""The driver: effects in order, the timer, requests, and bugs that stop the node."""

import logging
from collections import deque
from collections.abc import Callable

import pytest
import trio
import trio.testing
from memory_transport import authenticated_pair, member_identity, memory_ring, stream_pair
from scripted_replica import ScriptedReplica

from node.driver import Driver
from node.log import SessionTagger
from node.timekeeping import Timekeeper
from ring.effects import Close, Dial, Notice, Persist, Respond, Wake
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId
from ring.messages import (
    Absent,
    Ask,
    Failed,
    Failure,
    Find,
    Found,
    Message,
    Reply,
)

RING = memory_ring()
SESSION = SessionId(b"a.0123456789012345678901")


class Stand:
    """A driver of a scripted replica, and what it did outside."""

    def __init__(self) -> None:
        self.replica = ScriptedReplica()
        self.done: list[str] = []
        self.driver = Driver(
            self.replica.as_replica,
            Timekeeper(),
            on_dial=lambda peer: self.done.append(f"dial {peer}"),
            on_persist=lambda session_id: self.done.append(f"persist {session_id.decode()}"),
        )
        self.bugs: list[BaseException] = []

    async def run(self) -> None:
        self.driver.start()
        try:
            await self.driver.run()
        except* Exception as group:  # noqa: BLE001 - the test looks at them
            self.bugs += group.exceptions


def find(number: int) -> Find:
    return Find(number, SESSION, touch=True, forwarded=False)


async def test_the_replica_starts_before_anything_else(nursery: trio.Nursery) -> None:
    stand = Stand()
    stand.replica.effects["start"] = [Dial("b"), Persist(SESSION), Dial("c")]
    nursery.start_soon(stand.run)
    await trio.testing.wait_all_tasks_blocked()
    assert stand.replica.names == ["start"]
    assert stand.done == ["dial b", f"persist {SESSION.decode()}", "dial c"]
    nursery.cancel_scope.cancel()


async def test_the_timer_rings_when_due_and_when_that_comes_nearer(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    stand = Stand()
    began = stand.driver._timekeeper.now()
    stand.replica.due = began + 10
    nursery.start_soon(stand.run)
    await trio.sleep(1)
    stand.replica.due = began + 3
    stand.driver.feed(stand.replica.on_unreachable, "b")
    await trio.sleep(100)
    ticks = [now - began for name, now in stand.replica.inputs[2:] if name == "on_tick"]
    assert ticks == [pytest.approx(3)]
    nursery.cancel_scope.cancel()


async def test_a_due_that_keeps_moving_away_still_comes(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """A replica may say "in 50 ms" at each question as long as something waits."""
    stand = Stand()
    stand.replica.due = trio.current_time() + 0.05
    nursery.start_soon(stand.run)
    for _ in range(10):
        await trio.sleep(0.01)
        stand.replica.due = trio.current_time() + 0.05
        stand.driver.feed(stand.replica.on_unreachable, "b")
    assert "on_tick" in stand.replica.names
    nursery.cancel_scope.cancel()


async def test_a_notice_is_a_log_line_and_an_alarming_one_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    Stand().driver.perform(
        [Notice("member_up", {"peer": "b"}), Notice("member_down", {"peer": "c"}, alarming=True)]
    )
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("INFO", "member_up peer=b"),
        ("WARNING", "member_down peer=c"),
    ]


# --- Requests -------------------------------------------------------------------------------


async def test_a_request_that_is_answered_at_once_does_not_wait() -> None:
    stand = Stand()
    stand.replica.effects["submit"] = [Respond(5, Absent(5))]
    assert await stand.driver.request(find(5)) == Absent(5)


async def test_a_request_waits_for_its_own_answer(nursery: trio.Nursery) -> None:
    stand = Stand()
    answers: dict[int, Reply] = {}

    async def ask(number: int) -> None:
        answers[number] = await stand.driver.request(find(number))

    for number in (1, 2, 3):
        nursery.start_soon(ask, number)
    await trio.testing.wait_all_tasks_blocked()
    stand.driver.perform([Respond(2, Absent(2)), Respond(2, Found(2, b"again"))])
    await trio.testing.wait_all_tasks_blocked()
    assert answers == {2: Absent(2)}
    stand.driver.perform([Respond(3, Absent(3)), Respond(1, Absent(1))])
    await trio.testing.wait_all_tasks_blocked()
    assert set(answers) == {1, 2, 3}


async def test_the_answer_to_a_cancelled_request_is_dropped() -> None:
    stand = Stand()
    with trio.move_on_after(0):
        await stand.driver.request(find(1))
    stand.driver.perform([Respond(1, Absent(1))])
    assert not stand.driver._waiters


async def test_requests_that_wait_are_bounded(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.driver.REQUESTS_MAX", 2)
    stand = Stand()
    nursery.start_soon(stand.driver.request, find(1))
    nursery.start_soon(stand.driver.request, find(2))
    await trio.testing.wait_all_tasks_blocked()
    answer = await stand.driver.request(find(3))
    assert isinstance(answer, Failed)
    assert answer.failure is Failure.UNAVAILABLE
    nursery.cancel_scope.cancel()


async def test_a_closed_driver_takes_no_requests_and_waiting_ones_have_an_unknown_outcome(
    nursery: trio.Nursery,
) -> None:
    stand = Stand()
    answers: list[Reply] = []

    async def ask(number: int) -> None:
        answers.append(await stand.driver.request(find(number)))

    nursery.start_soon(ask, 1)
    await trio.testing.wait_all_tasks_blocked()
    stand.driver.close()
    await ask(2)
    await trio.testing.wait_all_tasks_blocked()
    failures = {a.number: a.failure for a in answers if isinstance(a, Failed)}
    assert failures == {1: Failure.OUTCOME_UNKNOWN, 2: Failure.UNAVAILABLE}
    assert stand.driver.read(SESSION, True) is None


async def test_a_read_is_answered_from_memory_and_its_effects_are_performed() -> None:
    stand = Stand()
    stand.replica.found = Found(0, b"record")
    stand.replica.effects["read"] = [Persist(SESSION)]
    assert stand.driver.read(SESSION, True) == Found(0, b"record")
    assert stand.replica.inputs == [("read", SESSION, True)]
    assert stand.done == [f"persist {SESSION.decode()}"]


async def test_ready_is_told_to_those_who_wait(nursery: trio.Nursery) -> None:
    stand = Stand()
    with trio.move_on_after(0) as scope:
        await stand.driver.wait_ready()
    assert scope.cancelled_caught
    stand.replica.ready = True
    stand.driver.feed(stand.replica.on_unreachable, "b")
    await stand.driver.wait_ready()


# --- Bugs -----------------------------------------------------------------------------------


async def test_a_bug_in_the_replica_stops_the_node_even_if_the_application_catches_it(
    nursery: trio.Nursery,
) -> None:
    stand = Stand()
    stand.replica.effects["submit"] = ZeroDivisionError("our bug")
    nursery.start_soon(stand.run)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ZeroDivisionError):
        await stand.driver.request(find(1))
    await trio.testing.wait_all_tasks_blocked()
    assert [type(bug) for bug in stand.bugs] == [ZeroDivisionError]
    more: list[Callable[[], object]] = [
        lambda: stand.driver.feed(stand.replica.on_unreachable, "b"),
        lambda: stand.driver.read(SESSION, True),
        lambda: stand.driver.take(LinkId(1)),
        lambda: stand.driver.persistent(SESSION),
    ]
    for another_input in more:
        with pytest.raises(RuntimeError, match="because of a bug"):
            another_input()


@pytest.mark.parametrize("name", ["read", "persistent", "take"])
async def test_a_bug_in_a_question_stops_the_node_too(name: str, nursery: trio.Nursery) -> None:
    stand = Stand()
    stand.replica.effects[name] = KeyError("our bug")
    nursery.start_soon(stand.run)
    await trio.testing.wait_all_tasks_blocked()
    questions: dict[str, Callable[[], object]] = {
        "read": lambda: stand.driver.read(SESSION, True),
        "persistent": lambda: stand.driver.persistent(SESSION),
        "take": lambda: stand.driver.take(LinkId(1)),
    }
    with pytest.raises(KeyError):
        questions[name]()
    await trio.testing.wait_all_tasks_blocked()
    assert len(stand.bugs) == 1


# --- Links ----------------------------------------------------------------------------------


class Linked:
    """A link of a scripted node a, and the bare end of b."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.near, self.far = stream_pair()

    async def authenticate(self) -> None:
        self.connection, self.far_connection = await authenticated_pair(
            member_identity(RING, "a"), member_identity(RING, "b"), (self.near, self.far)
        )

    async def run(self, dialled: str | None = "b") -> None:
        await self.stand.driver.run_link(self.near, self.connection, dialled=dialled)

    async def send(self, *messages: Message) -> None:
        await self.far.send_all(b"".join(self.far_connection.send(each) for each in messages))
        await trio.testing.wait_all_tasks_blocked()


async def make_linked() -> Linked:
    linked = Linked(Stand())
    await linked.authenticate()
    return linked


async def test_a_link_is_told_when_it_begins_and_when_it_is_over(nursery: trio.Nursery) -> None:
    linked = await make_linked()
    replica = linked.stand.replica
    nursery.start_soon(linked.run)
    await linked.send(Absent(1), Absent(2))
    await linked.far.aclose()
    await trio.testing.wait_all_tasks_blocked()
    assert replica.inputs == [
        ("on_linked", "b", 1),
        ("on_message", 1, Absent(1)),
        ("on_message", 1, Absent(2)),
        ("on_closed", 1),
    ]
    assert not linked.stand.driver.links


async def test_an_accepted_link_is_told_with_its_peer() -> None:
    linked = await make_linked()
    linked.stand.replica.effects["on_accepted"] = [Close(LinkId(1), "not now")]
    await linked.run(dialled=None)
    assert linked.stand.replica.inputs == [("on_accepted", 1, "b"), ("on_closed", 1)]
    assert linked.near.is_closed


async def test_links_are_numbered_and_never_reuse_a_number(nursery: trio.Nursery) -> None:
    stand = Stand()
    for _ in range(2):
        linked = Linked(stand)
        await linked.authenticate()
        await linked.far.aclose()
        await linked.run()
    assert [args for name, *args in stand.replica.inputs if name == "on_closed"] == [[1], [2]]


async def test_a_wake_sends_what_the_replica_has(nursery: trio.Nursery) -> None:
    linked = await make_linked()
    replica = linked.stand.replica
    replica.outbox[LinkId(1)] = deque([Ask(1, SESSION), Ask(2, SESSION)])
    replica.effects["on_linked"] = [Wake(LinkId(1)), Wake(LinkId(99))]
    nursery.start_soon(linked.run)
    await trio.testing.wait_all_tasks_blocked()
    await linked.stand.driver.wait_links_idle()
    linked.far_connection.receive_data(await linked.far.receive_some(1 << 16))
    assert linked.far_connection.next_events() == [Ask(1, SESSION), Ask(2, SESSION)]
    linked.stand.driver.perform([Close(LinkId(1), "done"), Close(LinkId(99), "unknown")])


async def test_messages_after_a_close_in_one_read_are_not_used(nursery: trio.Nursery) -> None:
    linked = await make_linked()
    replica = linked.stand.replica
    replica.effects["on_message"] = [Close(LinkId(1), "silent for too long")]
    nursery.start_soon(linked.run)
    await linked.send(Absent(1), Absent(2), Absent(3))
    assert replica.names == ["on_linked", "on_message", "on_closed"]


async def test_an_error_that_is_the_peers_ends_its_link_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    linked = await make_linked()
    linked.stand.replica.effects["on_message"] = RemoteProtocolError("answers what nobody asked")
    await linked.far.send_all(linked.far_connection.send(Absent(1)))
    await linked.run()
    linked.stand.driver.feed(linked.stand.replica.on_unreachable, "c")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        'link_broken_off reason="answers what nobody asked" peer=b side=dialled',
    ]


async def test_a_bug_met_by_a_link_stops_the_node_without_another_input() -> None:
    linked = await make_linked()
    linked.stand.replica.effects["on_message"] = KeyError("our bug")
    await linked.far.send_all(linked.far_connection.send(Absent(1)))
    with pytest.raises(ExceptionGroup) as caught:
        await linked.run()
    assert caught.group_contains(KeyError)
    assert linked.stand.replica.names == ["on_linked", "on_message"]
    assert linked.near.is_closed


async def test_a_notice_about_a_session_names_it_by_a_tag(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stand = Stand()
    notice = Notice("attribute_overwritten", {"attribute": "cart"}, True, SESSION)
    stand.driver.perform([notice])
    tag = SessionTagger(bytes(16))(SESSION)
    (record,) = caplog.records
    assert record.getMessage() == f"attribute_overwritten session={tag} attribute=cart"
    assert record.levelname == "WARNING"
