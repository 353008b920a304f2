"""Sessions by id: creating, finding and ending them, the same in a node and in a client.

Rule: an id that the ring did not issue is nobody's session. One that has not the form of an id
is answered here, and the ring is not asked.
"""

from typing import Protocol

from node.receipts import Backend, OnTimeout, Receipt, Wish, end_session, look_up
from node.sections import SessionsConfig
from node.session import Session, Terms
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
        return Session(self._backend, parsed, found, self._terms)

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


def _parsed(session_id: str | None) -> SessionId | None:
    return parse_session_id(session_id) if isinstance(session_id, str) else None
