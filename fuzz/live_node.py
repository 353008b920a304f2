"""Target: two whole nodes, and a stranger on their network, with the secret or without it.

The nodes stay up and answer; what a stranger without the secret says changes nothing; and when it
has left, nothing of it is left, and everything is served as before.

Input: who it is, and when; then one act after the other, each with its length in front.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import define, field

from fuzz.drawn import Drawn
from fuzz.messages import KINDS, message, ring, session_id
from ring.identity import RANDOM_CHARS, SessionId
from ring.messages import (
    UNANSWERED_MAX,
    Absent,
    Durability,
    Failed,
    Find,
    Found,
    Message,
    Reply,
    Save,
    Saved,
)
from ring.record import Record
from ring.settings import Settings
from simulations.plan import Clocks, Mode, Plan, Way, Workload
from simulations.process import WALL_MS
from simulations.rest import check_rest
from simulations.whole.life import SECRET, Life
from simulations.whole.stranger import READ_BYTES, Stranger
from simulations.whole.world import NodeWorld
from wire import Identity, codec
from wire.connection import ENTITLEMENTS, Speaker
from wire.framing import LENGTH_BYTES, frame
from wire.limits import FRAME_BYTES_MAX

NODES: Final = "ab"
PLACE: Final = "c"
HEAD_BYTES_MAX: Final = 60
ACTS_MAX: Final = 12
CONNECTIONS_MAX: Final = 12
PIECES_MAX: Final = 400
COPIES: Final = (1, 1, 2, 30, 5000)
SAID_BYTES_MAX: Final = 400_000
PLAIN_MAX: Final = 64
"""Messages that wait on a link and answer nothing."""
ASKED_AFTER_S: Final = (0.0, 0.02, 0.1, 0.5, 1.5, 3.0)
"""When others ask for sessions, in seconds from when the stranger comes."""
CALM_S: Final = 12.0
"""After the last word, until everything is as if nothing had been: longer than all time-outs."""
ANSWER_S: Final = 12.0


def _said_by(speaker: Speaker) -> tuple[type[Message], ...]:
    return tuple(kind for kind in KINDS if kind in ENTITLEMENTS[speaker])


DIALLING: Final = _said_by(Speaker.MEMBER_DIALLING)
ASKING: Final = _said_by(Speaker.CLIENT)
ANSWERING: Final = _said_by(Speaker.MEMBER_ANSWERING)

PLAN: Final = Plan(
    seed=1,
    mode=Mode.SAFETY,
    members=3,
    copies=2,
    settings=Settings(
        join_timeout_s=0.5, suspect_after_s=2.0, settle_timeout_s=5.0, requests_per_link_max=100
    ),
    clocks={name: Clocks() for name in "abc"},
    ways={f"{one} {other}": Way(0.001, 0.004) for one in "abc" for other in "abc" if one != other},
    workload=Workload(1, (0.1, 0.2), 4, ("backup",), 0.0, (0.0,), 0.0),
    faults=(),
)


def fuzz(data: bytes) -> None:
    """Check one input."""
    world = NodeWorld(PLAN)
    world.begin()
    broken: AssertionError | None = None
    try:
        _Siege(world, Drawn(data)).play()
    except AssertionError as error:
        broken = error
    finally:
        left = world.end()
    # A node that has stopped by itself says why.
    assert not left, str(left[0])
    if broken is not None:
        raise broken


@define
class _Siege:
    """The nodes, their clients, and who besets them."""

    world: NodeWorld
    acts: Drawn
    """What happens."""
    drawn: Drawn = field(init=False)
    """The part of it that is read now."""
    knows_secret: bool = False
    """It has come through a handshake: what it says is a member's or a client's word."""
    _kinds: Sequence[type[Message]] = DIALLING
    """What it may say on the connection that it has made last."""
    _tasks: Counter[str] = field(factory=Counter)
    """What ran before it came."""
    _asked: list[list[Reply | None]] = field(factory=list)
    """What the clients of the nodes were answered meanwhile."""
    _unbounded: str = ""
    """What a node had too much of, at some time."""

    def play(self) -> None:
        """Let it happen, and check everything."""
        world = self.world
        self.drawn = drawn = Drawn(self.acts.some(HEAD_BYTES_MAX))
        for name in NODES:
            world.start(name)
        world.after(0.0, lambda: None)  # Tasks begin when something happens.
        world.scheduler.run_until(0.001)
        stranger = Stranger(world, PLACE, reads=not drawn.maybe())
        comes_early = drawn.maybe()
        if comes_early:
            stranger.come(self._act)
        world.scheduler.run_while(lambda: not self._all_ready(), 10.0, 0.1)
        if not comes_early:
            assert self._all_ready(), "two nodes alone do not become ready"
            for name in NODES:
                self._save(name, _session(name, 0))
            self._tasks = self._running()
            stranger.come(self._act)
        for delay_s in ASKED_AFTER_S:
            world.after(delay_s, self._ask_for_everything)
        world.scheduler.run_while(lambda: not stranger.has_left, 60.0, 0.1)
        stranger.leave()
        world.scheduler.run_until(world.now + CALM_S)
        self._check_answers(certain=not comes_early and not self.knows_secret)
        assert not self._unbounded, self._unbounded
        self._check_nothing_is_left()
        if not self._ring_has_changed():
            self._check_service(comes_early=comes_early)

    # --- What the stranger does ---

    async def _act(self, stranger: Stranger) -> None:
        if self.drawn.maybe():
            self.knows_secret = True
            await stranger.listen(self._identity(PLACE), WALL_MS)
        for _ in range(ACTS_MAX):
            if self.acts.is_over:
                break
            # Each has bytes of its own, so that changing one leaves the next ones as they are.
            self.drawn = drawn = Drawn(self.acts.some(255))
            if drawn.number(4) == 1 or not stranger.dialled:
                await self._come_in(stranger)
            streams, kinds = stranger.dialled, self._kinds
            if drawn.number(2) == 1:
                streams, kinds = stranger.accepted, ANSWERING
            said, piece = self._words(kinds), drawn.one_of((1 << 20, 1, 3, 8, 100))
            said = said[:SAID_BYTES_MAX]
            piece = max(piece, len(said) // PIECES_MAX)
            if streams:
                stream = drawn.one_of(streams[::-1])
                await stranger.say(stream, said, piece)
                if drawn.number(7) == 1:
                    await stream.aclose()
            self._unbounded = self._unbounded or self._too_much()
            await trio.sleep(drawn.one_of((0.01, 0.0, 0.3, 3.0)))

    async def _come_in(self, stranger: Stranger) -> None:
        """Connect, and say who it is, if anything."""
        drawn, name = self.drawn, self.drawn.one_of(NODES)
        if len(stranger.dialled) >= CONNECTIONS_MAX:
            return
        stream = await stranger.dial(self.world.address_of(name))
        if stream is None:
            return
        clock_ms = WALL_MS if not drawn.maybe() else drawn.u64()
        self._kinds = DIALLING
        match drawn.number(3):
            case 0:
                stranger.hear(stream)
            case 1:
                self.knows_secret = True
                who = drawn.one_of((PLACE, *NODES.replace(name, "")))
                await stranger.shake(stream, self._identity(who), name, clock_ms)
            case 2:
                self.knows_secret = True
                self._kinds = ASKING
                client = Identity.for_client(1, (SECRET,))
                await stranger.shake(stream, client, None, clock_ms)
            case _:
                # Its own hello, without the secret; what comes next is the answer to the proof.
                stolen = Identity.for_member(self.world.ring, PLACE, 1, (b"guessed",))
                await stranger.shake(stream, stolen, name, clock_ms)

    def _identity(self, name: str) -> Identity:
        known = ring(self.drawn) if self.drawn.number(7) == 1 else self.world.ring
        if not {name, *NODES} <= known.addresses.keys():
            known = self.world.ring
        return Identity.for_member(known, name, 1 + self.drawn.number(2), (SECRET,))

    def _words(self, kinds: Sequence[type[Message]]) -> bytes:
        """Return bytes: of messages, most of them of these kinds, or of anything."""
        drawn = self.drawn
        match drawn.number(5):
            case 0:
                return b"".join(self._framed(kinds) for _ in range(1 + drawn.number(3)))
            case 1:
                return self._framed(kinds) * drawn.one_of(COPIES)
            case 2:
                return self._framed(KINDS)
            case 3:
                damaged = bytearray(self._framed(kinds))
                for _ in range(1 + drawn.number(2)):
                    at = drawn.number(min(len(damaged) - 1, 65_535))
                    damaged[at] = drawn.number(255)
                return bytes(damaged)
            case _:
                said = drawn.some(300)
                return frame(said) if said and drawn.maybe() else said * drawn.one_of(COPIES)

    def _framed(self, kinds: Sequence[type[Message]]) -> bytes:
        return frame(codec.encode(message(self.drawn, kinds)))

    # --- What the clients of the nodes do ---

    def _save(self, name: str, session_id: SessionId) -> list[Reply | None]:
        return self._ask(
            name,
            lambda number: Save(
                number, session_id, True, ((b"cart", b"\x01"),), Durability.BACKUP, False, False
            ),
        )

    def _find(self, name: str, session_id: SessionId) -> list[Reply | None]:
        return self._ask(name, lambda number: Find(number, session_id, touch=True, forwarded=False))

    def _ask_for_everything(self) -> None:
        for name in self.world.alive():
            for home in (*NODES, PLACE):
                self._asked.append(self._find(name, _session(home, 0)))

    def _ask(self, name: str, make: Callable[[int], Save | Find]) -> list[Reply | None]:
        """Return where the reply will be, if there is one."""
        replies = list[Reply | None]()
        assert self.world.submit(name, make, replies.append), f"{name} is not there"
        return replies

    # --- What has to be ---

    def _lives(self) -> list[Life]:
        assert list(self.world.processes) == list(NODES), "a node has stopped"
        return list(self.world.processes.values())

    def _all_ready(self) -> bool:
        return all(life.replica.ready for life in self._lives())

    def _check_answers(self, *, certain: bool) -> None:
        """Check what the clients were told meanwhile; ``certain``: nobody could change it."""
        for number, replies in enumerate(self._asked):
            assert len(replies) == 1, "a request was not answered once"
            (reply,) = replies
            assert isinstance(reply, Found | Absent | Failed), f"a find was answered by {reply}"
            if isinstance(reply, Found):
                Record.from_portable(reply.portable, self.world.now)
            elif certain:
                assert number % 3 == 2, f"a stranger has kept a session from being found: {reply}"

    def _ring_has_changed(self) -> bool:
        """Whether a node was told of another ring; in one that has no place for it, it leaves."""
        known = [life.replica for life in self._lives()]
        return any(each.draining or each.ring != self.world.ring for each in known)

    def _too_much(self) -> str:
        """Say what the nodes keep too much of, of what was said and not used yet, if anything."""
        for name, life in self.world.processes.items():
            if life.node is None:
                continue
            if life.node._reception.unauthenticated > life.node._config.node.unauthenticated_max:
                return f"{name} has too many connections that have not authenticated"
            for link in life.node._driver.links.values():
                unread = link._connection._reader.unread_bytes
                if unread > LENGTH_BYTES + FRAME_BYTES_MAX + READ_BYTES:
                    return f"{name} keeps {unread} bytes that no frame has taken"
            waiting = life.replica.unfinished()
            links = len(life.node._driver.links)
            if waiting["messages"] > links * (UNANSWERED_MAX + PLAIN_MAX):
                return f"{name} has {waiting['messages']} messages to say on {links} links"
            if waiting["comparisons"] > links * 2 * len(life.replica.ring.homes):
                return f"{name} has {waiting['comparisons']} comparisons on {links} links"
        return ""

    def _check_nothing_is_left(self) -> None:
        for life in self._lives():
            peers = [end.peer for _, end in life.connections.values()]
            assert PLACE not in peers, f"{life.name} still has a connection to who has left"
            assert life.node is not None
            clients = life.node._reception.clients
            assert not clients, f"{life.name} still has {clients} clients"
        if self._ring_has_changed():
            return  # A node that was removed hangs up on the others, who do not know of it.
        for life in self._lives():
            assert life.node is not None
            strangers = life.node._reception.unauthenticated
            assert not strangers, f"{life.name} still has {strangers} that never authenticated"
        if self._tasks:
            left = self._running() - self._tasks
            assert not left, f"tasks are left: {left}"

    def _running(self) -> Counter[str]:
        """Return how many tasks there are, by name."""
        names = Counter[str]()

        async def count(_: Life) -> None:
            tasks = [trio.lowlevel.current_root_task()]
            for task in tasks:
                assert task is not None
                names[task.name] += 1
                tasks += [child for each in task.child_nurseries for child in each.child_tasks]

        # What has been asked of the nodes is over by then.
        self.world.scheduler.run_until(self.world.now + 2.0)
        self.world.visit(PLACE, count)
        self.world.scheduler.run_until(self.world.now + 0.001)
        assert names, "nobody has counted"
        return names

    def _check_service(self, *, comes_early: bool) -> None:
        """Check that sessions are found, made and read, wherever one asks."""
        world = self.world
        assert self._all_ready(), "a node is not ready any more"
        made = [self._save(name, _session(name, 1)) for name in NODES]
        self._wait_for(made)
        for replies in made:
            assert [type(reply) for reply in replies] == [Saved], replies
        which = (0, 1) if not comes_early and not self.knows_secret else (1,)
        found = [
            self._find(name, _session(home, number))
            for name in NODES
            for home in NODES
            for number in which
        ]
        self._wait_for(found)
        for (reply,) in found:
            assert isinstance(reply, Found), reply
            record = Record.from_portable(reply.portable, world.now)
            assert record.value(b"cart") == b"\x01"
        unbounded = [str(each) for each in check_rest(world) if each.promise == "bounded"]
        assert not unbounded, unbounded[0]

    def _wait_for(self, asked: list[list[Reply | None]]) -> None:
        self.world.scheduler.run_while(lambda: not all(asked), ANSWER_S, 0.1)


def _session(home: str, number: int) -> SessionId:
    """Return an id: 0 is one that the stranger can name."""
    if number == 0:
        return session_id(Drawn(bytes(["abcz".index(home)])))
    return SessionId(f"{home}.{number}".encode().ljust(len(home) + 1 + RANDOM_CHARS, b"z"))
