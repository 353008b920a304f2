"""Who listens to events in this process, and what has become of each event.

Rules:
- A listener is *done* with an event when it comes back for the next one, or when its callback has
  returned, whatever that raises.
- An event was delivered when nobody has it any more and somebody was done with it. What nobody was
  done with is given back: the node tells it to the next who listens, or another node does.
- Each listener has a buffer of its own. A slow one loses its oldest events, and is told how many;
  it delays nobody.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import define, evolve, field

from node.events import LASTING, Event, EventKind, event_of, mask_of
from node.writers import Writers
from ring.announcements import Announcement, Takeover

BUFFER_DEFAULT: Final = 1024
"""Events that wait for one listener. Larger: more memory. Smaller: it loses some sooner."""


@define(eq=False)
class Item:
    """An event on its way to some listeners."""

    event: Event
    announcement: Announcement | None
    """None: nobody asks whether it arrives."""
    awaited: int = 0
    """How many listeners have it and are not done."""
    is_done: bool = False
    """Somebody was done with it."""


@define(eq=False)
class Listener:
    """One who listens: what waits for it, and what it has in its hands.

    Args:
        hub: tells it.
        kinds: what it listens to.
        buffer_max: how many events may wait; the oldest of more are lost.
    """

    _hub: "Hub"
    kinds: frozenset[EventKind]
    _buffer_max: int
    _waiting: deque[Item] = field(factory=deque)
    _in_hand: dict[int, Item] = field(factory=dict)
    _lost: int = 0
    _is_open: bool = False
    _news: trio.Event = field(factory=trio.Event)

    def open(self) -> None:
        """Begin to listen.

        Raises:
            RuntimeError: the node has stopped.
        """
        self._hub.add(self)
        self._is_open = True

    def close(self) -> None:
        """Listen no more; what it is not done with is given back."""
        self._is_open = False
        self._hub.remove(self)
        left = [*self._in_hand.values(), *self._waiting]
        self._in_hand.clear()
        self._waiting.clear()
        for item in left:
            self._hub.leave(item)
        self._news.set()

    async def take(self) -> tuple[Event, Item] | None:
        """Return the next event, and what to be ``done`` with; None: it listens no more."""
        while not self._waiting:
            if not self._is_open:
                return None
            if self._news.is_set():
                self._news = trio.Event()
            await self._news.wait()
        item = self._waiting.popleft()
        self._in_hand[id(item)] = item
        event = item.event
        if self._lost:
            event, self._lost = evolve(event, lost=self._lost), 0
        return event, item

    def done(self, item: Item) -> None:
        """Be done with an event."""
        if self._in_hand.pop(id(item), None) is not None:
            self._hub.finish(item)

    def put(self, item: Item) -> None:
        """Have an event wait; the oldest is lost if there are too many."""
        item.awaited += 1
        self._waiting.append(item)
        if len(self._waiting) > self._buffer_max:
            self._lost += 1
            self._hub.finish(self._waiting.popleft())
        self._news.set()

    def withdraw(self, home: str) -> None:
        """Give back what it has not begun with, of a home for which another node acts now."""
        kept = deque[Item]()
        for item in self._waiting:
            if item.announcement is not None and item.announcement.home == home:
                self._hub.leave(item)
            else:
                kept.append(item)
        self._waiting = kept


@define(eq=False)
class Hub:
    """All listeners of one node.

    Args:
        node: its name.
        writers: of this process.
        wall_ms: reads milliseconds since 1970, as the node carries them.
        on_listeners: is told the mask of what somebody listens to, when that changes.
        on_delivered: is told what was delivered, and what is given back.
    """

    _node: str
    _writers: Writers
    _wall_ms: Callable[[], int]
    _on_listeners: Callable[[int], None]
    _on_delivered: Callable[[Sequence[Announcement], Sequence[Announcement]], None]
    _listeners: list[Listener] = field(factory=list)
    _mask: int = 0
    _delivered: list[Announcement] = field(factory=list)
    _returned: list[Announcement] = field(factory=list)
    _news: trio.Event = field(factory=trio.Event)
    _is_closed: bool = False

    async def run(self) -> None:
        """Tell the replica what has become of what it announced, for ever."""
        while True:
            await self._news.wait()
            self._news = trio.Event()
            delivered, self._delivered = self._delivered, []
            returned, self._returned = self._returned, []
            self._on_delivered(delivered, returned)

    def add(self, listener: Listener) -> None:
        """Begin to tell a listener.

        Raises:
            RuntimeError: the node has stopped.
        """
        if self._is_closed:
            raise RuntimeError("the node has stopped: there is nothing to listen to any more")
        self._listeners.append(listener)
        self._note_kinds()

    def remove(self, listener: Listener) -> None:
        """Tell a listener no more."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            if not self._is_closed:
                self._note_kinds()

    def close(self) -> None:
        """Have nobody listen any more, since the node stops."""
        self._is_closed = True
        for listener in list(self._listeners):
            listener.close()

    def _note_kinds(self) -> None:
        mask = mask_of(frozenset[EventKind]().union(*(each.kinds for each in self._listeners)))
        if mask != self._mask:
            self._mask = mask
            self._on_listeners(mask)

    def announce(self, what: Announcement | Takeover) -> None:
        """Tell everybody who listens to such events."""
        event = event_of(what, self._node, self._writers, self._wall_ms())
        is_asked_for = isinstance(what, Announcement) and event.kind in LASTING
        item = Item(event, what if is_asked_for and isinstance(what, Announcement) else None)
        # One more than listen, until all have it: one may lose it before the next one has it.
        item.awaited = 1
        for listener in self._listeners:
            if event.kind in listener.kinds:
                listener.put(item)
        self.leave(item)

    def withdraw(self, home: str) -> None:
        """Give back what nobody has begun with, of a home for which another node acts now."""
        for listener in self._listeners:
            listener.withdraw(home)

    def finish(self, item: Item) -> None:
        """A listener is done with an event."""
        item.is_done = True
        self.leave(item)

    def leave(self, item: Item) -> None:
        """A listener has an event no more."""
        item.awaited -= 1
        if item.announcement is None or item.awaited:
            return
        (self._delivered if item.is_done else self._returned).append(item.announcement)
        self._news.set()
