"""The fixed forms of the handshake: what is malformed is refused, and a refusal says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_ends import (
    accept,
    client,
    dial,
    feed,
    member,
    refused_by,
)

from wire import HandshakeError, Refusal, Role
from wire.framing import frame
from wire.hello import WELCOME, Hello, Kind, pack_refusal

FIXED = 96


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"SRNG", "unknown kind"),
        (b"SRNG\x00", "unknown kind"),
        (b"SRNG\x05", "unknown kind"),
        (b"SRNG\x01\x00", "before its version"),
        (b"SRNG\x01\x00\x01", "ends too early"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 9), "ends too early"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8), "inside a text"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\x05abc", "inside a text"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + bytes(2), "inside a text"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + bytes(4), "bytes after its end"),
        (b"SRNG\x01\x00\x01\x00" + bytes(FIXED - 8) + bytes(3), "unknown role"),
        (b"SRNG\x01\x00\x01\x03" + bytes(FIXED - 8) + bytes(3), "unknown role"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\x01\xff\0\0", "unprintable"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\x01\n\0\0", "unprintable"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\x01A\0\0", "malformed member name"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\0\x02a-\0", "malformed member name"),
        (b"SRNG\x01\x00\x01\x01" + bytes(FIXED - 8) + b"\0\0\x41" + b"r" * 65, "overlong"),
        (b"SRNG\x04", "a refusal without a code"),
        (b"SRNG\x04\x01", "inside a text"),
        (b"SRNG\x04\x01\x01", "inside a text"),
        (b"SRNG\x04\x01\x00x", "overlong detail"),
        (b"SRNG\x04\x01\x41" + b"x" * 65, "overlong detail"),
        (b"SRNG\x04\x01\x01\x1b", "unprintable"),
    ],
)
def test_a_malformed_handshake_frame_is_refused(payload: bytes, why: str) -> None:
    acceptor = accept(member("b"))
    assert why in refused_by(acceptor, frame(payload))
    assert acceptor.data_to_send() == frame(pack_refusal(Refusal.MALFORMED, ""))


def test_another_protocol_is_answered_by_a_refusal_too() -> None:
    acceptor = accept(member("b"))
    assert "looks like HTTP" in refused_by(acceptor, b"GET / HTTP/1.1\r\nHost: b\r\n\r\n")
    assert acceptor.data_to_send() == frame(b"SRNG\x04\x01\x00")


@given(
    st.builds(
        Hello,
        st.sampled_from(Role),
        st.just("marker"),
        st.just("marker"),
        st.just("marker"),
        st.integers(0, 9),
        st.just(b"marker" + bytes(26)),
        st.integers(0, 9),
        st.integers(0, 9),
        st.binary(min_size=32, max_size=32),
    )
)
def test_a_refusal_repeats_nothing_of_what_the_peer_sent(hello: Hello) -> None:
    acceptor = accept(member("b"))
    refused_by(acceptor, frame(hello.pack()))
    sent = acceptor.data_to_send()
    assert b"marker" not in sent
    assert b"marker".hex().encode() not in sent


@pytest.mark.parametrize("refusal", Refusal)
def test_every_refusal_is_explained_to_the_one_refused(refusal: Refusal) -> None:
    dialler = dial(member("a"))
    with pytest.raises(HandshakeError, match=r"^'b' refused us: .{20}") as caught:
        feed(dialler, frame(pack_refusal(refusal, "x")))
    assert caught.value.refusal is refusal
    assert caught.value.by_peer
    dialler.data_to_send()
    assert dialler.data_to_send() == b""


def test_a_refusal_that_only_a_newer_version_knows_is_reported_with_its_code() -> None:
    dialler = dial(member("a"))
    with pytest.raises(HandshakeError, match="unknown code 200: too hot") as caught:
        feed(dialler, frame(b"SRNG\x04\xc8\x07too hot"))
    assert caught.value.refusal is None


def test_a_refusal_is_answered_by_nothing() -> None:
    """Else two nodes could refuse each other for ever."""
    for end in (dial(client(), None), accept(member("b"))):
        end.data_to_send()
        assert refused_by(end, frame(pack_refusal(Refusal.BUSY, ""))).startswith("the peer refused")
        assert end.data_to_send() == b""


def test_the_kinds_and_codes_are_what_the_protocol_says() -> None:
    assert [kind.value for kind in Kind] == [1, 2, 3, 4]
    assert [refusal.value for refusal in Refusal] == list(range(1, 13))
    assert [role.value for role in Role] == [1, 2]
    assert WELCOME == b"SRNG\x03"
