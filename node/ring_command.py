"""``sessionring ring show`` and ``ring set``: looking at the ring that runs, and changing it.

Rules:
- What is shown stands on standard output as it would stand in a file; all else is for people, on
  standard error.
- A node that runs is not cut off: it could not hand over.
- One node is told; the others learn it from there, and who is away when it comes back. The command
  waits until those that can be reached have it.
"""

import os
import sys
from collections.abc import Mapping
from random import SystemRandom
from typing import Final

import trio

from node.asking import ask_node
from node.config import NodeConfig
from node.ring_text import ring_to_text
from node.tables import CONFIG_VARIABLE, NAME_VARIABLE, read_file, read_ring
from node.tls import Tls
from node.transport import SocketTransport, Transport
from ring.administration import RingShown, SetRing, ShowRing
from ring.errors import ConfigError, SessionUnavailableError
from ring.identity import new_incarnation
from ring.messages import Failed
from ring.placement import Ring
from wire import Identity

FAILED_STATUS: Final = 1
TIMEOUT_S: Final = 3.0
"""For one answer of one node."""
SPREAD_S: Final = 10.0
"""For all that can be reached to learn a ring that was set."""
LOOK_S: Final = 0.1


def load(path: str | None, name: str | None) -> NodeConfig:
    """Return the configuration in a file, for whichever member if ``name`` is None.

    Raises:
        ConfigError: there is no such file, or something in it cannot be used.
    """
    name = name or os.environ.get(NAME_VARIABLE)
    path = path or os.environ.get(CONFIG_VARIABLE)
    if name is None and path is not None:
        tables = read_file(path)
        try:
            name = read_ring(tables.get("ring")).names[0]
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    return NodeConfig.load(path, name)


def show_ring(config: NodeConfig) -> int:
    """Print the ring that the nodes in ``config`` know; return the exit status."""
    return trio.run(_Administrator(config).show)


def set_ring(config: NodeConfig) -> int:
    """Have the nodes adopt the ring in ``config``; return the exit status."""
    return trio.run(_Administrator(config).set)


class _Administrator:
    """Somebody who asks the nodes of a ring about it.

    Args:
        config: the ring, its secrets and certificates; the name tells whose certificate is used.
    """

    def __init__(self, config: NodeConfig) -> None:
        self._ring = config.ring
        self._identity = Identity.for_client(
            new_incarnation(SystemRandom()), config.security.secrets, config.ring.name
        )
        tls = Tls(config.tls) if config.tls is not None else None
        self._transport: Transport = SocketTransport(tls)

    async def show(self) -> int:
        """Print the newest ring that is known, and who knows another one."""
        shown = await self._ask_all(self._ring.addresses)
        rings = [ring for ring in shown.values() if isinstance(ring, Ring)]
        if not rings:
            return _fail_unreached(shown)
        newest = max(rings, key=lambda ring: ring.version)
        for name, ring in shown.items():
            if isinstance(ring, str):
                _say(name, ring)
            elif ring != newest:
                another = "another ring of " if ring.version == newest.version else ""
                _say(name, f"knows {another}version {ring.version}")
        print(ring_to_text(newest), end="")
        return 0

    async def set(self) -> int:
        """Tell the ring to one node, and wait until the others know it."""
        ring = self._ring
        shown = await self._ask_all(ring.addresses)
        reached = [name for name in ring.names if isinstance(shown[name], Ring)]
        if not reached:
            return _fail_unreached(shown)
        # Whoever knows the newest ring is the one to object: another may not have heard of it.
        told = max(reached, key=lambda name: _version(shown[name]))
        known = shown[told]
        assert isinstance(known, Ring), "it was reached"
        for name in await self._cut_off(known):
            return _fail(
                f"{name}: it still runs, and could not hand over: the ring has no address for it; "
                "write that in [[ring.departed]] until it has stopped"
            )
        try:
            answer = await self._ask(ring.addresses[told], SetRing(1, ring))
        except SessionUnavailableError as error:
            return _fail(f"{told}: {error}")
        if isinstance(answer, Failed):
            return _fail(f"{told}: {answer.reason}")
        with trio.move_on_after(SPREAD_S):
            while any(isinstance(each, Ring) and each != ring for each in shown.values()):
                await trio.sleep(LOOK_S)
                shown = await self._ask_all(ring.addresses)
        for name, each in shown.items():
            if isinstance(each, Ring):
                _say(name, f"has version {each.version}")
            else:
                gone = "has handed over, or " if name in ring.leaving else ""
                _say(name, f"{each}; it {gone}learns the ring when it is there")
        late = [name for name, each in shown.items() if isinstance(each, Ring) and each != ring]
        return FAILED_STATUS if late else 0

    async def _cut_off(self, known: Ring) -> list[str]:
        """Return who runs and would have no place in the ring, in the order of the one before."""
        addresses = {
            name: at
            for name, at in known.addresses.items()
            # A member that is not even departed is objected to by whoever is told.
            if name not in self._ring.addresses and (name in self._ring or name in known.leaving)
        }
        shown = await self._ask_all(addresses)
        return [name for name, each in shown.items() if isinstance(each, Ring)]

    async def _ask_all(self, addresses: Mapping[str, str]) -> dict[str, Ring | str]:
        """Return the ring that each node knows, or why it did not say."""
        shown: dict[str, Ring | str] = dict.fromkeys(addresses, "")

        async def ask(name: str) -> None:
            try:
                answer = await self._ask(addresses[name], ShowRing(1))
            except SessionUnavailableError as error:
                shown[name] = f"cannot be asked: {error}"
            else:
                shown[name] = answer.ring if isinstance(answer, RingShown) else answer.reason

        async with trio.open_nursery() as nursery:
            for name in addresses:
                nursery.start_soon(ask, name)
        return shown

    async def _ask(self, address: str, question: ShowRing | SetRing) -> RingShown | Failed:
        return await ask_node(
            address,
            question,
            identity=self._identity,
            transport=self._transport,
            timeout_s=TIMEOUT_S,
        )


def _version(shown: Ring | str) -> int:
    return shown.version if isinstance(shown, Ring) else 0


def _fail_unreached(shown: dict[str, Ring | str]) -> int:
    for name, why in shown.items():
        _say(name, str(why))
    return _fail("no node of the ring can be asked")


def _fail(why: str) -> int:
    print(f"sessionring: {why}", file=sys.stderr)
    return FAILED_STATUS


def _say(name: str, what: str) -> None:
    print(f"{name}: {what}", file=sys.stderr)
