"""Requests on their way: what was asked, for whom, and until when.

Rule: an errand is answered once, whatever becomes of it.
"""

from attrs import define, field, frozen

from ring.core import Core
from ring.effects import Respond
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.inquiry import Account, Inquiry, Inspect, Inspected, Story, Why
from ring.links import Links
from ring.messages import Failed, Find, Found, Redirect, Reply, Request, Saved
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


def check_reply(request: Request, reply: Reply | Redirect) -> None:
    """Check what a member has answered, before it is told to whoever has asked.

    Raises:
        RemoteProtocolError: it is a receipt for a find, a record for a change, or no record.
    """
    if isinstance(reply, Saved if isinstance(request, Find) else Found):
        raise RemoteProtocolError(f"answers {type(request).__name__} by {type(reply).__name__}")
    if isinstance(reply, Found):
        _check_record(reply.portable)


def check_page(page: Inspected) -> None:
    """Check the records on a page of sessions.

    Raises:
        RemoteProtocolError: one is none.
    """
    for row in page.rows:
        if row.portable:
            _check_record(row.portable)


def _check_record(portable: bytes) -> None:
    try:
        Record.from_portable(portable, 0.0)
    except RecordFormatError as error:
        raise RemoteProtocolError(f"sent a malformed record: {error}") from error


def check_answer(asked: Request | Inquiry, answer: Reply | Account) -> None:
    """Check what a node has answered to a client; raises as ``check_reply``."""
    if isinstance(answer, Failed):
        return
    if isinstance(asked, Why | Inspect):
        if not isinstance(answer, Story if isinstance(asked, Why) else Inspected):
            raise RemoteProtocolError(f"answers {type(asked).__name__} by {type(answer).__name__}")
        if isinstance(answer, Inspected):
            check_page(answer)
    elif isinstance(answer, Story | Inspected):
        raise RemoteProtocolError(f"answers {type(asked).__name__} by {type(answer).__name__}")
    else:
        check_reply(asked, answer)


def respond(core: Core, links: Links, origin: Origin, reply: Reply) -> None:
    """Send the answer to a request to where the request came from."""
    if origin is None:
        core.emit(Respond(reply.number, reply))
        return
    links.answer(origin, reply)
