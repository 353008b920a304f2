"""Members that do not keep up with this node: others stand in for them until they do.

Rules:
- A member lags once a change that it was sent has waited too long for its acknowledgement, and
  until nothing of its stream is left. It is no holder meanwhile, in this node's view alone, so
  receipts do not wait for it; then it is one that was gained, and is compared with.
- If all of several members lag, it is this node that reaches nobody in time: it goes to the end
  of every line itself, so that others act, and tells people.
"""

from ring.core import Core
from ring.links import Links
from ring.settling import Settling

_SEVERAL = 2


class Lagging:
    """How old what this node has sent may become."""

    def __init__(self, core: Core, links: Links, settling: Settling) -> None:
        self._core = core
        self._links = links
        self._settling = settling

    def look(self, now: float) -> None:
        """Judge every stream anew; the caller draws the conclusions."""
        view = self._core.view
        before = view.lagging
        lagging = frozenset(name for name in self._links.outbound if self._lags(name, now))
        if lagging != before:
            view.lagging = lagging
            for name in sorted(lagging - before):
                self._core.alarm("lagging", peer=name)
            for name in sorted(before - lagging):
                self._core.notice("lagging_ended", peer=name)
        others = view.up - {view.name} if lagging else frozenset()
        stands_back = len(others) >= _SEVERAL and others <= lagging
        if stands_back != view.stands_back:
            self._settling.stand_back(stands_back)
            if stands_back:
                self._core.alarm("all_lagging", members=len(others))
            else:
                self._core.notice("all_lagging_ended")

    def _lags(self, name: str, now: float) -> bool:
        stream = self._links.outbound[name].stream
        if name in self._core.view.lagging:
            return len(stream) > 0
        sent_at = stream.oldest_sent_at()
        return sent_at is not None and now - sent_at > self._core.settings.lagging_after_s
