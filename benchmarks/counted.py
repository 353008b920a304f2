"""A transport that counts the bytes which cross it, as a user's own transport could."""

from attrs import define

from node.transport import Listener, SocketTransport, Stream


@define
class Counts:
    """Bytes of all connections of a node, handshakes and heartbeats included."""

    sent: int = 0
    received: int = 0


class CountedTransport(SocketTransport):
    """Sockets whose bytes are counted."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    async def dial(self, address: str) -> Stream:
        return _CountedStream(await super().dial(address), self.counts)

    async def listen(self, address: str) -> tuple[Listener, ...]:
        listeners = await super().listen(address)
        return tuple(_CountedListener(each, self.counts) for each in listeners)


class _CountedListener:
    def __init__(self, listener: Listener, counts: Counts) -> None:
        self._listener = listener
        self._counts = counts
        self.address = listener.address

    async def accept(self) -> Stream:
        return _CountedStream(await self._listener.accept(), self._counts)

    async def aclose(self) -> None:
        await self._listener.aclose()


class _CountedStream:
    def __init__(self, stream: Stream, counts: Counts) -> None:
        self._stream = stream
        self._counts = counts
        self.remote = stream.remote
        self.proved_names = stream.proved_names

    async def receive_some(self, max_bytes: int) -> bytes:
        data = await self._stream.receive_some(max_bytes)
        self._counts.received += len(data)
        return data

    async def send_all(self, data: bytes) -> None:
        await self._stream.send_all(data)
        self._counts.sent += len(data)

    async def aclose(self) -> None:
        await self._stream.aclose()
