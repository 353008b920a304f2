"""The secret of a ring is replaced while it serves: nodes restart one by one, with two secrets."""

from itertools import pairwise
from pathlib import Path
from typing import Final

import pytest
import trio
from local_ring import LocalRing, wait_linked

from node import SecurityConfig, SessionUnavailableError, open_client
from node.sections import NodeSection

OLD: Final = b"the secret that was told"
NEW: Final = b"the secret that nobody knows"
STEPS: Final = ((OLD,), (OLD, NEW), (NEW, OLD), (NEW,))


async def is_let_in(address: str, secrets: tuple[bytes, ...]) -> bool:
    try:
        async with open_client(address, secrets=secrets, request_timeout_s=1):
            return True
    except SessionUnavailableError as error:
        return "secret" not in str(error)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    messages = [record.getMessage() for record in caplog.records]
    return [message for message in messages if "secrets differ" in message]


async def test_a_secret_is_replaced_while_the_ring_serves(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """New behind old everywhere, swapped everywhere, old dropped: nobody ever refuses another.

    Clients take the same steps, before a node or after it.

    Fails if only the first secret is accepted: the first node that proves with the new one is
    then kept out by the others, which still prove with the old one.
    """
    ring = LocalRing(tmp_path, nursery, security=SecurityConfig(secrets=STEPS[0]))
    await ring.start()
    session = ring["a"].sessions.create()
    session["step"] = 0
    await session.save()
    for number, (before, secrets) in enumerate(pairwise(STEPS)):
        ring.security = SecurityConfig(secrets=secrets)
        for name in ring.names:
            await ring.stop(name)
            await ring.start(name)
            await wait_linked(*(running.node for running in ring.running.values()))
        copy = await ring["b"].sessions.find(session.id)
        assert copy is not None
        assert copy["step"] == number
        copy["step"] = number + 1
        assert not (await copy.save()).degraded
        for step in (before, secrets):
            assert await is_let_in(ring.addresses[0], step)
    assert refusals(caplog) == []
    assert not await is_let_in(ring.addresses[0], (OLD,))
    nursery.cancel_scope.cancel()


async def test_a_secret_that_is_replaced_at_once_keeps_the_node_out(
    tmp_path: Path, nursery: trio.Nursery, caplog: pytest.LogCaptureFixture
) -> None:
    """What the steps are for: without the one in between, members refuse each other."""
    ring = LocalRing(tmp_path, nursery, security=SecurityConfig(secrets=OLD))
    ring.section = NodeSection(handshake=0.5, join=0.5)
    await ring.start("a")
    ring.security = SecurityConfig(secrets=NEW)
    await ring._start("b")
    with trio.fail_after(10):
        while not refusals(caplog):  # noqa: ASYNC110 - bounded
            await trio.sleep(0.02)
    assert not ring["b"].ready
    nursery.cancel_scope.cancel()
