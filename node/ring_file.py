"""The ring that was adopted last, in a file beside the sessions: it survives a restart.

Rules:
- It is in a directory of its own inside that of the store, which is this node's alone and locked.
- The greater version counts: the file's of the configuration, or the one kept here. A node whose
  configuration is older than what the ring has agreed on since goes on with the latter.
- A file that cannot be read or written is reported and no reason to stop: the others tell the ring.
"""

import logging
from pathlib import Path
from typing import Final

from node.log import log_event
from node.ring_text import ring_from_text, ring_to_text
from node.small_file import DamagedFileError, read_small_file, write_small_file
from node.stores.disk import Disk
from ring.errors import ConfigError
from ring.placement import Ring

_DIRECTORY: Final = "ring"
_FILE: Final = "ring.toml"
_HEADING: Final = "# The ring as this node has adopted it. Written by sessionring; do not edit.\n\n"


class RingFile:
    """Where a node keeps the ring.

    Args:
        disk: that of the store, which is held while this is used.
        store_directory: where it is, to tell people.
    """

    def __init__(self, disk: Disk, store_directory: Path) -> None:
        self._disk = disk
        self.path = store_directory / _DIRECTORY / _FILE

    def read(self) -> Ring | None:
        """Return the ring that is kept; None: there is none, or none that can be read."""
        try:
            return ring_from_text(read_small_file(self._disk, _DIRECTORY, _FILE))
        except FileNotFoundError:
            return None
        except (OSError, DamagedFileError, ConfigError) as error:
            fields = {"file": str(self.path), "reason": str(error)}
            log_event(logging.WARNING, "ring_file_unreadable", fields)
            return None

    def write(self, ring: Ring) -> bool:
        """Keep ``ring``, durably, and return whether it is; what was kept stays until then."""
        try:
            write_small_file(self._disk, _DIRECTORY, _FILE, _HEADING + ring_to_text(ring))
        except OSError as error:
            fields = {"file": str(self.path), "reason": str(error)}
            log_event(logging.WARNING, "ring_file_unwritten", fields)
            return False
        return True

    def latest(self, configured: Ring, name: str) -> Ring:
        """Return the ring with which the node ``name`` starts: the configured one or a later one.

        Raises:
            ConfigError: the ring has gone on without this node, or with another content.
        """
        kept = self.read()
        if kept is None or kept.name != configured.name or kept == configured:
            return configured
        if kept.version == configured.version:
            raise ConfigError(
                f"ring.version is {configured.version}, and this node has adopted another ring of "
                f"that version, which is in {self.path}; raise ring.version with every change"
            )
        if kept.version < configured.version:
            self.write(configured)
            return configured
        if name not in kept.addresses:
            raise ConfigError(
                f"{name!r} was removed from the ring in its version {kept.version}, which is in "
                f"{self.path}; to let it in again, list it in a greater version"
            )
        fields = {"version": kept.version, "configured": configured.version}
        log_event(logging.INFO, "ring_kept", fields)
        return kept
