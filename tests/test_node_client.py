"""The client finds the ring, and the member to ask."""

from collections.abc import Callable
from random import Random
from unittest.mock import patch

import pytest
import trio
import trio.lowlevel
import trio.testing
from memory_transport import SECRETS
from msgpack import packb
from scripted_nodes import Answer, ScriptedNode, Site, session_id, unavailable

from node.client import open_client
from ring.clock import Stamp
from ring.entry import make_entry
from ring.errors import (
    ConfigError,
    SessionEnded,
    SessionUnavailableError,
)
from ring.messages import Durability, Failed, Failure, Found, Request, Save
from ring.record import Record

A, B = "a.memory:1", "b.memory:1"


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
        assert [s.address for s in client._stations._stations if s.name == "b"] == [
            "b-by-another-name:1"
        ]
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


@pytest.mark.parametrize("name", ["request_timeout_s", "connect_timeout_s"])
@pytest.mark.parametrize("seconds", [0, -1, float("inf"), "5", True])
async def test_a_time_out_that_is_none_is_refused_by_name(name: str, seconds: object) -> None:
    with pytest.raises(ConfigError, match=f"{name} is {seconds!r}; use a number of seconds"):
        async with open_client(A, **{name: seconds}):  # type: ignore[arg-type]
            raise AssertionError("not reached")


async def test_one_secret_needs_no_list() -> None:
    with pytest.raises(ConfigError, match=r"secrets\[0\] has 5 bytes"):
        async with open_client(A, secrets="short"):
            raise AssertionError("not reached")


async def test_what_cannot_be_an_address_and_none_at_all_are_refused() -> None:
    for addresses, words in [((), "needs the address"), (("nonsense",), "host:port")]:
        with pytest.raises(ConfigError, match=words):
            async with open_client(*addresses):
                raise AssertionError("not reached")


async def test_a_durability_may_be_a_word_but_must_be_one_of_them(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with open_client(
        A, secrets=SECRETS, transport=site.network, durability="backup+disk"
    ) as client:
        await client.sessions.create().save()
        (request,) = (request for node in site.nodes.values() for request in node.asked)
        assert isinstance(request, Save)
        assert request.durability is Durability.BACKUP_AND_DISK
    with pytest.raises(ConfigError, match="'backup', 'disk'"):
        async with open_client(A, durability="both"):
            raise AssertionError("not reached")
    nursery.cancel_scope.cancel()


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
        assert trio.current_time() - began == pytest.approx(8)
        rounds = len(site["a"].asked)
        assert 20 <= rounds <= 90
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


# --- Records --------------------------------------------------------------------------------


def with_record(portable: bytes) -> Callable[[Request], Answer]:
    return lambda request: Found(request.number, portable, maybe_stale=True)


async def test_the_record_of_an_answer_is_decoded_once(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    """It was decoded to be checked and again for the session: a sixth of the time of a find."""
    record = Record()
    for number in range(3):
        record.put(b"attribute-%d" % number, make_entry(Stamp(5), packb(number)))
    site = Site(nursery)
    site["a"].answer = with_record(record.portable(0.0))
    await site.start()
    async with site.client() as client:
        with patch.object(Record, "from_portable", wraps=Record.from_portable) as decodes:
            session = await client.sessions.find(session_id("a"))
        assert decodes.call_count == 1
        assert session is not None
        assert dict(session) == {f"attribute-{number}": number for number in range(3)}
        assert session.maybe_stale
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("portable", [b"\xff", b"\x02\x93", b"\x01"])
async def test_a_malformed_record_ends_the_link_and_another_member_is_asked(
    portable: bytes, autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].answer = with_record(portable)
    await site.start()
    async with site.client() as client:
        assert await client.sessions.find(session_id("a")) is None
        assert "a" not in client.linked
        assert site.asked == {"a": ["Find"], "b": ["Find"]}
    nursery.cancel_scope.cancel()


# --- Nodes that leave -----------------------------------------------------------------------


async def test_a_node_that_leaves_answers_what_is_under_way_and_is_left(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    await site.start()
    async with site.client() as client:
        site["a"].leaving = True
        assert await client.sessions.find(session_id("a")) is None
        await trio.sleep(0.01)
        assert "a" not in client.linked
        assert await client.sessions.find(session_id("a")) is None
        assert site.asked == {"a": ["Find"], "b": ["Find"]}
        assert {client.sessions.create().id[0] for _ in range(100)} == {"b", "c"}
        site["a"].leaving = False
        await client.wait_linked(3)
    nursery.cancel_scope.cancel()


async def test_a_node_that_leaves_is_asked_if_there_is_no_other(
    autojump_clock: trio.testing.MockClock, nursery: trio.Nursery
) -> None:
    site = Site(nursery)
    site["a"].leaving = True
    await site.start("a")
    async with site.client(A, linked=1) as client:
        for _ in range(3):
            assert await client.sessions.find(session_id("b")) is None
        assert client.sessions.create().id.startswith("a.")
        assert len(site["a"].streams) == 1
    nursery.cancel_scope.cancel()
