"""Members and clients under TLS: who has the right certificate talks, and nobody else."""

import contextlib
import ssl
from pathlib import Path
from random import Random

import pytest
import trio
from attrs import evolve
from authority import LONG_AGO, Authority
from local_ring import SECRETS, LocalRing, wait_linked

from node import SecurityConfig, SessionUnavailableError, TlsFiles, open_client
from node.link import shake_hands
from node.sections import NodeSection
from node.tls import Tls, TlsError
from node.transport import SocketTransport
from wire import Connection, HandshakeError, Identity, Refusal


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "certificates")


async def why_not_let_in(address: str, tls: TlsFiles | None) -> str:
    with pytest.raises(SessionUnavailableError) as caught:
        async with open_client(address, tls=tls, request_timeout_s=0.5):
            pass
    return str(caught.value)


async def wait_logged(caplog: pytest.LogCaptureFixture, text: str) -> None:
    with trio.fail_after(10):
        while text not in caplog.text:  # noqa: ASYNC110 - bounded polling
            await trio.sleep(0.02)


def connection(ring: LocalRing, name: str, dialled: str | None) -> Connection:
    return Connection(
        Identity.for_member(ring.ring, name, 7),
        dialler=dialled is not None,
        peer=dialled,
        clock_ms=0,
        random=Random(name),
    )


async def test_a_ring_with_certificates_alone_keeps_sessions_and_lets_its_clients_in(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority
) -> None:
    ring = LocalRing(tmp_path, nursery, security=authority.security)
    for name in ring.names:
        authority.sign(name)
    await ring.start()
    async with open_client(*ring.addresses, tls=authority.sign("web")) as client:
        session = client.sessions.create()
        session["photo"] = bytes(200_000)
        assert len((await session.save()).holders) == 2
        await ring.kill(session.id.partition(".")[0])
        copy = await client.sessions.find(session.id)
        assert copy is not None
        assert copy["photo"] == bytes(200_000)
    nursery.cancel_scope.cancel()


async def test_a_certificate_does_not_replace_the_secret_where_there_is_one(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority
) -> None:
    authority.sign("a")
    ring = LocalRing(tmp_path, nursery, names=("a",))
    ring.security = evolve(authority.security, secrets=SECRETS)
    await ring.start()
    assert "secret" in await why_not_let_in(ring.addresses[0], authority.sign("web"))
    nursery.cancel_scope.cancel()


async def test_the_authority_of_a_ring_is_replaced_while_it_serves(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Both are trusted everywhere, then all certificates are new, then the old one is dropped."""
    ring = LocalRing(tmp_path, nursery, names=("a", "b"), security=authority.security)
    for name in ring.names:
        authority.sign(name)
    await ring.start()
    session = ring["a"].sessions.create()
    await session.save()
    authority.replace()
    for step in ("trust both", "renew all", "trust the new one"):
        if step == "trust the new one":
            authority.drop_old()
        for name in ring.names:
            if step == "renew all":
                authority.sign(name)
            await ring.stop(name)
            await ring.start(name)
            await wait_linked(*(running.node for running in ring.running.values()))
    assert await ring["b"].sessions.find(session.id) is not None
    assert "TLS" not in caplog.text
    nursery.cancel_scope.cancel()


# --- who is not let in ----------------------------------------------------------------------


async def test_a_client_is_refused_for_the_reason_that_the_node_logs(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Of another authority, expired, or without TLS. The client is told that it was refused."""
    authority.sign("a")
    ring = LocalRing(tmp_path, nursery, names=("a",), security=authority.security)
    await ring.start()
    (address,) = ring.addresses
    other = evolve(Authority(tmp_path / "other").sign("web"), ca=authority.sign("x").ca)
    assert "it may not accept this side's certificate" in await why_not_let_in(address, other)
    await wait_logged(caplog, "TLS: unable to get local issuer certificate")
    expired = authority.sign("web", not_after=LONG_AGO)
    assert "it may not accept this side's certificate" in await why_not_let_in(address, expired)
    await wait_logged(caplog, "TLS: certificate has expired")
    assert "it speaks TLS alone; use TLS" in await why_not_let_in(address, None)
    await wait_logged(caplog, "TLS: the peer does not speak it")
    nursery.cancel_scope.cancel()


async def test_who_shows_no_certificate_is_refused_before_anything_is_read(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    authority.sign("a")
    ring = LocalRing(tmp_path, nursery, names=("a",), security=authority.security)
    await ring.start()
    context = ssl.create_default_context(cafile=authority.sign("x").ca)
    context.check_hostname = False
    host, port = ring.addresses[0].split(":")
    stream = await trio.open_ssl_over_tcp_stream(
        host, int(port), ssl_context=context, https_compatible=True
    )
    async with stream:
        with trio.fail_after(5), contextlib.suppress(trio.BrokenResourceError):
            await stream.send_all(b"hello")
            assert await stream.receive_some() == b""
    await wait_logged(caplog, "TLS: peer did not return a certificate")
    nursery.cancel_scope.cancel()


async def test_a_client_refuses_a_node_that_its_authority_does_not_know(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority
) -> None:
    """Another authority's, or none at all: a node without TLS."""
    authority.sign("a")
    ring = LocalRing(tmp_path, nursery, names=("a",), security=authority.security)
    await ring.start()
    other = Authority(tmp_path / "other").sign("web")
    why = await why_not_let_in(ring.addresses[0], other)
    assert "TLS: self-signed certificate in certificate chain" in why
    plain = LocalRing(tmp_path / "plain", nursery, names=("a",))
    await plain.start()
    why = await why_not_let_in(plain.addresses[0], other)
    assert "TLS: wrong version number" in why
    nursery.cancel_scope.cancel()


async def test_a_certificate_that_has_expired_since_its_node_started_is_refused(
    authority: Authority,
) -> None:
    """At the start the node itself would have refused it."""
    expired = Tls(authority.sign("b", not_after=LONG_AGO))
    (listener,) = await SocketTransport(expired).listen("127.0.0.1:0")
    stream = await SocketTransport(Tls(authority.sign("a"))).dial(listener.address)

    async def accept() -> None:
        accepted = await listener.accept()
        with pytest.raises(OSError, match="TLS"):
            await accepted.receive_some(100)
        await accepted.aclose()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(accept)
        with trio.fail_after(5), pytest.raises(TlsError, match="TLS: certificate has expired"):
            await stream.send_all(b"hello")
        await stream.aclose()
    await listener.aclose()


async def test_a_member_of_another_authority_is_kept_out_and_does_not_start_alone(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Like another secret. Were it taken for unreachable, it would serve what its disk has."""
    ring = LocalRing(tmp_path, nursery, names=("a", "b"), security=authority.security)
    ring.section = NodeSection(handshake=0.5, join=0.5)
    authority.sign("a")
    await ring.start("a")
    other = Authority(tmp_path / "other")
    other.sign("b")
    ring.security = other.security
    await ring._start("b")
    await wait_logged(caplog, "dial_failed peer=b")
    await wait_logged(caplog, "kept_out")
    assert not ring["b"].ready
    nursery.cancel_scope.cancel()


# --- whose certificate it is ----------------------------------------------------------------


async def test_who_says_it_is_a_member_has_to_have_its_certificate(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority
) -> None:
    """Else every client of the ring could speak as a member, and read and write all sessions."""
    ring = LocalRing(tmp_path, nursery, names=("a", "b"), security=authority.security)
    authority.sign("a")
    await ring._start("a")
    for name, lets_in in (("web", False), ("c", False), ("b", True)):
        stream = await SocketTransport(Tls(authority.sign(name))).dial(ring.addresses[0])
        with trio.fail_after(5):
            if lets_in:
                event = await shake_hands(stream, connection(ring, "b", "a"))
                assert event.peer == "a"
            else:
                with pytest.raises(HandshakeError, match="not made out to that name") as caught:
                    await shake_hands(stream, connection(ring, "b", "a"))
                assert caught.value.refusal is Refusal.CERTIFICATE
                assert caught.value.by_peer
        await stream.aclose()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("dialler", ["a member", "a client"])
async def test_who_answers_as_a_member_has_to_have_its_certificate(
    dialler: str, tmp_path: Path, nursery: trio.Nursery, authority: Authority
) -> None:
    """Else whoever has a client's certificate, and the place of a node, could answer for it."""
    ring = LocalRing(tmp_path, nursery, names=("a", "b"))
    (listener,) = await SocketTransport(Tls(authority.sign("web"))).listen("127.0.0.1:0")

    async def answer_as_b() -> None:
        stream = await listener.accept()
        with pytest.raises((HandshakeError, OSError)):
            await shake_hands(stream, connection(ring, "b", None))
        await stream.aclose()

    nursery.start_soon(answer_as_b)
    stream = await SocketTransport(Tls(authority.sign("a"))).dial(listener.address)
    side = connection(ring, "a", "b")
    if dialler == "a client":
        side = Connection(Identity.for_client(7), dialler=True, clock_ms=0, random=Random(1))
    with trio.fail_after(5), pytest.raises(HandshakeError) as caught:
        await shake_hands(stream, side)
    assert caught.value.refusal is Refusal.CERTIFICATE
    await stream.aclose()
    await listener.aclose()
    nursery.cancel_scope.cancel()


async def test_a_member_without_tls_is_kept_out_and_does_not_start_alone(
    tmp_path: Path, nursery: trio.Nursery, authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    """Were it only hung up on, it would take the others for gone, and serve what its disk has."""
    ring = LocalRing(tmp_path, nursery, names=("a", "b"), security=authority.security)
    ring.section = NodeSection(handshake=0.5, join=0.5)
    authority.sign("a")
    await ring.start("a")
    ring.security = SecurityConfig(secrets=SECRETS)
    await ring._start("b")
    await wait_logged(caplog, "'a' refused us: it speaks TLS alone")
    await wait_logged(caplog, "kept_out")
    assert not ring["b"].ready
    nursery.cancel_scope.cancel()
