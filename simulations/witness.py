"""Who sees a run go by: the lines of ``--trace``, the picture of ``--html``.

Rules:
- A witness changes nothing, and asks nothing that draws from a source of randomness: a run has the
  same trace with and without it.
- Without a witness a run pays for a look at an empty tuple where it would tell it of something.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ring import Record, Replica, SessionId
from ring.messages import Message

if TYPE_CHECKING:
    from simulations.face import AnyWorld
    from simulations.history import Operation
    from simulations.judge import Judge
    from simulations.plan import Fault


class Witness:
    """Sees everything, and makes nothing of it. Times are simulated seconds."""

    def on_begun(self, world: "AnyWorld", judge: "Judge") -> None:
        """A run begins; both may be looked at while it goes on."""

    def on_ended(self, now: float) -> None:
        """The run is over and judged; what is still told is how its world is taken down."""

    def on_event(self, now: float, event: str, who: tuple[str | int | float, ...]) -> None:
        """Something was noted in the trace, other than the delivery of a message."""

    def on_sent(self, now: float, sender: str, receiver: str, message: Message) -> None:
        """A replica gave a message away; it may never arrive."""

    def on_delivered(self, now: float, sender: str, receiver: str, message: Message) -> None:
        """A message that is equal to one that was sent has arrived."""

    def on_loaded(self, now: float, node: str, replica: Replica) -> None:
        """A node that was started has read its disk, and has done nothing else yet."""

    def on_record(self, now: float, node: str, session_id: SessionId, held: Record | None) -> None:
        """A node has changed what it has of a session; None: it has nothing any more."""

    def on_fault(self, now: float, fault: "Fault", nodes: tuple[str, ...]) -> None:
        """A fault strikes these nodes."""

    def on_operation(self, operation: "Operation") -> None:
        """A client asks for something; the operation is completed when it is answered."""


class Teller(Witness):
    """Tells every event in words, which costs much more than playing it.

    Args:
        tell: is given one line for each.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell

    def on_event(self, now: float, event: str, who: tuple[str | int | float, ...]) -> None:
        """See ``Witness``."""
        self._tell(f"{now:9.4f}  {event} {' '.join(map(str, who))}")

    def on_delivered(self, now: float, sender: str, receiver: str, message: Message) -> None:
        """See ``Witness``."""
        self._tell(f"{now:9.4f}  {sender} -> {receiver}  {message}")

    def on_fault(self, now: float, fault: "Fault", nodes: tuple[str, ...]) -> None:
        """See ``Witness``."""
        self._tell(f"{now:9.4f}  fault {fault.kind} {' '.join(nodes)}")
