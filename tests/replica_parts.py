"""What a ring of replicas in a test is made of, besides the replicas."""

from attrs import define, field, frozen

from ring.identity import LinkId, SessionId
from ring.messages import Message, Reply
from ring.placement import Ring


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

    @property
    def waits(self) -> bool:
        """Whether there is no answer yet."""
        return self.reply is None


@define
class Disk:
    """What a node has stored; it answers at once, or never, or with a failure."""

    content: dict[SessionId, tuple[bytes, float]] = field(factory=dict)
    ring: Ring | None = None
    """The ring that was adopted last."""
    stuck: bool = False
    fails: bool = False
