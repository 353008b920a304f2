"""What proves a name in the handshake: a secret that both accept, and under TLS a certificate."""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from wire_ends import (
    OTHER_SECRET,
    RING,
    SECRET,
    SIDES,
    accept,
    check_refused,
    client,
    dial,
    exchange,
    member,
)

from ring.errors import ConfigError
from wire import Identity, Refusal


@given(
    st.lists(st.sampled_from([b"one", b"two", b"three"]), max_size=3, unique=True),
    st.lists(st.sampled_from([b"one", b"two", b"three"]), max_size=3, unique=True),
)
def test_each_side_must_accept_what_the_other_proves_with(
    of_a: list[bytes], of_b: list[bytes]
) -> None:
    """So a secret is replaced in three steps: accept the new one, prove with it, drop the old."""
    one = Identity.for_member(RING, "a", 1, tuple(of_a))
    other = Identity.for_member(RING, "b", 2, tuple(of_b))
    outcome = exchange(dial(one), accept(other))
    proves_a, proves_b = (of_a or [b""])[0], (of_b or [b""])[0]
    if proves_b not in (of_a or [b""]):
        check_refused(
            outcome, "dialler", Refusal.SECRET, "the secrets differ", "the secrets differ"
        )
    elif proves_a not in (of_b or [b""]):
        check_refused(outcome, "acceptor", Refusal.SECRET, "the secrets differ", "'b' refused us: ")
    else:
        assert not outcome.errors


def test_a_wrong_secret_is_refused_with_the_remedy_at_both_ends() -> None:
    outcome = exchange(dial(member("a")), accept(member("b", OTHER_SECRET)))
    remedy = "the secrets differ; give every node and client the same secret"
    check_refused(outcome, "dialler", Refusal.SECRET, remedy, f"'a' refused us: {remedy}")


def test_a_client_with_a_wrong_secret_is_refused() -> None:
    outcome = exchange(dial(client(OTHER_SECRET)), accept(member("b")))
    assert set(outcome.errors) == set(SIDES)


@pytest.mark.parametrize("secret", [b"", b"\0", bytes(32)])
def test_an_empty_secret_is_refused_since_it_would_equal_none(secret: bytes) -> None:
    with pytest.raises(ConfigError, match="empty or all zeros"):
        member("a", secret)


def test_a_secret_is_in_no_representation() -> None:
    assert SECRET.decode() not in repr(member("a"))


def test_another_version_needs_the_secret_all_the_same() -> None:
    newer = member("a", OTHER_SECRET, ring=evolve(RING, version=2))
    outcome = exchange(dial(newer), accept(member("b")))
    check_refused(outcome, "dialler", Refusal.SECRET, "the secrets differ", "the secrets differ")


@pytest.mark.parametrize("who", SIDES)
def test_a_certificate_of_another_name_is_refused_by_either_side(who: str) -> None:
    """Under TLS a name is proved by the certificate: the secret alone does not make a member."""
    ends = {"dialler": dial(member("a")), "acceptor": accept(member("b"))}
    theirs = "b" if who == "dialler" else "a"
    ends[who].note_certificate(frozenset({"c", "web"}))
    outcome = exchange(ends["dialler"], ends["acceptor"])
    text = f"the certificate of {theirs!r} is not made out to that name"
    check_refused(outcome, who, Refusal.CERTIFICATE, text, text)


def test_the_right_certificate_is_one_that_has_the_name_among_others() -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    dialler.note_certificate(frozenset({"b", "b.example"}))
    acceptor.note_certificate(frozenset({"a"}))
    exchange(dialler, acceptor)
    assert acceptor.authenticated
    assert dialler.authenticated


def test_any_certificate_makes_a_client_and_none_a_member() -> None:
    dialler, acceptor = dial(client(), None), accept(member("b"))
    acceptor.note_certificate(frozenset({"a"}))
    exchange(dialler, acceptor)
    assert acceptor.authenticated
    dialler, acceptor = dial(member("a")), accept(member("b"))
    acceptor.note_certificate(frozenset())
    exchange(dialler, acceptor)
    assert not acceptor.authenticated
