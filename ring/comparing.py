"""Comparing homes with members: the dialler's side, which decides what is to be moved.

It asks, by a fragment without an entry, for each listed record that differs or that it lacks, and
sends what the other lacks and should have. So a comparison has two ends: the member is *heard* when
this node has all that it had to tell, and the comparison is *finished* when the member has all that
this node had to send.

Rules:
- One home is compared with one member after the other; the next may begin when one is heard.
- A comparison lasts as long as the connection, unless it is forgotten before.
- Whatever comes from a member is progress of everything that is compared with it: it answers one
  home after the other.
"""

from collections.abc import Collection, Iterable
from typing import Final

from attrs import define, field

from ring.core import Core
from ring.decoding import decode_all
from ring.errors import RemoteProtocolError
from ring.identity import SessionId, home_of
from ring.links import Links, Outbound
from ring.messages import Compare, Compared, Listing, Records
from ring.packed import is_sendable
from ring.replication import Replication
from ring.table import bucket_of

LISTED_MAX: Final = 1 << 20
"""Ids of one bucket that a member may list; 1,024 such buckets are a billion sessions."""


@define
class Comparison:
    """One home, one member, one connection."""

    home: str
    peer: str
    round: int
    progress_at: float
    wants: bool
    """This node wants what it lacks, too."""
    listed: bool = False
    """The member has said that this was all."""
    asked: set[SessionId] = field(factory=set)
    """Records of which the member has something else, until both have the same."""
    owed: set[SessionId] = field(factory=set)
    """Records that the member lacks, until it holds them."""
    given_up: bool = False
    partial: dict[SessionId, int] = field(factory=dict)
    """Ids and digests of a listing that is to be continued."""

    @property
    def told(self) -> bool:
        """Whether this node has all that the member had to tell."""
        return self.listed and not self.asked

    @property
    def heard(self) -> bool:
        """Whether this node has all that the member had to tell, or waits no longer."""
        return self.given_up or self.told

    @property
    def finished(self) -> bool:
        """Whether the member has all that this node had to send as well."""
        return self.given_up or self.complete

    @property
    def complete(self) -> bool:
        """Whether both have all of each other; one that was given up may still become so."""
        return self.listed and not self.asked and not self.owed


class Comparing:
    """The comparisons that this node has begun."""

    def __init__(self, core: Core, links: Links, replication: Replication) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        self._unfinished: dict[tuple[str, str], Comparison] = {}
        self._round = 0
        self.changes = 0
        """How often it may have changed which homes were compared with whom."""

    # --- What is known ---

    def is_heard(self, home: str, peer: str) -> bool:
        """Return whether this node has all that ``peer`` had to tell of ``home``."""
        comparison = self._comparisons.get((home, peer))
        return comparison is not None and comparison.heard

    def was_told(self, home: str, peer: str) -> bool:
        """Return whether this node has all that ``peer`` had to tell, and did not give up."""
        comparison = self._comparisons.get((home, peer))
        return comparison is not None and comparison.told

    def is_finished(self, home: str, peer: str) -> bool:
        """Return whether ``home`` was compared with ``peer`` and nothing of it is on its way."""
        comparison = self._comparisons.get((home, peer))
        return comparison is not None and comparison.finished

    def lacking(self, home: str, peer: str) -> int:
        """Return of how many sessions it is not known that ``peer`` has what this node has."""
        comparison = self._comparisons.get((home, peer))
        if comparison is None or not comparison.listed:
            return self._core.table.count(home)
        return len(comparison.asked | comparison.owed)

    def lacks(self, home: str, peer: str, session_id: SessionId) -> bool:
        """Return whether it is not known that ``peer`` has what this node has of a session."""
        comparison = self._comparisons.get((home, peer))
        if comparison is None or not comparison.listed:
            return True
        return session_id in comparison.asked or session_id in comparison.owed

    def is_listening(self, home: str) -> bool:
        """Return whether a member is telling what it has of ``home``."""
        return any(each.home == home and not each.heard for each in self._unfinished.values())

    # --- Beginning and ending ---

    def start(self, home: str, peer: str, now: float, *, wants: bool) -> None:
        """Send ``peer`` the digests of this node's buckets of ``home``.

        Args:
            home: which home.
            peer: a member that is linked.
            now: monotonic seconds.
            wants: fetch what is lacking here; else only what is here is compared.
        """
        self._round += 1
        self.changes += 1
        comparison = Comparison(home, peer, self._round, now, wants)
        self._comparisons[home, peer] = self._unfinished[home, peer] = comparison
        buckets = self._core.table.buckets(home)
        self._links.tell(self._links.outbound[peer], Compare(home, self._round, buckets, wants))

    def forget(self, home: str, peer: str) -> None:
        """Have ``home`` compared with ``peer`` anew; answers under way no longer count."""
        if self._comparisons.pop((home, peer), None) is not None:
            self._unfinished.pop((home, peer), None)
            self.changes += 1

    def keep(self, homes: Collection[str], peers: Collection[str]) -> None:
        """Forget what was compared of other homes, and with other members, than these."""
        for home, peer in list(self._comparisons):
            if home not in homes or peer not in peers:
                self.forget(home, peer)

    @property
    def unfinished(self) -> int:
        """How many comparisons have not come to their end."""
        return len(self._unfinished)

    def give_up_stalled(self, now: float) -> bool:
        """Give up comparisons without progress; return whether there were any."""
        limit = self._core.settings.settle_timeout_s
        # It stays among the unfinished: what it still lacks may come, and others wait for that.
        stalled = [
            each
            for each in self._unfinished.values()
            if now - each.progress_at > limit and not each.given_up
        ]
        for comparison in stalled:
            comparison.given_up = True
            self.changes += 1
            self._core.alarm("comparison_given_up", home=comparison.home, peer=comparison.peer)
        return bool(stalled)

    def given_up_peers(self) -> set[str]:
        """Return the members that did not answer to the end, and still have not."""
        return {each.peer for each in self._unfinished.values() if each.given_up}

    # --- Answers ---

    def note_progress(self, peer: str, now: float) -> None:
        """Note that ``peer`` goes on answering."""
        for comparison in self._unfinished.values():
            if comparison.peer == peer:
                comparison.progress_at = now

    def on_records(self, outbound: Outbound, message: Records, now: float) -> None:
        """Merge records of buckets in which this node had nothing."""
        self.note_progress(outbound.peer, now)
        # Who has not been compared for this home yet learns of these then.
        later = {
            name for name in self._links.outbound if (message.home, name) not in self._comparisons
        }
        knowing = {outbound.peer, *later}
        for session_id, digest, incoming in decode_all(self._core, message.flat, now):
            if not self._core.is_silent(outbound.peer, session_id):
                self._replication.merge(session_id, incoming, digest, knowing, now)

    def on_listing(self, outbound: Outbound, message: Listing, now: float) -> None:
        """Send or ask for every record that differs in the listed buckets."""
        self.note_progress(outbound.peer, now)
        comparison = self._current(outbound, message)
        if comparison is None:
            return
        theirs = comparison.partial | self._read_listing(message)
        if not message.buckets:
            if len(theirs) > LISTED_MAX:
                raise RemoteProtocolError(f"lists more than {LISTED_MAX} sessions of one bucket")
            comparison.partial = theirs
            return
        comparison.partial = {}
        listed = set(message.buckets)
        if not listed.issuperset(map(bucket_of, theirs)):
            raise RemoteProtocolError("lists a session of another bucket")
        self._exchange(comparison, theirs, message.buckets, now)

    def on_compared(self, outbound: Outbound, message: Compared, now: float) -> bool:
        """Note that an answer is complete; return whether the member is heard with it."""
        self.note_progress(outbound.peer, now)
        comparison = self._current(outbound, message)
        if comparison is None:
            return False
        comparison.listed = True
        self.changes += 1
        self._maybe_finish(comparison)
        return comparison.heard

    def on_held(self, peer: str, session_ids: Iterable[SessionId], now: float) -> bool:
        """Note what a member holds; return whether it is heard, or has everything, with it."""
        changed = False
        for comparison in [each for each in self._unfinished.values() if each.peer == peer]:
            comparison.progress_at = now
            before = comparison.heard
            comparison.asked.difference_update(session_ids)
            comparison.owed.difference_update(session_ids)
            self._maybe_finish(comparison)
            changed |= comparison.heard != before or comparison.complete
        self.changes += changed
        return changed

    # --- Parts ---

    def _read_listing(self, message: Listing) -> dict[SessionId, int]:
        theirs: dict[SessionId, int] = {}
        for key, digest in zip(message.flat[::2], message.flat[1::2], strict=True):
            assert isinstance(key, bytes)
            assert isinstance(digest, int)
            session_id = SessionId(key)
            if home_of(session_id) != message.home:
                raise RemoteProtocolError("lists a session of another home")
            theirs[session_id] = digest
        return theirs

    def _exchange(
        self,
        comparison: Comparison,
        theirs: dict[SessionId, int],
        buckets: Iterable[int],
        now: float,
    ) -> None:
        """Ask for what differs or is lacking here, and send what the member lacks."""
        self.changes += 1
        home, peer = comparison.home, comparison.peer
        ours: dict[SessionId, int] = {}
        for bucket in buckets:
            ours.update(self._core.table.in_bucket(home, bucket))
        for session_id, digest in theirs.items():
            lacks = session_id not in ours
            if ours.get(session_id) != digest and (comparison.wants or not lacks):
                comparison.asked.add(session_id)
                self._replication.mark(peer, session_id, ())
        if peer in self._core.view.targets(home):
            for session_id in [each for each in ours if each not in theirs]:
                self._replication.forget(session_id, now)
                if is_sendable(self._core.table.portable(session_id, now)):
                    comparison.owed.add(session_id)
                    self._replication.mark(peer, session_id, None)

    def _maybe_finish(self, comparison: Comparison) -> None:
        if comparison.complete:
            self._unfinished.pop((comparison.home, comparison.peer), None)

    def _current(self, outbound: Outbound, message: Listing | Compared) -> Comparison | None:
        """Return the comparison that an answer belongs to; None: it was forgotten."""
        comparison = self._comparisons.get((message.home, outbound.peer))
        if comparison is None or comparison.round != message.round:
            return None
        return comparison
