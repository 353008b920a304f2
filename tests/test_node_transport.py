"""The socket transport keeps the rules of the seam."""

import os
import socket
import stat
import struct
import sys
from pathlib import Path

import pytest
import trio

from node.transport import Listener, SocketTransport, Stream, _SocketStream, os_reason


async def _pair(listener: Listener) -> tuple[Stream, Stream]:
    dialled = await SocketTransport().dial(listener.address)
    return dialled, await listener.accept()


async def test_bytes_arrive_in_order_over_tcp_and_end_with_nothing() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    dialled, accepted = await _pair(listener)
    await dialled.send_all(b"one")
    await dialled.send_all(b"two")
    await dialled.aclose()
    received = b""
    while chunk := await accepted.receive_some(1024):
        received += chunk
    assert received == b"onetwo"
    await accepted.aclose()
    await listener.aclose()


async def test_a_stream_that_was_closed_here_raises_an_os_error() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    dialled, accepted = await _pair(listener)
    await dialled.aclose()
    await dialled.aclose()
    with pytest.raises(OSError, match="closed here"):
        await dialled.receive_some(1)
    with pytest.raises(OSError, match="closed here"):
        await dialled.send_all(b"x")
    await accepted.aclose()
    await listener.aclose()


async def test_an_idle_connection_over_tcp_is_probed_on_both_sides() -> None:
    """Else a client whose host lost its power keeps its place at the node for ever."""
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    for stream in await _pair(listener):
        assert isinstance(stream, _SocketStream)
        assert stream._stream.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        await stream.aclose()
    await listener.aclose()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address")
async def test_a_connection_starts_from_the_address_that_it_was_told_to() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    dialled = await SocketTransport(from_host="127.0.0.2").dial(listener.address)
    accepted = await listener.accept()
    assert accepted.remote.startswith("127.0.0.2:")
    for each in (dialled, accepted, listener):
        await each.aclose()


async def test_who_has_hung_up_before_it_is_accepted_is_not_taken_for_one_of_this_host() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    dialled = await SocketTransport().dial(listener.address)
    assert isinstance(dialled, _SocketStream)
    reset_at_close = struct.pack("ii", 1, 0)
    dialled._stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset_at_close)
    await dialled.aclose()
    accepted = await listener.accept()
    assert accepted.remote == "unknown"
    await accepted.aclose()
    await listener.aclose()


async def test_a_refused_connection_is_an_os_error() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    address = listener.address
    await listener.aclose()
    with pytest.raises(ConnectionRefusedError):
        await SocketTransport().dial(address)


@pytest.mark.parametrize("host", ["١٢٧.0.0.1", "a。。b", "xn--99999999.example"])
async def test_a_name_that_no_host_can_have_is_an_os_error(host: str) -> None:
    """The ring that another member tells may have it; nothing but an OSError is expected here."""
    with pytest.raises(OSError) as error:
        await SocketTransport().dial(f"{host}:6802")
    assert os_reason(error.value)
    with pytest.raises(OSError):
        await SocketTransport().listen(f"{host}:6802")


async def test_an_address_in_use_is_an_os_error() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    with pytest.raises(OSError, match="in use"):
        await SocketTransport().listen(listener.address)
    await listener.aclose()


async def test_a_unix_socket_is_of_its_user_alone_and_goes_with_its_listener(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ring.sock"
    (listener,) = await SocketTransport().listen(f"unix:{path}")
    assert listener.address == f"unix:{path}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    dialled, accepted = await _pair(listener)
    await accepted.send_all(b"hello")
    assert await dialled.receive_some(5) == b"hello"
    await dialled.aclose()
    await accepted.aclose()
    await listener.aclose()
    assert not path.exists()


async def test_an_abandoned_unix_socket_is_replaced_but_a_live_one_and_a_file_are_not(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ring.sock"
    (listener,) = await SocketTransport().listen(f"unix:{path}")
    with pytest.raises(OSError, match="in use"):
        await SocketTransport().listen(f"unix:{path}")

    other = tmp_path / "abandoned.sock"
    os.link(path, other)
    await listener.aclose()
    (listener,) = await SocketTransport().listen(f"unix:{other}")
    await listener.aclose()

    path.write_text("no socket")
    with pytest.raises(OSError, match="in use"):
        await SocketTransport().listen(f"unix:{path}")
    assert path.read_text() == "no socket"


async def test_every_call_is_a_checkpoint() -> None:
    (listener,) = await SocketTransport().listen("127.0.0.1:0")
    dialled, accepted = await _pair(listener)
    await dialled.send_all(b"waiting")
    with trio.CancelScope() as scope:
        scope.cancel()
        await accepted.receive_some(10)
    assert scope.cancelled_caught
    await dialled.aclose()
    await accepted.aclose()
    await listener.aclose()
