"""What the parts of one replica share: its name, ring, numbers, clock, table and view.

Rule: a part changes the world by emitting effects here, and nowhere else.
"""

from random import Random

from ring.clock import Clock, Stamp, earliest
from ring.effects import Effect, Notice
from ring.identity import SessionId, home_of
from ring.index import indexes_of
from ring.journal import Journal
from ring.liveness import View
from ring.outbox import Outbox
from ring.overwrites import Overwrites
from ring.placement import Ring
from ring.settings import Settings
from ring.table import Table


class Core:
    """The state that every part of a replica reads.

    Args:
        ring: the ring as this node knows it first.
        name: this member's name.
        settings: intervals, time-outs and limits.
        clock: this node's hybrid logical clock.
        random: the source of jitter; nothing secret is made of it.
        has_store: whether ``Persist`` is ever answered.
    """

    def __init__(
        self,
        ring: Ring,
        name: str,
        settings: Settings,
        clock: Clock,
        random: Random,
        has_store: bool,
    ) -> None:
        self.ring = ring
        self.name = name
        self.settings = settings
        self.clock = clock
        self.random = random
        self.has_store = has_store
        indexes = indexes_of(settings.indexes, settings.namespace_indexes)
        self.table = Table(ring.homes, clock.epoch, indexes)
        self.view = View(ring, name)
        self.outbox = Outbox()
        self.journal = Journal(name, settings.journal_bytes_max)
        self.ready = False
        self.is_removed = False
        """The ring has gone on without this node, which serves nothing any more."""
        self.version = 0
        """Counts this node's changes of records; never reused, never sent."""
        self.silent: dict[tuple[str, str], float] = {}
        """A member and a home of which nothing may pass between it and this node, and since when
        (``estranged``)."""
        self.overwrites = Overwrites() if settings.warn_overwrites else None
        self._effects: list[Effect] = []

    def kept_since(self, now: float) -> Stamp:
        """Return the stamp before which ends and removals are forgotten."""
        return earliest(self.clock.physical_ms(now) - int(self.settings.retention_s * 1000))

    def is_silent(self, peer: str | None, session_id: SessionId) -> bool:
        """Return whether nothing of a session may pass between ``peer`` and this node."""
        return bool(self.silent) and (peer, home_of(session_id)) in self.silent

    def note_told(self, session_id: SessionId) -> None:
        """Note that another member is told all that this node has of a session."""
        if self.overwrites is not None:
            self.overwrites.note_known(session_id)

    def emit(self, effect: Effect) -> None:
        """Add an effect to those of the input being handled."""
        self._effects.append(effect)

    def notice(self, event: str, **fields: str | int | float | bool) -> None:
        """Tell people of something that is as it should be."""
        self.emit(Notice(event, fields))

    def alarm(self, event: str, **fields: str | int | float | bool) -> None:
        """Tell people of something that they may have to mend."""
        self.emit(Notice(event, fields, alarming=True))

    def collect(self) -> list[Effect]:
        """Return the effects since the last call, in order."""
        effects, self._effects = self._effects, []
        return effects
