"""The applications in the processes of a rig: what they ask of their nodes, and what they hear."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from ring.announcements import LIFE_CYCLE_MASK, Announcement, Takeover
from ring.effects import Effect
from ring.identity import SessionId
from ring.messages import Durability, End, Find, Request, Rotate, Save
from ring.questions import Query
from ring.replica import Replica
from simulations.ears import Ears
from simulations.rig_parts import NOW, Asked


class Applications(ABC):
    """Whoever uses replicas side by side, in one process with each."""

    def __init__(self) -> None:
        self.now = NOW
        self.replicas: dict[str, Replica] = {}
        self.asked: dict[int, Asked] = {}
        self.ears: dict[str, Ears] = {}
        self.heard: list[tuple[str, Announcement | Takeover]] = []
        """What was announced, and by which process."""
        self.busy: set[str] = set()
        """Processes that are not done with what they have begun with."""
        self.in_hand: dict[str, list[Callable[[], None]]] = {}
        self._actions: deque[Callable[[], None]] = deque()
        """What is to be done now."""

    @abstractmethod
    def perform(self, name: str, effects: Iterable[Effect]) -> None:
        """Note what a replica wants done; it is done in this order by ``run``."""

    @abstractmethod
    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Do everything that is to be done now, or as much until a condition is met."""

    # --- What they ask ---

    def ask(self, name: str, make: Callable[[int], Request | Query]) -> Asked:
        """Submit a request to a node, and let everything follow."""
        number = len(self.asked) + 1
        asked = self.asked[number] = Asked(number)
        self.perform(name, self.replicas[name].submit(make(number), self.now))
        self.run()
        return asked

    def save(
        self,
        name: str,
        session_id: SessionId,
        changes: dict[bytes, bytes | None],
        *,
        create: bool = False,
        durability: Durability = Durability.BACKUP,
        refuse: bool = False,
    ) -> Asked:
        """Change a session at a node."""
        rows = tuple(changes.items())
        return self.ask(
            name, lambda n: Save(n, session_id, create, rows, durability, refuse, False)
        )

    def create(self, name: str, session_id: SessionId, **changes: bytes) -> Asked:
        """Create a session at a node."""
        rows: dict[bytes, bytes | None] = {key.encode(): each for key, each in changes.items()}
        return self.save(name, session_id, rows, create=True)

    def find(self, name: str, session_id: SessionId, *, touch: bool = False) -> Asked:
        """Look a session up at a node."""
        return self.ask(name, lambda n: Find(n, session_id, touch, False))

    def query(
        self, name: str, index: bytes, value: bytes, cursor: bytes = b"", namespace: str = ""
    ) -> Asked:
        """Look for sessions by a value at a node, for one page."""
        return self.ask(name, lambda n: Query(n, index, value, cursor, False, namespace))

    def rotate(
        self,
        name: str,
        session_id: SessionId,
        new_id: SessionId,
        *,
        durability: Durability = Durability.BACKUP,
        **changes: bytes,
    ) -> Asked:
        """Give a session a new id at a node, and change it."""
        rows = tuple((key.encode(), each) for key, each in changes.items())
        return self.ask(
            name, lambda n: Rotate(n, session_id, new_id, rows, durability, False, False)
        )

    def end(
        self,
        name: str,
        session_id: SessionId,
        *,
        durability: Durability = Durability.BACKUP,
        refuse: bool = True,
    ) -> Asked:
        """End a session at a node."""
        return self.ask(name, lambda n: End(n, session_id, durability, refuse, False))

    # --- What they hear ---

    def listen(self, *names: str, mask: int = LIFE_CYCLE_MASK) -> None:
        """Have the processes of these members, or of all, listen to what is announced."""
        for name in names or tuple(self.replicas):
            self.perform(name, self.replicas[name].listen(mask, self.now))
        self.run()

    def begin_to_hear(self, name: str, replica: Replica) -> None:
        """Begin a process that is done at once with what it hears, unless it is ``busy``."""

        def done(delivered: Sequence[Announcement], returned: Sequence[Announcement]) -> None:
            if self.replicas.get(name) is replica:
                self.perform(name, replica.on_delivered(delivered, returned, self.now))

        def later(action: Callable[[], None]) -> None:
            waiting = self.in_hand.setdefault(name, []) if name in self.busy else self._actions
            waiting.append(action)

        self.in_hand.pop(name, None)
        self.ears[name] = Ears(done, lambda what: self.heard.append((name, what)), later)

    def end_business(self, name: str) -> None:
        """Have a process be done with what it has in its hands, and with all that follows."""
        self.busy.discard(name)
        self._actions.extend(self.in_hand.pop(name, []))
        self.run()
