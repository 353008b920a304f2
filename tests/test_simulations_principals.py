"""Principals in simulated rings: the code that applications call, over rings that lose nodes."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgpack
import pytest
from attrs import evolve

from node.matches import EndedSessions
from node.sections import SessionsConfig
from node.sessions import SessionRepository
from ring.entry import PRINCIPAL
from ring.errors import SessionUnavailableError, TooManySessionsError
from ring.identity import SessionId
from ring.messages import Durability, Failed, Save
from ring.questions import Matches, Query
from simulations.plan import Fault, Kind, Level, Plan, simplest
from simulations.simulate import Client, simulate
from simulations.tasks import Later

ADA = msgpack.packb("ada")
EVERY_LEVEL = pytest.mark.parametrize("level", list(Level))


def limited(client: Client, policy: str, sessions_max: int = 1) -> SessionRepository:
    config = SessionsConfig(
        max_sessions_per_principal=sessions_max,
        principal_policy=policy,  # type: ignore[arg-type]
    )
    return SessionRepository(client, config, Durability.BACKUP)


async def login(client: Client) -> str:
    session = client.sessions.create()
    await session.save()
    session.principal = "ada"
    await session.save()
    return session.id


async def all_of(client: Client, sessions: SessionRepository | None = None) -> set[str]:
    """Return the sessions of Ada once nothing is missing any more."""
    while True:
        try:
            found = await (sessions or client.sessions).find_by_principal("ada")
        except SessionUnavailableError:
            await client.sleep(0.1)
            continue
        if not found.unreachable:
            return set(found.sessions)
        await client.sleep(0.1)


def played(
    plan: Plan, workload: Callable[[Client], Coroutine[Any, Any, object]], level: Level = Level.CORE
) -> None:
    simulated = simulate(plan, workload, level=level)
    assert (simulated.unfinished, simulated.refused) == (0, ())


@EVERY_LEVEL
def test_what_one_client_has_given_to_a_principal_another_one_finds(level: Level) -> None:
    ids = set[str]()

    async def workload(client: Client) -> None:
        ids.add(await login(client))
        while len(ids) < 3:
            await client.sleep(0.1)
        assert await all_of(client) == ids

    played(simplest(clients=3), workload, level)


@EVERY_LEVEL
@pytest.mark.parametrize("node", "abc")
def test_all_are_ended_although_a_node_is_killed_meanwhile(level: Level, node: str) -> None:
    """And none comes back with the node."""
    results = list[EndedSessions]()
    crash = Fault(Kind.CRASH, 2.02, (node,), 4.0)
    count = 40

    async def workload(client: Client) -> None:
        ids = [await login(client) for _ in range(count)]
        assert len(set(ids)) == count
        await client.sleep(2.0 - client.now)
        results.append(await client.sessions.end_all("ada"))
        await client.sleep(8.0 - client.now)
        assert await all_of(client) == set()

    plan = evolve(simplest(clients=1), duration_s=20.0, faults=(crash,))
    played(plan, workload, level)
    assert results[0].unsure == 0
    assert 0 < results[0].ended <= count


def test_a_thousand_sessions_of_one_principal_are_ended_although_a_node_is_killed() -> None:
    results = list[EndedSessions]()
    crash = Fault(Kind.CRASH, 10.0, ("b",), 3.0)

    async def workload(client: Client) -> None:
        for number in range(1_000):
            if number % 50 == 0:
                await client.sleep(0.01)
            session_id = client.new_session_id()
            rows = ((PRINCIPAL, ADA),)
            await client.perform(Save(0, session_id, True, rows, Durability.LOCAL, False, False))
        assert client.now < 9.8
        assert len(await all_of(client)) == 1_000
        await client.sleep(9.9 - client.now)
        results.append(await client.sessions.end_all("ada", timeout_s=300.0))
        assert await all_of(client) == set()

    played(evolve(simplest(clients=1), duration_s=100.0, faults=(crash,)), workload)
    assert results[0].is_complete
    assert results[0].ended >= 990


@pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
def test_a_limit_that_a_cut_has_let_be_exceeded_is_kept_again_after_the_next_login(
    policy: str,
) -> None:
    """Each side sees its own sessions only, and says so."""
    cut = Fault(Kind.SPLIT, 2.0, ("a",), 12.0)
    counts = list[int]()

    async def come(client: Client, sessions: SessionRepository) -> bool:
        session = sessions.create()
        session.principal = "ada"
        try:
            await session.save()
        except TooManySessionsError:
            return False
        return True

    async def workload(client: Client) -> None:
        sessions = limited(client, policy)
        await client.sleep(9.0 - client.now)
        side = "a" if client.number else "b"  # By now these have given each other up.
        client.new_session_id = of(side, client)  # type: ignore[method-assign]
        client.query = at(side, client)  # type: ignore[method-assign, assignment]
        assert await come(client, sessions)
        await client.sleep(25.0 - client.now)
        if client.number:
            return
        counts.append(len(await all_of(client)))
        await come(client, sessions)
        counts.append(len(await all_of(client)))

    plan = evolve(simplest(clients=2), duration_s=60.0, faults=(cut,))
    played(plan, workload)
    assert counts == [2, 1]


def of(home: str, client: Client) -> Callable[..., SessionId]:
    """Return what gives ids of one home."""
    new_session_id = type(client).new_session_id
    return lambda asked=None, namespace="": new_session_id(client, asked or home, namespace)


def at(node: str, client: Client) -> Callable[[Query], Coroutine[Any, Any, Matches | Failed]]:
    """Return what asks one node, as long as it runs."""

    async def query(query: Query) -> Matches | Failed:
        def begin(go_on: Callable[[Matches | Failed | None], None]) -> None:
            client._ground.query(node, lambda number: evolve(query, number=number), go_on)

        answer = await Later[Matches | Failed | None](begin)
        assert answer is not None
        return answer

    return query
