"""The fixed forms of the handshake: hello, proof, welcome and refusal.

Rules:
- All of them begin with the magic and a kind; no message does, so they cannot be confused.
- The first seven bytes of a hello and the whole of a refusal are the same in every version of
  the protocol, so that two versions can tell each other apart, and say so.
- Fixed offsets and nothing after the end: there is one spelling of each value.
"""

import re
import struct
from enum import IntEnum
from typing import Final

from attrs import field, frozen

from ring.errors import ConfigError, RemoteProtocolError
from ring.identity import check_member_name
from ring.placement import Ring
from wire.limits import DETAIL_CHARS_MAX, RING_NAME_CHARS_MAX, U64_MAX

MAGIC: Final = b"SRNG"
VERSION: Final = 1
NONCE_BYTES: Final = 32
DIGEST_BYTES: Final = 32
PROOF_BYTES: Final = 32
NO_DIGEST: Final = bytes(DIGEST_BYTES)

_KIND_AT: Final = len(MAGIC)
_HEAD: Final = struct.Struct(">4sBH")
_FIXED: Final = struct.Struct(">4sBHBQQQ32s32s")
_BEGIN: Final = struct.Struct(">4sB")
_PRINTABLE: Final = re.compile(r"[ -~]*")


class Kind(IntEnum):
    """The byte after the magic."""

    HELLO = 1
    PROOF = 2
    WELCOME = 3
    REFUSAL = 4


class Role(IntEnum):
    """What the sender of a hello is to the ring."""

    MEMBER = 1
    """One of the configured members."""
    CLIENT = 2
    """A process that only asks members; it dials and is never dialled."""


class Refusal(IntEnum):
    """Why a connection is refused. The numbers never change."""

    MALFORMED = 1
    """What came is not this protocol, or not where it came."""
    VERSION = 2
    """Another version of the protocol. Detail: the refusing side's version."""
    RING_NAME = 3
    """Another ring. Detail: the name of the refusing side's ring."""
    RING_CONFIGURATION = 4
    """The same ring by name and version, configured otherwise. Detail: the first bytes of the
    digest."""
    NOT_A_MEMBER = 5
    """The sender's name is not in the ring. Detail: none."""
    OTHER_MEMBER = 6
    """The hello was meant for another member. Detail: the refusing side's name."""
    ITSELF = 7
    """A node has dialled itself. Detail: none."""
    NAME_IN_USE = 8
    """Another live process has the sender's name. Detail: none."""
    SECRET = 9
    """The proof fits none of the secrets. Detail: none."""
    BUSY = 10
    """Too many connections; try again later. Detail: none."""
    CERTIFICATE = 11
    """The sender's certificate is made out to somebody else. Detail: none."""
    TLS = 12
    """TLS is spoken here, and the sender did not begin with it. Detail: none. Not under TLS."""


class HandshakeError(RemoteProtocolError):
    """The peer was refused, or refuses us. Nothing of it was used; the connection is over.

    Attributes:
        refusal: why; None if the peer gave a code that this version does not know.
        detail: what our refusal adds: printable ASCII, and nothing that the peer sent.
        by_peer: whether it is the peer that refuses us.
    """

    def __init__(
        self, text: str, refusal: Refusal | None, detail: str = "", *, by_peer: bool = False
    ) -> None:
        super().__init__(text)
        self.refusal = refusal
        self.detail = detail
        self.by_peer = by_peer


def _malformed(text: str) -> HandshakeError:
    return HandshakeError(text, Refusal.MALFORMED)


def check_ring_name(name: str) -> str:
    """Return ``name`` if a hello can carry it.

    Raises:
        ConfigError: it is not 1 to 64 printable ASCII characters. Definite.
    """
    if not 1 <= len(name) <= RING_NAME_CHARS_MAX or _PRINTABLE.fullmatch(name) is None:
        raise ConfigError(
            f"ring.name {name[: RING_NAME_CHARS_MAX + 1]!r} cannot be sent; "
            f"use 1 to {RING_NAME_CHARS_MAX} printable ASCII characters"
        )
    return name


@frozen
class Identity:
    """Who this process is on all its connections, and who may be at their other ends.

    Raises:
        ConfigError: a name or a secret cannot be used.
    """

    role: Role
    name: str
    """A member's name; empty for a client."""
    ring_name: str
    """Empty for a client that takes any ring it finds at the address."""
    ring_version: int
    """Of the ring's configuration; 0 for a client."""
    ring_digest: bytes
    """32 bytes; zeros for a client, and not compared then."""
    members: frozenset[str]
    """The names that a peer may have which knows the ring in this version; empty for a client."""
    incarnation: int
    """64 bits that name this start of the process."""
    secrets: tuple[bytes, ...] = field(default=(), repr=False)
    """The first one proves who we are, any of them proves who the peer is; none: no secret."""

    def __attrs_post_init__(self) -> None:
        if self.role is Role.MEMBER:
            check_member_name(self.name)
        if self.ring_name or self.role is Role.MEMBER:
            check_ring_name(self.ring_name)
        if len(self.ring_digest) != DIGEST_BYTES:
            raise ConfigError(f"a ring's digest has {DIGEST_BYTES} bytes")
        if not 0 <= self.incarnation <= U64_MAX:
            raise ConfigError("an incarnation has 64 bits")
        if not 0 <= self.ring_version <= U64_MAX:
            raise ConfigError("a ring's version has 64 bits")
        for secret in self.secrets:
            # HMAC pads its key with zeros, so a secret of zeros is no secret at all.
            if not secret.strip(b"\x00"):
                raise ConfigError("a secret is empty or all zeros; use 32 random bytes")

    @classmethod
    def for_member(
        cls, ring: Ring, name: str, incarnation: int, secrets: tuple[bytes, ...] = ()
    ) -> "Identity":
        """Return the identity of the member ``name`` of ``ring``."""
        members = frozenset(ring.addresses)
        if name not in members:
            raise ConfigError(f"no member {name!r} in the ring {', '.join(ring.names)}")
        version, digest = ring.version, ring.digest
        return cls(Role.MEMBER, name, ring.name, version, digest, members, incarnation, secrets)

    @classmethod
    def for_client(
        cls, incarnation: int, secrets: tuple[bytes, ...] = (), ring_name: str = ""
    ) -> "Identity":
        """Return the identity of a client, of ``ring_name`` only if it is given."""
        return cls(Role.CLIENT, "", ring_name, 0, NO_DIGEST, frozenset(), incarnation, secrets)


@frozen
class Hello:
    """The first frame in each direction."""

    role: Role
    sender: str
    """The sending member's name; empty for a client."""
    recipient: str
    """The member that is meant; empty if a client does not know, and towards a client."""
    ring_name: str
    ring_version: int
    """Of the sender's configuration of the ring, 64 bits; 0 from a client."""
    ring_digest: bytes
    incarnation: int
    clock_ms: int
    """The sender's hybrid logical clock, physical part: milliseconds since 1970, 64 bits."""
    nonce: bytes
    """32 random bytes, new for every connection."""

    def pack(self) -> bytes:
        """Return the payload of the hello's frame."""
        fixed = _FIXED.pack(
            MAGIC,
            Kind.HELLO,
            VERSION,
            self.role,
            self.incarnation,
            self.clock_ms,
            self.ring_version,
            self.ring_digest,
            self.nonce,
        )
        texts = (text.encode("ascii") for text in (self.sender, self.recipient, self.ring_name))
        return fixed + b"".join(bytes([len(text)]) + text for text in texts)

    @classmethod
    def unpack(cls, payload: bytes) -> "Hello":
        """Return the hello that ``payload``, of kind HELLO, spells.

        Raises:
            HandshakeError: it is of another version, or not a hello. Nothing was used.
        """
        if len(payload) < _HEAD.size:
            raise _malformed("a hello that ends before its version")
        spoken = _HEAD.unpack_from(payload)[2]
        if spoken != VERSION:
            raise HandshakeError(
                f"the peer speaks protocol version {spoken}, this node version {VERSION}; "
                "run releases that share a version",
                Refusal.VERSION,
                str(VERSION),
            )
        if len(payload) < _FIXED.size:
            raise _malformed("a hello that ends too early")
        *_, role, incarnation, clock_ms, version, digest, nonce = _FIXED.unpack_from(payload)
        sender, at = _text(payload, _FIXED.size)
        recipient, at = _text(payload, at)
        ring_name, at = _text(payload, at)
        if at != len(payload):
            raise _malformed("a hello with bytes after its end")
        if role not in tuple(Role):
            raise _malformed("a hello of an unknown role")
        if len(ring_name) > RING_NAME_CHARS_MAX:
            raise _malformed("a hello with an overlong ring name")
        for name in (sender, recipient):
            _check_name_or_empty(name)
        return cls(
            Role(role),
            sender,
            recipient,
            ring_name,
            version,
            digest,
            incarnation,
            clock_ms,
            nonce,
        )


def kind_of(payload: bytes) -> Kind:
    """Return the kind of a handshake frame.

    Raises:
        HandshakeError: it is none.
    """
    if not payload.startswith(MAGIC):
        raise _malformed("a message before authentication, or another protocol")
    if len(payload) <= _KIND_AT or payload[_KIND_AT] not in tuple(Kind):
        raise _malformed("a handshake frame of an unknown kind")
    return Kind(payload[_KIND_AT])


def pack_proof(mac: bytes) -> bytes:
    """Return the payload of a proof's frame."""
    return _BEGIN.pack(MAGIC, Kind.PROOF) + mac


def unpack_proof(payload: bytes) -> bytes:
    """Return the code inside a frame of kind PROOF.

    Raises:
        HandshakeError: it is truncated or has bytes after its end.
    """
    if len(payload) != _BEGIN.size + PROOF_BYTES:
        raise _malformed(f"a proof has {PROOF_BYTES} bytes")
    return payload[_BEGIN.size :]


WELCOME: Final = _BEGIN.pack(MAGIC, Kind.WELCOME)
"""The payload that tells a dialler that it is in."""


def pack_refusal(refusal: Refusal, detail: str) -> bytes:
    """Return the payload of a refusal's frame; ``detail`` is printable ASCII, 64 at most."""
    text = detail.encode("ascii")
    return _BEGIN.pack(MAGIC, Kind.REFUSAL) + bytes([refusal, len(text)]) + text


def unpack_refusal(payload: bytes) -> tuple[int, str]:
    """Return code and detail of a frame of kind REFUSAL; the code may be unknown.

    Raises:
        HandshakeError: it is not in the form of a refusal.
    """
    if len(payload) <= _BEGIN.size:
        raise _malformed("a refusal without a code")
    detail, at = _text(payload, _BEGIN.size + 1)
    if at != len(payload) or len(detail) > DETAIL_CHARS_MAX:
        raise _malformed("a refusal with an overlong detail")
    return payload[_BEGIN.size], detail


def _text(payload: bytes, at: int) -> tuple[str, int]:
    """Return the printable text whose length stands at ``at``, and the offset behind it."""
    length = payload[at] if at < len(payload) else len(payload)
    end = at + 1 + length
    if end > len(payload):
        raise _malformed("a handshake frame that ends inside a text")
    text = payload[at + 1 : end].decode("ascii", errors="replace")
    if _PRINTABLE.fullmatch(text) is None:
        raise _malformed("a handshake frame with unprintable text")
    return text, end


def _check_name_or_empty(name: str) -> None:
    try:
        if name:
            check_member_name(name)
    except ConfigError as error:
        raise _malformed("a hello with a malformed member name") from error
