"""A disk in memory that can fail, be killed at any call, and lose what was not synced.

Rules, as a file system may have it:
- A loss of power brings back, for each file, what was synced, or what was written since, or any
  beginning of it; and for each directory, what was synced and any of the changes since, each
  whole or not at all. Which directories there are is durable at once.
- After a failed fsync the content counts as clean: the next fsync succeeds and writes nothing.
- A killed process changes nothing more, not even in its ``finally``.
"""

import errno
from collections.abc import Callable
from random import Random

from attrs import define, field, frozen

from ring.errors import StoreLockedError


class Killed(BaseException):
    """The process is dead. Not an Exception: nothing may go on after it."""


@frozen
class Fault:
    """What one call does instead of succeeding.

    Attributes:
        number: the errno it fails with.
        short: a write takes half and fails at its next call instead.
    """

    number: int
    short: bool = False


@define
class _File:
    content: bytes = b""
    durable: bytes = b""
    is_dirty: bool = False


@frozen
class _Change:
    """One change of a directory, as it goes to the disk: whole or not at all."""

    removed: str | None = None
    added: tuple[str, _File] | None = None

    def apply(self, names: dict[str, _File]) -> None:
        if self.removed is not None:
            names.pop(self.removed, None)
        if self.added is not None:
            names[self.added[0]] = self.added[1]

    def is_in(self, directory: str) -> bool:
        """Whether a name of that directory is another one by this."""
        names = (self.removed, self.added[0] if self.added is not None else None)
        return any(name is not None and _directory(name) == directory for name in names)


def _directory(name: str) -> str:
    return name.rpartition("/")[0] or "."


@define
class SimulatedDisk:
    """A ``Disk`` whose every call is counted, and fails or kills as planned.

    Attributes:
        faults: what happens at the call of that number, counted from 1.
        killed_at: the number of the call that is never made.
        calls: the calls made, by name.
    """

    faults: dict[int, Fault] = field(factory=dict)
    killed_at: int | None = None
    calls: list[str] = field(factory=list)
    _names: dict[str, _File] = field(factory=dict)
    _durable_names: dict[str, _File] = field(factory=dict)
    _changes: list[_Change] = field(factory=list)
    _descriptors: dict[int, tuple[_File, int]] = field(factory=dict)
    _next_descriptor: int = 3
    _fails_next_write: int | None = None
    _directories: set[str] = field(factory=set)
    _is_attached: bool = False

    # --- what tests do ------------------------------------------------------------------------

    def restart(self) -> None:
        """Start another process: what the last one had open is closed, and its plan is over."""
        self._descriptors.clear()
        self._is_attached = False
        self._fails_next_write = None
        self.faults = {}
        self.killed_at = None
        self.calls = []

    def lose_power(self, random: Random) -> None:
        """Keep what was synced, and of the rest what ``random`` says; then restart."""
        self.restart()
        for change in self._changes:
            if random.random() < 0.5:
                change.apply(self._durable_names)
        self._changes.clear()
        self._names = dict(self._durable_names)
        for file in self._names.values():
            if file.content != file.durable:
                torn = file.content[: random.randrange(len(file.content) + 1)]
                file.content = file.durable = random.choice([file.durable, torn, file.content])
            file.is_dirty = False

    def files(self) -> dict[str, bytes]:
        """Return every file as a process sees it."""
        return {name: file.content for name, file in self._names.items()}

    def put(self, name: str, content: bytes) -> None:
        """Have a file there, durably, and the directory that it is in."""
        if (directory := _directory(name)) != ".":
            self._directories.add(directory)
        self._names[name] = self._durable_names[name] = _File(content, content)

    def durable(self, name: str) -> bytes | None:
        """Return what is certain of a file, should the power fail now; None: nothing."""
        file = self._durable_names.get(name)
        return file.durable if file is not None else None

    @property
    def open_descriptors(self) -> int:
        """How many descriptors the process has open."""
        return len(self._descriptors)

    # --- Disk ---------------------------------------------------------------------------------

    def attach(self) -> None:
        """See ``node.stores.disk.Disk``."""
        if self._is_attached:
            raise StoreLockedError("another process has this disk")
        self._is_attached = True

    def detach(self) -> None:
        """See ``node.stores.disk.Disk``."""
        self._is_attached = False

    def names(self) -> list[str]:
        """See ``node.stores.disk.Disk``."""
        self._call("names")
        return [name for name in self._names if "/" not in name]

    def create(self, name: str) -> int:
        """See ``node.stores.disk.Disk``."""
        self._call("create")
        if name in self._names:
            raise _error(errno.EEXIST)
        if (directory := _directory(name)) != "." and directory not in self._directories:
            raise _error(errno.ENOENT)
        file = _File()
        self._change(_Change(added=(name, file)))
        return self._descriptor(file)

    def open_again(self, name: str) -> int:
        """See ``node.stores.disk.Disk``."""
        self._call("open_again")
        return self._descriptor(self._file(name))

    def open_to_read(self, name: str) -> int:
        """See ``node.stores.disk.Disk``."""
        self._call("open_to_read")
        return self._descriptor(self._file(name))

    def read(self, descriptor: int, size: int) -> bytes:
        """See ``node.stores.disk.Disk``."""
        self._call("read")
        file, position = self._descriptors[descriptor]
        piece = file.content[position : position + size]
        self._descriptors[descriptor] = (file, position + len(piece))
        return piece

    def write(self, descriptor: int, content: memoryview) -> int:
        """See ``node.stores.disk.Disk``."""
        if self._fails_next_write is not None:
            number, self._fails_next_write = self._fails_next_write, None
            raise _error(number)
        fault = self.faults.get(len(self.calls) + 1)
        if fault is not None and fault.short:
            self.calls.append("write")
            self._fails_next_write = fault.number
            content = content[: len(content) // 2]
        else:
            self._call("write")
        file, position = self._descriptors[descriptor]
        end = position + len(content)
        file.content = file.content[:position] + bytes(content) + file.content[end:]
        file.is_dirty = True
        self._descriptors[descriptor] = (file, end)
        return len(content)

    def truncate(self, descriptor: int, size: int) -> None:
        """See ``node.stores.disk.Disk``."""
        self._call("truncate")
        file, _ = self._descriptors[descriptor]
        file.content = file.content[:size]
        file.is_dirty = True

    def start_writing(self, descriptor: int) -> None:
        """See ``node.stores.disk.Disk``."""
        assert descriptor in self._descriptors

    def start_reading(self, descriptor: int) -> None:
        """See ``node.stores.disk.Disk``."""
        assert descriptor in self._descriptors

    def fsync(self, descriptor: int) -> None:
        """See ``node.stores.disk.Disk``."""
        file, _ = self._descriptors[descriptor]

        def forget() -> None:
            file.is_dirty = False

        self._call("fsync", on_fault=forget)
        if file.is_dirty:
            file.durable = file.content
            file.is_dirty = False

    def close(self, descriptor: int) -> None:
        """See ``node.stores.disk.Disk``."""
        file = self._descriptors.pop(descriptor)
        try:
            self._call("close")
        except Killed:
            self._descriptors[descriptor] = file
            raise

    def rename(self, old: str, new: str) -> None:
        """See ``node.stores.disk.Disk``."""
        self._call("rename")
        self._change(_Change(removed=old, added=(new, self._file(old))))

    def link(self, old: str, new: str) -> None:
        """See ``node.stores.disk.Disk``."""
        self._call("link")
        if new in self._names:
            raise _error(errno.EEXIST)
        self._change(_Change(added=(new, self._file(old))))

    def unlink(self, name: str) -> None:
        """See ``node.stores.disk.Disk``."""
        self._call("unlink")
        self._file(name)
        self._change(_Change(removed=name))

    def private_size(self, name: str) -> int | None:
        """See ``node.stores.disk.Disk``."""
        self._call("private_size")
        file = self._file(name)
        has_one_name = sum(other is file for other in self._names.values()) == 1
        return len(file.content) if has_one_name else None

    def make_directory(self, name: str) -> None:
        """See ``node.stores.disk.Disk``."""
        self._call("make_directory")
        if name in self._directories:
            raise _error(errno.EEXIST)
        self._directories.add(name)

    def fsync_directory(self, name: str = ".") -> None:
        """See ``node.stores.disk.Disk``."""
        if name != "." and name not in self._directories:
            raise _error(errno.ENOENT)
        mine = [change for change in self._changes if change.is_in(name)]
        others = [change for change in self._changes if not change.is_in(name)]

        def forget() -> None:
            self._changes = others

        self._call("fsync_directory", on_fault=forget)
        for change in mine:
            change.apply(self._durable_names)
        forget()

    # --- parts --------------------------------------------------------------------------------

    def _call(self, name: str, on_fault: Callable[[], None] | None = None) -> None:
        if self.killed_at is not None and len(self.calls) + 1 >= self.killed_at:
            raise Killed
        self.calls.append(name)
        fault = self.faults.get(len(self.calls))
        if fault is not None:
            if on_fault is not None:
                on_fault()
            raise _error(fault.number)

    def _descriptor(self, file: _File) -> int:
        self._next_descriptor += 1
        self._descriptors[self._next_descriptor] = (file, 0)
        return self._next_descriptor

    def _file(self, name: str) -> _File:
        if name not in self._names:
            raise _error(errno.ENOENT)
        return self._names[name]

    def _change(self, change: _Change) -> None:
        change.apply(self._names)
        self._changes.append(change)


def _error(number: int) -> OSError:
    return OSError(number, errno.errorcode[number])
