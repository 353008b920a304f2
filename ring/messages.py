"""What members, and the clients of members, say to each other on an authenticated link.

A link belongs to the member or client that dialled it: it carries the dialler's stream one way
and the answers the other way. Two members have two links, one for each direction.

Rules:
- Everything that changes state is a record in portable form (``ring.record``), to be merged.
- Changes are numbered from 1 by their position in one connection's stream; a number says nothing
  about any other connection.
- A message is a value: it shares nothing with the state of the replica that made it.
"""

from enum import IntEnum, StrEnum
from typing import Final, TypeAlias

from attrs import frozen

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.announcements import Announced, Announcements
from ring.clock import Stamp
from ring.identity import Incarnation, SessionId
from ring.inquiry import Inspect, Inspected, Story, Why
from ring.questions import Matches, Query


class Durability(StrEnum):
    """What must hold a change before its save returns."""

    LOCAL = "local"
    """The memory of the acting owner."""
    BACKUP = "backup"
    """The memory of the acting owner and of one backup."""
    DISK = "disk"
    """The memory and the disk of the acting owner."""
    BACKUP_AND_DISK = "backup+disk"
    """The memory of the acting owner and of one backup, and the acting owner's disk."""

    @property
    def wants_backup(self) -> bool:
        """Whether one other member has to hold the change."""
        return self in (Durability.BACKUP, Durability.BACKUP_AND_DISK)

    @property
    def wants_disk(self) -> bool:
        """Whether the acting owner's disk has to hold the change."""
        return self in (Durability.DISK, Durability.BACKUP_AND_DISK)


@frozen
class Greeting:
    """What the handshake of a connection has shown of the peer, beside its name."""

    incarnation: Incarnation
    clock_ms: int
    """The reading of its clock, in milliseconds since 1970."""
    ring_version: int = 0
    """The version in which it knew the ring when it connected; 0: it did not say."""


# --- The stream: dialler to acceptor, hot ---


@frozen
class Changes:
    """Records or fragments of them; each with the sender's digest of the whole after it.

    ``flat`` repeats ``id: bytes, digest: int, portable: bytes``. One flat list packs twice as
    fast as one tuple per change (measured 0.062 against 0.115-0.151 us per change).
    """

    flat: list[bytes | int]


@frozen
class Acks:
    """Acceptor to dialler: every change up to ``upto`` was merged.

    The acceptor *holds* each of them, its digest being equal then, except those named in
    ``different``: ``(number, portable)``, with the acceptor's own record (empty bytes: none).
    """

    upto: int
    different: tuple[tuple[int, bytes], ...] = ()


@frozen
class Release:
    """Dialler: every holder has these; drop each that is in the state with this digest.

    It counts as dropped for whatever is written after this. ``flat`` repeats
    ``id: bytes, digest: int``.
    """

    flat: list[bytes | int]


# --- Liveness: both ways, at every heartbeat and at every change ---


@frozen
class Status:
    """What the sender is and does now; the first message after authentication, both ways."""

    clock: Stamp
    ready: bool
    """The sender has settled and been refilled; the next member may be restarted."""
    synced: bool
    """Dialler only: its comparisons at this connection are done, nothing of them is pending."""
    version: int
    """Rises whenever the claims change, and from one life of a member to the next; an older one
    that arrives late changes nothing."""
    claims: tuple[str, ...]
    """The homes the sender acts for."""
    echo: bool
    """An acceptor's answer to the dialler's heartbeat."""
    draining: bool = False
    """The sender is about to leave: whoever comes before it in a home's line takes over."""
    heard: int = 0
    """Dialler only: the newest version of the receiver's status that ``synced`` allows for."""
    missing: tuple[str, ...] = ()
    """The members without whose word the sender became ready: they may know more."""
    listens_to: int = 0
    """The kinds of announcements to which the sender's process listens, as a mask."""


# --- Comparison of a home: the dialler asks, the acceptor answers ---


@frozen
class Compare:
    """Dialler: here are my buckets of ``home``; bring me what I lack.

    ``buckets`` is one big-endian 64-bit sum per bucket, or empty bytes for "I have nothing".
    """

    home: str
    round: int
    buckets: bytes
    wants: bool = True
    """Else buckets in which the dialler has nothing are passed over."""


@frozen
class Records:
    """Acceptor: records of buckets in which the dialler had nothing; ``flat`` as in Changes."""

    home: str
    round: int
    flat: list[bytes | int]


@frozen
class Listing:
    """Acceptor: all it has in buckets where both have something and it differs.

    ``flat`` repeats ``id: bytes, digest: int``. Without buckets, it is a part: its ids belong to
    the next listing that names some.
    """

    home: str
    round: int
    buckets: tuple[int, ...]
    flat: list[bytes | int]


@frozen
class Compared:
    """Acceptor: the comparison has been answered; everything it brings came before this."""

    home: str
    round: int


# --- Freeing a stand-in: it offers to the acting owner, which releases it in its own stream ---


@frozen
class Offer:
    """Dialler: I have these, and am no holder; ``flat`` repeats ``id: bytes, digest: int``."""

    home: str
    flat: list[bytes | int]


@frozen
class Offered:
    """Acceptor: of so many sessions of the last offer of this home I am releasing you."""

    home: str
    released: int


# --- Asking for one record: the dialler asks, the acceptor answers from its table ---


@frozen
class Ask:
    """Dialler: what do you have of this session? Answered in every state."""

    number: int
    session_id: SessionId


@frozen
class Answer:
    """Acceptor: its record in portable form, or empty bytes for none."""

    number: int
    portable: bytes


# --- Requests: of a client, or forwarded by the member that a client asked ---


@frozen
class Find:
    """The record of a session, if it is alive."""

    number: int
    session_id: SessionId
    touch: bool
    forwarded: bool
    insist: bool = False
    """Forwarded, and the member that the receiver would name cannot be asked: it serves itself,
    having asked everybody that it can reach."""
    local: bool = False
    """Not forwarded: the receiver's own copy will do, if it has a whole one that is alive."""


@frozen
class Save:
    """Changes to one session; the acting owner stamps them."""

    number: int
    session_id: SessionId
    create: bool
    """The session may be new. Without it, a save to an unknown id never creates."""
    changes: tuple[tuple[bytes, bytes | None], ...]
    """Entry key and packed value; None removes the entry."""
    durability: Durability
    refuse: bool
    """Fail if the durability is not reached in time, instead of answering degraded."""
    forwarded: bool
    insist: bool = False
    """As in Find."""
    expected: int = 0
    """The state (``ring.state``) in which nothing else may have been written; 0: whatever it is."""


@frozen
class End:
    """The end of a session: it becomes a tombstone."""

    number: int
    session_id: SessionId
    durability: Durability
    refuse: bool
    forwarded: bool
    insist: bool = False
    """As in Find."""


@frozen
class Rotate:
    """The end of a session under its id, and its going on under another, with changes."""

    number: int
    session_id: SessionId
    new_id: SessionId
    """Fresh, and of the same home; the same again when it is repeated."""
    changes: tuple[tuple[bytes, bytes | None], ...]
    """As in Save, for the session under its new id."""
    durability: Durability
    refuse: bool
    forwarded: bool
    insist: bool = False
    """As in Find."""
    expected: int = 0
    """As in Save, for the session under its old id; it counts for nothing once that has ended."""


class Failure(IntEnum):
    """Why a request was not carried out."""

    UNAVAILABLE = 1
    """Not known yet, or nobody to ask. Definite."""
    GONE = 2
    """Ended, expired or unknown. Definite."""
    NOT_REPLICATED = 3
    """In force at the acting owner, but less durable than asked for. Indefinite."""
    OUTCOME_UNKNOWN = 4
    """Forwarded, and not answered in time. Indefinite."""
    TOO_LARGE = 5
    """Over a size limit. Definite."""
    INVALID = 6
    """A key or value that no application can have asked for. Definite."""
    FULL = 7
    """There is no room for another session, or another end, just now. Definite."""
    CONFLICT = 8
    """The session is not in the state that was expected. Definite."""


@frozen
class Found:
    """The record, whole and alive."""

    number: int
    portable: bytes
    maybe_stale: bool = False
    """A member that was not heard may have a newer one."""
    age_ms: int = 0
    """How long ago, in milliseconds, who answers has last heard from the acting owner; 0: it acts
    itself, or has asked."""
    failed_over: bool = False
    """Another member than its home serves it; of a copy at hand: acts for it."""


@frozen
class Absent:
    """There is no such session: every reachable member was asked, or it has ended."""

    number: int


@frozen
class Saved:
    """The change is in force, and this is who had it when the answer was made."""

    number: int
    holders: tuple[str, ...]
    on_disk: tuple[str, ...]
    degraded: bool


@frozen
class Failed:
    """The request was not carried out, or not as asked for."""

    number: int
    failure: Failure
    reason: str
    """One sentence for people; no session id in it."""


@frozen
class Redirect:
    """To a forwarded request: that member acts for the session, as this one sees it."""

    number: int
    to: str


@frozen
class Members:
    """Acceptor to a client, first of all and after every change: the ring, so that it can route."""

    ring_name: str
    names: tuple[str, ...]
    addresses: tuple[str, ...]
    backups: tuple[str, ...] = ()
    """The members with which no session is created as the home."""
    departed: tuple[str, ...] = ()
    """Homes whose members have left."""
    heirs: tuple[str, ...] = ()
    """For each of these, the member that has its sessions now."""


@frozen
class Leaving:
    """Acceptor to a client: ask others from now on; what is under way is still answered."""


AGE_UNKNOWN: Final = (1 << 64) - 1
"""In the place of an age: nobody tells who answers what changes."""

RELEASED_MAX: Final = 1024
"""Sessions in one offer or release."""

UNANSWERED_MAX: Final = 4096
"""Requests and asks of one member that wait for the same member; the rest wait where they are."""

Request: TypeAlias = Find | Save | End | Rotate
Reply: TypeAlias = Found | Absent | Saved | Failed
Administration: TypeAlias = ShowRing | SetRing
DiallerMessage: TypeAlias = (
    Changes
    | Release
    | Announced
    | Announcements
    | Status
    | RingRecord
    | Compare
    | Offer
    | Ask
    | Request
    | Query
    | Administration
    | Why
    | Inspect
)
AcceptorMessage: TypeAlias = (
    Acks
    | Status
    | RingRecord
    | Records
    | Listing
    | Compared
    | Offered
    | Answer
    | Reply
    | Members
    | Leaving
    | Redirect
    | RingShown
    | Matches
    | Story
    | Inspected
)
Message: TypeAlias = DiallerMessage | AcceptorMessage
