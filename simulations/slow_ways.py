"""Slow ways to all members of a network of hosts: a process at each host, while they are used."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from simulations.cuts import SLOW_PORT
from simulations.host_network import HostNetwork, within
from simulations.ring_place import Place


@asynccontextmanager
async def open_slow_ways(network: HostNetwork, place: Place, delay_s: float) -> AsyncIterator[None]:
    """Have a way to each member that takes ``delay_s`` in each direction; none after the block."""
    processes: list[trio.Process] = []
    try:
        for member in network.hosts.members:
            process = await trio.lowlevel.open_process(
                [
                    *within(network.prefix, member),
                    *(sys.executable, "-m", "simulations.slow_way"),
                    *(str(SLOW_PORT), network.address(member), str(delay_s)),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                process_group=place.process_group,
            )
            processes.append(process)
        for process in processes:
            assert process.stdout is not None
            said = await process.stdout.receive_some()
            assert said, "a slow way ended before it was ready, and has said why"
        yield
    finally:
        with trio.CancelScope(shield=True):
            for process in processes:
                process.kill()
                await process.wait()
                assert process.stdout is not None
                await process.stdout.aclose()
