"""Virtual time and an ordered network: the ground on which simulated nodes stand.

Rules:
- One heap of (time, sequence, what to do); equal times keep the order in which they were asked
  for. Nothing else moves time, so a seed has one trace.
- A connection delivers every message once and in order, each after a delay of its own, until it
  breaks; then what is under way is lost, and both ends learn of it, each after a delay.
- A connection takes only a few messages at a time, like a socket with a small buffer. So a
  replica has to be asked again and again, as a real link asks it.
"""

import heapq
from collections.abc import Callable
from functools import partial
from hashlib import sha256
from random import Random

from attrs import define

from ring.identity import LinkId
from ring.messages import Message

WINDOW = 4
"""Messages under way in one direction of one connection."""


class Scheduler:
    """Virtual time: what happens next, and a running hash of all that happened."""

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._hash = sha256()

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` called ``delay_s`` seconds from now."""
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._sequence, action))

    def note(self, *what: object) -> None:
        """Add an event to the trace."""
        self.events += 1
        self._hash.update(repr((round(self.now, 6), *what)).encode())

    def trace_hash(self) -> str:
        """Return a hash of all events so far, in hexadecimal."""
        return self._hash.hexdigest()

    def run_until(self, time: float) -> None:
        """Let everything happen that is due by ``time``."""
        while self._heap and self._heap[0][0] <= time:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = time

    def run_while(self, condition: Callable[[], bool], limit_s: float) -> bool:
        """Let time pass while ``condition`` holds; return False if it still does at the limit."""
        end = self.now + limit_s
        while condition():
            if not self._heap or self._heap[0][0] > end:
                self.now = end
                return not condition()
            self.now, _, action = heapq.heappop(self._heap)
            action()
        return True


@define(eq=False)
class End:
    """One end of a connection, at one process."""

    link: LinkId
    take: Callable[[], Message | None]
    receive: Callable[[Message], None]
    closed: Callable[[], None]
    delays_s: tuple[float, float]
    """How long a message from here takes, at least and at most."""
    under_way: int = 0
    last_arrival: float = 0.0


@define(eq=False)
class Connection:
    """Two ends that send each other messages until it breaks."""

    scheduler: Scheduler
    random: Random
    dialler: End
    acceptor: End
    alive: bool = True

    def other(self, end: End) -> End:
        """Return the far end."""
        return self.acceptor if end is self.dialler else self.dialler

    def pump(self, end: End) -> None:
        """Send what ``end`` has to say, as far as there is room."""
        while self.alive and end.under_way < WINDOW:
            message = end.take()
            if message is None:
                return
            end.under_way += 1
            arrival = self.scheduler.now + self.random.uniform(*end.delays_s)
            end.last_arrival = max(end.last_arrival, arrival)
            delay = end.last_arrival - self.scheduler.now
            self.scheduler.after(delay, partial(self._arrive, end, message))

    def _arrive(self, sender: End, message: Message) -> None:
        if not self.alive:
            return
        sender.under_way -= 1
        self.other(sender).receive(message)
        self.pump(sender)

    def break_off(self, *, noticed_by: tuple[End, ...]) -> None:
        """End the connection; each of these ends learns of it after a delay of its own."""
        if self.alive:
            self.alive = False
            for end in noticed_by:
                delay = self.random.uniform(*self.other(end).delays_s)
                self.scheduler.after(delay, end.closed)
