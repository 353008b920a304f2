"""Detours: by whom a request reaches a member whose link to this node comes and goes.

Rules:
- A link that was lost twice within ``settle`` comes and goes, until one has lived for as long.
- A member that was about to leave has lost no link: it is gone.
- What is for a member behind such a link goes to one whose link is steady, that does not act itself
  and is not about to leave: who is has handed over, and may stop with the request. Only where it
  names the member that comes and goes, which it therefore reaches, it is made to carry the request
  out instead.
- After a detour in vain the straight way has its turn. A change waits for that until half of its
  time is over: what is lost on the way has an unknown outcome.
"""

from math import inf

from ring.core import Core
from ring.errands import Errand
from ring.identity import home_of
from ring.links import Links
from ring.messages import Find


class Detours:
    """Which links of this node come and go, and the ways around them."""

    def __init__(self, core: Core, links: Links) -> None:
        self._core = core
        self._links = links
        self._losses: dict[str, tuple[float, float]] = {}
        """When each member's link was lost, the last time and the time before."""

    def note_lost(self, name: str, now: float) -> None:
        """Note that this node's own link to a member has ended."""
        if self._core.view.peers[name].draining:
            return
        last, _ = self._losses.get(name, (-inf, -inf))
        self._losses[name] = now, last

    def comes_and_goes(self, name: str, now: float) -> bool:
        """Return whether what is sent to ``name`` may be lost with its link, time and again."""
        last, before = self._losses.get(name, (-inf, -inf))
        settle_s = self._core.settings.settle_timeout_s
        return now - last <= settle_s and last - before <= settle_s

    def around(self, errand: Errand, home: str, acting: str, now: float) -> str | None:
        """Return who is asked instead of a member that comes and goes.

        Args:
            errand: what is asked, of a session of ``home``.
            home: the session's home.
            acting: who acts for it, in this node's view; this node itself waits, where it does
                not act yet, for those who come before it.
            now: monotonic seconds.

        Returns:
            The name of a member behind a steady link. None: nothing comes and goes, nobody else is
            there, or the straight way has its turn.
        """
        if not self._losses or errand.request.forwarded:
            return None
        view, line = self._core.view, self._core.view.line(home)
        waits = acting == view.name
        if not waits and errand.detoured and self._may_go_straight(errand, now):
            return None
        awaited = line[: line.index(acting)] if waits else (acting,)
        if not any(self.comes_and_goes(name, now) and view.may_be_up(name) for name in awaited):
            return None
        for name in line:
            if name in view.up - view.draining and name in self._links.outbound:
                peer = view.peers[name]
                # One that acts as well, apart from the other, would answer by what it has itself.
                serves = peer.ready and home not in peer.claims
                if serves and not self.comes_and_goes(name, now):
                    return name
        return None

    def follows(self, errand: Errand, to: str, now: float) -> bool:
        """Return whether a redirect to ``to`` is followed: not to this node, or to a stranger.

        After a detour it has to lead to whom the request is for: another one that is named acts as
        well, apart from that one.
        """
        acting = self._core.view.acting_owner(home_of(errand.request.session_id))
        is_meant = not errand.detoured or to == acting or self.comes_and_goes(to, now)
        return is_meant and to in self._core.view.peers

    def _may_go_straight(self, errand: Errand, now: float) -> bool:
        began = errand.deadline - self._core.settings.request_timeout_s
        late = now - began > (errand.parked_until - began) / 2
        return late or isinstance(errand.request, Find)
