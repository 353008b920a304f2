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
from ring.errors import SessionUnavailableError
from ring.messages import Durability, Save
from simulations.plan import Fault, Kind, Level, Plan, simplest
from simulations.simulate import Client, simulate

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
