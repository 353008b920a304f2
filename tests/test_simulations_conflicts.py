"""In simulated rings: what is saved only if nobody has changed it is lost by nobody."""

from pathlib import Path
from unittest.mock import patch

import pytest

import ring.writing
from node import ConflictError, Session, Sessions, SessionUnavailableError
from ring.errors import ReplicationTimeoutError
from simulations.plan import Level, simplest
from simulations.simulate import Client, simulate

ROUNDS = 5
CLIENTS = 3


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans that break a promise be written where nobody keeps them."""
    monkeypatch.chdir(tmp_path)


async def there(sessions: Sessions, session_id: str) -> Session:
    session = await sessions.find(session_id)
    assert session is not None
    return session


async def count_down(client: Client, session_id: str, unknown: list[int]) -> None:
    """Take one from the stock, ``ROUNDS`` times; note what may or may not have been taken."""
    session = await there(client.sessions, session_id)
    for _ in range(ROUNDS):
        while True:
            session["stock"] -= 1
            await client.sleep(0.05 * (1 + client.number))
            try:
                await session.save(if_unchanged=True)
                break
            except ConflictError as conflict:
                session = conflict.other or await there(client.sessions, session_id)
            except (SessionUnavailableError, ReplicationTimeoutError):
                unknown.append(client.number)
                session = await there(client.sessions, session_id)


def left_over(level: Level) -> tuple[int, int]:
    """Return what is left of the stock, and how many outcomes were unknown."""
    session_ids, unknown, left = list[str](), list[int](), list[int]()
    done: set[int] = set()

    async def workload(client: Client) -> None:
        if client.number == 0:
            session = client.sessions.create()
            session["stock"] = 100
            await session.save()
            session_ids.append(session.id)
        while not session_ids:
            await client.sleep(0.05)
        await count_down(client, session_ids[0], unknown)
        done.add(client.number)
        while len(done) < CLIENTS:
            await client.sleep(0.1)
        left.append((await there(client.sessions, session_ids[0]))["stock"])

    simulate(simplest(clients=CLIENTS), workload, level=level)
    assert len(set(left)) == 1
    return left[0], len(unknown)


@pytest.mark.parametrize("level", list(Level))
def test_every_one_of_several_clients_takes_what_it_takes(level: Level) -> None:
    assert left_over(level) == (100 - CLIENTS * ROUNDS, 0)


def test_without_the_comparison_some_are_lost() -> None:
    with patch.object(ring.writing, "is_as_expected", lambda record, expected: True):
        left, unknown = left_over(Level.CORE)
    assert left > 100 - CLIENTS * ROUNDS + unknown
