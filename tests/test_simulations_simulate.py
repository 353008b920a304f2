"""Simulated rings as the tests of applications use them: workloads, plans, verdicts."""

from collections.abc import Awaitable, Callable
from functools import cache, partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import trio
from ablations import ABLATIONS
from attrs import evolve
from hypothesis import HealthCheck, find, given, settings
from hypothesis.errors import NoSuchExample
from hypothesis.vendor.pretty import pretty

import node.node
from node.errors import AttributeDecodeError, ValueNotStorableError
from ring.errors import (
    ConfigError,
    LocalProtocolError,
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionRingError,
    SessionTooLargeError,
    SessionUnavailableError,
    UnknownMemberError,
)
from ring.settings import Settings
from simulations.plan import Disk, Fault, Kind, Level, Plan, Way, plan_to_json, read_plan
from simulations.simulate import Client, PromiseBroken, simulate
from simulations.strategies import plans
from simulations.violation import Violation

EVERY_LEVEL = pytest.mark.parametrize("level", list(Level))


@cache
def simplest(clients: int) -> Plan:
    """Return the plan to which all others shrink."""
    plan = find(plans(clients=clients), lambda plan: True)
    assert plan.faults == ()
    return plan


def a_plan(*faults: Fault, clients: int = 2) -> Plan:
    """Return the simplest plan there is, with these faults."""
    return evolve(simplest(clients), faults=faults)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans that break a promise be written where nobody keeps them."""
    monkeypatch.chdir(tmp_path)


# --- A shopping cart ---

Put = Callable[[Client, str], Awaitable[None]]


async def put_into_a_list(client: Client, session_id: str) -> None:
    """Keep all items in one attribute: of two that are put in at once, one is lost."""
    session = await client.sessions.find(session_id)
    assert session is not None
    session["cart"] = [*session.get("cart", []), client.number]
    await client.sleep(0.1)
    await session.save()


async def put_into_a_set(client: Client, session_id: str) -> None:
    """Keep all items in one attribute whose members are merged one by one."""
    session = await client.sessions.find(session_id)
    assert session is not None
    session.set("cart").add(client.number)
    await client.sleep(0.1)
    await session.save()


def cart_after(plan: Plan, put: Put, level: Level = Level.CORE) -> set[int] | None:
    """Return what is in the cart when each client has put itself in; None: not all could."""
    ids = list[str]()

    async def workload(client: Client) -> None:
        if client.number == 0:
            session = client.sessions.create()
            await session.save()
            ids.append(session.id)
        while not ids:
            await client.sleep(0.05)
        await put(client, ids[0])

    report = simulate(plan, workload, level=level)
    if report.refused or report.unfinished:
        return None
    session = report.session(ids[0])
    assert session is not None
    return set(session.get("cart", []))


@EVERY_LEVEL
def test_a_cart_in_one_attribute_loses_items_even_if_nothing_goes_wrong(level: Level) -> None:
    assert cart_after(a_plan(), put_into_a_list, level) in ({0}, {1})
    assert cart_after(a_plan(), put_into_a_set, level) == {0, 1}


def test_hypothesis_finds_the_simplest_ring_in_which_a_cart_loses_items() -> None:
    def loses(plan: Plan) -> bool:
        return cart_after(plan, put_into_a_list) not in (None, {0, 1})

    few = settings(max_examples=10, database=None)
    assert find(plans(), loses, settings=few).faults == ()
    with pytest.raises(NoSuchExample):
        find(
            plans(),
            lambda plan: cart_after(plan, put_into_a_set) not in (None, {0, 1}),
            settings=few,
        )


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plans(faults=6, clients=3))
def test_the_ring_keeps_its_promises_to_workloads_whatever_strikes(plan: Plan) -> None:
    async def workload(client: Client) -> None:
        while True:
            session = client.sessions.create()
            try:
                for number in range(3):
                    session["number"] = number
                    await session.save()
                    await client.sleep(0.2)
                if client.number:
                    await client.sessions.end(session.id)
            except SessionRingError:
                await client.sleep(0.1)

    assert simulate(plan, workload).unfinished == 3


# --- Clients ---


@EVERY_LEVEL
def test_sessions_are_what_they_are_in_an_application(level: Level) -> None:
    seen = list[object]()

    async def workload(client: Client) -> None:
        session = client.sessions.create(max_idle=60)
        session["name"] = "Ada"
        receipt = await session.save()
        assert len(receipt.holders) == 2
        again = await client.sessions.find(session.id)
        assert again is not None
        seen.append(dict(again))
        await again.rotate_id()
        seen.append((await client.sessions.find(again.id)) is not None)
        await client.sessions.end(again.id)
        seen.append(await client.sessions.find(again.id))
        seen.append(await client.sessions.find("nobody's"))
        seen.append(client.now > 0)

    report = simulate(a_plan(clients=1), workload, level=level)
    assert seen == [{"name": "Ada"}, True, None, None, True]
    assert report.refused == ()
    assert report.unfinished == 0


def test_what_a_workload_raises_is_raised_and_errors_of_the_ring_end_it() -> None:
    async def wrong(client: Client) -> None:
        assert client.number == 7, "not seven"

    with pytest.raises(AssertionError, match="not seven"):
        simulate(a_plan(), wrong)

    async def refused(client: Client) -> None:
        raise SessionUnavailableError("not today")

    report = simulate(a_plan(), refused)
    assert report.refused == tuple(
        f"client {number}: SessionUnavailableError: not today" for number in (0, 1)
    )


@pytest.mark.parametrize(
    "error",
    [
        SessionUnavailableError,
        OutcomeUnknownError,
        ReplicationTimeoutError,
        RingFullError,
        SessionEnded,
    ],
)
def test_what_faults_cause_ends_a_workload_as_it_would_end_a_request(
    error: type[SessionRingError],
) -> None:
    async def unlucky(client: Client) -> None:
        raise error("not today")

    assert simulate(a_plan(clients=1), unlucky).refused == (
        f"client 0: {error.__name__}: not today",
    )


@pytest.mark.parametrize(
    "error",
    [
        ValueNotStorableError,
        AttributeDecodeError,
        SessionTooLargeError,
        LocalProtocolError,
        ConfigError,
        UnknownMemberError,
    ],
)
def test_what_no_fault_causes_is_raised(error: type[SessionRingError]) -> None:
    async def wrong(client: Client) -> None:
        raise error("never")

    with pytest.raises(error, match="never"):
        simulate(a_plan(clients=1), wrong)


def test_a_cart_that_can_never_be_stored_fails() -> None:
    """It would end every workload, and leave nothing to be asserted."""

    async def put_what_cannot_be_stored(client: Client, session_id: str) -> None:
        session = await client.sessions.find(session_id)
        assert session is not None
        session["cart"] = object()
        await session.save()

    with pytest.raises(ValueNotStorableError, match="cart"):
        cart_after(a_plan(), put_what_cannot_be_stored)


def test_a_workload_that_is_not_async_is_told_so() -> None:
    wrong: Any = len
    with pytest.raises(
        TypeError, match=r"1 is no coroutine: workload is .* give an async function"
    ):
        simulate(a_plan(), lambda client: wrong("x"))


def test_a_workload_that_awaits_something_else_is_told_what_it_may() -> None:
    async def elsewhere(client: Client) -> None:
        await trio.lowlevel.checkpoint()

    with pytest.raises(TypeError, match=r"client\.sleep"):
        simulate(a_plan(), elsewhere)


def test_a_workload_that_is_not_done_in_time_is_ended_and_counted() -> None:
    ended = list[int]()

    async def endless(client: Client) -> None:
        try:
            while True:
                await client.sleep(1)
        finally:
            ended.append(client.number)

    report = simulate(a_plan(), endless)
    assert report.unfinished == 2
    assert sorted(ended) == [0, 1]


def test_faults_strike_while_workloads_run() -> None:
    crash = Fault(Kind.CRASH, 1.0, ("a",), 1.0)

    async def workload(client: Client) -> None:
        await client.sleep(5)

    assert simulate(a_plan(crash), workload).faults == {"crash": 1}


@pytest.mark.parametrize("name", ["client-0", "client-7", "client-x", "client-"])
def test_applications_name_their_attributes_as_they_like(name: str) -> None:
    """What marks the saves of clients was an attribute like theirs."""
    seen = list[object]()

    async def workload(client: Client) -> None:
        session = client.sessions.create()
        session[name] = 5
        await session.save()
        again = await client.sessions.find(session.id)
        assert again is not None
        seen.append(dict(again))

    simulate(a_plan(clients=1), workload)
    assert seen == [{name: 5}]


def test_sessions_live_as_long_as_the_application_says() -> None:
    """The judge knew of a max idle that was given at the creation, and of no other limit."""
    seen = list[bool]()

    async def workload(client: Client) -> None:
        for_ever = client.sessions.create(max_idle=0)
        short = client.sessions.create(lifetime=3)
        longer = client.sessions.create(max_idle=3)
        for session in (for_ever, short, longer):
            await session.save()
        longer.max_idle = 30
        await longer.rotate_id()
        await client.sleep(6)
        for session in (for_ever, short, longer):
            seen.append(await client.sessions.find(session.id) is not None)

    simulate(a_plan(clients=1), workload)
    assert seen == [True, False, True]


def test_time_only_goes_on() -> None:
    async def workload(client: Client) -> None:
        before = client.now
        await client.sleep(-5)
        assert client.now > before

    assert simulate(a_plan(clients=1), workload).unfinished == 0


@EVERY_LEVEL
def test_what_stops_a_test_stops_the_simulation(level: Level) -> None:
    """Inside a node it was taken for a node that stops by itself."""

    async def workload(client: Client) -> None:
        await client.sleep(0.1)
        pytest.fail("enough")

    with pytest.raises(pytest.fail.Exception, match="enough"):
        simulate(a_plan(), workload, level=level)


def test_inside_of_trio_no_whole_node_is_played_and_nothing_is_left_changed() -> None:
    async def workload(client: Client) -> None:
        await client.sleep(0.1)

    async def main() -> None:
        simulate(a_plan(), workload, level=Level.NODE)

    before = trio.to_thread.run_sync, vars(node.node)["Driver"]
    with pytest.raises(RuntimeError):
        trio.run(main)
    assert (trio.to_thread.run_sync, vars(node.node)["Driver"]) == before
    assert simulate(a_plan(), workload, level=Level.NODE).unfinished == 0


@pytest.mark.parametrize("wrong", [{"nodes": 8}, {"nodes": 0}, {"copies": 5}, {"clients": 0}])
def test_rings_that_cannot_be_are_refused_by_name(wrong: dict[str, int]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        find(plans(**wrong), lambda plan: True)


# --- Verdicts ---


def test_a_broken_promise_is_told_with_its_story_and_a_plan_that_breaks_it_again() -> None:
    async def workload(client: Client) -> None:
        for _ in range(10):
            session = client.sessions.create()
            await session.save()
            await client.sleep(0.1)

    with ABLATIONS["acknowledge before merging"]():
        crash = Fault(Kind.CRASH, 0.4, ("a",), 1.0)
        plan = next(
            plan
            for seed in range(60)
            if is_broken(plan := evolve(a_plan(crash), seed=seed), workload)
        )
        with pytest.raises(PromiseBroken) as broken:
            simulate(plan, workload)
        assert broken.value.path is not None
        again = read_plan(broken.value.path)
        assert again == plan
        with pytest.raises(PromiseBroken, match=broken.value.promise):
            simulate(again, workload)
    told = str(broken.value)
    assert told.startswith(f"{broken.value.promise}: {broken.value.story}")
    assert told.endswith(f'simulate(read_plan("{broken.value.path}"), workload, level="core")')


def test_plans_of_different_tests_are_kept_apart() -> None:
    """They had one name for all, so that the failure of one test hid the plan of another's."""

    async def create(client: Client) -> None:
        await client.sessions.create().save()

    async def create_two(client: Client) -> None:
        await create(client)
        await create(client)

    paths = set[Path]()
    with patch("simulations.stage.check_rest", lambda world: [Violation("bounded", "late")]):
        for workload in (create, create_two, create):
            with pytest.raises(PromiseBroken, match="late") as broken:
                simulate(a_plan(), workload)
            assert broken.value.path is not None
            paths.add(broken.value.path)
    assert len(paths) == 2
    assert {path.read_text() for path in paths} == {plan_to_json(a_plan())}


def test_plans_of_one_test_at_two_levels_are_kept_apart() -> None:
    """A plan that only whole nodes break was replaced by one that breaks at the other level."""

    async def create(client: Client) -> None:
        await client.sessions.create().save()

    paths = list[Path]()
    with patch("simulations.stage.check_rest", lambda world: [Violation("bounded", "late")]):
        for level in Level:
            plan = evolve(a_plan(), seed=len(paths))
            with pytest.raises(PromiseBroken, match=f'level="{level}"') as broken:
                simulate(plan, create, level=level)
            assert broken.value.path is not None
            paths.append(broken.value.path)
    assert [read_plan(path).seed for path in paths] == [0, 1]


def is_broken(plan: Plan, workload: Callable[[Client], Awaitable[None]]) -> bool:
    try:
        simulate(plan, workload)  # type: ignore[arg-type]
    except PromiseBroken:
        return True
    return False


def test_a_node_that_stops_by_itself_breaks_a_promise() -> None:
    async def workload(client: Client) -> None:
        await client.sleep(1)

    bug = partial(patch, "node.dialling.Dialling._dial_once", side_effect=ZeroDivisionError)
    with bug(), pytest.raises(PromiseBroken, match="stopped by itself"):
        simulate(a_plan(), workload, level=Level.NODE)


# --- What is printed ---


def test_a_plan_prints_what_is_special_about_it() -> None:
    """Ninety lines of settings hid the one fault that counted."""
    assert repr(simplest(2)) == "Plan(members=3, copies=2, clients=2, faults=())"
    crash = Fault(Kind.CRASH, 1.0, ("a",), 2.0, disk=Disk.LOST)
    told = "Fault(kind='crash', at=1.0, nodes=('a',), for_s=2.0, disk='lost')"
    assert repr(crash) == told
    plan = evolve(a_plan(crash), seed=7, ways=dict.fromkeys(a_plan().ways, Way(0.02, 0.24)))
    assert repr(plan) == (
        "Plan(members=3, copies=2, clients=2, seed=7, ways=Way(least_s=0.02, most_s=0.24), "
        f"faults=({told},))"
    )
    assert pretty(plan).replace("\n", "").replace(" ", "") == repr(plan).replace(" ", "")
    assert max(map(len, pretty(plan).splitlines())) < 80
    assert "settings={'ack_timeout_s': 0.5}" in repr(
        evolve(plan, settings=Settings(ack_timeout_s=0.5))
    )
