"""The ring as a part of a message: names, addresses and numbers, checked before it is made.

Rule: what comes is a ring that could be configured; whether it is to be adopted is decided by the
replica, and whether its addresses lead anywhere is seen when they are dialled.
"""

from typing import Final

from ring.errors import ConfigError
from ring.placement import Departed, Member, Ring
from wire import checks
from wire.limits import ADDRESS_CHARS_MAX, NAMES_MAX, RING_NAME_CHARS_MAX

COLUMNS: Final = 3
"""Of a member: name, address, backup. Of a departed one: name, heir, address."""


def spell(ring: Ring) -> list[object]:
    """Return ``ring`` as msgpack takes it."""
    members, departed = list[object](), list[object]()
    for member in ring.members:
        members += (member.name, member.address, member.backup)
    for each in ring.departed:
        departed += (each.name, each.heir, each.address)
    return [ring.name, ring.version, ring.copies, members, departed]


def _rows(flat: object) -> list[tuple[object, object, object]]:
    one, two, three = checks.flat_columns(flat, COLUMNS, NAMES_MAX)
    return list(zip(one, two, three, strict=True))


def _address(value: object) -> str:
    return checks.text(value, "an address", ADDRESS_CHARS_MAX)


def read(value: object, what: str) -> Ring:
    """Return the ring that ``value`` spells, or raise a ValueError."""
    name, version, copies, members, departed = checks.exactly(list, value, what)
    try:
        return Ring(
            checks.text(name, "the ring's name", RING_NAME_CHARS_MAX),
            tuple(
                Member(
                    checks.member_name(name, "a member"),
                    _address(address),
                    checks.exactly(bool, backup, "backup"),
                )
                for name, address, backup in _rows(members)
            ),
            checks.u64(version, "version"),
            checks.u64(copies, "copies"),
            tuple(
                Departed(
                    checks.member_name(name, "a departed member"),
                    checks.member_name(heir, "an heir"),
                    _address(address),
                )
                for name, heir, address in _rows(departed)
            ),
        )
    except ConfigError as error:
        raise ValueError(f"{what} is none that can be") from error
