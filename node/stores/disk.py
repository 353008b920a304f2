"""One directory of the operating system, held by one process: the store's only way to a disk.

Rules:
- Every call of the store to the system is a method of ``Disk``, so that a test can fail, cut
  short or kill each one, and a simulation can bring a disk of its own.
- Names are relative to the directory and are opened through its descriptor: a directory that is
  renamed meanwhile stays the same one.
- No call follows a symbolic link below the directory, and none waits for one that is a pipe.

Source: the descriptor-relative calls of POSIX.1-2008 (openat and kin).
"""

import contextlib
import os
import stat
from typing import Final, Protocol

from node.stores.base import Report
from node.stores.claim import LOCK_NAME, claim_directory, release_directory

FILE_MODE: Final = 0o600
DIRECTORY_MODE: Final = 0o700

_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_AGAIN: Final = os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Disk(Protocol):
    """A directory as a store uses it. Every call but ``detach`` may raise ``OSError``."""

    def attach(self) -> None:
        """Make the directory, if need be, and take it; raises ``StoreError``, holding nothing."""
        ...

    def detach(self) -> None:
        """Let go of the directory. May be called twice."""
        ...

    def names(self) -> list[str]:
        """Return the names of the files there, but the lock's, in a good order to read them."""
        ...

    def create(self, name: str) -> int:
        """Return a descriptor to write a file that did not exist, for its owner only."""
        ...

    def open_again(self, name: str) -> int:
        """Return a descriptor to write over an existing file; its content stays until then."""
        ...

    def open_to_read(self, name: str) -> int:
        """Return a descriptor to read a file."""
        ...

    def read(self, descriptor: int, size: int) -> bytes:
        """Return up to ``size`` bytes; fewer than asked for only at the end of the file."""
        ...

    def write(self, descriptor: int, content: memoryview) -> int:
        """Write some of ``content``, and return how many bytes that were."""
        ...

    def truncate(self, descriptor: int, size: int) -> None:
        """Cut the file to ``size`` bytes."""
        ...

    def start_writing(self, descriptor: int) -> None:
        """Have the system begin to write the file out, and do not wait for it."""
        ...

    def start_reading(self, descriptor: int) -> None:
        """Have the system begin to read the file in, and do not wait for it."""
        ...

    def fsync(self, descriptor: int) -> None:
        """Return when the file's content is durable."""
        ...

    def close(self, descriptor: int) -> None:
        """Close a descriptor; it is closed even if this raises."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Give a file another name, in place of the file that had it."""
        ...

    def link(self, old: str, new: str) -> None:
        """Give a file a second name, which must be free."""
        ...

    def unlink(self, name: str) -> None:
        """Take a name away, and with its last name the file."""
        ...

    def private_size(self, name: str) -> int | None:
        """Return the size of a file that is plain, has one name and no mode but ours; else None."""
        ...

    def make_directory(self, name: str) -> None:
        """Make a directory below this one."""
        ...

    def fsync_directory(self, name: str = ".") -> None:
        """Return when the names in the directory are durable, or in the one called ``name``."""
        ...


class OsDisk:
    """A ``Disk`` that is a directory of this machine.

    Args:
        path: the directory. It is made if it is missing, and must be this store's alone.
        holder: the node's name, told to whoever finds the directory taken.
        report: takes what people should know about the directory.
    """

    def __init__(self, path: str | os.PathLike[str], holder: str, report: Report) -> None:
        self._path = os.fspath(path)
        self._holder = holder
        self._report = report
        self._directory = -1
        self._lock = -1

    def attach(self) -> None:
        """See ``Disk``."""
        self._directory, self._lock = claim_directory(self._path, self._holder, self._report)

    def detach(self) -> None:
        """See ``Disk``."""
        if self._lock >= 0:
            release_directory(self._directory, self._lock)
            self._directory = self._lock = -1

    def names(self) -> list[str]:
        """See ``Disk``. In the order of inodes, which is roughly that of the disk's blocks."""
        with os.scandir(self._directory) as entries:
            found = [
                (entry.inode(), entry.name)
                for entry in entries
                if entry.name != LOCK_NAME and not entry.is_dir(follow_symlinks=False)
            ]
        found.sort()
        return [name for _, name in found]

    def create(self, name: str) -> int:
        """See ``Disk``."""
        return os.open(name, _NEW, FILE_MODE, dir_fd=self._directory)

    def open_again(self, name: str) -> int:
        """See ``Disk``."""
        return os.open(name, _AGAIN, dir_fd=self._directory)

    def open_to_read(self, name: str) -> int:
        """See ``Disk``."""
        return os.open(name, _READ, dir_fd=self._directory)

    def read(self, descriptor: int, size: int) -> bytes:
        """See ``Disk``."""
        return os.read(descriptor, size)

    def write(self, descriptor: int, content: memoryview) -> int:
        """See ``Disk``."""
        return os.write(descriptor, content)

    def truncate(self, descriptor: int, size: int) -> None:
        """See ``Disk``."""
        os.ftruncate(descriptor, size)

    def start_writing(self, descriptor: int) -> None:
        """See ``Disk``. Linux takes this advice as the order to start; elsewhere nothing does."""
        self._advise(descriptor, "POSIX_FADV_DONTNEED")

    def start_reading(self, descriptor: int) -> None:
        """See ``Disk``."""
        self._advise(descriptor, "POSIX_FADV_WILLNEED")

    def fsync(self, descriptor: int) -> None:
        """See ``Disk``."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """See ``Disk``."""
        os.close(descriptor)

    def rename(self, old: str, new: str) -> None:
        """See ``Disk``."""
        os.rename(old, new, src_dir_fd=self._directory, dst_dir_fd=self._directory)

    def link(self, old: str, new: str) -> None:
        """See ``Disk``."""
        os.link(
            old,
            new,
            src_dir_fd=self._directory,
            dst_dir_fd=self._directory,
            follow_symlinks=False,
        )

    def unlink(self, name: str) -> None:
        """See ``Disk``."""
        os.unlink(name, dir_fd=self._directory)

    def private_size(self, name: str) -> int | None:
        """See ``Disk``."""
        found = os.stat(name, dir_fd=self._directory, follow_symlinks=False)
        ours = stat.S_IFREG | FILE_MODE
        return found.st_size if (found.st_mode, found.st_nlink) == (ours, 1) else None

    def make_directory(self, name: str) -> None:
        """See ``Disk``."""
        os.mkdir(name, DIRECTORY_MODE, dir_fd=self._directory)

    def fsync_directory(self, name: str = ".") -> None:
        """See ``Disk``."""
        if name == ".":
            os.fsync(self._directory)
            return
        descriptor = os.open(name, _DIRECTORY, dir_fd=self._directory)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _advise(self, descriptor: int, advice: str) -> None:
        # Advice that the system does not know or cannot take only costs speed.
        if hasattr(os, "posix_fadvise"):
            with contextlib.suppress(OSError):
                os.posix_fadvise(descriptor, 0, 0, getattr(os, advice))
