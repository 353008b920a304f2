"""What the replica asks its driver to do; the only way in which a decision leaves the core.

Rule: an effect is a value. The driver performs effects in the order in which they were returned,
and tells the replica the outcome as another input.
"""

from typing import TypeAlias

from attrs import field, frozen

from ring.announcements import Announcement, Takeover
from ring.identity import LinkId, SessionId
from ring.inquiry import Account
from ring.messages import Failed, Reply
from ring.placement import Ring
from ring.questions import Matches


@frozen
class Wake:
    """There is something to send on this link: call ``Replica.take`` until it gives None."""

    link: LinkId


@frozen
class Dial:
    """Connect to this member now, whatever the back-off says; ignore it if already dialling."""

    peer: str


@frozen
class Close:
    """Close this connection; ``on_closed`` must follow."""

    link: LinkId
    reason: str
    name_in_use: bool = False
    """Tell the peer that another live process has its name."""


@frozen
class Persist:
    """The record of this session has changed: write it to the store, or delete it if gone."""

    session_id: SessionId


@frozen
class SetAside:
    """Keep these records, in portable form, where they are out of the way: they count no more.

    It comes before the ``Persist`` by which each of them is deleted.
    """

    home: str
    records: tuple[tuple[SessionId, bytes], ...]


@frozen
class Respond:
    """The outcome of a request of the application in this process."""

    number: int
    reply: Reply | Matches


@frozen
class Tell:
    """The answer to a question of people in this process."""

    number: int
    account: Account | Failed


@frozen
class Notice:
    """Something that people want to know: an event name that never changes, and its fields."""

    event: str
    fields: dict[str, str | int | float | bool] = field(factory=dict)
    alarming: bool = False
    session_id: SessionId | None = None
    """Which session it is about; people are shown no more of it than a tag."""


@frozen
class Adopt:
    """The ring is this from now on: keep it, greet with it, and dial whom it has.

    If it does not have this node, nothing is left to do here: stop.
    """

    ring: Ring


@frozen
class Announce:
    """Tell whoever listens in this process; ``Replica.on_delivered`` when they are done.

    What is a hint, or a takeover, is told and forgotten.
    """

    what: Announcement | Takeover


@frozen
class Withdraw:
    """Give back what nobody here has begun with, of sessions of this home."""

    home: str


Effect: TypeAlias = (
    Wake | Dial | Close | Persist | SetAside | Respond | Tell | Notice | Adopt | Announce | Withdraw
)
