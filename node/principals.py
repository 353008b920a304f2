"""The sessions of one principal, all of them: ending them, and keeping them few.

Rules:
- What is ended is looked for again until nothing is found: a session may come, or be rotated,
  meanwhile, and a node may be lost in the middle.
- All who look at the same sessions agree on which are too many: they go by the stamp with which
  each came to the principal, then by id. So of several that come at once as many stay as may.
- Who cannot see all sessions, because members are cut off, lets too many be. The next one that
  comes to the principal and sees them puts that right.
"""

from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Final, Literal, TypeAlias

from attrs import frozen

from node.matches import EndedSessions, Gathered, Sought, gather
from node.receipts import Backend, Receipt, Wish, end_session
from ring.errors import (
    ReplicationTimeoutError,
    SessionEnded,
    SessionRingError,
    SessionUnavailableError,
    TooManySessionsError,
)
from ring.identity import SessionId

PrincipalPolicy: TypeAlias = Literal["end_oldest", "refuse"]
"""What happens when a principal gets one session more than it may have."""

ENDS_AT_ONCE: Final = 32
_PAUSE_FIRST_S: Final = 0.05
_PAUSE_MAX_S: Final = 0.5


@frozen
class Limit:
    """How many sessions a principal may have."""

    sessions_max: int
    """Inclusive; 0: any number."""
    policy: PrincipalPolicy
    end: Wish
    """How durable the end of one too many is to be."""

    def surplus(self, found: Gathered) -> list[SessionId]:
        """Return the sessions that are too many: the same ones whoever asks."""
        order = found.in_order()
        if self.policy == "refuse":
            return order[self.sessions_max :]
        return order[: max(0, len(order) - self.sessions_max)]


async def save_within(
    limit: Limit,
    backend: Backend,
    sought: Sought,
    ids: Callable[[], Collection[SessionId]],
    save: Callable[[], Awaitable[Receipt]],
) -> Receipt:
    """Have a session saved that comes to a principal, which may have only so many.

    Args:
        limit: how many.
        backend: carries everything to the ring.
        sought: the sessions of that principal.
        ids: returns the ids that the session has, or may have by now.
        save: saves it.

    Raises:
        TooManySessionsError: it is one too many. It has not got the principal, or was ended.
        SessionUnavailableError: nobody could be asked how many there are. Definite.
        SessionRingError: what ``save`` raises.
    """
    if limit.policy == "refuse":
        found = await gather(backend, sought)
        others = found.records.keys() - ids()
        if len(others) >= limit.sessions_max:
            await _end_surplus(limit, backend, found)
            raise _too_many(limit, "none is added")
    try:
        receipt = await save()
    except ReplicationTimeoutError:
        # It is in force all the same.
        await _keep_within(limit, backend, sought, ids())
        raise
    await _keep_within(limit, backend, sought, ids())
    return receipt


async def _keep_within(
    limit: Limit, backend: Backend, sought: Sought, ids: Collection[SessionId]
) -> None:
    """End what is too many, now that a session has come; raises if that is the session itself."""
    try:
        found = await gather(backend, sought)
    except SessionUnavailableError:
        return  # It has been saved. Whoever comes next will see.
    surplus = await _end_surplus(limit, backend, found)
    if not surplus.isdisjoint(ids):
        raise _too_many(limit, "this one was ended")


async def _end_surplus(limit: Limit, backend: Backend, found: Gathered) -> set[SessionId]:
    surplus = limit.surplus(found)
    unsure = set[SessionId]()
    await _end_each(backend, limit.end, surplus, set(), unsure)
    return set(surplus)


def _too_many(limit: Limit, what: str) -> TooManySessionsError:
    return TooManySessionsError(
        f"the principal has {limit.sessions_max} sessions, as many as "
        f"sessions.max_sessions_per_principal allows; {what}"
    )


async def end_all(
    backend: Backend,
    wish: Wish,
    sought: Sought,
    but: SessionId | None,
    timeout_s: float,
) -> EndedSessions:
    """End all sessions of a principal; see ``Sessions.end_all``.

    Args:
        backend: carries everything to the ring.
        wish: how durable each end is to be.
        sought: the sessions of that principal.
        but: the session that goes on, if there is one.
        timeout_s: when to give up.
    """
    deadline_ms = backend.wall_ms() + timeout_s * 1000
    ended, unsure, pause_s = set[SessionId](), set[SessionId](), _PAUSE_FIRST_S
    found = None
    while True:
        is_late = backend.wall_ms() > deadline_ms
        try:
            found = await gather(backend, sought, deadline_ms)
        except SessionUnavailableError:
            if is_late and found is None:
                raise
            todo = set(unsure)
        else:
            todo = (found.records.keys() | unsure) - {but}
            if not todo and not found.missing:
                return EndedSessions(len(ended), 0, found.unreachable)
        if is_late:
            unreachable = found.unreachable if found is not None else ()
            return EndedSessions(len(ended), len(todo), unreachable)
        before = len(ended)
        await _end_each(backend, wish, sorted(todo), ended, unsure)
        if len(ended) == before:
            await backend.pause(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)


async def _end_each(
    backend: Backend,
    wish: Wish,
    ids: Collection[SessionId],
    ended: set[SessionId],
    unsure: set[SessionId],
) -> None:
    """End these sessions; what became of each is noted."""

    async def end(session_id: SessionId) -> None:
        try:
            await end_session(backend, session_id, wish)
        except SessionEnded:
            pass
        except SessionRingError:
            unsure.add(session_id)
            return
        ended.add(session_id)
        unsure.discard(session_id)

    await backend.perform_all([partial(end, each) for each in ids], ENDS_AT_ONCE)
