"""What the clients of a simulated ring, and those who judge them, ask of the world."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from ring import Record, SessionId
from ring.messages import Failed, Reply, Request
from ring.questions import Matches, Query

Answer: TypeAlias = Matches | Failed
"""What a question is answered by."""


class Ground(Protocol):
    """What clients ask of the world."""

    @property
    def now(self) -> float:
        """True time, in seconds."""

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` called later."""

    def running(self) -> Sequence[str]:
        """Return the nodes that run and answer, in ring order."""

    def alive(self) -> Sequence[str]:
        """Return the nodes that run, whether they answer or not, in ring order."""

    def preference_list(self, home: str) -> Sequence[str]:
        """Return the members in the order in which clients try them."""

    def submit(
        self, name: str, make: Callable[[int], Request], done: Callable[[Reply | None], None]
    ) -> bool:
        """Have the application in a node ask; ``done`` gets None if that process dies."""

    def query(
        self, name: str, make: Callable[[int], Query], done: Callable[[Answer | None], None]
    ) -> bool:
        """Have it look for sessions by a value; as ``submit``."""

    def is_older(self, name: str, since: float) -> bool:
        """Look behind the curtain: whether a node runs that had begun before."""

    def look(self, name: str, session_id: SessionId) -> Record | None:
        """Look behind the curtain: what a node that runs has in memory."""

    def stored(self, name: str, session_id: SessionId) -> Record | None:
        """Look behind the curtain: what is on a node's disk."""
