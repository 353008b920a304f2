"""Real rings on free ports: each member is a process, as users get it.

Rule: nothing is left out that users have: full validation, receipts, expiry. The nodes have no
stores, since their peers write nothing to disk either.
"""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from attrs import define, field

from benchmarks.payload import MAX_IDLE_S
from benchmarks.processes import Worker
from simulations.ring_ports import ReservedPorts

_NAMES: Final = "abcdefgh"
MEMBERS_MAX: Final = len(_NAMES)
_LINK_TIMEOUT_S: Final = 30.0


@define
class LocalRing:
    """Member processes, by name."""

    tables: dict[str, Any]
    counted: bool
    members: dict[str, Worker] = field(factory=dict)
    began: dict[str, dict[str, float]] = field(factory=dict)
    """Of each member, ``ready_s``, from the start of its node until it was ready, and the lag of
    its loop in that time."""

    def __getitem__(self, name: str) -> Worker:
        return self.members[name]

    @property
    def processes(self) -> list[int]:
        """All of them."""
        return [member.id for member in self.members.values()]

    def others(self, name: str) -> list[int]:
        """Return all but one."""
        return [member.id for each, member in self.members.items() if each != name]

    def start(self, *names: str) -> None:
        """Start members, all at once; return when they are ready."""
        self.prepare(*names)
        self.open(*names)

    def prepare(self, *names: str) -> None:
        """Start the processes of members; return when each of them can start its node."""
        for name in names:
            options = {"name": name, "tables": self.tables, "counted": self.counted}
            self.members[name] = Worker("benchmarks.member", json.dumps(options))
        for name in names:
            self.members[name].answer()

    def open(self, *names: str) -> None:
        """Start the nodes of members that are prepared; return when they are ready."""
        for name in names:
            self.members[name].tell("open")
        for name in names:
            self.began[name] = self.members[name].answer()

    def wait_linked(self) -> None:
        """Return when each member sees all others as up."""
        deadline = time.monotonic() + _LINK_TIMEOUT_S
        for member in self.members.values():
            while set(member.ask("status")["members"].values()) - {"up"}:
                assert time.monotonic() < deadline, "the members do not find each other"
                time.sleep(0.01)

    def stop(self, *names: str) -> None:
        """Kill members; all, if none is named."""
        for name in names or list(self.members):
            self.members.pop(name).stop()


@contextmanager
def local_ring(size: int = 2, *, counted: bool = False) -> Iterator[LocalRing]:
    """Run a ring of so many members as long as the block.

    Args:
        size: 2 to ``MEMBERS_MAX``.
        counted: whether their bytes are counted.
    """
    ports = ReservedPorts(size)
    members = [
        {"name": name, "address": address}
        for name, address in zip(_NAMES, ports.addresses, strict=False)
    ]
    tables = {
        "ring": {"name": "benchmark", "members": members},
        "sessions": {"max_idle": MAX_IDLE_S},
    }
    ring = LocalRing(tables, counted)
    try:
        ring.start(*(str(member["name"]) for member in members))
        ring.wait_linked()
        yield ring
    finally:
        ring.stop()
        ports.close()
