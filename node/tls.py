"""TLS between members and to clients: both sides show a certificate of the ring's own authority.

Rules:
- TLS 1.3 only. Who shows no certificate, or one that the authority did not sign, is not read.
- What names the peer's certificate proves is all that is said here. That the peer is one of
  them is checked by the handshake (``wire.handshake``), which also knows clients.
- What nobody could use is refused at the start: a node first talks to itself.
- The end of a connection is not proved. It needs no proof: frames say their length, and what a
  cut takes away was not acknowledged.
"""

import os
import re
import ssl
from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen

from ring.errors import ConfigError

_ROUND_TRIPS_MAX: Final = 8
_PLACES: Final = re.compile(r"^\[[^]]*\] | \(_ssl\.c:[0-9]+\)$")
"""Where in OpenSSL and Python an error was found, which helps nobody here."""


class TlsError(OSError):
    """TLS with a peer failed: it lives, and one side does not accept the other."""


class NoTlsError(TlsError):
    """The peer, which has dialled this side, did not begin with TLS; it can be told so."""


@frozen
class TlsFiles:
    """Where the certificates are: three PEM files."""

    certificate: str
    """This side's certificate, and those that lead from it to the authority, if there are any.

    That of a member has its name in the ring as a DNS name among its alternative names.
    """
    key: str
    """The certificate's private key, not encrypted."""
    ca: str
    """The authority's certificate; whoever it signed may connect. So use one for the ring alone."""


class Tls:
    """The two sides of TLS, as a process takes them.

    Args:
        files: read now, and not again.
        name: the member's own name, which its certificate has to have; None: a client.

    Raises:
        ConfigError: a file cannot be read or used, or the authority would not accept the
            certificate.
    """

    def __init__(self, files: TlsFiles, name: str | None = None) -> None:
        self.dialling = _context(ssl.PROTOCOL_TLS_CLIENT, files)
        self.accepting = _context(ssl.PROTOCOL_TLS_SERVER, files)
        if name is not None:
            self._check_own_certificate(files, name)

    def _check_own_certificate(self, files: TlsFiles, name: str) -> None:
        try:
            names = self._names_seen_by_itself()
        except ssl.SSLError as error:
            raise ConfigError(
                f"tls_certificate is {files.certificate!r}, which nobody would accept who knows "
                f"the authority {files.ca!r}: {tls_reason(error)}; have that one sign another one"
            ) from error
        if name not in names:
            raise ConfigError(
                f"tls_certificate is {files.certificate!r}, which is made out to "
                f"{', '.join(sorted(names)) or 'no DNS name'}; the node's name is {name!r}, so "
                "have that among its alternative names, as a DNS name"
            )

    def _names_seen_by_itself(self) -> frozenset[str]:
        """Connect this process to itself, in memory; return whom its certificate names."""
        one, other = ssl.MemoryBIO(), ssl.MemoryBIO()
        dialler = self.dialling.wrap_bio(one, other)
        acceptor = self.accepting.wrap_bio(other, one, server_side=True)
        for _ in range(_ROUND_TRIPS_MAX):
            waiting = [side for side in (dialler, acceptor) if not _shakes_hands(side)]
            if not waiting:
                break
        return dns_names(dialler.getpeercert()) & dns_names(acceptor.getpeercert())


def _shakes_hands(side: ssl.SSLObject) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def dns_names(certificate: Mapping[str, Any] | None) -> frozenset[str]:
    """Return the DNS names that a peer's certificate, as ``ssl`` gives it, is made out to."""
    named = (certificate or {}).get("subjectAltName", ())
    return frozenset(name.lower() for kind, name in named if kind == "DNS")


def tls_reason(error: ssl.SSLError) -> str:
    """Say in a few words why TLS failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if error.reason:
        return error.reason.replace("_", " ").lower()
    return _PLACES.sub("", str(error))


def _context(protocol: "ssl._SSLMethod", files: TlsFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Names are those of the ring, not of hosts, and both sides are checked: by the handshake.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    paths = {"tls_certificate": files.certificate, "tls_key": files.key, "tls_ca": files.ca}
    for key, path in paths.items():
        try:
            with open(path, "rb"):
                pass
        except OSError as error:
            raise ConfigError(
                f"{key} is {path!r}, which cannot be read: {os.strerror(error.errno or 0)}; "
                "give the path of a PEM file that this user may read"
            ) from error
    try:
        # An encrypted key would have OpenSSL ask on the terminal.
        context.load_cert_chain(files.certificate, files.key, password="")
    except ssl.SSLError as error:
        raise ConfigError(
            f"tls_certificate is {files.certificate!r} and tls_key {files.key!r}, which cannot be "
            f"used together: {tls_reason(error)}; give a certificate in PEM, and its own key, "
            "not encrypted"
        ) from error
    try:
        context.load_verify_locations(files.ca)
    except ssl.SSLError as error:
        raise ConfigError(
            f"tls_ca is {files.ca!r}, which is no certificate: {tls_reason(error)}; give one in PEM"
        ) from error
    return context
