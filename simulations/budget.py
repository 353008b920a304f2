"""What faults may have taken: which claims of the nodes still have to hold.

A receipt that names n nodes covers the loss of fewer than n of them before the ring is protected
again; that moment is when every live node has said that it is settled. So time falls into windows
from one such moment to the next.

Rules:
- In the window of its receipt, a claim has to hold as long as fewer than n of the named nodes are
  *away*: have lost their memory (and their disk, if the receipt names it), or cannot be reached.
- In later windows nobody knows who holds it, only that as many do: it has to hold as long as fewer
  than n nodes are away. More than the ring keeps copies of, or than nodes lived at that moment, is
  never asked for.
- At the home of a session it has to hold while that node is neither lost nor passed over: it has
  every copy that counts, and answers itself.
- Two nodes that cannot reach each other may both act: what one of them stamps, the other need not
  show before they have met again, whoever asks it.
- What was lost once is lost. What could not be reached is back with the next window.
- The same holds once a node was told that it may drop its copy.
- Only claims count: receipts, releases, and the nodes' word that they are settled.
"""

from collections.abc import Collection, Iterable, Sequence
from math import inf

from attrs import define


@define(eq=False)
class Claim:
    """What one receipt has promised."""

    by: str
    """Who stamped the change."""
    named: frozenset[str]
    on_disk: frozenset[str]
    needed: int
    """How many nodes may not be away at once."""
    window: int
    since: int
    """How many losses there had been before."""
    asked_at: float = inf
    """Of an end: when it was asked for first. One that is asked for again gets no younger."""
    lost: bool = False
    anywhere: bool = False
    """A node was told that it may drop its copy, since others have it: any may be the holders."""
    asleep: bool = False
    """Only the disk of a node that does not run has it."""


class Budget:
    """The claims of one run, and the faults that bear upon them.

    Args:
        copies: how many nodes keep each session, as configured.
    """

    def __init__(self, copies: int) -> None:
        self._copies = copies
        self._window = 0
        self._live = 0
        """How many nodes lived when this window began."""
        self._lost: dict[str, tuple[int, bool]] = {}
        """Nodes that lost their memory in this window: which loss that was, and whether their disk
        is kept."""
        self.losses = 0
        """How often a node has lost its memory."""
        self._apart: set[str] = set()
        """Nodes that somebody could not reach in this window."""
        self._claims: dict[Claim, None] = {}
        self.restarted: set[str] = set()
        """Nodes that lost their memory and have not settled since."""

    @property
    def is_disturbed(self) -> bool:
        """Whether something has happened since everybody was settled."""
        return bool(self._lost or self._apart)

    def claim(
        self, named: Sequence[str], on_disk: Iterable[str], since: int | None = None
    ) -> Claim:
        """Return the claim of a receipt that has just come.

        Args:
            named: who has it in memory, who stamped it first.
            on_disk: whose disk has it.
            since: how many ``losses`` there had been when it was asked for; None: all.
        """
        names = frozenset(named)
        needed = max(1, min(len(names), self._copies))
        claim = Claim(
            named[0] if named else "",
            names,
            frozenset(on_disk),
            needed,
            self._window,
            self.losses if since is None else since,
        )
        self._claims[claim] = None
        return claim

    def forget(self, claim: Claim) -> None:
        """Nobody asks for this claim any more."""
        self._claims.pop(claim, None)

    def on_lost(self, node: str, *, disk_kept: bool) -> None:
        """A node has lost its memory, and its disk unless ``disk_kept``."""
        self.losses += 1
        self._lost[node] = (self.losses, disk_kept and self._lost.get(node, (0, True))[1])
        self.restarted.add(node)
        self._note_gone()

    def on_left(self, node: str) -> None:
        """A node has handed everything over, and has stopped: the claims do not name who has it."""
        self.restarted.add(node)
        for claim in self._claims:
            claim.anywhere = True
        # Whoever was lost before that may be the one who had been given everything.
        self._note_gone()

    def _note_gone(self) -> None:
        for claim in list(self._claims):
            if len(self._gone(claim)) >= self._needed(claim):
                claim.lost = True
                del self._claims[claim]

    def on_apart(self, nodes: Iterable[str]) -> None:
        """These nodes cannot be reached by somebody, or do not answer."""
        self._apart.update(nodes)

    def is_apart(self, node: str) -> bool:
        """Return whether somebody could not reach a node in this window."""
        return node in self._apart

    def on_settled(self, live: Collection[str]) -> None:
        """All ``live`` nodes have said that they are settled: each session has its copies again."""
        for claim in self._claims:
            if claim.window == self._window or claim.asleep:
                in_memory = claim.named - self._lost_since(claim)
                disks = claim.on_disk & set(live)
                claim.asleep = (claim.asleep or not in_memory) and not disks
        self._window += 1
        self._live = len(live)
        self._lost.clear()
        self._apart.clear()
        self.restarted.difference_update(live)

    def must_hold(self, claim: Claim, node: str, home: str) -> bool:
        """Return whether whoever asks ``node`` now has to see what was claimed of ``home``."""
        if claim.lost or claim.asleep:
            return False
        first = self._names_holders(claim)
        lost = self._lost_since(claim)
        if claim.window == self._window:
            itself = node in claim.named - lost - self.restarted
        else:
            itself = node not in self.restarted
        if node == home and itself:
            return True
        # Who has nothing of it may ask the home, which acts as well.
        acting = {node} if node in claim.named else {node, home}
        if claim.by in self._apart and (acting - {claim.by}) & self._apart:
            return False
        away = lost | self._apart
        return len(away & claim.named if first else away) < self._needed(claim)

    def _needed(self, claim: Claim) -> int:
        return claim.needed if claim.window == self._window else min(claim.needed, self._live)

    def _names_holders(self, claim: Claim) -> bool:
        return claim.window == self._window and not claim.anywhere

    def _lost_since(self, claim: Claim) -> set[str]:
        """Return the nodes that have lost their memory after the claim was made."""
        return {name for name, (number, _) in self._lost.items() if number > claim.since}

    def _gone(self, claim: Claim) -> set[str]:
        """Return the nodes whose copy is lost for good."""
        lost = self._lost_since(claim)
        if not self._names_holders(claim):
            return lost
        return {
            name
            for name in lost & claim.named
            if not (self._lost[name][1] and name in claim.on_disk)
        }
