"""Sessions by id: creating, finding and ending them, the same in a node and in a client.

Rule: an id that the ring did not issue is nobody's session. One that has not the form of an id
is answered here, and the ring is not asked.
"""

from typing import Protocol

from node.attributes import check_attribute_name
from node.matches import EndedSessions, PrincipalCounts, SessionMatches, gather, summary_of
from node.packing import pack_sought
from node.principals import Limit, end_all
from node.receipts import Backend, OnTimeout, Receipt, Wish, end_session, look_up
from node.reserved import pack_principal, unpack_principal
from node.sections import SessionsConfig
from node.session import Session, Terms
from ring.entry import PRINCIPAL
from ring.errors import SessionEnded
from ring.identity import SessionId, parse_session_id
from ring.messages import Durability


class Sessions(Protocol):
    """What an application does with sessions; ``node.sessions`` and ``client.sessions`` are one."""

    def create(self, *, max_idle: float | None = None, lifetime: float | None = None) -> Session:
        """Return a new session, of which the ring hears with its first save.

        Args:
            max_idle: seconds without access after which it expires; 0 or less: never;
                None: as configured.
            lifetime: seconds after which it expires in any case; the same.

        Raises:
            TypeError: a duration is not a number.
            ValueError: a duration is out of range, or not a number.
        """

    async def find(self, session_id: str | None, *, touch: bool = True) -> Session | None:
        """Return the session; None if it was ended, has expired, or never existed.

        It does not wait, and is no checkpoint, if this process can answer.

        Args:
            session_id: what stood in the cookie, None if there was none; whatever is no id is
                nobody's session.
            touch: whether this counts as an access, which puts expiry off.

        Raises:
            SessionUnavailableError: who holds it is not known yet, or cannot be reached. A
                cookie must not be replaced for that.
        """

    async def end(
        self,
        session_id: str | None,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """End the session without reading it; as ``Session.end``.

        Raises:
            SessionEnded: ``session_id`` is no id; see ``find``.
        """

    async def touch(self, session_id: str | None) -> bool:
        """Count an access, and return whether there is such a session; raises as ``find``."""

    async def find_by_principal(self, principal: str) -> SessionMatches:
        """Return the sessions of a principal: of their life only, see ``SessionSummary``.

        Raises:
            TypeError, ValueError: that is no name of a principal.
            SessionUnavailableError: nobody could be asked, or not all in time. Definite.
        """

    async def find_by(self, index: str, value: object) -> SessionMatches:
        """Return the sessions in which the attribute ``index`` has this value, type included.

        Args:
            index: one of ``sessions.indexes``, on every node.
            value: anything that an attribute may be and has a hash, of at most 260 packed bytes.

        Raises:
            UnknownIndexError: a node has no such index, or the attribute is a map, set or counter.
            TypeError, ValueError: ``index`` is no name, or ``value`` is none that is found.
            SessionUnavailableError: as above.
        """

    async def principals(self) -> PrincipalCounts:
        """Return all principals, and how many sessions each has; raises as above."""

    async def end_all(
        self, principal: str, *, except_id: str | None = None, timeout_s: float = 30.0
    ) -> EndedSessions:
        """End all sessions of a principal, until none is found any more.

        Args:
            principal: whose.
            except_id: one that goes on, such as that in which this was asked for.
            timeout_s: when to give up; what could not be done is in the result.

        Raises:
            TypeError, ValueError: that is no name of a principal.
            SessionUnavailableError: nobody could be asked in all that time. Definite.
        """


class SessionRepository:
    """Sessions over a backend; see ``Sessions``.

    Args:
        backend: a node, or a client of one.
        config: the defaults and limits.
        durability: that of saves and ends by default; None: the one of ``config``, or else
            ``backup``.
    """

    def __init__(
        self,
        backend: Backend,
        config: SessionsConfig | None = None,
        durability: Durability | None = None,
    ) -> None:
        config = config or SessionsConfig()
        durability = durability or config.durability or Durability.BACKUP
        self._backend = backend
        self._config = config
        self._terms = Terms(
            save=Wish(durability, config.on_timeout),
            end=Wish(durability, config.on_end_timeout),
            session_bytes_max=config.session_bytes_max,
            attribute_bytes_max=config.attribute_bytes_max,
            rotates_on_principal=config.rotate_on_principal,
            limit=_limit(config, durability),
        )

    def create(self, *, max_idle: float | None = None, lifetime: float | None = None) -> Session:
        """Return a new session; see ``Sessions.create``."""
        session = Session(self._backend, self._backend.new_session_id(), None, self._terms)
        session.max_idle = self._config.max_idle if max_idle is None else max_idle
        session.lifetime = self._config.lifetime if lifetime is None else lifetime
        return session

    async def find(self, session_id: str | None, *, touch: bool = True) -> Session | None:
        """Return the session, if there is one; see ``Sessions.find``."""
        parsed = _parsed(session_id)
        if parsed is None:
            return None
        found = await look_up(self._backend, parsed, touch=touch)
        if found is None:
            return None
        return Session(
            self._backend, parsed, found.portable, self._terms, maybe_stale=found.maybe_stale
        )

    async def end(
        self,
        session_id: str | None,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """End the session; see ``Sessions.end``."""
        wish = self._terms.end.changed(durability, on_timeout)
        parsed = _parsed(session_id)
        if parsed is None:
            raise SessionEnded("that is not the id of a session")
        return await end_session(self._backend, parsed, wish)

    async def touch(self, session_id: str | None) -> bool:
        """Count an access; see ``Sessions.touch``."""
        parsed = _parsed(session_id)
        if parsed is None:
            return False
        return await look_up(self._backend, parsed, touch=True) is not None

    async def find_by_principal(self, principal: str) -> SessionMatches:
        """Return a principal's sessions; see ``Sessions.find_by_principal``."""
        return await self._find_by(PRINCIPAL, pack_principal(principal))

    async def find_by(self, index: str, value: object) -> SessionMatches:
        """Return the sessions with a value; see ``Sessions.find_by``."""
        check_attribute_name(index)
        return await self._find_by(index.encode(), pack_sought(index, value))

    async def _find_by(self, key: bytes, value: bytes) -> SessionMatches:
        found = await gather(self._backend, key, value)
        now_ms = self._backend.wall_ms()
        summaries = [summary_of(*row, now_ms) for row in sorted(found.records.items())]
        return SessionMatches({each.id: each for each in summaries}, found.unreachable)

    async def principals(self) -> PrincipalCounts:
        """Return all principals; see ``Sessions.principals``."""
        found = await gather(self._backend, PRINCIPAL, b"")
        names = {unpack_principal(packed): count for packed, count in found.counts.items()}
        counts = {name: names[name] for name in sorted(name for name in names if name is not None)}
        return PrincipalCounts(counts, found.unreachable)

    async def end_all(
        self, principal: str, *, except_id: str | None = None, timeout_s: float = 30.0
    ) -> EndedSessions:
        """End all sessions of a principal; see ``Sessions.end_all``."""
        packed, but = pack_principal(principal), _parsed(except_id)
        return await end_all(self._backend, self._terms.end, packed, but, timeout_s)


def _limit(config: SessionsConfig, durability: Durability) -> Limit | None:
    sessions_max = config.max_sessions_per_principal
    if not sessions_max:
        return None
    return Limit(sessions_max, config.principal_policy, Wish(durability, "accept"))


def _parsed(session_id: str | None) -> SessionId | None:
    return parse_session_id(session_id) if isinstance(session_id, str) else None
