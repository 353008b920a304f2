"""Knowing enough to answer: homes are compared with every member, then claimed, then served.

Rules:
- A node compares each home that it holds, acts for or has records of with every member that is
  up, the home's preference list in order: its own home with the successor first.
- It compares anew whenever it may have missed something: when it, or another, becomes a holder;
  when it comes first and did not before; when a member is down that may have acted; when another
  that acted as well has stopped.
- A member that is not ready fetches for itself first; then the others compare with it and bring
  what it still lacks. So nothing is sent twice.
- A home is claimed by whoever is ready (``joining``) and comes first, once everybody was heard.
"""

from collections.abc import Set

from ring.awaiting import Awaiting
from ring.comparing import Comparing
from ring.core import Core
from ring.doubting import Doubts
from ring.estranged import Estranged
from ring.joining import Joining
from ring.links import Links, Outbound
from ring.liveness import Liveness
from ring.messages import Status
from ring.rest import Rest


class Settling:
    """What follows from comparisons and from what the members say: ready, claims, synced."""

    def __init__(
        self, core: Core, links: Links, comparing: Comparing, estranged: Estranged
    ) -> None:
        self._core = core
        self._links = links
        self._comparing = comparing
        self._estranged = estranged
        self.status_version = 0
        self._held: set[str] = set()
        """The homes that this node holds."""
        self._first: set[str] = set()
        """The homes for which nobody came before this node, when last looked at."""
        self._holders: dict[str, frozenset[str]] = {}
        """For each home, its holders when last looked at."""
        self._holders_as_of = -1
        """Which change of the view that was."""
        self._compared: list[str] = []
        self._homes_as_of = -1, -1
        """Which change of the view, and of what the table has anything of, that was."""
        self._rivals: dict[str, frozenset[str]] = {}
        """For each home that this node acts for, who acts for it as well."""
        self._claimants_as_of = -1, -1
        """Which change of the view, and of the comparisons, that was."""
        self._covered: set[str] = set()
        """Homes of which this node missed nothing since a claimant, or every disk, was heard."""
        self._unknown_until: dict[str, float] = {}
        self._was_settled = False
        self.has_news = False
        """There is something to say of this node that it has not said yet."""
        self._rest = Rest(core, comparing)
        self.awaiting = Awaiting(core, comparing)
        self.doubts = Doubts(core, comparing, self.awaiting)
        self._joining = Joining(core, self.awaiting, estranged, self.is_synced)

    # --- What the others ask of it ---

    def uncompared(self, home: str, now: float) -> set[str]:
        """Return the members that may know more of ``home`` than this node, which acts for it.

        They are up and were not heard, act for it as well, or come back and may have acted. Whoever
        comes and goes without being heard is waited for as long as for a comparison.
        """
        peers = self._core.view.peers.values()
        return self.awaiting.unheard(home, now) | {
            peer.name for peer in peers if home in peer.claims
        }

    @property
    def all_synced(self) -> bool:
        """Whether every home was compared with every member, none of which is undetermined."""
        if self._rest.lasts():
            return True
        view = self._core.view
        up = view.peers_in(Liveness.UP)
        return not view.peers_in(Liveness.UNDETERMINED) and all(
            self.is_synced(peer.name) for peer in up
        )

    @property
    def all_quiet(self) -> bool:
        """Whether every member that is up has said, like this node, that it lacks nothing more."""
        up = self._core.view.peers_in(Liveness.UP)
        said = all(peer.synced or peer.inbound is None for peer in up)
        return self._core.ready and said and self.all_synced

    def knows_claimant(self, home: str, name: str) -> bool:
        """Return whether ``name`` acts for ``home``, and knows no less of it than this node."""
        compared = home not in self._homes() or self._comparing.is_heard(home, name)
        return home in self._core.view.peers[name].claims and compared

    def may_deny(self, home: str, now: float) -> bool:
        """Return whether "no such session" is known, once every member that is up was asked.

        Never while the home itself lives and cannot be asked.
        """
        peer = self._core.view.peers.get(home)
        apart = peer is not None and peer.unusable and home not in self._core.ring.leaving
        return not apart and self._unknown_until.get(home, 0.0) <= now

    def status(
        self, now: float, *, synced: bool = False, echo: bool = False, heard: int = 0
    ) -> Status:
        """Return what this node says of itself."""
        core = self._core
        return Status(
            core.clock.tick(now),
            core.ready,
            synced,
            self.status_version,
            core.view.claims_in_order,
            echo,
            core.view.is_last,
            heard,
            self.doubts.missing,
            core.view.listens_to,
        )

    # --- Inputs ---

    def start(self, now: float) -> None:
        """Begin this life; its claims count above those of an earlier one of the same member."""
        self._joining.start(now)
        self.status_version = self._core.clock.tick(now)

    def on_up(self, peer: str, now: float) -> None:
        """Begin anew with a member: what was known ended with the last connection."""
        self._joining.note_up(peer, now)
        self._forget_all(peer)

    def on_link_lost(self, peer: str, now: float) -> None:
        """Forget the comparisons with a member; what it had to tell, it still has to tell."""
        view = self._core.view
        member = view.peers[peer]
        if member.liveness is Liveness.UNDETERMINED:
            may_act = any(
                peer in self._rivals[home] or not self._comparing.is_heard(home, peer)
                for home in view.claims
            )
            self.awaiting.note_lost(member, now, may_act=may_act)
        self._forget_all(peer)

    def drain(self) -> None:
        """Go to the end of every line, and find out anew who has what."""
        self._core.view.is_draining = True
        self.has_news = True
        for name in self._core.view.peers:
            self._forget_all(name)

    def stand_back(self, stands_back: bool) -> None:
        """Go to the end of every line, or back to this node's place in each."""
        self._core.view.stands_back = stands_back
        self.has_news = True

    def on_frozen(self) -> None:
        """Forget whatever was known of the others, who may have acted meanwhile."""
        core, view = self._core, self._core.view
        core.ready = False
        for home in sorted(view.claims):
            core.notice("handed_back", home=home)
        view.claims = frozenset()
        self._rivals.clear()
        self._covered.clear()
        self.doubts.end()
        self.has_news = True

    def on_down(self, now: float) -> None:
        """Compare again what this node does not act for, since the one who acted may be gone.

        What that one had acknowledged, with the word of another holder, may not have come here
        yet: the other has to be heard from now on.
        """
        for home in self._core.ring.homes:
            if home not in self._core.view.claims:
                if home not in self._covered:
                    # Whoever acts by now may not know either; who insists is answered by this node.
                    self._unknown_until[home] = now + self._core.settings.join_timeout_s
                for name in self._core.view.peers:
                    self._comparing.forget(home, name)

    def keep(self, homes: Set[str]) -> None:
        """Forget what was concluded of other homes than these."""
        self._held &= homes
        self._covered &= homes
        self._holders = {home: self._holders[home] for home in self._holders if home in homes}
        self._unknown_until = {h: self._unknown_until[h] for h in self._unknown_until if h in homes}
        self._rivals = {home: self._rivals[home] for home in self._rivals if home in homes}

    # --- What follows ---

    def is_at_rest(self) -> bool:
        """Return whether ``review`` would conclude nothing: all was settled, and still is."""
        if not self._rest.lasts():
            return False
        for name, outbound in self._links.outbound.items():
            outbound.heard = self._heard(name, outbound)
        return all(outbound.synced for outbound in self._links.outbound.values())

    def review(self, now: float) -> None:
        """Draw every conclusion from what has changed since the last call."""
        is_anyone_restless = False
        for peer in self._core.view.peers.values():
            if peer.restless_since is not None and peer.synced and self.is_synced(peer.name):
                peer.returning_since = peer.restless_since = None
            is_anyone_restless |= peer.restless_since is not None
        self._covered.difference_update(self._estranged.review(now))
        self._note_holders()
        self._note_claimants()
        self._start_comparisons(now)
        changed, self.has_news = self.has_news, False
        changed |= self._maybe_become_ready(now)
        changed |= self._update_claims(now)
        changed |= self.doubts.review(self._homes(), now)
        if changed:
            self.status_version += 1
            self._start_comparisons(now)
        for name, outbound in self._links.outbound.items():
            synced, heard = self.is_synced(name), self._heard(name, outbound)
            awaited = self._core.view.peers[name].draining and heard != outbound.heard
            news = changed or awaited or synced != outbound.synced
            outbound.synced, outbound.heard = synced, heard
            if news:
                self.show_status(outbound, now)
        # Who is heard to the end on both sides says so last, and that alone ends no rest.
        waits = changed or is_anyone_restless or self._core.view.draining or self._core.silent
        self._rest.note(self._note_settled() and not waits)

    def show_status(self, outbound: Outbound, now: float) -> None:
        """Say to a member what this node is, and what it has made of the member's last word."""
        status = self.status(now, synced=outbound.synced, heard=outbound.heard)
        self._links.show_status(outbound, status)

    def _heard(self, name: str, outbound: Outbound) -> int:
        """Return the newest word of a member after which nothing asked of it waits any more."""
        said = max(0, self._core.view.peers[name].claims_version)
        return outbound.heard if outbound.unanswered else said

    def _note_settled(self) -> bool:
        """Say once, whenever it becomes true, that another member may be lost."""
        settled = self._core.ready and self.all_synced
        if settled and not self._was_settled:
            self._core.notice("settled", members_up=len(self._core.view.up))
        self._was_settled = settled
        return settled

    def _note_holders(self) -> None:
        """Compare again where this node, or another, has become a holder: it missed the stream."""
        view = self._core.view
        if self._holders_as_of == view.changes:
            return
        self._holders_as_of, self._homes_as_of = view.changes, (-1, -1)
        for home in self._core.ring.homes:
            # Who may be up is not replaced yet: else each loss of its link began all of this anew.
            holders = frozenset(view.expected_holders(home))
            gained = holders - self._holders.get(home, frozenset())
            self._holders[home] = holders
            if view.is_holder(home):
                if home not in self._held:
                    self._held.add(home)
                    gained = frozenset(view.peers)
            else:
                self._held.discard(home)
                if home not in view.claims:
                    self._covered.discard(home)
                    # What it neither keeps nor acts for it hands on only when it leaves.
                    if not view.is_draining:
                        continue
            for name in sorted(gained - {view.name}):
                self._comparing.forget(home, name)
        first = {home for home in self._core.ring.homes if view.is_first_in_line(home)}
        for home in first - self._first - view.claims:
            # Others kept it while somebody else came first for them, and told this node of nothing.
            for name in view.peers:
                self._comparing.forget(home, name)
        self._first = first

    def _note_claimants(self) -> None:
        """Note who acts, and compare again when somebody beside this node has stopped."""
        view, comparing = self._core.view, self._comparing
        if self._claimants_as_of == (view.changes, comparing.changes):
            return
        for home in self._core.ring.homes:
            claimants = frozenset(peer.name for peer in view.peers.values() if home in peer.claims)
            if self._rivals.get(home, frozenset()) - claimants:
                # Its last writes may be with any holder that it named in a receipt.
                for name in view.peers:
                    comparing.forget(home, name)
            self._rivals[home] = claimants if home in view.claims else frozenset()
            heard = any(comparing.is_heard(home, name) for name in claimants)
            if heard and home in self._held:
                self._covered.add(home)
        self._claimants_as_of = view.changes, comparing.changes

    def _homes(self) -> list[str]:
        """Return the homes that this node has to compare."""
        core = self._core
        as_of = core.view.changes, core.table.occupations
        if self._homes_as_of != as_of:
            self._homes_as_of = as_of
            self._compared = [
                home
                for home in core.ring.homes
                if home in self._held or home in core.view.claims or core.table.count(home)
            ]
        return self._compared

    def _start_comparisons(self, now: float) -> None:
        core, view = self._core, self._core.view
        for home in self._homes():
            unheard = [
                name
                for name in core.ring.everyone(home)
                if name in view.up and name != core.name
                if not self._comparing.is_heard(home, name) and (name, home) not in core.silent
            ]
            if not unheard or self._comparing.is_listening(home):
                continue
            # Who was lost last comes last: with one that comes and goes no other had its turn.
            unheard.sort(key=lambda name: view.peers[name].lost_at)
            # Nobody acts for it until this node does: then its members are heard at once.
            awaited = core.ready and home not in view.claims and view.is_first_in_line(home)
            for name in unheard:
                if awaited or self._is_its_turn(name, now):
                    # Of a home that it neither keeps nor acts for, it brings what others lack.
                    wants = home in self._held or home in view.claims
                    self._comparing.start(home, name, now, wants=wants)
                    break

    def _is_its_turn(self, name: str, now: float) -> bool:
        """Return whether ``name`` has fetched for itself what it lacks, or is not going to."""
        core, peer = self._core, self._core.view.peers[name]
        order = [*core.ring.addresses]
        comes_first = core.ready or order.index(name) < order.index(core.name)
        waited = self._joining.up_for_s(name, now) > core.settings.settle_timeout_s
        return peer.ready or peer.synced or waited or not comes_first

    def _maybe_become_ready(self, now: float) -> bool:
        core = self._core
        if core.ready or not self._joining.may_serve(now):
            return False
        core.ready = True
        self._holders_as_of = -1  # Being ready covers homes that it does not keep, for a moment.
        self.doubts.begin(self._homes())
        self._covered.update(core.ring.homes)
        after_s = round(now - self._joining.started_at, 3)
        core.notice("ready", sessions=len(core.table), after_s=after_s)
        return True

    def is_synced(self, name: str) -> bool:
        """Return whether all that this node keeps was compared with a member, both ways."""
        return all(
            self._comparing.is_finished(home, name) or self._estranged.skips(name, home)
            for home in self._homes()
        )

    def _update_claims(self, now: float) -> bool:
        core, view = self._core, self._core.view
        undetermined = self.awaiting.undetermined(now)
        claims = set()
        for home in core.ring.homes:
            if not (core.ready and view.is_first_in_line(home)):
                continue
            unheard = [view.peers[name] for name in self.awaiting.unheard(home, now)]
            awaited = undetermined or not all(
                self.awaiting.is_restless(peer, now) for peer in unheard
            )
            if home in view.claims or not awaited:
                claims.add(home)
        if claims == view.claims:
            return False
        for home in sorted(claims - view.claims):
            lost = {peer.name for peer in view.peers_in(Liveness.DOWN)} - core.ring.leaving
            known = home in self._covered or not lost
            self._unknown_until[home] = 0.0 if known else now + core.settings.join_timeout_s
            self._covered.add(home)
            there = {p.name for p in view.peers.values() if p.liveness is not Liveness.DOWN}
            self.doubts.pass_over(home, there)
            core.journal.note_takeover(home, core.clock.reading(now))
            core.notice("acting", home=home, sessions=core.table.count(home))
        for home in sorted(view.claims - claims):
            core.notice("handed_back", home=home)
        view.claims = frozenset(claims)
        self._note_claimants()
        return True

    # --- Bookkeeping ---

    def _forget_all(self, peer: str) -> None:
        for home in self._core.ring.homes:
            self._comparing.forget(home, peer)
