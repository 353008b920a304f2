"""What a find has brought: the record is decoded once, by whoever sees it first.

Rule: a client's station has to decode every record, since a malformed one ends its link. The
session is made of what it has decoded.
"""

import attrs
from attrs import field, frozen

from ring.messages import Found
from ring.record import Record

_NAMES = tuple(each.name for each in attrs.fields(Found))


@frozen
class Decoded(Found):
    """An answer whose record was decoded as it was checked."""

    record: Record = field(kw_only=True, eq=False, repr=False)
    """As of the moment 0; for one reader, who may change it."""


def decoded(found: Found, record: Record) -> Decoded:
    """Return ``found`` with its record, which was decoded as of the moment 0."""
    return Decoded(*[getattr(found, name) for name in _NAMES], record=record)


def record_of(found: Found) -> Record:
    """Return the record, in which an access was at minus its age.

    Raises:
        RecordFormatError: it is none. Definite.
    """
    return found.record if isinstance(found, Decoded) else Record.from_portable(found.portable, 0.0)
