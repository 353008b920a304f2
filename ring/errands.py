"""Requests on their way: what was asked, for whom, and until when.

Rule: an errand is answered once, whatever becomes of it.
"""

from attrs import define, field, frozen

from ring.core import Core
from ring.effects import Respond
from ring.errors import RecordFormatError, RemoteProtocolError
from ring.links import Links
from ring.messages import Find, Found, Redirect, Reply, Request, Saved
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


def check_reply(request: Request, reply: Reply | Redirect) -> Record | None:
    """Check what a member has answered, before it is told to whoever has asked.

    Returns:
        The record in it, as of the moment 0, if there is one.

    Raises:
        RemoteProtocolError: it is a receipt for a find, a record for a change, or no record.
    """
    if isinstance(reply, Saved if isinstance(request, Find) else Found):
        raise RemoteProtocolError(f"answers {type(request).__name__} by {type(reply).__name__}")
    if isinstance(reply, Found):
        try:
            return Record.from_portable(reply.portable, 0.0)
        except RecordFormatError as error:
            raise RemoteProtocolError(f"sent a malformed record: {error}") from error
    return None


def respond(core: Core, links: Links, origin: Origin, reply: Reply) -> None:
    """Send the answer to a request to where the request came from."""
    if origin is None:
        core.emit(Respond(reply.number, reply))
        return
    links.answer(origin, reply)
