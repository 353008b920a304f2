"""What an application asks of a change, who carries it to the ring, and what comes back.

Rule: each error says whether the change may be in force (``ring.errors``); a receipt names only
those who had the change when the answer was made.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal, Protocol

from attrs import frozen

from node.errors import ConflictError
from node.writers import Writers
from ring.errors import (
    LocalProtocolError,
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionTooLargeError,
    SessionUnavailableError,
)
from ring.identity import SessionId
from ring.messages import Absent, Durability, End, Failed, Failure, Find, Found, Request, Saved
from ring.questions import Matches, Query

OnTimeout = Literal["accept", "refuse"]
"""What a save does when its durability is not reached in time: a degraded receipt, or an error."""


class Backend(Protocol):
    """What carries requests to the ring: a node in this process, or a client of one."""

    @property
    def writers(self) -> Writers:
        """Under which tokens this process adds to counters."""

    def next_number(self) -> int:
        """Return a number that no other request of this backend has."""

    def new_session_id(self, home: str | None = None, namespace: str = "") -> SessionId:
        """Return a fresh id of this home, for None any that is a good one now, and namespace."""

    def wall_ms(self) -> int:
        """Return milliseconds since 1970, as the monotonic clock carries them."""

    def read(self, session_id: SessionId, touch: bool) -> Found | Absent | None:
        """Answer from this process's memory, waiting for nothing; None: it has to be asked for."""

    async def perform(self, request: Request) -> Found | Absent | Saved | Failed:
        """Carry ``request`` out and return the answer, a Failed included; never raise for one.

        Requests about one session take effect in the order of the calls.
        """

    async def query(self, query: Query) -> Matches | Failed:
        """Return one page of the answer, or why there is none; never raise for that."""

    async def perform_all(
        self, works: Sequence[Callable[[], Awaitable[None]]], at_once_max: int
    ) -> None:
        """Do all of this, up to so many at the same time; return when all is done."""

    async def pause(self, seconds: float) -> None:
        """Let time pass."""


@frozen
class Wish:
    """How durable a change is to be, and what happens if that takes too long."""

    durability: Durability
    on_timeout: OnTimeout

    def changed(self, durability: Durability | str | None, on_timeout: OnTimeout | None) -> "Wish":
        """Return this wish with what is not None in its place.

        Raises:
            ValueError: no such durability or answer. Definite: nothing was sent.
        """
        if durability is None and on_timeout is None:
            return self
        try:
            wanted = self.durability if durability is None else Durability(durability)
        except ValueError:
            allowed = ", ".join(repr(str(each)) for each in Durability)
            raise ValueError(f"durability is {durability!r}; use {allowed}") from None
        if on_timeout not in (None, "accept", "refuse"):
            raise ValueError(f"on_timeout is {on_timeout!r}; use 'accept' or 'refuse'")
        return Wish(wanted, on_timeout or self.on_timeout)


@frozen
class Receipt:
    """Who had a change when its save was answered."""

    holders: tuple[str, ...]
    """The members that had it in memory."""
    on_disk: tuple[str, ...]
    """The members that had it on disk."""
    degraded: bool
    """Whether that is less than was asked for."""


NOTHING_SENT: Final = Receipt(holders=(), on_disk=(), degraded=False)
"""The receipt of a save that had nothing to send, and so asked nobody."""


def receipt_of(reply: Found | Absent | Saved | Failed) -> Receipt:
    """Return the receipt that ``reply``, to a save or an end, stands for.

    Raises:
        SessionEnded: the session is gone. Definite.
        SessionUnavailableError: nobody could be asked. Definite.
        OutcomeUnknownError: the change may be in force. Indefinite.
        ReplicationTimeoutError: the change is in force, but less durable than asked for.
        SessionTooLargeError: the session is over its limit. Definite.
        RingFullError: nothing is created or rotated now. Definite.
        ConflictError: the session is not as it was expected to be. Definite.
    """
    match reply:
        case Saved(_, holders, on_disk, degraded):
            return Receipt(holders, on_disk, degraded)
        case Absent():
            raise SessionEnded("the session was ended, has expired, or never existed")
        case Failed(_, Failure.GONE, reason):
            raise SessionEnded(reason)
        case Failed(_, Failure.UNAVAILABLE, reason):
            raise SessionUnavailableError(reason)
        case Failed(_, Failure.OUTCOME_UNKNOWN, reason):
            raise OutcomeUnknownError(reason)
        case Failed(_, Failure.NOT_REPLICATED, reason):
            raise ReplicationTimeoutError(reason)
        case Failed(_, Failure.TOO_LARGE, reason):
            raise SessionTooLargeError(reason)
        case Failed(_, Failure.FULL, reason):
            raise RingFullError(reason)
        case Failed(_, Failure.CONFLICT, reason):
            raise ConflictError(reason)
        case Failed(_, _, reason):
            raise LocalProtocolError(reason)
        case Found():
            raise AssertionError("a change was answered with a record")


async def look_up(
    backend: Backend, session_id: SessionId, *, touch: bool, local: bool = False
) -> Found | None:
    """Return what the ring has of a session; None if it was ended, has expired, or never existed.

    With ``local``, what the node has of it that is asked, if it has a copy that is whole and alive.

    Raises:
        SessionUnavailableError: who holds it is not known yet, or cannot be reached.
    """
    answer: Found | Absent | Saved | Failed | None = backend.read(session_id, touch)
    if answer is None:
        question = Find(backend.next_number(), session_id, touch, forwarded=False, local=local)
        answer = await backend.perform(question)
    match answer:
        case Found() as found:
            return found
        case Absent() | Failed(_, Failure.GONE):
            return None
        case Failed(_, _, reason):
            raise SessionUnavailableError(reason)
        case _:
            raise AssertionError("a question was answered with a receipt")


async def end_session(backend: Backend, session_id: SessionId, wish: Wish) -> Receipt:
    """Ask ``backend`` to end a session; raises what ``receipt_of`` does."""
    request = End(
        number=backend.next_number(),
        session_id=session_id,
        durability=wish.durability,
        refuse=wish.on_timeout == "refuse",
        forwarded=False,
    )
    return receipt_of(await backend.perform(request))
