"""What those say to a replica who listen, in its process, to what happens to sessions."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

from ring.announcements import Announcement
from ring.announcing import Announcing
from ring.effects import Effect
from ring.showing import Showing


class Listening(Showing, ABC):
    """The inputs of a replica that come from those who listen."""

    _announcing: Announcing

    @abstractmethod
    def _note_turn(self, now: float) -> None:
        """Note that the loop of this node goes round."""

    @abstractmethod
    def _review(self, now: float) -> None:
        """Draw every conclusion from a changed view of the ring."""

    def listen(self, mask: int, now: float) -> list[Effect]:
        """Have ``Announce`` told from now on what is of these kinds, one bit for each."""
        self._note_turn(now)
        self._announcing.listen(mask, now)
        self._settling.has_news = True
        self._review(now)
        return self._core.collect()

    def on_delivered(
        self, delivered: Iterable[Announcement], returned: Iterable[Announcement], now: float
    ) -> list[Effect]:
        """This process is done with some announcements; others nobody took, and now nobody will."""
        self._note_turn(now)
        self._announcing.on_delivered(delivered, returned, now)
        return self._core.collect()
