"""Beginning to serve: a member that was started is ready when it knows what the others know.

Rules:
- Ready: every home is compared with every member that is up, and each of them has said the same
  of its own comparisons.
- Where nobody that is up was ready before, it waits for those who are missing, and then goes on
  with what the disks have; or waits on, if nobody at all is there and its settings say so.
- Who lives and cannot be understood may know more: nobody goes on without it.
"""

from collections.abc import Callable, Sequence

from ring.awaiting import Awaiting
from ring.core import Core
from ring.estranged import Estranged
from ring.liveness import Liveness, Peer


class Joining:
    """What a member that is not ready still waits for.

    Args:
        core: the state that every part reads.
        awaiting: who has to be heard.
        estranged: who was away for too long.
        is_synced: whether this node has compared all it keeps with a member.
    """

    def __init__(
        self,
        core: Core,
        awaiting: Awaiting,
        estranged: Estranged,
        is_synced: Callable[[str], bool],
    ) -> None:
        self._core = core
        self._awaiting = awaiting
        self._estranged = estranged
        self._is_synced = is_synced
        self.started_at = 0.0
        self._up_since: dict[str, float] = {}
        self._has_told_why = False
        """Why this node stays out or waits; nobody is told twice."""

    def start(self, now: float) -> None:
        """Begin to wait."""
        self.started_at = now

    def note_up(self, name: str, now: float) -> None:
        """A member can be heard from now on."""
        self._up_since[name] = now

    def up_for_s(self, name: str, now: float) -> float:
        """Return how long a member that is up has been heard."""
        return now - self._up_since[name]

    def may_serve(self, now: float) -> bool:
        """Return whether this node may be ready; people are told why it is not, or goes alone."""
        core = self._core
        if core.is_removed or self._awaiting.undetermined(now) or self._estranged.holds_back:
            return False
        up = core.view.peers_in(Liveness.UP)
        # Who has left for good does not come back, and need not.
        peers = [p for p in core.view.peers.values() if p in up or p.name not in core.ring.leaving]
        if not all(self._is_synced(peer.name) and self._has_synced(peer, now) for peer in up):
            return False
        someone_was_ready = len(up) == len(peers) or any(peer.ready for peer in up)
        return someone_was_ready or self._may_go_alone(up, peers, now)

    def _may_go_alone(self, up: Sequence[Peer], peers: list[Peer], now: float) -> bool:
        """Return whether those who are missing were waited for, and nobody has to be."""
        core = self._core
        # Who lives and cannot be understood may know more, and will: its clock or ours is off.
        if now < self.started_at + core.settings.join_timeout_s:
            return False
        apart = [peer.name for peer in peers if peer.unusable]
        waits = core.settings.waits_alone and not up
        if (apart or waits) and not self._has_told_why:
            self._has_told_why = True
            if apart:
                core.alarm("kept_out", members=", ".join(apart))
            else:
                core.alarm("waits_alone", missing=", ".join(p.name for p in peers))
        if apart or waits:
            return False
        core.alarm("ready_alone", missing=", ".join(p.name for p in peers if p not in up))
        return True

    def _has_synced(self, peer: Peer, now: float) -> bool:
        """Return whether ``peer`` has compared with this node, or cannot be waited for."""
        waited = self.up_for_s(peer.name, now) > self._core.settings.join_timeout_s
        return peer.synced or (peer.inbound is None and waited)
