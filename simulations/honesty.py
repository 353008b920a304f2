"""Honest: no receipt names a node that did not have the change when the receipt came.

Rules:
- This is the one look behind the curtain. All else is judged by what clients were told.
- While an answer was on its way, a holder may have been freed of its copy, or have yielded it, and
  an end that was asked for again may have been forgotten: then others have it, or nobody need.
"""

from collections.abc import Callable, Sequence
from functools import partial

from ring import Record, SessionId
from ring.rotating import rotation_of
from simulations.ground import Ground
from simulations.history import Kind, Operation
from simulations.judge import Judge
from simulations.versions import version_in


class Honesty:
    """Compares the names in receipts with what those nodes have."""

    def __init__(self, ground: Ground, judge: Judge) -> None:
        self._ground = ground
        self._judge = judge

    def check(self, operation: Operation, ids: Sequence[SessionId]) -> None:
        """Judge a receipt that has just come; ``ids`` are all that its session may have had."""
        if self._judge.is_concurrent(operation):
            return  # It may have lost, by the rules, against an earlier write of the same client.
        if self._judge.was_dropped(operation):
            return
        ends = operation.kind in (Kind.END, Kind.ROTATE)
        if ends and self._judge.may_be_forgotten(operation):
            return
        self._check_all(operation, ids, operation.holders, "memory", self._ground.look)
        self._check_all(operation, ids, operation.on_disk, "disk", self._ground.stored)

    def _check_all(
        self,
        operation: Operation,
        ids: Sequence[SessionId],
        names: Sequence[str],
        what: str,
        look: Callable[[str, SessionId], Record | None],
    ) -> None:
        for name in names:
            # One that was started since has lost its memory since it acknowledged.
            older = self._ground.is_older(name, operation.invoked)
            if older and not _has(operation, ids, partial(look, name)):
                self._report(operation, f"names {name}, whose {what} does not have it")

    def _report(self, operation: Operation, what: str) -> None:
        self._judge.report("honest", operation, f"got a receipt that {what}")


def _has(
    operation: Operation, ids: Sequence[SessionId], look: Callable[[SessionId], Record | None]
) -> bool:
    """Return whether what a node has, id by id, has the change of an operation."""
    own = look(SessionId(operation.session.encode()))
    lasts = operation.kind not in (Kind.END, Kind.ROTATE)
    if lasts and own is not None and _contains(operation, own):
        return True  # As nearly always: the other ids need no look.
    records = [look(session_id) for session_id in ids]
    if any(record is not None and record.ended and not rotation_of(record) for record in records):
        return True  # Ended since, under any of its ids: that is all there is to have.
    if operation.kind is Kind.END or (not lasts and not (own is not None and own.ended)):
        return False
    return any(_contains(operation, record) for record in records if record is not None)


def _contains(operation: Operation, record: Record) -> bool:
    version = version_in(record, operation.client)
    return version is not None and version >= operation.version
