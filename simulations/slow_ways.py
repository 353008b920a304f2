"""Slow ways to all members of a network of hosts: a process at each host, while they are used."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import trio

from simulations.cuts import SLOW_PORT
from simulations.host_network import HostNetwork, NoNetworkError, within
from simulations.ring_place import Place


@asynccontextmanager
async def open_slow_ways(network: HostNetwork, place: Place, delay_s: float) -> AsyncIterator[None]:
    """Have a way to each member that takes ``delay_s`` in each direction; none after the block.

    Raises:
        NoNetworkError: in groups; a slow way ended by itself, before the block or within it.
    """
    async with trio.open_nursery() as ways:
        async with trio.open_nursery() as starting:
            for member in network.hosts.members:
                way = partial(_keep_way, network, place, delay_s, member)
                starting.start_soon(ways.start, way)
        yield
        ways.cancel_scope.cancel()


async def _keep_way(
    network: HostNetwork,
    place: Place,
    delay_s: float,
    member: str,
    *,
    task_status: trio.TaskStatus[None],
) -> None:
    """Run the process at a member until cancelled; what it says goes with its end."""
    process = await trio.lowlevel.open_process(
        [
            *within(network.prefix, member),
            *(sys.executable, "-m", "simulations.slow_way"),
            *(str(SLOW_PORT), network.address(member), str(delay_s)),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=place.process_group,
    )
    assert process.stdout is not None
    try:
        said, ready = b"", False
        async for some in process.stdout:
            said += some
            if not ready and b"ready" in said.splitlines():
                ready = True
                task_status.started()
        why = said.decode(errors="replace").strip().splitlines()
        raise NoNetworkError(
            f"the slow way to {member} ended by itself ({why[-1] if why else 'it said nothing'})"
        )
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()
            await process.stdout.aclose()
