"""Requests on their way: what was asked, for whom, and until when.

Rule: an errand is answered once, whatever becomes of it.
"""

from attrs import define, field, frozen

from ring.core import Core
from ring.effects import Respond
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.identity import SessionId, namespace_of
from ring.inquiry import Account, Inquiry, Inspect, Inspected, Story, Why
from ring.links import Links
from ring.messages import Failed, Find, Found, Redirect, Reply, Request, Saved
from ring.questions import Matches, Query
from ring.receipts import Origin
from ring.record import Record


@frozen
class Errand:
    """A request on its way, with where its answer goes and until when."""

    origin: Origin
    request: Request
    deadline: float
    parked_until: float
    """When it is given up where it cannot be placed."""
    redirected: bool = False
    """A member has named another one, which was asked."""
    detoured: bool = False
    """It was last sent to another member than the acting owner, whose link comes and goes."""


@define
class Asking:
    """Members that were asked for one session, and who waits for their answers."""

    asked: set[str] = field(factory=set)
    waiting_for: set[str] = field(factory=set)
    errands: list[Errand] = field(factory=list)


def check_reply(request: Request | Query, reply: Reply | Redirect | Matches) -> Record | None:
    """Check what a member has answered, before it is told to whoever has asked.

    Returns:
        The record in it, as of the moment 0, if there is one.

    Raises:
        RemoteProtocolError: it is a receipt for a find, a record for a change, or no record.
    """
    if isinstance(request, Query) and isinstance(reply, Matches):
        check_matches(request, reply)
        return None
    if isinstance(request, Query):
        is_answer = isinstance(reply, Failed)
    else:
        is_answer = not isinstance(reply, Matches | (Saved if isinstance(request, Find) else Found))
    if not is_answer:
        raise RemoteProtocolError(f"answers {type(request).__name__} by {type(reply).__name__}")
    if isinstance(reply, Found):
        return _checked_record(reply.portable)
    return None


def check_page(page: Inspected) -> None:
    """Check the records on a page of sessions.

    Raises:
        RemoteProtocolError: one is none.
    """
    for row in page.rows:
        if row.portable:
            _checked_record(row.portable)


def _checked_record(portable: bytes) -> Record:
    try:
        return Record.from_portable(portable, 0.0)
    except RecordFormatError as error:
        raise RemoteProtocolError(f"sent a malformed record: {error}") from error


def check_answer(
    asked: Request | Query | Inquiry, answer: Reply | Matches | Account
) -> Record | None:
    """Check what a node has answered to a client; returns and raises as ``check_reply``."""
    if isinstance(answer, Failed):
        return None
    if isinstance(asked, Why | Inspect):
        if not isinstance(answer, Story if isinstance(asked, Why) else Inspected):
            raise RemoteProtocolError(f"answers {type(asked).__name__} by {type(answer).__name__}")
        if isinstance(answer, Inspected):
            check_page(answer)
        return None
    if isinstance(answer, Story | Inspected):
        raise RemoteProtocolError(f"answers {type(asked).__name__} by {type(answer).__name__}")
    return check_reply(asked, answer)


def check_matches(query: Query, matches: Matches) -> None:
    """Check the sessions of a page.

    Raises:
        RemoteProtocolError: one is of another namespace, or its record is none.
    """
    if any(namespace_of(SessionId(each)) != query.namespace for each in matches.flat[::2]):
        raise RemoteProtocolError("answers with sessions of another namespace")
    for portable in matches.flat[1::2]:
        _checked_record(portable)


def respond(core: Core, links: Links, origin: Origin, reply: Reply | Matches) -> None:
    """Send the answer to a request to where the request came from."""
    if origin is None:
        core.emit(Respond(reply.number, reply))
        return
    links.answer(origin, reply)
