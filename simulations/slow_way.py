"""A slow way to a port: whatever goes through arrives later, by the same time in both directions.

Run as a process of its own, ``python -m simulations.slow_way PORT HOST:PORT SECONDS``, at the host
to which the way leads; not every kernel has a queue that delays (``tc netem``).

Rules:
- Order is kept, and what has been received is passed on whole, an end included.
- Whatever breaks on one side is a reset on the other; so is the end of the process.
- It says ``ready`` once it listens.
"""

import contextlib
import socket
import struct
import sys
from functools import partial
from math import inf
from typing import Final

import trio
from trio.abc import HalfCloseableStream

from node.address import TcpAddress, parse_address

CHUNK_BYTES: Final = 65536
CHUNKS_MAX: Final = 256
"""What is on its way in one direction at once; beyond it, who sends has to wait."""

_RESET_AT_CLOSE: Final = struct.pack("ii", 1, 0)


async def serve(
    port: int,
    target: TcpAddress,
    delay_s: float,
    *,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Carry every connection to ``port`` on to ``target``, until cancelled.

    Args:
        port: of any address of this host; 0: one that is free, which ``task_status`` is told.
        target: where the way leads.
        delay_s: seconds, 0 and more, that it takes in each direction.
        task_status: is told the port once it listens.
    """
    listeners = await trio.open_tcp_listeners(port, host="0.0.0.0")  # noqa: S104 - of its namespace
    task_status.started(listeners[0].socket.getsockname()[1])
    await trio.serve_listeners(partial(_carry, target, delay_s), listeners)


async def _carry(target: TcpAddress, delay_s: float, near: trio.SocketStream) -> None:
    async with near:
        try:
            far = await trio.open_tcp_stream(target.host, target.port)
        except OSError:
            _reset(near)
            return
        async with far:
            await join(near, far, delay_s)


async def join(one: HalfCloseableStream, other: HalfCloseableStream, delay_s: float) -> None:
    """Pass on what either sends to the other, each piece ``delay_s`` later, until both have ended.

    Where one of them breaks, both are to be closed at once; sockets are then reset.
    """
    async with trio.open_nursery() as nursery:
        for source, sink in ((one, other), (other, one)):
            later, due = trio.open_memory_channel[tuple[float, bytes]](CHUNKS_MAX)
            nursery.start_soon(_receive, source, later, delay_s)
            nursery.start_soon(_pass_on, due, sink, source, nursery.cancel_scope)


async def _receive(
    source: HalfCloseableStream,
    later: "trio.MemorySendChannel[tuple[float, bytes]]",
    delay_s: float,
) -> None:
    """Note when each piece is due: an empty one is the end; one that never is, a break."""
    data = b"..."
    while data:
        try:
            data = bytes(await source.receive_some(CHUNK_BYTES))
        except trio.BrokenResourceError:
            await later.send((inf, b""))
            return
        await later.send((trio.current_time() + delay_s, data))


async def _pass_on(
    due: "trio.MemoryReceiveChannel[tuple[float, bytes]]",
    sink: HalfCloseableStream,
    source: HalfCloseableStream,
    both: trio.CancelScope,
) -> None:
    """Send each piece when it is due, until the end, or until either side breaks."""
    with contextlib.suppress(trio.BrokenResourceError):
        async for at, data in due:
            if at == inf:
                break
            await trio.sleep_until(at)
            if not data:
                await sink.send_eof()
                return
            await sink.send_all(data)
    _reset(sink)
    _reset(source)
    both.cancel()


def _reset(stream: HalfCloseableStream) -> None:
    """Have the peer be told, when this is closed, that the connection is broken."""
    if isinstance(stream, trio.SocketStream):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_AT_CLOSE)


async def _main(port: int, target: TcpAddress, delay_s: float) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(partial(serve, port, target, delay_s))
        print("ready", flush=True)


def main() -> None:
    """Carry connections until the process is killed."""
    port, target, delay_s = sys.argv[1:]
    address = parse_address(target)
    assert isinstance(address, TcpAddress)
    trio.run(_main, int(port), address, float(delay_s))


if __name__ == "__main__":
    main()
