"""Saves that nobody waits for: soon after each change, or not before the node stops.

Rules:
- Soon: what is changed in one turn of the loop is one save. A save that fails is logged; what it
  carried stays a change of that copy, so the next save of it, whoever asks for it, sends it.
- Not before the node stops: the copy is kept, and whoever looks for the session in this process
  gets that very copy. What is kept is nowhere else: a process that is killed takes it along.
- Everything is bounded: the copies that wait, those that are kept (beyond that a save is sent at
  once), and the saves under way.
- When the node stops everything is sent; what the ring did not take until the deadline is counted
  and logged.
"""

import logging
from itertools import islice
from typing import Final, NoReturn, Protocol

import trio

from node.doorbell import Doorbell
from node.log import RateLimitedLog, SessionTagger, log_event
from node.receipts import Receipt
from ring.errors import SessionEnded, SessionRingError
from ring.identity import SessionId

WAITING_MAX: Final = 16_384
"""Copies that wait for a save. Larger: more memory where the ring is slow."""

KEPT_MAX: Final = 65_536
"""Copies that are kept until the node stops. Larger: more is lost with a process that is killed."""

_LOOKED_AT: Final = 64
"""Kept copies that are looked at when there are too many: looking at all would stop the loop."""

UNDER_WAY_MAX: Final = 64
"""Saves at a time. Larger: a slow ring is used better. Smaller: requests wait less behind them."""

KEPT_HERE: Final = Receipt(holders=(), on_disk=(), degraded=True)
"""The receipt of a save that is kept back: nobody has it but this copy."""


class Savable(Protocol):
    """A copy of a session that may have changed."""

    @property
    def id(self) -> str:
        """The id of the session."""

    @property
    def is_expired(self) -> bool:
        """Whether it has expired, as far as this copy knows."""

    async def save_unasked(self) -> None:
        """Send what changed, if nobody needs to be told; see ``Session.save_unasked``."""


class Saves:
    """The copies of one process that are to be saved by themselves.

    Args:
        tagger: names sessions in the log.
    """

    def __init__(self, tagger: SessionTagger) -> None:
        self._tagger = tagger
        self._waiting: dict[int, Savable] = {}
        """By identity: a copy is compared with nothing, and two of one session both count."""
        self._kept: dict[str, Savable] = {}
        self._under_way = 0
        self._closing = False
        self._bell = Doorbell()
        self._idle = trio.Event()
        self._log = RateLimitedLog()

    # --- Soon ---------------------------------------------------------------------------------

    def schedule(self, copy: Savable) -> None:
        """Have a copy saved soon; with too many of them waiting it is left to its next save."""
        if id(copy) in self._waiting:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._warn("background_save_skipped", copy, f"{WAITING_MAX} others wait already")
            return
        self._waiting[id(copy)] = copy
        self._bell.ring()

    # --- Not before the node stops ------------------------------------------------------------

    def keep(self, copy: Savable) -> bool:
        """Keep a copy until the node stops; return False if it is to be sent now.

        So it is if the node stops already, if too many are kept, or if another copy of the same
        session is: two copies are merged by the ring.
        """
        if len(self._kept) >= KEPT_MAX:
            self._drop_expired()
        kept = self._kept.setdefault(copy.id, copy) if self._has_room(copy) else None
        return kept is copy

    def _drop_expired(self) -> None:
        """Drop those that have expired among the first ones, and put the others behind the rest."""
        for session_id in list(islice(self._kept, _LOOKED_AT)):
            copy = self._kept.pop(session_id)
            if not copy.is_expired:
                self._kept[session_id] = copy

    def _has_room(self, copy: Savable) -> bool:
        return not self._closing and (len(self._kept) < KEPT_MAX or copy.id in self._kept)

    def kept(self, session_id: str) -> Savable | None:
        """Return the copy of a session that is kept and has not expired; None: there is none."""
        copy = self._kept.get(session_id)
        if copy is not None and copy.is_expired:
            del self._kept[session_id]
            return None
        return copy

    def let_go(self, copy: Savable) -> None:
        """Keep a copy no more: the ring has it, or it has ended."""
        if self._kept.get(copy.id) is copy:
            del self._kept[copy.id]

    # --- Sending them -------------------------------------------------------------------------

    async def run(self) -> NoReturn:
        """Save what waits, for ever."""
        async with trio.open_nursery() as nursery:
            while True:
                await self._bell.wait()
                while self._waiting and self._under_way < UNDER_WAY_MAX:
                    copy = self._waiting.pop(next(iter(self._waiting)))
                    self._under_way += 1
                    nursery.start_soon(self._save, copy)
                self._note_idle()
        raise AssertionError("unreachable")

    async def _save(self, copy: Savable) -> None:
        try:
            await copy.save_unasked()
        except SessionEnded:
            pass  # Its next user is told.
        except SessionRingError as error:
            self._warn("background_save_failed", copy, str(error))
        finally:
            self._under_way -= 1
            self._bell.ring()

    def _note_idle(self) -> None:
        if not self._waiting and not self._under_way:
            self._idle.set()

    async def flush(self, timeout_s: float) -> None:
        """Send everything, and keep nothing from now on; ``run`` has to be running.

        Args:
            timeout_s: seconds until it is given up; what is left is logged.
        """
        self._closing = True
        for key in [key for key, copy in self._kept.items() if copy.is_expired]:
            del self._kept[key]
        self._waiting |= {id(copy): copy for copy in self._kept.values()}
        if not self._waiting and not self._under_way:
            return
        self._idle = trio.Event()
        self._bell.ring()
        with trio.move_on_after(timeout_s):
            await self._idle.wait()
        if unsent := len(self._waiting.keys() | {id(copy) for copy in self._kept.values()}):
            log_event(logging.ERROR, "stopped_unsaved", {"sessions": unsent})

    def _warn(self, event: str, copy: Savable, reason: str) -> None:
        session = {"session": self._tagger(SessionId(copy.id.encode()))}
        self._log.log(trio.current_time(), logging.WARNING, event, {"reason": reason}, session)
