"""What is kept of a run to draw it: values, and nothing that could go on changing.

Rule: times are true seconds from the beginning of the run; nodes are called by their names.
"""

from attrs import define, field, frozen

from simulations.history import Operation
from simulations.plan import Plan
from simulations.violation import Violation


@frozen
class Shown:
    """What somebody says, or has, of one session."""

    session: str
    note: str = ""
    """Of the whole of it: its digest, whether it is a part or a tombstone."""
    entries: tuple[tuple[str, str, str], ...] = ()
    """Key, value, and the stamp as seconds of the run, by the clock of who wrote it."""


@define
class Arrow:
    """A message from one node to another."""

    kind: str
    sender: str
    receiver: str
    sent: float
    arrived: float | None
    """None: it was lost, or still under way at the end."""
    says: str
    """In words, but for what it says of sessions."""
    shown: tuple[Shown, ...]


@frozen
class Kept:
    """From ``at`` on a node has this of a session; without a note it has nothing."""

    at: float
    node: str
    shown: Shown


@frozen
class Span:
    """What was so from ``since`` until ``until``, at a node, for a home or between two nodes."""

    since: float
    until: float
    where: tuple[str, ...]
    what: str


@frozen
class Mark:
    """What happened at a node at one moment, as its people are told."""

    at: float
    node: str
    what: str


@frozen
class Struck:
    """A fault that struck."""

    at: float
    until: float
    """When it was over, if nothing else came between."""
    kind: str
    nodes: tuple[str, ...]
    says: str


@frozen
class Broken:
    """A broken promise, when it was found, and which part of the run tells how it came about."""

    violation: Violation
    at: float
    operation: int | None
    """The number of the operation whose answer broke it; None: nobody had asked."""
    since: float
    until: float


@define
class Recording:
    """A run, as it is drawn."""

    plan: Plan
    level: str
    ends_at: float = 0.0
    healed_at: float | None = None
    """When nothing went wrong any more; None: that never came."""
    arrows: list[Arrow] = field(factory=list)
    kept: list[Kept] = field(factory=list)
    states: list[Span] = field(factory=list)
    """Of nodes: down, recovering, ready, draining, frozen."""
    troubles: list[Span] = field(factory=list)
    """Of disks, and of the ways from one node to another."""
    acting: list[Span] = field(factory=list)
    """Which node (the second name) acts for which home (the first); there may be several."""
    marks: list[Mark] = field(factory=list)
    faults: list[Struck] = field(factory=list)
    operations: list[Operation] = field(factory=list)
    broken: list[Broken] = field(factory=list)

    def family_of(self) -> dict[str, str]:
        """Return, for every session that clients knew, the id under which it was created."""
        first = {each.session: each.session for each in self.operations}
        for each in self.operations:
            if each.new_session:
                first[each.new_session] = first[each.session]
        return first
