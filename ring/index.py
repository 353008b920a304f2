"""Which sessions have which value of an attribute: kept where a table changes, read page by page.

Rules:
- A value is its packed bytes, as they are in the entry. What is longer than ``INDEXED_BYTES_MAX``
  is not indexed, nor is a structured attribute, of which only how many there are is known.
- An index tells what a table holds. Whether a session is alive and whole is for whoever reads the
  table afterwards to see.
- Namespaces are apart, and each is indexed by the attributes that are configured for it. One that
  has nothing here takes no room: whoever may name namespaces may name many.
- The ids of a value lie in chunks, and an id that comes goes into the last one. So who has read a
  chunk with others behind it has read all that will ever be in it, and who reads chunk after chunk
  misses nothing that was there all the time, whatever comes and goes meanwhile.
- No step costs more than a chunk, wherever in an index it begins.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias
from zlib import crc32

from attrs import define, field, frozen

from ring.clock import STAMP_BYTES
from ring.entry import PRINCIPAL
from ring.identity import SessionId, namespace_of
from ring.structured import kind_of, says_removed

CHUNK_IDS: Final = 256
"""Ids that are read in one step."""
INDEXED_BYTES_MAX: Final = 260
"""A packed value that is indexed; a name of 255 bytes takes 257."""

_VALUE_SHARDS: Final = 1024
_Chunks: TypeAlias = dict[int, dict[SessionId, None]]
"""Ids by the number of their chunk. Only the last one grows, and empty ones before it are gone."""

_STRUCTURED: Final = b"\xc1"
"""Stands for any structured value: no plain one begins with it."""


@frozen
class Place:
    """How far an index was read: what comes next is here or behind it."""

    shard: int = 0
    value: bytes = b""
    chunk: int = 0


@define
class _Part:
    """What an index has of one namespace."""

    structured: int = 0
    by_value: dict[int, dict[bytes, _Chunks]] = field(factory=dict)
    """By shard and value."""

    @property
    def is_empty(self) -> bool:
        return not self.by_value and not self.structured

    def add(self, session_id: SessionId, value: bytes) -> None:
        if value == _STRUCTURED:
            self.structured += 1
            return
        chunks = self.by_value.setdefault(_shard_of(value), {}).setdefault(value, {0: {}})
        last = next(reversed(chunks))
        if len(chunks[last]) >= CHUNK_IDS:
            last += 1
            chunks[last] = {}
        chunks[last][session_id] = None

    def remove(self, session_id: SessionId, value: bytes) -> None:
        if value == _STRUCTURED:
            self.structured -= 1
            return
        shard = self.by_value[_shard_of(value)]
        chunks = shard[value]
        number = next(each for each, ids in chunks.items() if session_id in ids)
        del chunks[number][session_id]
        if not chunks[number] and number != next(reversed(chunks)):
            del chunks[number]
        if len(chunks) == 1 and not next(iter(chunks.values())):
            del shard[value]
            if not shard:
                del self.by_value[_shard_of(value)]


_NOTHING: Final = _Part()


class Index:
    """The sessions of one table by namespace and the value of one attribute.

    Args:
        own: whether a namespace is covered, for those that have their own configuration.
        others: whether all other namespaces are.
    """

    __slots__ = ("_others", "_own", "_parts", "_values")

    def __init__(self, own: Mapping[str, bool] | None = None, *, others: bool = True) -> None:
        self._own = dict(own or {})
        self._others = others
        self._values: dict[SessionId, bytes] = {}
        self._parts: dict[str, _Part] = {}
        """By namespace; none is empty."""

    def __contains__(self, session_id: SessionId) -> bool:
        return session_id in self._values

    def __len__(self) -> int:
        return len(self._values)

    def covers(self, namespace: str) -> bool:
        """Return whether sessions of a namespace are found here."""
        return self._own.get(namespace, self._others)

    def structured(self, namespace: str) -> int:
        """Return how many sessions have the attribute as a map, a set or a counter."""
        return self._parts.get(namespace, _NOTHING).structured

    def note(self, session_id: SessionId, entry: bytes | None) -> None:
        """Note what a session has now; None: nothing."""
        value = _indexed(entry)
        old = self._values.get(session_id, b"")
        if value == old:
            return
        namespace = namespace_of(session_id)
        if not self.covers(namespace):
            return
        part = self._parts.setdefault(namespace, _Part())
        if old:
            part.remove(session_id, old)
        if value:
            self._values[session_id] = value
            part.add(session_id, value)
            return
        del self._values[session_id]
        if part.is_empty:
            del self._parts[namespace]

    def ids(
        self, namespace: str, value: bytes, place: Place
    ) -> Iterator[tuple[list[SessionId], Place | None]]:
        """Yield, from a place on, the ids of each chunk of a value and the place behind it.

        That of the last one is None. Do not change the table meanwhile.
        """
        by_value = self._parts.get(namespace, _NOTHING).by_value
        chunks = by_value.get(_shard_of(value), {}).get(value, {})
        last = next(reversed(chunks), -1)
        for number in [each for each in chunks if each >= place.chunk]:
            yield list(chunks[number]), Place(chunk=number + 1) if number < last else None

    def values(
        self, namespace: str, place: Place
    ) -> Iterator[tuple[bytes, list[SessionId], Place]]:
        """Yield value by value, from a place on, the ids of each chunk and the place behind it.

        Do not change the table meanwhile.
        """
        by_value = self._parts.get(namespace, _NOTHING).by_value
        for number in sorted(each for each in by_value if each >= place.shard):
            shard = by_value[number]
            first = place if number == place.shard else Place(number)
            for value in sorted(each for each in shard if each >= first.value):
                begins = first.chunk if value == first.value else 0
                for chunk in [each for each in shard[value] if each >= begins]:
                    yield value, list(shard[value][chunk]), Place(number, value, chunk + 1)


def indexes_of(
    names: Iterable[str] = (), own: Mapping[str, Iterable[str]] | None = None
) -> dict[bytes, Index]:
    """Return the indexes of a new table by the key of their attribute: always the principal's.

    Args:
        names: the other attributes that are indexed, but in the namespaces of ``own``.
        own: those that are indexed in namespaces that have their own configuration.
    """
    keys_of = {namespace: {*_keys(each)} for namespace, each in (own or {}).items()}
    keys = {*_keys(names)}
    return {PRINCIPAL: Index()} | {
        key: Index({name: key in each for name, each in keys_of.items()}, others=key in keys)
        for key in sorted(keys.union(*keys_of.values()))
    }


def _keys(names: Iterable[str]) -> Iterator[bytes]:
    return (name.encode() for name in names)


def _indexed(entry: bytes | None) -> bytes:
    """Return what an entry is indexed by; empty bytes: it is not."""
    if entry is None or says_removed(entry):
        return b""
    if kind_of(entry) is not None:
        return _STRUCTURED
    value = entry[STAMP_BYTES:]
    return value if len(value) <= INDEXED_BYTES_MAX else b""


def _shard_of(value: bytes) -> int:
    return crc32(value) % _VALUE_SHARDS
