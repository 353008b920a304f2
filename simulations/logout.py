"""A principal with very many sessions in a real ring, logged out while a node is killed.

Rule: none may be left, nor come back with the node that was killed, whose disk has them all.
"""

from collections.abc import Callable
from typing import Final

import trio
import trio.lowlevel
from attrs import field, frozen

from node import Client, open_client
from node.matches import EndedSessions
from ring.errors import SessionRingError
from simulations.local_ring import unless_told
from simulations.real_nodes import RealNodes, open_nodes
from simulations.ring_place import Place, open_place

NODES: Final = 3
PRINCIPAL: Final = "ada"
CREATED_AT_ONCE: Final = 64
KILLED_AFTER: Final = 0.3
"""The share of the sessions that have ended when the node is killed."""
FOUND_WITHIN_S: Final = 30.0

Say = Callable[[str], None]


@frozen
class Outcome:
    """What came of it."""

    result: EndedSessions
    found_before: int
    left: int
    """How many were found right after that, by the nodes that live."""
    came_back: int
    """How many when the node that was killed had come back."""
    at_work: bool = field(default=True)
    """Whether the node was killed while sessions were ended."""

    @property
    def ok(self) -> bool:
        """Whether all were ended for good."""
        return not (self.result.unsure or self.left or self.came_back)


def log_out(sessions: int, say: Say) -> Outcome | int:
    """Create so many sessions, and end all; return what came of it, or the signal that ended it.

    Raises:
        NodeFailedError: a node ended by itself, or did not become ready.
    """
    with open_place(None) as place:
        return unless_told(lambda: _log_out(sessions, place, say))


async def _log_out(sessions: int, place: Place, say: Say) -> Outcome:
    async with open_nodes(place, NODES) as nodes, trio.open_nursery() as nursery:
        await nodes.start_ring()
        nursery.start_soon(nodes.watch)
        async with open_client(*nodes.addresses, secrets=[nodes.secret]) as client:
            await client.wait_linked(NODES)
            outcome = await _play(sessions, nodes, client, say)
        nursery.cancel_scope.cancel()
    return outcome


async def _play(sessions: int, nodes: RealNodes, client: Client, say: Say) -> Outcome:
    began = trio.current_time()
    await _create(client, sessions)
    say(f"{sessions} sessions created in {trio.current_time() - began:.1f} s")
    await nodes.wait_settled()
    began = trio.current_time()
    before = await _found(client)
    say(f"{before} found in {trio.current_time() - began:.1f} s")
    results, killed = list[EndedSessions](), list[bool]()

    async def end() -> None:
        results.append(await client.sessions.end_all(PRINCIPAL, timeout_s=300))

    async def kill() -> None:
        """Kill a node in the middle; another client sees how far it is."""
        async with open_client(*nodes.addresses, secrets=[nodes.secret]) as other:
            while not results and await _now(other) > sessions * (1 - KILLED_AFTER):
                await trio.lowlevel.checkpoint()
        killed.append(not results)
        nodes.kill("b")
        say("b killed")

    began = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(end)
        nursery.start_soon(kill)
    (result,) = results
    say(f"{result} in {trio.current_time() - began:.1f} s")
    left = await _found(client, but=("b",))
    await nodes.start("b")
    await nodes.wait_settled()
    back = await _found(client)
    say(f"{left} left, {back} back with the node that was killed")
    return Outcome(result, before, left, back, all(killed))


async def _create(client: Client, sessions: int) -> None:
    numbers = iter(range(sessions))

    async def go_on() -> None:
        for _ in numbers:
            session = client.sessions.create()
            session.principal = PRINCIPAL
            await session.save()

    async with trio.open_nursery() as nursery:
        for _ in range(CREATED_AT_ONCE):
            nursery.start_soon(go_on)


async def _now(client: Client) -> int:
    """Return how many sessions are found now, whether that is all or not."""
    try:
        return len((await client.sessions.find_by_principal(PRINCIPAL)).sessions)
    except SessionRingError:
        return 0


async def _found(client: Client, but: tuple[str, ...] = ()) -> int:
    """Return how many sessions are found, once nothing else is missing."""
    with trio.fail_after(FOUND_WITHIN_S):
        while True:
            try:
                found = await client.sessions.find_by_principal(PRINCIPAL)
            except SessionRingError:
                await trio.sleep(0.1)
                continue
            if found.unreachable == but:
                return len(found.sessions)
            await trio.sleep(0.1)
