"""Who answers for a session: the ring, read clockwise from the member that created it.

Rules:
- Pure. Members that agree on the ring agree on every placement, exchanging no message. Losing a
  member reorders no other, so its first backup, which holds the session, answers next.
- The ring is a versioned record: the greater version takes the place of the other, at run time.
- A member that has left is *departed*: it has an heir, so that the ids it has given away still
  route. As long as it has an address, others keep a connection to it: it may have to hand over.

Source: Resin's TCP ring (the following host is the backup); preference lists after
DeCandia et al., "Dynamo", SOSP 2007, section 4.3.
"""

import hashlib
from collections.abc import Container
from functools import cached_property
from typing import Final

import msgpack
from attrs import frozen

from ring.errors import ConfigError, UnknownMemberError
from ring.identity import check_member_name

MEMBERS_MAX: Final = 64
"""Every member links to every other, so a ring stays small; larger sites run several rings. The
departed count as well."""
VERSION_MAX: Final = (1 << 63) - 1
"""The largest integer of a TOML file."""


@frozen
class Member:
    """One place in the ring: a name that never changes, and where its node listens."""

    name: str
    address: str
    """``host:port``; an empty string for a single node that listens nowhere."""
    backup: bool = False
    """It keeps copies and acts for others, and no session is created with it as the home."""


@frozen
class Departed:
    """A member that has left, or is about to: who has its sessions, and where it may still be."""

    name: str
    heir: str
    """The member from which the ring is read for the sessions that were created there."""
    address: str = ""
    """Where its node listens while it hands over; an empty string once there is none any more."""


@frozen(slots=False)
class Ring:
    """The configured members in ring order, clockwise, and how many copies are kept.

    Raises:
        ConfigError: a name is malformed or used twice, or a number is out of range.
    """

    name: str
    members: tuple[Member, ...]
    version: int = 1
    copies: int = 2
    """Nodes that hold each session, the owner included: 1 to 8."""
    departed: tuple[Departed, ...] = ()
    """Members that have left, for as long as ids of theirs may be asked for."""

    def __attrs_post_init__(self) -> None:
        names = [
            check_member_name(member.name, f"ring.members[{number}].name")
            for number, member in enumerate(self.members)
        ]
        if not 1 <= len(names) <= MEMBERS_MAX:
            raise ConfigError(f"ring.members has {len(names)} members; use 1 to {MEMBERS_MAX}")
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"ring.members names {name!r} twice; give each its own name")
        if not 1 <= self.copies <= 8:
            raise ConfigError(f"ring.copies is {self.copies}; use 1 to 8")
        if not 1 <= self.version <= VERSION_MAX:
            raise ConfigError(f"ring.version is {self.version}; use 1 or more, below 2**63")
        if all(member.backup for member in self.members):
            raise ConfigError("ring.members are all backup = true; let one be a session's home")
        self._check_departed(names)

    def _check_departed(self, names: list[str]) -> None:
        gone = [
            check_member_name(departed.name, f"ring.departed[{number}].name")
            for number, departed in enumerate(self.departed)
        ]
        if len(names) + len(gone) > MEMBERS_MAX:
            raise ConfigError(
                f"ring.departed and ring.members have {len(names) + len(gone)} names; use up to "
                f"{MEMBERS_MAX}, and drop a departed one of which no session can be left"
            )
        for number, departed in enumerate(self.departed):
            if departed.name in names or gone.count(departed.name) > 1:
                raise ConfigError(
                    f"ring.departed[{number}].name is {departed.name!r}, which the ring has "
                    "already; a name is a member's or a departed one's, once"
                )
            if departed.heir not in names:
                raise ConfigError(
                    f"ring.departed[{number}].heir is {departed.heir!r}, which is no member; "
                    f"use one of {', '.join(names)}"
                )

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The members' names in ring order."""
        return tuple(member.name for member in self.members)

    @cached_property
    def homes(self) -> tuple[str, ...]:
        """Every name that an id may begin with: the members in ring order, then the departed."""
        return self.names + tuple(departed.name for departed in self.departed)

    @cached_property
    def addresses(self) -> dict[str, str]:
        """Whom the nodes keep connections to, and where: members, and departed ones not yet gone.

        In ring order, the departed behind the members.
        """
        leaving = {each.name: each.address for each in self.departed if each.address}
        return {member.name: member.address for member in self.members} | leaving

    @cached_property
    def leaving(self) -> frozenset[str]:
        """The departed that may still be there, to hand over."""
        return frozenset(each.name for each in self.departed if each.address)

    @cached_property
    def _leaving_in_order(self) -> tuple[str, ...]:
        return tuple(each.name for each in self.departed if each.address)

    @cached_property
    def backups(self) -> frozenset[str]:
        """The members with which no session is created as the home."""
        return frozenset(member.name for member in self.members if member.backup)

    @cached_property
    def _preference_lists(self) -> dict[str, tuple[str, ...]]:
        names = self.names
        lists = {name: names[start:] + names[:start] for start, name in enumerate(names)}
        return lists | {departed.name: lists[departed.heir] for departed in self.departed}

    @cached_property
    def digest(self) -> bytes:
        """32 bytes that are equal exactly for equal rings; members compare it at the handshake."""
        content = (
            self.name,
            self.version,
            self.copies,
            [(member.name, member.address, member.backup) for member in self.members],
            [(each.name, each.heir, each.address) for each in self.departed],
        )
        return hashlib.sha256(msgpack.packb(content)).digest()

    def __contains__(self, home: str) -> bool:
        return home in self._preference_lists

    def preference_list(self, home: str) -> tuple[str, ...]:
        """Return every member once, clockwise from ``home`` or its heir: the owner, then backups.

        Raises:
            UnknownMemberError: ``home`` is not in this ring. Definite: nothing was placed.
        """
        try:
            return self._preference_lists[home]
        except KeyError:
            raise UnknownMemberError(
                f"no member {home!r} in the ring {', '.join(self.names)}"
            ) from None

    def everyone(self, home: str) -> tuple[str, ...]:
        """Return whoever may have something of ``home``: by preference, the departed at the end."""
        return self.preference_list(home) + self._leaving_in_order

    def holders(self, home: str, up: Container[str]) -> tuple[str, ...]:
        """Return who keeps ``home``'s sessions: its first ``copies`` members that are ``up``."""
        present = [name for name in self.preference_list(home) if name in up]
        return tuple(present[: self.copies])
