"""Stores: what a node keeps beyond its own life."""

from node.stores.base import Report, Store, Stored
from node.stores.disk import Disk, OsDisk
from node.stores.file import FileStore
from node.stores.memory import MemoryStore
from node.stores.saved import SavedSession, SavedSessions

__all__ = [
    "Disk",
    "FileStore",
    "MemoryStore",
    "OsDisk",
    "Report",
    "SavedSession",
    "SavedSessions",
    "Store",
    "Stored",
]
