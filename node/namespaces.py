"""Several applications on one ring: the sessions of each, under a namespace of its own.

Rules:
- A namespace has the defaults and limits that are configured for it, and else those of all.
- The default namespace has no name; ids of it have none in them.
"""

from collections.abc import Mapping

from node.receipts import Backend
from node.saving import Saves
from node.sections import SessionsConfig
from node.sessions import SessionRepository, Sessions
from ring.errors import ConfigError
from ring.identity import DEFAULT_NAMESPACE, check_namespace
from ring.messages import Durability


class Namespaces:
    """The sessions of every namespace over one backend.

    Args:
        backend: a node, or a client of one.
        sessions: the defaults and limits of namespaces that have none of their own.
        named: those of the others.
        durability: that of saves and ends where a namespace has none of its own; None: that of
            ``sessions``, or else ``backup``.
        saves: carries out what is saved without being asked for; None: nothing is.
    """

    def __init__(
        self,
        backend: Backend,
        sessions: SessionsConfig,
        named: Mapping[str, SessionsConfig],
        durability: Durability | None,
        saves: Saves | None = None,
    ) -> None:
        self._backend = backend
        self._sessions = sessions
        self._named = dict(named)
        self._durability = durability or sessions.durability
        self._saves = saves

    def sessions(self, name: str) -> Sessions:
        """Return the sessions of a namespace; empty: of the default one.

        Raises:
            ConfigError: ``name`` cannot be a namespace's.
        """
        if not isinstance(name, str):
            raise ConfigError(f"namespace is {name!r}; give a str, empty for the default one")
        config = self._named.get(name, self._sessions)
        durability = self._named[name].durability if name in self._named else None
        return SessionRepository(
            self._backend, config, durability or self._durability, name, self._saves
        )


def check_namespaces(namespaces: Mapping[str, SessionsConfig]) -> None:
    """Check the names of namespaces that have their own configuration.

    Raises:
        ConfigError: one cannot be a namespace's, or is that of the default one.
    """
    for name in namespaces:
        if name == DEFAULT_NAMESPACE:
            raise ConfigError("namespaces has one without a name; configure it in sessions")
        check_namespace(name, "a name in namespaces")
