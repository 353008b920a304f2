"""Target: the files of the ring and of the contacts, and the text in them.

Input: what is looked at, then the file, its text, or texts for a ring that a member might send.
"""

from typing import Final

from fuzz.drawn import Drawn
from node.address import parse_address
from node.contacts import contacts_from_text, contacts_to_text
from node.ring_text import ring_from_text, ring_to_text
from node.small_file import DamagedFileError, sealed, unsealed
from ring.errors import ConfigError
from ring.placement import Departed, Member, Ring
from wire.limits import ADDRESS_CHARS_MAX

YEARS_MAX: Final = 32_000_000
"""So far from now a time in the contacts may lie: whatever is worked out with it is a number."""


def fuzz(data: bytes) -> None:
    """Check one input."""
    drawn = Drawn(data)
    match drawn.number(4):
        case 0:
            _read_file(drawn.rest())
        case 1:
            _read_contacts(drawn.rest().decode(errors="replace"))
        case 2:
            _read_ring(drawn.rest().decode(errors="replace"))
        case 3:
            _keep_ring(drawn)
        case _:
            _read_address(drawn.rest().decode(errors="replace"))


def _read_file(content: bytes) -> None:
    try:
        text = unsealed(content)
    except DamagedFileError:
        return
    assert sealed(text) == content, "a file was believed that is not as it was written"


def _read_contacts(text: str) -> None:
    try:
        contacts_ms = contacts_from_text(text)
    except DamagedFileError:
        return
    assert contacts_from_text(contacts_to_text(contacts_ms)) == contacts_ms
    for at_ms in contacts_ms.values():
        assert abs(at_ms / 1000) < YEARS_MAX * 366 * 86_400


def _read_ring(text: str) -> None:
    try:
        ring = ring_from_text(text)
    except ConfigError:
        return
    assert ring_from_text(ring_to_text(ring)) == ring


def _keep_ring(drawn: Drawn) -> None:
    """Write down a ring that has come over the network, and read it as after a restart."""
    name, *addresses = (
        drawn.some(255).decode(errors="replace")[:ADDRESS_CHARS_MAX] for _ in range(3)
    )
    members = tuple(Member(*each) for each in zip("ab", addresses, strict=True))
    ring = Ring(name, members, departed=(Departed("c", "a", name),))
    assert ring_from_text(ring_to_text(ring)) == ring


def _read_address(text: str) -> None:
    try:
        address = parse_address(text)
    except ConfigError:
        return
    assert parse_address(str(address)) == address
