"""Which status a connection sends next, and when: news goes first, a mere heartbeat takes turns.

Rules:
- An older status that has not left yet has nothing to say.
- Nothing goes ahead of a status that says something new: what follows may build upon it.
- Over a link so slow that heartbeats alone would fill it, every second message is another one.
"""

from attrs import define, evolve

from ring.messages import Acks, Message, Status


@define
class Beats:
    """The status that one connection has still to send."""

    _newest: Status | None = None
    _said: Status | None = None
    _others_turn: bool = False

    def show(self, status: Status) -> None:
        """Send this one, and none that is older."""
        self._newest = status

    def first(self) -> Status | None:
        """Return the status to send now; None: there is none, or it is the turn of the others."""
        status, said = self._newest, self._said
        if status is None:
            return None
        if self._others_turn and said is not None and evolve(status, clock=said.clock) == said:
            return None
        return self._say(status)

    def after(self, message: Message | None) -> Message | None:
        """Return the next message, where this one is what goes next but for a status."""
        if message is None:
            self._others_turn = False
            return self._say(self._newest) if self._newest is not None else None
        if type(message) not in (Status, Acks):
            self._others_turn = False
        return message

    def _say(self, status: Status) -> Status:
        self._newest, self._said, self._others_turn = None, status, True
        return status
