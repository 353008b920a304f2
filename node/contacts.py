"""With whom a node was in contact, and when it was alive, in a file beside the sessions.

A node that was apart from a member for longer than ends are remembered must not merge with it what
it has; after a restart it knows from here how long that was.

Rules:
- The file is written now and then, and when the node stops, so it makes the time look longer by at
  most that pause, and never shorter.
- Times are those of the wall clock, in milliseconds. Of a clock that was set back since, nothing
  is believed that would lie in the future.
- A file that cannot be read is reported, and counts as none: then the youngest session tells how
  long the node was away.
"""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NoReturn

import trio

from node.driver import Driver
from node.log import log_event
from node.small_file import DamagedFileError, read_small_file, write_small_file
from node.stores.disk import Disk
from node.timekeeping import Timekeeper
from ring.replica import Replica

WRITTEN_EVERY_S: Final = 3600.0
WRITTEN_IN_RETENTION: Final = 8
"""Times in one retention that the file is written at least."""

_DIRECTORY: Final = "contacts"
_FILE: Final = "contacts.txt"
_HEADING: Final = "sessionring contacts 1"
"""The last word is the version of the form."""
_LINE: Final = re.compile("([a-z0-9-]{1,32}) (-?[0-9]{1,18})")
"""Below zero: a clock that was set back to 1970 has written it."""


def contacts_to_text(contacts_ms: Mapping[str, int]) -> str:
    """Return the text that says, by member, when the last contact was, in milliseconds."""
    lines = [f"{name} {wall_ms}" for name, wall_ms in sorted(contacts_ms.items())]
    return "\n".join([_HEADING, *lines]) + "\n"


def contacts_from_text(text: str) -> dict[str, int]:
    """Return what ``text`` says.

    Raises:
        DamagedFileError: it is not what ``contacts_to_text`` writes.
    """
    heading, *lines = text.removesuffix("\n").split("\n")
    if heading != _HEADING:
        raise DamagedFileError(f"it begins with {heading[:40]!r}, not with {_HEADING!r}")
    contacts_ms = dict[str, int]()
    for line in lines:
        found = _LINE.fullmatch(line)
        if found is None or found[1] in contacts_ms:
            raise DamagedFileError("a line is not the name of a member and a time, or comes twice")
        contacts_ms[found[1]] = int(found[2])
    return contacts_ms


class ContactsFile:
    """Where a node keeps it.

    Args:
        disk: that of the store, which is held while this is used.
        store_directory: where it is, to tell people.
    """

    def __init__(self, disk: Disk, store_directory: Path) -> None:
        self._disk = disk
        self.path = store_directory / _DIRECTORY / _FILE

    def read(self) -> dict[str, int]:
        """Return, by member, the wall clock in milliseconds of the last contact; none: empty."""
        try:
            return contacts_from_text(read_small_file(self._disk, _DIRECTORY, _FILE))
        except FileNotFoundError:
            return {}
        except (OSError, DamagedFileError) as error:
            self._report("contacts_unreadable", error)
            return {}

    def write(self, contacts_ms: Mapping[str, int]) -> None:
        """Keep it, durably."""
        try:
            write_small_file(self._disk, _DIRECTORY, _FILE, contacts_to_text(contacts_ms))
        except OSError as error:
            self._report("contacts_unwritten", error)

    def _report(self, event: str, error: Exception) -> None:
        fields = {"file": str(self.path), "reason": str(error)}
        log_event(logging.WARNING, event, fields)


async def restore_contacts(file: ContactsFile, replica: Replica, timekeeper: Timekeeper) -> None:
    """Tell ``replica`` what an earlier life of this node has written down."""
    contacts_ms = await trio.to_thread.run_sync(file.read)
    wall_ms = timekeeper.wall_ms()
    ages_s = {name: max(0, wall_ms - at_ms) / 1000 for name, at_ms in contacts_ms.items()}
    replica.restore_contacts(ages_s, timekeeper.now())


class Contacts:
    """The task that writes the file.

    Args:
        file: where to.
        driver: has the replica that knows.
        timekeeper: the node's clock.
        retention_s: that of the node.
    """

    def __init__(
        self, file: ContactsFile, driver: Driver, timekeeper: Timekeeper, retention_s: float
    ) -> None:
        self._file = file
        self._driver = driver
        self._timekeeper = timekeeper
        self._pause_s = min(WRITTEN_EVERY_S, retention_s / WRITTEN_IN_RETENTION)

    async def run(self) -> NoReturn:
        """Write it now and then, for ever."""
        # Until it is ready it may still have what it must not have any more.
        await self._driver.wait_ready()
        while True:
            await self.write()
            await trio.sleep(self._pause_s)

    async def write(self) -> None:
        """Write it now, if the node has been ready."""
        replica = self._driver.replica
        if replica.ready:
            wall_ms = self._timekeeper.wall_ms()
            ages_s = replica.contacts(self._timekeeper.now())
            if not ages_s:
                return
            contacts_ms = {name: wall_ms - round(1000 * age) for name, age in ages_s.items()}
            await trio.to_thread.run_sync(self._file.write, contacts_ms)
