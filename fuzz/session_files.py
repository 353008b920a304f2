"""Target: the directory of a store, with files that anybody may have written or damaged.

What is loaded is what a store has written; all else is set aside, and stops neither the store nor
the node that starts.

Input: files one after the other: how each was made, then what it is made of.
"""

import struct
from collections.abc import Callable
from hashlib import blake2b
from random import Random
from typing import Final

import trio

from fuzz.drawn import Drawn
from fuzz.messages import NOW_MS, portable, session_id
from node.loading import load, opened
from node.log import SessionTagger
from node.stores.base import Stored
from node.stores.file import FileStore
from node.stores.session_file import SESSION_SUFFIX, encode, file_name
from node.timekeeping import Timekeeper
from ring import Clock, Record, Replica
from ring.effects import Notice
from ring.errors import StoreError
from ring.identity import SessionId
from ring.placement import Member, Ring
from ring.settings import Settings
from simulations.whole.files import SimulatedDisk
from simulations.whole.guest import threads_replaced

FILES_MAX: Final = 4
RING: Final = Ring("world", tuple(Member(name, f"{name}.world:1") for name in "abc"))


def fuzz(data: bytes) -> None:
    """Check one input."""
    drawn, disk = Drawn(data), SimulatedDisk()
    whole = set[bytes]()
    for _ in range(1 + drawn.number(FILES_MAX - 1)):
        content, is_whole = _content(drawn)
        disk.put(_name(drawn, content), content)
        whole |= {content} if is_whole else set()
    before = disk.files()
    told = list[Notice]()
    store = FileStore(disk, told.append)
    store.open()
    loaded = list(store.load())
    store.close()
    assert disk.open_descriptors == 0
    assert whole >= {encode(each) for each in loaded}, "a damaged file was believed"
    left = {name: content for name, content in disk.files().items() if "/" not in name}
    assert left == {file_name(each.session_id): encode(each) for each in loaded}
    aside = [content for name, content in disk.files().items() if name not in left]
    assert sorted([*aside, *left.values()]) == sorted(before.values()), "a file was deleted"
    assert len([each for each in told if each.event == "store_file_set_aside"]) == len(aside)
    _check_start(store, loaded)


def _content(drawn: Drawn) -> tuple[bytes, bool]:
    """Return what is in a file: good, damaged, or made by somebody; and whether it may be read."""
    match drawn.number(3):
        case 0:
            return encode(_stored(drawn)), True
        case 1:
            good = encode(_stored(drawn))
            damaged = bytearray(good)
            for _ in range(1 + drawn.number(3)):
                damaged[drawn.number(len(damaged) - 1)] ^= 1 << drawn.number(7)
            torn = bytes(damaged[: len(damaged) - drawn.number(len(damaged))])
            return torn, torn == good
        case 2:
            return _sealed(drawn), True
        case _:
            return drawn.some(200), False


def _name(drawn: Drawn, content: bytes) -> str:
    match drawn.number(3):
        case 0:
            return file_name(SessionId(content[40 : 40 + int.from_bytes(content[10:12], "big")]))
        case 1:
            return file_name(session_id(drawn))
        case 2:
            return drawn.some(8).hex() + SESSION_SUFFIX
        case _:
            return f"notes{drawn.number(3)}.txt"


def _stored(drawn: Drawn) -> Stored:
    written_ms = drawn.u64() if drawn.maybe() else NOW_MS
    return Stored(session_id(drawn), portable(drawn), written_ms)


def _sealed(drawn: Drawn) -> bytes:
    """Return a file with the right checksum, which holds anything."""
    id_bytes = drawn.number(60)
    body = drawn.some(300)
    head = struct.pack(
        ">8sHHIQ",
        b"ssnring\n",
        1 + drawn.number(2),
        id_bytes,
        max(0, len(body) - id_bytes) + drawn.number(1),
        drawn.u64(),
    )
    return head + blake2b(head + body, digest_size=16).digest() + body


def _check_start(store: FileStore, loaded: list[Stored]) -> None:
    """Have a node begin with what is on the disk, as it does; it has that, and nothing else."""
    replica = trio.run(_start, store)
    if replica is None:
        return
    good = {each.session_id: each.portable for each in loaded}
    for each in map(SessionId, replica.session_ids()):
        record = replica.record(each)
        assert record is not None
        assert record.entries == Record.from_portable(good[each], 0.0).entries


async def _start(store: FileStore) -> Replica | None:
    """Return the replica of a node that has read the store; None: the node says that it cannot."""
    timekeeper = Timekeeper(lambda: NOW_MS)
    clock = Clock(timekeeper.wall_ms_at_start, timekeeper.started)
    replica = Replica(RING, "a", Settings(), clock, Random(1), has_store=True)
    with threads_replaced(_at_once):
        async with opened(store):
            try:
                await load(store, replica, timekeeper, SessionTagger(b"key"))
            except StoreError:
                return None
    replica.start(timekeeper.now())
    replica.on_tick(timekeeper.now())
    return replica


async def _at_once(call: Callable[[], object]) -> object:
    return call()
