"""Addresses as people write them: ``host:port``, ``[ipv6]:port`` and ``unix:/path``.

Rule: what is read here is the name of a host only as far as its form goes; whether there is such a
host is seen when it is dialled.
"""

import os
import re
from typing import Final

from attrs import frozen

from ring.errors import ConfigError

_UNIX_PREFIX: Final = "unix:"
_UNIX_PATH_BYTES_MAX: Final = 107
_PORT: Final = re.compile("[0-9]{1,5}")
_HOST: Final = re.compile(r"[^\s.\x00]{1,63}(\.[^\s.\x00]{1,63})*\.?")
"""Labels of at most 63 characters with dots between them, or an address in numbers."""


@frozen
class TcpAddress:
    """A host, by name or number, and a port from 0 (any free one, to listen) to 65535."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@frozen
class UnixAddress:
    """The path of a unix socket."""

    path: str

    def __str__(self) -> str:
        return _UNIX_PREFIX + self.path


def parse_address(text: str) -> TcpAddress | UnixAddress:
    """Return what ``text`` says: ``host:port``, ``[ipv6]:port`` or ``unix:/path``.

    Raises:
        ConfigError: it says none of these. Definite.
    """
    if text.startswith(_UNIX_PREFIX):
        path = text[len(_UNIX_PREFIX) :]
        if path and len(os.fsencode(path)) <= _UNIX_PATH_BYTES_MAX and "\0" not in path:
            return UnixAddress(path)
    else:
        host, _, port = text.rpartition(":")
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            host = ""
        is_host = _HOST.fullmatch(host) and host.isprintable()
        if is_host and _PORT.fullmatch(port) and int(port) <= 65535:
            return TcpAddress(host, int(port))
    raise ConfigError(
        f"address {text!r} cannot be used; write host:port, [ipv6]:port or "
        f"unix:/path with at most {_UNIX_PATH_BYTES_MAX} bytes"
    )
