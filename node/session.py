"""One session as the application holds it, and how it is saved and ended.

Rules:
- An object is a copy. Two objects of one id know nothing of each other; the ring merges what
  they save, attribute by attribute.
- A new session exists nowhere else until its first save, and is sent whole until the ring has
  answered one.
- Nothing here waits but for the backend, so a session works wherever its backend does.
"""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeAlias

from node.errors import ConflictError
from node.matches import Sought
from node.principals import Limit, save_within
from node.receipts import NOTHING_SENT, OnTimeout, Receipt, Wish, end_session
from node.saving import KEPT_HERE, Saves
from node.sending import Changes, Sending
from ring.entry import PRINCIPAL
from ring.errors import (
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    TooManySessionsError,
)
from ring.identity import SessionId, home_of, namespace_of
from ring.messages import AGE_UNKNOWN, Durability, Found, Rotate, Save
from ring.state import NOT_ASKED_FOR

_Save: TypeAlias = Callable[[Wish, bool], Coroutine[Any, Any, Receipt]]


class _NewPrincipalError(Exception):
    """While a save was prepared the session has got another principal: it is to be rotated."""


class Session(Sending):
    """A user's session: a dict of attributes, and its life.

    Attributes to which several requests add at the same time are a ``map``, a ``set`` or a
    ``counter``: what each of them has added stays. Of a plain one the later value stays.

    Names of attributes are 1 to 255 bytes of UTF-8 without NUL; what values may be is said in
    ``node.values``. Made by ``Sessions.create`` and ``Sessions.find``.
    """

    __slots__ = ()

    def _copy(self, found: Found) -> "Session":
        return Session(self._backend, self._id, found, self._terms, saves=self._saves)

    def __repr__(self) -> str:
        # Neither the id, which is a secret, nor attributes, which may hold some.
        state = "ended" if self._ended else "new" if self._is_new else "saved"
        return f"<Session of home {home_of(self._id)!r}, {state}, {len(self)} attributes>"

    # --- Its life -----------------------------------------------------------------------------

    @property
    def is_new(self) -> bool:
        """Whether no save of this session has succeeded yet."""
        return self._is_new

    @property
    def maybe_stale(self) -> bool:
        """Whether a member that could not be asked may have had a newer state when it was found.

        So it is after a node came back from its disk alone, or had to answer before a member did.
        """
        return self._answer is not None and self._answer.maybe_stale

    @property
    def failed_over(self) -> bool:
        """Whether another node than its home served it when it was found: that was not to be had.

        False again as soon as the home has taken over. Of a session that was not found, but created
        here, it is False.
        """
        return self._answer is not None and self._answer.failed_over

    @property
    def age(self) -> float | None:
        """How old this copy may have been when it was found with ``read="local"``, in seconds.

        Since when the node that answered has not heard from the one that acts for the session; 0.0
        if it acts itself, or was not asked for its own copy. None: nobody tells it what changes.
        """
        age_ms = 0 if self._answer is None else self._answer.age_ms
        return None if age_ms == AGE_UNKNOWN else age_ms / 1000

    async def touch(self) -> bool:
        """Count an access, and return whether the session is there; raises as ``Sessions.find``.

        One of which the ring never heard is not.
        """
        return await self.is_there(touch=True)

    async def is_there(self, *, touch: bool) -> bool:
        """Return whether the session is there; what is kept here, and nowhere else, is as well."""
        at_ms, saves = self._backend.wall_ms(), self._saves
        is_kept = saves is not None and saves.kept(self.id) is self
        if (self._asked or not is_kept) and await self._look_up(touch=touch) is None:
            if saves is not None:
                saves.let_go(self)
            return False
        if touch:
            self.note_used(at_ms)
        return True

    # --- Saving and ending --------------------------------------------------------------------

    async def save(
        self,
        *,
        durability: Durability | str | None = None,
        on_timeout: OnTimeout | None = None,
        if_unchanged: bool = False,
        now: bool = False,
    ) -> Receipt:
        """Send what changed to the ring, and wait until it is as durable as asked for.

        With nothing to send it asks nobody and waits for nothing; the receipt is then that of the
        last save of this object, or one that names nobody.

        Args:
            durability: what must hold the change; None: as configured.
            on_timeout: "accept" a degraded receipt, or "refuse" with an error, when a live member
                does not answer in time; None: as configured.
            if_unchanged: write nothing if the session is not as this copy knows it: as it was
                found, with what this copy has saved since. Accesses are no changes.
            now: send it also where ``sessions.save_mode`` is "on_shutdown".

        Raises:
            ConflictError: somebody has changed it, with ``if_unchanged``. Definite.
            SessionEnded: it was ended or has expired. Definite: nothing was written, nor will be.
            SessionUnavailableError: nobody could be asked. Definite; repeat it later.
            RingFullError: nothing is created or rotated now. Definite; a save of a session that
                is there is still possible.
            OutcomeUnknownError: the change may be in force. Indefinite; repeat it.
            ReplicationTimeoutError: in force, but less durable than asked for; repeat it.
            ValueNotStorableError: a value cannot be kept. Definite: nothing was sent.
            SessionTooLargeError: the session or an attribute is over its limit. Definite.
            ValueError: no such ``durability`` or ``on_timeout``. Nothing was sent.
            TooManySessionsError: its principal has as many sessions as it may. Definite: it was
                not saved, or was ended.
        """
        wish = self._terms.save.changed(durability, on_timeout)
        self._check_not_ended()
        if self._leaves_kept_id:
            self._go_on_as(self._new_id())
        if not self._changes_id and self._next_id is None:
            if self._saves is not None and not (now or if_unchanged) and self._is_kept(self._saves):
                return KEPT_HERE
            try:
                return await self._within_limit(self._save, wish, if_unchanged)
            except _NewPrincipalError:
                pass
        return await self._within_limit(self._rotate, wish, if_unchanged)

    async def save_unasked(self) -> None:
        """Send what changed, unless that gives the session another id; raises as ``save``.

        An application puts the id into a cookie, so it never changes behind its back: with another
        principal everything is left to ``save``, that nothing of it is there under the old id.
        """
        wish = self._terms.save
        self._check_not_ended()
        if self._next_id is not None:
            await self._within_limit(self._rotate, wish)
        elif not (self._changes_id or self._leaves_kept_id):
            with suppress(_NewPrincipalError):
                await self._within_limit(self._save, wish)

    @property
    def _changes_id(self) -> bool:
        return self.changes_hands and self._terms.rotates_on_principal and not self._is_new

    @property
    def _leaves_kept_id(self) -> bool:
        """Whether the ring never heard of the id, which a save that was kept has given away."""
        saves, changes = self._saves, self.changes_hands and self._terms.rotates_on_principal
        return changes and not self._asked and saves is not None and saves.kept(self.id) is self

    def _within_limit(
        self, save: _Save, wish: Wish, if_unchanged: bool = False
    ) -> Coroutine[Any, Any, Receipt]:
        """Save, and keep to how many sessions a principal may have, should this come to one."""
        limit = self._terms.limit
        if limit is None or not self.changes_hands or not self.reserved(PRINCIPAL):
            return save(wish, if_unchanged)
        return self._keep_within(limit, partial(save, wish, if_unchanged))

    async def _keep_within(self, limit: Limit, save: Callable[[], Awaitable[Receipt]]) -> Receipt:
        principal = self.reserved(PRINCIPAL)

        def ids() -> set[SessionId]:
            return {each for each in (self._id, self._next_id) if each is not None}

        sought = Sought(PRINCIPAL, principal, namespace_of(self._id))
        try:
            return await save_within(limit, self._backend, sought, ids, save)
        except TooManySessionsError:
            if self.known_reserved(PRINCIPAL) == principal:
                self._note_ended()  # It was saved, and ended again.
            raise

    async def _save(self, wish: Wish, if_unchanged: bool = False) -> Receipt:
        expected = NOT_ASKED_FOR
        if if_unchanged and self._checked_changes():
            expected = await self._known_state()

        def request(changes: Changes) -> Save:
            if self._changes_id:
                raise _NewPrincipalError
            self._asked = True
            return Save(
                number=self._backend.next_number(),
                session_id=self._id,
                create=self._is_new,
                changes=changes,
                durability=wish.durability,
                refuse=wish.on_timeout == "refuse",
                forwarded=False,
                expected=expected,
            )

        receipt = await self._send(request, if_nothing_changed=False)
        if receipt is None:
            return self._receipt
        self._is_new = False
        return receipt

    def _is_kept(self, saves: Saves) -> bool:
        """Return whether what changed stays here; raises what says that a value cannot be kept."""
        waits = self._terms.save_mode == "on_shutdown" and not self.changes_hands
        return waits and bool(self._checked_changes()) and saves.keep(self)

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
            self._go_on_as(self._new_id())
            return NOTHING_SENT
        return await self._within_limit(self._rotate, wish)

    async def _rotate(self, wish: Wish, if_unchanged: bool = False) -> Receipt:
        if self._is_new:
            await self._save(wish)
        if self._next_id is None:
            # What has begun may be in force: then nobody has the state from before it any more.
            self._next_expected = await self._known_state() if if_unchanged else NOT_ASKED_FOR
        was_begun = self._next_id is not None
        new_id = self._next_id or self._new_id()

        def request(changes: Changes) -> Rotate:
            self._next_id = new_id
            return Rotate(
                number=self._backend.next_number(),
                session_id=self._id,
                new_id=new_id,
                changes=changes,
                durability=wish.durability,
                refuse=wish.on_timeout == "refuse",
                forwarded=False,
                expected=self._next_expected if if_unchanged else NOT_ASKED_FOR,
            )

        try:
            receipt = await self._send(request, if_nothing_changed=True)
        except ReplicationTimeoutError:
            self._go_on_as(new_id)
            raise
        except (ConflictError, RingFullError):
            # It may be full for days; unless it was rotated before, it is saved under its old id.
            if not was_begun:
                self._next_id = None
            raise
        self._go_on_as(new_id)
        assert receipt is not None, "it is sent whatever has changed"
        return receipt

    def _new_id(self) -> SessionId:
        return self._backend.new_session_id(home_of(self._id), namespace_of(self._id))

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
            self._note_ended()
            return NOTHING_SENT
        try:
            receipt = await end_session(self._backend, self._id, wish)
        except (SessionEnded, ReplicationTimeoutError):
            self._note_ended()
            raise
        self._note_ended()
        return receipt
