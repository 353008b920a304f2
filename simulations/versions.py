"""How each client writes its versions into a session: every kind of attribute has its writers.

Rules:
- A client only ever writes its own part, and its versions rise; so a read tells which of its
  writes are in force, whatever the others have done meanwhile.
- What merges part by part is shared: a map and a counter that all of their clients create, and add
  to, at the same time. So a floor that ends what it should not is a change that is lost.
- A set is replaced as a whole with every write. If a member of an older one stands beside the
  newer, the older one is what is read: so one that should be gone is a stale answer.
"""

from collections.abc import Iterable
from typing import Final

import msgpack

from ring import Record
from ring.clock import STAMP_BYTES, Stamp
from ring.entry import NIL
from ring.structured import (
    Kind,
    ensuring,
    marker,
    member_key,
    members,
    shard_entry,
    shard_key,
    total,
)

MAP: Final = b"all-visits"
COUNTER: Final = b"all-points"

_WAYS: Final = 4
_FLOOR: Final = Stamp(1)
"""What all count from: nobody ever sets the counter."""


def changes_of(client: int, version: int) -> tuple[tuple[bytes, bytes | None], ...]:
    """Return what a client asks to be changed when it writes ``version``."""
    packed = msgpack.packb(version)
    match client % _WAYS:
        case 0:
            return ((_name(client), packed),)
        case 1:
            return (MAP, ensuring(Kind.MAP)), (member_key(MAP, _name(client)), packed)
        case 2:
            name = _name(client)
            return (name, marker(Kind.SET)), (member_key(name, packed), NIL)
        case _:
            # As many points as versions, one by one; most of them are given in one go.
            shard = (_shard(client), shard_entry(version, version))
            return (COUNTER, ensuring(Kind.COUNTER)), shard


def version_in(record: Record, client: int) -> int | None:
    """Return the version of a client that is in force in a record; None: it has written none."""
    match client % _WAYS:
        case 0:
            packed = record.value(_name(client))
        case 1:
            packed = (members(record.entries, MAP) or {}).get(_name(client))
        case 2:
            packed = min(members(record.entries, _name(client)) or {}, key=_number, default=None)
        case _:
            entry = record.entries.get(_shard(client))
            packed = entry[STAMP_BYTES:] if entry is not None else None
    return _number(packed) if packed is not None else None


def versions_in(record: Record, clients: Iterable[int]) -> dict[int, int]:
    """Return the versions that are in force, by client."""
    found = {client: version_in(record, client) for client in clients}
    points = sum(found[client] or 0 for client in found if client % _WAYS == _WAYS - 1)
    assert points == (total(record.entries, COUNTER) or 0), "a counter is the sum of its shards"
    return {client: version for client, version in found.items() if version is not None}


def _name(client: int) -> bytes:
    return b"client-%d" % client


def _shard(client: int) -> bytes:
    return shard_key(COUNTER, _FLOOR, client.to_bytes(8, "big"))


def _number(packed: bytes) -> int:
    number = msgpack.unpackb(packed)
    assert isinstance(number, int)
    return number
