"""Overwrites: two nodes' values of one plain attribute, of which neither had seen the other.

One of them is lost, though its save was acknowledged. While an application is developed, people
want to know which attributes that happens to.

Rules:
- A node remembers what it has written itself, and which stamp its value had taken the place of. A
  value that comes with a stamp between the two was not seen by the one that was written here, nor
  had its writer seen that one: it would have stamped it higher.
- A value that comes with a higher stamp has not seen the one that was written here if no other
  member was ever told of that.
- So what is told is so, as a rule: an acknowledgement may have been lost with its link. And some is
  not told: what was written before a rotation or a restart, or long ago, or is known to a third
  member from which the other side had not heard.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from attrs import define, field

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp
from ring.identity import SessionId
from ring.record import Record
from ring.structured import SHARD, kind_of

SESSIONS_MAX: Final = 16_384
"""Sessions of which writes are remembered; the oldest is forgotten first."""

_STAMPS_MAX: Final = 16
"""Writes of one attribute that are remembered one by one."""


@define
class _Written:
    """What this node has written of one attribute, without interruption."""

    base: Stamp
    """The stamp of what it took the place of."""
    stamps: list[Stamp] = field(factory=list)
    is_known: bool = False
    """Another member was told of the last one."""


class Overwrites:
    """What this node has written lately."""

    def __init__(self) -> None:
        self._written: dict[SessionId, dict[bytes, _Written]] = {}

    def note_written(
        self, session_id: SessionId, before: Mapping[bytes, bytes], record: Record
    ) -> None:
        """Note a write of this node.

        Args:
            session_id: of which session.
            before: its entries until then.
            record: the session as it is now.
        """
        written = self._written.pop(session_id, {})
        for key, entry in record.entries.items():
            old = before.get(key)
            if entry == old or not _is_plain(key, entry):
                continue
            base = entry_stamp(old) if old is not None else Stamp(0)
            known = written.get(key)
            if known is None or known.stamps[-1] != base:
                known = written[key] = _Written(base)
            known.stamps.append(entry_stamp(entry))
            known.is_known = False
            if len(known.stamps) > _STAMPS_MAX:
                known.base = known.stamps.pop(0)
        if written:
            self._written[session_id] = written
        if len(self._written) > SESSIONS_MAX:
            del self._written[next(iter(self._written))]

    def note_known(self, session_id: SessionId) -> None:
        """Note that another member is told all that this node has of a session."""
        for written in self._written.get(session_id, {}).values():
            written.is_known = True

    def found(self, session_id: SessionId, held: Record, incoming: Record) -> Iterator[bytes]:
        """Yield the attributes of which two values meet that have not seen each other.

        Args:
            session_id: of which session.
            held: what is here.
            incoming: what comes, before it is merged.
        """
        for key, written in self._written.get(session_id, {}).items():
            ours, theirs = held.entries.get(key), incoming.entries.get(key)
            if ours is None or theirs is None or entry_stamp(ours) != written.stamps[-1]:
                continue
            if ours[STAMP_BYTES:] == theirs[STAMP_BYTES:] or not _is_plain(key, theirs):
                continue
            stamp = entry_stamp(theirs)
            unseen = not written.is_known if stamp > written.stamps[-1] else stamp > written.base
            if unseen and stamp not in written.stamps:
                yield key


def _is_plain(key: bytes, entry: bytes) -> bool:
    return key[0] > SHARD and kind_of(entry) is None
