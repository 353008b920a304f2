"""Answering a comparison: what a peer lacks or has otherwise, frame by frame.

The dialler sends the digests of its buckets. The acceptor sends what lies in buckets where the
dialler has nothing, lists ids and digests where it differs, and says when that was all.

Rules:
- The answering side decides nothing and keeps nothing but its place in the answer.
- To a member to whom this node is silent about the home it says nothing but that this was all.
- A listing that names no bucket is continued by the next one: ids are chosen by whoever creates
  sessions, so a bucket may hold more of them than a frame.

Source: hash trees for anti-entropy after DeCandia et al., "Dynamo", SOSP 2007, section 4.7; one
level of buckets does at this size.
"""

from collections import deque
from typing import Final

from ring.core import Core
from ring.identity import SessionId
from ring.messages import Compare, Compared, Listing, Records
from ring.packed import is_sendable

LISTED_PER_FRAME: Final = 4096


class Answering:
    """The acceptor's side: the rest of an answer, written frame by frame as the link has room."""

    def __init__(self, core: Core, compare: Compare, *, silent: bool) -> None:
        self._core = core
        self.home = compare.home
        self._round = compare.round
        missing, apart = list[int](), list[int]()
        if not silent:
            missing, apart = core.table.differing(compare.home, compare.buckets)
        self._missing = deque(missing if compare.wants else ())
        self._apart = deque(apart)
        self._ids: deque[SessionId] = deque()
        self._listed: deque[tuple[SessionId, int]] = deque()
        """The rest of the first bucket in ``_apart``."""
        self._complete: list[int] = []

    def next_message(self, now: float) -> Records | Listing | Compared:
        """Return the next frame of the answer; the last one says that this was all."""
        if self._ids or self._missing:
            return self._records(now)
        if self._apart or self._listed:
            return self._listing()
        return Compared(self.home, self._round)

    def _records(self, now: float) -> Records:
        settings, table = self._core.settings, self._core.table
        before = self._core.kept_since(now)
        flat, size = list[bytes | int](), 0
        while len(flat) < 3 * settings.records_per_frame_max:
            if not self._ids:
                if not self._missing:
                    break
                bucket = self._missing.popleft()
                self._ids.extend(each for each, _ in table.in_bucket(self.home, bucket))
                continue
            portable = table.portable(self._ids[0], now)
            if flat and size + len(portable) > settings.frame_fill_bytes:
                break
            session_id = self._ids.popleft()
            if is_sendable(portable) and not table.is_forgotten(session_id, before):
                size += len(portable)
                self._core.note_told(session_id)
                flat += (session_id, table.digest(session_id), portable)
        return Records(self.home, self._round, flat)

    def _listing(self) -> Listing:
        flat = list[bytes | int]()
        buckets = list[int]()
        while self._apart or self._listed:
            if not self._listed:
                content = self._core.table.in_bucket(self.home, self._apart[0])
                self._listed.extend(content)
            while self._listed and len(flat) < 2 * LISTED_PER_FRAME:
                flat += self._listed.popleft()
            if self._listed:
                # The buckets that are complete go with what comes next, under one name.
                self._complete += buckets
                return Listing(self.home, self._round, (), flat)
            buckets.append(self._apart.popleft())
            if len(flat) >= 2 * LISTED_PER_FRAME:
                break
        complete, self._complete = (*self._complete, *buckets), []
        return Listing(self.home, self._round, complete, flat)
