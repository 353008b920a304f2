"""One session as the application holds it, and how it is saved and ended.

Rules:
- An object is a copy. Two objects of one id know nothing of each other; the ring merges what
  they save, attribute by attribute.
- A new session exists nowhere else until its first save, and is sent whole until the ring has
  answered one.
- Nothing here waits but for the backend, so a session works wherever its backend does.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgpack
from attrs import frozen

from node.attributes import Attributes
from node.durations import SECONDS_MAX
from node.errors import AttributeDecodeError
from node.receipts import NOTHING_SENT, Backend, OnTimeout, Receipt, Wish, receipt_of
from node.unpacking import unpack_value
from ring.clock import stamp_ms
from ring.entry import CREATED, LIFETIME, MAX_IDLE, NIL, PRINCIPAL, entry_stamp
from ring.errors import ReplicationTimeoutError, RingFullError, SessionEnded, SessionTooLargeError
from ring.identity import SessionId, home_of
from ring.messages import Durability, End, Rotate, Save
from ring.record import Record

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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

    Names of attributes are 1 to 255 bytes of UTF-8 without NUL; what values may be is said in
    ``node.values``. Made by ``Sessions.create`` and ``Sessions.find``.

    Args:
        backend: carries its saves to the ring.
        session_id: its id.
        portable: its record as the ring gave it; None for a new session.
        terms: what holds unless a call says otherwise.
        maybe_stale: as the ring said of the record.
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
        portable: bytes | None,
        terms: Terms,
        *,
        maybe_stale: bool = False,
    ) -> None:
        self._backend = backend
        self._id = session_id
        self._next_id: SessionId | None = None
        """The id of a rotation that was asked for and whose outcome is not known."""
        self._terms = terms
        self._maybe_stale = maybe_stale
        self._is_new = portable is None
        self._asked = portable is not None
        """Whether the ring may have heard of this session."""
        self._ended = False
        self._receipt = NOTHING_SENT
        self._created_ms = self._last_access_ms = backend.wall_ms()
        if portable is None:
            super().__init__({})
            self.change_reserved(CREATED, NIL)
            return
        # Read as of the moment 0, an access was at minus its age.
        record = Record.from_portable(portable, 0.0)
        super().__init__(record.entries)
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
        changes = self._checked_changes()
        if not changes:
            return self._receipt
        turn = self.note_sent(changes)
        self._asked = True
        request = Save(
            number=self._backend.next_number(),
            session_id=self._id,
            create=self._is_new,
            changes=tuple(changes.items()),
            durability=wish.durability,
            refuse=wish.on_timeout == "refuse",
            forwarded=False,
        )
        receipt = await self._send(request, turn, changes)
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
        changes = self._checked_changes()
        was_begun = self._next_id is not None
        if self._next_id is None:
            self._next_id = self._backend.new_session_id(home_of(self._id))
        request = Rotate(
            number=self._backend.next_number(),
            session_id=self._id,
            new_id=self._next_id,
            changes=tuple(changes.items()),
            durability=wish.durability,
            refuse=wish.on_timeout == "refuse",
            forwarded=False,
        )
        try:
            receipt = await self._send(request, self.note_sent(changes), changes)
        except ReplicationTimeoutError:
            self._id, self._next_id = request.new_id, None
            raise
        except RingFullError:
            # It may be full for days; unless it was rotated before, it is saved under its old id.
            if not was_begun:
                self._next_id = None
            raise
        self._id, self._next_id = request.new_id, None
        return receipt

    async def _send(
        self, request: Save | Rotate, turn: int, changes: dict[bytes, bytes | None]
    ) -> Receipt:
        """Have a change carried out that was noted as sent at ``turn``."""
        try:
            receipt = receipt_of(await self._backend.perform(request))
        except SessionEnded:
            self._ended = True
            raise
        if self.note_answered(turn, changes):
            self._receipt = receipt
        return receipt

    def _check_not_ended(self) -> None:
        if self._ended:
            raise SessionEnded("the session was ended, or has expired")

    def _checked_changes(self) -> dict[bytes, bytes | None]:
        """Return what changed, which is not too much."""
        changes = self.changes(self._terms.attribute_bytes_max)
        if changes:
            self._check_size(changes)
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

    def _check_size(self, changes: dict[bytes, bytes | None]) -> None:
        sizes = self.entry_sizes(changes)
        total = sum(sizes.values())
        if total > self._terms.session_bytes_max:
            largest = max(sizes, key=sizes.__getitem__)
            raise SessionTooLargeError(
                f"the session takes {total} bytes, more than sessions.session_bytes_max, which is "
                f"{self._terms.session_bytes_max}; its largest attribute is {largest.decode()!r} "
                f"with {sizes[largest]} bytes"
            )


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


def pack_seconds(name: str, seconds: float) -> bytes:
    """Return the packed form of ``max_idle`` or ``lifetime``.

    Raises:
        TypeError: it is not a number.
        ValueError: it is more than 1e12 either way, or not a number.
    """
    if type(seconds) is not int and type(seconds) is not float:
        raise TypeError(f"{name} is {seconds!r}; give seconds as a number, 0 for never")
    if not abs(seconds) <= SECONDS_MAX:
        raise ValueError(f"{name} is {seconds!r}; give at most 1e12 seconds, 0 for never")
    packed: bytes = msgpack.packb(float(seconds))
    return packed
