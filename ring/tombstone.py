"""What a tombstone tells: why a session ended, when and by whom, and what it was."""

import msgpack
from attrs import frozen

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import ENDED, EndReason, entry_stamp
from ring.errors import ConfigError
from ring.identity import SessionId, check_member_name, parse_session_id
from ring.record import Record


@frozen
class Epitaph:
    """The end of a session."""

    reason: EndReason
    stamp: Stamp
    node: str
    """Who acted for it then."""
    created: Stamp
    """0: not known."""
    accessed: Stamp
    """0: not known."""
    new_id: SessionId | None = None
    """Under which it goes on."""


def epitaph_of(record: Record) -> Epitaph | None:
    """Return what the tombstone tells; None: it is none, or spelled by a newer version."""
    entry = record.entries.get(ENDED)
    if entry is None:
        return None
    try:
        reason = EndReason(entry[STAMP_BYTES])
        node, created, accessed, *rest = msgpack.unpackb(entry[STAMP_BYTES + 1 :])
        new_id = parse_session_id(rest[0]) if rest else None
        check_member_name(node)
        for stamp in (created, accessed):
            stamp.to_bytes(STAMP_BYTES, "big")
    except (
        *(ValueError, TypeError, AttributeError, OverflowError),
        *(msgpack.UnpackException, ConfigError),
    ):
        return None
    return Epitaph(reason, entry_stamp(entry), node, Stamp(created), Stamp(accessed), new_id)


def is_blind(record: Record) -> bool:
    """Return whether a tombstone was made by who had nothing of the session that it ends."""
    epitaph = epitaph_of(record)
    return epitaph is None or not epitaph.created
