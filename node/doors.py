"""Where a node listens: opened before anything else, one more when the ring says so, closed first.

Rule: either every address that the start asks for is open, or none is.
"""

import trio

from node.listener import Reception, listen_trouble
from node.transport import Listener, Transport
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
            raise ConfigError(f"cannot listen at {address}: {listen_trouble(error)}") from error
