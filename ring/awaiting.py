"""Who is waited for: members that may know more, and for how long one that comes and goes counts.

Rules:
- A member that is up is waited for until it was heard. One that is not, only if it comes back and
  may have acted meanwhile.
- Whoever comes and goes without being heard is waited for as long as for a comparison, and no
  longer: else one flapping link would keep a home silent for ever.
"""

from ring.comparing import Comparing
from ring.core import Core
from ring.liveness import Liveness, Peer


class Awaiting:
    """The members without whose word this node does not go on yet."""

    def __init__(self, core: Core, comparing: Comparing) -> None:
        self._core = core
        self._comparing = comparing

    def note_lost(self, member: Peer, now: float, *, may_act: bool) -> None:
        """Note that the link to a member was lost, whose verdict is pending.

        Args:
            member: whose link it was.
            now: monotonic seconds.
            may_act: it was not heard, or acted beside this node.
        """
        member.lost_at = now
        if member.restless_since is None:
            member.restless_since = now
        member.returning |= may_act
        self.note_returning(member, now)

    def note_returning(self, member: Peer, now: float) -> None:
        """Begin to wait for a member that comes back, unless that has begun already."""
        if member.returning and member.returning_since is None:
            member.returning_since = now

    def undetermined(self, now: float) -> list[Peer]:
        """Return the members about which this node has to know more before it goes on."""
        undetermined = self._core.view.peers_in(Liveness.UNDETERMINED)
        return [peer for peer in undetermined if not self.is_restless(peer, now)]

    def is_restless(self, peer: Peer, now: float) -> bool:
        """Return whether ``peer`` is away, and has come and gone for as long as it is waited for.

        Who is there is heard to the end, however much it has to tell; if it goes again before that,
        it has been waited for.
        """
        since = peer.restless_since
        if since is None or now - since <= self._core.settings.settle_timeout_s:
            return False
        return peer.liveness is not Liveness.UP

    def unheard(self, home: str, now: float) -> set[str]:
        """Return the members without whose word ``home`` is not known here."""
        since = now - self._core.settings.settle_timeout_s
        unheard = set()
        for name, peer in self._core.view.peers.items():
            if peer.liveness is Liveness.UP:
                awaited = not self._comparing.is_heard(home, name)
            else:
                awaited = peer.returning and (peer.returning_since or now) > since
            if awaited:
                unheard.add(name)
        return unheard

    def suspects(self) -> set[str]:
        """Return the members that come back, or did not answer to the end: they may know more."""
        returning = {peer.name for peer in self._core.view.peers.values() if peer.returning}
        return returning | self._comparing.given_up_peers()
