"""Sessions by id: creating, finding and ending them, the same in a node and in a client.

Rule: an id that the ring did not issue is nobody's session. One that has not the form of an id, or
is of another namespace, is answered here, and the ring is not asked.
"""

from functools import partial
from typing import Literal, Protocol, TypeAlias

from node.attributes import check_attribute_name
from node.matches import (
    EndedSessions,
    PrincipalCounts,
    SessionMatches,
    Sought,
    gather,
    summary_of,
)
from node.packing import pack_sought
from node.principals import end_all
from node.receipts import Backend, OnTimeout, Receipt, end_session, look_up
from node.reserved import pack_principal, unpack_principal
from node.saving import Saves
from node.sections import SessionsConfig
from node.session import Session
from node.terms import Terms
from ring.entry import PRINCIPAL
from ring.errors import ConfigError, SessionEnded
from ring.identity import (
    DEFAULT_NAMESPACE,
    SessionId,
    check_namespace,
    namespace_of,
    parse_session_id,
)
from ring.messages import Durability

Read: TypeAlias = Literal["owner", "local"]
"""Whose word a find wants: that of the acting owner, or that of the node that is asked."""


class Sessions(Protocol):
    """What an application does with sessions; ``node.sessions`` and ``client.sessions`` are one."""

    def create(
        self,
        *,
        max_idle: float | None = None,
        lifetime: float | None = None,
        remember: bool = False,
    ) -> Session:
        """Return a new session, of which the ring hears with its first save.

        Args:
            max_idle: seconds without access after which it expires; 0 or less: never;
                None: as configured.
            lifetime: seconds after which it expires in any case; the same.
            remember: whether None means as configured for users who want to stay logged in, as
                after ``Session.remember``.

        Raises:
            TypeError: a duration is not a number.
            ValueError: a duration is out of range, or not a number.
        """

    async def find(
        self, session_id: str | None, *, touch: bool = True, read: Read = "owner"
    ) -> Session | None:
        """Return the session; None if it was ended, has expired, or never existed.

        It does not wait, and is no checkpoint, if this process can answer.

        Args:
            session_id: what stood in the cookie, None if there was none; whatever is no id is
                nobody's session.
            touch: whether this counts as an access, which puts expiry off.
            read: "owner": as the node that acts for the session has it. "local": as this node, or
                the one that a client asks, has it, without asking anybody; it may be older by some
                changes, and ``Session.age`` says how old. If it has no copy, as "owner".

        Raises:
            ValueError: no such ``read``.
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
        namespace: whose sessions they are; ids of another one are nobody's here.

    Raises:
        ConfigError: ``namespace`` cannot be one.
    """

    def __init__(
        self,
        backend: Backend,
        config: SessionsConfig | None = None,
        durability: Durability | None = None,
        namespace: str = DEFAULT_NAMESPACE,
        saves: Saves | None = None,
    ) -> None:
        self._namespace = check_namespace(namespace)
        config = config or SessionsConfig()
        self._backend = backend
        self._config = config
        self._terms = Terms.of(config, durability)
        self._saves = saves if config.save_mode != "on_save" else None
        if self._saves is None and config.save_mode != "on_save":
            raise ConfigError(
                f"sessions.save_mode is {config.save_mode!r}, and nothing saves by itself here; "
                'use "on_save"'
            )

    def create(
        self,
        *,
        max_idle: float | None = None,
        lifetime: float | None = None,
        remember: bool = False,
    ) -> Session:
        """Return a new session; see ``Sessions.create``."""
        new_id = self._backend.new_session_id(namespace=self._namespace)
        session = Session(self._backend, new_id, None, self._terms, saves=self._saves)
        if remember:
            session.remember()
        if max_idle is not None or not remember:
            session.max_idle = self._config.max_idle if max_idle is None else max_idle
        if lifetime is not None or not remember:
            session.lifetime = self._config.lifetime if lifetime is None else lifetime
        return self._watched(session)

    async def find(
        self, session_id: str | None, *, touch: bool = True, read: Read = "owner"
    ) -> Session | None:
        """Return the session, if there is one; see ``Sessions.find``."""
        if read not in ("owner", "local"):
            raise ValueError(f"read is {read!r}; use 'owner' or 'local'")
        parsed = self._parsed(session_id)
        if parsed is None:
            return None
        if self._saves is not None and (kept := self._kept(parsed)) is not None:
            return kept if await kept.is_there(touch=touch) else None
        used_ms = self._backend.wall_ms() if touch else 0
        found = await look_up(self._backend, parsed, touch=touch, local=read == "local")
        if found is None:
            return None
        session = Session(
            self._backend, parsed, found, self._terms, used_ms=used_ms, saves=self._saves
        )
        return session if self._saves is None else self._watched(session)

    def _kept(self, session_id: SessionId) -> Session | None:
        """Return the copy that is kept in this process, which is newer than what the ring has."""
        kept = self._saves.kept(session_id.decode()) if self._saves is not None else None
        return kept if isinstance(kept, Session) else None

    def _watched(self, session: Session) -> Session:
        """Return the session, to be saved soon after each change if it is to be."""
        if self._saves is not None and self._config.save_mode == "immediate":
            session.watch(partial(self._saves.schedule, session))
        return session

    async def end(
        self,
        session_id: str | None,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """End the session; see ``Sessions.end``."""
        wish = self._terms.end.changed(durability, on_timeout)
        parsed = self._parsed(session_id)
        if parsed is None:
            raise SessionEnded("that is not the id of a session")
        if (kept := self._kept(parsed)) is not None:
            return await kept.end(durability=durability, on_timeout=on_timeout)
        return await end_session(self._backend, parsed, wish)

    async def touch(self, session_id: str | None) -> bool:
        """Count an access; see ``Sessions.touch``."""
        parsed = self._parsed(session_id)
        if parsed is None:
            return False
        if (kept := self._kept(parsed)) is not None:
            return await kept.touch()
        return await look_up(self._backend, parsed, touch=True) is not None

    async def find_by_principal(self, principal: str) -> SessionMatches:
        """Return a principal's sessions; see ``Sessions.find_by_principal``."""
        return await self._find_by(PRINCIPAL, pack_principal(principal))

    async def find_by(self, index: str, value: object) -> SessionMatches:
        """Return the sessions with a value; see ``Sessions.find_by``."""
        check_attribute_name(index)
        return await self._find_by(index.encode(), pack_sought(index, value))

    async def _find_by(self, key: bytes, value: bytes) -> SessionMatches:
        found = await gather(self._backend, Sought(key, value, self._namespace))
        now_ms = self._backend.wall_ms()
        summaries = [summary_of(*row, now_ms) for row in sorted(found.records.items())]
        return SessionMatches({each.id: each for each in summaries}, found.unreachable)

    async def principals(self) -> PrincipalCounts:
        """Return all principals; see ``Sessions.principals``."""
        found = await gather(self._backend, Sought(PRINCIPAL, b"", self._namespace))
        names = {unpack_principal(packed): count for packed, count in found.counts.items()}
        counts = {name: names[name] for name in sorted(name for name in names if name is not None)}
        return PrincipalCounts(counts, found.unreachable)

    async def end_all(
        self, principal: str, *, except_id: str | None = None, timeout_s: float = 30.0
    ) -> EndedSessions:
        """End all sessions of a principal; see ``Sessions.end_all``."""
        sought = Sought(PRINCIPAL, pack_principal(principal), self._namespace)
        but = self._parsed(except_id)
        return await end_all(self._backend, self._terms.end, sought, but, timeout_s)

    def _parsed(self, session_id: str | None) -> SessionId | None:
        """Return the id that this is, if its session can be one of these."""
        parsed = parse_session_id(session_id) if isinstance(session_id, str) else None
        return parsed if parsed and namespace_of(parsed) == self._namespace else None
