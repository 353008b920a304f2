"""Where a local ring lives: its directory, and the process group that dies with its script.

Rules:
- A temporary directory goes with the script, however that ends (``simulations.ring_janitor``).
  Where the janitor may be killed as well, its name tells whose it is (``simulations.namespaces``).
- A directory that the user names is kept, and used only if it is empty or was made here before:
  nothing else is ever removed from it, and two runs never share it.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from attrs import frozen

from ring.errors import ConfigError
from simulations import ring_janitor

MARK: Final = ".local-ring"
"""The file by which a directory is known as made here; whoever uses the directory has it locked."""


@frozen
class Place:
    """Where the nodes of one run keep their files, and the group that they are started in."""

    directory: Path
    process_group: int
    kept: bool

    @property
    def config(self) -> Path:
        """The ring's configuration."""
        return self.directory / "ring.toml"

    @property
    def stores(self) -> Path:
        """The stores of the nodes, a directory for each."""
        return self.directory / "nodes"

    @property
    def logs(self) -> Path:
        """What the nodes say, a file for each, and what the script did to them."""
        return self.directory / "logs"


@contextmanager
def open_place(keep: Path | None, namespaces: str = "") -> Iterator[Place]:
    """Make the place of one run; afterwards nothing runs in it, and it is gone unless kept.

    Args:
        keep: the directory to use and to keep; None: a temporary one.
        namespaces: how the names of the network namespaces begin that are removed in the end;
            empty: none are. That of a temporary directory begins so, too.

    Raises:
        ConfigError: ``keep`` cannot be used. Definite: nothing in it was touched.
    """
    if keep is None:
        directory = Path(tempfile.mkdtemp(prefix=namespaces or "sessionring-"))
        with _janitor(str(directory), namespaces) as group:
            yield _laid_out(Place(directory, group, kept=False))
        return
    directory = keep.absolute()
    mark = _claim(directory)
    try:
        with _janitor("", namespaces) as group:
            yield _laid_out(Place(directory, group, kept=True))
    finally:
        os.close(mark)


def _laid_out(place: Place) -> Place:
    for earlier in (place.stores, place.logs):
        shutil.rmtree(earlier, ignore_errors=True)
        earlier.mkdir(mode=0o700)
    return place


def _claim(directory: Path) -> int:
    """Lock ``directory`` for this run; return the descriptor that holds the lock."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(directory.iterdir()) and not (directory / MARK).is_file():
            raise ConfigError(
                f"--keep is {str(directory)!r}, which is not empty and was not made by an earlier "
                "run; name a new or an empty directory"
            )
        mark = os.open(directory / MARK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"--keep is {str(directory)!r}, which cannot be used ({error.strerror}); "
            "name a new or an empty directory"
        ) from error
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(mark)
        raise ConfigError(
            f"--keep is {str(directory)!r}, which another run uses now; name another directory"
        ) from error
    return mark


@contextmanager
def _janitor(directory: str, namespaces: str) -> Iterator[int]:
    """Run the janitor; yield the process group that it cleans up."""
    # Isolated: it must start, and do its work, whatever the environment does to our own Python.
    janitor = subprocess.Popen(
        [sys.executable, "-I", "-S", ring_janitor.__file__, directory, namespaces],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        process_group=0,
    )
    assert janitor.stdin is not None
    assert janitor.stdout is not None
    with janitor:
        try:
            yield janitor.pid
        finally:
            janitor.stdin.close()
            # Its group counts as there until its leader has been waited for.
            janitor.wait()
            janitor.stdout.read()
