"""Leaving on purpose: others take over first, and have everything before this node goes.

Rules:
- A draining node stands at the end of every line: it keeps nothing for others any more, and goes on
  acting until a member that comes before it claims the home.
- It forgets what it knew about who has what, and compares anew: what another had acknowledged may
  have been lost since.
- Drained: nothing is acted for and nobody waits for an answer; every holder has what is here; and
  every member that stays has said that it has heard of all this and lacks nothing. So nobody waits
  for this node's return when its links end.
- With nobody to hand over to, nothing is left to do here: then the disk has to have everything.
"""

from ring.announcing import Announcing
from ring.comparing import Comparing
from ring.core import Core
from ring.links import Links
from ring.liveness import Liveness, Peer
from ring.messages import Leaving
from ring.querying import Querying
from ring.receipts import Receipts
from ring.serving import Serving
from ring.settling import Settling


class Draining:
    """What this node still has to do before it may leave."""

    def __init__(
        self,
        core: Core,
        links: Links,
        comparing: Comparing,
        settling: Settling,
        receipts: Receipts,
        serving: Serving,
        querying: Querying,
        announcing: Announcing,
    ) -> None:
        self._core = core
        self._links = links
        self._comparing = comparing
        self._settling = settling
        self._receipts = receipts
        self._serving = serving
        self._querying = querying
        self._announcing = announcing

    def begin(self) -> None:
        """Say to all that this node is about to leave; the caller draws the conclusions."""
        if self._core.view.is_draining:
            return
        self._core.notice("draining", sessions=len(self._core.table))
        self._settling.drain()
        for inbound in self._links.inbound.values():
            if inbound.peer is None:
                self._links.answer(inbound.link, Leaving())

    def home_for_new(self) -> str:
        """Return the home of a session that is created here now: this node's, unless it leaves.

        A node that is only a backup, or departed, is nobody's home: the next member of its line is.
        """
        view, ring = self._core.view, self._core.ring
        homes = [
            name
            for name in view.line(self._core.name)
            if name not in ring.backups and name not in ring.leaving
        ]
        for name in homes:
            if name == self._core.name or (name in view.up and view.peers[name].ready):
                return name
        return homes[0]

    @property
    def drained(self) -> bool:
        """Whether this node may stop without anybody losing or missing anything."""
        view = self._core.view
        if not view.is_draining or self.requests:
            return False
        if self._core.is_removed:
            return True  # Nobody takes anything from it any more.
        undetermined = view.peers_in(Liveness.UNDETERMINED)
        if any(peer.name not in view.draining for peer in undetermined):
            return False  # It may be there in a moment, to take over or to be asked.
        staying = self._staying()
        return not staying or (
            not view.claims
            and not self._announcing.hands_over
            and all(self._is_handed_over_to(peer) for peer in staying)
        )

    @property
    def is_last(self) -> bool:
        """Whether there is nobody to hand over to."""
        return not self._staying()

    @property
    def requests(self) -> int:
        """How many requests were asked here and are not answered yet."""
        owed = sum(inbound.owed for inbound in self._links.inbound.values())
        unanswered = self._serving.unanswered + self._querying.unanswered
        return owed + unanswered + len(self._receipts.waiting())

    @property
    def unfinished(self) -> dict[str, int]:
        """Return what of a kind is under way, in numbers; at rest there is none of any."""
        outbound, inbound = self._links.outbound.values(), self._links.inbound.values()
        return {
            "requests": self.requests,
            "answers": sum(each.unanswered for each in outbound),
            "messages": sum(len(each.control) for each in outbound)
            + sum(len(each.control) for each in inbound),
            "changes": sum(len(each.stream) for each in outbound),
            "releases": sum(len(each.releases) for each in outbound),
            "announcements": self._announcing.unfinished,
            "comparisons": self._comparing.unfinished + sum(len(each.answers) for each in inbound),
        }

    @property
    def sessions(self) -> int:
        """How many sessions are not known to be where they belong when this node is gone."""
        view = self._core.view
        lacking = 0
        if not self._staying():
            return lacking
        for home in self._core.ring.homes:
            others = [name for name in view.holders(home) if name != view.name]
            lacking += max((self._comparing.lacking(home, name) for name in others), default=0)
        return lacking + max(len(each.stream) for each in self._links.outbound.values())

    def _staying(self) -> list[Peer]:
        view = self._core.view
        return [peer for peer in view.peers_in(Liveness.UP) if peer.name not in view.draining]

    def _is_handed_over_to(self, peer: Peer) -> bool:
        """Return whether ``peer`` has all it is to have from here, and all it wants to have.

        It says so itself, and compares by itself; who cannot dial this node is sent everything.
        """
        holds = all(
            not self._comparing.lacking(home, peer.name)
            for home in self._core.ring.homes
            if peer.name in self._core.view.holders(home)
        )
        said = peer.synced and peer.heard >= self._settling.status_version
        return (
            holds
            and not len(self._links.outbound[peer.name].stream)
            and (said or peer.inbound is None)
        )
