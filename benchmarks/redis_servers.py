"""Redis as the peer: real servers on free ports, started and ended by the benchmark.

Rules:
- Nothing is written to disk, as nothing is by the nodes that they are compared with.
- A replica gets everything at once, without the pause of 5 s in which a primary waits for more
  replicas, and reads it straight from the connection: the best that Redis has for this.
"""

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from attrs import frozen

from benchmarks.processes import Worker

HOW_TO_GET_SERVER: Final = "apt-get install redis-server"
HOW_TO_GET_CLIENT: Final = "./dev setup (or pip install 'redis[hiredis]')"

_OPTIONS: Final = {
    "--bind": "127.0.0.1",
    "--save": "",
    "--appendonly": "no",
    "--repl-diskless-sync": "yes",
    "--repl-diskless-sync-delay": "0",
    "--repl-diskless-load": "on-empty-db",
    "--client-output-buffer-limit": "replica 0 0 0",
}
_START_TIMEOUT_S: Final = 30.0


def why_missing() -> str | None:
    """Return what of Redis is not there, and how to get it; None: everything is."""
    if shutil.which("redis-server") is None:
        return f"there is no redis-server on PATH; to get it: {HOW_TO_GET_SERVER}"
    try:
        import hiredis  # noqa: F401
        import redis  # noqa: F401
    except ImportError:
        return f"redis-py with hiredis is not installed; to get it: {HOW_TO_GET_CLIENT}"
    return None


class RedisServer:
    """One server, empty at first."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._directory = tempfile.TemporaryDirectory()
        options = [each for pair in _OPTIONS.items() for each in pair]
        self._process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--dir", self._directory.name, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        self._wait_listening()

    @property
    def id(self) -> int:
        """The process's number."""
        return self._process.pid

    def _wait_listening(self) -> None:
        deadline = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self._directory.cleanup()


@frozen
class RedisPeer:
    """A client, a server with a replica, and a server without one."""

    client: Worker
    versions: dict[str, str]
    primary: RedisServer
    replica: RedisServer
    alone: RedisServer

    @property
    def servers(self) -> list[int]:
        """The processes at the other end of the client's connections."""
        return [self.primary.id, self.replica.id, self.alone.id]

    @property
    def processes(self) -> list[int]:
        """All of them."""
        return [self.client.id, *self.servers]

    def ask(self, server: RedisServer, task: str, **arguments: object) -> Any:
        """Have the client do something with one of the servers."""
        self.client.ask("connect", port=server.port)
        return self.client.ask(task, **arguments)


@contextmanager
def redis_peer() -> Iterator[RedisPeer]:
    """Run Redis with one replica, and a client, as long as the block."""
    started: list[RedisServer] = []
    client = Worker("benchmarks.redis_client")
    try:
        versions = client.answer()
        for _ in range(3):
            started.append(RedisServer())  # noqa: PERF401 - those that were started are ended
        primary, replica, alone = started
        client.ask("follow", port=replica.port, primary=primary.port)
        versions["redis"] = client.ask("info", port=primary.port)["redis_version"]
        yield RedisPeer(client, versions, primary, replica, alone)
    finally:
        client.stop()
        for server in started:
            server.stop()
