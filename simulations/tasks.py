"""Tasks of clients in a simulated ring: coroutines that wait for nothing but the world.

Rule: no event loop runs them, so they go on at any level in the same way; and what they await has
to come from here.
"""

from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar

_CLOSINGS_MAX: Final = 1000

T = TypeVar("T")


class Later(Generic[T]):
    """A value that the world will bring.

    Args:
        begin: is given what to call with the value.
    """

    def __init__(self, begin: Callable[[Callable[[T], None]], None]) -> None:
        self._begin = begin

    def __await__(self) -> Generator["Later[T]", T, T]:
        return (yield self)

    def when_there(self, go_on: Callable[[T], None]) -> None:
        """Have ``go_on`` called with the value."""
        self._begin(go_on)


class Task:
    """A coroutine that runs as the world brings what it waits for.

    Args:
        coroutine: what it does.
        done: is called with what the coroutine has raised, or None.
    """

    def __init__(
        self, coroutine: Coroutine[Any, Any, object], done: Callable[[BaseException | None], None]
    ) -> None:
        self.value: object = None
        """What the coroutine has returned."""
        self._coroutine = coroutine
        self._done = done
        self._is_over = False

    def start(self) -> None:
        """Run it until it waits for something."""
        self._go_on(None)

    def stop(self) -> None:
        """End it where it waits, if it has not ended."""
        if not self._is_over:
            self._is_over = True
            self._close()

    def _close(self) -> None:
        """End the coroutine; whatever its ``finally`` awaits ends it again, and brings nothing."""
        for _ in range(_CLOSINGS_MAX):
            with suppress(RuntimeError):  # It has awaited something once more.
                self._coroutine.close()
                return

    def _go_on(self, value: object) -> None:
        if self._is_over:
            return
        try:
            waits_for = self._coroutine.send(value)
        except StopIteration as end:
            self.value = end.value
            self._end(None)
        except BaseException as error:  # noqa: BLE001 -- whoever started it decides what it means
            # Also ``pytest.fail``, and what Hypothesis stops with: it is no doing of the node in
            # whose task this may run.
            self._end(error)
        else:
            if isinstance(waits_for, Later):
                waits_for.when_there(self._go_on)
                return
            self._close()
            self._end(
                TypeError(
                    f"a workload awaited {waits_for!r}; in simulation it may await only what its "
                    "client offers, such as client.sleep()"
                )
            )

    def _end(self, error: BaseException | None) -> None:
        self._is_over = True
        self._done(error)


def demand_coroutines(coroutines: Sequence[object], remedy: str) -> None:
    """Refuse what is to be played, and is none.

    Raises:
        TypeError: one is no coroutine; the message ends with ``remedy``. Nothing was begun.
    """
    strange = [each for each in coroutines if not isinstance(each, Coroutine)]
    if strange:
        for each in coroutines:
            if isinstance(each, Coroutine):
                each.close()
        raise TypeError(f"{strange[0]!r} is no coroutine: {remedy}")
