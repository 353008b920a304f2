"""Members that were apart for longer than ends are remembered: they do not merge blindly.

What one of them still has may have ended at the other, and nothing there remembers it any more. So
of each home one of the two yields: it sets aside what it has of it, but for ends, which never harm,
and takes what the other has.

Rules:
- Contact with a member is when all that is here was last compared with it, and by it, over links in
  both directions. What came through others does not count: this node cannot know whom they have
  heard.
- Until it is known who yields a home, the two are *silent* about it: nothing of it passes between
  them.
- Whoever is not ready yields to whoever is: the ring has gone on without it. Of two that are ready
  that one yields whose acting owner comes later in the home's preference list.
- Whoever has yielded is silent to its old companions as well, until they have had time to yield.
- Each judges by itself, and by a limit that is shorter than retention by what clocks may be apart:
  where the two disagree, nothing is forgotten yet.
- A ring that is started as a whole merges what its disks have, unless one of them was not away.

Source: Cassandra's gc_grace_seconds, which leaves to the operator what is decided here.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from math import inf

from ring.comparing import Comparing
from ring.core import Core
from ring.effects import SetAside
from ring.identity import SessionId
from ring.journal import Happening
from ring.liveness import Liveness, Peer
from ring.packed import held_due, held_is_ended, held_portable
from ring.replication import Replication
from ring.table import SHARDS


class _Verdict(Enum):
    WAIT = "wait"
    YIELD = "yield"
    SPEAK = "speak"


class Estranged:
    """Whom this node has not heard for too long, and what it does about it."""

    def __init__(self, core: Core, comparing: Comparing, replication: Replication) -> None:
        self._core = core
        self._comparing = comparing
        self._replication = replication
        settings = core.settings
        margin_s = settings.clock_bound_s + settings.settle_timeout_s
        self._limit_s = settings.retention_s - min(margin_s, settings.retention_s / 4)
        self._contact_at: dict[str, float] = {}
        """When everything here was last compared with a member, in monotonic seconds."""
        self._stored_at = -inf
        """When the youngest record that was loaded had been written."""
        self._clean_since: dict[str, float] = {}
        """Homes of which nothing here is older than this."""
        self._companions: set[tuple[str, str]] = set()
        """Of those that are silent: who may have to yield as this node has."""
        self._deleting: dict[SessionId, int] = {}
        """What was yielded and may still be on the disk, and at which version it was dropped."""
        self._was_away = False
        self._started_at = 0.0

    # --- Over a restart ---

    def note_loaded(self, absence_s: float, now: float) -> None:
        """A record was loaded that was written so long ago."""
        self._stored_at = max(self._stored_at, now - absence_s)

    def restore(self, ages_s: Mapping[str, float], now: float) -> None:
        """Take over what an earlier life has noted; see ``contacts``."""
        self._contact_at = {name: now - age_s for name, age_s in ages_s.items()}

    def start(self, now: float) -> None:
        """Begin; what was not noted is taken from the records that were loaded."""
        self._started_at = now
        for home in self._core.ring.homes:
            self._clean_since[home] = -inf if self._core.table.count(home) else now
        alive_at = self._contact_at.pop(self._core.name, self._stored_at)
        for name in self._core.view.peers:
            self._contact_at.setdefault(name, self._stored_at)
        self._was_away = len(self._core.table) > 0 and now - alive_at > self._limit_s

    def contacts(self, now: float) -> dict[str, float]:
        """Return how long ago, in seconds, there was contact with each member; with itself: 0.

        Nothing as long as there is on the disk what was yielded: after a restart it would be
        believed.
        """
        if self._deleting:
            return {}
        ages_s = {
            name: now - at for name, at in self._contact_at.items() if name in self._core.view.peers
        }
        return {self._core.name: 0.0} | {name: age for name, age in ages_s.items() if age < inf}

    def on_persisted(self, versions: Mapping[SessionId, int]) -> None:
        """The store has these sessions as they were at these versions."""
        if self._deleting:
            for session_id, version in versions.items():
                if self._deleting.get(session_id, version + 1) <= version:
                    del self._deleting[session_id]

    # --- Inputs ---

    def keep(self, homes: Iterable[str], now: float) -> None:
        """Know these homes; of one that the ring has got just now there is nothing here yet."""
        self._clean_since = {home: self._clean_since.get(home, now) for home in homes}

    def meet(self, peer: str, now: float) -> None:
        """A connection with ``peer`` was made: find out what may not be said on it."""
        core, estranged = self._core, 0
        # A member that the ring has got since the start knows nothing that is older.
        contact_at = self._contact_at.setdefault(peer, now)
        for home in core.ring.homes:
            at = max(contact_at, self._clean_since[home])
            if core.table.count(home) and now - at > self._limit_s:
                core.silent[peer, home] = now
                self._companions.discard((peer, home))
                # Another connection may be in the middle of it: the rest would not be said.
                self._comparing.forget(home, peer)
                estranged += 1
        if estranged:
            core.view.changes += 1
            for_s = round(min(now - contact_at, core.clock.physical_ms(now) / 1000))
            core.alarm("estranged", peer=peer, for_s=for_s, homes=estranged)

    def note_contact(self, peer: str, now: float) -> None:
        """All that is here was compared with ``peer``."""
        if not any(name == peer for name, _ in self._core.silent):
            self._contact_at[peer] = now

    # --- What follows ---

    @property
    def holds_back(self) -> bool:
        """Whether this node was away for too long, and somebody there may know better."""
        up = self._core.view.up
        return self._was_away and any(name in up for name, _ in self._core.silent)

    def skips(self, peer: str, home: str) -> bool:
        """Return whether a home need not be compared before this node, or that one, is ready."""
        key = (peer, home)
        return not self._core.ready and key in self._core.silent and key not in self._companions

    def review(self, now: float) -> list[str]:
        """Decide what can be decided; return the homes that this node has yielded."""
        silent, yielded = self._core.silent, list[str]()
        self._was_away &= not self._core.ready
        for key in list(silent):
            name, home = key
            peer = self._core.view.peers.get(name)
            belongs = peer is not None and home in self._core.ring
            if key not in silent or (peer is not None and peer.liveness is not Liveness.UP):
                continue
            verdict = _Verdict.SPEAK
            if belongs and peer is not None:
                verdict = self._judge(peer, home, now - silent[key])
            if verdict is _Verdict.SPEAK:
                self._speak(key)
            elif verdict is _Verdict.YIELD:
                self._yield(home, name, now)
                yielded.append(home)
        return yielded

    def _judge(self, peer: Peer, home: str, waited_s: float) -> _Verdict:
        core, settings = self._core, self._core.settings
        if (peer.name, home) in self._companions:
            # By then it has met whom this node has met; or it need not yield at all.
            waits = waited_s <= settings.settle_timeout_s
            return _Verdict.WAIT if waits else _Verdict.SPEAK
        if not core.ready:
            if peer.ready:
                return _Verdict.YIELD
            waits = not self._was_away or waited_s <= settings.join_timeout_s
            return _Verdict.WAIT if waits else _Verdict.SPEAK
        if not peer.ready:
            return _Verdict.SPEAK  # It yields.
        order = core.ring.everyone(home)
        comes_first = order.index(peer.name) < order.index(self._acting_owner(home))
        if comes_first and (home in peer.claims or not peer.draining):
            return _Verdict.YIELD
        waits = waited_s <= settings.settle_timeout_s and home not in peer.claims
        return _Verdict.WAIT if waits else _Verdict.SPEAK

    def _acting_owner(self, home: str) -> str:
        """Return who acts for ``home`` among those to whom this node is not silent."""
        view, silent = self._core.view, self._core.silent
        here = [name for name in view.line(home) if name in view.up and (name, home) not in silent]
        return next((name for name in here if home in view.claims_of(name)), here[0])

    def _speak(self, key: tuple[str, str]) -> None:
        del self._core.silent[key]
        self._companions.discard(key)
        self._core.view.changes += 1

    def _yield(self, home: str, peer: str, now: float) -> None:
        """Set aside what is here of ``home``, and begin with it anew."""
        core, set_aside = self._core, 0
        yielded_at = core.clock.reading(now)
        for shard in range(SHARDS):
            going = list[SessionId]()
            kept = list[tuple[SessionId, bytes]]()
            for session_id in core.table.in_shard(home, shard):
                held = core.table.held(session_id)
                assert held is not None
                if not held_is_ended(held):
                    going.append(session_id)
                    if held_due(held) > now:
                        kept.append((session_id, held_portable(held, now)))
            if kept:
                core.emit(SetAside(home, tuple(kept)))
                set_aside += len(kept)
            for session_id, _ in kept:
                core.journal.note_of_many(
                    session_id, Happening.SET_ASIDE, yielded_at, peer.encode()
                )
            for session_id in going:
                self._replication.abandon(session_id)
                if core.has_store:
                    self._deleting[session_id] = core.version
        core.alarm("home_yielded", home=home, peer=peer, set_aside=set_aside)
        self._clean_since[home] = now
        for name in core.view.peers:
            self._comparing.forget(home, name)
            key = (name, home)
            if key in core.silent and key not in self._companions:
                self._speak(key)
            elif now - self._contact_at.get(name, -inf) <= self._limit_s:
                core.silent[key] = now
                self._companions.add(key)
        core.view.changes += 1
