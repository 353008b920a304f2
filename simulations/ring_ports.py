"""Free ports on loopback for nodes that will be killed and come back.

Rules:
- On Linux a port stays reserved as long as its nodes may come back: while nobody listens there
  no other process is given it, and no connection of this machine starts from it (dialling a dead
  node could otherwise connect to itself). A listener that allows the reuse of addresses, as the
  nodes do, may still have it.
- Elsewhere a port is only known to have been free; whoever starts a node there has to cope.
"""

import socket
import sys

HOST = "127.0.0.1"


class ReservedPorts:
    """Ports that were free, reserved until closed."""

    def __init__(self, count: int) -> None:
        self._sockets: list[socket.socket] = []
        for _ in range(count):
            one = socket.socket()
            self._sockets.append(one)
            one.bind((HOST, 0))
            # Not before: the port has to be one that nobody shares.
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.addresses = tuple(f"{HOST}:{one.getsockname()[1]}" for one in self._sockets)
        if sys.platform != "linux":
            self.close()

    def close(self) -> None:
        """Give the ports up."""
        for one in self._sockets:
            one.close()
