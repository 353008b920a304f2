"""What one run has on this machine: what it is called, and who may remove it.

Rules:
- The names of its network namespaces and of its directory tell whose they are: the process by its
  id and by when that process began, so that another process which has got the id since is not
  taken for it. Two runs never share a name.
- What a run made that was killed with everything that cleans up is removed by the next run: first
  the processes that are still in the namespaces, then the names, then the directory. With the last
  of the first two the kernel removes the namespace and every link in it. A directory that is kept
  has no such name.
"""

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from attrs import frozen

from simulations.ring_janitor import remove

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
        """How the names of its namespaces and of its directory begin."""
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
    """Return who has made what has this name; None: it is none of ours."""
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
    directories = _leftover_directories()
    for directory in directories:
        remove(directory.path)
    return [*names, *(directory.name for directory in directories)]


def _leftover_directories() -> list[os.DirEntry[str]]:
    """Return those of which the owner is gone; anybody may have made something of such a name."""
    with os.scandir(tempfile.gettempdir()) as entries:
        ours = {
            entry.name: entry
            for entry in entries
            if owner_of(entry.name) is not None and _is_own_directory(entry)
        }
    return [ours[name] for name in leftovers(ours)]


def _is_own_directory(entry: os.DirEntry[str]) -> bool:
    try:
        is_directory = entry.is_dir(follow_symlinks=False)
        return is_directory and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except FileNotFoundError:  # Its own cleaner was quicker.
        return False


def _said(command: list[str]) -> str:
    """Run a command whose failure means that somebody else was quicker; return what it said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return done.stdout.decode(errors="replace")
