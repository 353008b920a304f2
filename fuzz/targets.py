"""The targets by name: what each is about, and where its seeds are.

Rule: a target is a module with ``fuzz(data: bytes)``, which returns, or raises what it has found.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Final

TARGETS: Final = {
    "frames": "the frames of a stream, cut anywhere",
    "handshake": "hello, proof and refusal, at both ends",
    "codec": "the payload of a message",
    "records": "a record in portable form, and two that are merged",
    "values": "the packed value of an attribute",
    "session_files": "a store's directory, and a node that starts with it",
    "small_files": "the ring and the contacts, in files beside the sessions",
    "live_node": "two nodes with everything that is in them, and a stranger on their network",
}

CORPUS: Final = Path(__file__).resolve().parent / "corpus"
"""Inputs that are kept: a few of each kind, and every one that has found something."""


def load_target(name: str) -> Callable[[bytes], None]:
    """Return the function of the target ``name``."""
    fuzz: Callable[[bytes], None] = import_module(f"fuzz.{name}").fuzz
    return fuzz


def kept(name: str) -> list[Path]:
    """Return the files with the inputs that are kept for a target, by name."""
    return sorted((CORPUS / name).iterdir())
