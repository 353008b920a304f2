"""Both ends of a connection without a network, for tests of the handshake and what follows it."""

import struct
from collections.abc import Callable
from random import Random

import pytest
from attrs import define, field

from ring.errors import RemoteProtocolError
from ring.placement import Member, Ring
from wire import NEED_DATA, Connection, Event, HandshakeError, Identity, Refusal, State
from wire.framing import LENGTH_BYTES

RING = Ring("shop", (Member("a", "h:1"), Member("b", "h:2"), Member("c", "h:3")))
SECRET = b"thirty-two bytes for an example!"
OTHER_SECRET = b"thirty-two bytes for another one"

Tamper = Callable[[str, bytes], bytes]
"""Given who sent some bytes, "dialler" or "acceptor", and the bytes: what arrives."""


def member(
    name: str,
    *secrets: bytes,
    ring: Ring = RING,
    incarnation: int | None = None,
) -> Identity:
    """Return a member's identity, with the example secret if none is given."""
    incarnation = ord(name[0]) if incarnation is None else incarnation
    return Identity.for_member(ring, name, incarnation, secrets or (SECRET,))


def client(*secrets: bytes, ring_name: str = "") -> Identity:
    """Return a client's identity, with the example secret if none is given."""
    return Identity.for_client(77, secrets or (SECRET,), ring_name)


def dial(local: Identity, peer: str | None = "b", seed: int = 1) -> Connection:
    """Return the dialling end of a connection."""
    return Connection(local, dialler=True, peer=peer, clock_ms=1001, random=Random(seed))


def accept(local: Identity, seed: int = 2) -> Connection:
    """Return the accepting end of a connection."""
    return Connection(local, dialler=False, clock_ms=1002, random=Random(seed))


@define
class Outcome:
    """What an exchange of bytes came to, at each end."""

    events: dict[str, list[Event]] = field(factory=lambda: {"dialler": [], "acceptor": []})
    errors: dict[str, RemoteProtocolError] = field(factory=dict)

    @property
    def said(self) -> dict[str, str]:
        """The errors as text."""
        return {who: str(error) for who, error in self.errors.items()}


def exchange(dialler: Connection, acceptor: Connection, tamper: Tamper | None = None) -> Outcome:
    """Carry what the handshake sends to the other end until neither has more to send."""
    outcome = Outcome()
    ends = {"dialler": dialler, "acceptor": acceptor}
    while sent := {who: data for who, end in ends.items() if (data := end.data_to_send())}:
        for sender, data in sent.items():
            receiver = "acceptor" if sender == "dialler" else "dialler"
            if receiver in outcome.errors:
                continue
            arriving = data if tamper is None else tamper(sender, data)
            try:
                ends[receiver].receive_data(arriving)
                while events := ends[receiver].next_events():
                    outcome.events[receiver] += events
            except RemoteProtocolError as error:
                outcome.errors[receiver] = error
    return outcome


def connected(
    dialling: Identity | None = None, accepting: Identity | None = None
) -> tuple[Connection, Connection]:
    """Return both ends of an authenticated connection, from ``a`` to ``b`` if not told."""
    dialling = dialling or member("a")
    ends = dial(dialling, "b"), accept(accepting or member("b"))
    outcome = exchange(*ends)
    assert not outcome.errors, outcome.said
    assert all(end.authenticated for end in ends)
    return ends


SIDES = ("dialler", "acceptor")


def check_refused(outcome: Outcome, who: str, refusal: Refusal, ours: str, theirs: str) -> None:
    """Check that ``who`` refused, why, what it said, and what the other end made of that."""
    other = SIDES[1 - SIDES.index(who)]
    errors = outcome.errors
    assert set(errors) == set(SIDES), outcome
    assert outcome.events == {"dialler": [], "acceptor": []}
    for error in errors.values():
        assert isinstance(error, HandshakeError)
        assert error.refusal is refusal
        assert error.by_peer is (error is errors[other])
        assert "\n" not in str(error)
    assert ours in outcome.said[who]
    assert theirs in outcome.said[other]


def refused_by(connection: Connection, data: bytes) -> str:
    """Feed ``data``; check that the peer is refused for it, and return what is said."""
    with pytest.raises(RemoteProtocolError) as caught:
        feed(connection, data)
    assert connection.state is State.ERROR
    return str(caught.value)


def feed(connection: Connection, data: bytes) -> None:
    """Feed ``data`` and take every event."""
    connection.receive_data(data)
    while connection.next_events():
        pass


def conversation(dialler: Connection, acceptor: Connection) -> dict[str, list[bytes]]:
    """Return what each side sent in a good handshake, frame by frame."""
    frames: dict[str, list[bytes]] = {"dialler": [], "acceptor": []}

    def note(who: str, data: bytes) -> bytes:
        while data:
            (length,) = struct.unpack_from(">I", data)
            frames[who].append(data[: LENGTH_BYTES + length])
            data = data[LENGTH_BYTES + length :]
        return data

    exchange(dialler, acceptor, lambda who, data: (note(who, data), data)[1])
    return frames


def take_all(connection: Connection) -> list[Event]:
    """Take events one by one."""
    taken: list[Event] = []
    while (event := connection.next_event()) is not NEED_DATA:
        taken.append(event)
    return taken


def take_batch(connection: Connection) -> list[Event]:
    """Take events by the list."""
    taken: list[Event] = []
    while events := connection.next_events():
        taken += events
    return taken
