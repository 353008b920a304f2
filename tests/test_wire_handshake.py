"""The handshake: who says what to whom, and which mistakes are refused with which remedy."""

import hashlib
import hmac
from itertools import pairwise
from random import Random

import pytest
from attrs import evolve
from wire_ends import (
    RING,
    SECRET,
    accept,
    check_refused,
    client,
    connected,
    dial,
    exchange,
    feed,
    member,
    refused_by,
)

from ring.errors import ConfigError, LocalProtocolError
from ring.placement import Departed, Member, Ring
from wire import Authenticated, Connection, Identity, Refusal, State
from wire.framing import LENGTH_BYTES, frame
from wire.handshake import ACCEPTOR_TRANSITIONS, DIALLER_TRANSITIONS
from wire.hello import NO_DIGEST, Hello, pack_refusal
from wire.limits import HANDSHAKE_FRAME_BYTES_MAX

# --- How it goes ---


def test_two_members_authenticate_each_other() -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    outcome = exchange(dialler, acceptor)
    assert outcome.events == {
        "dialler": [Authenticated("b", ord("b"), 1002, 1)],
        "acceptor": [Authenticated("a", ord("a"), 1001, 1)],
    }
    assert (dialler.peer, acceptor.peer) == ("b", "a")
    assert dialler.authenticated
    assert acceptor.authenticated


@pytest.mark.parametrize("peer", [None, "b"])
@pytest.mark.parametrize("ring_name", ["", "shop"])
def test_a_client_needs_to_know_neither_the_member_nor_the_ring(
    peer: str | None, ring_name: str
) -> None:
    outcome = exchange(dial(client(ring_name=ring_name), peer), accept(member("b")))
    assert outcome.events == {
        "dialler": [Authenticated("b", ord("b"), 1002, 1)],
        "acceptor": [Authenticated(None, 77, 1001, 0)],
    }


def test_neither_side_believes_that_it_is_in_before_the_other_has_accepted_its_proof() -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    feed(acceptor, dialler.data_to_send())
    assert (dialler.state, acceptor.state) == (State.AWAIT_HELLO, State.AWAIT_PROOF)
    feed(dialler, acceptor.data_to_send())
    assert (dialler.state, acceptor.state) == (State.AWAIT_WELCOME, State.AWAIT_PROOF)
    assert not dialler.authenticated
    assert dialler.peer is None
    feed(acceptor, dialler.data_to_send())
    assert (dialler.state, acceptor.state) == (State.AWAIT_WELCOME, State.OPEN)
    feed(dialler, acceptor.data_to_send())
    assert (dialler.state, acceptor.state) == (State.OPEN, State.OPEN)


def test_it_goes_byte_by_byte_too() -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    for sender, receiver in ((dialler, acceptor), (acceptor, dialler)) * 2:
        for byte in sender.data_to_send():
            feed(receiver, bytes([byte]))
    assert dialler.authenticated
    assert acceptor.authenticated


def test_the_transitions_form_one_line_for_each_side() -> None:
    """So no frame may come twice, and none may be left out."""
    for table in (DIALLER_TRANSITIONS, ACCEPTOR_TRANSITIONS):
        befores, afters = [before for before, _ in table], list(table.values())
        assert befores[0] is State.AWAIT_HELLO
        assert afters[-1] is State.OPEN
        assert list(pairwise(befores)) == list(zip(befores, afters, strict=False))[:-1]


def test_the_proofs_are_what_the_protocol_says() -> None:
    """Computed here a second time, from the bytes on the wire alone."""
    dialler, acceptor = dial(member("a")), accept(member("b"))
    ours = dialler.data_to_send()
    feed(acceptor, ours)
    answer = acceptor.data_to_send()
    theirs, proof = answer[: -(LENGTH_BYTES + 37)], answer[-32:]
    feed(dialler, answer)
    answered = dialler.data_to_send()[-32:]
    for label, sent in (("acceptor", proof), ("dialler", answered)):
        bound = f"sessionring 1 {label}\0".encode() + ours + theirs
        assert hmac.new(SECRET, bound, hashlib.sha256).digest() == sent


def test_nothing_before_authentication_comes_near_its_limit() -> None:
    name = "n" * 32
    members = (Member(name, ""), Member("m" * 32, ""))
    longest = member(name, ring=Ring("r" * 64, members))
    assert len(dial(longest, "m" * 32).data_to_send()) == LENGTH_BYTES + 227
    assert HANDSHAKE_FRAME_BYTES_MAX > 227


# --- Mistakes: each is refused with both values and the remedy ---


def test_another_version_is_refused_whatever_else_it_says() -> None:
    """The first seven bytes of a hello never change; what follows them may."""
    acceptor = accept(member("b"))
    said = refused_by(acceptor, frame(b"SRNG\x01\x00\x02whatever version 2 has here"))
    assert said == (
        "the peer speaks protocol version 2, this node version 1; run releases that share a version"
    )
    assert acceptor.data_to_send() == frame(pack_refusal(Refusal.VERSION, "1"))
    said = refused_by(dial(member("a")), frame(pack_refusal(Refusal.VERSION, "2")))
    assert said.startswith("'b' refused us: it speaks protocol version 2, this node version 1;")


def test_a_downgraded_hello_is_refused() -> None:
    def tamper(who: str, data: bytes) -> bytes:
        return data[:9] + b"\x00\x00" + data[11:] if who == "dialler" else data

    outcome = exchange(dial(member("a")), accept(member("b")), tamper)
    assert "version 0" in outcome.said["acceptor"]


def test_another_ring_is_refused() -> None:
    other = Ring("market", RING.members)
    check_refused(
        exchange(dial(member("a")), accept(member("b", ring=other))),
        "acceptor",
        Refusal.RING_NAME,
        "another ring: ours is 'market', theirs 'shop'; check the address and ring.name",
        "'b' refused us: another ring: ours is 'shop', theirs 'market'; check the address",
    )


def test_a_client_of_another_ring_is_refused() -> None:
    outcome = exchange(dial(client(ring_name="market")), accept(member("b")))
    check_refused(outcome, "acceptor", Refusal.RING_NAME, "'market'", "ours is 'market'")


@pytest.mark.parametrize(
    "other",
    [
        evolve(RING, copies=3),
        evolve(RING, members=RING.members[::-1]),
        evolve(RING, members=RING.members[:2]),
        evolve(RING, members=(Member("a", "elsewhere:1"), *RING.members[1:])),
        evolve(RING, members=(*RING.members[:2], Member("c", "h:3", backup=True))),
        evolve(RING, departed=(Departed("d", "a"),)),
    ],
)
def test_another_configuration_of_the_same_version_is_refused(other: Ring) -> None:
    mine, theirs = RING.digest[:8].hex(), other.digest[:8].hex()
    remedy = "give every node the same [ring] section"
    check_refused(
        exchange(dial(member("a")), accept(member("b", ring=other))),
        "acceptor",
        Refusal.RING_CONFIGURATION,
        f"another ring configuration: ours is {theirs}, theirs {mine}; {remedy}",
        f"another ring configuration: ours is {mine}, theirs {theirs}; {remedy}",
    )


@pytest.mark.parametrize(
    ("dialler", "of_dialler", "of_acceptor", "case"),
    [
        ("a", 2, 1, "the dialler knows a newer one"),
        ("a", 1, 2, "the acceptor knows a newer one"),
        ("d", 2, 1, "the dialler was added, and the acceptor does not know it yet"),
        ("c", 1, 2, "the dialler was removed, and does not know that yet"),
    ],
)
def test_another_version_of_the_ring_is_let_in(
    dialler: str, of_dialler: int, of_acceptor: int, case: str
) -> None:
    """The secret has proved who it is; whose version is greater tells the other then.

    Else a ring could be changed only by stopping all of it.
    """
    newer = tuple(Member(name, f"h:{name}") for name in "abd")
    rings = {1: RING, 2: Ring("shop", newer, version=2)}
    ends = (
        dial(member(dialler, ring=rings[of_dialler])),
        accept(member("b", ring=rings[of_acceptor])),
    )
    outcome = exchange(*ends)
    assert not outcome.errors, case
    seen = [event for events in outcome.events.values() for event in events]
    versions = {each.peer: each.ring_version for each in seen if isinstance(each, Authenticated)}
    assert versions == {dialler: of_dialler, "b": of_acceptor}


def test_the_dialler_checks_the_ring_as_well() -> None:
    """A peer that is not of our ring may not tell us so."""
    other = member("b", ring=evolve(RING, copies=3))
    hello = Hello.unpack(dial(member("a"), "b").data_to_send()[LENGTH_BYTES:])
    forged = evolve(hello, sender="b", recipient="a", nonce=bytes(32))
    said = refused_by(
        dial(member("a")), frame(evolve(forged, ring_digest=other.ring_digest).pack())
    )
    assert "another ring configuration" in said
    said = refused_by(dial(member("a")), frame(evolve(forged, ring_name="market").pack()))
    assert "another ring: ours is 'shop', theirs 'market'" in said


def test_a_name_that_is_not_in_the_ring_is_refused() -> None:
    stranger = evolve(member("a"), name="z")
    check_refused(
        exchange(dial(stranger), accept(member("b"))),
        "acceptor",
        Refusal.NOT_A_MEMBER,
        "'z' is not a member of the ring; list it in [[ring.members]] on every node",
        "'b' refused us: 'z' is not a member of the ring; list it",
    )


def test_a_hello_meant_for_another_member_is_refused() -> None:
    check_refused(
        exchange(dial(member("a"), "b"), accept(member("c"))),
        "acceptor",
        Refusal.OTHER_MEMBER,
        "the address of 'b' leads to 'c'; check the addresses",
        "'b' refused us: the address of 'b' leads to 'c'; check the addresses",
    )


def test_a_client_that_means_another_member_is_refused() -> None:
    outcome = exchange(dial(client(), "b"), accept(member("c")))
    check_refused(outcome, "acceptor", Refusal.OTHER_MEMBER, "leads to 'c'", "leads to 'c'")


def test_a_member_that_does_not_say_whom_it_means_is_refused() -> None:
    hello = Hello.unpack(dial(member("a")).data_to_send()[LENGTH_BYTES:])
    acceptor = accept(member("b"))
    assert "leads to 'b'" in refused_by(acceptor, frame(evolve(hello, recipient="").pack()))


def test_the_dialler_checks_who_answers() -> None:
    hello = Hello.unpack(dial(member("a")).data_to_send()[LENGTH_BYTES:])
    forged = evolve(hello, sender="c", recipient="a", nonce=bytes(32))
    assert "leads to 'c'" in refused_by(dial(member("a"), "b"), frame(forged.pack()))


def test_a_node_that_dials_itself_is_refused() -> None:
    check_refused(
        exchange(dial(member("a"), "b"), accept(member("a"))),
        "acceptor",
        Refusal.ITSELF,
        "the address of 'b' leads back to the same node; check [[ring.members]]",
        "refused us: the address of 'b' leads back to the same node",
    )


def test_another_process_of_the_same_name_is_refused() -> None:
    check_refused(
        exchange(dial(member("a"), "b"), accept(member("a", incarnation=5))),
        "acceptor",
        Refusal.NAME_IN_USE,
        "another live process is named 'a'; give every process its own name",
        "refused us: another live process is named 'a'",
    )


def test_a_client_with_the_name_or_digest_of_a_member_is_refused() -> None:
    hello = Hello.unpack(dial(client(), None).data_to_send()[LENGTH_BYTES:])
    for forged in (evolve(hello, sender="a"), evolve(hello, ring_digest=RING.digest)):
        acceptor = accept(member("b"))
        assert "a client with a member's hello" in refused_by(acceptor, frame(forged.pack()))


# --- Our own mistakes ---


def test_an_identity_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="no member 'z' in the ring a, b, c"):
        member("z")
    with pytest.raises(ConfigError, match=r"ring\.name '.*' cannot be sent; use 1 to 64"):
        member("a", ring=evolve(RING, name="caf\xe9"))
    with pytest.raises(ConfigError, match=r"ring\.name"):
        member("a", ring=evolve(RING, name=""))
    with pytest.raises(ConfigError, match=r"ring\.name"):
        client(ring_name="r" * 65)
    with pytest.raises(ConfigError, match="64 bits"):
        member("a", incarnation=2**64)
    with pytest.raises(ConfigError, match="digest has 32 bytes"):
        evolve(member("a"), ring_digest=b"")
    with pytest.raises(ConfigError, match="member name"):
        evolve(member("a"), name="A")


def test_a_side_that_cannot_be_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match="a client only dials"):
        accept(client())
    for peer in (None, "a", "z"):
        with pytest.raises(LocalProtocolError, match="a member dials another member"):
            dial(member("a"), peer)
    with pytest.raises(LocalProtocolError, match="64 bits"):
        Connection(member("b"), dialler=False, clock_ms=-1, random=Random(1))


def test_the_nonce_comes_from_the_given_randomness_alone() -> None:
    assert dial(member("a"), seed=1).data_to_send() == dial(member("a"), seed=1).data_to_send()
    assert dial(member("a"), seed=1).data_to_send() != dial(member("a"), seed=2).data_to_send()


def test_an_authenticated_connection_is_only_made_by_two_good_ends() -> None:
    dialler, acceptor = connected()
    assert (dialler.state, acceptor.state) == (State.OPEN, State.OPEN)
    assert Identity.for_client(1).ring_digest == NO_DIGEST
