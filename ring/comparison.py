"""Comparing one home with one member: what each side keeps of it, and the answering side's part.

The dialler sends the digests of its buckets. The acceptor sends what lies in buckets where the
dialler has nothing, lists ids and digests where both have something and it differs, and says when
that was all. The dialler asks, by a fragment without an entry, for each listed record that differs
or that it lacks, and sends what the other lacks and should have.

Rule: the answering side decides nothing and keeps nothing but its place in the answer.

Source: hash trees for anti-entropy after DeCandia et al., "Dynamo", SOSP 2007, section 4.7; one
level of buckets does at this size.
"""

from collections import deque

from attrs import define, field

from ring.core import Core
from ring.identity import SessionId
from ring.messages import Compared, Listing, Records

LISTED_PER_FRAME = 4096


@define
class Comparison:
    """The dialler's side: one home, one member, one connection."""

    round: int
    progress_at: float
    listed: bool = False
    """The acceptor has said that this was all."""
    outstanding: set[SessionId] = field(factory=set)
    """Records that differed, and that the peer does not hold as this node has them yet."""
    finished: bool = False
    given_up: bool = False


class Answering:
    """The acceptor's side: the rest of an answer, written frame by frame as the link has room."""

    def __init__(self, core: Core, home: str, round_number: int, theirs: bytes) -> None:
        self._core = core
        self.home = home
        self._round = round_number
        missing, apart = core.table.differing(home, theirs)
        self._missing = deque(missing)
        self._apart = deque(apart)
        self._ids: deque[SessionId] = deque()
        self._said_all = False

    def next_message(self, now: float) -> Records | Listing | Compared | None:
        """Return the next frame of the answer; None: it is complete."""
        if self._ids or self._missing:
            return self._records(now)
        if self._apart:
            return self._listing()
        if self._said_all:
            return None
        self._said_all = True
        return Compared(self.home, self._round)

    def _records(self, now: float) -> Records:
        settings, table = self._core.settings, self._core.table
        flat, size = list[bytes | int](), 0
        while len(flat) < 3 * settings.records_per_frame_max:
            if not self._ids:
                if not self._missing:
                    break
                bucket = self._missing.popleft()
                self._ids.extend(each for each, _ in table.in_bucket(self.home, bucket))
                continue
            portable = table.portable(self._ids[0], now)
            size += len(portable)
            if flat and size > settings.frame_fill_bytes:
                break
            session_id = self._ids.popleft()
            if portable:
                flat += (session_id, table.digest(session_id), portable)
        return Records(self.home, self._round, flat)

    def _listing(self) -> Listing:
        flat, buckets = list[bytes | int](), list[int]()
        while self._apart and len(flat) < 2 * LISTED_PER_FRAME:
            bucket = self._apart.popleft()
            buckets.append(bucket)
            for session_id, digest in self._core.table.in_bucket(self.home, bucket):
                flat += (session_id, digest)
        return Listing(self.home, self._round, tuple(buckets), flat)
