"""How what changed in a session gets to the ring, and what is learnt from the answer.

Rules:
- What the ring has not answered for is sent again, together with all that has changed since.
- A save that demands an unchanged session compares with what this copy knows: with the state in
  which it was found, or, after saves of its own, entry by entry with what the ring has, since the
  stamps that those got are not known here. Then the acting owner compares, as it writes.
"""

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from node.clocks import Clocks
from node.errors import ConflictError
from node.found import record_of
from node.receipts import NOTHING_SENT, Backend, Receipt, look_up, receipt_of
from node.saving import Saves
from node.terms import Terms
from ring.errors import LocalProtocolError, SessionEnded, SessionUnavailableError
from ring.identity import SessionId
from ring.messages import Found, Rotate, Save
from ring.state import NOT_ASKED_FOR, state_of
from ring.structured import is_part

if TYPE_CHECKING:
    from node.session import Session

ATTEMPTS_MAX: Final = 4
"""How often a save is sent while others set anew, each time, what it adds to."""

Changes: TypeAlias = tuple[tuple[bytes, bytes | None], ...]


class Sending(Clocks):
    """The attributes and clocks of a session, and what the ring was told of them.

    Args:
        backend: carries its saves to the ring.
        session_id: its id.
        found: as the ring gave it; None for a new session.
        terms: what holds unless a call says otherwise.
        used_ms: when it was asked for, if that counts as an access; see ``Clocks``.
        saves: what saves it later, unless ``terms`` have every save sent at once.
    """

    __slots__ = (
        "_answer",
        "_asked",
        "_ended",
        "_found",
        "_id",
        "_is_new",
        "_next_expected",
        "_next_id",
        "_receipt",
        "_saves",
    )

    _next_expected: int
    """In which state that rotation is to find the session, if it is to; set when it begins."""

    def __init__(
        self,
        backend: Backend,
        session_id: SessionId,
        found: Found | None,
        terms: Terms,
        *,
        used_ms: int = 0,
        saves: Saves | None = None,
    ) -> None:
        self._id = session_id
        self._next_id: SessionId | None = None
        """The id of a rotation that was asked for and whose outcome is not known."""
        self._answer = found
        self._is_new = found is None
        self._asked = found is not None
        """Whether the ring may have heard of this session."""
        self._ended = False
        self._receipt = NOTHING_SENT
        self._found = None if found is None else record_of(found)
        """As it was found; None once something of this copy was saved."""
        self._saves = saves
        super().__init__(backend, self._found, terms, used_ms)

    @property
    def id(self) -> str:
        """What stands in the user's cookie: a secret, and the name of the creating member."""
        return self._id.decode("ascii")

    @abstractmethod
    async def save_unasked(self) -> None:
        """Send what changed to the ring; see ``Session.save_unasked``."""

    async def _send(
        self, request: Callable[[Changes], Save | Rotate], *, if_nothing_changed: bool
    ) -> Receipt | None:
        """Have the changes carried out; None: there are none, and nothing was sent.

        A counter that was set anew elsewhere, or an attribute that has become one of another
        kind, has the ring refuse the whole: then what they are now is learnt, and sent again.
        """
        for attempt in range(ATTEMPTS_MAX):
            if attempt or self.lacks_floors:
                await self._learn_floors()
            changes = self._checked_changes()
            if not changes and not if_nothing_changed:
                return None
            asked, turn = request(tuple(changes.items())), self.note_sent(changes)
            at_ms = self._backend.wall_ms()
            try:
                receipt = receipt_of(await self._backend.perform(asked))
            except SessionEnded:
                self._note_ended()
                raise
            except ConflictError as conflict:
                raise await self._conflict(str(conflict)) from None
            except LocalProtocolError:
                if attempt == ATTEMPTS_MAX - 1 or not any(map(is_part, changes)):
                    raise
            else:
                if self.note_answered(turn, changes):
                    self._receipt, self._found = receipt, None
                    if self._saves is not None:
                        self._saves.let_go(self)
                self.note_used(at_ms)
                return receipt
        raise AssertionError("the last attempt has returned or raised")

    async def _look_up(self, *, touch: bool) -> Found | None:
        """Return what the ring has of it; a rotation may be in force that nobody has confirmed."""
        for session_id in (self._next_id, self._id):
            if session_id is not None and self._asked and not self._ended:
                found = await look_up(self._backend, session_id, touch=touch)
                if found is not None:
                    return found
        return None

    async def _learn_floors(self) -> None:
        """Learn from the ring what structured attributes count from; raises as ``save``."""
        found = await self._look_up(touch=False)
        if found is None:
            raise self._gone()
        self.learn(record_of(found).entries)

    async def _known_state(self) -> int:
        """Return the state in which this copy knows the session; raises as ``save``."""
        if self._found is not None:
            return state_of(self._found)
        if self._is_new:
            return NOT_ASKED_FOR  # Nobody else knows its id.
        found = await self._look_up(touch=False)
        if found is None:
            raise self._gone()
        record = record_of(found)
        if not self.knows(record.entries):
            raise self._conflict_with(found, "somebody has changed the session meanwhile")
        return state_of(record)

    async def _conflict(self, reason: str) -> ConflictError | SessionEnded:
        """Return the error that shows the session as it is now."""
        try:
            found = await self._look_up(touch=False)
        except SessionUnavailableError:
            return ConflictError(reason, None)
        return self._gone() if found is None else self._conflict_with(found, reason)

    def _conflict_with(self, found: Found, reason: str) -> ConflictError:
        return ConflictError(reason, self._copy(found))

    @abstractmethod
    def _copy(self, found: Found) -> "Session":
        """Return another copy of this session, as it was found now."""

    def _gone(self) -> SessionEnded:
        self._note_ended()
        return SessionEnded("the session was ended, has expired, or never existed")

    def _note_ended(self) -> None:
        self._ended = True
        if self._saves is not None:
            self._saves.let_go(self)

    def _go_on_as(self, new_id: SessionId) -> None:
        """Have the id that a rotation has given."""
        if self._saves is None:
            self._id, self._next_id = new_id, None
            return
        was_kept = self._saves.kept(self.id) is self
        self._saves.let_go(self)
        self._id, self._next_id = new_id, None
        if was_kept and not self._asked:
            self._saves.keep(self)

    def _check_not_ended(self) -> None:
        if self._ended:
            raise SessionEnded("the session was ended, or has expired")

    def _checked_changes(self) -> dict[bytes, bytes | None]:
        """Return what changed, which is not too much."""
        terms = self._terms
        changes = self.changes(terms.attribute_bytes_max, everything=terms.always_save)
        if changes:
            self.check_size(changes, terms.session_bytes_max)
        return changes
