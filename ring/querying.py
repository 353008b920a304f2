"""Sessions by the value of an attribute: every member is asked, and each answers for what it acts.

Rules:
- The node that a client asks has all members answer for the homes that each of them acts for, some
  members at a time and from each at most one chunk of its index; then it gives all that as a page.
  It keeps nothing between two pages.
- Of a home all is said if one member acts for it, in every page, and knows as much as it needs to
  deny that there is a session. Any other home is named, and every member that was not heard.
- A member that does not answer soon is named instead of being waited for.
- An index that a member does not have is an error: its sessions would be missing in silence.
"""

from collections.abc import Iterable
from itertools import count
from typing import Final

from attrs import define, evolve, field

from ring.core import Core
from ring.cursors import (
    Progress,
    read_place,
    read_progress,
    spell_place,
    spell_progress,
)
from ring.entry import CREATED, LIFETIME, MAX_IDLE, PRINCIPAL
from ring.errands import check_matches, respond
from ring.errors import RemoteProtocolError
from ring.identity import LinkId, SessionId, home_of
from ring.index import CHUNK_IDS, INDEXED_BYTES_MAX, Index, Place
from ring.links import Deferred, Links, Outbound
from ring.liveness import Liveness
from ring.packed import held_is_whole, held_reserved, held_serves, held_summary
from ring.questions import Matches, Query
from ring.receipts import Origin
from ring.settling import Settling

ASKED_AT_ONCE: Final = 8
"""Members in one page: what eight of them say in full fits into one frame."""
COUNTED_MAX: Final = 1024
"""Ids that are looked at for one page of counts."""

_TOLD: Final = tuple(sorted((CREATED, LIFETIME, MAX_IDLE, PRINCIPAL)))
"""What a row has of a session's entries, in the order that a record demands."""


@define(eq=False)
class _Gathering:
    """One page that is being made of what several members say."""

    origin: Origin
    query: Query
    deadline: float
    progress: list[Progress]
    waiting: dict[int, Progress] = field(factory=dict)
    """Members that were asked and have not answered, by the number of the question."""
    rows: dict[bytes, bytes] = field(factory=dict)
    counts: list[bytes | int] = field(factory=list)
    reason: str = ""


class Querying:
    """The questions that this node was asked, and what it says to those of other members."""

    def __init__(self, core: Core, links: Links, settling: Settling) -> None:
        self._core = core
        self._links = links
        self._settling = settling
        self._numbers = count(1)
        self._asked: dict[int, tuple[LinkId, _Gathering]] = {}
        self._life = 0
        """Names this life in cursors: when it was first asked."""

    @property
    def unanswered(self) -> int:
        """How many questions wait for members."""
        return len({id(gathering) for _, gathering in self._asked.values()})

    # --- Inputs ---

    def serve(self, origin: Origin, query: Query, now: float) -> None:
        """Answer a question, now or within a moment.

        Raises:
            RemoteProtocolError: its cursor was not made by a member. Nothing was asked.
        """
        self._life = self._life or self._core.clock.physical_ms(now)
        if query.forwarded:
            assert origin is not None
            place = read_place(query.cursor, self._life)
            self._links.answer(origin, Deferred(lambda moment: self._page(query, place, moment)))
            return
        if (reason := self._objection(query)) or self._core.is_removed:
            reason = reason or f"{self._core.name} is not in the ring any more"
            self._answer(origin, _failed(query.number, reason))
            return
        progress = read_progress(query.cursor) if query.cursor else self._everyone()
        deadline = now + self._core.settings.client_parked_s
        self._ask(_Gathering(origin, query, deadline, progress), now)

    def on_matches(self, outbound: Outbound, matches: Matches, now: float) -> None:
        """Take what a member says."""
        link, gathering = self._asked.get(matches.number, (None, None))
        if gathering is None:
            return  # It was named as one that did not answer.
        if link != outbound.link:
            raise RemoteProtocolError("answers a question of another connection")
        check_matches(gathering.query, matches)
        self._check_homes(matches)
        del self._asked[matches.number]
        self._take(gathering, gathering.waiting.pop(matches.number), matches)
        self._maybe_finish(gathering, now)

    def _check_homes(self, matches: Matches) -> None:
        if any(home_of(SessionId(each)) not in self._core.ring for each in matches.flat[::2]):
            raise RemoteProtocolError("names a session whose home is not in this ring")

    def on_link_lost(self, lost: Outbound, now: float) -> None:
        """Name the member in all that it has not answered."""
        for number, (link, gathering) in list(self._asked.items()):
            if link == lost.link:
                self._give_up(gathering, number)
                self._maybe_finish(gathering, now)

    def on_tick(self, now: float) -> None:
        """Name whoever has not answered in time."""
        for number, (_, gathering) in list(self._asked.items()):
            if gathering.deadline <= now:
                self._give_up(gathering, number)
                self._maybe_finish(gathering, now)

    def next_due(self) -> float | None:
        """Return when ``on_tick`` has something to do; None: nothing waits."""
        return min((each.deadline for _, each in self._asked.values()), default=None)

    # --- Asking the others ---

    def _everyone(self) -> list[Progress]:
        """Return whom to ask: this node, and all others but those that are gone for good."""
        view = self._core.view
        gone = {peer.name for peer in view.peers_in(Liveness.DOWN)} & self._core.ring.leaving
        return [Progress(name) for name in (view.name, *view.peers) if name not in gone]

    def _ask(self, gathering: _Gathering, now: float) -> None:
        """Ask the next members that have not said all yet."""
        asked = [each for each in gathering.progress if not each.done][:ASKED_AT_ONCE]
        query = gathering.query
        for each in asked:
            if each.member == self._core.name:
                place = read_place(each.cursor, self._life)
                self._take(gathering, each, self._page(query, place, now))
                continue
            outbound = self._links.outbound.get(each.member)
            number = next(self._numbers)
            forwarded = evolve(query, number=number, cursor=each.cursor, forwarded=True)
            is_up = each.member in self._core.view.up
            if is_up and outbound is not None and self._links.ask(outbound, forwarded):
                gathering.waiting[number] = each
                self._asked[number] = (outbound.link, gathering)
            else:
                self._note_unheard(each)
        self._maybe_finish(gathering, now)

    def _note_unheard(self, progress: Progress) -> None:
        progress.done = True
        peer = self._core.view.peers.get(progress.member)
        if peer is not None:
            progress.is_down = peer.liveness is Liveness.DOWN
            progress.is_missing = not progress.is_down

    def _give_up(self, gathering: _Gathering, number: int) -> None:
        del self._asked[number]
        self._note_unheard(gathering.waiting.pop(number))

    def _take(self, gathering: _Gathering, progress: Progress, matches: Matches) -> None:
        gathering.reason = gathering.reason or matches.reason
        fields = iter(matches.flat)
        gathering.rows.update(zip(fields, fields, strict=True))
        gathering.counts += matches.counts
        progress.note(frozenset(matches.homes), frozenset(matches.missing), matches.cursor)

    def _maybe_finish(self, gathering: _Gathering, now: float) -> None:
        """Answer once nobody is waited for any more."""
        if gathering.waiting:
            return
        number, progress = gathering.query.number, gathering.progress
        if gathering.reason:
            self._answer(gathering.origin, _failed(number, gathering.reason))
            return
        flat = [part for row in gathering.rows.items() for part in row]
        if not all(each.done for each in progress):
            cursor = spell_progress(progress)
            page = Matches(number, flat, gathering.counts, cursor, (), (), (), "")
        else:
            homes = [home for home in self._core.ring.homes if _is_said(home, progress)]
            missing = {*self._core.ring.homes} - {*homes}
            missing |= {each.member for each in progress if each.is_missing}
            down = tuple(each.member for each in progress if each.is_down)
            page = Matches(
                number, flat, gathering.counts, b"", tuple(homes), tuple(sorted(missing)), down, ""
            )
        self._answer(gathering.origin, page)

    def _answer(self, origin: Origin, matches: Matches) -> None:
        respond(self._core, self._links, origin, matches)

    # --- What this node says ---

    def _objection(self, query: Query) -> str:
        """Return why this node cannot answer a question, as a sentence; empty if it can."""
        name, index = _name(query.index), self._core.table.indexes.get(query.index)
        if index is None or not index.covers(query.namespace):
            where = f" of namespace {query.namespace}" if query.namespace else ""
            return (
                f"{self._core.name} has no index of {name}{where}; name it in "
                f"{_setting(self._core, query.namespace)}, on every node"
            )
        if structured := index.structured(query.namespace):
            return (
                f"{name} is a map, a set or a counter in {structured} sessions; only plain "
                "attributes are found by their values"
            )
        return ""

    def _page(self, query: Query, place: Place, now: float) -> Matches:
        """Return the next page of what this node says of the homes that it acts for."""
        if reason := self._objection(query):
            return _failed(query.number, reason)
        view, settling = self._core.view, self._settling
        homes = {
            home
            for home in view.claims
            if not settling.uncompared(home, now) and settling.may_deny(home, now)
        }
        flat, counts, after = list[bytes](), list[bytes | int](), None
        index = self._core.table.indexes[query.index]
        if query.value:
            flat, after = self._found(index, query, place, homes, now)
        else:
            counts, after = self._counted(index, query, place, homes, now)
        cursor = spell_place(self._life, after) if after is not None else b""
        partly = tuple(sorted(view.claims - homes))
        return Matches(query.number, flat, counts, cursor, tuple(sorted(homes)), partly, (), "")

    def _found(
        self, index: Index, query: Query, place: Place, homes: set[str], now: float
    ) -> tuple[list[bytes], Place | None]:
        """Return the rows of a page, and where it goes on; homes that are not all known leave."""
        flat, looked_at, after = list[bytes](), 0, None
        for ids, behind in index.ids(query.namespace, query.value, place):
            if looked_at and looked_at + len(ids) > CHUNK_IDS:
                break
            looked_at, after = looked_at + len(ids), behind
            for session_id, held in self._alive(ids, homes, now):
                reserved = held_reserved(held)
                told = {key: reserved[key] for key in _TOLD if _is_short(reserved.get(key))}
                flat += (session_id, held_summary(held, told, now))
        return flat, after

    def _counted(
        self, index: Index, query: Query, place: Place, homes: set[str], now: float
    ) -> tuple[list[bytes | int], Place | None]:
        """Return the counts of a page, and where it goes on; homes as in ``_found``."""
        counts, looked_at, last = list[bytes | int](), 0, place
        for value, ids, behind in index.values(query.namespace, place):
            if looked_at + len(ids) > COUNTED_MAX or len(counts) >= 2 * CHUNK_IDS:
                return counts, last
            looked_at, last = looked_at + len(ids) + 1, behind
            if alive := len(self._alive(ids, homes, now)):
                counts += (value, alive)
        return counts, None

    def _alive(
        self, ids: Iterable[SessionId], homes: set[str], now: float
    ) -> list[tuple[SessionId, bytes]]:
        """Return what is alive of the homes that this node acts for, as the table holds it."""
        claims, alive = self._core.view.claims, list[tuple[SessionId, bytes]]()
        for session_id in ids:
            home = home_of(session_id)
            if home not in claims:
                continue
            held = self._core.table.held(session_id)
            assert held is not None, "what is indexed is held"
            if held_serves(held, now):
                alive.append((session_id, held))
            elif not held_is_whole(held):
                homes.discard(home)  # It may be alive, and may have another value elsewhere.
        return alive


def _is_said(home: str, progress: list[Progress]) -> bool:
    """Return whether one member has said all of a home, and nobody else acts for it as well."""
    saying = [each for each in progress if each.homes is not None and home in each.homes]
    return len(saying) == 1 and not any(home in each.partly for each in progress)


def _failed(number: int, reason: str) -> Matches:
    return Matches(number, [], [], b"", (), (), (), reason)


def _is_short(entry: bytes | None) -> bool:
    return entry is not None and len(entry) <= INDEXED_BYTES_MAX


def _name(key: bytes) -> str:
    return "the principal" if key == PRINCIPAL else repr(key.decode(errors="replace"))


def _setting(core: Core, namespace: str) -> str:
    own = namespace in core.settings.namespace_indexes
    return f"namespaces.{namespace}.indexes" if own else "sessions.indexes"
