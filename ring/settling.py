"""Knowing enough to answer: homes are compared with every member, then claimed, then served.

Rules:
- A node compares each home that it holds, acts for or has records of with every member that is
  up, one member after the other, the home's preference list in order: its own home with the
  successor first.
- A comparison lasts as long as the connection, and as long as both stay holders: who was not a
  holder for a while has missed the stream and compares again.
- A member that is not ready fetches for itself first; then the others compare with it and bring
  what it still lacks. So nothing is sent twice.
- Ready: every home is compared with every member that is up, and each of them has said the same
  of its own comparisons. Without a member that was ready before, wait for the missing ones.
"""

from ring.comparison import Answering, Comparison
from ring.core import Core
from ring.errors import RemoteProtocolError
from ring.identity import SessionId, home_of
from ring.links import Inbound, Links, Outbound
from ring.liveness import Liveness, Peer
from ring.messages import Compare, Compared, Listing, Records, Status
from ring.replication import Replication
from ring.table import bucket_of


class Settling:
    """All comparisons of this node, and what follows from them: ready, claims, synced."""

    def __init__(self, core: Core, links: Links, replication: Replication) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._comparisons: dict[tuple[str, str], Comparison] = {}
        self._running: dict[str, str] = {}
        """The member with which a home is being compared."""
        self._round = 0
        self._status_version = 0
        self._held: dict[str, frozenset[str]] = {}
        """For each home that this node holds, the holders when last looked at."""
        self._covered: set[str] = set()
        """Homes of which this node missed nothing since a claimant, or every disk, was heard."""
        self._unknown_until: dict[str, float] = {}
        self.started_at = 0.0
        self._linked_at: dict[str, float] = {}

    # --- What the others ask of it ---

    def uncompared(self, home: str) -> set[str]:
        """Return the members that may know more of ``home`` than this node.

        They are up and were not compared, or have just come back from being down: they may have
        acted meanwhile. A member whose link was lost a moment ago has not.
        """
        return {
            name
            for name, peer in self._core.view.peers.items()
            if peer.returning
            or (peer.liveness is Liveness.UP and not self._is_finished(home, name))
        }

    @property
    def all_synced(self) -> bool:
        """Whether every home was compared with every member, none of which is undetermined."""
        view = self._core.view
        up = view.peers_in(Liveness.UP)
        return not view.peers_in(Liveness.UNDETERMINED) and all(
            self._is_synced(peer.name) for peer in up
        )

    def may_deny(self, home: str, now: float) -> bool:
        """Return whether "no such session" is known, once every member that is up was asked."""
        return self._unknown_until.get(home, 0.0) <= now

    def status(self, now: float, *, synced: bool = False, echo: bool = False) -> Status:
        """Return what this node says of itself."""
        core = self._core
        claims = tuple(sorted(core.view.claims))
        return Status(core.clock.tick(now), core.ready, synced, self._status_version, claims, echo)

    # --- Inputs ---

    def on_linked(self, peer: str, now: float) -> None:
        """Begin anew with a member: what was known ended with the last connection."""
        self.on_link_lost(peer)
        self._linked_at[peer] = now

    def on_link_lost(self, peer: str) -> None:
        """Forget the comparisons with a member; what it had to tell, it still has to tell."""
        view = self._core.view
        if any(home in view.claims and not self._is_finished(home, peer) for home in self._homes()):
            view.peers[peer].returning = view.peers[peer].liveness is Liveness.UNDETERMINED
        for home in self._core.ring.names:
            self._forget(home, peer)

    def on_compare(self, inbound: Inbound, message: Compare) -> None:
        """Answer a comparison, whatever the state of this node."""
        if message.home not in self._core.ring:
            raise RemoteProtocolError(f"compares {message.home!r}, which is not in this ring")
        for answering in list(inbound.answers):
            if answering.home == message.home:
                inbound.answers.remove(answering)  # The dialler has dropped that one.
        answering = Answering(self._core, message.home, message.round, message.buckets)
        inbound.answers.append(answering)
        self._links.wake(inbound)

    def on_records(self, outbound: Outbound, message: Records, now: float) -> None:
        """Merge records of buckets in which this node had nothing."""
        comparison = self._current(message.home, outbound.peer, message.round)
        if comparison is not None:
            comparison.progress_at = now
        # Who has not been compared for this home yet learns of these then.
        later = {
            name for name in self._links.outbound if (message.home, name) not in self._comparisons
        }
        knowing = {outbound.peer, *later}
        for session_id, digest, incoming in self._replication.decode_all(message.flat, now):
            self._replication.merge(session_id, incoming, digest, knowing)

    def on_listing(self, outbound: Outbound, message: Listing, now: float) -> None:
        """Send or ask for every record that differs in the listed buckets."""
        comparison = self._current(message.home, outbound.peer, message.round)
        if comparison is None:
            return
        comparison.progress_at = now
        theirs = dict(zip(message.flat[::2], message.flat[1::2], strict=True))
        listed = set(message.buckets)
        ours: dict[SessionId, int] = {}
        for bucket in message.buckets:
            ours.update(self._core.table.in_bucket(message.home, bucket))
        for key, digest in theirs.items():
            session_id = SessionId(bytes(key)) if isinstance(key, bytes) else None
            if session_id is None or home_of(session_id) != message.home:
                raise RemoteProtocolError("lists a session of another home")
            if bucket_of(session_id) not in listed:
                raise RemoteProtocolError("lists a session of another bucket")
            if ours.get(session_id) != digest:
                self._exchange(comparison, outbound.peer, session_id, ask=True)
        if outbound.peer in self._core.view.targets(message.home):
            for session_id in ours:
                if session_id not in theirs:
                    self._exchange(comparison, outbound.peer, session_id, ask=False)

    def on_compared(self, outbound: Outbound, message: Compared, now: float) -> bool:
        """Note that an answer is complete; return whether the comparison is finished with it."""
        comparison = self._current(message.home, outbound.peer, message.round)
        if comparison is None:
            return False
        comparison.progress_at = now
        comparison.listed = True
        return self._maybe_finish(message.home, outbound.peer, comparison)

    def on_held(self, peer: str, session_ids: list[SessionId], now: float) -> bool:
        """Note what a member holds; return whether a comparison is finished with it."""
        finished = False
        for home, running in list(self._running.items()):
            comparison = self._comparisons[home, running]
            if running == peer and comparison.outstanding:
                comparison.outstanding.difference_update(session_ids)
                comparison.progress_at = now
                finished |= self._maybe_finish(home, peer, comparison)
        return finished

    def give_up_stalled(self, now: float) -> bool:
        """Give up comparisons without progress; return whether there were any."""
        stalled = [
            (home, peer)
            for home, peer in self._running.items()
            if now - self._comparisons[home, peer].progress_at
            > self._core.settings.settle_timeout_s
        ]
        for home, peer in stalled:
            comparison = self._comparisons[home, peer]
            comparison.finished = comparison.given_up = True
            comparison.outstanding.clear()
            del self._running[home]
            self._core.alarm("comparison_given_up", home=home, peer=peer)
        return bool(stalled)

    # --- What follows ---

    def review(self, now: float) -> None:
        """Draw every conclusion from what has changed since the last call."""
        self._note_holders()
        self._start_comparisons(now)
        changed = self._maybe_become_ready(now)
        changed |= self._update_claims(now)
        if changed:
            self._status_version += 1
        for name, outbound in self._links.outbound.items():
            synced = self._is_synced(name)
            if changed or synced != outbound.synced:
                outbound.synced = synced
                self._links.show_status(outbound, self.status(now, synced=synced))

    def _note_holders(self) -> None:
        """Compare again where this node, or another, has become a holder: it missed the stream."""
        view = self._core.view
        for home in self._core.ring.names:
            if not view.is_holder(home):
                self._held.pop(home, None)
                if home not in view.claims:
                    self._covered.discard(home)
                continue
            holders = frozenset(view.holders(home))
            before = self._held.get(home)
            gained = view.peers.keys() if before is None else holders - before - {view.name}
            for name in gained:
                self._forget(home, name)
            self._held[home] = holders

    def _homes(self) -> list[str]:
        """Return the homes that this node has to compare."""
        core = self._core
        return [
            home
            for home in core.ring.names
            if home in self._held or home in core.view.claims or core.table.count(home)
        ]

    def _start_comparisons(self, now: float) -> None:
        for home in self._homes():
            if home in self._running:
                continue
            for name in self._core.ring.preference_list(home):
                if name == self._core.name or self._is_finished(home, name):
                    continue
                if name in self._links.outbound and self._is_its_turn(name, now):
                    self._start(home, name, now)
                    break

    def _is_its_turn(self, name: str, now: float) -> bool:
        """Return whether ``name`` has fetched for itself what it lacks, or is not going to."""
        core, peer = self._core, self._core.view.peers[name]
        order = core.ring.names
        comes_first = core.ready or order.index(name) < order.index(core.name)
        waited = now - self._linked_at[name] > core.settings.settle_timeout_s
        return peer.ready or peer.synced or waited or not comes_first

    def _start(self, home: str, name: str, now: float) -> None:
        self._round += 1
        self._comparisons[home, name] = Comparison(self._round, now)
        self._running[home] = name
        buckets = self._core.table.buckets(home)
        self._links.tell(self._links.outbound[name], Compare(home, self._round, buckets))

    def _exchange(
        self, comparison: Comparison, peer: str, session_id: SessionId, *, ask: bool
    ) -> None:
        comparison.outstanding.add(session_id)
        self._replication.mark(peer, session_id, () if ask else None)

    def _maybe_finish(self, home: str, peer: str, comparison: Comparison) -> bool:
        if not comparison.listed or comparison.outstanding:
            return False
        comparison.finished = True
        del self._running[home]
        if home in self._core.view.claims_of(peer):
            self._covered.add(home)
        return True

    def _maybe_become_ready(self, now: float) -> bool:
        core = self._core
        peers = list(core.view.peers.values())
        if core.ready or any(peer.liveness is Liveness.UNDETERMINED for peer in peers):
            return False
        up = [peer for peer in peers if peer.liveness is Liveness.UP]
        if not all(self._is_synced(peer.name) and self._has_synced(peer, now) for peer in up):
            return False
        someone_was_ready = len(up) == len(peers) or any(peer.ready for peer in up)
        if not someone_was_ready and now < self.started_at + core.settings.join_timeout_s:
            return False
        if not someone_was_ready:
            core.alarm("ready_alone", missing=", ".join(p.name for p in peers if p not in up))
        core.ready = True
        self._covered.update(core.ring.names)
        core.notice("ready", sessions=len(core.table), after_s=round(now - self.started_at, 3))
        return True

    def _has_synced(self, peer: Peer, now: float) -> bool:
        """Return whether ``peer`` has compared with this node, or cannot be waited for."""
        waited = now - self._linked_at[peer.name] > self._core.settings.join_timeout_s
        return peer.synced or (peer.inbound is None and waited)

    def _is_synced(self, name: str) -> bool:
        return all(self._is_finished(home, name) for home in self._homes())

    def _update_claims(self, now: float) -> bool:
        core, view = self._core, self._core.view
        undetermined = view.peers_in(Liveness.UNDETERMINED)
        claims = set()
        for home in core.ring.names:
            if not (core.ready and view.is_first_in_line(home)):
                continue
            if home in view.claims or not (undetermined or self.uncompared(home)):
                claims.add(home)
        if claims == view.claims:
            return False
        for home in sorted(claims - view.claims):
            known = home in self._covered or not view.peers_in(Liveness.DOWN)
            self._unknown_until[home] = 0.0 if known else now + core.settings.join_timeout_s
            self._covered.add(home)
            core.notice("acting", home=home, sessions=core.table.count(home))
        for home in sorted(view.claims - claims):
            core.notice("handed_back", home=home)
        view.claims = frozenset(claims)
        return True

    # --- Bookkeeping ---

    def _is_finished(self, home: str, name: str) -> bool:
        comparison = self._comparisons.get((home, name))
        return comparison is not None and comparison.finished

    def _forget(self, home: str, name: str) -> None:
        self._comparisons.pop((home, name), None)
        if self._running.get(home) == name:
            del self._running[home]

    def _current(self, home: str, peer: str, round_number: int) -> Comparison | None:
        """Return the running comparison that an answer belongs to; None: it was dropped."""
        comparison = self._comparisons.get((home, peer))
        if comparison is None or comparison.round != round_number or comparison.finished:
            return None
        return comparison
