"""A member of a ring in a process of its own: a node, embedded as an application has it.

``python -m benchmarks.member OPTIONS`` is started by ``benchmarks.rings``, not by hand. It says
when everything is imported; told to go on, it starts its node, and says when that is ready; then it
answers questions.
"""

import json
import os
import sys
from typing import Any

import trio

from benchmarks.answering import Tasks, answer, answer_all_in_loop
from benchmarks.counted import CountedTransport
from benchmarks.lag import Lag
from benchmarks.node_reads import Reads
from benchmarks.node_writes import Writes
from node import Node, NodeConfig, open_node


async def run(options: dict[str, Any]) -> None:
    """Be a member until there are no more questions."""
    config = NodeConfig.from_tables(options["tables"], options["name"], environ={})
    transport = CountedTransport() if options["counted"] else None
    answer("prepared")
    os.read(sys.stdin.fileno(), 65536)
    async with trio.open_nursery() as nursery:
        lag = Lag()
        nursery.start_soon(lag.run)
        started = trio.current_time()
        async with open_node(config, transport=transport) as node:
            await node.wait_ready()
            answer({"ready_s": trio.current_time() - started, **lag.stop()})
            await answer_all_in_loop(_tasks(node, transport, nursery))


def _tasks(node: Node, transport: CountedTransport | None, nursery: trio.Nursery) -> Tasks:
    writes, lag = Writes(node), Lag()
    reads = Reads(node, writes.ids)

    def watch_lag() -> None:
        nonlocal lag
        lag = Lag()
        nursery.start_soon(lag.run)

    def stop_lag() -> dict[str, float]:
        return lag.stop()

    def crossed() -> dict[str, int]:
        assert transport is not None
        return {"sent": transport.counts.sent, "received": transport.counts.received}

    def status() -> dict[str, Any]:
        seen = node.status()
        return {"members": dict(seen.members), "records": dict(seen.records)}

    return {
        "status": status,
        "ids": lambda: writes.ids,
        "create": writes.create,
        "latency": writes.latency,
        "rate": writes.rate,
        "stream": writes.stream,
        "write": writes.write,
        "read": reads.latency,
        "read_many": reads.many,
        "values": reads.values,
        "await_taken_over": reads.await_taken_over,
        "watch_lag": watch_lag,
        "lag": stop_lag,
        "crossed": crossed,
    }


if __name__ == "__main__":
    trio.run(run, json.loads(sys.argv[1]))
