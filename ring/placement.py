"""Who answers for a session: the ring, read clockwise from the member that created it.

Rule: pure. Members that agree on the ring agree on every placement, exchanging no message.
Losing a member reorders no other, so its first backup, which holds the session, answers next.

Source: Resin's TCP ring (the following host is the backup); preference lists after
DeCandia et al., "Dynamo", SOSP 2007, section 4.3.
"""

import hashlib
from collections.abc import Container
from functools import cached_property
from typing import Final

import msgpack
from attrs import field, frozen

from ring.errors import ConfigError, UnknownMemberError
from ring.identity import check_member_name

MEMBERS_MAX: Final = 64
"""Every member links to every other, so a ring stays small; larger sites run several rings."""


@frozen
class Member:
    """One place in the ring: a name that never changes, and where its node listens."""

    name: str
    address: str
    """``host:port``; an empty string for a single node that listens nowhere."""


@frozen(slots=False)
class Ring:
    """The configured members in ring order, clockwise, and how many copies are kept.

    Raises:
        ConfigError: a name is malformed or used twice, or a number is out of range.
    """

    name: str
    members: tuple[Member, ...]
    version: int = 1
    copies: int = field(default=2)
    """Nodes that hold each session, the owner included: 1 to 8."""

    def __attrs_post_init__(self) -> None:
        names = [check_member_name(member.name) for member in self.members]
        if not 1 <= len(names) <= MEMBERS_MAX:
            raise ConfigError(f"ring.members has {len(names)} members; use 1 to {MEMBERS_MAX}")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"ring.members names {name!r} twice; give each its own name")
        if not 1 <= self.copies <= 8:
            raise ConfigError(f"ring.copies is {self.copies}; use 1 to 8")
        if self.version < 1:
            raise ConfigError(f"ring.version is {self.version}; use 1 or more")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The members' names in ring order."""
        return tuple(member.name for member in self.members)

    @cached_property
    def _preference_lists(self) -> dict[str, tuple[str, ...]]:
        names = self.names
        return {name: names[start:] + names[:start] for start, name in enumerate(names)}

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that are equal exactly for equal rings; members compare it at the handshake."""
        content = (
            self.name,
            self.version,
            self.copies,
            [(member.name, member.address) for member in self.members],
        )
        return hashlib.sha256(msgpack.packb(content)).digest()

    def __contains__(self, name: str) -> bool:
        return name in self._preference_lists

    def preference_list(self, home: str) -> tuple[str, ...]:
        """Return every member once, clockwise from ``home``: the owner, then its backups.

        Raises:
            UnknownMemberError: ``home`` is not in this ring. Definite: nothing was placed.
        """
        try:
            return self._preference_lists[home]
        except KeyError:
            raise UnknownMemberError(
                f"no member {home!r} in the ring {', '.join(self.names)}"
            ) from None

    def holders(self, home: str, up: Container[str]) -> tuple[str, ...]:
        """Return who keeps ``home``'s sessions: its first ``copies`` members that are ``up``."""
        present = [name for name in self.preference_list(home) if name in up]
        return tuple(present[: self.copies])
