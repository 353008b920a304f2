"""A replica that decides nothing: it notes every input and returns the effects it was given."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, cast

from ring.effects import Effect
from ring.identity import LinkId, SessionId
from ring.messages import Absent, Found, Greeting, Message, Request
from ring.replica import Replica


class ScriptedReplica:
    """Stands in for a ``Replica`` in a test of what drives it.

    ``effects`` maps the name of an input to what it returns; an exception there is raised.
    """

    def __init__(self) -> None:
        self.inputs: list[tuple[Any, ...]] = []
        self.effects: dict[str, list[Effect] | Exception] = {}
        self.outbox: dict[LinkId, deque[Message]] = {}
        self.greetings: list[Greeting | None] = []
        """What the handshakes have shown, in the order of the links."""
        self.due = float("inf")
        self.ready = False
        self.claims: frozenset[str] = frozenset()
        self.found: Found | Absent | None = None
        self.records: dict[SessionId, tuple[int, bytes | None]] = {}

    @property
    def as_replica(self) -> Replica:
        return cast(Replica, self)

    @property
    def names(self) -> list[str]:
        """The names of the inputs so far, in order."""
        return [name for name, *_ in self.inputs]

    def _note(self, name: str, *arguments: object) -> list[Effect]:
        self.inputs.append((name, *arguments))
        effects = self.effects.get(name, [])
        if isinstance(effects, Exception):
            raise effects
        return effects

    def start(self, now: float) -> list[Effect]:
        return self._note("start")

    def on_linked(
        self, peer: str, link: LinkId, now: float, greeting: Greeting | None = None
    ) -> list[Effect]:
        self.greetings.append(greeting)
        return self._note("on_linked", peer, link)

    def on_refused(self, peer: str, now: float) -> list[Effect]:
        return self._note("on_refused", peer)

    def on_unreachable(self, peer: str, now: float, began: float | None = None) -> list[Effect]:
        return self._note("on_unreachable", peer)

    def on_accepted(
        self, link: LinkId, peer: str | None, now: float, greeting: Greeting | None = None
    ) -> list[Effect]:
        self.greetings.append(greeting)
        return self._note("on_accepted", link, peer)

    def on_closed(self, link: LinkId, now: float) -> list[Effect]:
        return self._note("on_closed", link)

    def on_message(self, link: LinkId, message: Message, now: float) -> list[Effect]:
        return self._note("on_message", link, message)

    def submit(self, request: Request, now: float) -> list[Effect]:
        return self._note("submit", request)

    def read(
        self, session_id: SessionId, touch: bool, now: float
    ) -> tuple[Found | Absent | None, list[Effect]]:
        return self.found, self._note("read", session_id, touch)

    def take(self, link: LinkId, now: float) -> Message | None:
        if isinstance(error := self.effects.get("take"), Exception):
            raise error
        outbox = self.outbox.get(link)
        return outbox.popleft() if outbox else None

    def persistent(self, session_id: SessionId, now: float) -> tuple[int, bytes | None]:
        self._note("persistent", session_id)
        return self.records[session_id]

    def on_persisted(self, versions: Mapping[SessionId, int], now: float) -> list[Effect]:
        return self._note("on_persisted", dict(versions))

    def on_persist_failed(
        self, session_ids: Iterable[SessionId], reason: str, now: float
    ) -> list[Effect]:
        return self._note("on_persist_failed", sorted(session_ids), reason)

    def next_due(self, now: float) -> float:
        return self.due

    def on_tick(self, now: float) -> list[Effect]:
        self.due = float("inf")
        return self._note("on_tick", now)
