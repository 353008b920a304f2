"""The connections of a client to the ring: to the nodes it was told of, and to those it learns of.

Rules:
- The ring is as the node has told it that was heard last. A node that has left it, or has moved, is
  dialled no more; the addresses that the application gave are, always.
- One connection to each member. The address that the application gave wins over that in the ring,
  which may not be reached from here.
- A node that is about to stop is asked only where there is no other; its connection is ended here,
  once it has answered everything.
"""

from collections.abc import Container, Sequence
from random import Random

import trio

from node.station import Station
from node.timekeeping import Timekeeper
from node.transport import Transport
from wire import Connection, Identity


class Stations:
    """Keeps a connection to every node of the ring that can be reached.

    Args:
        identity: who the client is.
        transport: dials.
        timekeeper: the client's clock.
        random: for nonces, and for the jitter of the back-off.
        connect_timeout_s: seconds until a dial is given up, above 0.
    """

    def __init__(
        self,
        *,
        identity: Identity,
        transport: Transport,
        timekeeper: Timekeeper,
        random: Random,
        connect_timeout_s: float,
    ) -> None:
        self._identity = identity
        self._transport = transport
        self._timekeeper = timekeeper
        self._random = random
        self._connect_timeout_s = connect_timeout_s
        self._stations: list[Station] = []
        self._seeds: set[Station] = set()
        self.names: tuple[str, ...] = ()
        """The names of the ring's members, in ring order."""
        self._addresses: tuple[str, ...] = ()
        self._backups: frozenset[str] = frozenset()
        self._heirs: dict[str, str] = {}
        """Of the departed members, who has their sessions."""
        self._nursery: trio.Nursery | None = None
        self._changed = trio.Event()

    def start(self, nursery: trio.Nursery, addresses: Sequence[str]) -> None:
        """Begin to keep connections, in ``nursery``, to the nodes at ``addresses`` and more."""
        self._nursery = nursery
        self._seeds.update([self._add(address) for address in dict.fromkeys(addresses)])

    async def wait_changed(self) -> None:
        """Return at the next change of a connection or of the ring."""
        await self._changed.wait()

    @property
    def linked(self) -> tuple[str, ...]:
        """The names of the members to which there is a connection now."""
        return tuple(dict.fromkeys(s.name for s in self._stations if s.is_linked and s.name))

    @property
    def staying(self) -> tuple[str, ...]:
        """The names of those of them that are not about to stop."""
        leaving = {s.name for s in self._stations if s.is_leaving}
        return tuple(name for name in self.linked if name not in leaving)

    @property
    def homes_for_new(self) -> tuple[str, ...]:
        """The members that may be the home of a new session; none if nobody can be reached.

        One that keeps silent is not: its sessions are waited for until it is known to be down.
        """
        silent = {s.name for s in self._stations if s.is_silent}
        heard = tuple(name for name in self.staying if name not in silent)
        present = heard or self.staying or self.linked
        everyone = tuple(name for name in self.names if name not in self._backups)
        return tuple(name for name in present if name in everyone) or (everyone if present else ())

    @property
    def homes(self) -> tuple[str, ...]:
        """The homes that sessions have, in ring order, those of departed members at the end."""
        return (*self.names, *self._heirs)

    @property
    def outages(self) -> str:
        """Why members are not connected, in one sentence for people."""
        outages = [f"{s.address}: {s.outage}" for s in self._stations if s.outage]
        return "; ".join(outages) or "no node has answered yet"

    def next_for(self, home: str, tried: Container[Station]) -> Station | None:
        """Return whom to ask next: by preference, but those who leave or kept silent last.

        Args:
            home: of which home's sessions; empty: of many.
            tried: who is not asked.
        """
        linked = [s for s in self._stations if s.is_linked and s not in tried]
        if not linked:
            return None
        home = self._heirs.get(home, home)
        first = self.names.index(home) if home in self.names else 0

        def preference(station: Station) -> tuple[bool, bool, int]:
            place = self.names.index(station.name) if station.name in self.names else 0
            return station.is_silent, station.is_leaving, (place - first) % max(1, len(self.names))

        return min(linked, key=preference)

    def _add(self, address: str) -> Station:
        station = Station(
            address,
            on_change=self._on_change,
            transport=self._transport,
            new_connection=self._new_connection,
            timekeeper=self._timekeeper,
            random=self._random,
            connect_timeout_s=self._connect_timeout_s,
        )
        self._stations.append(station)
        assert self._nursery is not None
        self._nursery.start_soon(station.run)
        return station

    def _new_connection(self) -> Connection:
        return Connection(
            self._identity,
            dialler=True,
            clock_ms=self._timekeeper.wall_ms(),
            random=self._random,
        )

    def _on_change(self, station: Station) -> None:
        self._changed.set()
        self._changed = trio.Event()
        members = station.members
        if members is not None:
            self.names = members.names
            self._addresses = members.addresses
            self._backups = frozenset(members.backups)
            self._heirs = dict(zip(members.departed, members.heirs, strict=True))
        for other in [s for s in self._stations if not s.is_linked and s not in self._seeds]:
            if other.address not in self._addresses:
                other.retire()  # Its node has left the ring, or has moved.
                self._stations.remove(other)
        if members is None:
            return
        if station in self._seeds:
            # The address that the application gave wins over the one that the ring told.
            for other in [s for s in self._stations if s.name == station.name]:
                if other not in self._seeds:
                    other.retire()
                    self._stations.remove(other)
        if station.is_leaving and station.is_idle and self.staying:
            station.hang_up("it is leaving")
        known = {s.name for s in self._stations} | {s.address for s in self._stations}
        for name, address in zip(members.names, members.addresses, strict=True):
            if address and name not in known and address not in known:
                self._add(address)
