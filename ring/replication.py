"""Changes on their way: written here, merged from others, acknowledged, passed on.

Rules:
- Everything that arrives is merged; a merge that changed something goes on to the acting owner
  and the holders in this node's view, except where it came from; one that changed nothing goes
  nowhere. So every change ends, and none depends on the road it took.
- What is past retention is not brought to a peer that lacks it, but taken from one that has it:
  so it does not travel in circles, and no two members argue about it.
- The sender's digest travels with every change. Equal after the merge: the receiver holds.
  Different: it answers with its own record, which the sender merges before it sends what is
  missing. So divergence lives for one change, not for one anti-entropy period.
"""

from collections.abc import Collection, Iterable
from typing import Final

from attrs import evolve

from ring.announcing import Announcing
from ring.clock import stamp_ms
from ring.core import Core
from ring.decoding import decode, decode_all
from ring.deriving import Deriving
from ring.effects import Notice, Persist
from ring.entry import ACCESSED, ENDED, EXPIRED
from ring.identity import SessionId, home_of
from ring.journal import Happening
from ring.links import Inbound, Links, Outbound
from ring.messages import Acks, Changes
from ring.overwrites import Overwrites
from ring.packed import (
    EMPTY_FRAGMENT,
    SENDABLE_BYTES_MAX,
    held_access,
    held_forgettable_s,
    held_is_ended,
    is_sendable,
)
from ring.pending import Acknowledged
from ring.receipts import Receipts
from ring.record import Record
from ring.rotating import CHAIN_MAX, Rotation, consequences, may_follow, rotation_at
from ring.table import Merged

_TOLD_BY_TIME: Final = frozenset({ACCESSED, EXPIRED})
"""Changes of these alone are no difference that people ask about."""


class Replication:
    """The one place where records of this node change."""

    def __init__(
        self, core: Core, links: Links, receipts: Receipts, announcing: Announcing
    ) -> None:
        self._core = core
        self._announcing = announcing
        self._deriving = Deriving(core, announcing)
        self._links = links
        self._receipts = receipts
        self._behind: dict[SessionId, SessionId] = {}
        """Rotated ids whose tombstones may not lie on the disk before their new records do."""

    # --- Changes that are made here ---

    def write(
        self, session_id: SessionId, record: Record, keys: Collection[bytes], now: float
    ) -> None:
        """Hold ``record``, of which ``keys`` changed here, and send those on their way."""
        if self._announcing.is_on:
            before = self._core.table.held(session_id)
            self._core.table.put(session_id, record)
            self._deriving.on_written(session_id, before, keys, now)
        else:
            self._core.table.put(session_id, record)
        self.spread(session_id, keys)

    def spread(
        self, session_id: SessionId, keys: Iterable[bytes], knowing: Collection[str] = ()
    ) -> None:
        """Send news to the store and to whoever has to have them, but for who is ``knowing``."""
        self._core.version += 1
        self._persist(session_id)
        for peer in self._core.view.targets(home_of(session_id)):
            if peer not in knowing:
                self.mark(peer, session_id, keys)

    def rotate(
        self,
        old_id: SessionId,
        new_id: SessionId,
        tombstone: Record,
        rotated: Record,
        now: float,
    ) -> None:
        """Hold ``rotated`` under its new id, and then the tombstone that names that one."""
        self._core.table.merge(new_id, rotated)
        self.spread(new_id, rotated.keys())
        self.merge(old_id, tombstone, 0, (), now)

    def mark(self, peer: str, session_id: SessionId, keys: Iterable[bytes] | None) -> None:
        """Note that ``peer`` needs these entries, or the whole record for None."""
        outbound = self._links.outbound.get(peer)
        if outbound is not None and not self._core.is_silent(peer, session_id):
            outbound.releases.pop(session_id, None)
            outbound.stream.mark(session_id, keys)
            self._links.wake(outbound)

    def confirm(self, session_id: SessionId) -> None:
        """Have disk and targets say that they have a session which did not change just now."""
        self._persist(session_id)
        for peer in self._core.view.targets(home_of(session_id)):
            self.mark(peer, session_id, ())

    def resend_waiting(self, peers: Iterable[str]) -> None:
        """Send these members whatever a receipt waits for: they may count for it from now on."""
        present = set(peers)
        for session_id in self._receipts.waiting():
            for peer in self._core.view.targets(home_of(session_id)):
                if peer in present:
                    self.mark(peer, session_id, None)

    def drop(self, session_id: SessionId) -> None:
        """Forget a record here and in the store; others do so by themselves."""
        self._core.table.drop(session_id)
        self._core.version += 1
        self._behind.pop(session_id, None)
        self._core.emit(Persist(session_id))

    def abandon(self, session_id: SessionId) -> None:
        """Forget a record that counts no more; who waits for a receipt of it gets none."""
        self._receipts.give_up(session_id)
        self.drop(session_id)

    def on_persisted(self, session_ids: Iterable[SessionId]) -> None:
        """Let tombstones follow their new records onto the disk."""
        if self._behind:
            there = set(session_ids)
            for old_id in [each for each, new_id in self._behind.items() if new_id in there]:
                del self._behind[old_id]
                self._core.emit(Persist(old_id))

    def is_behind(self, session_id: SessionId) -> bool:
        """Return whether a tombstone waits until its new record is on the disk."""
        return session_id in self._behind

    def _persist(self, session_id: SessionId) -> None:
        if not self.is_behind(session_id):
            self._core.emit(Persist(session_id))

    def forget(self, session_id: SessionId, now: float, *, but_ends: bool = False) -> bool:
        """Forget what of a record is older than retention; others do so by themselves.

        Args:
            session_id: which session.
            now: monotonic seconds.
            but_ends: keep a tombstone, since somebody still has the session.

        Returns:
            Whether there was anything.
        """
        core = self._core
        held, before = core.table.held(session_id), core.kept_since(now)
        if held is None or held_forgettable_s(held) > stamp_ms(before) // 1000:
            return False
        if but_ends and held_is_ended(held):
            return False
        record = Record.from_held(held)
        if not record.forget(before):
            return False
        if not record.digest:
            self.drop(session_id)
            return True
        core.table.put(session_id, record)
        core.version += 1
        core.emit(Persist(session_id))
        return True

    # --- Changes that come from others ---

    def merge(
        self,
        session_id: SessionId,
        incoming: Record,
        digest: int,
        knowing: Collection[str],
        now: float,
    ) -> Merged:
        """Merge what a member sent of a session, and pass on what is news.

        Args:
            session_id: which session.
            incoming: the record or fragment that was sent.
            digest: the sender's digest of all it has of it; 0 if it did not say.
            knowing: the sender, and whoever will learn of it in another way.
            now: monotonic seconds.
        """
        table = self._core.table
        held = table.held(session_id)
        if incoming.ended or (held is not None and held_is_ended(held)):
            return self._merge_ended(session_id, incoming, knowing, now)
        if self._core.overwrites is not None and held is not None:
            self._warn_overwrites(self._core.overwrites, session_id, held, incoming)
        merged = table.merge(session_id, incoming, digest)
        if merged.news:
            if self._announcing.is_on:
                self._deriving.on_merged(session_id, held, merged.changed, now)
            self.spread(session_id, merged.changed, knowing)
            grown = table.held(session_id)
            if grown is not None and len(grown) > SENDABLE_BYTES_MAX:
                self._core.alarm("session_outgrew_frames", bytes=len(grown))
        if held is not None and incoming.accessed:
            return self._keep_youngest_access(session_id, held, incoming, merged, now)
        return merged

    def _warn_overwrites(
        self, overwrites: Overwrites, session_id: SessionId, held: bytes, incoming: Record
    ) -> None:
        for key in overwrites.found(session_id, Record.from_held(held), incoming):
            fields = {"attribute": key.decode(errors="replace"), "home": home_of(session_id)}
            notice = Notice("attribute_overwritten", dict(fields), True, session_id)
            self._core.emit(notice)

    def note_merged(self, session_id: SessionId, merged: Merged, peer: str, now: float) -> None:
        """Note for people that ``peer`` had something of a session that was not here."""
        if merged.was_here and not merged.changed <= _TOLD_BY_TIME:
            stamp = self._core.clock.reading(now)
            self._core.journal.note(session_id, Happening.MERGED, stamp, peer.encode())

    def _keep_youngest_access(
        self, session_id: SessionId, before: bytes, incoming: Record, merged: Merged, now: float
    ) -> Merged:
        """Stamp the access that was here anew if the one that came is older, by a clock ahead.

        Whoever sees it does so. Not the other way round: an older one that comes late looks younger
        than it is, and the two would be stamped in turn for ever. Like this it ends: with each
        stamp the access is less old than it was with the one before.
        """
        core, (accessed, accessed_at) = self._core, held_access(before)
        if not 0 < accessed < incoming.accessed or accessed_at <= incoming.accessed_at:
            return merged
        record = core.table.get(session_id)
        assert record is not None
        record.touch(core.clock.tick(now), accessed_at)
        self.write(session_id, record, {ACCESSED}, now)
        return evolve(merged, changed=merged.changed | {ACCESSED}, digest=record.digest, news=True)

    def _merge_ended(
        self, session_id: SessionId, incoming: Record, knowing: Collection[str], now: float
    ) -> Merged:
        """Merge where one of both is a tombstone, and whatever follows from it for other ids.

        Tombstones go on their way last, that of the oldest id behind all others.
        """
        table, first = self._core.table, None
        news = list[tuple[SessionId, Rotation | None, Collection[str]]]()
        to_merge, seen = [(session_id, incoming, knowing)], set[tuple[SessionId, int]]()
        while to_merge:
            each_id, record, known_to = to_merge.pop()
            before = table.held(each_id)
            ours = Record.from_held(before) if before is not None else Record()
            if not (ours.ended or record.ended):
                self.merge(each_id, record, 0, known_to, now)
                continue
            merged = table.merge(each_id, record)
            first = first or merged
            after = table.get(each_id)
            assert after is not None
            if merged.news:
                if self._announcing.is_on:
                    self._deriving.on_ended(each_id, before, after, now)
                news.append((each_id, rotation_at(each_id, after), known_to))
            # Members that lie may have rotated in a circle.
            if len(seen) < CHAIN_MAX and (each_id, record.digest) not in seen:
                seen.add((each_id, record.digest))
                follows = consequences(ours, record, after, now)
                to_merge += [
                    (new_id, what, ()) for new_id, what in follows if may_follow(each_id, new_id)
                ][::-1]
        assert first is not None
        for each_id, rotation, known_to in reversed(news):
            self._spread_tombstone(each_id, rotation, known_to)
        return first

    def _spread_tombstone(
        self, session_id: SessionId, rotation: Rotation | None, knowing: Collection[str]
    ) -> None:
        """Send a tombstone on its way, behind the record under which its session goes on."""
        core = self._core
        if rotation is not None:
            if self._receipts.follow(session_id, rotation.new_id):
                self.confirm(rotation.new_id)
            if core.has_store and core.table.held(rotation.new_id) is not None:
                self._persist(rotation.new_id)
                self._behind[session_id] = rotation.new_id
        self.spread(session_id, {ENDED}, knowing)
        for peer in core.view.targets(home_of(session_id)):
            outbound = self._links.outbound.get(peer)
            if peer not in knowing and outbound is not None:
                outbound.stream.mark_last(session_id)

    def on_changes(self, inbound: Inbound, peer: str, changes: Changes, now: float) -> None:
        """Merge a frame of a member's stream, to be acknowledged when the link has room."""
        for session_id, digest, incoming in decode_all(self._core, changes.flat, now):
            if self._core.is_silent(peer, session_id):
                inbound.merged += 1
                inbound.different.append((inbound.merged, session_id))
                continue
            merged = self.merge(session_id, incoming, digest, (peer,), now)
            inbound.merged += 1
            # To a holder the acting owner's changes are no difference; to the acting owner all are.
            if merged.news and home_of(session_id) in self._core.view.claims:
                self.note_merged(session_id, merged, peer, now)
            ours = merged.digest
            # The sender may have forgotten already what is due to be forgotten here.
            if ours != digest and self.forget(session_id, now, but_ends=digest != 0):
                ours = self._core.table.digest(session_id)
            if ours != digest:
                inbound.different.append((inbound.merged, session_id))
        self._links.wake(inbound)

    def on_acks(self, outbound: Outbound, acks: Acks, now: float) -> list[SessionId]:
        """Take acknowledgements of this node's stream.

        Returns:
            The sessions that need nothing more: the peer holds them, or cannot be helped.
        """
        done = []
        for acknowledged in outbound.stream.acknowledge(acks):
            if acknowledged.theirs is None:
                done.append(acknowledged.session_id)
                self._core.note_told(acknowledged.session_id)
                self._receipts.on_held(acknowledged.session_id, outbound.peer, acknowledged.version)
            elif not self._answer_different(outbound, acknowledged, acknowledged.theirs, now):
                done.append(acknowledged.session_id)
        self._links.wake(outbound)
        return done

    def _answer_different(
        self, outbound: Outbound, acknowledged: Acknowledged, theirs: bytes, now: float
    ) -> bool:
        """Merge the peer's own record, then send what it lacks; equal by then, it says so.

        Returns:
            Whether there is something to send: False if a record has outgrown every frame.
        """
        if theirs == EMPTY_FRAGMENT:
            return False
        session_id = acknowledged.session_id
        if self._core.is_silent(outbound.peer, session_id):
            return False
        # What is past retention is not sent again. What the peer still has is taken, so that both
        # have the same even if their clocks disagree about it.
        self.forget(session_id, now, but_ends=bool(theirs))
        other = decode(self._core, session_id, theirs, now) if theirs else Record()
        if theirs:
            merged = self.merge(session_id, other, 0, (outbound.peer,), now)
            self.note_merged(session_id, merged, outbound.peer, now)
        ours = self._core.table.get(session_id)
        missing = None
        if ours is not None and other.whole and not ours.ended:
            missing = ours.keys_unlike(other)
        portable = self._core.table.portable(session_id, now, missing)
        if portable and not is_sendable(portable):
            return False
        self.mark(outbound.peer, session_id, missing)
        return True
