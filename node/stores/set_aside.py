"""Where a store puts what it cannot read, and what counts no more: out of the way, and kept.

Rules:
- Nothing is deleted, and no file that was set aside earlier is overwritten.
- A file that cannot be moved stays where it is; that is reported, and stops nothing.
"""

import contextlib
from itertools import count
from typing import Final

from node.stores.base import Report
from node.stores.disk import Disk
from ring.effects import Notice

SET_ASIDE: Final = "set-aside"
"""The name of the directory, inside the store's."""


class SetAside:
    """The files of one disk that are not, or no longer, its sessions.

    Args:
        disk: where they are.
        report: is told of each file, by its name, which is a hash.
    """

    def __init__(self, disk: Disk, report: Report) -> None:
        self._disk = disk
        self._report = report
        self._moved = False

    def take(self, name: str, reason: str, remedy: str) -> None:
        """Move the file called ``name`` here, and report why, and what to do."""
        fields: dict[str, str | int | float | bool] = {
            "file": name,
            "reason": reason,
            "remedy": remedy,
        }
        try:
            fields["moved_to"] = self.put(name, name)
        except OSError as error:
            fields["left_because"] = str(error.strerror)
            self._report(Notice("store_file_left", fields, alarming=True))
        else:
            self._report(Notice("store_file_set_aside", fields, alarming=True))

    def sync(self) -> None:
        """Make what was moved durable, as far as the disk lets."""
        if self._moved:
            # Whatever is forgotten is found and set aside again at the next start.
            with contextlib.suppress(OSError):
                self._disk.fsync_directory(SET_ASIDE)
                self._disk.fsync_directory()
            self._moved = False

    def put(self, old: str, name: str) -> str:
        """Move the file called ``old`` here, under a name that begins with ``name``; return that.

        Raises:
            OSError: it is where it was.
        """
        with contextlib.suppress(FileExistsError):
            self._disk.make_directory(SET_ASIDE)
        place = self._free_place(name)
        try:
            self._disk.rename(old, place)
        except OSError:
            with contextlib.suppress(OSError):
                self._disk.unlink(place)
            raise
        self._moved = True
        return place

    def _free_place(self, name: str) -> str:
        """Return a name here that nobody has, held by an empty file: a rename would overwrite."""
        for number in count(1):
            place = f"{SET_ASIDE}/{name}.{number}"
            try:
                self._disk.close(self._disk.create(place))
            except FileExistsError:
                continue
            return place
        raise AssertionError("there is always a greater number")
