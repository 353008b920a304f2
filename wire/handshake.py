"""The handshake: who is at the other end, proved in both directions before anything else is read.

    dialler                                  acceptor
      hello ------------------------------->
            <------------------------------- hello, proof
      proof ------------------------------->            the acceptor is now authenticated
            <------------------------------- welcome    the dialler is now authenticated

Rules:
- A proof is HMAC-SHA256(secret, direction || both hellos as sent, the dialler's first). So it
  binds both names, both nonces, roles, ring, version and direction: a proof that was recorded,
  reflected, or made for another pair of hellos fits nothing.
- Neither side believes that it is in before the other has said so.
- Two members that know the ring in different versions let each other in, whoever is listed where:
  whose is greater has to tell the other then (``ring.adopting``).
- On the first doubt the connection is refused, with a frame that says why and repeats nothing
  of what the peer sent.

Source: mutual challenge and response after ISO/IEC 9798-4, with a transcript instead of fields.
"""

import hmac
from enum import Enum
from random import Random
from typing import Final

from attrs import frozen

from ring.errors import LocalProtocolError
from wire.framing import frame
from wire.hello import (
    NO_DIGEST,
    NONCE_BYTES,
    VERSION,
    WELCOME,
    HandshakeError,
    Hello,
    Identity,
    Kind,
    Refusal,
    Role,
    kind_of,
    pack_proof,
    unpack_proof,
    unpack_refusal,
)
from wire.limits import U64_MAX

DIALLER_LABEL: Final = b"sessionring 1 dialler\x00"
ACCEPTOR_LABEL: Final = b"sessionring 1 acceptor\x00"

_DIGEST_SHOWN_BYTES: Final = 8


class State(Enum):
    """What a connection waits for."""

    AWAIT_HELLO = "hello"
    AWAIT_PROOF = "proof"
    AWAIT_WELCOME = "welcome"
    OPEN = "open"
    ERROR = "error"
    """Over, for good."""


DIALLER_TRANSITIONS: Final = {
    (State.AWAIT_HELLO, Kind.HELLO): State.AWAIT_PROOF,
    (State.AWAIT_PROOF, Kind.PROOF): State.AWAIT_WELCOME,
    (State.AWAIT_WELCOME, Kind.WELCOME): State.OPEN,
}
ACCEPTOR_TRANSITIONS: Final = {
    (State.AWAIT_HELLO, Kind.HELLO): State.AWAIT_PROOF,
    (State.AWAIT_PROOF, Kind.PROOF): State.OPEN,
}
"""State and frame to next state; a refusal ends every state, and all else is refused."""


@frozen
class Authenticated:
    """The peer has proved who it is, and has accepted our proof."""

    peer: str | None
    """The member at the other end; None: a client."""
    incarnation: int
    clock_ms: int
    """The peer's clock reading when it wrote its hello, in milliseconds since 1970."""
    ring_version: int
    """The version of the ring that the peer knew when it wrote its hello; 0 for a client."""


def compute_proof(secret: bytes, label: bytes, transcript: bytes) -> bytes:
    """Return the 32 bytes that only a holder of ``secret`` can make for this transcript."""
    return hmac.digest(secret, label + transcript, "sha256")


class Handshake:
    """One side of one handshake; frames go in, bytes and at last ``Authenticated`` come out.

    Args:
        local: who we are.
        dialler: whether this side opened the connection.
        peer: the member that the dialler means to reach; None if it does not know.
        clock_ms: our clock reading, in milliseconds since 1970.
        random: the source of the nonce; the system's randomness outside simulations.

    Raises:
        LocalProtocolError: a side that cannot be: a client that accepts, a peer that is not
            in the ring.
    """

    def __init__(
        self,
        local: Identity,
        *,
        dialler: bool,
        peer: str | None,
        clock_ms: int,
        random: Random,
    ) -> None:
        if not dialler and (local.role is Role.CLIENT or peer is not None):
            raise LocalProtocolError("a client only dials, and only a dialler means a peer")
        if dialler and local.role is Role.MEMBER and peer not in local.members - {local.name}:
            raise LocalProtocolError("a member dials another member of its ring, by name")
        if not 0 <= clock_ms <= U64_MAX:
            raise LocalProtocolError("a clock reading has 64 bits of milliseconds")
        self.state = State.AWAIT_HELLO
        self._local = local
        self._dialler = dialler
        self._peer = peer
        self._clock_ms = clock_ms
        self._nonce = random.getrandbits(8 * NONCE_BYTES).to_bytes(NONCE_BYTES, "big")
        self._hello: Hello | None = None
        self._ours = b""
        self._transcript = b""
        self.proved_names: frozenset[str] | None = None
        """The names that the peer's certificate proves; None: it has shown none."""

    @property
    def peer_role(self) -> Role | None:
        """What the peer says it is; None before its hello."""
        return self._hello.role if self._hello is not None else None

    def begin(self) -> bytes:
        """Return what this side sends first: the dialler's hello, and nothing from the acceptor."""
        if not self._dialler:
            return b""
        self._ours = self._make_hello(self._peer or "")
        return self._ours

    def on_frame(self, payload: bytes) -> tuple[bytes, Authenticated | None]:
        """Take the next frame; return what to send, and who the peer is once that is settled.

        Raises:
            HandshakeError: the peer is refused, or refuses us. The handshake is over.
        """
        kind = kind_of(payload)
        if kind is Kind.REFUSAL:
            raise self.refused_by_peer(payload)
        transitions = DIALLER_TRANSITIONS if self._dialler else ACCEPTOR_TRANSITIONS
        following = transitions.get((self.state, kind))
        if following is None:
            raise HandshakeError(
                f"a {kind.name.lower()} came where a {self.state.value} was due", Refusal.MALFORMED
            )
        if kind is Kind.HELLO:
            answer = self._on_hello(payload)
        elif kind is Kind.PROOF:
            answer = self._on_proof(payload)
        else:
            answer = self._on_welcome(payload)
        self.state = following
        if following is not State.OPEN:
            return answer, None
        assert self._hello is not None
        who = self._hello.sender or None
        hello = self._hello
        return answer, Authenticated(who, hello.incarnation, hello.clock_ms, hello.ring_version)

    def refused_by_peer(self, payload: bytes) -> HandshakeError:
        """Return the error that a frame of kind REFUSAL amounts to."""
        code, detail = unpack_refusal(payload)
        local = self._local
        name = self._hello.sender if self._hello is not None else self._peer
        peer = repr(name) if name else "the peer"
        match code:
            case Refusal.MALFORMED:
                why = "it did not understand us; check that the address is a sessionring node"
            case Refusal.VERSION:
                why = (
                    f"it speaks protocol version {detail}, this node version {VERSION}; "
                    "run releases that share a version"
                )
            case Refusal.RING_NAME:
                why = _other_ring(local.ring_name, detail)
            case Refusal.RING_CONFIGURATION:
                why = _other_configuration(_shown(local.ring_digest), detail)
            case Refusal.NOT_A_MEMBER:
                why = _not_a_member(local.name)
            case Refusal.OTHER_MEMBER:
                why = _other_member(self._peer or "", detail)
            case Refusal.ITSELF:
                why = _itself(self._peer or "")
            case Refusal.NAME_IN_USE:
                why = _name_in_use(local.name)
            case Refusal.SECRET:
                why = _SECRETS_DIFFER
            case Refusal.CERTIFICATE:
                why = _other_certificate(local.name)
            case Refusal.BUSY:
                why = "it has too many connections; try again later"
            case Refusal.TLS:
                why = "it speaks TLS alone; use TLS, with a certificate of its authority"
            case _:
                text = f"{peer} refused us with the unknown code {code}: {detail}"
                return HandshakeError(text, None, by_peer=True)
        return HandshakeError(f"{peer} refused us: {why}", Refusal(code), by_peer=True)

    def _make_hello(self, recipient: str) -> bytes:
        local = self._local
        hello = Hello(
            local.role,
            local.name,
            recipient,
            local.ring_name,
            local.ring_version,
            local.ring_digest,
            local.incarnation,
            self._clock_ms,
            self._nonce,
        )
        return frame(hello.pack())

    def _on_hello(self, payload: bytes) -> bytes:
        hello = Hello.unpack(payload)
        self._check_ring(hello)
        if self._dialler:
            self._check_acceptor(hello)
        else:
            self._check_dialler(hello)
        self._check_certificate(hello)
        self._hello = hello
        if self._dialler:
            self._transcript = self._ours + frame(payload)
            return b""
        self._ours = self._make_hello(hello.sender)
        self._transcript = frame(payload) + self._ours
        return self._ours + self._prove(ACCEPTOR_LABEL)

    def _on_proof(self, payload: bytes) -> bytes:
        theirs = ACCEPTOR_LABEL if self._dialler else DIALLER_LABEL
        given = unpack_proof(payload)
        # All secrets are tried, so that the time taken does not tell which one fits.
        fits = [
            hmac.compare_digest(given, compute_proof(secret, theirs, self._transcript))
            for secret in self._local.secrets or (b"",)
        ]
        if not any(fits):
            raise HandshakeError(_SECRETS_DIFFER, Refusal.SECRET)
        return self._prove(DIALLER_LABEL) if self._dialler else frame(WELCOME)

    def _on_welcome(self, payload: bytes) -> bytes:
        if payload != WELCOME:
            raise HandshakeError("a welcome with bytes after its end", Refusal.MALFORMED)
        return b""

    def _prove(self, label: bytes) -> bytes:
        secret = self._local.secrets[0] if self._local.secrets else b""
        return frame(pack_proof(compute_proof(secret, label, self._transcript)))

    def _check_ring(self, hello: Hello) -> None:
        local = self._local
        between_members = Role.CLIENT not in (hello.role, local.role)
        if hello.nonce == self._nonce:
            raise HandshakeError("our own hello came back", Refusal.MALFORMED)
        # A client may leave the ring's name out, and then takes any ring at the address.
        if hello.ring_name != local.ring_name and (
            between_members or (hello.ring_name and local.ring_name)
        ):
            raise HandshakeError(
                _other_ring(local.ring_name, hello.ring_name), Refusal.RING_NAME, local.ring_name
            )
        # Of two versions the greater one is adopted, once the secret has proved who brings it.
        same_version = hello.ring_version == local.ring_version
        if between_members and same_version and hello.ring_digest != local.ring_digest:
            ours = _shown(local.ring_digest)
            raise HandshakeError(
                _other_configuration(ours, _shown(hello.ring_digest)),
                Refusal.RING_CONFIGURATION,
                ours,
            )

    def _check_dialler(self, hello: Hello) -> None:
        """Check, as the acceptor, who dials and whom it means to reach."""
        local = self._local
        if hello.role is Role.CLIENT:
            if hello.sender or hello.ring_version or hello.ring_digest != NO_DIGEST:
                raise HandshakeError("a client with a member's hello", Refusal.MALFORMED)
        elif hello.sender == local.name:
            if hello.incarnation == local.incarnation:
                raise HandshakeError(_itself(hello.recipient), Refusal.ITSELF)
            raise HandshakeError(_name_in_use(local.name), Refusal.NAME_IN_USE)
        elif hello.ring_version == local.ring_version and hello.sender not in local.members:
            raise HandshakeError(_not_a_member(hello.sender), Refusal.NOT_A_MEMBER)
        if hello.recipient != local.name and (hello.recipient or hello.role is Role.MEMBER):
            text = _other_member(hello.recipient, local.name)
            raise HandshakeError(text, Refusal.OTHER_MEMBER, local.name)

    def _check_acceptor(self, hello: Hello) -> None:
        """Check, as the dialler, who has answered."""
        if hello.role is not Role.MEMBER or not hello.sender or not hello.ring_name:
            raise HandshakeError("the answer is not a member's hello", Refusal.MALFORMED)
        if self._peer is not None and hello.sender != self._peer:
            text = _other_member(self._peer, hello.sender)
            raise HandshakeError(text, Refusal.OTHER_MEMBER)
        if hello.recipient != self._local.name:
            raise HandshakeError("the answer is meant for another dialler", Refusal.MALFORMED)

    def _check_certificate(self, hello: Hello) -> None:
        """Check that a member is who its certificate says; any certificate makes a client."""
        proved = self.proved_names
        if proved is not None and hello.role is Role.MEMBER and hello.sender not in proved:
            raise HandshakeError(_other_certificate(hello.sender), Refusal.CERTIFICATE)


_SECRETS_DIFFER: Final = "the secrets differ; give every node and client the same secret"


def _shown(digest: bytes) -> str:
    return digest[:_DIGEST_SHOWN_BYTES].hex()


def _other_ring(ours: str, theirs: str) -> str:
    return f"another ring: ours is {ours!r}, theirs {theirs!r}; check the address and ring.name"


def _other_configuration(ours: str, theirs: str) -> str:
    return (
        f"another ring configuration: ours is {ours}, theirs {theirs}; "
        "give every node the same [ring] section, and raise its version with every change"
    )


def _not_a_member(name: str) -> str:
    return f"{name!r} is not a member of the ring; list it in [[ring.members]] on every node"


def _other_member(meant: str, found: str) -> str:
    return (
        f"the address of {meant!r} leads to {found!r}; "
        "check the addresses in [[ring.members]] and the name of each node"
    )


def _other_certificate(name: str) -> str:
    return (
        f"the certificate of {name!r} is not made out to that name; "
        "have it among the DNS names of the certificate"
    )


def _itself(meant: str) -> str:
    return f"the address of {meant!r} leads back to the same node; check [[ring.members]]"


def _name_in_use(name: str) -> str:
    return f"another live process is named {name!r}; give every process its own name"
