"""What members send of sessions: decoded, checked, and with this node's clock past its stamps.

Rule: nothing is held yet when a record is refused; only the clock may have passed the stamps of
those before it in the frame.
"""

from typing import Final

from ring.clock import Stamp, stamp_ms
from ring.core import Core
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import SessionId, home_of
from ring.record import Record

STAMP_AHEAD_MAX_S: Final = 86_400
"""A stamp further ahead of this node's clock is refused: it would drag every clock along."""


def decode(core: Core, session_id: SessionId, portable: bytes, now: float) -> Record:
    """Return what a member sent of a session, with this node's clock past its stamps.

    Raises:
        RemoteProtocolError: the peer cannot have meant it. Nothing was changed.
    """
    if home_of(session_id) not in core.ring:
        raise RemoteProtocolError("sent a session whose home is not in this ring")
    try:
        incoming = Record.from_portable(portable, now)
    except RecordFormatError as error:
        raise RemoteProtocolError(f"sent a malformed record: {error}") from error
    observe(core, incoming.stamp(), now)
    return incoming


def decode_all(
    core: Core, flat: list[bytes | int], now: float
) -> list[tuple[SessionId, int, Record]]:
    """Return id, digest and record of each change in a frame.

    Raises:
        RemoteProtocolError: one of them is malformed, so that none of them counts.
    """
    decoded = list[tuple[SessionId, int, Record]]()
    fields = iter(flat)
    for key, digest, portable in zip(fields, fields, fields, strict=True):
        assert isinstance(key, bytes)
        assert isinstance(digest, int)
        assert isinstance(portable, bytes)
        session_id = SessionId(key)
        decoded.append((session_id, digest, decode(core, session_id, portable, now)))
    return decoded


def observe(core: Core, stamp: Stamp, now: float) -> None:
    """Let this node's clock pass a member's stamp.

    Raises:
        RemoteProtocolError: the stamp is absurd. The clock was left alone.
    """
    clock = core.clock
    if stamp <= clock.last:
        return
    ahead_s = stamp_ms(stamp) / 1000 - clock.physical_ms(now) / 1000
    if ahead_s > STAMP_AHEAD_MAX_S:
        raise RemoteProtocolError(
            f"sent a stamp {ahead_s:.0f} s ahead of this node's clock; set its clock"
        )
    clock.observe(stamp)
