"""What clients did and what they were told: the one form in which every run is judged.

Rule: an outcome is ok, failed (it did not happen) or unknown (it may have happened); a time-out
of a change is unknown.

Source: Maelstrom's definite and indefinite errors.
"""

from enum import StrEnum
from typing import Final

from attrs import define

NOT_REPLICATED: Final = "not replicated in time"
"""The reason of a change that is in force, but less durable than asked for: its client chose so."""


class Outcome(StrEnum):
    """How an operation ended, as its client knows it."""

    OK = "ok"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """What a client asked for."""

    CREATE = "create"
    SAVE = "save"
    FIND = "find"
    END = "end"
    ROTATE = "rotate"
    QUERY = "query"


@define
class Operation:
    """One operation of one client; changed once, when it returns."""

    client: int
    kind: Kind
    session: str
    node: str
    """The member that was asked."""
    invoked: float
    version: int = 0
    """What a create or save wrote under the client's own key; what a find read there."""
    returned: float | None = None
    outcome: Outcome = Outcome.UNKNOWN
    found: bool = False
    read: dict[int, int] | None = None
    """What a find read: the version under each client's key."""
    holders: tuple[str, ...] = ()
    on_disk: tuple[str, ...] = ()
    degraded: bool = False
    reason: str = ""
    new_session: str = ""
    """The id to which a rotation goes."""
    attempt: int = 0
    """Which attempt of the same rotation it is, from 1."""
    principal: str | None = None
    """To whom it gives the session; an empty name: to nobody; None: it does not bear on that."""

    @property
    def home(self) -> str:
        """The member that created the session."""
        return self.session.partition(".")[0]

    @property
    def told_at(self) -> float:
        """When its client was told; when it asked, as long as there is no answer."""
        return self.invoked if self.returned is None else self.returned
