"""The network namespaces of one run: what they are called, and who may remove them.

Rules:
- A name tells whose it is: the process by its id and by when that process began, so that another
  process which has got the id since is not taken for it. Two runs never share a name.
- What a run made that was killed with everything that cleans up is removed by the next run: first
  the processes that are still in there, then the names. With the last of both the kernel removes
  the namespace and every link in it.
"""

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from attrs import frozen

NAMES: Final = Path("/run/netns")
"""Where iproute2 keeps the names."""

HUB: Final = "hub"
"""The namespace that has the bridge, and the clients."""

_NAME: Final = re.compile(r"sessionring-(\d+)-(\d+)-\w+")
_STARTED: Final = 19
"""Which of the fields behind its name tells when a process began; see proc(5), field 22."""


@frozen
class Owner:
    """A process, for as long as the machine runs."""

    pid: int
    started: int
    """Ticks after the start of the machine."""

    @property
    def prefix(self) -> str:
        """How the names of its namespaces begin."""
        return f"sessionring-{self.pid}-{self.started}-"


def this_process() -> Owner:
    """Return who asks."""
    pid = os.getpid()
    started = started_at(pid)
    assert started is not None, "who asks runs"
    return Owner(pid, started)


def started_at(pid: int) -> int | None:
    """Return when a process began, in ticks; None: there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return started_in(text)


def started_in(stat: str) -> int:
    """Return when a process began, from its line in /proc; its name may have anything in it."""
    return int(stat.rpartition(")")[2].split()[_STARTED])


def owner_of(name: str) -> Owner | None:
    """Return who has made a namespace of this name; None: it is none of ours."""
    found = _NAME.fullmatch(name)
    return Owner(int(found[1]), int(found[2])) if found else None


def leftovers(names: Iterable[str]) -> list[str]:
    """Return the names of which the owner is gone."""
    owned = [(name, owner_of(name)) for name in names]
    return [name for name, it in owned if it is not None and started_at(it.pid) != it.started]


def remove_leftovers() -> list[str]:
    """Remove what runs that are gone have left; return the names that they had."""
    names = leftovers(os.listdir(NAMES) if NAMES.is_dir() else ())
    for name in names:
        for pid in _said(["ip", "netns", "pids", name]).split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _said(["ip", "netns", "delete", name])
    return names


def _said(command: list[str]) -> str:
    """Run a command whose failure means that somebody else was quicker; return what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode(errors="replace")
