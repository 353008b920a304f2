"""The clients of a local ring: together they create, change, read and end sessions, under load.

Rules:
- Sessions are shared: any client may change any of them, each under its own key.
- How many sessions have been created and ended follows the time of the load, not its speed, and
  no phase uses up the share of the next: so every phase sees all kinds of operations, and a run
  has the sessions that it was asked for.
- Sessions that a probe watches are not ended meanwhile, and only the probe writes to them for its
  client.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count
from random import Random
from typing import IO, Final

import trio
from attrs import frozen

from node import open_client
from node.transport import Transport
from ring.identity import SessionId, home_of
from ring.messages import Durability
from simulations.history import Operation, Outcome
from simulations.judge import Judge
from simulations.recorded_client import History, RecordedClient
from simulations.ring_tally import Tally

CREATED_AT_ONCE: Final = 0.5
"""The share of the sessions that exist as soon as possible; the others follow over the time."""

ENDED: Final = 0.4
"""The share of the sessions that are ended during the run."""

THINK_S: Final = (0.0, 0.005)
"""A pause after each operation, so that the clients leave the nodes some of the machine."""

SAVES: Final = (1, 6)
"""How often a session that was found is changed, one after the other."""

CHANGING: Final = 0.75
"""The share of the sessions that are found in order to change them."""

ROTATING: Final = 0.03
"""How often a client gives a session a new id."""

REFUSED_PAUSE_S: Final = 0.02
CHECK_AT_ONCE: Final = 32
CHECK_LIMIT_S: Final = 15.0
"""How long the ring may call a session "not known yet" at the end before it counts as lost."""


@frozen
class Load:
    """What the clients do."""

    seed: int
    clients: int
    sessions: int
    seconds: float
    """Over how long the creations and ends are spread; the load goes on as long as it is run."""
    durability: Durability


class Clients:
    """All clients of one run, and the sessions that they share.

    Args:
        load: what they do.
        tally: counts what they are told.
        history_file: gets a line for each operation, or None.
        judge: judges; by default one that excuses nothing.
        transport_of: returns what the client of a number dials with; None: plain sockets.
    """

    def __init__(
        self,
        load: Load,
        tally: Tally,
        history_file: IO[str] | None = None,
        *,
        judge: Judge | None = None,
        transport_of: Callable[[int], Transport | None] = lambda number: None,
    ) -> None:
        self.load = load
        self.clients: list[RecordedClient] = []
        self.alive: list[str] = []
        """Sessions whose creation was acknowledged, and that nobody has tried to end."""
        self.progress_max = 1.0
        """Which share (0 to 1) of the creations and ends may be done by now, at most."""
        self.probed: dict[tuple[RecordedClient, str], None] = {}
        """Which client's probe watches which session."""
        self._addresses: tuple[str, ...] = ()
        self._secret = ""
        self._tally = tally
        self._history = History(judge or Judge(), tally, history_file)
        self._transport_of = transport_of
        self._versions = count(1)
        self._sessions: list[str] = []
        self._ended: list[str] = []
        self._creations = 0
        self._created = trio.Event()
        self._ends = 0
        self._loaded_s = 0.0
        self._stopped = False

    @asynccontextmanager
    async def connected(self, addresses: tuple[str, ...], secret: str) -> AsyncIterator[None]:
        """Keep the connections of all clients for the block.

        Args:
            addresses: of the nodes.
            secret: of their ring.
        """
        self._addresses, self._secret = addresses, secret
        async with trio.open_nursery() as nursery:
            try:
                for _ in range(self.load.clients):
                    self.clients.append(await nursery.start(self._connect))
                yield
            finally:
                nursery.cancel_scope.cancel()

    async def _connect(self, *, task_status: trio.TaskStatus[RecordedClient]) -> None:
        """Keep one more client connected until cancelled."""
        number = len(self.clients)
        async with open_client(
            *self._addresses,
            secrets=[self._secret],
            durability=self.load.durability,
            transport=self._transport_of(number),
        ) as client:
            await client.wait_linked(len(self._addresses))
            task_status.started(RecordedClient(number, client, self._history, self._versions))
            await trio.sleep_forever()

    def follow(self, addresses: tuple[str, ...]) -> None:
        """Let clients that connect from now on begin with these nodes."""
        self._addresses = addresses

    def now(self) -> float:
        """Return the time as the histories have it, in seconds."""
        return self._history.now()

    # --- Load ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Be all clients until stopped."""
        self._stopped = False
        async with trio.open_nursery() as nursery:
            for client in self.clients:
                nursery.start_soon(self._run_client, client)
            nursery.start_soon(self._keep_time)

    def stop(self) -> None:
        """Have the clients end the load; each finishes what it is about."""
        self._stopped = True

    async def wait_created(self) -> None:
        """Return once the clients have created as many sessions as shall exist at once."""
        await self._created.wait()

    async def _keep_time(self) -> None:
        before = trio.current_time()
        while not self._stopped:
            await trio.sleep(0.02)
            now = trio.current_time()
            self._loaded_s, before = self._loaded_s + now - before, now

    async def _run_client(self, client: RecordedClient) -> None:
        random = Random(f"{self.load.seed}/client/{client.number}".encode())
        while not self._stopped:
            operation = await self._do_one(client, random)
            if operation is None or operation.outcome is not Outcome.OK:
                await trio.sleep(REFUSED_PAUSE_S)
            await trio.sleep(random.uniform(*THINK_S))

    async def _do_one(self, client: RecordedClient, random: Random) -> Operation | None:
        passed = min(self._loaded_s / self.load.seconds, self.progress_max)
        wanted = CREATED_AT_ONCE + (1 - CREATED_AT_ONCE) * passed
        if self._creations < self.load.sessions * wanted:
            return await self._create(client)
        if self.alive and self._ends < int(self.load.sessions * ENDED * passed):
            session_id = random.choice(self.alive)
            if len(self.alive) > 1 and not self._is_probed(session_id):
                return await self._end(client, session_id)
        if self._ended and random.random() < 0.05:
            operation, _ = await client.find(random.choice(self._ended))
            return operation
        if not self.alive:
            return None
        session_id = random.choice(self.alive)
        if random.random() < ROTATING and not self._is_probed(session_id):
            return await self._rotate(client, session_id)
        saves = random.randint(*SAVES) if random.random() < CHANGING else 0
        return await self._use(client, session_id, saves)

    async def _create(self, client: RecordedClient) -> Operation | None:
        self._creations += 1
        operation = await client.create(self._note_session)
        if operation is None:
            self._creations -= 1
        elif operation.outcome is Outcome.OK:
            self.alive.append(operation.session)
        if self._creations >= self.load.sessions * CREATED_AT_ONCE:
            self._created.set()
        return operation

    def _note_session(self, session_id: str) -> None:
        self._sessions.append(session_id)
        self._tally.add_session()

    async def _end(self, client: RecordedClient, session_id: str) -> Operation:
        self._ends += 1
        self.alive.remove(session_id)
        self._ended.append(session_id)
        return await client.end(session_id)

    async def _use(self, client: RecordedClient, session_id: str, saves: int) -> Operation:
        """Read a session, and change it ``saves`` times as long as all goes well."""
        operation, session = await client.find(session_id)
        while session is not None and saves and operation.outcome is Outcome.OK:
            if not client.may_write(session_id) or (client, session_id) in self.probed:
                break
            operation = await client.save(session)
            saves -= 1
        return operation

    async def _rotate(self, client: RecordedClient, session_id: str) -> Operation:
        """Read a session, and give it a new id; the old one is looked for now and then."""
        operation, session = await client.find(session_id)
        if session is None or not client.may_write(session_id) or self._is_probed(session_id):
            return operation
        operation = await client.rotate(session)
        if session.id != session_id:
            self._sessions.append(session.id)
            self._ended.append(session_id)
            if session_id in self.alive:  # Else another has rotated or ended it meanwhile.
                self.alive[self.alive.index(session_id)] = session.id
        return operation

    def _is_probed(self, session_id: str) -> bool:
        return any(session_id == probed for _, probed in self.probed)

    # --- The end ------------------------------------------------------------------------------

    async def check(self) -> int:
        """Read every session once more, through a fresh client; return how many there were."""
        waiting = list(self._sessions)
        deadline = trio.current_time() + CHECK_LIMIT_S

        async def read() -> None:
            while waiting:
                session_id = waiting.pop()
                operation, _ = await fresh.find(session_id)
                while operation.outcome is not Outcome.OK and trio.current_time() < deadline:
                    await trio.sleep(REFUSED_PAUSE_S)
                    operation, _ = await fresh.find(session_id)
                if operation.outcome is not Outcome.OK:
                    self._history.judge.on_unreadable(operation)
                    self._history.count_violations()

        async with trio.open_nursery() as nursery:
            fresh = await nursery.start(self._connect)
            async with trio.open_nursery() as readers:
                for _ in range(CHECK_AT_ONCE):
                    readers.start_soon(read)
            nursery.cancel_scope.cancel()
        return len(self._sessions)


def home_name(session_id: str) -> str:
    """Return the member in whose care a session is."""
    return home_of(SessionId(session_id.encode()))
