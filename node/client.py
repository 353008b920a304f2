"""The ring from another process: finds its way by the session's id, and around lost nodes.

Rules:
- A request goes to the session's home first, then along its preference list, as far as the
  client has connections (``node.stations``).
- One deadline covers a request, however often it is tried.
- What did not happen is tried elsewhere; a find may always be. An end may too: ending twice is
  ending. So may the save that creates a session: until it is answered nobody else knows the id,
  so nobody else can have written what it would overwrite. Any other save whose answer was lost
  is never repeated, because it would be stamped anew and could overwrite what others wrote since:
  its outcome is unknown.
"""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from math import inf
from random import Random
from typing import Final

import trio
from attrs import evolve

from node.address import parse_address
from node.auditing import Audit, is_final
from node.background import background_nursery
from node.backoff import BackOff
from node.config import SessionsConfig
from node.log import SessionTagger
from node.namespaces import Namespaces, check_namespaces
from node.randomness import checked_random
from node.saving import Saves
from node.sessions import Sessions
from node.setting_checks import check_secret, to_secrets
from node.station import Loss, Station
from node.stations import Stations
from node.tables import SECRET_VARIABLE
from node.timekeeping import Timekeeper
from node.tls import Tls, TlsFiles
from node.together import Together
from node.transport import SocketTransport, Transport
from node.turns import Turns, turn_never_came
from node.writers import Writers
from ring.errors import ConfigError, SessionUnavailableError
from ring.identity import SessionId, home_of, new_incarnation, new_session_id
from ring.inquiry import Account, Inquiry, Inspect
from ring.messages import Durability, Failed, Failure, Find, Reply, Request, Save
from ring.questions import Matches, Query
from wire import Identity

FIND_PATIENCE_S: Final = 1.5
"""How long one node may take over a find before the next is asked as well."""

INQUIRY_PATIENCE_S: Final = 4.0
"""The same for what people ask: a node itself waits for the others for some seconds."""

_ROUND_FIRST_S: Final = 0.02
_ROUND_MAX_S: Final = 0.25


class Client(Together, Audit):
    """A connection to the ring, for the sessions of a process that is not a node.

    Made by `open_client`.
    """

    sessions: Sessions

    def __init__(
        self,
        *,
        stations: Stations,
        timekeeper: Timekeeper,
        random: Random,
        request_timeout_s: float,
        options: SessionsConfig,
        namespaces: Mapping[str, SessionsConfig],
        durability: Durability | None,
    ) -> None:
        self._stations = stations
        self._timekeeper = timekeeper
        self._random = random
        self._request_timeout_s = request_timeout_s
        self._last_number = 0
        self._writes = Turns()
        self.writers = Writers(random)
        self.saves = Saves(SessionTagger(random.getrandbits(128).to_bytes(16, "big")))
        """What is saved without being asked for."""
        self._namespaces = Namespaces(self, options, namespaces, durability, self.saves)
        self.sessions = self.namespace("")
        self.on_asked: Callable[[str], None] = _nobody
        """Is told the member that a request goes to, at every try, within the task that asks."""

    def start(self, nursery: trio.Nursery, addresses: Sequence[str]) -> None:
        """Begin to keep connections, in ``nursery``, to the nodes at ``addresses`` and more."""
        self._stations.start(nursery, addresses)
        nursery.start_soon(self.saves.run)

    def namespace(self, name: str) -> Sessions:
        """Return the sessions of one application of several; empty: of the default namespace.

        Raises:
            ConfigError: ``name`` cannot be a namespace's.
        """
        return self._namespaces.sessions(name)

    @property
    def members(self) -> tuple[str, ...]:
        """The names of the ring's members, in ring order."""
        return self._stations.names

    @property
    def linked(self) -> tuple[str, ...]:
        """The names of the members that this client is connected to now."""
        return self._stations.linked

    @property
    def outages(self) -> str:
        """Why members are not connected, in one sentence for people."""
        return self._stations.outages

    async def wait_linked(self, count: int = 1) -> None:
        """Return once this client is connected to ``count`` members."""
        while len(self.linked) < count:
            await self._stations.wait_changed()

    # --- what the session repository asks for ---------------------------------------------------

    def next_number(self) -> int:
        """Return a number that no request of this client has had."""
        self._last_number += 1
        return self._last_number

    def new_session_id(self, home: str | None = None, namespace: str = "") -> SessionId:
        """Return a fresh id of this home, or of one of the members this client is connected to.

        Raises:
            SessionUnavailableError: it is connected to none. Definite.
        """
        if home is not None:
            return new_session_id(home, self._random, namespace)
        homes = self._stations.homes_for_new
        if not homes:
            raise SessionUnavailableError(f"no node can be reached: {self.outages}")
        return new_session_id(self._random.choice(homes), self._random, namespace)

    def wall_ms(self) -> int:
        """Return the wall clock, in milliseconds since 1970."""
        return self._timekeeper.wall_ms()

    def read(self, session_id: SessionId, touch: bool) -> None:
        """Return None: a client holds no sessions, so it has to ask."""

    async def perform(self, request: Request) -> Reply:
        """Have the ring carry out ``request``.

        Changes to one session are carried out in the order of the calls.

        Returns:
            The ring's answer. ``Failed`` with UNAVAILABLE is definite, with OUTCOME_UNKNOWN not.
        """
        deadline = trio.current_time() + self._request_timeout_s
        if isinstance(request, Find):
            return _reply(await self._ask_around(request, deadline))
        async with self._writes.within(request.session_id, deadline) as mine:
            if mine:
                return _reply(await self._ask_around(request, deadline))
            return turn_never_came(request)

    async def query(self, query: Query) -> Matches | Failed:
        """Have a node answer a question; see ``Backend``."""
        deadline = trio.current_time() + self._request_timeout_s
        answer = await self._ask_around(query, deadline)
        assert isinstance(answer, Matches | Failed), "a station has checked it"
        return answer

    async def _ask_around(self, request: Request | Query, deadline: float) -> Reply | Matches:
        """Ask one member after the other, until one has answered or ``deadline`` (trio's)."""
        may_have_happened = False
        reason = ""
        silent = dict[str, None]()
        rounds = BackOff(self._random, first_s=_ROUND_FIRST_S, max_s=_ROUND_MAX_S)
        tried: set[Station] = set()
        while (remaining_s := deadline - trio.current_time()) > 0:
            home = "" if isinstance(request, Query) else home_of(request.session_id)
            station = self._stations.next_for(home, tried)
            if station is None:
                # All were asked. They may know more in a moment, or others be back.
                tried.clear()
                with trio.move_on_after(min(max(rounds.next_s(), _ROUND_FIRST_S), remaining_s)):
                    await self._stations.wait_changed()
                continue
            tried.add(station)
            self.on_asked(station.name or "")
            reads = isinstance(request, Find | Query)
            patience_s = FIND_PATIENCE_S if reads else remaining_s
            answer = await station.ask(request, min(patience_s, remaining_s))
            match answer:
                case Failed(_, Failure.UNAVAILABLE, why):
                    reason = why
                case Loss.NOT_SENT:
                    pass
                case Loss.SENT | Loss.SILENCE:
                    if station.is_silent and trio.current_time() >= deadline:
                        station.hang_up("it answers nothing")
                    may_have_happened = not reads
                    silent[station.name or "a node"] = None
                    reason = f"no answer from {', '.join(silent)}"
                    if not _is_repeatable(request):
                        break
                case _:
                    return answer
            # An answer that comes late must not be taken for that of the next try.
            request = evolve(request, number=self.next_number())
        failure = Failure.OUTCOME_UNKNOWN if may_have_happened else Failure.UNAVAILABLE
        return Failed(request.number, failure, reason or self.outages)

    # --- what people ask for ------------------------------------------------------------------

    @property
    def homes(self) -> tuple[str, ...]:
        """The homes that sessions have; see `Audit.homes`."""
        return self._stations.homes

    async def inquire(self, question: Inquiry) -> Account | Failed:
        """Return what the ring tells; asks one member after the other until one does."""
        deadline = trio.current_time() + self._request_timeout_s
        home = question.home if isinstance(question, Inspect) else home_of(question.session_id)
        reason, tried = "", set[Station]()
        while (remaining_s := deadline - trio.current_time()) > 0:
            station = self._stations.next_for(home, tried)
            if station is None:
                tried.clear()
                with trio.move_on_after(min(_ROUND_MAX_S, remaining_s)):
                    await self._stations.wait_changed()
                continue
            tried.add(station)
            question = evolve(question, number=self.next_number())
            answer = await station.inquire(question, min(INQUIRY_PATIENCE_S, remaining_s))
            match answer:
                case Failed(_, _, why) if not is_final(answer):
                    reason = why
                case Loss():
                    reason = f"no answer from {station.name or 'a node'}"
                case _:
                    return answer
        return Failed(question.number, Failure.UNAVAILABLE, reason or self.outages)


def _reply(answer: Reply | Matches) -> Reply:
    assert not isinstance(answer, Matches), "a station has checked it"
    return answer


def _is_repeatable(request: Request | Query) -> bool:
    """Whether ``request`` may be carried out twice; see the rules above."""
    return not isinstance(request, Save) or request.create


def _nobody(member: str) -> None:
    """Nobody wants to know who is asked."""


@asynccontextmanager
async def open_client(
    *addresses: str,
    secrets: Sequence[str | bytes] | str | bytes = (),
    tls: TlsFiles | None = None,
    ring_name: str = "",
    sessions: SessionsConfig | None = None,
    namespaces: Mapping[str, SessionsConfig] | None = None,
    durability: Durability | str | None = None,
    request_timeout_s: float = 8.0,
    connect_timeout_s: float = 0.4,
    transport: Transport | None = None,
    random: Random | None = None,
    simulated: bool = False,
) -> AsyncIterator[Client]:
    """Connect to the ring, and keep connected until the block is left.

    Args:
        addresses: of one node or more, as ``host:port`` or ``unix:/path``. The others are learnt
            from them; giving several helps if one is down just now.
        secrets: the ring's shared secrets; the first one proves who we are, any of them proves
            who the nodes are. None given: ``SESSIONRING_SECRET`` of the environment, if set.
        tls: the client's certificate, for a ring whose nodes have ``security.tls_certificate``;
            it is not used at a unix socket.
        ring_name: refuse nodes of another ring; empty takes any.
        sessions: the defaults and limits of sessions.
        namespaces: the same for single namespaces; for one that is not here: ``sessions``.
        durability: that of saves and ends by default; None: as ``sessions`` says, or ``backup``.
        request_timeout_s: the one deadline of a request, in seconds, above 0.
        connect_timeout_s: seconds until a node that does not accept is given up, above 0.
            Larger: slow networks work; smaller: a lost host is noticed sooner.
        transport: makes connections; by default TCP and unix sockets.
        random: gives ids and jitter; by default, and always outside simulations, the operating
            system's.
        simulated: allows a ``random`` that can be foretold.

    Raises:
        ConfigError: there is no address, or one, a secret, a certificate, ``durability`` or
            ``random`` cannot be used.
        SessionUnavailableError: no node could be reached within ``request_timeout_s``.
    """
    if not addresses:
        raise ConfigError("open_client needs the address of a node: host:port or unix:/path")
    for address in addresses:
        parse_address(address)
    random = checked_random(random, simulated=simulated)
    _check_seconds("request_timeout_s", request_timeout_s)
    _check_seconds("connect_timeout_s", connect_timeout_s)
    check_namespaces(namespaces or {})
    secret_bytes = _secret_bytes(secrets)
    timekeeper = Timekeeper()
    client = Client(
        stations=Stations(
            identity=Identity.for_client(new_incarnation(random), secret_bytes, ring_name),
            transport=transport or SocketTransport(Tls(tls) if tls is not None else None),
            timekeeper=timekeeper,
            random=random,
            connect_timeout_s=connect_timeout_s,
        ),
        timekeeper=timekeeper,
        random=random,
        request_timeout_s=request_timeout_s,
        options=sessions or SessionsConfig(),
        namespaces=namespaces or {},
        durability=_durability(durability),
    )
    async with background_nursery() as nursery:
        client.start(nursery, addresses)
        with trio.move_on_after(request_timeout_s):
            await client.wait_linked()
        if not client.linked:
            raise SessionUnavailableError(f"no node can be reached: {client.outages}")
        try:
            yield client
        finally:
            with trio.CancelScope(shield=True):
                await client.saves.flush(request_timeout_s)


def _secret_bytes(secrets: Sequence[str | bytes] | str | bytes) -> tuple[bytes, ...]:
    """Return ``secrets``, or the one of the environment if none are given, checked."""
    of_environment = os.environ.get(SECRET_VARIABLE)
    if not secrets and of_environment is not None:
        secret = os.fsencode(of_environment)
        check_secret(SECRET_VARIABLE, secret)
        return (secret,)
    as_bytes = to_secrets(secrets)
    for number, secret in enumerate(as_bytes):
        check_secret(f"secrets[{number}]", secret)
    return as_bytes


def _check_seconds(name: str, value: object) -> None:
    if not isinstance(value, float | int) or isinstance(value, bool) or not 0 < value < inf:
        raise ConfigError(f"{name} is {value!r}; use a number of seconds above 0")


def _durability(durability: Durability | str | None) -> Durability | None:
    try:
        return None if durability is None else Durability(durability)
    except ValueError:
        allowed = ", ".join(repr(str(each)) for each in Durability)
        raise ConfigError(f"durability is {durability!r}; use {allowed}") from None
