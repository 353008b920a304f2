"""Cleans up after a ring, however its script ends: no process, directory or namespace stays behind.

Run as a script of its own, with nothing but the standard library, by ``simulations.ring_place``.

Rules:
- Standard input is a pipe that only the ring's script holds: its end, even by SIGKILL, is the
  sign to begin. So there is one way of cleaning up, and it is tried in every run.
- The janitor leads the process group that all nodes are started in: they are killed together,
  known or not, and no process id can have been given to somebody else meanwhile.
- Signals of the terminal are the script's business; the janitor ignores them.
- Standard output closes when everything is gone.
"""

import os
import shutil
import signal
import sys
import time
from typing import Final

GROUP_GONE_S: Final = 5.0
"""How long killed processes may take to go. They stay longer only where nobody reaps them."""

REMOVED_S: Final = 5.0


NAMESPACES: Final = "/run/netns"
"""Where iproute2 keeps the names of network namespaces."""


def main(directory: str, prefix: str) -> None:
    """Wait for the script to end; then kill the group, and remove what it has left.

    Args:
        directory: is removed; empty: none.
        prefix: how the names of the network namespaces begin that are removed; empty: none are.
    """
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    group = os.getpgrp()
    if os.fork():
        # Until it is killed with its group, the leader keeps the group's number from being reused.
        while True:
            signal.pause()
    os.setpgid(0, 0)
    _kill(group)
    if prefix:
        _remove_namespaces(prefix)
    if directory:
        remove(directory)


def _kill(group: int) -> None:
    deadline = time.monotonic() + GROUP_GONE_S
    try:
        os.killpg(group, signal.SIGKILL)
        while time.monotonic() < deadline:
            os.killpg(group, 0)
            time.sleep(0.005)
    except ProcessLookupError:
        pass


def remove(directory: str) -> None:
    """Remove a directory in which processes that were just killed may still write, for a while."""
    deadline = time.monotonic() + REMOVED_S
    while os.path.lexists(directory) and time.monotonic() < deadline:
        shutil.rmtree(directory, ignore_errors=True)
        time.sleep(0.005)


def _remove_namespaces(prefix: str) -> None:
    """Give the names up; whatever was in there goes with the last process in it."""
    import subprocess  # Heavier than all the rest, and most runs have no namespaces.

    names = os.listdir(NAMESPACES) if os.path.isdir(NAMESPACES) else ()
    for name in names:
        if name.startswith(prefix):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
