"""Maps, sets and counters of applications, in simulated rings in which nodes come and go."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, find, given, settings

from node import Session
from ring.errors import OutcomeUnknownError, SessionRingError
from simulations.plan import Level, Plan
from simulations.simulate import Client, Simulated, simulate
from simulations.strategies import plans


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let plans that break a promise be written where nobody keeps them."""
    monkeypatch.chdir(tmp_path)


class Shop:
    """Clients that all put things into one session, and what has to be in it afterwards."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.sure: set[tuple[int, int]] = set()
        """Puts that were acknowledged undegraded: client and number."""
        self.tried: set[tuple[int, int]] = set()

    async def workload(self, client: Client) -> None:
        if client.number == 0:
            session = client.sessions.create(max_idle=0)
            await session.save()
            self.ids.append(session.id)
        while not self.ids:
            await client.sleep(0.05)
        for number in range(6):
            try:
                session_now = await client.sessions.find(self.ids[0])
                assert session_now is not None
                session_now.map("cart")[f"{client.number}.{number}"] = [number]
                session_now.set("seen").add((client.number, number))
                session_now.counter("clicks").add(10 ** (2 * client.number))
                self.tried.add((client.number, number))
                await client.sleep(0.1)
                receipt = await self._saved(client, session_now)
                if not receipt:
                    self.sure.add((client.number, number))
            except SessionRingError:
                await client.sleep(0.2)

    @staticmethod
    async def _saved(client: Client, session: Session) -> bool:
        """Save, again if it has to be; return whether less is certain than was asked for."""
        for _ in range(2):
            try:
                return (await session.save()).degraded
            except OutcomeUnknownError:
                await client.sleep(0.3)
        return True

    def check(self, report: Simulated) -> None:
        """Nothing that is certain is missing, nothing is there twice, and nobody made it up."""
        if not self.sure:
            return
        session = report.session(self.ids[0])
        assert session is not None
        assert self.sure <= session["seen"] <= self.tried
        assert set(session["cart"]) == {f"{client}.{number}" for client, number in session["seen"]}
        counted = session["clicks"]
        for client in range(report.plan.workload.clients):
            counted, clicks = divmod(counted, 100)
            # What a save that was lost had added comes back with the next total.
            assert of(client, session["seen"]) <= clicks <= of(client, self.tried)
        assert counted == 0


def of(client: int, puts: Iterable[tuple[int, int]]) -> int:
    return sum(1 for each in puts if each[0] == client)


@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(plans(faults=6, clients=3))
def test_what_clients_put_in_at_the_same_time_is_there_once_whatever_strikes(plan: Plan) -> None:
    shop = Shop()
    shop.check(simulate(plan, shop.workload))


def test_and_in_whole_nodes() -> None:
    shop = Shop()
    plan = find(plans(clients=3), lambda plan: True, settings=settings(database=None))
    report = simulate(plan, shop.workload, level=Level.NODE)
    assert len(shop.sure) == 18
    shop.check(report)
