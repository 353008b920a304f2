"""The sections of a configuration, in code and in a file: each setting, its default, its checks.

Rules:
- A key in the file is a field here, with the same name, values and checks; so a setting has the
  same effect from code and from a file.
- A section is checked when it is built: each setting (``node.setting_checks``), and then what
  concerns several of them.
- Durations are seconds once built, sizes bytes, limits inclusive. Secrets show nowhere.
"""

from typing import ClassVar, Final, Literal, TypeAlias

from attrs import field, frozen

from node.principals import PrincipalPolicy
from node.receipts import OnTimeout
from node.setting_checks import (
    check_alone,
    check_answer,
    check_count,
    check_durability,
    check_duration,
    check_flag,
    check_from_0,
    check_indexes,
    check_interval,
    check_policy,
    check_positive,
    check_save_mode,
    check_secrets,
    check_text,
    to_durability,
    to_seconds,
    to_secrets,
    to_texts,
)
from ring.errors import ConfigError
from ring.messages import Durability
from ring.settings import Limits
from ring.writing import ENTRIES_WRITTEN_MAX

Alone: TypeAlias = Literal["serve", "wait"]
SaveMode: TypeAlias = Literal["on_save", "immediate", "on_shutdown"]

SESSION_BYTES_MAX: Final = 768 * 1024
"""No session may be allowed more: a record has to fit into one frame."""


@frozen
class StoreConfig:
    """``[store]``: where the node keeps its sessions on disk. Without it: in memory only."""

    SECTION: ClassVar = "store"

    url: str = field(validator=check_text)
    """``file:`` and an absolute path; ``{name}`` in it stands for the node's own name."""


@frozen
class SessionsConfig:
    """``[sessions]``: what holds for each session unless a call says otherwise."""

    SECTION: ClassVar = "sessions"

    max_idle: float = field(default=1800.0, converter=to_seconds, validator=check_duration)
    """Seconds without access after which a session expires; 0 or less: never.

    Larger: users stay logged in longer, and memory is held longer. Smaller: the reverse.
    """
    lifetime: float = field(default=0.0, converter=to_seconds, validator=check_duration)
    """Seconds after its creation at which a session expires in any case; 0 or less: never.

    Smaller: a stolen cookie is of use for a shorter time.
    """
    expiring_lead: float = field(default=0.0, converter=to_seconds, validator=check_duration)
    """Seconds before its expiry at which a session's ``expiring`` event is told, or up to
    ``node.sweep`` more; 0: never.

    Larger: more time to ask the user. Smaller: fewer who are asked go on by themselves.
    """
    durability: Durability | None = field(
        default=None, converter=to_durability, validator=check_durability
    )
    """What must hold a change before its save returns; None: see ``NodeConfig.durability``."""
    on_timeout: OnTimeout = field(default="accept", validator=check_answer)
    """A save whose durability is not reached in time: a degraded receipt, or an error."""
    on_end_timeout: OnTimeout = field(default="refuse", validator=check_answer)
    """The same for ending a session, where a surviving copy could matter more."""
    session_bytes_max: int = field(default=SESSION_BYTES_MAX, validator=check_count)
    """All names and packed values of a session; at most 786,432. Smaller: memory is bounded."""
    attribute_bytes_max: int = field(default=256 * 1024, validator=check_count)
    """The packed value of one attribute; at most ``session_bytes_max``."""
    remember_max_idle: float = field(
        default=2_592_000.0, converter=to_seconds, validator=check_duration
    )
    """The ``max_idle`` of sessions that are remembered.

    Larger: users who want to stay logged in may stay away for longer. Smaller: the reverse.
    """
    remember_lifetime: float = field(default=0.0, converter=to_seconds, validator=check_duration)
    """The ``lifetime`` of sessions that are remembered, from their creation; 0 or less: no end.

    Smaller: even who comes back every day has to log in again now and then.
    """
    save_mode: SaveMode = field(default="on_save", validator=check_save_mode)
    """When changes are sent: at ``save``, soon after each assignment, or when the node stops."""
    always_save: bool = field(default=False, validator=check_flag)
    """Whether a save sends every plain attribute, also those in which nothing was found changed."""
    warn_overwrites: bool = field(default=False, validator=check_flag)
    """Whether to log each attribute of which two nodes' concurrent values met: for development."""
    attributes_max: int = field(default=ENTRIES_WRITTEN_MAX, validator=check_count)
    """Attributes and members of one session together, those removed within retention included;
    at most 2,048. Smaller: memory is bounded."""
    sessions_max: int = field(default=0, validator=check_from_0)
    """How many sessions that were created at one member may live at a time; 0: no limit.

    Each namespace counts for itself. At the limit no session is created until some have expired,
    which shows at the next ``node.sweep``, or were ended.
    """
    indexes: tuple[str, ...] = field(default=(), converter=to_texts, validator=check_indexes)
    """Plain attributes by whose values sessions are found; the same on every node.

    Each takes memory for every session that has the attribute.
    """
    rotate_on_principal: bool = field(default=True, validator=check_flag)
    """Whether a session goes on under a fresh id when it gets another principal."""
    max_sessions_per_principal: int = field(default=0, validator=check_from_0)
    """How many sessions a principal may have in the whole ring; 0: any number.

    Smaller: a password that was passed on is of use to fewer. Every login asks the ring for it.
    """
    principal_policy: PrincipalPolicy = field(default="end_oldest", validator=check_policy)
    """Beyond that many: "end_oldest" ends others for the new one, "refuse" does not let it in."""

    @property
    def limits(self) -> Limits:
        """What the acting owner has to enforce."""
        return Limits(
            session_bytes_max=self.session_bytes_max,
            attribute_bytes_max=self.attribute_bytes_max,
            attributes_max=self.attributes_max,
            sessions_max=self.sessions_max,
        )

    def __attrs_post_init__(self) -> None:
        if self.attributes_max > ENTRIES_WRITTEN_MAX:
            raise ConfigError(
                f"sessions.attributes_max is {self.attributes_max}; "
                f"use at most {ENTRIES_WRITTEN_MAX}, of which two sides of a cut may add up theirs"
            )
        if self.session_bytes_max > SESSION_BYTES_MAX:
            raise ConfigError(
                f"sessions.session_bytes_max is {self.session_bytes_max}; "
                f"use at most {SESSION_BYTES_MAX}, which is what fits into a frame"
            )
        if self.attribute_bytes_max > self.session_bytes_max:
            raise ConfigError(
                f"sessions.attribute_bytes_max is {self.attribute_bytes_max}, more than "
                f"sessions.session_bytes_max, which is {self.session_bytes_max}; "
                "lower the former or raise the latter"
            )


@frozen
class SecurityConfig:
    """``[security]``: how members and clients prove to each other who they are."""

    SECTION: ClassVar = "security"

    secrets: tuple[bytes, ...] = field(
        default=(), converter=to_secrets, validator=check_secrets, repr=False
    )
    """Shared secrets of 16 to 1,024 bytes. The first one proves, all of them are accepted.

    To change a secret without a pause: add the new one as the last on every node and client, then
    make it the first everywhere, then remove the old one.
    """
    tls_certificate: str | None = field(default=None, validator=check_text)
    """Absolute path of this node's certificate, in PEM; ``{name}``: the node's own name.

    Together with ``tls_key`` and ``tls_ca``: every TCP connection is under TLS. With neither TLS
    nor a secret the node may listen on loopback only.
    """
    tls_key: str | None = field(default=None, validator=check_text)
    """Absolute path of that certificate's private key, in PEM; ``{name}`` as above."""
    tls_ca: str | None = field(default=None, validator=check_text)
    """Absolute path of the authority that signs every certificate of the ring, in PEM."""

    def __attrs_post_init__(self) -> None:
        keys = ("tls_certificate", "tls_key", "tls_ca")
        missing = [key for key in keys if getattr(self, key) is None]
        if 0 < len(missing) < len(keys):
            raise ConfigError(
                f"security.{missing[0]} is missing; write {', '.join(keys[:2])} and {keys[2]}, "
                "or none of them"
            )


@frozen
class NodeSection:
    """``[node]``: where this node listens, its intervals and time-outs, and its limits."""

    SECTION: ClassVar = "node"

    listen: str | None = field(default=None, validator=check_text)
    """``host:port`` to listen at, where it differs from the member's address in the ring."""
    unix: str | None = field(default=None, validator=check_text)
    """Absolute path of a socket for clients on this host; ``{name}``: the node's own name."""
    heartbeat: float = field(default=0.5, converter=to_seconds, validator=check_interval)
    """Seconds between heartbeats. Larger: fewer small frames. Smaller: silence shows sooner."""
    suspect: float = field(default=3.0, converter=to_seconds, validator=check_positive)
    """Seconds of silence before a connection is closed and dialled again; at least 4 heartbeats.

    Larger: a slow member is not mistaken for a dead one. Smaller: a frozen one is noticed sooner.
    """
    handshake: float = field(default=2.0, converter=to_seconds, validator=check_interval)
    """Seconds in which a new connection must have authenticated.

    Larger: for slow networks. Smaller: a member that accepts but never answers is down sooner.
    """
    clock_bound: float = field(default=60.0, converter=to_seconds, validator=check_positive)
    """Seconds that two members' clocks may be apart; one that starts stays out beyond it.

    Larger: a wrong clock is tolerated, and its writes win for so long. Smaller: the reverse.
    """
    settle: float = field(default=6.0, converter=to_seconds, validator=check_positive)
    """Seconds without progress after which a comparison with a member is given up.

    More than ``suspect`` and ``handshake`` together. Larger: fewer answers from what may be stale
    copies. Smaller: sessions are available sooner after a member was lost half-way.
    """
    join: float = field(default=10.0, converter=to_seconds, validator=check_positive)
    """Seconds a starting node waits for members that may know more than its own disk.

    At least ``handshake``. Larger: a ring restarted as a whole waits longer for its slowest
    member. Smaller: a node starts sooner when it is alone.
    """
    alone: Alone = field(default="serve", validator=check_alone)
    """What a node does after ``join`` if no other member is there: "serve" what it has on its disk,
    marked as maybe stale, or "wait" until another member is there.

    "wait" answers nothing that is older than what a member acknowledged, but nothing at all while
    the others are gone; also after a standstill of a node that is alone.
    """
    ack_timeout: float = field(default=1.0, converter=to_seconds, validator=check_positive)
    """Seconds a save waits for a live member before it is degraded or refused.

    Larger: fewer degraded receipts. Smaller: a hanging member holds writers up for less.
    """
    request_timeout: float = field(default=8.0, converter=to_seconds, validator=check_positive)
    """Seconds for a whole request, wherever it is forwarded; more than ``ack_timeout``.

    Above ``suspect`` and ``handshake`` together, a request outlasts a member that hangs. Larger:
    fewer requests fail while members are lost. Smaller: they fail sooner.
    """
    lagging: float = field(default=3.0, converter=to_seconds, validator=check_positive)
    """Seconds that a change may wait for a member before another one stands in for it.

    Larger: a slow member keeps its copies. Smaller: it holds up writers for less.
    """
    drain: float = field(default=30.0, converter=to_seconds, validator=check_positive)
    """Seconds that a node which is told to stop takes at most to hand over what it has.

    It usually needs a fraction of a second. Larger: less is cut off where members are slow or
    restarting. Smaller: the node stops sooner whatever they do.
    """
    sweep: float = field(default=60.0, converter=to_seconds, validator=check_interval)
    """Seconds between two searches for expired sessions. Larger: they linger in memory."""
    retention: float = field(default=604_800.0, converter=to_seconds, validator=check_positive)
    """Seconds for which the end of a session, and the removal of an attribute, are remembered.

    The same on all members. Larger: members may lose contact for longer and still tell each other
    all that happened. Smaller: less memory for what is over.
    """
    tombstone_bytes_max: int = field(default=64 << 20, validator=check_count)
    """What the tombstones of ended sessions may take; at it no session is created.

    Larger: more sessions can be created and ended within ``retention``. Smaller: less memory.
    """
    journal_bytes_max: int = field(default=16 << 20, validator=check_count)
    """What the stories of sessions may take, which `Node.why` tells; the oldest are dropped.

    Larger: they go further back. Smaller: less memory; 1 keeps none.
    """
    reconnect_max: float = field(default=2.0, converter=to_seconds, validator=check_interval)
    """The longest pause, in seconds, between two attempts to reach a member.

    Larger: less traffic to dead hosts. Smaller: a member that comes back is linked sooner.
    """
    connections_max: int = field(default=1024, validator=check_count)
    """Inbound connections in all, of members and clients. Larger: more memory and descriptors.

    At least two for each member, and one for a client.
    """
    unauthenticated_max: int = field(default=128, validator=check_count)
    """How many of them may not have authenticated yet; at most ``connections_max``.

    Larger: strangers can hold more memory. Smaller: they can keep members waiting more easily.
    """
    requests_per_connection_max: int = field(default=1024, validator=check_count)
    """Unanswered requests of one connection; a peer that sends more is disconnected."""

    def __attrs_post_init__(self) -> None:
        if self.suspect < 4 * self.heartbeat:
            raise ConfigError(
                f"node.suspect is {self.suspect:g} s; use at least 4 times node.heartbeat, "
                f"{4 * self.heartbeat:g} s, so that one late frame is not taken for a death"
            )
        if self.settle <= self.suspect + self.handshake:
            raise ConfigError(
                f"node.settle is {self.settle:g} s; use more than node.suspect and node.handshake "
                f"together, {self.suspect + self.handshake:g} s, in which a lost member shows"
            )
        if self.join < self.handshake:
            raise ConfigError(
                f"node.join is {self.join:g} s; use at least node.handshake, "
                f"{self.handshake:g} s, so that members can be reached in it"
            )
        if self.request_timeout <= self.ack_timeout:
            raise ConfigError(
                f"node.request_timeout is {self.request_timeout:g} s; use more than "
                f"node.ack_timeout, {self.ack_timeout:g} s, which is a part of it"
            )
        if self.unauthenticated_max > self.connections_max:
            raise ConfigError(
                f"node.unauthenticated_max is {self.unauthenticated_max}; use at most "
                f"node.connections_max, {self.connections_max}, which includes them"
            )
