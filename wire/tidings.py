"""The messages by which members tell each other what is to be announced, spelled by hand.

Rule: rows are one flat list, checked column by column; what a record says is for ``ring`` to check.
"""

from typing import Any, Final

from ring.announcements import ANNOUNCED_MAX, LIFE_CYCLE, Announced, Announcements, EventKind
from wire import checks

DELIVERED_STRIDE: Final = 3
WAITING_STRIDE: Final = 5
_KINDS: Final = frozenset(int(kind) for kind in LIFE_CYCLE)


def spell_announced(message: Announced) -> list[object]:
    """Return the fields of an Announced."""
    return [message.flat]


def read_announced(fields: list[object]) -> Announced:
    """Return the Announced that ``fields`` spell, or raise a ValueError."""
    (flat,) = fields
    ids, kinds, stamps = checks.flat_columns(flat, DELIVERED_STRIDE, ANNOUNCED_MAX)
    _check_what(ids, kinds, stamps)
    checked: Any = flat
    return Announced(checked)


def spell_announcements(message: Announcements) -> list[object]:
    """Return the fields of an Announcements."""
    return [message.home, message.since, message.is_handed_over, message.flat]


def read_announcements(fields: list[object]) -> Announcements:
    """Return the Announcements that ``fields`` spell, or raise a ValueError."""
    home, since, is_handed_over, flat = fields
    ids, kinds, stamps, portables, new_ids = checks.flat_columns(
        flat, WAITING_STRIDE, ANNOUNCED_MAX
    )
    _check_what(ids, kinds, stamps)
    for portable in portables:
        checks.exactly(bytes, portable, "a record")
    for kind, new_id in zip(kinds, new_ids, strict=True):
        if (kind == EventKind.ROTATED) != (new_id != b""):
            raise ValueError("what was rotated goes on under a new id, and nothing else does")
    checks.check_session_ids([new_id for new_id in new_ids if new_id != b""])
    checked: Any = flat
    return Announcements(
        checks.member_name(home, "home"),
        checks.stamp(since, "since"),
        checks.exactly(bool, is_handed_over, "is_handed_over"),
        checked,
    )


def _check_what(ids: list[object], kinds: list[object], stamps: list[object]) -> None:
    checks.check_session_ids(ids)
    checks.check_u64s(kinds)
    checks.check_u64s(stamps)
    if not set(kinds) <= _KINDS:
        raise ValueError("a kind is none that members tell each other")
