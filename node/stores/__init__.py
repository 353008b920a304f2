"""Stores: what a node keeps beyond its own life."""

from node.stores.base import Report, Store, Stored
from node.stores.disk import Disk, OsDisk
from node.stores.file import FileStore

__all__ = ["Disk", "FileStore", "OsDisk", "Report", "Store", "Stored"]
