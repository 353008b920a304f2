"""Hostile peers at a running node: nothing changes, nobody stops, one clear log line each."""

import random
import resource
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
from attrs import evolve
from local_ring import SECRETS, free_ports

from node import Node, NodeConfig, SecurityConfig, open_client, open_node
from node.link import shake_hands
from node.sections import NodeSection
from node.session import Session
from node.transport import SocketTransport, Stream
from ring.errors import RemoteProtocolError
from ring.identity import SessionId
from ring.messages import Changes, Find
from ring.placement import Member, Ring
from wire import Connection, Identity, codec
from wire.framing import frame

HANDSHAKE_S = 0.5


class Target:
    """Node b of a ring of two whose other member, a, the tests play."""

    def __init__(self, node: Node, ring: Ring, session: Session) -> None:
        self.node = node
        self.ring = ring
        self.session = session
        self.address = node.addresses[0]

    def identity(self, name: str = "a", secrets: tuple[bytes, ...] = SECRETS) -> Identity:
        return Identity.for_member(self.ring, name, random.getrandbits(64), secrets)

    def connection(self, identity: Identity) -> Connection:
        return Connection(
            identity, dialler=True, peer="b", clock_ms=1, random=random.SystemRandom()
        )

    async def dial(self) -> Stream:
        return await SocketTransport().dial(self.address)

    async def refusal_of(self, identity: Identity) -> str:
        """Return what the node tells who dials as ``identity``."""
        stream = await self.dial()
        with pytest.raises(RemoteProtocolError) as caught:
            await shake_hands(stream, self.connection(identity))
        await self.wait_closed(stream)
        return str(caught.value)

    async def wait_closed(self, stream: Stream) -> bytes:
        """Return what the node says until it hangs up."""
        said = b""
        with trio.fail_after(10 * HANDSHAKE_S):
            try:
                while data := await stream.receive_some(1 << 16):
                    said += data
            except OSError:
                pass
        await stream.aclose()
        return said

    async def check_unharmed(self) -> None:
        """The node still serves, over the network too, and what it holds has not changed."""
        found = await self.node.sessions.find(self.session.id)
        assert found is not None
        assert dict(found) == {"user": "u"}
        assert self.node.status().records == {"a": 0, "b": 1}
        async with open_client(self.address, secrets=SECRETS) as client:
            found = await client.sessions.find(self.session.id)
            assert found is not None
            assert dict(found) == {"user": "u"}


@asynccontextmanager
async def open_target() -> AsyncIterator[Target]:
    ports = free_ports(2)
    members = [Member(name, f"127.0.0.1:{port}") for name, port in zip("ab", ports, strict=True)]
    ring = Ring("besieged", tuple(members))
    config = NodeConfig(
        name="b",
        ring=ring,
        security=SecurityConfig(secrets=SECRETS),
        # The attackers are waited for in real time, so it is short.
        node=NodeSection(handshake=HANDSHAKE_S, join=HANDSHAKE_S),
    )
    async with open_node(config) as node:
        with trio.fail_after(10):
            await node.wait_ready()
        session = node.sessions.create()
        session["user"] = "u"
        await session.save(durability="local")
        yield Target(node, ring, session)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about strangers and broken-off links."""
    lines = [record.getMessage() for record in caplog.records]
    events = ("connection_refused", "link_broken_off", "accept_failed")
    return [line for line in lines if line.startswith(events)]


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("garbage", bytes(random.Random(1).randbytes(100_000))),
        ("zeros", bytes(10_000)),
        ("HTTP", b"GET /admin HTTP/1.1\r\nHost: ring\r\nUser-Agent: scanner\r\n\r\n"),
        ("TLS", bytes.fromhex("16030100f8010000f40303") + b"x" * 240),
        ("a frame that would be huge", b"\xff\xff\xff\xff"),
        ("a message before authentication", frame(b"\x92\x01\x02")),
    ],
)
async def test_who_speaks_another_language_is_refused(
    name: str, sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_target() as target:
        stream = await target.dial()
        await stream.send_all(sent)
        await target.wait_closed(stream)
        (line,) = refusals(caplog)
        assert "remote=127.0.0.1:" in line
        await target.check_unharmed()


async def test_a_wrong_secret_is_refused_by_name(caplog: pytest.LogCaptureFixture) -> None:
    async with open_target() as target:
        for identity in (
            target.identity(secrets=(b"guessed",)),
            target.identity(secrets=()),
            Identity.for_client(1, (b"guessed",)),
        ):
            assert "secret" in await target.refusal_of(identity)
        assert all("secret" in line for line in refusals(caplog))
        assert 1 <= len(refusals(caplog)) <= 2, "the same reason again is not another line"
        await target.check_unharmed()


async def test_another_rings_configuration_is_refused_by_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_target() as target:
        other = evolve(target.ring, copies=1)
        identity = Identity.for_member(other, "a", 1, SECRETS)
        assert "configur" in await target.refusal_of(identity)
        stranger = Identity.for_member(evolve(target.ring, name="other"), "a", 1, SECRETS)
        assert "besieged" in await target.refusal_of(stranger)
        assert len(refusals(caplog)) == 2
        await target.check_unharmed()


@pytest.mark.parametrize("sent", [b"", b"\x00", b"\x00\x00\x00\x40SRNG\x01\x00\x01"])
async def test_half_a_frame_and_silence_is_sent_away_in_time(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_target() as target:
        stream = await target.dial()
        if sent:
            await stream.send_all(sent)
        began = trio.current_time()
        await target.wait_closed(stream)
        assert trio.current_time() - began < 3 * HANDSHAKE_S
        (line,) = refusals(caplog)
        assert "no handshake within" in line
        await target.check_unharmed()


async def test_a_replayed_conversation_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with open_target() as target:
        recorded: list[bytes] = []

        class Recorder:
            remote = "recorder"
            proved_names: frozenset[str] | None = None

            def __init__(self, stream: Stream) -> None:
                self.receive_some = stream.receive_some
                self.aclose = stream.aclose
                self._stream = stream

            async def send_all(self, data: bytes) -> None:
                recorded.append(data)
                await self._stream.send_all(data)

        stream = Recorder(await target.dial())
        await shake_hands(stream, target.connection(target.identity()))
        await stream.aclose()
        replay = await target.dial()
        for sent in recorded:
            await replay.send_all(sent)
        said = await target.wait_closed(replay)
        assert said
        assert [line for line in refusals(caplog) if "the secrets differ" in line]
        await target.check_unharmed()


async def test_what_a_node_says_sent_back_to_it_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_target() as target:
        # With the hello of a member whose secret is not known, the node's own proof is echoed.
        stream = await target.dial()
        hello = target.connection(target.identity(secrets=(b"guessed",))).data_to_send()
        await stream.send_all(hello)
        try:
            while data := await stream.receive_some(1 << 16):
                await stream.send_all(data)
        except OSError:
            pass
        await stream.aclose()
        assert len(refusals(caplog)) == 1
        await target.check_unharmed()


async def test_a_member_that_sends_garbage_after_it_was_let_in_loses_its_link(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with open_target() as target:
        stream = await target.dial()
        await shake_hands(stream, target.connection(target.identity()))
        await stream.send_all(frame(b"\xc1 no message"))
        await target.wait_closed(stream)
        (line,) = refusals(caplog)
        assert line.startswith("link_broken_off")
        await target.check_unharmed()


async def test_a_record_that_is_none_is_not_merged(caplog: pytest.LogCaptureFixture) -> None:
    async with open_target() as target:
        stream = await target.dial()
        connection = target.connection(target.identity())
        await shake_hands(stream, connection)
        session_id = SessionId(target.session.id.encode())
        await stream.send_all(connection.send(Changes([session_id, 1, b"no record"])))
        await target.wait_closed(stream)
        assert len(refusals(caplog)) == 1
        await target.check_unharmed()


async def test_a_client_may_not_speak_as_a_member(caplog: pytest.LogCaptureFixture) -> None:
    async with open_target() as target:
        stream = await target.dial()
        connection = target.connection(Identity.for_client(1, SECRETS))
        await shake_hands(stream, connection)
        session_id = SessionId(target.session.id.encode())
        forwarded = Find(1, session_id, touch=True, forwarded=True)
        await stream.send_all(frame(codec.encode(forwarded)))
        await target.wait_closed(stream)
        (line,) = refusals(caplog)
        assert "a client forwards nothing" in line
        await target.check_unharmed()


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    """Allow this process 3,000 open files, or skip the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 3000:
        pytest.skip(f"this system allows {hard} open files, and the test needs 3,000")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 3000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_thousand_idle_connections_keep_nobody_out(
    many_descriptors: None, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_target() as target:
        idle = [await target.dial() for _ in range(1000)]
        await target.check_unharmed()
        for stream in idle:
            await target.wait_closed(stream)
        await target.check_unharmed()
        assert 1 <= len(refusals(caplog)) <= 4
