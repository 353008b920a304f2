"""The client: routing by id, around lost nodes, and never a save twice."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from random import Random

import pytest
import trio
import trio.lowlevel
import trio.testing
from memory_transport import MemoryNetwork, memory_ring
from scripted_nodes import HANG_UP, SILENCE, Answer, ScriptedNode, unavailable, usual

from node.client import FIND_PATIENCE_S, Client, open_client
from ring.errors import (
    ConfigError,
    OutcomeUnknownError,
    SessionEnded,
    SessionUnavailableError,
)
from ring.identity import RANDOM_CHARS
from ring.messages import End, Failed, Failure, Find, Request, Save

A, B, C = (f"{name}.memory:1" for name in "abc")


class Site:
    """Three scripted nodes, and clients of them."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.network = MemoryNetwork()
        self.ring = memory_ring()
        self.nursery = nursery
        self.nodes = {name: ScriptedNode(name, self.ring, self.network) for name in "abc"}

    def __getitem__(self, name: str) -> ScriptedNode:
        return self.nodes[name]

    async def start(self, *names: str) -> None:
        for name in names or "abc":
            self.nursery.start_soon(self.nodes[name].run)
        await trio.testing.wait_all_tasks_blocked()

    @asynccontextmanager
    async def client(self, *addresses: str, linked: int = 3) -> AsyncIterator[Client]:
        async with open_client(
            *(addresses or (A,)),
            secrets=[b"the secret of the tests"],
            transport=self.network,
            random=Random(1),
            simulated=True,
        ) as client:
            with trio.fail_after(30):
                await client.wait_linked(linked)
            yield client

    @property
    def asked(self) -> dict[str, list[str]]:
        """What each node was asked, by kind, without those asked nothing."""
        kinds = {name: [type(r).__name__ for r in node.asked] for name, node in self.nodes.items()}
        return {name: asked for name, asked in kinds.items() if asked}


def session_id(home: str) -> str:
    return f"{home}.{'0' * RANDOM_CHARS}"


# --- Finding the ring -----------------------------------------------------------------------


async def test_one_address_is_enough_to_learn_the_ring(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client(B) as client:
        assert client.members == ("a", "b", "c")
        assert set(client.linked) == {"a", "b", "c"}
    nursery.cancel_scope.cancel()


async def test_a_node_given_under_another_address_is_not_dialled_twice(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    nursery.start_soon(site["a"].run, "unix:/a")
    await site.start("b", "c")
    async with site.client("unix:/a"):
        await trio.sleep(10)
        assert A not in site.network.dialled
    nursery.cancel_scope.cancel()


async def test_an_address_that_the_application_gave_wins_over_one_that_was_learnt(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    second = ScriptedNode("b", site.ring, site.network)
    async with site.client(A, "b-by-another-name:1") as client:
        assert len(site["b"].streams) == 1
        nursery.start_soon(second.run, "b-by-another-name:1")
        await trio.sleep(10)
        assert [s.address for s in client._stations if s.name == "b"] == ["b-by-another-name:1"]
    nursery.cancel_scope.cancel()


async def test_no_node_at_all_is_an_error_that_says_why(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    with pytest.raises(SessionUnavailableError, match=f"{A}: Connection refused"):
        async with site.client(A):
            raise AssertionError("not reached")


async def test_a_wrong_secret_is_named_when_no_node_lets_the_client_in(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    with pytest.raises(SessionUnavailableError, match="secret"):
        async with open_client(A, secrets=["a secret of another ring"], transport=site.network):
            raise AssertionError("not reached")
    nursery.cancel_scope.cancel()


async def test_what_cannot_be_an_address_and_none_at_all_are_refused() -> None:
    for addresses, words in [((), "needs the address"), (("nonsense",), "host:port")]:
        with pytest.raises(ConfigError, match=words):
            async with open_client(*addresses):
                raise AssertionError("not reached")


async def test_randomness_that_can_be_foretold_is_refused() -> None:
    with pytest.raises(ConfigError, match="foretold"):
        async with open_client(A, random=Random(1)):
            raise AssertionError("not reached")


async def test_new_ids_are_spread_over_the_members_that_are_connected(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start("a", "b")
    async with site.client(A, linked=2) as client:
        homes = {client.sessions.create().id[0] for _ in range(100)}
        assert homes == {"a", "b"}
        await site["a"].stop()
        await site["b"].stop()
        await trio.sleep(0.01)
        with pytest.raises(SessionUnavailableError, match="no node can be reached"):
            client.sessions.create()
    nursery.cancel_scope.cancel()


# --- Routing --------------------------------------------------------------------------------


@pytest.mark.parametrize("home", ["a", "b", "c"])
async def test_a_request_goes_to_its_home(
    home: str, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        assert await client.sessions.find(session_id(home)) is None
        assert site.asked == {home: ["Find"]}
    nursery.cancel_scope.cancel()


async def test_without_its_home_a_request_goes_along_the_preference_list(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start("a", "c")
    async with site.client(A, linked=2) as client:
        await client.sessions.find(session_id("b"))
        await site["c"].stop()
        await trio.sleep(0.01)
        await client.sessions.find(session_id("b"))
        assert site.asked == {"c": ["Find"], "a": ["Find"]}
    nursery.cancel_scope.cancel()


async def test_an_id_of_no_member_is_asked_for_anywhere(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        assert await client.sessions.find(session_id("z")) is None
        assert sum(len(asked) for asked in site.asked.values()) == 1
    nursery.cancel_scope.cancel()


async def test_not_known_yet_is_asked_elsewhere_and_then_again_until_the_deadline(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    for node in site.nodes.values():
        node.answer = unavailable
    await site.start()
    async with site.client() as client:
        began = trio.current_time()
        with pytest.raises(SessionUnavailableError, match="still comparing"):
            await client.sessions.find(session_id("a"))
        assert trio.current_time() - began == pytest.approx(5)
        rounds = len(site["a"].asked)
        assert 15 <= rounds <= 60
        assert abs(rounds - len(site["c"].asked)) <= 1
    nursery.cancel_scope.cancel()


async def test_a_save_that_was_not_carried_out_is_carried_out_elsewhere(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = unavailable
    await site.start()
    async with site.client() as client:
        receipt = await client.sessions.end(session_id("a"))
        assert receipt.holders == ("a", "b")
        assert site.asked == {"a": ["End"], "b": ["End"]}
    nursery.cancel_scope.cancel()


async def test_an_answer_that_is_no_failure_to_reach_is_final(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = lambda request: Failed(request.number, Failure.GONE, "it was ended")
    await site.start()
    async with site.client() as client:
        with pytest.raises(SessionEnded, match="it was ended"):
            await client.sessions.end(session_id("a"))
        assert site.asked == {"a": ["End"]}
    nursery.cancel_scope.cancel()


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
        with pytest.raises(OutcomeUnknownError, match=f"{home.name} did not answer"):
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
        assert trio.current_time() - began == pytest.approx(5)
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
    from node.client import _is_repeatable
    from ring.identity import SessionId
    from ring.messages import Durability

    one = SessionId(session_id("a").encode())
    save = Save(1, one, False, (), Durability.LOCAL, False, False)
    assert _is_repeatable(Find(1, one, True, False))
    assert _is_repeatable(End(1, one, Durability.LOCAL, False, False))
    assert not _is_repeatable(save)
