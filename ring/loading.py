"""What lay on the disk: merged at the start, not served before the other members were heard."""

from ring.clock import stamp_ms
from ring.core import Core
from ring.errors import RecordFormatError, StampAheadError
from ring.identity import SessionId, home_of
from ring.packed import aged
from ring.record import Record


def take_stored(
    core: Core, session_id: SessionId, portable: bytes, absence_s: float, now: float
) -> bool:
    """Merge a stored record; return whether its home is in the ring. See ``Replica.load``."""
    if home_of(session_id) not in core.ring:
        return False
    record = Record.from_portable(aged(portable, absence_s), now)
    if not record.digest:
        raise RecordFormatError("a stored record has at least one entry")
    ahead_s = (stamp_ms(record.stamp()) - core.clock.physical_ms(now)) / 1000
    if ahead_s > core.settings.clock_bound_s:
        raise StampAheadError(ahead_s)
    core.clock.observe(record.stamp())
    core.table.merge(session_id, record)
    return True
