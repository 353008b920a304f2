"""A store in a directory: one file for each session, replaced as a whole.

Rules:
- A file under a session's name is whole and durable, always: it is written under a temporary
  name, synced, renamed, and the directory is synced. Only then is the change not a failure.
- After a failed fsync nothing is known of that file, and the system may call it clean: it is
  dropped and written anew, never synced again.
- A removal whose directory sync failed may come back after a loss of power, even if it is repeated:
  the file is gone for the system, and nothing is left to sync. A session that comes back has aged.
- What cannot be read is moved to ``set-aside`` under a name of its own and reported; where it
  cannot be moved it is left and reported. It is never deleted, and never stops the start.

One flat directory, so that a batch needs one directory sync, however its names fall. Groups of
64 files: ext4 with a journal took 0.40 ms for each session that was written and synced by itself,
0.37 ms when all were written before the first was synced, and 0.13 ms with the write-out of all
started before the first sync. Read from a cold disk, 64 files ahead took half as long.

Source: Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020;
Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
"""

import contextlib
import errno
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Final

from attrs import frozen

from node.stores.base import Report, Stored
from node.stores.disk import Disk
from node.stores.session_file import (
    FILE_BYTES_MAX,
    SESSION_SUFFIX,
    TEMPORARY_SUFFIX,
    UnreadableFileError,
    decode,
    encode,
    file_name,
)
from node.stores.set_aside import SetAside
from node.stores.spares import Spares
from ring.effects import Notice
from ring.errors import StoreError
from ring.identity import SessionId

GROUP_FILES: Final = 64
"""Files open at once. Larger: fewer commits of the file system's journal, more descriptors."""

_READ_BYTES: Final = 64 << 10
_PROCESS_IS_SHORT: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


@frozen
class _Temporary:
    """A file that is being written, and is not in its place yet."""

    session_id: SessionId
    name: str
    descriptor: int


class FileStore:
    """A ``Store`` whose records are files on ``disk``.

    Args:
        disk: the directory; it is nobody else's while the store is open.
        report: takes what people should know; called in the thread that calls the store.
    """

    def __init__(self, disk: Disk, report: Report) -> None:
        self._disk = disk
        self._report = report
        self._serials = count(1)
        self._spares = Spares(disk, self._temporary_name)
        self._set_aside = SetAside(disk, report)

    # --- opening and closing ------------------------------------------------------------------

    def open(self) -> None:
        """See ``Store``."""
        self._disk.attach()
        try:
            self._remove_leftovers()
            # A killed process may have renamed and not synced: what is loaded shall be durable.
            self._disk.fsync_directory()
        except OSError as error:
            self._disk.detach()
            raise StoreError(f"the store cannot be opened ({error}): check its disk") from error

    def close(self) -> None:
        """See ``Store``."""
        self._spares.unlink_all()
        self._disk.detach()

    def _remove_leftovers(self) -> None:
        """Unlink what a killed process left half-made; nobody was promised any of it."""
        removed = 0
        for name in self._disk.names():
            if not name.endswith(TEMPORARY_SUFFIX):
                continue
            try:
                self._disk.unlink(name)
            except OSError as error:
                fields = {"file": name, "left_because": str(error.strerror)}
                self._report(Notice("store_leftover_left", dict(fields), alarming=True))
            else:
                removed += 1
        if removed:
            self._report(Notice("store_leftovers_removed", {"files": removed}))

    # --- reading ------------------------------------------------------------------------------

    def load(self) -> Iterator[Stored]:
        """See ``Store``."""
        try:
            names = self._disk.names()
        except OSError as error:
            raise StoreError(f"the store cannot be listed ({error}): check its disk") from error
        for name in names:
            if not name.endswith((SESSION_SUFFIX, TEMPORARY_SUFFIX)):
                self._set_aside.take(
                    name, "it is not a session file", "keep files elsewhere than in the store"
                )
        waiting = [name for name in reversed(names) if name.endswith(SESSION_SUFFIX)]
        try:
            while waiting:
                yield from self._read_group(waiting)
        finally:
            self._set_aside.sync()

    def _read_group(self, waiting: list[str]) -> list[Stored]:
        """Take some names off the end of ``waiting``, and return what their files hold."""
        opened = self._open_group(waiting)
        for _, descriptor in opened:
            self._disk.start_reading(descriptor)
        found = []
        for name, descriptor in opened:
            try:
                try:
                    content = self._read_file(descriptor)
                finally:
                    self._disk.close(descriptor)
                found.append(decode(name, content))
            except OSError as error:
                self._set_aside.take(
                    name, f"it cannot be read ({error.strerror})", "check the disk"
                )
            except UnreadableFileError as error:
                self._set_aside.take(name, str(error), error.remedy)
        return found

    def _open_group(self, waiting: list[str]) -> list[tuple[str, int]]:
        opened: list[tuple[str, int]] = []
        while waiting and len(opened) < GROUP_FILES:
            name = waiting.pop()
            try:
                opened.append((name, self._disk.open_to_read(name)))
            except FileNotFoundError:
                continue
            except OSError as error:
                # That this process is short of descriptors says nothing about the file.
                if error.errno not in _PROCESS_IS_SHORT:
                    reason = f"it cannot be opened ({error.strerror})"
                    self._set_aside.take(name, reason, "check its owner, its mode and the disk")
                elif opened:
                    waiting.append(name)
                    break
                else:
                    raise StoreError(
                        f"the store cannot be read ({error.strerror}): allow this process more "
                        "open files (ulimit -n)"
                    ) from error
        return opened

    def _read_file(self, descriptor: int) -> bytes:
        """Return the content of a file, which nearly always is one piece."""
        piece = self._disk.read(descriptor, _READ_BYTES)
        pieces = [piece]
        while len(piece) == _READ_BYTES:
            if len(pieces) * _READ_BYTES > FILE_BYTES_MAX:
                raise UnreadableFileError("it is larger than any session", "see what wrote it")
            piece = self._disk.read(descriptor, _READ_BYTES)
            pieces.append(piece)
        return b"".join(pieces)

    # --- writing ------------------------------------------------------------------------------

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """See ``Store``."""
        latest = dict(changes)
        records = [
            Stored(session_id, portable, written_ms)
            for session_id, portable in latest.items()
            if portable is not None
        ]
        removals = [session_id for session_id, portable in latest.items() if portable is None]
        failures: dict[SessionId, OSError] = {}
        for start in range(0, len(records), GROUP_FILES):
            for written in self._write_group(records[start : start + GROUP_FILES], failures):
                try:
                    self._spares.replace(written.name, file_name(written.session_id))
                except OSError as error:
                    failures[written.session_id] = error
                    self._discard(written.name)
        for session_id in removals:
            try:
                self._disk.unlink(file_name(session_id))
            except FileNotFoundError:
                continue
            except OSError as error:
                failures[session_id] = error
        try:
            self._disk.fsync_directory()
        except OSError as error:
            self._spares.unlink_unsynced()
            return {**dict.fromkeys(latest, error), **failures}
        self._spares.on_directory_synced()
        return failures

    def set_aside(
        self, records: Sequence[tuple[SessionId, bytes]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        """See ``Store``."""
        stored = [Stored(session_id, portable, written_ms) for session_id, portable in records]
        failures: dict[SessionId, OSError] = {}
        for start in range(0, len(stored), GROUP_FILES):
            for written in self._write_group(stored[start : start + GROUP_FILES], failures):
                try:
                    self._set_aside.put(written.name, file_name(written.session_id))
                except OSError as error:
                    failures[written.session_id] = error
                    self._discard(written.name)
        self._set_aside.sync()
        return failures

    def _write_group(
        self, records: Sequence[Stored], failures: dict[SessionId, OSError]
    ) -> list[_Temporary]:
        """Write and sync a file for each record, and return those that are durable, closed."""
        written: list[_Temporary] = []
        for record in records:
            try:
                written.append(self._write_temporary(record))
            except OSError as error:
                failures[record.session_id] = error
        for temporary in written:
            self._disk.start_writing(temporary.descriptor)
        durable: list[_Temporary] = []
        for temporary in written:
            try:
                try:
                    self._disk.fsync(temporary.descriptor)
                finally:
                    self._disk.close(temporary.descriptor)
                durable.append(temporary)
            except OSError as error:
                failures[temporary.session_id] = error
                self._discard(temporary.name)
        return durable

    def _write_temporary(self, record: Stored) -> _Temporary:
        content = encode(record)
        if len(content) > FILE_BYTES_MAX:
            # It would be taken for a stranger's when it is read.
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        name, descriptor = self._open_temporary()
        try:
            left = memoryview(content)
            while left:
                # A full disk can show as a short count and no error, until the next write.
                size = self._disk.write(descriptor, left)
                if size == 0:
                    raise OSError(errno.EIO, "the disk takes nothing and gives no reason")
                left = left[size:]
            self._disk.truncate(descriptor, len(content))
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.close(descriptor)
            self._discard(name)
            raise
        return _Temporary(record.session_id, name, descriptor)

    def _open_temporary(self) -> tuple[str, int]:
        """Return the name and the descriptor of a file to write: a spare's, or a new one's."""
        spare = self._spares.take()
        if spare is not None:
            try:
                return spare, self._disk.open_again(spare)
            except OSError:
                self._discard(spare)
        while True:
            name = self._temporary_name()
            try:
                return name, self._disk.create(name)
            except FileExistsError:
                # A leftover that could not be removed when the store was opened.
                continue

    def _discard(self, name: str) -> None:
        with contextlib.suppress(OSError):
            self._disk.unlink(name)

    def _temporary_name(self) -> str:
        return f"{next(self._serials)}{TEMPORARY_SUFFIX}"
