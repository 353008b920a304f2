"""Freeing stand-ins: who keeps copies of a home that others hold again may drop them.

The stand-in offers what it has, a part at a time; the acting owner releases what every holder has
as well, and asks for what it has otherwise; the stand-in drops what it was released from.

Rules:
- Who is told of no changes misses what ends: a stand-in that is not freed, or one that takes itself
  for a holder since it alone does not reach an earlier one. So whoever has something offers all of
  it each time half of retention has passed, freed or not: of what is otherwise at the acting
  owner the answer tells how, long before it is forgotten.
- Nothing is released while fewer than ``copies`` members hold, while anything is being compared, or
  while anybody is missing a change of it or waits for a receipt.
- A release is written ahead of whatever this node writes to that member later (``links``): so a
  member that becomes a holder meanwhile drops first and is compared then, and whatever it says it
  holds after that, it holds. A release that has not left is dropped when the member becomes a
  holder, or is sent a change.
- The stand-in obeys only the acting owner in its own view, only while it is no holder itself, only
  for the very state that was released, and not while a save of its own waits, a change or an answer
  of its own is on its way, or others are asked for it. Whatever it keeps, it offers again later.
"""

from collections import deque
from collections.abc import Set
from typing import Final

from attrs import define, field

from ring.comparing import Comparing
from ring.core import Core
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId, home_of
from ring.journal import Happening
from ring.links import Inbound, Links, Outbound
from ring.messages import RELEASED_MAX, Offer, Offered, Release
from ring.receipts import Receipts
from ring.replication import Replication
from ring.serving import Serving
from ring.settling import Settling
from ring.table import SHARDS

_UNTOLD_SHARE: Final = 0.5
"""After how much of retention all is offered; the rest is for what fails, and for clocks."""


@define
class _Pass:
    """One walk through what this node has of a home, to offer it to the acting owner."""

    link: LinkId
    """The connection on which an offer is to be answered; with it the walk ends."""
    shard: int = 0
    rest: deque[SessionId] = field(factory=deque)
    """What of the shard has not been offered."""
    to_the_end: bool = False
    """It goes on although nothing is released: this node has to hear what has ended."""


class Releasing:
    """Both sides: what this node offers, and what it releases others from."""

    def __init__(
        self,
        core: Core,
        links: Links,
        replication: Replication,
        receipts: Receipts,
        comparing: Comparing,
        settling: Settling,
        serving: Serving,
    ) -> None:
        self._core = core
        self._links = links
        self._replication = replication
        self._receipts = receipts
        self._comparing = comparing
        self._settling = settling
        self._serving = serving
        self._passes: dict[str, _Pass] = {}
        """By home; an offer of each is on its way, unless its connection was lost."""
        self._not_before: dict[str, float] = {}
        self._told_at: dict[str, float] = {}
        """Of each home of which this node has something and for which it does not act: since when
        it may be told of no changes, or when all of it was last offered."""

    # --- The stand-in ---

    def offer(self, now: float) -> None:
        """Begin to offer what this node has and need not have, or may not be told of."""
        core = self._core
        kept = [
            home
            for home in core.ring.homes
            if core.table.count(home) and home not in core.view.claims
        ]
        self._told_at = {home: self._told_at.get(home, now) for home in kept}
        if core.view.is_draining:
            return
        for home in kept:
            acting = core.view.acting_owner(home)
            is_due = now - self._told_at[home] >= core.settings.retention_s * _UNTOLD_SHARE
            if is_due and self._may_tell(home, acting):
                self._begin(home, acting, now, to_the_end=True)
            elif (
                self._not_before.get(home, 0.0) <= now
                and self._is_spare(home, acting)
                and self._settling.all_quiet
            ):
                self._begin(home, acting, now, to_the_end=False)

    def _begin(self, home: str, acting: str, now: float, *, to_the_end: bool) -> None:
        begun = self._passes.get(home)
        # While its connection lives an offer is answered, by one that acts no more as well.
        if begun is None or self._links.get(begun.link) is None:
            outbound = self._links.outbound[acting]
            self._passes[home] = _Pass(outbound.link, to_the_end=to_the_end)
            self._offer_more(home, outbound, now)

    def on_offered(self, outbound: Outbound, message: Offered, now: float) -> None:
        """Offer the next part; or pause, if the acting owner releases from nothing just now."""
        begun = self._passes.get(message.home)
        if begun is None or begun.link != outbound.link:
            raise RemoteProtocolError("answers an offer that was not made")
        may = self._may_tell if begun.to_the_end else self._is_spare
        goes_on = message.released or begun.to_the_end
        if goes_on and may(message.home, outbound.peer):
            self._offer_more(message.home, outbound, now)
        else:
            self._end(message.home, now)

    def on_release(self, peer: str, message: Release, now: float) -> None:
        """Drop what ``peer`` has released this node from, if it still may."""
        table, needed = self._core.table, self._carried(self._links.outbound.keys())
        needed |= self._links.answered()
        journal, released_at = self._core.journal, self._core.clock.reading(now)
        for session_id, digest in _rows(message.flat):
            home = home_of(session_id)
            if home not in self._core.ring:
                raise RemoteProtocolError("releases a session whose home is not in this ring")
            if (
                table.digest(session_id) == digest
                and self._is_spare(home, peer)
                and session_id not in needed
                and not self._receipts.is_waiting(session_id)
                and not self._serving.is_asking(session_id)
            ):
                self._replication.drop(session_id)
                journal.note_of_many(session_id, Happening.RELEASED, released_at, peer.encode())

    def _is_spare(self, home: str, acting: str) -> bool:
        """Return whether others hold ``home``, and ``acting`` is who may say so."""
        view = self._core.view
        return (
            self._may_tell(home, acting)
            and view.name not in view.holders(home)
            and not view.is_holder(home)
        )

    def _may_tell(self, home: str, acting: str) -> bool:
        """Return whether ``acting`` acts for ``home``, and this node does not."""
        view = self._core.view
        peer = view.peers.get(acting)
        return (
            self._core.ready
            and home in self._core.ring
            and peer is not None
            and home in peer.claims
            and view.acting_owner(home) == acting
        )

    def _offer_more(self, home: str, outbound: Outbound, now: float) -> None:
        begun, table = self._passes[home], self._core.table
        flat = list[bytes | int]()
        while len(flat) < 2 * RELEASED_MAX:
            if not begun.rest:
                if begun.shard == SHARDS:
                    self._told_at[home] = now
                    break
                begun.rest.extend(table.in_shard(home, begun.shard))
                begun.shard += 1
                continue
            session_id = begun.rest.popleft()
            if digest := table.digest(session_id):
                flat += (session_id, digest)
        if not flat or not self._links.ask(outbound, Offer(home, flat)):
            self._end(home, now)

    def _end(self, home: str, now: float) -> None:
        """Look again in a while: what was not released now may be then."""
        del self._passes[home]
        self._not_before[home] = now + self._core.settings.offer_interval_s

    # --- The acting owner ---

    def on_offer(self, inbound: Inbound, peer: str, message: Offer, now: float) -> None:
        """Release ``peer`` from what every holder has; ask for what it has otherwise."""
        home = message.home
        if home not in self._core.ring:
            raise RemoteProtocolError("offers a home that is not in this ring")
        rows = _rows(message.flat)
        if any(home_of(session_id) != home for session_id, _ in rows):
            raise RemoteProtocolError("offers a session of another home")
        outbound = self._links.outbound.get(peer)
        released = 0
        if outbound is not None and home in self._core.view.claims:
            releases = self._may_release(home, peer, now)
            concerned = {*self._core.view.holders(home), peer}
            needed = self._carried(concerned & self._links.outbound.keys())
            for session_id, digest in rows:
                if self._core.table.digest(session_id) != digest:
                    self._replication.mark(peer, session_id, ())
                elif (
                    releases
                    and session_id not in needed
                    and not self._receipts.is_waiting(session_id)
                ):
                    outbound.releases[session_id] = digest
                    released += 1
            self._links.wake(outbound)
        self._links.answer(inbound.link, Offered(home, released))

    def _may_release(self, home: str, peer: str, now: float) -> bool:
        """Return whether the holders of ``home`` are all there, and have all that is here."""
        view = self._core.view
        holders = view.holders(home)
        others = [name for name in holders if name != view.name]
        return (
            view.name in holders
            and len(holders) == self._core.ring.copies
            and peer not in holders
            and self._settling.all_quiet
            and not self._settling.uncompared(home, now)
            and all(not self._comparing.lacking(home, name) for name in others)
        )

    def _carried(self, peers: Set[str]) -> set[SessionId]:
        """Return the sessions of which changes are on their way to these members."""
        outbound = self._links.outbound
        return set().union(*(outbound[name].stream.carried() for name in sorted(peers)))


def _rows(flat: list[bytes | int]) -> list[tuple[SessionId, int]]:
    rows = list[tuple[SessionId, int]]()
    for key, digest in zip(flat[::2], flat[1::2], strict=True):
        assert isinstance(key, bytes)
        assert isinstance(digest, int)
        rows.append((SessionId(key), digest))
    return rows
