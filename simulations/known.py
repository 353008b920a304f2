"""What the clients together know of a session, under whatever ids it has gone on.

Rule: a session and what it was rotated into are one family: what was written under either id is
found, or has ended, under the one by which it is to be found now.
"""

from collections.abc import Iterator
from math import inf

from attrs import define, field

from simulations.budget import Claim


@define(eq=False)
class Change:
    """A change that was acknowledged undegraded."""

    version: int
    claim: Claim
    under: "Known"
    """The id by which it was asked for."""
    invoked: float
    returned: float


@define(eq=False)
class Family:
    """What was written to a session, under all of its ids."""

    changes: dict[int, list[Change]] = field(factory=dict)
    """By client: what was acknowledged, the latest last."""
    attempted: dict[int, int] = field(factory=dict)
    wrote_at: dict[int, tuple[str, Claim | None]] = field(factory=dict)
    """By client: who stamped its last write, and what the receipt has promised."""
    concurrent: set[int] = field(factory=set)
    """Clients that wrote where an earlier write of theirs may not have been known: either wins."""
    max_idle_s: float = inf
    """The longest that was asked for, in vain or not."""
    idle_least_s: float = inf
    """The shortest."""
    created_at: float = inf
    expires_at: float = inf
    """When the shortest lifetime that was asked for is over."""
    end_attempted_at: float = inf
    """When a client first tried to end it, under any of its ids."""

    def may_live(self, max_idle_s: float | None, lifetime_s: float) -> None:
        """Note what a change says of its life; whether it will count is not known yet."""
        if max_idle_s is not None:
            self.max_idle_s = max(self.max_idle_s, max_idle_s)
            self.idle_least_s = min(self.idle_least_s, max_idle_s)
        self.expires_at = min(self.expires_at, self.created_at + lifetime_s)


@define(eq=False)
class Known:
    """What the clients together know of a session under one id."""

    family: Family = field(factory=Family)
    ended: list[Claim] = field(factory=list)
    ended_before: list[Claim] = field(factory=list)
    """Ends under an older id: they follow the rotation once both are known."""
    tried_at: float = -inf
    """When anything that may have counted as a use had returned: from then at the latest."""
    rotations: dict[str, "Known"] = field(factory=dict)
    """By id: what it may have been rotated into."""
    began_at: float = -inf
    """When it was first to be rotated into this."""
    parent: "Known | None" = None
    """What was rotated into this."""
    born: list[Claim] = field(factory=list)
    """What those who rotated the parent into this were promised."""
    released_at: float = -inf
    """When a node was last told that it may drop its copy."""
    set_aside_at: float = -inf
    """When a member that had been apart for too long last yielded it."""

    def rotate(self, new_id: str, now: float) -> "Known":
        """Return what is known under an id into which this session may go on from now."""
        if new_id not in self.rotations:
            self.rotations[new_id] = Known(self.family, parent=self, began_at=now)
        return self.rotations[new_id]

    def descendants(self, since: float) -> Iterator["Known"]:
        """Yield this, and whatever it may have been rotated into by rotations since then."""
        yield self
        for each in self.rotations.values():
            if each.began_at >= since:
                yield from each.descendants(since)

    @property
    def may_be_absent(self) -> bool:
        """Whether nobody need find it under this id: it may have ended, or go on under another."""
        has_ended = self.family.end_attempted_at < inf
        return has_ended or bool(self.rotations) or self.is_contested

    @property
    def is_contested(self) -> bool:
        """Whether a rotation to another id may have won over one that led here."""
        parent = self.parent
        return parent is not None and (len(parent.rotations) > 1 or parent.is_contested)

    def leads_to(self, other: "Known") -> bool:
        """Return whether this has been rotated into the other, at once or in steps."""
        parent = other.parent
        return parent is not None and (parent is self or self.leads_to(parent))
