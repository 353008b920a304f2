"""What several tests of the file store share: opening one, and reading it whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.stores import Disk, FileStore, OsDisk
from ring.effects import Notice
from ring.identity import SessionId

IDS = [SessionId(b"a.%022d" % number) for number in range(100)]


@contextmanager
def held(path: Path) -> Iterator[OsDisk]:
    """Hold a directory of this machine for the block, as the store of node a does."""
    disk = OsDisk(path, "a", lambda notice: None)
    disk.attach()
    try:
        yield disk
    finally:
        disk.detach()


def open_store(disk: Disk) -> tuple[FileStore, list[Notice]]:
    """Return a store on ``disk``, opened, and the list to which it reports."""
    notices: list[Notice] = []
    store = FileStore(disk, notices.append)
    store.open()
    return store, notices


def open_store_at(path: Path, notices: list[Notice] | None = None) -> FileStore:
    """Return a store of node a in a directory of this machine, opened."""
    report = (notices if notices is not None else []).append
    store = FileStore(OsDisk(path, "a", report), report)
    store.open()
    return store


def loaded(store: FileStore) -> dict[SessionId, bytes | None]:
    """Return every record that the store can read."""
    return {stored.session_id: stored.portable for stored in store.load()}
