"""Real nodes: processes of this machine, started, killed and restarted at will.

Rules:
- A node is what a user would start: ``python -m node serve`` with the ring's configuration. What
  it is and does is read from its log, as a user would.
- A node that ends without having been killed here ends the run, with the last lines of its log.
- What is done to the nodes is written beside their logs, with the same clock.
"""

import json
import os
import re
import secrets
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import trio

from node.ring_text import ring_to_text
from ring.errors import SessionRingError
from ring.placement import Member, Ring
from simulations.real_node import RealNode, State
from simulations.ring_place import Place
from simulations.ring_ports import ReservedPorts

NAMES: Final = "abcdefghij"
"""One more than a ring may begin with."""

RING_NAME: Final = "local"
COPIES: Final = 2
LOOK_S: Final = 0.02
READY_S: Final = 60.0
"""What nodes get to become ready, in seconds; more than the longest they wait for each other."""

ACTING_S: Final = 30.0
"""What the others get to take over; more than the longest that an acting owner settles."""

SETTLED_S: Final = 60.0
STOPPED_S: Final = 45.0
"""What a node gets to stop when it is told to; more than it may drain."""

SAID_S: Final = 30.0

PORT_TRIES: Final = 5

_EVENT: Final = re.compile(r" INFO (acting|handed_back) home=(\w+)")
_SAID: Final = re.compile(r" (settled|store_failing|store_healed)\b")


class NodeFailedError(SessionRingError):
    """A node ended by itself, or did not become ready. The message ends with its log."""


class _PortTakenError(NodeFailedError):
    """A node found another process at its port."""


class RealNodes:
    """The ring as processes; made by ``open_nodes``.

    Args:
        place: where their files are, and the group they are started in.
        count: how many members, 1 to 9.
        sections: more of the configuration, as TOML.
    """

    def __init__(self, place: Place, count: int, sections: str = "") -> None:
        self.place = place
        self._sections = sections
        self.nodes = {name: RealNode(name, place) for name in NAMES[:count]}
        self.ring = Ring(RING_NAME, tuple(Member(name, "") for name in self.nodes))
        """As the file has it that every start reads."""
        self.secret = secrets.token_urlsafe(32)
        self.acting: dict[str, str] = {}
        """By home: the member that said last that it acts for it."""
        self._dying: list[tuple[RealNode, trio.Process]] = []
        self._ports: ReservedPorts | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The members, in ring order."""
        return tuple(self.nodes)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where they listen, in ring order."""
        return tuple(member.address for member in self.ring.members)

    @property
    def down(self) -> list[str]:
        """The members that do not run, in ring order."""
        return [node.name for node in self.nodes.values() if node.process is None]

    # --- Lives --------------------------------------------------------------------------------

    async def start_ring(self) -> float:
        """Start all members of a new ring; return the seconds until all were ready.

        Raises:
            NodeFailedError: a member did not become ready.
        """
        for tries_left in reversed(range(PORT_TRIES)):
            self._choose_addresses()
            try:
                return await self.start(*self.names)
            except _PortTakenError:
                # Between choosing a port and listening at it, others may take it.
                self.kill(*self.names)
                if not tries_left:
                    raise
        raise AssertionError("unreachable")

    async def start(self, *names: str) -> float:
        """Start members together; return the seconds until all of them were ready.

        Raises:
            NodeFailedError: one did not become ready, or another one ended meanwhile.
        """
        await self.wait_gone()
        began = trio.current_time()
        self.expect_settling()
        self.note(f"started {', '.join(names)}")
        for name in names:
            await self.nodes[name].start()
        with trio.move_on_after(READY_S) as limit:
            while any(self.nodes[name].state is not State.READY for name in names):
                self.look()
                await trio.sleep(LOOK_S)
        if limit.cancelled_caught:
            late = next(name for name in names if self.nodes[name].state is not State.READY)
            raise NodeFailedError(
                f"node {late} was not ready after {READY_S:g} s{self.nodes[late].log_tail()}"
            )
        return trio.current_time() - began

    def kill(self, *names: str) -> float:
        """Kill members at once, and return when that was, by trio's clock."""
        self.expect_settling()
        at = trio.current_time()
        if running := [name for name in names if self.nodes[name].process is not None]:
            self.note(f"killed {', '.join(running)}")
        for name in names:
            node = self.nodes[name]
            if node.process is not None:
                node.process.kill()
                self._dying.append((node, node.process))
            node.state, node.process = State.DOWN, None
        for home in [home for home, name in self.acting.items() if name in names]:
            del self.acting[home]
        return at

    async def drain(self, name: str) -> None:
        """Tell a member to stop, as for an upgrade, and wait until it has.

        Raises:
            NodeFailedError: it did not stop in time, or not cleanly.
        """
        node = self.nodes[name]
        assert node.process is not None
        process, node.process = node.process, None
        self.expect_settling()
        self.note(f"told {name} to stop")
        process.terminate()
        with trio.move_on_after(STOPPED_S) as limit:
            await process.wait()
        node.state = State.DOWN
        self._dying.append((node, process))
        if limit.cancelled_caught:
            process.kill()
            raise NodeFailedError(f"node {name} has not stopped after {STOPPED_S:g} s")
        if process.returncode:
            tail = node.log_tail()
            raise NodeFailedError(f"node {name} stopped with status {process.returncode}{tail}")
        await self.wait_gone()

    def freeze(self, name: str) -> None:
        """Stop a member's process in its tracks: it keeps its connections, and says nothing."""
        self.expect_settling()
        self.note(f"stopped the process of {name}")
        self.nodes[name].tell(signal.SIGSTOP)
        self.nodes[name].state = State.STOPPED
        for home in [home for home, actor in self.acting.items() if actor == name]:
            del self.acting[home]

    def thaw(self, name: str) -> None:
        """Let a stopped process go on."""
        self.expect_settling()
        self.note(f"let the process of {name} go on")
        self.nodes[name].tell(signal.SIGCONT)
        self.nodes[name].state = State.READY

    def fill_disk(self, name: str) -> None:
        """Let no file that a member writes grow: to it, its disk is full."""
        self.note(f"filled the disk of {name}")
        self.nodes[name].said -= {"store_failing", "store_healed"}
        self.nodes[name].limit_files(0)

    def free_disk(self, name: str) -> None:
        """Let a member write files again."""
        self.note(f"freed the disk of {name}")
        self.nodes[name].unlimit_files()

    def expect_settling(self) -> None:
        """From now on only what is said later tells that a member has settled."""
        for node in self.nodes.values():
            node.settled = False

    async def wait_settled(self) -> None:
        """Return once every running member has settled since the last fault.

        Raises:
            NodeFailedError: one did not in time, or a member ended meanwhile.
        """
        await self._wait(
            lambda: all(node.settled for node in self.nodes.values() if node.process is not None),
            SETTLED_S,
            "the ring has not settled",
        )

    async def wait_said(self, name: str, event: str) -> None:
        """Return once a member's log has an event.

        Raises:
            NodeFailedError: it did not come in time, or a member ended meanwhile.
        """
        await self._wait(
            lambda: event in self.nodes[name].said, SAID_S, f"node {name} has not said {event!r}"
        )

    async def wait_gone(self) -> None:
        """Return once whatever was killed is gone, with its ports and its locks."""
        while self._dying:
            node, process = self._dying.pop()
            await node.forget(process)

    async def stop(self, patience_s: float) -> None:
        """Tell all members to stop, and kill those that have not after ``patience_s``."""
        self.note("stopped all")
        with trio.move_on_after(patience_s):
            for node in self.nodes.values():
                if node.process is not None:
                    node.process.terminate()
            for node in self.nodes.values():
                if node.process is not None:
                    await node.process.wait()
                    node.process = None
        self.kill(*self.names)

    async def aclose(self) -> None:
        """Kill whatever runs, and give up logs and ports."""
        self.kill(*self.names)
        await self.wait_gone()
        for node in self.nodes.values():
            node.close()
        if self._ports is not None:
            self._ports.close()

    async def wait_acting(self, home: str, *, by: str | None = None) -> None:
        """Return once a member (``by``, if given) has said that it acts for ``home``.

        Raises:
            NodeFailedError: none did in time, or a member ended meanwhile.
        """
        await self._wait(
            lambda: home in self.acting and by in (None, self.acting[home]),
            ACTING_S,
            f"{'nobody acts' if by is None else f'{by} does not act'} for node {home}",
        )

    async def _wait(self, condition: Callable[[], bool], limit_s: float, otherwise: str) -> None:
        with trio.move_on_after(limit_s) as limit:
            while not condition():
                self.look()
                await trio.sleep(LOOK_S)
        if limit.cancelled_caught:
            raise NodeFailedError(f"{otherwise} after {limit_s:g} s")

    # --- What they say ------------------------------------------------------------------------

    async def watch(self) -> None:
        """Look again and again, for ever.

        Raises:
            NodeFailedError: a member ended by itself.
        """
        while True:
            self.look()
            await trio.sleep(LOOK_S)

    def look(self) -> None:
        """Read what the members have said since, and see whether they still run."""
        for node in self.nodes.values():
            lines, status = node.new_lines()
            for line in lines:
                self._take_line(node, line)
            if status is not None:
                node.process, node.state = None, State.DOWN
                tail = node.log_tail()
                kind = _PortTakenError if "cannot listen at" in tail else NodeFailedError
                raise kind(f"node {node.name} ended with status {status}{tail}")

    def _take_line(self, node: RealNode, line: str) -> None:
        if line.startswith(f"sessionring: {node.name} is ready"):
            node.state = State.READY
            node.ready_after_s = trio.current_time() - node.started_at
        elif event := _EVENT.search(line):
            home = event[2]
            if event[1] == "acting":
                self.acting[home] = node.name
            elif self.acting.get(home) == node.name:
                del self.acting[home]
        elif said := _SAID.search(line):
            node.said.add(said[1])
            node.settled |= said[1] == "settled"

    def note(self, what: str) -> None:
        """Write down what is done to the nodes."""
        with open(self.place.logs / "events.log", "a") as log:
            log.write(f"{datetime.now().isoformat(' ', 'milliseconds')} {what}\n")  # noqa: DTZ005 - as in the logs of the nodes

    # --- The configuration --------------------------------------------------------------------

    def _choose_addresses(self) -> None:
        if self._ports is not None:
            self._ports.close()
        self._ports = ReservedPorts(len(self.nodes) + 1)
        members = map(Member, self.names, self._ports.addresses)
        self.configure(Ring(RING_NAME, tuple(members), copies=COPIES))

    def spare_address(self) -> str:
        """Return where one more member may listen."""
        assert self._ports is not None
        return self._ports.addresses[-1]

    def configure(self, ring: Ring) -> None:
        """Let every start read ``ring`` from now on."""
        self.ring = ring
        text = config_text(ring, os.fspath(self.place.stores), self.secret)
        self.place.config.write_text(text + self._sections, encoding="utf-8")
        self.place.config.chmod(0o600)


@asynccontextmanager
async def open_nodes(place: Place, count: int, sections: str = "") -> AsyncIterator[RealNodes]:
    """Have a ring of ``count`` members, none started yet; none runs after the block.

    ``sections`` are added to its configuration.
    """
    nodes = RealNodes(place, count, sections)
    try:
        yield nodes
    finally:
        await nodes.aclose()


def config_text(ring: Ring, stores: str, secret: str) -> str:
    """Return the configuration of a local ring, for its nodes and for people."""
    store = "file:" + stores.replace("{", "{{").replace("}", "}}") + "/{name}"
    return f"""\
# A local ring, written by `python -m simulations`. Start a member of it with
#   sessionring serve --config ring.toml --name a
{ring_to_text(ring)}
[store]
url = {_quoted(store)}

[security]
secret = {_quoted(secret)}
"""


def _quoted(text: str) -> str:
    """Return ``text`` as a string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)
