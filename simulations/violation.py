"""What a judge reports: a broken promise, and what it means to the user of a session."""

from enum import StrEnum

from attrs import frozen


class Harm(StrEnum):
    """What a broken promise means to the user of a session."""

    LOST = "lost"
    """What was acknowledged is not there, or cannot have been written by anybody."""
    STALE = "stale"
    """An older version stands where a newer one was acknowledged."""
    RESURRECTED = "resurrected"
    """What had ended is there again."""


@frozen
class Violation:
    """A broken promise, and its story in one sentence."""

    promise: str
    story: str
    harm: Harm | None = None
    """None: it harms no session by itself."""
    session: str = ""
    writer: int | None = None
    """The client whose change is concerned; None: the session as a whole."""

    def __str__(self) -> str:
        return f"{self.promise}: {self.story}"
