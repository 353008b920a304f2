"""Where a node cannot listen, it says why and what helps, and nothing is left open."""

import errno
import os
import socket
from pathlib import Path

import pytest
from memory_transport import member_identity, memory_ring, new_connection

from node.doors import Doors
from node.listener import Reception
from node.timekeeping import Timekeeper
from node.transport import Listener, SocketTransport, Stream
from ring.errors import ConfigError
from wire import Connection


async def _pass_over(stream: Stream, connection: Connection) -> None:
    pass


def doors(transport: SocketTransport) -> Doors:
    reception = Reception(
        new_connection=lambda: new_connection(
            member_identity(memory_ring(), "a"), dialler=False, seed=1
        ),
        run_link=_pass_over,
        timekeeper=Timekeeper(),
        timeout_s=2.0,
        connections_max=20,
        unauthenticated_max=5,
        members_max=4,
    )
    return Doors(transport, reception)


class Failing(SocketTransport):
    """Listens nowhere."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    async def listen(self, address: str) -> tuple[Listener, ...]:
        raise self._error


@pytest.mark.parametrize(
    ("address", "number", "remedy"),
    [
        ("h:1", errno.EADDRINUSE, "in use; stop the process that listens there"),
        ("h:1", errno.EADDRNOTAVAIL, "not one of this machine; set node.listen to one that is"),
        ("h:1", errno.EACCES, "may not listen there; use a port above 1023"),
        ("h:1", socket.EAI_NONAME, "check the name, or set node.listen to an address of this"),
        ("h:1", errno.EAFNOSUPPORT, "; give this node another address"),
        ("unix:/x", errno.EADDRINUSE, "it is no socket; stop that process or remove what is there"),
        ("unix:/x", errno.ENOENT, "no such directory; make it, or set node.unix to another path"),
        ("unix:/x", errno.EACCES, "Permission denied; let this user make it, or set node.unix to"),
    ],
)
async def test_where_it_cannot_listen_it_names_the_remedy(
    address: str, number: int, remedy: str
) -> None:
    error = OSError(number, os.strerror(number))
    with pytest.raises(ConfigError) as refused:
        await doors(Failing(error)).open((address,))
    assert str(refused.value).startswith(f"cannot listen at {address}: ")
    assert remedy in str(refused.value)


async def test_either_every_door_is_open_or_none(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    with pytest.raises(ConfigError, match="there is no such directory"):
        await doors(SocketTransport()).open((f"unix:{path}", f"unix:{tmp_path}/none/b.sock"))
    assert not path.exists()
