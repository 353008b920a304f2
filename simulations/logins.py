"""Whose the sessions of the built-in clients are, and who asks for all that a principal has.

Rule: nothing is drawn where there are no principals, so that a plan without them stays what it was.
"""

from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

import msgpack

from ring import SessionId
from ring.entry import PRINCIPAL
from ring.questions import Matches, Query
from simulations.asking import DOWN_PAUSE_S, OPERATION_LIMIT_S
from simulations.census import Census, Question
from simulations.ground import Answer, Ground
from simulations.history import Kind

NAMESPACES: Final = ("", "shop")
"""The applications whose sessions they are; the first is the default namespace."""
_GIVEN: Final = {Kind.CREATE: 0.7, Kind.SAVE: 0.12, Kind.ROTATE: 0.3}
"""How often a session is given to somebody by what is done to it."""
_ASKED: Final = 0.12
"""The share of requests that ask for all sessions of a principal."""
_ENDED: Final = 0.15
"""How often these are ended then."""


class Logins:
    """The principals of one run.

    Args:
        ground: where the clients are.
        judge: is told what they ask for and are told.
        principals: how many there are; 0: none.
        counts: what clients were told, to be added to.
    """

    def __init__(
        self, ground: Ground, judge: Census, principals: int, counts: dict[str, int]
    ) -> None:
        self._ground = ground
        self._judge = judge
        self._names = [f"user-{number}" for number in range(principals)]
        self._counts = counts
        self._asked = 0

    def whose(self, kind: Kind, random: Random) -> str | None:
        """Return to whom an operation is to give its session; None: to nobody else than before."""
        if not self._names or kind not in _GIVEN or random.random() >= _GIVEN[kind]:
            return None
        return random.choice(self._names)

    def asks(self, random: Random) -> bool:
        """Return whether a client asks for the sessions of a principal now."""
        return bool(self._names) and random.random() < _ASKED

    def ask(
        self,
        client: int,
        random: Random,
        end_each: Callable[[list[SessionId]], None],
        then: Callable[[], None],
    ) -> None:
        """Ask anybody for the sessions of a principal; now and then, end them all."""
        node, name = random.choice(self._ground.alive()), random.choice(self._names)
        namespace = NAMESPACES[self._asked % len(NAMESPACES)]
        self._asked += 1
        question = self._judge.on_asked(client, node, namespace, name, self._ground.now)
        ends = random.random() < _ENDED

        def told(ids: list[SessionId]) -> None:
            if ends:
                end_each(ids)
            else:
                then()

        self._next_page(question, [], b"", told)

    def _next_page(
        self,
        question: Question,
        ids: list[SessionId],
        cursor: bytes,
        told: Callable[[list[SessionId]], None],
    ) -> None:
        answered = False

        def take(answer: Answer | None) -> None:
            nonlocal answered
            if not answered:
                answered = True
                self._take(question, ids, answer, told)

        def make(number: int) -> Query:
            value = msgpack.packb(question.principal)
            return Query(number, PRINCIPAL, value, cursor, False, question.namespace)

        asked = self._ground.query(question.node, make, take)
        limit_s = OPERATION_LIMIT_S if asked else DOWN_PAUSE_S
        self._ground.after(limit_s, partial(take, None))

    def _take(
        self,
        question: Question,
        ids: list[SessionId],
        answer: Answer | None,
        told: Callable[[list[SessionId]], None],
    ) -> None:
        if not isinstance(answer, Matches):
            self._count("failed")
            told([])
            return
        ids = [*ids, *map(SessionId, answer.flat[::2])]
        if answer.cursor:
            self._next_page(question, ids, answer.cursor, told)
            return
        is_complete = not (answer.missing or answer.unreachable)
        self._count("ok" if is_complete else "partly")
        if is_complete:
            self._judge.on_answered(question, [each.decode() for each in ids])
        told(ids)

    def _count(self, outcome: str) -> None:
        key = f"{Kind.QUERY}-{outcome}"
        self._counts[key] = self._counts.get(key, 0) + 1
