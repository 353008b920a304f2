"""Where processes run: a loopback round trip takes four times as long between two cores.

Rules:
- Whatever is measured is pinned, each thread of each process: left alone, the scheduler decides
  anew in every run which of the two times it is.
- Both are measured: all on one core, and the application on one with its peer on another.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import frozen


@frozen
class Placement:
    """Which core has the application, with the node in it, and which its peers."""

    name: str
    here: int
    there: int


def placements() -> tuple[Placement, ...]:
    """Return the placements that this machine has; on a single core there is one."""
    first, *others = _CORES
    one = Placement("one core", first, first)
    return (one, Placement("split", first, others[0])) if others else (one,)


def pin(processes: Iterable[int], core: int) -> None:
    """Let these processes, each of their threads, run on ``core`` only."""
    for process in processes:
        for thread in threads(process):
            with contextlib.suppress(ProcessLookupError):  # It has ended since.
                os.sched_setaffinity(thread, {core})


def threads(process: int) -> list[int]:
    """Return the threads of a process."""
    return [int(each) for each in os.listdir(f"/proc/{process}/task")]


_CORES: Final = tuple(sorted(os.sched_getaffinity(0)))


@contextlib.contextmanager
def starting_on(core: int) -> Iterator[None]:
    """Have the processes that are started in this block run on ``core`` from their beginning."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
