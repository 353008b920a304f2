"""How an application listens to events: it iterates over them, or has a callback called.

Rules:
- What a callback raises is logged, and harms neither the node nor any other callback.
- Callbacks run behind a listener of their own, and a bounded number of them at a time.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

import trio
from attrs import define, field

from node.driver import Driver
from node.events import Event, EventKind, kinds_of
from node.hub import BUFFER_DEFAULT, Hub, Item, Listener
from node.log import log_event
from node.timekeeping import Timekeeper
from node.writers import Writers
from ring.announcements import Announcement
from ring.replica import Replica

Callback = Callable[[Event], Awaitable[object] | object]


@define(eq=False)
class Events:
    """The events for one who listens, in their order: ``async with node.events() as events``.

    To be iterated by one task at a time. It ends when the node stops. Whoever leaves the block
    was done with the last event; whoever leaves it by an exception was not.
    """

    _listener: Listener
    _last: Item | None = None
    _was_entered: bool = False

    async def __aenter__(self) -> Self:
        self._listener.open()
        self._was_entered = True
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._be_done()
        self._listener.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        if not self._was_entered:
            raise RuntimeError("nobody listens yet: use `async with node.events(...) as events`")
        self._be_done()
        await trio.lowlevel.checkpoint()
        taken = await self._listener.take()
        if taken is None:
            raise StopAsyncIteration
        event, self._last = taken
        return event

    def _be_done(self) -> None:
        if self._last is not None:
            self._listener.done(self._last)
            self._last = None


@define(eq=False)
class Subscription:
    """A callback that is called for events until ``close()``."""

    _listener: Listener
    _callback: Callback
    _concurrency: int
    _scope: trio.CancelScope = field(factory=trio.CancelScope)

    def close(self) -> None:
        """Call it no more; where it runs just now it is cancelled."""
        self._listener.close()
        self._scope.cancel()

    async def run(self) -> None:
        """Call it for one event after the other, or for several at a time."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                for _ in range(self._concurrency):
                    nursery.start_soon(self._serve)

    async def _serve(self) -> None:
        while (taken := await self._listener.take()) is not None:
            event, item = taken
            try:
                outcome = self._callback(event)
                if inspect.isawaitable(outcome):
                    await outcome
            except Exception as error:  # noqa: BLE001 - the application's, whatever it is
                # Not its text, which may name what is secret.
                fields = {"kind": str(event.kind), "error": type(error).__name__}
                log_event(logging.ERROR, "event_callback_failed", fields)
            self._listener.done(item)
            await trio.lowlevel.checkpoint()


class Listening:
    """The part of a node to which an application listens."""

    name: str
    writers: Writers
    _driver: Driver
    _hub: Hub
    _nursery: trio.Nursery | None

    def _new_hub(self, replica: Replica, timekeeper: Timekeeper) -> Hub:
        """Return who tells those who listen, and the replica what became of it."""

        def on_delivered(
            delivered: Sequence[Announcement], returned: Sequence[Announcement]
        ) -> None:
            self._driver.feed(replica.on_delivered, delivered, returned)

        return Hub(
            self.name,
            self.writers,
            timekeeper.wall_ms,
            on_listeners=lambda mask: self._driver.feed(replica.listen, mask),
            on_delivered=on_delivered,
        )

    def events(self, *kinds: EventKind | str, buffer: int = BUFFER_DEFAULT) -> Events:
        """Return the events of these kinds from now on: ``async with node.events() as events``.

        This node tells of the sessions for which it acts; so listen at every node.

        Args:
            kinds: of ``EventKind``, or their names; by default those that are delivered at least
                once: created, deleted, expired and rotated.
            buffer: how many events may wait. Of more the oldest are lost, and the next one says
                how many were (``Event.lost``). Larger: more memory. Smaller: some are lost sooner.

        Raises:
            ValueError: there is no such kind, or ``buffer`` is less than 1.
        """
        return Events(self._listener(kinds, buffer))

    def on(
        self,
        kinds: EventKind | str | tuple[EventKind | str, ...],
        callback: Callback,
        *,
        concurrency: int = 1,
        buffer: int = BUFFER_DEFAULT,
    ) -> Subscription:
        """Have ``callback(event)``, async or not, called for events of these kinds from now on.

        Args:
            kinds: one or several; see ``events``.
            callback: what it raises is logged.
            concurrency: how many calls may run at a time. With 1 they keep the order of events.
            buffer: as in ``events``.

        Returns:
            What ends it by ``close()``. The end of the node does so, too.

        Raises:
            TypeError: ``callback`` cannot be called.
            ValueError: there is no such kind, or a number is less than 1.
            RuntimeError: the node has not started, or has stopped.
        """
        if not callable(callback):
            raise TypeError(f"callback is {callback!r}; use a function of one event, async or not")
        _check_count("concurrency", concurrency)
        if self._nursery is None:
            raise RuntimeError("the node has not started: use `async with open_node(...)`")
        asked = (kinds,) if isinstance(kinds, str) else kinds
        listener = self._listener(asked, buffer)
        subscription = Subscription(listener, callback, concurrency)
        listener.open()
        self._nursery.start_soon(subscription.run)
        return subscription

    def _listener(self, kinds: tuple[EventKind | str, ...], buffer: int) -> Listener:
        _check_count("buffer", buffer)
        return Listener(self._hub, kinds_of(kinds), buffer)


def _check_count(name: str, value: object) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value!r}; use 1 or more")
