"""Virtual time: what happens next, and a hash of all that happened.

Rules:
- One heap of (time, sequence, what to do); equal times keep the order in which they were asked
  for. Nothing else moves time, so a plan has one trace.
- The trace is a row of small numbers for each event; its hash tells two runs apart by any of them.
"""

import heapq
from array import array
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Final

from ring.messages import Changes, Message, Status
from simulations.witness import Witness

_FLUSH_ROWS: Final = 512


class StuckError(Exception):
    """Something goes on and on at one moment of time: nothing else would ever happen again."""


class Scheduler:
    """Virtual time, in seconds since the beginning.

    Args:
        witnesses: see what happens.
    """

    def __init__(self, witnesses: Sequence[Witness] = ()) -> None:
        self.now = 0.0
        self.witnesses = tuple(witnesses)
        self.events = 0
        """Deliveries and client operations; ticks do not count."""
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._hash = sha256()
        self._rows: list[tuple[object, ...]] = []
        self._times = array("d")
        """When each row was noted: as bytes, since spelling a float takes long."""

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` called ``delay_s`` seconds from now."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._sequence, action))

    def note(self, event: str, *who: str | int | float) -> None:
        """Add an event to the trace."""
        self._times.append(self.now)
        self._rows.append((event, *who))
        if self.witnesses:  # A loop over nothing takes longer than this, here and below.
            for witness in self.witnesses:
                witness.on_event(self.now, event, who)
        if len(self._rows) >= _FLUSH_ROWS:
            self._flush()

    def note_message(self, sender: str, receiver: str, message: Message) -> None:
        """Add the delivery of a message, which is named by its kind and by what it changes."""
        self.events += 1
        mark = 0
        if type(message) is Changes:
            mark = sum(message.flat[1::3])  # type: ignore[arg-type]  # digests
        elif type(message) is Status:
            mark = message.clock
        self._times.append(self.now)
        self._rows.append((sender, receiver, type(message).__name__, mark))
        if self.witnesses:
            for witness in self.witnesses:
                witness.on_delivered(self.now, sender, receiver, message)
        if len(self._rows) >= _FLUSH_ROWS:
            self._flush()

    def note_sent(self, sender: str, receiver: str, message: Message) -> None:
        """Tell witnesses of a message that was given away; its delivery alone is in the trace."""
        for witness in self.witnesses:
            witness.on_sent(self.now, sender, receiver, message)

    def _flush(self) -> None:
        self._hash.update(self._times.tobytes())
        self._hash.update(repr(self._rows).encode())
        self._rows.clear()
        del self._times[:]

    def trace_hash(self) -> str:
        """Return a hash of all events so far, in hexadecimal."""
        self._flush()
        return self._hash.hexdigest()

    def run_until(self, time: float) -> None:
        """Let everything happen that is due by ``time``."""
        heap = self._heap
        while heap and heap[0][0] <= time:
            self.now, _, action = heapq.heappop(heap)
            action()
        self.now = time

    def pop(self) -> Callable[[], None]:
        """Return the next action, which will not be called by itself any more."""
        return heapq.heappop(self._heap)[2]

    def run_while(self, condition: Callable[[], bool], limit_s: float, step_s: float) -> bool:
        """Let time pass in steps while ``condition`` holds; False: it still does at the limit."""
        end = self.now + limit_s
        while condition():
            if self.now >= end:
                return False
            self.run_until(min(end, self.now + step_s))
        return True
