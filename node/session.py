"""One session as the application holds it, and how it is saved and ended.

Rules:
- An object is a copy. Two objects of one id know nothing of each other; the ring merges what
  they save, attribute by attribute.
- A new session exists nowhere else until its first save, and is sent whole until the ring has
  answered one.
- Nothing here waits but for the backend, so a session works wherever its backend does.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import frozen

from node.attributes import Attributes
from node.durations import pack_seconds
from node.errors import AttributeDecodeError
from node.found import record_of
from node.receipts import (
    NOTHING_SENT,
    Backend,
    OnTimeout,
    Receipt,
    Wish,
    end_session,
    look_up,
    receipt_of,
)
from node.unpacking import unpack_value
from ring.clock import stamp_ms
from ring.entry import CREATED, LIFETIME, MAX_IDLE, NIL, PRINCIPAL, entry_stamp
from ring.errors import (
    LocalProtocolError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
)
from ring.identity import SessionId, home_of
from ring.messages import Durability, Found, Rotate, Save
from ring.structured import is_part

ATTEMPTS_MAX: Final = 4
"""How often a save is sent while others set anew, each time, what it adds to."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Changes = tuple[tuple[bytes, bytes | None], ...]


@frozen
class Terms:
    """What holds for every session of one repository, unless a call says otherwise."""

    save: Wish
    end: Wish
    session_bytes_max: int
    """All entries of a session; inclusive."""
    attribute_bytes_max: int
    """The packed value of one attribute; inclusive."""


class Session(Attributes):
    """A user's session: a dict of attributes, and its life.

    Attributes to which several requests add at the same time are a ``map``, a ``set`` or a
    ``counter``: what each of them has added stays. Of a plain one the later value stays.

    Names of attributes are 1 to 255 bytes of UTF-8 without NUL; what values may be is said in
    ``node.values``. Made by ``Sessions.create`` and ``Sessions.find``.

    Args:
        backend: carries its saves to the ring.
        session_id: its id.
        found: as the ring gave it, for nobody else to use; None for a new session.
        terms: what holds unless a call says otherwise.
    """

    __slots__ = (
        "_asked",
        "_backend",
        "_created_ms",
        "_ended",
        "_id",
        "_is_new",
        "_last_access_ms",
        "_maybe_stale",
        "_next_id",
        "_receipt",
        "_terms",
    )

    def __init__(
        self,
        backend: Backend,
        session_id: SessionId,
        found: Found | None,
        terms: Terms,
    ) -> None:
        self._backend = backend
        self._id = session_id
        self._next_id: SessionId | None = None
        """The id of a rotation that was asked for and whose outcome is not known."""
        self._terms = terms
        self._maybe_stale = found is not None and found.maybe_stale
        self._is_new = found is None
        self._asked = found is not None
        """Whether the ring may have heard of this session."""
        self._ended = False
        self._receipt = NOTHING_SENT
        self._created_ms = self._last_access_ms = backend.wall_ms()
        if found is None:
            super().__init__({}, backend.writers)
            self.change_reserved(CREATED, NIL)
            return
        record = record_of(found)
        super().__init__(record.entries, backend.writers)
        created = record.entries.get(CREATED)
        if created is not None:
            self._created_ms = stamp_ms(entry_stamp(created))
        if record.accessed:
            self._last_access_ms += int(record.accessed_at * 1000)

    def __repr__(self) -> str:
        # Neither the id, which is a secret, nor attributes, which may hold some.
        state = "ended" if self._ended else "new" if self._is_new else "saved"
        return f"<Session of home {home_of(self._id)!r}, {state}, {len(self)} attributes>"

    # --- Its life -----------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """What stands in the user's cookie: a secret, and the name of the creating member."""
        return self._id.decode("ascii")

    @property
    def is_new(self) -> bool:
        """Whether no save of this session has succeeded yet."""
        return self._is_new

    @property
    def maybe_stale(self) -> bool:
        """Whether a member that could not be asked may have had a newer state when it was found.

        So it is after a node came back from its disk alone, or had to answer before a member did.
        """
        return self._maybe_stale

    @property
    def created_at(self) -> datetime:
        """When the session was created, in UTC; exact once it was found after its first save."""
        return _EPOCH + timedelta(milliseconds=self._created_ms)

    @property
    def last_accessed(self) -> datetime:
        """When the session was last accessed, in UTC, as was known when it was found."""
        return _EPOCH + timedelta(milliseconds=self._last_access_ms)

    @property
    def max_idle(self) -> float:
        """Seconds without access after which the session expires; 0 or less: never.

        Setting it is a change like any other, in force once it is saved.
        """
        return self._seconds(MAX_IDLE)

    @max_idle.setter
    def max_idle(self, seconds: float) -> None:
        self.change_reserved(MAX_IDLE, pack_seconds("max_idle", seconds))

    @property
    def lifetime(self) -> float:
        """Seconds after its creation at which the session expires; 0 or less: never.

        Setting it is a change like any other, in force once it is saved.
        """
        return self._seconds(LIFETIME)

    @lifetime.setter
    def lifetime(self, seconds: float) -> None:
        self.change_reserved(LIFETIME, pack_seconds("lifetime", seconds))

    @property
    def principal(self) -> str | None:
        """Whose session it is, if the ring knows."""
        principal = self._reserved_value(PRINCIPAL)
        return principal if isinstance(principal, str) else None

    def _seconds(self, key: bytes) -> float:
        seconds = self._reserved_value(key)
        return seconds if isinstance(seconds, float) else 0.0

    def _reserved_value(self, key: bytes) -> object:
        """Return what stands under a reserved key; None if nothing that this version knows."""
        packed = self.reserved(key)
        try:
            return unpack_value("of the session's life", packed) if packed else None
        except AttributeDecodeError:
            return None  # The spelling of a newer version: passed on, not understood.

    # --- Saving and ending --------------------------------------------------------------------

    async def save(
        self,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """Send what changed to the ring, and wait until it is as durable as asked for.

        With nothing to send it asks nobody and waits for nothing; the receipt is then that of the
        last save of this object, or one that names nobody.

        Args:
            durability: what must hold the change; None: as configured.
            on_timeout: "accept" a degraded receipt, or "refuse" with an error, when a live member
                does not answer in time; None: as configured.

        Raises:
            SessionEnded: it was ended or has expired. Definite: nothing was written, nor will be.
            SessionUnavailableError: nobody could be asked. Definite; repeat it later.
            RingFullError: nothing is created or rotated now. Definite; a save of a session that
                is there is still possible.
            OutcomeUnknownError: the change may be in force. Indefinite; repeat it.
            ReplicationTimeoutError: in force, but less durable than asked for; repeat it.
            ValueNotStorableError: a value cannot be kept. Definite: nothing was sent.
            SessionTooLargeError: the session or an attribute is over its limit. Definite.
            ValueError: no such ``durability`` or ``on_timeout``. Nothing was sent.
        """
        wish = self._terms.save.changed(durability, on_timeout)
        self._check_not_ended()
        if self._next_id is not None:
            return await self.rotate_id(durability=durability, on_timeout=on_timeout)

        def request(changes: _Changes) -> Save:
            self._asked = True
            return Save(
                number=self._backend.next_number(),
                session_id=self._id,
                create=self._is_new,
                changes=changes,
                durability=wish.durability,
                refuse=wish.on_timeout == "refuse",
                forwarded=False,
            )

        receipt = await self._send(request, if_nothing_changed=False)
        if receipt is None:
            return self._receipt
        self._is_new = False
        return receipt

    async def rotate_id(
        self,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """Go on under a fresh id, of the same home, and save what changed with it.

        To be called when a user's rights change, at login above all: whoever knew the old id has
        nothing any more. The old id is ended for everybody; what others save of it at the same
        time, or saved on the other side of a partition, goes on under the new one.

        Arguments and errors are those of ``save``. While the outcome is unknown, ``id`` stays the
        old one; repeat it, or save: either brings the rotation to its end. A session of which the
        ring never heard only gets another id: the receipt names nobody.
        """
        wish = self._terms.save.changed(durability, on_timeout)
        self._check_not_ended()
        if not self._asked:
            self._id = self._backend.new_session_id(home_of(self._id))
            return NOTHING_SENT
        if self._is_new:
            await self.save(durability=durability, on_timeout=on_timeout)
        was_begun = self._next_id is not None
        new_id = self._next_id or self._backend.new_session_id(home_of(self._id))

        def request(changes: _Changes) -> Rotate:
            self._next_id = new_id
            return Rotate(
                number=self._backend.next_number(),
                session_id=self._id,
                new_id=new_id,
                changes=changes,
                durability=wish.durability,
                refuse=wish.on_timeout == "refuse",
                forwarded=False,
            )

        try:
            receipt = await self._send(request, if_nothing_changed=True)
        except ReplicationTimeoutError:
            self._id, self._next_id = new_id, None
            raise
        except RingFullError:
            # It may be full for days; unless it was rotated before, it is saved under its old id.
            if not was_begun:
                self._next_id = None
            raise
        self._id, self._next_id = new_id, None
        assert receipt is not None, "it is sent whatever has changed"
        return receipt

    async def _send(
        self, request: Callable[[_Changes], Save | Rotate], *, if_nothing_changed: bool
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
            try:
                receipt = receipt_of(await self._backend.perform(asked))
            except SessionEnded:
                self._ended = True
                raise
            except LocalProtocolError:
                if attempt == ATTEMPTS_MAX - 1 or not any(map(is_part, changes)):
                    raise
            else:
                if self.note_answered(turn, changes):
                    self._receipt = receipt
                return receipt
        raise AssertionError("the last attempt has returned or raised")

    async def _learn_floors(self) -> None:
        """Learn from the ring what structured attributes count from; raises as ``save``."""
        for session_id in (self._next_id, self._id):
            if session_id is None:
                continue
            found = await look_up(self._backend, session_id, touch=False)
            if found is not None:
                self.learn(record_of(found).entries)
                return
        self._ended = True
        raise SessionEnded("the session was ended, has expired, or never existed")

    def _check_not_ended(self) -> None:
        if self._ended:
            raise SessionEnded("the session was ended, or has expired")

    def _checked_changes(self) -> dict[bytes, bytes | None]:
        """Return what changed, which is not too much."""
        changes = self.changes(self._terms.attribute_bytes_max)
        if changes:
            self.check_size(changes, self._terms.session_bytes_max)
        return changes

    async def end(
        self,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
    ) -> Receipt:
        """End the session for everybody, for ever. No save of any copy brings it back.

        Arguments and errors are those of ``save``, but when a live member does not answer in
        time, the default is to refuse; the end is in force then, and may be repeated. A session
        of which the ring never heard is only forgotten: the receipt names nobody.
        """
        wish = self._terms.end.changed(durability, on_timeout)
        if not self._asked:
            self._ended = True
            return NOTHING_SENT
        try:
            receipt = await end_session(self._backend, self._id, wish)
        except (SessionEnded, ReplicationTimeoutError):
            self._ended = True
            raise
        self._ended = True
        return receipt
