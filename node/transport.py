"""The seam between a node and its network: byte streams, who accepts them and who dials them.

Rules of the seam, which every transport keeps:
- The world's troubles are ``OSError``: refused, reset, no route, closed here while in use.
- ``receive_some`` and ``send_all`` are checkpoints at every call, also when they need not wait:
  a loop that never yields starves the application during recovery.
- A ``send_all`` that raised or was cancelled may have sent a part: the stream is of no use any
  more but to be closed.

No other module touches sockets. Here is the transport over trio's: TCP, with TLS if it is told
to, and unix sockets, which never leave the host and need none. The sizes of the kernel's buffers
are left alone: setting them cost 30-40 % of the throughput. An idle TCP connection is probed by the
kernel, so that a host which vanished without a word keeps no place for ever.
"""

import contextlib
import errno
import os
import socket
import ssl
import stat
from typing import Final, Protocol

import trio

from node.address import TcpAddress, UnixAddress, parse_address
from node.tls import NoTlsError, Tls, TlsError, TlsFiles, dns_names, tls_reason

_BACKLOG: Final = 1024
_TLS_HANDSHAKE: Final = b"\x16"
_UNREAD_BYTES: Final = 4096
_KEEP_ALIVE: Final = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3}
"""Seconds until an idle connection is probed, between probes, and how many go unanswered. Members
notice silence much sooner by themselves: this is for clients, which may have nothing to say."""


class Stream(Protocol):
    """A connection's bytes, in order, both ways. One task receives, one task sends."""

    @property
    def remote(self) -> str:
        """Who is at the other end, for the log: ``host:port`` or ``unix``."""

    @property
    def proved_names(self) -> frozenset[str] | None:
        """The names in the peer's certificate, once something was received; None: without TLS."""

    async def receive_some(self, max_bytes: int) -> bytes:
        """Return 1 to ``max_bytes`` bytes, or none once the peer has ended its side.

        Raises:
            OSError: the connection is broken, or was closed here.
        """

    async def send_all(self, data: bytes) -> None:
        """Send all of ``data``.

        Raises:
            OSError: the connection is broken, or was closed here. A part may have been sent.
        """

    async def aclose(self) -> None:
        """Close at once, whatever is under way; again is harmless. Never raises OSError."""


class Listener(Protocol):
    """Accepts connections at one address."""

    @property
    def address(self) -> str:
        """Where it listens: ``host:port`` with the real port, or ``unix:/path``."""

    async def accept(self) -> Stream:
        """Return the next connection.

        Raises:
            OSError: none could be accepted now, for want of descriptors or memory.
        """

    async def aclose(self) -> None:
        """Stop listening. Connections that were accepted go on."""


class Transport(Protocol):
    """Makes streams: by dialling and by listening."""

    async def dial(self, address: str) -> Stream:
        """Connect to ``address``. The caller sets the deadline.

        Raises:
            OSError: refused, unreachable, or no such host.
        """

    async def listen(self, address: str) -> tuple[Listener, ...]:
        """Listen at ``address``; a host name with several addresses gives several listeners.

        Raises:
            OSError: the address is in use, or not of this machine, or not allowed.
        """


class SocketTransport:
    """TCP and unix sockets, over trio.

    Args:
        tls: what TCP connections are protected by; None: nothing.
        from_host: the address of this machine that TCP connections are dialled from; None: the
            system chooses.
    """

    def __init__(self, tls: Tls | None = None, *, from_host: str | None = None) -> None:
        self._tls = tls
        self._from_host = from_host

    async def dial(self, address: str) -> Stream:
        """Connect to ``address``; see ``Transport.dial``."""
        match parse_address(address):
            case UnixAddress(path):
                return _SocketStream(await trio.open_unix_socket(path))
            case TcpAddress(host, port):
                stream = await _connected(host, port, self._from_host)
                if self._tls is None:
                    return _SocketStream(stream)
                return _TlsStream(stream, self._tls, dialled=True)

    async def listen(self, address: str) -> tuple[Listener, ...]:
        """Listen at ``address``; see ``Transport.listen``."""
        match parse_address(address):
            case UnixAddress(path):
                return (await _listen_at_path(path),)
            case TcpAddress(host, port):
                try:
                    listeners = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
                except UnicodeError as error:
                    raise _no_such_host(error) from error
                if port == 0:
                    # Each would get a free port of its own, and one address is all we announce.
                    for superfluous in listeners[1:]:
                        await superfluous.aclose()
                    del listeners[1:]
                return tuple(_TcpListener(listener, self._tls) for listener in listeners)


async def _connected(host: str, port: int, from_host: str | None) -> trio.SocketStream:
    """Connect, and say what went wrong at the first of a host's addresses if it did at all."""
    try:
        return await trio.open_tcp_stream(host, port, local_address=from_host)
    except UnicodeError as error:
        raise _no_such_host(error) from error
    except OSError as error:
        cause = error.__cause__
        if isinstance(cause, BaseExceptionGroup):
            cause = cause.exceptions[0]
        if isinstance(cause, OSError):
            raise cause from None
        raise


def _no_such_host(error: UnicodeError) -> OSError:
    """Return what it means that a name cannot be written as the name system writes names."""
    return OSError(socket.EAI_NONAME, f"no host can have that name: {error}")


def os_reason(error: OSError) -> str:
    """Say in a few words what the system, or TLS, had against it."""
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)  # The number of a failed name look-up is below 0.


class _SocketStream:
    """A trio stream (which sets TCP_NODELAY) whose errors are OSError."""

    __slots__ = ("_remote", "_stream")

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        try:
            name = stream.socket.getpeername()
        except OSError:
            name = None  # it has hung up already
        is_tcp = stream.socket.family != socket.AF_UNIX
        self._remote = "unknown" if is_tcp else "unix"
        if isinstance(name, tuple):
            self._remote = str(TcpAddress(*name[:2]))
            self._keep_alive()

    def _keep_alive(self) -> None:
        with contextlib.suppress(OSError):  # It has hung up since.
            self._stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for name, value in _KEEP_ALIVE.items():
                if (option := getattr(socket, name, None)) is not None:
                    self._stream.setsockopt(socket.IPPROTO_TCP, option, value)

    @property
    def remote(self) -> str:
        return self._remote

    @property
    def proved_names(self) -> frozenset[str] | None:
        return None

    async def receive_some(self, max_bytes: int) -> bytes:
        try:
            return bytes(await self._stream.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _os_error(error) from error

    async def send_all(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise _os_error(error) from error

    async def aclose(self) -> None:
        # Closing a socket never waits: trio's is a close and a checkpoint, and a checkpoint
        # would let a cancelled task leave its stream open.
        self._stream.socket.close()


def _os_error(error: trio.BrokenResourceError | trio.ClosedResourceError) -> OSError:
    if isinstance(error.__cause__, OSError):
        return error.__cause__
    return ConnectionAbortedError(errno.ECONNABORTED, "the connection was closed here")


class _TlsStream(_SocketStream):
    """The same under TLS, which is agreed on with the first bytes that are sent or received.

    Who dials and does not begin with TLS is not read, but can be told why, in the clear.
    """

    __slots__ = ("_begun", "_dialled", "_is_plain", "_proved", "_tls")

    def __init__(self, stream: trio.SocketStream, tls: Tls, *, dialled: bool) -> None:
        super().__init__(stream)
        context = tls.dialling if dialled else tls.accepting
        # "HTTPS compatible" means that a connection may just end, as ours do.
        self._tls = trio.SSLStream(stream, context, server_side=not dialled, https_compatible=True)
        self._dialled = self._begun = dialled
        self._is_plain = False
        self._proved: frozenset[str] | None = None

    @property
    def proved_names(self) -> frozenset[str] | None:
        return self._proved or frozenset()

    async def receive_some(self, max_bytes: int) -> bytes:
        try:
            if not self._begun:
                await self._begin()
            data = bytes(await self._tls.receive_some(max_bytes))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._error(error) from error
        if self._proved is None:
            if not data:
                raise _hung_up() if self._dialled else _reset()
            self._proved = dns_names(self._tls.getpeercert())
        return data

    async def send_all(self, data: bytes) -> None:
        if self._is_plain:
            return await super().send_all(data)
        try:
            await self._tls.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._error(error) from error

    async def _begin(self) -> None:
        """Look at the first byte: that of TLS tells it from every other protocol."""
        first = await self._stream.socket.recv(1, socket.MSG_PEEK)
        if first and first != _TLS_HANDSHAKE:
            self._is_plain = True
            # What is left unread when a socket is closed takes with it what was sent.
            await super().receive_some(_UNREAD_BYTES)
            raise NoTlsError("TLS: the peer does not speak it")
        self._begun = True

    def _error(self, error: trio.BrokenResourceError | trio.ClosedResourceError) -> OSError:
        cause = _os_error(error)
        if isinstance(cause, ssl.SSLEOFError):
            return _reset()
        if isinstance(cause, ssl.SSLError):
            return TlsError(f"TLS: {tls_reason(cause)}")
        if isinstance(cause, ConnectionResetError) and self._dialled and self._proved is None:
            return _hung_up()
        return cause


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the peer closed the connection in TLS")


def _hung_up() -> TlsError:
    """Return what it means that a peer accepts TLS and hangs up before it has said anything."""
    return TlsError(
        "TLS: the peer hung up; it may not accept this side's certificate, and its log says why"
    )


class _TcpListener:
    def __init__(self, listener: trio.SocketListener, tls: Tls | None) -> None:
        self._listener = listener
        self._tls = tls
        host, port = listener.socket.getsockname()[:2]
        self._address = str(TcpAddress(host, port))

    @property
    def address(self) -> str:
        return self._address

    async def accept(self) -> Stream:
        stream = await _accept(self._listener)
        if self._tls is None:
            return _SocketStream(stream)
        return _TlsStream(stream, self._tls, dialled=False)

    async def aclose(self) -> None:
        self._listener.socket.close()


class _UnixListener:
    def __init__(self, listener: trio.SocketListener, path: str) -> None:
        self._listener = listener
        self._path = path
        self._inode = os.stat(path).st_ino

    @property
    def address(self) -> str:
        return str(UnixAddress(self._path))

    async def accept(self) -> Stream:
        return _SocketStream(await _accept(self._listener))

    async def aclose(self) -> None:
        self._listener.socket.close()
        # Only our own name: another process may have replaced it in the meantime.
        try:
            if os.stat(self._path).st_ino == self._inode:
                os.unlink(self._path)
        except OSError:
            pass


async def _accept(listener: trio.SocketListener) -> trio.SocketStream:
    try:
        return await listener.accept()
    except trio.ClosedResourceError as error:
        raise _os_error(error) from error


async def _listen_at_path(path: str) -> Listener:
    """Listen at ``path``, readable and writable by this user alone.

    A socket that a killed process left behind answers nobody, and is replaced.

    Raises:
        OSError: something else is at ``path``, or somebody listens there.
    """
    if await _is_abandoned(path):
        os.unlink(path)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.bind(path)
        # Nobody can connect between the two: a socket refuses until it listens.
        os.chmod(path, 0o600)
        bound.listen(_BACKLOG)
        return _UnixListener(trio.SocketListener(trio.socket.from_stdlib_socket(bound)), path)
    except BaseException:
        bound.close()
        raise


async def _is_abandoned(path: str) -> bool:
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            return False
        stream = await trio.open_unix_socket(path)
    except FileNotFoundError:
        return False
    except ConnectionRefusedError:
        return True
    await stream.aclose()
    return False


def transport_for(files: TlsFiles | None, name: str) -> SocketTransport:
    """Return what makes connections for the member ``name``; under TLS, if it has the files."""
    return SocketTransport(Tls(files, name) if files is not None else None)
