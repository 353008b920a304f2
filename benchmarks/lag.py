"""How late the loop of events is: a task that asks to be woken, and notes by how much it was not.

Source: lag of an event loop, as servers report it: a timer's delay beyond what was asked for.
"""

from typing import Final

import trio

INTERVAL_S: Final = 0.005


class Lag:
    """Notes how late it is woken, from when it is started until ``stop``."""

    def __init__(self) -> None:
        self._late_ms: list[float] = []
        self._scope = trio.CancelScope()

    async def run(self) -> None:
        """Note it until stopped."""
        with self._scope:
            while True:
                due = trio.current_time() + INTERVAL_S
                await trio.sleep_until(due)
                self._late_ms.append((trio.current_time() - due) * 1e3)

    def stop(self) -> dict[str, float]:
        """End it; return the 99th percentile and the longest of all, in milliseconds."""
        self._scope.cancel()
        late = sorted(self._late_ms) or [0.0]
        return {"p99_ms": late[int(0.99 * (len(late) - 1))], "longest_ms": late[-1]}
