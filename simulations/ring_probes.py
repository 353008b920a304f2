"""How long clients miss a session when its home is killed.

Rules:
- A probe is one client and one session. It is chosen before the kill, connected before it, and
  tries again and again until it has read the session and has written to it.
- What it measures is from the kill until both have succeeded: what an application would see.
"""

from random import Random
from typing import Final

import trio

from simulations.history import Outcome
from simulations.real_clients import Clients, home_name
from simulations.recorded_client import RecordedClient

PROBES_PER_CLIENT: Final = 4
PROBE_LIMIT_S: Final = 15.0
"""A probe without success by then says so; the session may still be there later."""

_PAUSE_S: Final = 0.005


class Probes:
    """The probes of one kill.

    Args:
        clients: whose connections and sessions are used.
        homes: the members that will be killed.
        random: chooses the sessions.
    """

    def __init__(self, clients: Clients, homes: frozenset[str], random: Random) -> None:
        self.readable_ms: list[float] = []
        self.unavailable_ms: list[float] = []
        self._clients = clients
        self._chosen: list[tuple[RecordedClient, str]] = []
        sessions = [each for each in clients.alive if home_name(each) in homes]
        random.shuffle(sessions)
        for _ in range(PROBES_PER_CLIENT):
            for client in clients.clients:
                mine = (each for each in sessions if client.may_write(each))
                if session_id := next(mine, None):
                    sessions.remove(session_id)
                    self._chosen.append((client, session_id))
        clients.probed.update(dict.fromkeys(self._chosen))

    def __len__(self) -> int:
        return len(self._chosen)

    async def run(self, killed_at: float) -> None:
        """Probe until all have succeeded; ``killed_at`` is by trio's clock."""
        async with trio.open_nursery() as nursery:
            for client, session_id in self._chosen:
                nursery.start_soon(self._probe, client, session_id, killed_at)

    async def _probe(self, client: RecordedClient, session_id: str, killed_at: float) -> None:
        readable_at = 0.0
        while trio.current_time() < killed_at + PROBE_LIMIT_S:
            operation, session = await client.find(session_id)
            if operation.outcome is Outcome.OK and session is None:
                break  # it is lost, and the checker has said so
            if session is not None:
                readable_at = readable_at or trio.current_time()
                # A save whose outcome is unknown may have happened, and is not repeated: then
                # being found is all that is left to ask of this session.
                if not client.may_write(session_id):
                    break
                if (await client.save(session)).outcome is Outcome.OK:
                    break
            await trio.sleep(_PAUSE_S)
        now = trio.current_time()
        self.readable_ms.append(((readable_at or now) - killed_at) * 1000)
        self.unavailable_ms.append((now - killed_at) * 1000)
        del self._clients.probed[client, session_id]
