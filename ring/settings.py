"""The replica's numbers that an operator or a simulation changes, with what larger and smaller do.

Rule: all durations are seconds, all sizes bytes, both inclusive. The defaults suit a local
network; simulations draw others for each seed.
"""

from collections.abc import Mapping

from attrs import field, frozen


@frozen
class Limits:
    """How large the sessions of a namespace may be, and how many there may be."""

    session_bytes_max: int = 768 * 1024
    """A record's packed size; less than the frame limit of the wire, so that it always fits."""
    attribute_bytes_max: int = 256 * 1024
    """One attribute's packed size."""
    attributes_max: int = 2048
    """Attributes and members of one session together, those removed within retention included."""
    sessions_max: int = 0
    """How many sessions of one home may live at a time; 0: as many as there is memory for."""


@frozen
class Settings:
    """Intervals, time-outs and limits of one node. Equality between members is not required."""

    heartbeat_interval_s: float = 0.5
    """Larger: fewer small frames. Smaller: silence is noticed sooner, with ``suspect_after_s``."""
    suspect_after_s: float = 3.0
    """Silence on a link before it is closed and dialled again; at least 4 heartbeats."""
    frozen_after_s: float = 1.0
    """A standstill of this node's own loop after which it trusts no link and nothing it knew; at
    least two heartbeats, whatever is set. Half the connect time-out: others can call a node down
    that accepts and says nothing within about that, and act in its place. Smaller: a busy process
    settles again needlessly."""
    ack_timeout_s: float = 1.0
    """How long a save waits for a live member before it is degraded or refused."""
    lagging_after_s: float = 3.0
    """How long a change may wait for a member's acknowledgement before another stands in for it."""
    clock_bound_s: float = 60.0
    """How far apart two members' clocks may be; one that is not ready yet stays out beyond it.
    Larger: a wrong clock is tolerated, and its writes win for so long. Smaller: the reverse."""
    settle_timeout_s: float = 6.0
    """A comparison without progress for this long is given up; more than suspect + handshake."""
    join_timeout_s: float = 10.0
    """How long a starting node waits for members that may know more than its own disk."""
    waits_alone: bool = False
    """What then, if nobody else is there: wait on, instead of answering what may be stale."""
    request_timeout_s: float = 8.0
    """The one deadline of a request, wherever it is forwarded; more than suspect + handshake."""
    client_parked_s: float = 1.0
    """How long a client's request is kept before it is told "not known yet". Less than a client
    waits for a node: so it can tell a node that waits for others from one that is stopped."""
    sweep_interval_s: float = 60.0
    """Between two looks for expired sessions, with 10 % jitter. Larger: they linger in memory."""
    expiring_lead_s: float = 0.0
    """How long before a session expires that is announced, or up to a sweep longer; 0: never."""
    expired_kept_s: float = 300.0
    """How long an expired session's record stays, hidden, before it is dropped."""
    retention_s: float = 7 * 86_400.0
    """How long an end or a removal is remembered, from its stamp. Larger: members may lose contact
    for longer, and more tombstones are kept. The same on all members."""
    tombstone_bytes_max: int = 64 << 20
    """What tombstones may take here; at it no session is created. None is dropped for it."""
    warn_overwrites: bool = False
    """Whether to tell people of each attribute of which two nodes' concurrent values meet."""
    journal_bytes_max: int = 16 << 20
    """What the stories of sessions may take, which tell people why something has happened."""
    absent_cached_s: float = 1.0
    """How long "no such session" is answered again without asking every member."""
    offer_interval_s: float = 1.0
    """How often a stand-in offers again what it was not released from."""
    changes_per_frame_max: int = 256
    """Larger: fewer frames under load. Smaller: a frame is merged in less time."""
    records_per_frame_max: int = 512
    """The same for recovery."""
    frame_fill_bytes: int = 256 * 1024
    """A frame is closed once it holds this much; a single record may take it to the limit."""
    unacknowledged_max: int = 8192
    """Changes on the way to one peer; beyond it they wait in pending, where they coalesce."""
    requests_per_link_max: int = 1024
    """Unanswered requests of one connection; a peer that sends more loses its link."""
    limits: Limits = Limits()
    """Of every namespace that is not in ``namespaces``, the default one among them."""
    namespaces: Mapping[str, Limits] = field(factory=dict)
    """The limits of namespaces that have their own."""
    indexes: tuple[str, ...] = ()
    """Plain attributes by whose values sessions are found; the same on all members."""
    namespace_indexes: Mapping[str, tuple[str, ...]] = field(factory=dict)
    """The same of namespaces that have their own."""

    def limits_of(self, namespace: str) -> Limits:
        """Return the limits of a namespace."""
        return self.namespaces.get(namespace, self.limits)
