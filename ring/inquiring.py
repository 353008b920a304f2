"""Questions of people on their way: told here, or asked of the others, each before one deadline.

Rules:
- One hop: what a member was asked by another one it answers from what it has itself.
- A story is told when everybody who is up has told its part, or at the deadline; who has not is
  named. A page is told by whoever acts for the home, or nobody.
- Nothing here changes a record. What waits is bounded: questions that are open, and answers that
  were not read.
"""

from collections.abc import Iterable
from itertools import count
from typing import Final

from attrs import define, evolve, field

from ring.core import Core
from ring.effects import Tell
from ring.errands import check_page
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, home_of
from ring.inquiry import Account, Inquiry, Inspect, Inspected, Story, Why
from ring.inspecting import Inspecting
from ring.journal import Note
from ring.links import Inbound, Links, Outbound
from ring.messages import Failed, Failure
from ring.receipts import Origin
from ring.stories import in_order, known_here

OPEN_MAX: Final = 16
"""Questions that wait for others, here, and for the answer of one of them, also when it is too
late; and answers that wait on one connection. One may have the size of a frame."""
ANSWER_TIMEOUT_S: Final = 2.0
"""For the others: people wait, and a member that hangs is named instead."""


@define
class _Open:
    """A question that waits for others."""

    origin: Origin
    question: Inquiry
    deadline: float
    asked: dict[str, LinkId] = field(factory=dict)
    """Who was asked and has not answered, over which connection."""
    unheard: set[str] = field(factory=set)
    notes: list[Note] = field(factory=list)


class Inquiring:
    """Every question of people that this node was asked and has not answered."""

    def __init__(self, core: Core, links: Links, inspecting: Inspecting) -> None:
        self._core = core
        self._links = links
        self._inspecting = inspecting
        self._numbers = count(1)
        self._open: dict[int, _Open] = {}
        self._unanswered: dict[LinkId, int] = {}
        """What others were asked over which connection; also what nobody waits for any more."""

    # --- Inputs ---

    def inquire(self, origin: Origin, question: Inquiry, now: float) -> None:
        """Answer a question of a client, or of this process for None."""
        home = question.home if isinstance(question, Inspect) else home_of(question.session_id)
        if home not in self._core.ring:
            reason = f"there is no home {home!r} in this ring"
            self._respond(origin, Failed(question.number, Failure.INVALID, reason))
        elif len(self._open) >= OPEN_MAX or self._is_unread(origin):
            reason = "too many questions wait already; read the answers, then ask again"
            self._respond(origin, Failed(question.number, Failure.UNAVAILABLE, reason))
        elif isinstance(question, Why):
            self._gather(origin, question, now)
        else:
            self._turn_to_acting(origin, question, now)

    def on_forwarded(self, inbound: Inbound, question: Inquiry, now: float) -> None:
        """Tell a member what this one knows by itself."""
        home = question.home if isinstance(question, Inspect) else home_of(question.session_id)
        if home not in self._core.ring:
            raise RemoteProtocolError("asks about a home that is not in this ring")
        if self._is_unread(inbound.link):
            raise RemoteProtocolError("asks more about sessions and does not read the answers")
        account: Account
        if isinstance(question, Why):
            account = Story(question.number, known_here(self._core, question.session_id))
        else:
            account = self._inspecting.page(question, now)
        self._links.answer(inbound.link, account)

    def on_account(self, outbound: Outbound, account: Account) -> None:
        """Take what a member tells."""
        if not self._unanswered.get(outbound.link):
            raise RemoteProtocolError("tells what it was not asked")
        self._unanswered[outbound.link] -= 1
        waiting = self._open.get(account.number)
        if waiting is None:
            return  # Its deadline has passed, and it was answered.
        if waiting.asked.get(outbound.peer) != outbound.link:
            raise RemoteProtocolError("tells what it was not asked")
        if isinstance(waiting.question, Why) != isinstance(account, Story):
            raise RemoteProtocolError("tells something else than it was asked")
        if isinstance(account, Story):
            del waiting.asked[outbound.peer]
            waiting.notes += account.notes
            self._maybe_tell(account.number)
            return
        check_page(account)
        del self._open[account.number]
        if account.told:
            self._respond(waiting.origin, evolve(account, number=waiting.question.number))
        else:
            self._fail(waiting, f"{outbound.peer} takes {account.acting} for who acts for the home")

    def on_beat(self, now: float) -> None:
        """Wait no longer for who was lost, or has had its time."""
        for link in [each for each in self._unanswered if self._links.get(each) is None]:
            del self._unanswered[link]
        for number, waiting in list(self._open.items()):
            for name, link in list(waiting.asked.items()):
                if waiting.deadline <= now or self._links.get(link) is None:
                    del waiting.asked[name]
                    waiting.unheard.add(name)
            self._maybe_tell(number)

    # --- Asking ---

    def _gather(self, origin: Origin, question: Why, now: float) -> None:
        """Have everybody who is up tell what it knows of a session."""
        core = self._core
        waiting = _Open(origin, question, now + ANSWER_TIMEOUT_S)
        waiting.notes += known_here(core, question.session_id)
        others = [name for name in core.ring.addresses if name != core.name]
        number = self._ask(waiting, question, others)
        self._maybe_tell(number)

    def _turn_to_acting(self, origin: Origin, question: Inspect, now: float) -> None:
        """Have whoever acts for a home tell a page of it."""
        acting = self._core.view.acting_owner(question.home)
        if acting == self._core.name:
            page = self._inspecting.page(question, now)
            if page.told:
                self._respond(origin, page)
                return
        waiting = _Open(origin, question, now + ANSWER_TIMEOUT_S)
        if acting == self._core.name:
            self._fail(waiting, "its members are still comparing what they have")
        else:
            self._maybe_tell(self._ask(waiting, question, [acting]))

    def _ask(self, waiting: _Open, question: Inquiry, names: Iterable[str]) -> int:
        """Ask these members; who cannot be asked is unheard."""
        number = next(self._numbers)
        self._open[number] = waiting
        forwarded = evolve(question, number=number, forwarded=True)
        for name in names:
            outbound = self._links.outbound.get(name)
            if outbound is not None and self._may_ask(outbound, forwarded):
                waiting.asked[name] = outbound.link
                self._unanswered[outbound.link] = self._unanswered.get(outbound.link, 0) + 1
            else:
                waiting.unheard.add(name)
        return number

    def _may_ask(self, outbound: Outbound, question: Inquiry) -> bool:
        if outbound.peer not in self._core.view.up:
            return False
        if self._unanswered.get(outbound.link, 0) >= OPEN_MAX:
            return False
        return self._links.ask(outbound, question)

    # --- Answering ---

    def _maybe_tell(self, number: int) -> None:
        """Answer a question for which nobody is waited for any more."""
        waiting = self._open.get(number)
        if waiting is None or waiting.asked:
            return
        del self._open[number]
        if isinstance(waiting.question, Why):
            members = self._core.ring.addresses
            unheard = tuple(name for name in members if name in waiting.unheard)
            story = Story(waiting.question.number, in_order(waiting.notes), unheard)
            self._respond(waiting.origin, story)
        else:
            names = ", ".join(sorted(waiting.unheard))
            self._fail(waiting, f"{names}, which acts for the home, did not answer")

    def _is_unread(self, origin: Origin) -> bool:
        """Return whether too many answers wait on a connection to be read."""
        inbound = self._links.inbound.get(origin) if origin is not None else None
        if inbound is None:
            return False
        waiting = sum(isinstance(each, Story | Inspected) for each in inbound.control)
        return waiting >= OPEN_MAX

    def _fail(self, waiting: _Open, reason: str) -> None:
        failed = Failed(waiting.question.number, Failure.UNAVAILABLE, reason)
        self._respond(waiting.origin, failed)

    def _respond(self, origin: Origin, answer: Account | Failed) -> None:
        if origin is None:
            self._core.emit(Tell(answer.number, answer))
        else:
            self._links.answer(origin, answer)
