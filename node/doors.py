"""Where a node listens: opened before anything else, one more when the ring says so, closed first.

Rule: either every address that the start asks for is open, or none is.
"""

import errno
import socket

import trio

from node.address import UnixAddress, parse_address
from node.listener import Reception
from node.transport import Listener, Transport, os_reason
from ring.errors import ConfigError


class Doors:
    """The addresses at which connections are accepted.

    Args:
        transport: listens.
        reception: greets whoever connects.
    """

    def __init__(self, transport: Transport, reception: Reception) -> None:
        self._transport = transport
        self._reception = reception
        self._listeners: list[Listener] = []
        self._scope = trio.CancelScope()
        self._accepting: trio.Nursery | None = None
        self._connections: trio.Nursery | None = None

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where they are, with the real ports: ``host:port`` and ``unix:/path``."""
        return tuple(listener.address for listener in self._listeners)

    async def open(self, addresses: tuple[str, ...]) -> None:
        """Listen, and accept nothing yet.

        Raises:
            ConfigError: that is not possible at one of them. Definite: there is no door.
        """
        try:
            for address in addresses:
                self._listeners += await self._listen(address)
        except BaseException:
            with trio.CancelScope(shield=True):
                for listener in self._listeners:
                    await listener.aclose()
            raise

    async def run(self, connections: trio.Nursery) -> None:
        """Accept until closed; what is accepted runs in ``connections`` and goes on then."""
        self._connections = connections
        with self._scope:
            async with trio.open_nursery() as accepting:
                self._accepting = accepting
                for listener in self._listeners:
                    accepting.start_soon(self._reception.serve, listener, connections)
                await trio.sleep_forever()

    async def add(self, address: str) -> None:
        """Listen and accept at one more address.

        Raises:
            ConfigError: that is not possible. Definite.
        """
        for listener in await self._listen(address):
            if self._accepting is None or self._scope.cancel_called:
                await listener.aclose()
                continue
            assert self._connections is not None
            self._listeners.append(listener)
            self._accepting.start_soon(self._reception.serve, listener, self._connections)

    def close(self) -> None:
        """Accept nothing any more."""
        self._scope.cancel()

    async def _listen(self, address: str) -> tuple[Listener, ...]:
        try:
            return await self._transport.listen(address)
        except OSError as error:
            raise ConfigError(f"cannot listen at {address}: {_trouble(address, error)}") from error


def _trouble(address: str, error: OSError) -> str:
    """Say what is wrong and what helps."""
    if isinstance(parse_address(address), UnixAddress):
        return _trouble_of_a_path(error)
    match error.errno:
        case errno.EADDRINUSE:
            return (
                "the address is in use; stop the process that listens there (an older node of "
                "the same name?), or give this node another address"
            )
        case errno.EADDRNOTAVAIL:
            return (
                "the address is not one of this machine; set node.listen to one that is, or "
                "start this node on the machine that has it"
            )
        case errno.EACCES | errno.EPERM:
            return "this user may not listen there; use a port above 1023"
        case socket.EAI_NONAME | socket.EAI_AGAIN | socket.EAI_FAIL:
            return (
                f"{os_reason(error)}; check the name, or set node.listen to an address of this "
                "machine"
            )
        case _:
            return f"{os_reason(error)}; give this node another address"


def _trouble_of_a_path(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return (
                "somebody listens there, or it is no socket; stop that process or remove what is "
                "there, or set node.unix to another path"
            )
        case errno.ENOENT | errno.ENOTDIR:
            return "there is no such directory; make it, or set node.unix to another path"
        case _:
            return f"{os_reason(error)}; let this user make it, or set node.unix to another path"
