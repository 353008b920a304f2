"""The stage of all scenarios: a rig with one session, its clients, and what they may expect.

Rules:
- A scenario is a function without arguments. It commands links, disks and time by the rig, and
  speaks as a client by the verbs here; the first expectation that is not met ends it.
- What a client waits for comes within ``PATIENCE_S``, or not at all.
"""

from typing import Final

from ring.identity import SessionId
from ring.messages import (
    Absent,
    Acks,
    Changes,
    Compared,
    Durability,
    Failed,
    Failure,
    Found,
    Listing,
    Records,
    Reply,
    Saved,
)
from ring.record import Record
from simulations.rig import Rig
from simulations.rig_parts import Asked, session

ID: Final = session("a", 7)
"""The session of a user whose requests go to whatever node."""

PATIENCE_S: Final = 12.0
"""More than the deadline of a request."""


class BrokenPromise(AssertionError):
    """Somebody saw what must not be seen."""


def demand(kept: bool, story: str) -> None:
    """Go on if a promise is ``kept``.

    Raises:
        BrokenPromise: it is not; ``story`` says what happened instead.
    """
    if not kept:
        raise BrokenPromise(story)


def packed(value: int) -> bytes:
    """Return a small number as clients pack it."""
    assert 0 <= value < 128
    return bytes([value])


class Stage(Rig):
    """A ring of replicas, and what clients do with one session of a."""

    def saves(
        self,
        node: str,
        *,
        session_id: SessionId = ID,
        create: bool = False,
        durability: Durability = Durability.BACKUP,
        **values: int,
    ) -> tuple[str, ...]:
        """Have a client save at ``node``, undegraded; return who holds it by the receipt."""
        changes: dict[bytes, bytes | None] = {
            key.encode(): packed(value) for key, value in values.items()
        }
        asked = self.save(node, session_id, changes, create=create, durability=durability)
        reply = self.answer(asked)
        demand(
            isinstance(reply, Saved) and not reply.degraded,
            f"a save of {_told(values)} at {node} was answered by {_shown(reply)}",
        )
        assert isinstance(reply, Saved)
        return reply.holders

    def creates(self, node: str, *, session_id: SessionId = ID, **values: int) -> tuple[str, ...]:
        """Have a client create the session at ``node``; return who holds it by the receipt."""
        durability = Durability.BACKUP
        return self.saves(node, session_id=session_id, create=True, durability=durability, **values)

    def logs_out(self, node: str, *, session_id: SessionId = ID) -> tuple[str, ...]:
        """Have a client end the session at ``node``, undegraded; return who holds the end."""
        reply = self.answer(self.end(node, session_id))
        demand(
            isinstance(reply, Saved) and not reply.degraded,
            f"a logout at {node} was answered by {_shown(reply)}",
        )
        assert isinstance(reply, Saved)
        return reply.holders

    def reads(self, node: str, *, session_id: SessionId = ID, **values: int) -> None:
        """Demand that a client which asks at ``node`` reads these values, sooner or later."""
        self.has_read(self.find(node, session_id), node, **values)

    def has_read(self, asked: Asked, node: str, **values: int) -> None:
        """Demand that a find at ``node`` which is under way gives these values."""
        reply = self.answer(asked)
        expected = f"a client that asked {node} for {_told(values)}"
        demand(isinstance(reply, Found), f"{expected} got {_shown(reply)}")
        assert isinstance(reply, Found)
        record = Record.from_portable(reply.portable, self.now)
        for key, value in values.items():
            found = record.value(key.encode())
            shown = "nothing" if found is None else str(found[0])
            demand(found == packed(value), f"{expected} read {shown} under {key}")

    def is_marked(self, node: str, *, marked: bool = True) -> None:
        """Demand that a find at ``node`` says whether the session may be stale."""
        reply = self.answer(self.find(node, ID))
        demand(isinstance(reply, Found), f"{node} answered {_shown(reply)}")
        assert isinstance(reply, Found)
        says = "says" if reply.maybe_stale else "does not say"
        demand(reply.maybe_stale == marked, f"{node} {says} that the session may be stale")

    def is_gone(self, node: str, *, session_id: SessionId = ID) -> None:
        """Demand that there is no such session for a client that asks ``node``."""
        reply = self.answer(self.find(node, session_id))
        demand(isinstance(reply, Absent), f"a client that asked {node} got {_shown(reply)}")

    def cannot_save(self, node: str, *, session_id: SessionId = ID, **values: int) -> None:
        """Demand that a save at ``node`` is told that the session has ended."""
        changes: dict[bytes, bytes | None] = {
            key.encode(): packed(value) for key, value in values.items()
        }
        reply = self.answer(self.save(node, session_id, changes))
        gone = isinstance(reply, Failed) and reply.failure is Failure.GONE
        demand(gone, f"a save at {node} after the end was answered by {_shown(reply)}")

    def is_not_known_yet(self, asked: Asked, node: str) -> None:
        """Demand that nothing has been answered but "not known yet"."""
        reply = asked.reply
        unknown = reply is None or (
            isinstance(reply, Failed) and reply.failure is Failure.UNAVAILABLE
        )
        demand(unknown, f"{node} answered {_shown(reply)} and could not know")

    def answer(self, asked: Asked) -> Reply | None:
        """Return the answer to a request; time passes until it is there."""
        waited = 0.0
        while asked.waits and waited < PATIENCE_S:
            self.pass_time(0.5)
            waited += 0.5
        return asked.reply

    def stand_still(self, name: str, seconds: float) -> None:
        """Let time pass for everybody but ``name``, whose connections stay and bring nothing."""
        others = [other for other in self.replicas if other != name]
        for other in others:
            self.hold_back(other, name)
            self.hold_back(name, other)
        # It accepts connections, and no handshake is ever done.
        self.refused |= {(other, name) for other in others}
        frozen = self.replicas.pop(name)
        self.pass_time(seconds)
        self.replicas[name] = frozen

    def hold_knowledge(self, sender: str, receiver: str) -> None:
        """Let nothing that ``sender`` knows of sessions reach ``receiver`` for now."""
        for kind in (Records, Listing, Compared, Changes, Acks):
            self.hold_back(sender, receiver, kind)

    def part(self, side: str, other: str) -> None:
        """Cut every member of one side off from every member of the other."""
        for one in side:
            for another in other:
                self.cut(one, another)
        self.pass_time(1)

    def meet(self) -> None:
        """Let everybody reach everybody again, and come to rest."""
        self.refused.clear()
        self.stalled.clear()
        self.let_go()
        self.pass_time(8)

    def holders(self, session_id: SessionId = ID) -> str:
        """Return who has anything of the session in memory."""
        holding = (name for name, each in self.replicas.items() if each.record(session_id))
        return "".join(sorted(holding))

    def agree(self, names: str, session_id: SessionId = ID) -> None:
        """Demand that these members, and nobody else, have the same of the session."""
        demand(
            self.holders(session_id) == names,
            f"{names} should hold it, and {self.holders(session_id)} do",
        )
        digests = {name: self._digest(name, session_id) for name in names}
        demand(len(set(digests.values())) == 1, f"{names} hold it differently")

    def _digest(self, name: str, session_id: SessionId) -> int:
        record = self.replicas[name].record(session_id)
        return record.digest if record is not None else 0


def _told(values: dict[str, int]) -> str:
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "the session"


def _shown(reply: Reply | None) -> str:
    match reply:
        case None:
            return "nothing in time"
        case Failed(_, failure, reason):
            return f"{failure.name} ({reason})"
        case Absent():
            return '"no such session"'
        case Found():
            return "a session"
        case Saved(_, holders, _, degraded):
            return f"a {'degraded ' if degraded else ''}receipt of {', '.join(holders)}"
