"""Rotation: a session goes on under a new id, and whatever comes under the old one follows it.

Rules:
- The old id becomes a tombstone that names the new one, of the same home and namespace; the new
  id gets the whole record. The new record never travels or lies behind the tombstone.
- What is here of the old id, or arrives later, moves into the new record by the ordinary merge,
  whatever its stamp: an acknowledged change may come late from the other side of a partition.
  Reserved entries, such as the principal, move only if they are older than the rotation.
- A deletion follows a rotation: it ends the new id as well, however long the chain.
- Of two rotations of one id, one wins as between any two ends; what the other made is rotated
  into what the stronger one made.
"""

from typing import Final

import msgpack
from attrs import frozen

from ring.clock import STAMP_BYTES, Stamp
from ring.entry import ENDED, NIL, ROTATED, EndReason, entry_stamp, make_entry
from ring.identity import SessionId, parse_session_id, place_of
from ring.record import Record

CHAIN_MAX: Final = 4096
"""Records that one merge may lead on to, in some 0.5 s: 24 rotations an hour, for a week."""


@frozen
class Rotation:
    """What a tombstone says of the rotation that ended its session."""

    new_id: SessionId
    stamp: Stamp
    node: str
    """Who acted for the session then."""


def rotation_of(record: Record | None) -> Rotation | None:
    """Return the rotation that ended a session; None: it lives, is unknown, or was deleted."""
    entry = record.entries.get(ENDED) if record is not None else None
    if entry is None or entry[STAMP_BYTES] != EndReason.ROTATED:
        return None
    try:
        node, _, _, new_id = msgpack.unpackb(entry[STAMP_BYTES + 1 :])
        parsed = parse_session_id(new_id)
    except (ValueError, TypeError, msgpack.UnpackException):
        return None  # A newer version's spelling: an end all the same.
    return Rotation(parsed, entry_stamp(entry), str(node)) if parsed is not None else None


def may_follow(old_id: SessionId, new_id: SessionId) -> bool:
    """Return whether a session may go on under ``new_id``: another id of its home and namespace."""
    return old_id != new_id and place_of(old_id) == place_of(new_id)


def rotation_at(session_id: SessionId, record: Record | None) -> Rotation | None:
    """Return the rotation that ended the session with this id, if it may be followed."""
    rotation = rotation_of(record)
    return rotation if rotation and may_follow(session_id, rotation.new_id) else None


def moved(record: Record, rotated_at: Stamp, now: float) -> Record:
    """Return what of a record goes on under the new id; a whole record is whole there, too.

    So nothing is lost if the new record never arrives: what it has beyond this one was not
    acknowledged by anybody else. Its access is the rotation, for which any age known of the new
    record counts.
    """
    fragment = Record()
    for key, entry in record.entries.items():
        if not key.startswith(b"\x00") or entry_stamp(entry) < rotated_at:
            fragment.put(key, entry)
    if fragment.entries:
        fragment.put(ROTATED, make_entry(rotated_at, NIL))
        fragment.touch(rotated_at, now)
    if record.whole:
        fragment.make_whole()
    return fragment


def consequences(
    ours: Record, theirs: Record, merged: Record, now: float
) -> list[tuple[SessionId, Record]]:
    """Return what follows for other ids when two records of one id were merged.

    Args:
        ours: what was here before.
        theirs: what came.
        merged: what both are now; nothing follows unless it is a tombstone.
        now: monotonic seconds.

    Returns:
        New ids, each with what has to be merged into its record.
    """
    if not merged.ended:
        return []
    rotations = [each for each in map(rotation_of, (ours, theirs)) if each is not None]
    winner = rotation_of(merged)
    if winner is None:
        # A deletion; it takes with it whatever the session has become.
        deletion = Record()
        deletion.put(ENDED, merged.entries[ENDED])
        return [(rotation.new_id, deletion) for rotation in rotations]
    alive = [record for record in (ours, theirs) if not record.ended]
    follows = [(winner.new_id, moved(record, winner.stamp, now)) for record in alive]
    for weaker in rotations:
        if weaker.new_id != winner.new_id:
            tombstone = Record()
            tombstone.end(EndReason.ROTATED, winner.node, winner.stamp, new_id=winner.new_id)
            follows.append((weaker.new_id, tombstone))
    return [(session_id, record) for session_id, record in follows if record.digest]
