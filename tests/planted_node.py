"""Bugs put into the node and into the wire, for whole nodes in virtual time to find.

    PYTHONPATH=.:tests python tests/planted_node.py [NAME...]

prints the first small seed below 100 that finds each, and what it breaks.
"""

import argparse
import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import trio
from ablations import ABLATIONS, Ablation, replaced
from attrs import evolve

from node.driver import Driver
from node.link import Link, LinkEnd
from node.persisting import Persisting
from node.stores.base import Stored
from node.stores.file import FileStore
from ring.identity import LinkId, SessionId
from ring.messages import Message
from simulations.drawing import draw_plan
from simulations.plan import Level, Plan
from simulations.run import failing_promises, run
from wire.framing import FrameReader

# --- Disks ---

_write_batch = Persisting._write_batch


async def _hasty(self: Persisting) -> None:
    ids = list(self._dirty)
    versions = {each: found[0] for each in ids if (found := self._owner.persistent(each))}
    self._owner.on_persisted(versions)
    await _write_batch(self)


_note = Persisting._note


def _note_no_failure(
    self: Persisting, versions: dict[SessionId, int], failures: Mapping[SessionId, OSError]
) -> None:
    _note(self, versions, {})


def _open_unlocked(self: FileStore) -> None:
    self._remove_leftovers()
    self._disk.fsync_directory()


def _load_nothing(self: FileStore) -> Iterable[Stored]:
    return iter(())


# --- Links ---


async def _write_on(self: Link) -> None:
    while True:
        await self._bell.wait()
        while not self.is_closing and (data := self._pack()):
            with trio.move_on_after(1.0), contextlib.suppress(OSError):
                await self._stream.send_all(data)


def _finish_alone(self: Link, end: LinkEnd) -> None:
    if self._end is None:
        self._end = end


_on_messages = Driver.on_messages


def _on_messages_of_the_latest(self: Driver, link_id: LinkId, messages: list[Message]) -> None:
    peer = self.links[link_id]._connection.peer
    same = [each for each, link in self.links.items() if link._connection.peer == peer]
    _on_messages(self, max(same), messages)


# --- Frames ---

_next_frame = FrameReader.next_frame


def _next_frame_and_more(self: FrameReader) -> bytes | None:
    payload = _next_frame(self)
    if payload is not None and self.unread_bytes:
        self._start += 1
    return payload


PLANTED_NODE: Final[dict[str, Callable[[], Ablation]]] = {
    "acknowledge before the disk has it": replaced((Persisting, "_write_batch", _hasty)),
    "swallow a full disk": replaced((Persisting, "_note", _note_no_failure)),
    "lock no directory": replaced((FileStore, "open", _open_unlocked)),
    "load nothing": replaced((FileStore, "load", _load_nothing)),
    "go on after a broken send": replaced((Link, "_write", _write_on)),
    "leave the tasks of a link": replaced((Link, "_finish", _finish_alone)),
    "take a late frame for one of today": replaced(
        (Driver, "on_messages", _on_messages_of_the_latest)
    ),
    "read past a frame": replaced((FrameReader, "next_frame", _next_frame_and_more)),
    "serve before recovery": ABLATIONS["serve from the disk at once"],
}

SEEDS: Final = [seed for seed in range(100) if draw_plan(seed).members <= 3]
"""Small rings: a seed takes half a second."""


def short(seed: int) -> Plan:
    """Return the plan of a seed, ended early: what is found is found soon."""
    return evolve(draw_plan(seed), duration_s=15.0)


def look_for(name: str) -> tuple[int, list[str]] | None:
    """Return the first seed that finds a bug, and what it breaks."""
    with PLANTED_NODE[name]():
        for seed in SEEDS:
            if promises := failing_promises(run(short(seed), level=Level.NODE)):
                return seed, list(promises)
    return None


def main() -> None:
    """Look for a seed for each name that was given, or for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(PLANTED_NODE))
    for name in parser.parse_args().names:
        found = look_for(name)
        print(f"{name}: {'not found' if found is None else f'seed {found[0]}, {found[1]}'}")


if __name__ == "__main__":
    main()
