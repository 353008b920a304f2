"""One counter in a copy of a session: what it stands at, and what of it the ring has not got.

Rules:
- What is added goes into a shard of this process, as the sum of all that it has added: so a save
  may be repeated, and additions elsewhere stay.
- Setting it makes a new floor, which ends what others add at the same time. While that is on its
  way, what is added here goes with it.
- A shard names the floor it counts from. Where this copy cannot know that (it was set here, or
  set anew elsewhere), it has to be learnt from the ring before the addition is sent.
"""

from typing import Final

import msgpack
from attrs import evolve

from node.cells import Cells
from node.writers import Writers, Written
from ring.clock import STAMP_BYTES, Stamp
from ring.entry import entry_stamp
from ring.structured import (
    NUMBER_MAX,
    TOKEN_BYTES,
    Kind,
    ensuring,
    kind_of,
    marker,
    member_key,
    shard_entry,
    shard_key,
    total,
)

_FIRST: Final = Stamp(1)
"""The floor of a counter where nothing was before."""


class Counting:
    """What a counter stands at.

    Args:
        cells: where its entries are.
        name: the attribute's.
        writers: of this process.
    """

    __slots__ = (
        "_base",
        "_base_sent",
        "_base_turn",
        "_cells",
        "_floor",
        "_name",
        "_pending",
        "_seen",
        "_sent",
        "_sent_turn",
        "_writers",
        "_written",
    )

    kind: Final = Kind.COUNTER

    def __init__(self, cells: Cells, name: bytes, writers: Writers) -> None:
        self._cells = cells
        self._name = name
        self._writers = writers
        self._seen = None if cells.is_removed(name) else total(cells.known, name)
        """What it stands at in the ring."""
        self._pending = 0
        """What was added here and not answered for, unless it goes with ``_base``."""
        self._base: int | None = None
        """What it was set to, with all that was added since; None: that was answered for."""
        self._base_sent, self._base_turn = 0, 0
        self._written: Written | None = None
        """The shard under which ``_pending`` goes, as it was before; None: not sent yet."""
        self._floor = _FIRST
        self._sent, self._sent_turn = 0, 0
        """The latest total that was sent, and its turn."""

    @property
    def exists(self) -> bool:
        """Whether there is such an attribute."""
        seen = self._base is not None or self._seen is not None
        return seen or self._written is not None or self._pending != 0

    @property
    def value(self) -> int:
        """What it stands at, with what was not saved yet."""
        return (self._seen or 0) + self._pending if self._base is None else self._base

    @property
    def lacks_floor(self) -> bool:
        """Whether something was added and nobody has told from which floor it counts."""
        adds = self._base is None and (self._pending != 0 or self._written is not None)
        floor = self._cells.known.get(self._name)
        return adds and floor is not None and not entry_stamp(floor)

    def add(self, number: int) -> None:
        """Add a number, which may be negative; raises as ``check_count`` does."""
        check_count(self._name, number)
        check_count(self._name, self.value + number)
        if self._cells.is_removed(self._name):
            self.set(number)
        else:
            self._cells.turn += 1
            if self._base is not None:
                self._base += number
            else:
                self._pending += number
            if self._cells.on_change is not None:
                self._cells.on_change()

    def set(self, number: int) -> None:
        """Have it stand at a number, whatever others add; raises as ``check_count`` does."""
        check_count(self._name, number)
        self._cells.take_floor(self._name)
        self._base, self._base_turn = number, self._cells.turn
        self._pending, self._written = 0, None

    # --- What has to be sent ------------------------------------------------------------------

    def complete(self, changes: dict[bytes, bytes | None]) -> None:
        """Add to changes what the ring has not got of this counter."""
        if self._base is not None:
            changes[self._name] = marker(Kind.COUNTER, base=self._base)
            self._base_sent, self._base_turn = self._base, self._cells.turn
            return
        if not self._pending and self._written is None:
            return
        prefix = member_key(self._name, b"")
        for key in [key for key in changes if key.startswith(prefix)]:
            del changes[key]  # Taken out while this was a map or set; a counter hides it.
        floor = self._cells.known.get(self._name)
        if kind_of(floor) is Kind.COUNTER and floor is not None:
            counts_from = entry_stamp(floor)
        else:
            changes[self._name] = ensuring(Kind.COUNTER)
            counts_from = _FIRST if floor is None else Stamp(entry_stamp(floor) + 1)
        written = self._writer(counts_from)
        sum_now = written.total + self._pending
        if sum_now != self._sent:
            self._written = written = evolve(written, changes=written.changes + 1)
        self._sent, self._sent_turn = sum_now, self._cells.turn
        changes[self._shard(written)] = shard_entry(written.changes, sum_now)

    def _writer(self, counts_from: Stamp) -> Written:
        """Return the shard to add to: the one that was begun, if it counts from this floor."""
        if self._written is None or self._floor != counts_from:
            self._floor = counts_from
            prefix = shard_key(self._name, counts_from, b"")
            known = (key[-TOKEN_BYTES:] for key in self._cells.known if key.startswith(prefix))
            taken = self._writers.take(known)
            if abs(taken.total + self._pending) > NUMBER_MAX:
                taken = self._writers.fresh()
            self._written, self._sent = taken, taken.total
        return self._written

    def _shard(self, written: Written) -> bytes:
        return shard_key(self._name, self._floor, written.token)

    def note_answered(self, turn: int, changes: dict[bytes, bytes | None]) -> None:
        """Note that the ring has ``changes``, sent at ``turn``; the cells know already."""
        if self._base is not None:
            if self._name in changes and turn >= self._base_turn:
                self._pending, self._base = self._base - self._base_sent, None
                self._seen = self._base_sent
            return
        entry = changes.get(self._shard(self._written)) if self._written is not None else None
        if entry is None or self._written is None:
            return
        answered = msgpack.unpackb(entry[STAMP_BYTES:])
        self._pending -= answered - self._written.total
        self._written = evolve(self._written, total=answered)
        self._seen = total(self._cells.known, self._name)
        if not self._pending and turn >= self._sent_turn:
            self._writers.give_back(self._written)
            self._written = None

    def learn(self) -> None:
        """Go on from the floor that the cells have learnt; what was added to another is gone."""
        self._seen = total(self._cells.known, self._name)
        if self._written is None or self._seen is None:
            return
        arrived = self._cells.known.get(self._shard(self._written))
        if arrived is not None:
            # It was sent before, and counts as pending until it is answered for.
            self._seen -= msgpack.unpackb(arrived[STAMP_BYTES:]) - self._written.total


def check_count(name: bytes, number: int) -> None:
    """Check that a counter can stand at a number.

    Raises:
        TypeError: it is not an int.
        ValueError: it is less than -NUMBER_MAX, or more than NUMBER_MAX.
    """
    if type(number) is not int:
        raise TypeError(f"counter {name.decode()!r} counts ints, not {number!r}")
    if abs(number) > NUMBER_MAX:
        raise ValueError(
            f"counter {name.decode()!r} cannot stand at {number}: it has 64 bits, from "
            f"-{NUMBER_MAX} to {NUMBER_MAX}"
        )
