"""A node as the sessions of its process use it: what carries their requests to the ring.

Rule: changes to one session are carried out in the order of the calls.
"""

from random import Random

import trio

from node.auditing import ask_again_until
from node.driver import Driver
from node.timekeeping import Timekeeper
from node.together import Together
from node.turns import Turns, turn_never_came
from node.writers import Writers
from ring.identity import SessionId, new_session_id
from ring.inquiry import Account, Inquiry
from ring.messages import Absent, Failed, Failure, Find, Found, Reply, Request
from ring.questions import Matches, Query


class Performing(Together):
    """The backend of the sessions in a node's process; a node sets its parts.

    See ``node.receipts.Backend``.
    """

    writers: Writers
    _driver: Driver
    _timekeeper: Timekeeper
    _random: Random
    _turns: Turns
    _request_timeout_s: float

    def next_number(self) -> int:
        """Return a number that no request of this node has had."""
        return self._driver.next_number()

    def new_session_id(self, home: str | None = None, namespace: str = "") -> SessionId:
        """Return a fresh id of this home, or of this node, or of another if this one is to stop."""
        return new_session_id(home or self._driver.replica.home_for_new(), self._random, namespace)

    def wall_ms(self) -> int:
        """Return the wall clock as the node carries it, in milliseconds since 1970."""
        return self._timekeeper.wall_ms()

    def read(self, session_id: SessionId, touch: bool) -> Found | Absent | None:
        """Answer from this node's memory, or None if that needs other members. Never waits."""
        return self._driver.read(session_id, touch)

    async def perform(self, request: Request) -> Reply:
        """Have the ring carry out ``request``.

        Changes to one session are carried out in the order of the calls: one that has to wait
        for a member could otherwise be overtaken, and then write over, what came after it.
        """
        if isinstance(request, Find):
            return await self._driver.request(request)
        began = trio.current_time()
        deadline = began + self._request_timeout_s
        async with self._turns.within(request.session_id, deadline) as mine:
            if not mine:
                return turn_never_came(request)
            if trio.current_time() == began:
                return await self._driver.request(request)  # The replica keeps the same deadline.
            with trio.move_on_at(deadline):
                return await self._driver.request(request)
            return Failed(request.number, Failure.OUTCOME_UNKNOWN, "there was no answer in time")

    # --- What people ask for ------------------------------------------------------------------

    @property
    def homes(self) -> tuple[str, ...]:
        """The homes that sessions have; see `Audit.homes`."""
        return self._driver.replica.ring.homes

    async def inquire(self, question: Inquiry) -> Account | Failed:
        """Return what the ring tells; asks again while members compare what they have."""
        deadline = trio.current_time() + self._request_timeout_s
        return await ask_again_until(deadline, self._driver.inquire, question, self.next_number)

    async def query(self, query: Query) -> Matches | Failed:
        """Return one page of the answer to a question; see ``Backend``."""
        return await self._driver.query(query)
