"""What a rig is made of, besides the replicas; and plain values that scenarios begin with."""

import base64
from collections.abc import Iterable

from attrs import define, field, frozen

from ring.identity import LinkId, SessionId
from ring.messages import Message, Reply
from ring.placement import Member, Ring
from ring.questions import Matches

NOW = 1000.0
"""A moment of the monotonic clock. Ages are whole seconds before it: frames keep them exactly."""

WALL_MS = 1_700_000_000_000
"""The wall clock at a node's start."""


def session(home: str, number: int) -> SessionId:
    """Return the id of ``home`` whose random part, read as one number, is ``number``."""
    text = base64.urlsafe_b64encode(number.to_bytes(16, "big"))[:22]
    return SessionId(home.encode() + b"." + text)


def ring_of(names: Iterable[str], copies: int = 2) -> Ring:
    """Return a ring of members that are called so."""
    return Ring("rig", tuple(Member(name, f"{name}:1") for name in names), copies=copies)


@define(eq=False)
class Connection:
    """What one replica dialled and another accepted."""

    dialler: str
    acceptor: str
    dialled: LinkId
    accepted: LinkId
    alive: bool = True

    def link_at(self, name: str) -> LinkId:
        """Return the connection as ``name`` calls it."""
        return self.dialled if name == self.dialler else self.accepted

    def far(self, name: str) -> str:
        """Return who is at the other end."""
        return self.acceptor if name == self.dialler else self.dialler


@frozen
class Sent:
    """A message that was delivered."""

    sender: str
    receiver: str
    message: Message


@define
class Asked:
    """A request of an application, and the answer once it has come."""

    number: int
    reply: Reply | None = None
    matches: Matches | None = None
    """The answer to a question."""

    @property
    def waits(self) -> bool:
        """Whether there is no answer yet."""
        return self.reply is None and self.matches is None


@define
class Disk:
    """What a node has stored; it answers at once, or never, or with a failure."""

    content: dict[SessionId, tuple[bytes, float]] = field(factory=dict)
    ring: Ring | None = None
    """The ring that was adopted last."""
    contacts: dict[str, float] = field(factory=dict)
    """When the node was last in contact with each member, and alive."""
    set_aside: list[tuple[SessionId, bytes]] = field(factory=list)
    stuck: bool = False
    fails: bool = False

    def write(self, session_id: SessionId, portable: bytes | None, now: float) -> None:
        """Store what a node has of a session, or that it has nothing."""
        if portable is None:
            self.content.pop(session_id, None)
        else:
            self.content[session_id] = (portable, now)
