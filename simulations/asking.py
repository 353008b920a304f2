"""How clients of a simulated ring ask, and what they make of the answers: all of them alike.

Rule: a client that hears nothing gives up, and does not know what became of a change.
"""

from collections.abc import Collection
from typing import Final

from ring import Record, SessionId
from ring.identity import home_of
from ring.messages import Absent, Failed, Failure, Found, Reply, Saved
from simulations.ground import Ground
from simulations.history import NOT_REPLICATED, Operation, Outcome

OPERATION_LIMIT_S: Final = 10.0
DOWN_PAUSE_S: Final = 0.01
"""Until a client has noticed that nobody listens where it asks."""


def route(ground: Ground, session_id: SessionId, only: Collection[str] = ()) -> str:
    """Return the node that a session is asked of: the first of its line that runs.

    Args:
        ground: where the client is.
        session_id: whose home the line belongs to.
        only: if there are any, nobody else is asked.
    """
    preferred = ground.preference_list(home_of(session_id))
    running = [name for name in ground.running() if not only or name in only]
    return next((name for name in preferred if name in running), preferred[0])


def note_outcome(operation: Operation, reply: Reply | None, now: float) -> Record | None:
    """Write down what a client was told, None: nothing; return the record that it was shown."""
    operation.returned = now
    match reply:
        case Found(_, portable):
            operation.outcome, operation.found = Outcome.OK, True
            return Record.from_portable(portable, now)
        case Absent():
            operation.outcome = Outcome.OK
        case Saved(_, holders, on_disk, degraded):
            operation.outcome, operation.degraded = Outcome.OK, degraded
            operation.holders, operation.on_disk = holders, on_disk
        case Failed(_, Failure.GONE, _):
            operation.outcome, operation.reason = Outcome.FAILED, "gone"
        case Failed(_, Failure.UNAVAILABLE, reason):
            operation.outcome, operation.reason = Outcome.FAILED, reason
        case Failed(_, Failure.CONFLICT, _):
            operation.outcome, operation.reason = Outcome.FAILED, "conflict"
        case Failed(_, Failure.NOT_REPLICATED, _):
            operation.outcome, operation.reason = Outcome.UNKNOWN, NOT_REPLICATED
        case _:
            operation.outcome = Outcome.UNKNOWN
    return None
