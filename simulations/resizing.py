"""Changing a real ring while it serves, as people do: by its file, and by the command for it.

Rules:
- A member that is added is started with the new file, and nobody else is told by hand.
- A member that is removed is told by ``sessionring ring set``, hands over, and ends by itself.
- The file that every later start reads is always the newest.
"""

import os
import subprocess
import sys

import trio
from attrs import evolve

from ring.placement import Departed, Member
from simulations.real_node import RealNode, State
from simulations.real_nodes import NAMES, STOPPED_S, NodeFailedError, RealNodes


async def add_member(nodes: RealNodes) -> tuple[str, float]:
    """Add a member at the end of the ring; return it, and the seconds until it was ready.

    Raises:
        NodeFailedError: it did not become ready, or the ring has not settled with it.
    """
    taken = nodes.ring.homes
    name = next(name for name in NAMES if name not in taken)
    member = Member(name, nodes.spare_address())
    ring = nodes.ring
    nodes.configure(evolve(ring, version=ring.version + 1, members=(*ring.members, member)))
    nodes.nodes[name] = RealNode(name, nodes.place)
    seconds = await nodes.start(name)
    await nodes.wait_settled()
    return name, seconds


async def remove_member(nodes: RealNodes, name: str) -> float:
    """Remove a member, with the next one as its heir; return the seconds until it had stopped.

    Raises:
        NodeFailedError: the ring was not set, or the member did not stop in time and cleanly.
    """
    ring, node = nodes.ring, nodes.nodes[name]
    staying = tuple(member for member in ring.members if member.name != name)
    heir = ring.preference_list(name)[1]
    departed = (*ring.departed, Departed(name, heir, ring.addresses[name]))
    began = trio.current_time()
    nodes.expect_settling()
    nodes.note(f"removed {name}, whose heir is {heir}")
    nodes.configure(evolve(ring, version=ring.version + 1, members=staying, departed=departed))
    process, node.process = node.process, None
    assert process is not None
    await _set_ring(nodes)
    with trio.move_on_after(STOPPED_S) as limit:
        await process.wait()
    del nodes.nodes[name]
    node.state = State.DOWN
    if limit.cancelled_caught:
        process.kill()
    await node.forget(process)
    tail = node.log_tail()
    node.close()
    if limit.cancelled_caught or process.returncode:
        raise NodeFailedError(
            f"node {name} was removed, and ended with status {process.returncode}{tail}"
        )
    return trio.current_time() - began


async def _set_ring(nodes: RealNodes) -> None:
    done = await trio.run_process(
        [
            *(sys.executable, "-m", "node", "ring", "set"),
            *("--config", os.fspath(nodes.place.config)),
        ],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("SESSIONRING_")},
    )
    if done.returncode:
        raise NodeFailedError(f"the ring was not set: {_text(done)}")


def _text(done: "subprocess.CompletedProcess[bytes]") -> str:
    return done.stderr.decode(errors="replace").strip()
