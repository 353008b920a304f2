"""Clients of the small world: they create, change, read and end sessions, and remember.

Rules:
- A client routes by id: the home first, then its preference list. Where no members are cut off
  from each other, it also asks anybody now and then; behind a cut that promises nothing.
- After an unknown outcome a client does not write to that session again: the lost request might
  still arrive, and overwrite what came after it.
"""

from functools import partial
from itertools import count
from random import Random

import msgpack

from ring import Durability, Record, SessionId
from ring.identity import home_of, new_session_id
from ring.messages import Absent, End, Failed, Failure, Find, Found, Reply, Save, Saved
from simulations.checkers import Checker
from simulations.history import Kind, Operation, Outcome
from simulations.world import World

OPERATION_LIMIT_S = 10.0
THINK_S = (0.005, 0.15)


def key_of(client: int) -> bytes:
    """Return the key under which a client counts its writes in every session."""
    return b"client-%d" % client


class Clients:
    """All clients of one run, and the sessions that they share."""

    def __init__(
        self,
        world: World,
        checker: Checker,
        seed: int | str,
        number: int,
        durability: Durability,
        *,
        wander: bool,
    ) -> None:
        self.world = world
        self.checker = checker
        self.durability = durability
        self._wander = wander
        self.counts: dict[str, int] = {}
        self.stopped = False
        self.hot: SessionId | None = None
        """The session that everybody looks at: that of the latest receipt, once it is asked for."""
        self.hot_owner = ""
        self.sessions: list[SessionId] = []
        self._retired: set[tuple[int, SessionId]] = set()
        self._versions = count(1)
        self._randoms = [Random(f"{seed}/client/{each}".encode()) for each in range(number)]
        self._ids = Random(f"{seed}/ids".encode())
        for client in range(number):
            self._think(client)

    def look_away(self) -> None:
        """Look at no session in particular, until the next receipt."""
        self.hot = None

    def read_everything(self) -> None:
        """Have client 0 look every session up once, at its home."""
        for session_id in list(self.sessions):
            self._operate(0, Kind.FIND, session_id, self._route(session_id))

    # --- One client ---

    def _think(self, client: int) -> None:
        pause = self._randoms[client].uniform(*THINK_S)
        self.world.scheduler.after(pause, partial(self._next, client))

    def _next(self, client: int) -> None:
        """Begin another operation; the next one follows when it has returned."""
        if self.stopped:
            return
        random = self._randoms[client]
        running = [process.name for process in self.world.running()]
        if not running:
            self._think(client)
            return
        if len(self.sessions) < 4 or random.random() < 0.05:
            home = random.choice(running)
            session_id = new_session_id(home, self._ids)
            self.sessions.append(session_id)
            self._operate(client, Kind.CREATE, session_id, home, then=True)
            return
        session_id = random.choice(self.sessions[-40:])
        wanders = self._wander and random.random() < 0.1
        node = random.choice(running) if wanders else self._route(session_id)
        if self.hot is not None and random.random() < 0.5:
            self._operate(client, Kind.FIND, self.hot, self._route(self.hot), then=True)
            return
        kind = random.choices((Kind.SAVE, Kind.FIND, Kind.END), (50, 46, 4))[0]
        if kind is Kind.SAVE and (client, session_id) in self._retired:
            kind = Kind.FIND
        self._operate(client, kind, session_id, node, then=True)

    def _route(self, session_id: SessionId) -> str:
        preferred = self.world.ring.preference_list(home_of(session_id))
        return next((name for name in preferred if name in self.world.processes), preferred[0])

    def _operate(
        self, client: int, kind: Kind, session_id: SessionId, node: str, *, then: bool = False
    ) -> None:
        version = next(self._versions)
        operation = Operation(client, kind, session_id.decode(), node, self.world.now, version)
        self.checker.on_invoked(operation)
        finish = partial(self._finish, operation, session_id, then)
        changes = ((key_of(client), msgpack.packb(version)),)

        def make(number: int) -> Find | Save | End:
            if kind is Kind.FIND:
                return Find(number, session_id, True, False)
            if kind is Kind.END:
                return End(number, session_id, self.durability, True, False)
            create = kind is Kind.CREATE
            return Save(number, session_id, create, changes, self.durability, False, False)

        if self.world.submit(node, make, finish):
            self.world.scheduler.after(OPERATION_LIMIT_S, partial(finish, None))
        else:
            self.world.scheduler.after(0.01, partial(finish, None))

    def _finish(
        self, operation: Operation, session_id: SessionId, then: bool, reply: Reply | None
    ) -> None:
        """Take the answer; None: the process died or said nothing."""
        if operation.returned is not None:
            return
        operation.returned = self.world.now
        self._read_reply(operation, reply)
        if operation.outcome is Outcome.UNKNOWN and operation.kind is not Kind.FIND:
            self._retired.add((operation.client, session_id))
        key = f"{operation.kind}-{'degraded' if operation.degraded else operation.outcome}"
        self.counts[key] = self.counts.get(key, 0) + 1
        self.checker.on_returned(operation)
        if isinstance(reply, Saved):
            if self.hot is None and not reply.degraded and reply.holders:
                self.hot, self.hot_owner = session_id, reply.holders[0]
            self._check_honest(operation, session_id)
        if then:
            self._think(operation.client)

    def _read_reply(self, operation: Operation, reply: Reply | None) -> None:
        match reply:
            case Found(_, portable):
                operation.outcome, operation.found = Outcome.OK, True
                record = Record.from_portable(portable, self.world.now)
                operation.read = {
                    client: msgpack.unpackb(value)
                    for client in range(len(self._randoms))
                    if (value := record.value(key_of(client))) is not None
                }
            case Absent():
                operation.outcome, operation.found = Outcome.OK, False
            case Saved(_, holders, on_disk, degraded):
                operation.outcome, operation.degraded = Outcome.OK, degraded
                operation.holders, operation.on_disk = holders, on_disk
            case Failed(_, Failure.GONE, _):
                operation.outcome, operation.reason = Outcome.FAILED, "gone"
            case Failed(_, Failure.UNAVAILABLE, reason):
                operation.outcome, operation.reason = Outcome.FAILED, reason
            case Failed() | None:
                operation.outcome = Outcome.UNKNOWN

    # --- The one look behind the curtain ---

    def _check_honest(self, operation: Operation, session_id: SessionId) -> None:
        """Compare the names in a receipt with what those nodes really have at this moment."""
        for name in operation.holders:
            process = self.world.processes.get(name)
            if process is None or process.started_at > operation.invoked:
                continue  # It has lost its memory since it acknowledged.
            if not self._contains(operation, process.replica.record(session_id)):
                self._report(operation, f"names {name}, whose memory does not have it")
        for name in operation.on_disk:
            stored = self.world.disks[name].get(session_id)
            record = Record.from_portable(stored[0], 0.0) if stored else None
            if name in self.world.processes and not self._contains(operation, record):
                self._report(operation, f"names {name}, whose disk does not have it")

    def _contains(self, operation: Operation, record: Record | None) -> bool:
        if record is None or record.ended or operation.kind is Kind.END:
            return record is not None and record.ended
        value = record.value(key_of(operation.client))
        return value is not None and msgpack.unpackb(value) >= operation.version

    def _report(self, operation: Operation, what: str) -> None:
        self.checker.report("honest", operation, f"got a receipt that {what}")
