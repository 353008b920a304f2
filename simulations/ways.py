"""The network of a simulated ring: ordered connections over ways that stall, slow down and break.

Rules:
- A connection delivers every message once and in order until it breaks. A way that is stalled
  keeps what it carries; it is delivered when the way is free again, unless the connection broke.
- Breaking loses what is under way to whoever notices; an end that does not notice still gets what
  was sent to it, and finds out by silence.
- A connection takes only a few messages at a time, like a socket with a small buffer. So a
  replica has to be asked again and again, as a real link asks it.
"""

from collections import deque
from collections.abc import Callable
from functools import partial
from random import Random

from attrs import define, field

from ring.identity import LinkId
from ring.messages import Message
from simulations.plan import Way
from simulations.scheduler import Scheduler


@define(eq=False)
class Road:
    """The way from one node to another, for all connections between them."""

    way: Way
    random: Random
    stalls: int = 0
    """Faults that hold it up now."""
    slowness: float = 1.0
    held: list[Callable[[], None]] = field(factory=list)
    """What waits for it to be free again."""

    def delay_s(self) -> float:
        """Return how long the next message takes."""
        way = self.way
        between = way.least_s + (way.most_s - way.least_s) * self.random.random()
        return between * self.slowness

    def free(self) -> None:
        """End one fault, if there is any; deliver what waits if that was the last."""
        if not self.stalls:
            return  # Everything was healed meanwhile.
        self.stalls -= 1
        if not self.stalls:
            held, self.held = self.held, []
            for action in held:
                action()


@define(eq=False)
class End:
    """One end of a connection, at one process."""

    link: LinkId
    node: str
    take: Callable[[], Message | None]
    receive: Callable[[Message], None]
    closed: Callable[[], None]
    last_arrival: float = 0.0
    noticed: bool = False
    """It knows that the connection is over."""
    queue: deque[Message] = field(factory=deque)
    """What was sent from here and has not arrived, in order."""
    has_more: bool = False
    """There was no room for all that it had to say."""


@define(eq=False)
class Connection:
    """Two ends that send each other messages until it breaks."""

    scheduler: Scheduler
    window: int
    dialler: End
    acceptor: End
    there: Road
    """From the dialler to the acceptor."""
    back: Road
    alive: bool = True

    def other(self, end: End) -> End:
        """Return the far end."""
        return self.acceptor if end is self.dialler else self.dialler

    def pump(self, end: End) -> None:
        """Send what ``end`` has to say, as far as there is room."""
        if not self.alive or end.noticed:
            return
        scheduler, queue = self.scheduler, end.queue
        road = self.there if end is self.dialler else self.back
        while len(queue) < self.window:
            message = end.take()
            if message is None:
                end.has_more = False
                return
            queue.append(message)
            if scheduler.witnesses:
                scheduler.note_sent(end.node, self.other(end).node, message)
            arrival = max(end.last_arrival, scheduler.now + road.delay_s())
            end.last_arrival = arrival
            scheduler.after(arrival - scheduler.now, partial(self._arrive, end, road))
        end.has_more = True

    def _arrive(self, sender: End, road: Road) -> None:
        if road.stalls:
            road.held.append(partial(self._arrive, sender, road))
            return
        if not sender.queue:
            return  # The connection broke meanwhile.
        message = sender.queue.popleft()
        receiver = self.other(sender)
        if receiver.noticed:
            return
        self.scheduler.note_message(sender.node, receiver.node, message)
        receiver.receive(message)
        if sender.has_more:
            self.pump(sender)

    def break_off(self, *, noticed_by: tuple[End, ...]) -> None:
        """End the connection; each of these ends learns of it after a delay of its own.

        Whoever does not notice gets what is under way to it; the rest is lost.
        """
        if not self.alive:
            return
        self.alive = False
        for end in (self.dialler, self.acceptor):
            if end in noticed_by:
                self.other(end).queue.clear()
                road = self.back if end is self.dialler else self.there
                self.scheduler.after(road.delay_s(), partial(self._notice, end))

    def _notice(self, end: End) -> None:
        if not end.noticed:
            end.noticed = True
            end.closed()

    def close(self, end: End) -> None:
        """``end`` closes it: it hears nothing more, and the far end learns of it in time."""
        if self.alive:
            self.alive = False
            far = self.other(end)
            road = self.there if end is self.dialler else self.back
            arrival = max(end.last_arrival, self.scheduler.now + road.delay_s())
            # What was sent before is delivered first, as TCP does.
            self.scheduler.after(arrival - self.scheduler.now, partial(self._arrive_end, far, road))
        if not end.noticed:
            end.noticed = True
            self.scheduler.after(0.0, end.closed)

    def _arrive_end(self, far: End, road: Road) -> None:
        if road.stalls:
            road.held.append(partial(self._arrive_end, far, road))
            return
        self._notice(far)
