"""The state of a session: by which a save can demand that nobody has changed it meanwhile.

Rules:
- A state is 64 bits that name all that clients write: it is the record's digest without what is
  known of accesses and of expiry, and without whether the copy is whole. So it is the same wherever
  the same changes have arrived, and an access is no change.
- It is made of what is hashed anyway, and only where somebody asks for it.
"""

from typing import Final

from ring.entry import ACCESSED, EXPIRED, WHOLE_HASH, entry_hash, make_entry
from ring.record import Record

NOT_ASKED_FOR: Final = 0
"""In the place of a state: whatever it is."""

_MASK: Final = (1 << 64) - 1


def state_of(record: Record) -> int:
    """Return the state that a record is in; never 0."""
    state = record.digest
    if record.whole:
        state -= WHOLE_HASH
    if record.accessed:
        state -= entry_hash(ACCESSED, make_entry(record.accessed, None))
    if (marker := record.entries.get(EXPIRED)) is not None:
        state -= entry_hash(EXPIRED, marker)
    return state & _MASK or 1


def is_as_expected(record: Record, expected: int) -> bool:
    """Return whether a record is in the state that was asked for, or none was."""
    return expected == NOT_ASKED_FOR or expected == state_of(record)
