"""Taking a directory for one store: made, private, and locked against a second process.

Rules:
- A directory with other people's files in it is refused untouched: a store sets aside what it
  does not know, and must not do so with somebody's home.
- The lock is the system's (flock), so a killed process leaves none behind. The lock file stays:
  it marks the directory as a store, and says who holds it.
"""

import contextlib
import fcntl
import os
import stat
from typing import Final

from node.stores.base import Report
from node.stores.session_file import SESSION_SUFFIX, TEMPORARY_SUFFIX
from ring.effects import Notice
from ring.errors import StoreError, StoreLockedError

LOCK_NAME: Final = "sessionring.lock"

_PRIVATE: Final = 0o700
_LOCK_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_HOLDER_BYTES_MAX: Final = 128


def claim_directory(path: str, holder: str, report: Report) -> tuple[int, int]:
    """Make the directory at ``path`` this process's own; return its descriptor and its lock's.

    Raises:
        StoreLockedError: another process, or another store of this one, has it. Definite.
        StoreError: it cannot be made, or is not fit to be a store's. Definite; nothing is held.
    """
    try:
        _make(path)
        directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(path, error, "make it a directory that this user can write") from error
    try:
        _refuse_unfit(path, directory)
        lock = _lock(path, directory, holder)
    except BaseException:
        os.close(directory)
        raise
    try:
        _make_private(path, directory, report)
    except BaseException:
        release_directory(directory, lock)
        raise
    return directory, lock


def release_directory(directory: int, lock: int) -> None:
    """Give back what ``claim_directory`` returned."""
    # Unlocked before it is closed: a forked child that inherited the descriptor would keep it.
    with contextlib.suppress(OSError):
        fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)
    os.close(directory)


def _make(path: str) -> None:
    """Make the directory and those above it, each durable in the one above."""
    parent = os.path.dirname(os.path.abspath(path))
    if os.path.isdir(path):
        return
    if not os.path.isdir(parent):
        _make(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, _PRIVATE)
    descriptor = os.open(parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refuse_unfit(path: str, directory: int) -> None:
    owner = os.fstat(directory).st_uid
    if owner != os.geteuid():
        raise StoreError(
            f"store directory {path} belongs to user {owner}, and this process runs as "
            f"{os.geteuid()}: run it as that user, or give the directory to this one with chown"
        )
    try:
        os.stat(LOCK_NAME, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        pass
    else:
        return
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if not entry.is_dir(follow_symlinks=False)]
    strangers = [name for name in names if not name.endswith((SESSION_SUFFIX, TEMPORARY_SUFFIX))]
    if strangers:
        raise StoreError(
            f"store directory {path} holds other files ({min(strangers)!r}): "
            "give the store a directory of its own"
        )


def _lock(path: str, directory: int, holder: str) -> int:
    try:
        lock = os.open(LOCK_NAME, _LOCK_FLAGS, 0o600, dir_fd=directory)
    except OSError as error:
        raise _refusal(path, error, "make it writable for this user") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # For whoever comes second. A full disk has no room for it, and is no reason not to start.
        with contextlib.suppress(OSError):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"node {holder}, process {os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        other = _holder(lock)
        os.close(lock)
        raise StoreLockedError(
            f"store directory {path} is in use by {other}: "
            "stop that one, or give this node a directory of its own"
        ) from None
    except OSError as error:
        os.close(lock)
        raise _refusal(path, error, "use a file system with file locks") from error
    return lock


def _holder(lock: int) -> str:
    """Return who wrote the lock file; it may be empty for a moment, or on a full disk."""
    try:
        text = os.pread(lock, _HOLDER_BYTES_MAX, 0).decode("ascii", "replace").strip()
    except OSError:
        text = ""
    return text or "another process"


def _make_private(path: str, directory: int, report: Report) -> None:
    mode = stat.S_IMODE(os.fstat(directory).st_mode)
    if mode == _PRIVATE:
        return
    try:
        os.fchmod(directory, _PRIVATE)
    except OSError as error:
        raise _refusal(path, error, "use a file system with permissions, and chmod 700") from error
    report(Notice("store_made_private", {"directory": path, "mode_was": f"{mode:04o}"}))


def _refusal(path: str, error: OSError, remedy: str) -> StoreError:
    return StoreError(f"store directory {path} cannot be used ({error.strerror}): {remedy}")
