"""The clients of a simulated ring: they create, change, read and end sessions, and remember.

Rules:
- A client routes by id: the home first, then its preference list, as far as nodes run; some of its
  requests go to anybody.
- It writes rising versions into its own part (``simulations.versions``). After an unknown outcome
  it does not write to that session again: the lost request might still arrive, and overwrite what
  came after it.
- When something has just happened to a session, everybody looks at it for a while.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from math import inf
from typing import Final

import msgpack

from ring import Durability, SessionId
from ring.entry import MAX_IDLE, PRINCIPAL
from ring.identity import home_of, namespace_of, new_session_id
from ring.messages import (
    End,
    Find,
    Found,
    Reply,
    Request,
    Rotate,
    Save,
    Saved,
)
from simulations.asking import DOWN_PAUSE_S, OPERATION_LIMIT_S, note_outcome, route
from simulations.census import Census
from simulations.ground import Ground
from simulations.history import Kind, Operation, Outcome
from simulations.honesty import Honesty
from simulations.logins import NAMESPACES, Logins
from simulations.plan import Plan
from simulations.versions import changes_of, versions_in
from simulations.witness import Witness

ROTATION_ATTEMPTS_MAX: Final = 3
SCATTERED_SESSIONS: Final = 3
"""So few sessions are used while both sides of a cut are busy."""
ENDED_IS_FORGOTTEN: Final = 0.8
"""How often nobody uses an id any more that has ended; else some do, and find it gone."""
HOT_FOR_S: Final = 1.0
"""How long everybody looks at a session of which there was news."""


class Workload:
    """All clients of one run, and the sessions that they share.

    Args:
        ground: where they are.
        judge: is told what they ask for and are told.
        plan: says what they do.
        on_receipt: is told the node that has just given an undegraded receipt.
    """

    def __init__(
        self, ground: Ground, judge: Census, plan: Plan, on_receipt: Callable[[str], None]
    ) -> None:
        self._ground = ground
        self._judge = judge
        self._load = plan.workload
        self._on_receipt = on_receipt
        self.doubted = 0
        """Reads of which the node said that somebody may know more."""
        self.counts: dict[str, int] = {}
        self.witnesses: Sequence[Witness] = ()
        self.stopped = False
        self.only: tuple[str, ...] = ()
        """If there are any: the nodes that are asked from now on, of their own sessions."""
        self.sessions: list[SessionId] = []
        self._in_use: list[SessionId] = []
        self._hot: SessionId | None = None
        self._hot_until = 0.0
        self._scattered_until = 0.0
        self._last_written: dict[str, SessionId] = {}
        """By home, and under no name of all."""
        self._retired: set[tuple[int, SessionId]] = set()
        self._honesty = Honesty(ground, judge)
        self._logins = Logins(ground, judge, self._load.principals, self.counts)
        self._families: dict[SessionId, list[SessionId]] = {}
        """By id, all ids that a session has had, if it was rotated; the first one first."""
        self._versions = count(1)
        self._randoms = [plan.stream(f"client/{each}") for each in range(self._load.clients)]
        self._ids = plan.stream("ids")
        for client in range(self._load.clients):
            self._think(client)

    def look_closely(self, home: str = "") -> None:
        """Have everybody look at the session of the latest receipt, of a home, for a while."""
        self._hot, self._hot_until = self._last_written.get(home), self._ground.now + HOT_FOR_S

    def scatter(self, for_s: float) -> None:
        """Have the clients be everywhere for a while, if the plan says so."""
        if self._load.scatters:
            self._scattered_until = self._ground.now + for_s

    def read_everything(self, *, homes: Sequence[str]) -> None:
        """Have client 0 look every session of these homes up once, where its id says."""
        for session_id in list(self.sessions):
            if home_of(session_id) in homes:
                self._operate(0, Kind.FIND, session_id, self._route(session_id), _nothing)

    # --- One client ---

    def _think(self, client: int) -> None:
        pause = self._randoms[client].uniform(*self._load.think_s)
        self._ground.after(pause, partial(self._next, client))

    def _next(self, client: int) -> None:
        """Begin another operation; the next one follows when it has returned."""
        if self.stopped:
            return
        random = self._randoms[client]
        running = [name for name in self._ground.running() if name in self.only or not self.only]
        if not running:
            self._think(client)
            return
        recent = self._in_use[-self._load.sessions_max :]
        if self.only:
            recent = [each for each in recent if home_of(each) in self.only]
        if len(recent) < 4 or random.random() < 0.06:
            self._create(client, random.choice(running))
            return
        if self._hot is not None and self._ground.now < self._hot_until and random.random() < 0.6:
            self._operate(
                client, Kind.FIND, self._hot, self._route(self._hot), partial(self._think, client)
            )
            return
        if self._load.patient and random.random() < self._load.patient:
            self._watch(client, random.choice(running))
            return
        if self._logins.asks(random):
            then = partial(self._think, client)
            self._logins.ask(client, random, partial(self._end_each, client, then), then)
            return
        scattered = self._ground.now < self._scattered_until
        session_id = random.choice(recent[-SCATTERED_SESSIONS:] if scattered else recent)
        wanders = random.random() < self._load.wander or scattered
        somewhere = random.choice(self.only or self._ground.alive())
        node = somewhere if wanders else self._route(session_id)
        weights = (55, 41, 4, self._load.rotations)
        kind = random.choices((Kind.SAVE, Kind.FIND, Kind.END, Kind.ROTATE), weights)[0]
        writes = kind in (Kind.SAVE, Kind.ROTATE)
        if writes and (client, self._first_id(session_id)) in self._retired:
            kind = Kind.FIND
        self._operate(client, kind, session_id, node, partial(self._think, client))

    def _create(self, client: int, home: str) -> None:
        random = self._randoms[client]
        # Both forms of ids are to be everywhere.
        namespace = NAMESPACES[len(self.sessions) % len(NAMESPACES)]
        session_id = new_session_id(home, self._ids, namespace)
        self.sessions.append(session_id)
        self._in_use.append(session_id)
        max_idle_s = random.choice(self._load.max_idles_s)
        self._judge.on_created(session_id.decode(), max_idle_s or inf)
        think = partial(self._think, client)
        self._operate(client, Kind.CREATE, session_id, home, think, max_idle_s=max_idle_s)

    def _watch(self, client: int, home: str) -> None:
        """Create a session that nobody else knows, use it again at once, and look when it is old.

        The second use comes too soon after the first to be written down as an access; it counts
        all the same.
        """
        session_id = new_session_id(home, self._ids)
        max_idle_s = max(self._load.max_idles_s)
        self._judge.on_created(session_id.decode(), max_idle_s or inf)

        def use_again() -> None:
            # Once only the core has to answer, it is asked, whoever was asked first.
            node = self._route(session_id) if self.only else home
            self._operate(client, Kind.SAVE, session_id, node, partial(look, max_idle_s * 0.98))

        def look(after_s: float) -> None:
            self._ground.after(after_s, look_now)

        def look_now() -> None:
            node = self._route(session_id)
            self._operate(client, Kind.FIND, session_id, node, partial(self._think, client))

        self._operate(
            client,
            Kind.CREATE,
            session_id,
            home,
            lambda: self._ground.after(max_idle_s * 0.09, use_again),
            max_idle_s=max_idle_s,
        )

    def _end_each(self, client: int, then: Callable[[], None], ids: list[SessionId]) -> None:
        """End all sessions of a principal, one after the other."""
        if not ids or self.stopped:
            then()
            return
        rest = partial(self._end_each, client, then, ids[1:])
        self._operate(client, Kind.END, ids[0], self._route(ids[0]), rest)

    def _route(self, session_id: SessionId) -> str:
        return route(self._ground, session_id, self.only)

    def _operate(
        self,
        client: int,
        kind: Kind,
        session_id: SessionId,
        node: str,
        then: Callable[[], None],
        *,
        max_idle_s: float = 0.0,
        again: Operation | None = None,
    ) -> None:
        random = self._randoms[client]
        version = next(self._versions) if again is None else again.version
        operation = Operation(client, kind, session_id.decode(), node, self._ground.now, version)
        new_id = SessionId(again.new_session.encode()) if again is not None else session_id
        if kind is Kind.ROTATE:
            if again is None:
                home, namespace = home_of(session_id), namespace_of(session_id)
                new_id = new_session_id(home, self._ids, namespace)
                family = self._families.setdefault(session_id, [session_id])
                family.append(new_id)
                self._families[new_id] = family
            operation.new_session = new_id.decode()
            operation.attempt = again.attempt + 1 if again is not None else 1
        operation.principal = self._logins.whose(kind, random) if again is None else again.principal
        self._judge.on_invoked(operation)
        for witness in self.witnesses:
            witness.on_operation(operation)
        finish = partial(self._finish, operation, session_id, then)
        durability = Durability(random.choice(self._load.durabilities))
        refuse = kind is Kind.END or random.random() < self._load.refuse
        changes: tuple[tuple[bytes, bytes | None], ...]
        changes = changes_of(client, version)
        if kind is Kind.CREATE and max_idle_s:
            changes = ((MAX_IDLE, msgpack.packb(max_idle_s)), *changes)
        if operation.principal is not None:
            changes = ((PRINCIPAL, msgpack.packb(operation.principal)), *changes)

        def make(number: int) -> Request:
            if kind is Kind.FIND:
                return Find(number, session_id, True, False)
            if kind is Kind.END:
                return End(number, session_id, durability, refuse, False)
            if kind is Kind.ROTATE:
                return Rotate(number, session_id, new_id, changes, durability, refuse, False)
            create = kind is Kind.CREATE
            return Save(number, session_id, create, changes, durability, refuse, False)

        if self._ground.submit(node, make, finish):
            self._ground.after(OPERATION_LIMIT_S, partial(finish, None))
        else:
            self._ground.after(DOWN_PAUSE_S, partial(finish, None))

    def _finish(
        self,
        operation: Operation,
        session_id: SessionId,
        then: Callable[[], None],
        reply: Reply | None,
    ) -> None:
        """Take the answer; None: the process died or said nothing."""
        if operation.returned is not None:
            return
        record = note_outcome(operation, reply, self._ground.now)
        if record is not None:
            operation.read = versions_in(record, range(len(self._randoms)))
        if isinstance(reply, Found):
            self.doubted += reply.maybe_stale
        if operation.outcome is Outcome.UNKNOWN and operation.kind is not Kind.FIND:
            self._retired.add((operation.client, self._first_id(session_id)))
        key = f"{operation.kind}-{'degraded' if operation.degraded else operation.outcome}"
        self.counts[key] = self.counts.get(key, 0) + 1
        self._judge.on_returned(operation)
        if isinstance(reply, Saved):
            self._honesty.check(operation, self._ids_of(session_id))
            if not reply.degraded and reply.holders:
                self._last_written[""] = self._last_written[home_of(session_id)] = session_id
                self._on_receipt(reply.holders[0])
        if operation.kind in (Kind.END, Kind.ROTATE) and isinstance(reply, Saved):
            forgotten = self._randoms[operation.client].random() < ENDED_IS_FORGOTTEN
            if forgotten and session_id in self._in_use:
                self._in_use.remove(session_id)
        if operation.kind is Kind.ROTATE and isinstance(reply, Saved):
            new_id = SessionId(operation.new_session.encode())
            self.sessions.append(new_id)
            self._in_use.append(new_id)
        unsure = operation.kind is Kind.ROTATE and operation.outcome is Outcome.UNKNOWN
        if unsure and operation.attempt < ROTATION_ATTEMPTS_MAX and not self.stopped:
            client, node = operation.client, self._route(session_id)
            self._operate(client, Kind.ROTATE, session_id, node, then, again=operation)
        else:
            then()

    def _ids_of(self, session_id: SessionId) -> list[SessionId]:
        """Return all ids that a session has had, the first one first."""
        return self._families.get(session_id, [session_id])

    def _first_id(self, session_id: SessionId) -> SessionId:
        return self._ids_of(session_id)[0]


def _nothing() -> None:
    """Do nothing when an operation has returned."""
