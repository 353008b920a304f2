"""What an application does with sessions in Redis, timed: redis-py with hiredis, in a process.

Rules:
- A session is one value that expires, as the frameworks' Redis stores keep it; for memory and for
  recovery a hash as well.
- A write that waits for the replica goes out with its WAIT in one round trip, on one connection: a
  WAIT on another one would wait for nothing.
- An acknowledged write that the replica did not acknowledge is no result: the run ends.
"""

import asyncio  # noqa: TID251 - the peer's own loop, which is no part of the project
import sys
import time
from itertools import cycle
from statistics import median
from typing import Any, Final

import redis
import redis.asyncio

from benchmarks.answering import answer, answer_all
from benchmarks.payload import MAX_IDLE_S, attributes, packed, unpacked

_WAIT_MS: Final = 5000
_PIPELINE: Final = 100
_KEPT: Final = 1000


class RedisClient:
    """A client of one server."""

    def __init__(self) -> None:
        self._port = 0
        self._client: Any = None
        self._keys: list[str] = []

    def connect(self, port: int) -> None:
        """Talk to the server at this port from now on."""
        if port != self._port:
            self._client, self._port = redis.Redis(host="127.0.0.1", port=port), port
        self._client.ping()

    def fill(self, port: int, count: int, session_bytes: int, kind: str) -> float:
        """Replace all sessions of the server by so many "blobs" or "hashes"; return seconds."""
        self.connect(port)
        self._client.flushall()
        self._keys = [f"session:{number}" for number in range(min(count, _KEPT))]
        began = time.monotonic()
        for start in range(0, count, _PIPELINE):
            with self._client.pipeline(transaction=False) as pipeline:
                for number in range(start, min(count, start + _PIPELINE)):
                    key, content = f"session:{number}", attributes(session_bytes)
                    if kind == "hashes":
                        pipeline.hset(key, mapping=content)
                        pipeline.expire(key, MAX_IDLE_S)
                    else:
                        pipeline.set(key, packed(content), ex=MAX_IDLE_S)
                pipeline.execute()
        return time.monotonic() - began

    def read(self, seconds: float) -> float:
        """Return the median time of reading and unpacking a session, in microseconds."""
        times: list[int] = []
        keys = cycle(self._keys)
        until = time.monotonic() + seconds
        for key in keys:
            began = time.perf_counter_ns()
            session = unpacked(self._client.get(key))
            times.append(time.perf_counter_ns() - began)
            assert session
            if time.monotonic() > until:
                break
        return median(times) / 1e3

    def latency(self, session_bytes: int, seconds: float, wait: bool) -> float:
        """Return the median time of a write by one writer, in microseconds."""
        times: list[int] = []
        session, key = attributes(session_bytes), self._keys[0]
        contents = cycle([attributes(session_bytes) for _ in range(64)])
        until = time.monotonic() + seconds
        for content in contents:
            began = time.perf_counter_ns()
            session.update(content)
            if wait:
                with self._client.pipeline(transaction=False) as pipeline:
                    pipeline.set(key, packed(session), ex=MAX_IDLE_S)
                    pipeline.wait(1, _WAIT_MS)
                    _, replicas = pipeline.execute()
                assert replicas == 1, "a write was not acknowledged"
            else:
                self._client.set(key, packed(session), ex=MAX_IDLE_S)
            times.append(time.perf_counter_ns() - began)
            if time.monotonic() > until:
                break
        return median(times) / 1e3

    def pipelined(self, session_bytes: int, seconds: float, wait: bool) -> float:
        """Return how many writes in pipelines of 100 are made in a second."""
        contents = cycle([attributes(session_bytes) for _ in range(64)])
        keys = cycle(self._keys)
        done = 0
        began = time.monotonic()
        while time.monotonic() < began + seconds or not done:
            with self._client.pipeline(transaction=False) as pipeline:
                for _ in range(_PIPELINE):
                    pipeline.set(next(keys), packed(next(contents)), ex=MAX_IDLE_S)
                if wait:
                    pipeline.wait(1, _WAIT_MS)
                *_, last = pipeline.execute()
            assert last == 1, "writes were not acknowledged"
            done += _PIPELINE
        return done / (time.monotonic() - began)

    def tasks(self, writers: int, session_bytes: int, seconds: float) -> float:
        """Return how many acknowledged writes so many tasks of one loop make in a second."""
        return asyncio.run(self._tasks(writers, session_bytes, seconds))

    async def _tasks(self, writers: int, session_bytes: int, seconds: float) -> float:
        client: Any = redis.asyncio.Redis(host="127.0.0.1", port=self._port)
        contents = cycle([attributes(session_bytes) for _ in range(64)])
        done = 0

        async def write(key: str) -> None:
            async with client.pipeline(transaction=False) as pipeline:
                pipeline.set(key, packed(next(contents)), ex=MAX_IDLE_S)
                pipeline.wait(1, _WAIT_MS)
                _, replicas = await pipeline.execute()
            assert replicas == 1, "a write was not acknowledged"

        keys = [f"session:{number}" for number in range(writers)]
        await asyncio.gather(*map(write, keys))  # Connects, which is not what is measured.
        began = time.monotonic()

        async def write_on(key: str) -> None:
            nonlocal done
            while time.monotonic() < began + seconds or not done:
                await write(key)
                done += 1

        await asyncio.gather(*map(write_on, keys))
        rate = done / (time.monotonic() - began)
        await client.aclose()
        return rate

    def info(self, port: int) -> dict[str, Any]:
        """Return what a server says of itself."""
        self.connect(port)
        content = self._client.info()
        content["sessions"] = self._client.dbsize()
        return dict(content)

    def follow(self, port: int, primary: int) -> float:
        """Have an empty server follow another one; return the seconds until it has everything."""
        count = self.info(primary)["sessions"]
        self.connect(port)
        began = time.monotonic()
        self._client.replicaof("127.0.0.1", primary)
        while True:
            told = self._client.info("replication")
            if told["master_link_status"] == "up" and self._client.dbsize() >= count:
                return time.monotonic() - began
            time.sleep(0.002)


def main() -> None:
    """Answer questions until there are no more."""
    client = RedisClient()
    versions = {"redis-py": redis.__version__}
    try:
        import hiredis

        versions["hiredis"] = hiredis.__version__
    except ImportError:
        sys.exit("redis-py is there without hiredis, which makes it several times slower")
    answer(versions)
    names = ("connect", "fill", "read", "latency", "pipelined", "tasks", "info", "follow")
    answer_all({name: getattr(client, name) for name in names})


if __name__ == "__main__":
    main()
