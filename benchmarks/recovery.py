"""How long a restarted, empty node needs until it has every session again, and is ready.

``python -m benchmarks.recovery [--sessions N]``: this process embeds member ``a``, loads it with
sessions of about 512 bytes, and runs member ``b`` as a process of its own, without stores. Then
``b`` is killed and started again. It prints the time from b's start of its node to ready, and
whether both hold equal records: they compare the digests of all buckets of all homes.
"""

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial

import trio

from node import Node, NodeConfig, open_node

ATTRIBUTES = 8
ATTRIBUTE_BYTES = 54
AT_ONCE = 64


def ring_tables(ports: Sequence[int]) -> dict[str, object]:
    """Return the configuration of a ring of two on these ports, without stores."""
    members = [
        {"name": name, "address": f"127.0.0.1:{port}"}
        for name, port in zip("ab", ports, strict=True)
    ]
    return {"ring": {"name": "recovery", "members": members}}


def contents(node: Node) -> str:
    """Return a hash of everything that a node holds."""
    table = node._driver.replica._core.table  # The digests that the protocol compares.
    digests = hashlib.sha256()
    for home in "ab":
        digests.update(table.buckets(home))
    return digests.hexdigest()


async def run_b(ports: Sequence[int]) -> None:
    """Be member b until killed; print one line when ready, and what is held for each line read."""
    started = trio.current_time()
    config = NodeConfig.from_tables(ring_tables(ports), "b", environ={})
    async with open_node(config) as node:
        await node.wait_ready()
        print(json.dumps({"ready_s": trio.current_time() - started}), flush=True)
        while await trio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True):
            print(json.dumps({"contents": contents(node), **node.status().records}), flush=True)


def start_b(ports: Sequence[int]) -> subprocess.Popen[str]:
    """Start member b as a process."""
    command = [sys.executable, "-m", "benchmarks.recovery", "--be-b", *map(str, ports)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


async def ask_b(process: subprocess.Popen[str], question: str = "") -> dict[str, object]:
    """Read b's next line, after asking for it if there is a question."""
    assert process.stdin is not None
    assert process.stdout is not None
    if question:
        process.stdin.write(question + "\n")
        process.stdin.flush()
    answer: dict[str, object] = json.loads(await trio.to_thread.run_sync(process.stdout.readline))
    return answer


async def create(node: Node, number: int) -> None:
    """Create ``number`` sessions at this node, many at a time."""

    async def some(count: int) -> None:
        for _ in range(count):
            session = node.sessions.create()
            for attribute in range(ATTRIBUTES):
                session[f"attribute-{attribute}"] = os.urandom(ATTRIBUTE_BYTES)
            await session.save(durability="local")

    async with trio.open_nursery() as nursery:
        for task in range(AT_ONCE):
            nursery.start_soon(some, number // AT_ONCE + (task < number % AT_ONCE))


async def measure(sessions: int, ports: Sequence[int]) -> None:
    """Load, kill, restart, compare; print what came of it."""
    config = NodeConfig.from_tables(ring_tables(ports), "a", environ={})
    b = start_b(ports)
    try:
        async with open_node(config) as node:
            await node.wait_ready()
            await ask_b(b)
            await create(node, sessions)
            b.send_signal(signal.SIGKILL)
            await trio.to_thread.run_sync(b.wait)
            b = start_b(ports)
            ready = await ask_b(b)
            theirs = await ask_b(b, "what do you hold?")
            equal = theirs["contents"] == contents(node)
            print(
                f"{sessions} sessions: ready {ready['ready_s']:.2f} s after its start, "
                f"holding {theirs['a']}, all equal: {equal}"
            )
            if not equal or theirs["a"] != sessions:
                sys.exit(1)
    finally:
        b.kill()
        b.wait()


def free_ports() -> list[int]:
    """Return two ports of this host that nobody listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in "ab"]
    ports: list[int] = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def main() -> None:
    """Run the measurement, or be its second process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sessions", type=int, default=100_000, metavar="N")
    parser.add_argument("--be-b", type=int, nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.be_b:
        trio.run(run_b, options.be_b)
    else:
        trio.run(partial(measure, options.sessions, free_ports()))


if __name__ == "__main__":
    main()
