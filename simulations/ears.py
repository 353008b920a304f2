"""What the process of a simulated node makes of announcements: one after the other, in its time.

Rules:
- It has one in its hands at a time, and is done with it before it begins with the next.
- What it has not begun with it gives back when another member is to announce it.
- Hints are only heard.
"""

from collections import deque
from collections.abc import Callable, Sequence

from attrs import define, field

from ring.announcements import LIFE_CYCLE, Announcement, Takeover
from ring.effects import Announce, Withdraw


@define
class Ears:
    """One process that listens.

    Args:
        done: tells the replica what was delivered, and what is given back.
        begun: notes what the process hears, in order.
        later: has it be done with what it has begun with, after a while.
    """

    _done: Callable[[Sequence[Announcement], Sequence[Announcement]], None]
    _begun: Callable[[Announcement | Takeover], None]
    _later: Callable[[Callable[[], None]], None]
    _in_hand: Announcement | None = None
    _waiting: deque[Announcement] = field(factory=deque)

    def perform(self, effect: Announce | Withdraw) -> None:
        """Hear what is announced, or give back what is withdrawn."""
        match effect:
            case Announce(Announcement() as what) if what.kind in LIFE_CYCLE:
                self._waiting.append(what)
                self._begin()
            case Announce(what):
                self._begun(what)
            case Withdraw(home):
                returned = [each for each in self._waiting if each.home == home]
                if returned:
                    self._waiting = deque(each for each in self._waiting if each.home != home)
                    self._done((), returned)

    def _begin(self) -> None:
        if self._in_hand is None and self._waiting:
            self._in_hand = self._waiting.popleft()
            self._begun(self._in_hand)
            self._later(self._end)

    def _end(self) -> None:
        done, self._in_hand = self._in_hand, None
        assert done is not None
        self._done((done,), ())
        self._begin()
