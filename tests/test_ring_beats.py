"""A status goes ahead of everything else if it says something new, and takes turns after that."""

from attrs import evolve
from samples import session

from ring.beats import Beats
from ring.clock import Stamp
from ring.messages import Acks, Ask, Message, Status

HEARTBEAT = Status(Stamp(1), True, False, 7, ("a",), False)
QUESTION = Ask(1, session("a", 7))


class Link:
    """A connection that is given a heartbeat whenever it has said one, and takes one at a time."""

    def __init__(self) -> None:
        self.beats = Beats()
        self.others = list[Message]()
        self.clock = 1

    def beat(self, status: Status = HEARTBEAT) -> None:
        self.clock += 1
        self.beats.show(evolve(status, clock=Stamp(self.clock)))

    def take(self) -> Message | None:
        other = self.others[0] if self.others else None
        taken = self.beats.first() or self.beats.after(other)
        if taken is other and other is not None:
            self.others.pop(0)
        return taken


def kinds(link: Link, number: int) -> list[str]:
    taken = []
    for _ in range(number):
        link.beat()
        taken.append(type(link.take()).__name__)
    return taken


def test_heartbeats_that_would_fill_a_slow_link_leave_every_second_turn_to_others() -> None:
    link = Link()
    link.others = [QUESTION] * 2
    assert kinds(link, 6) == ["Status", "Ask", "Status", "Ask", "Status", "Status"]


def test_what_is_new_goes_ahead_of_all_that_waits() -> None:
    link = Link()
    link.others = [QUESTION] * 2
    link.beat()
    link.take()
    link.beat(evolve(HEARTBEAT, claims=()))
    status = link.take()
    assert isinstance(status, Status)
    assert status.claims == ()


def test_acknowledgements_take_no_turn_of_what_somebody_waits_for() -> None:
    link = Link()
    link.others = [Acks(1, ()), QUESTION]
    assert kinds(link, 4) == ["Status", "Acks", "Ask", "Status"]


def test_only_the_newest_status_is_sent_and_each_once() -> None:
    link = Link()
    link.beat()
    link.beat()
    status = link.take()
    assert isinstance(status, Status)
    assert status.clock == 3
    assert link.take() is None


def test_a_link_that_was_idle_begins_with_a_heartbeat_again() -> None:
    link = Link()
    link.beat()
    assert [link.take(), link.take()][1] is None
    link.others = [QUESTION]
    assert kinds(link, 2) == ["Status", "Ask"]
