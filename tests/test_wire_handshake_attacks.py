"""Attacks on the handshake: whoever does not hold the secret gets nowhere."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from wire_ends import (
    RING,
    SIDES,
    accept,
    client,
    conversation,
    dial,
    exchange,
    feed,
    member,
    refused_by,
)

from ring.errors import RemoteProtocolError
from wire import Connection, Role, State
from wire.framing import LENGTH_BYTES, frame
from wire.hello import Hello, pack_proof

ENDS: dict[str, Callable[[], Connection]] = {
    "dialler": lambda: dial(member("a")),
    "acceptor": lambda: accept(member("b")),
}
"""New ends that have received nothing yet, by side."""


@given(st.sampled_from(SIDES), st.integers(0, 10_000), st.integers(0, 7), st.booleans())
def test_no_bit_of_the_handshake_can_be_changed_on_the_way(
    victim: str, position: int, bit: int, of_client: bool
) -> None:
    """Versions, roles, names, ring, nonces, proofs, the welcome: all of it is bound or checked."""
    sender = SIDES[1 - SIDES.index(victim)]
    sent = 0

    def tamper(who: str, data: bytes) -> bytes:
        nonlocal sent
        if who != sender:
            return data
        changed, at = bytearray(data), position - sent
        if 0 <= at < len(data):
            changed[at] ^= 1 << bit
        sent += len(data)
        return bytes(changed)

    dialler = dial(client(ring_name="shop") if of_client else member("a"))
    acceptor = accept(member("b"))
    outcome = exchange(dialler, acceptor, tamper)
    end = acceptor if victim == "acceptor" else dialler
    assert end.authenticated is (position >= sent)
    assert bool(outcome.events[victim]) is end.authenticated


def test_a_replayed_dialler_is_refused() -> None:
    """The acceptor's nonce is new in every connection, so an old proof fits nothing."""
    hello, proof = conversation(dial(member("a")), accept(member("b")))["dialler"]
    again = accept(member("b"), seed=3)
    feed(again, hello)
    assert "the secrets differ" in refused_by(again, proof)


def test_a_replayed_acceptor_is_refused() -> None:
    hello, proof, welcome = conversation(dial(member("a")), accept(member("b")))["acceptor"]
    again = dial(member("a"), seed=3)
    feed(again, hello)
    assert "the secrets differ" in refused_by(again, proof + welcome)


def test_a_hello_sent_back_to_its_sender_is_refused() -> None:
    dialler = dial(member("a"))
    assert "our own hello came back" in refused_by(dialler, dialler.data_to_send())


def test_an_acceptors_hello_and_proof_sent_back_to_it_are_refused() -> None:
    acceptor = accept(member("b"))
    feed(acceptor, dial(member("a")).data_to_send())
    answer = acceptor.data_to_send()
    hello, proof = answer[:-41], answer[-41:]
    assert "a hello came where a proof was due" in refused_by(acceptor, hello)
    acceptor = accept(member("b"))
    feed(acceptor, dial(member("a")).data_to_send())
    assert acceptor.data_to_send() == answer
    assert "the secrets differ" in refused_by(acceptor, proof)


def test_a_diallers_proof_is_no_acceptors_proof() -> None:
    """Without the direction in the proof, a node could be made to prove both sides itself."""
    dialler, acceptor = dial(member("a")), accept(member("b"))
    feed(acceptor, dialler.data_to_send())
    feed(dialler, acceptor.data_to_send())
    proof = dialler.data_to_send()
    again = dial(member("a"))
    again.data_to_send()
    acceptors = accept(member("b"))
    feed(acceptors, dial(member("a")).data_to_send())
    feed(again, acceptors.data_to_send()[:-41])
    assert "the secrets differ" in refused_by(again, proof)


def test_a_second_connection_is_no_oracle_for_the_proof_of_the_first() -> None:
    """A stranger that ``a`` dials as ``b`` dials ``a`` itself, as ``b``, to have it prove."""
    victim = dial(member("a"))
    hello = Hello.unpack(victim.data_to_send()[LENGTH_BYTES:])
    stranger = evolve(hello, sender="b", recipient="a", incarnation=5)
    oracle = accept(member("a"), seed=9)
    feed(oracle, frame(stranger.pack()))
    proof = oracle.data_to_send()[-41:]
    feed(victim, frame(evolve(stranger, nonce=bytes(32)).pack()))
    assert "the secrets differ" in refused_by(victim, proof)


def test_a_clients_proof_makes_nobody_a_member() -> None:
    """The role is bound: the same nonces and secret do not do for another hello."""
    end, acceptor = dial(client()), accept(member("b"))
    hello = Hello.unpack(end.data_to_send()[LENGTH_BYTES:])
    swapped = evolve(hello, role=Role.MEMBER, sender="a", ring_name="shop", ring_digest=RING.digest)
    feed(acceptor, frame(swapped.pack()))
    answered = Hello.unpack(acceptor.data_to_send()[LENGTH_BYTES:-41])
    honest = accept(member("b"))
    feed(honest, frame(hello.pack()))
    assert Hello.unpack(honest.data_to_send()[LENGTH_BYTES:-41]) == evolve(answered, recipient="")
    proof = conversation(dial(client()), accept(member("b")))["dialler"][1]
    assert "the secrets differ" in refused_by(acceptor, proof)


def test_a_member_cannot_pass_for_an_acceptor_by_a_clients_hello() -> None:
    dialler = dial(member("a"))
    other = dial(client(ring_name="shop"), "a", seed=2).data_to_send()
    assert "not a member's hello" in refused_by(dialler, other)


def test_an_answer_meant_for_another_dialler_is_refused() -> None:
    acceptor = accept(member("b"))
    feed(acceptor, dial(member("c"), seed=5).data_to_send())
    assert "meant for another dialler" in refused_by(dial(member("a")), acceptor.data_to_send())


@pytest.mark.parametrize("length", [0, 1, 16, 31, 33, 64])
def test_a_proof_of_another_length_is_refused(length: int) -> None:
    """Above all a truncated one, which would be easier to guess."""
    hello, proof = conversation(dial(member("a")), accept(member("b")))["dialler"]
    mac = (proof[-32:] * 2)[:length]
    acceptor = accept(member("b"))
    feed(acceptor, hello)
    assert "a proof has 32 bytes" in refused_by(acceptor, frame(pack_proof(mac)))


@pytest.mark.parametrize("payload", [b"\x92\x41\x01", b"\x91\x01", b"\xc0", b"x", b"SRN"])
def test_a_message_before_authentication_is_refused_at_every_step(payload: bytes) -> None:
    frames = conversation(dial(member("a")), accept(member("b")))
    for side, make in ENDS.items():
        for step in range(len(frames[SIDES[1 - SIDES.index(side)]])):
            end = make()
            for good in frames[SIDES[1 - SIDES.index(side)]][:step]:
                feed(end, good)
            assert "a message before authentication" in refused_by(end, frame(payload))


def test_any_frame_out_of_turn_is_refused_at_every_step() -> None:
    frames = conversation(dial(member("a")), accept(member("b")))
    every = [*frames["dialler"], *frames["acceptor"]]
    for side, make in ENDS.items():
        expected = frames[SIDES[1 - SIDES.index(side)]]
        for step, due in enumerate(expected):
            for out_of_turn in every:
                if out_of_turn[8] == due[8]:
                    continue
                end = make()
                for good in expected[:step]:
                    feed(end, good)
                assert "came where a" in refused_by(end, out_of_turn)


@pytest.mark.parametrize("step", range(3))
def test_bytes_behind_the_end_of_a_handshake_frame_are_refused(step: int) -> None:
    expected = conversation(dial(member("a")), accept(member("b")))["acceptor"]
    end = dial(member("a"))
    for good in expected[:step]:
        feed(end, good)
    said = refused_by(end, frame(expected[step][LENGTH_BYTES:] + b"\0"))
    assert ("bytes after its end" in said) or ("a proof has 32 bytes" in said)


@given(st.binary(max_size=300))
def test_random_bytes_authenticate_nobody(data: bytes) -> None:
    for end in (dial(member("a")), accept(member("b"))):
        try:
            feed(end, data)
        except RemoteProtocolError:
            assert end.state is State.ERROR
        assert not end.authenticated
