"""The sections of a configuration, in code and in a file: each setting, its default, its checks.

Rules:
- A key in the file is a field here, with the same name, values and checks; so a setting has the
  same effect from code and from a file.
- Nothing is coerced but durations, which may be written as text: True is not 1, "1" is not 1.
- A section is checked when it is built; what concerns several settings is checked there too.
- Durations are seconds once built, sizes bytes, limits inclusive. Secrets show nowhere.
"""

from collections.abc import Iterable
from typing import Any, ClassVar, Final, Literal, TypeAlias, cast

from attrs import Attribute, field, frozen

from node.attributes import check_attribute_name
from node.durations import DURATION_FORMS, parse_duration
from node.principals import PrincipalPolicy
from node.receipts import OnTimeout
from ring.errors import ConfigError
from ring.messages import Durability
from ring.settings import Limits
from ring.writing import ENTRIES_WRITTEN_MAX

Alone: TypeAlias = Literal["serve", "wait"]
SaveMode: TypeAlias = Literal["on_save", "immediate", "on_shutdown"]

SECRET_BYTES_MIN: Final = 16
SECRET_BYTES_MAX: Final = 1024

INTERVAL_MIN_S: Final = 0.01
"""The shortest time that a node can keep doing something at."""

SESSION_BYTES_MAX: Final = 768 * 1024
"""No session may be allowed more: a record has to fit into one frame."""


def _seconds(value: float | str) -> float:
    """Convert a duration; leave anything else for the validator, which knows the key."""
    seconds = parse_duration(value)
    return cast(float, value) if seconds is None else seconds


def _durability(value: Durability | str | None) -> Durability | None:
    try:
        return None if value is None else Durability(value)
    except ValueError:
        return cast(Durability, value)


def to_secrets(value: Iterable[bytes | str] | bytes | str) -> tuple[bytes, ...]:
    """Return one secret or several, texts or bytes, as bytes."""
    each = [value] if isinstance(value, bytes | str) else value
    return tuple(_to_bytes(one) if isinstance(one, str) else one for one in each)


def _to_bytes(secret: str) -> bytes:
    try:
        return secret.encode(errors="surrogateescape")  # As the environment is read.
    except UnicodeEncodeError:
        return cast(bytes, secret)  # The validator knows the key.


def _key(section: Any, attribute: "Attribute[Any]") -> str:
    return f"{section.SECTION}.{attribute.name}"


def _check_duration(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if parse_duration(value) is None or not isinstance(value, float):
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use {DURATION_FORMS}")


def _check_positive(section: object, attribute: "Attribute[Any]", value: object) -> None:
    _check_duration(section, attribute, value)
    if not cast(float, value) > 0:
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use more than 0 seconds")


def _check_interval(section: object, attribute: "Attribute[Any]", value: object) -> None:
    """Refuse what would keep a core busy with nothing else, or time out at once."""
    _check_positive(section, attribute, value)
    if cast(float, value) < INTERVAL_MIN_S:
        raise ConfigError(
            f"{_key(section, attribute)} is {value!r} s; use at least {INTERVAL_MIN_S:g} seconds"
        )


def _check_count(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if type(value) is not int or value < 1:
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use a whole number from 1 on")


def _check_from_0(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if type(value) is not int or value < 0:
        raise ConfigError(
            f"{_key(section, attribute)} is {value!r}; use a whole number, or 0 for no limit"
        )


def _texts(value: Iterable[str] | str) -> tuple[str, ...]:
    """Return several texts; leave anything else for the validator, which knows the key."""
    return tuple(value) if isinstance(value, list | tuple) else cast(tuple[str, ...], value)


def _check_indexes(section: object, attribute: "Attribute[Any]", value: object) -> None:
    key = _key(section, attribute)
    if not isinstance(value, tuple):
        raise ConfigError(f"{key} is {value!r}; use a list of names of attributes")
    for number, name in enumerate(value):
        try:
            check_attribute_name(name)
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{key}[{number}] is {name!a}; {error}") from error
    if len(set(value)) != len(value):
        raise ConfigError(f"{key} is {list(value)!r}; name each attribute once")


def _check_policy(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if value not in ("end_oldest", "refuse"):
        raise ConfigError(f'{_key(section, attribute)} is {value!r}; use "end_oldest" or "refuse"')


def _check_flag(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if type(value) is not bool:
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use true or false")


def _check_text(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if not (value is None or (type(value) is str and value)):
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use a text that is not empty")


def _check_durability(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if not (value is None or isinstance(value, Durability)):
        forms = ", ".join(f'"{each}"' for each in Durability)
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use one of {forms}")


def _check_answer(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if value not in ("accept", "refuse"):
        raise ConfigError(f'{_key(section, attribute)} is {value!r}; use "accept" or "refuse"')


def _check_alone(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if value not in ("serve", "wait"):
        raise ConfigError(f'{_key(section, attribute)} is {value!r}; use "serve" or "wait"')


def _check_save_mode(section: object, attribute: "Attribute[Any]", value: object) -> None:
    if value not in ("on_save", "immediate", "on_shutdown"):
        forms = '"on_save", "immediate" or "on_shutdown"'
        raise ConfigError(f"{_key(section, attribute)} is {value!r}; use {forms}")


def _check_secrets(section: object, attribute: "Attribute[Any]", value: tuple[object, ...]) -> None:
    for number, secret in enumerate(value):
        check_secret(f"{_key(section, attribute)}[{number}]", secret)


def check_secret(key: str, secret: object) -> None:
    """Check the form of a secret, which stands at ``key`` and is never shown.

    Raises:
        ConfigError: it is no text or bytes, or too short or too long.
    """
    if isinstance(secret, str):
        raise ConfigError(f"{key} has characters that are none; use a text in UTF-8")
    if not isinstance(secret, bytes):
        raise ConfigError(f"{key} is of type {type(secret).__name__}; use a text")
    if not SECRET_BYTES_MIN <= len(secret) <= SECRET_BYTES_MAX:
        raise ConfigError(
            f"{key} has {len(secret)} bytes; use {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX}, "
            'for example from "openssl rand -base64 32"'
        )
    if not secret.strip(b"\0"):
        # A key of zeros is as good as none: HMAC fills up with them.
        raise ConfigError(f'{key} is all zeros; use one from "openssl rand -base64 32"')


@frozen
class StoreConfig:
    """``[store]``: where the node keeps its sessions on disk. Without it: in memory only."""

    SECTION: ClassVar = "store"

    url: str = field(validator=_check_text)
    """``file:`` and an absolute path; ``{name}`` in it stands for the node's own name."""


@frozen
class SessionsConfig:
    """``[sessions]``: what holds for each session unless a call says otherwise."""

    SECTION: ClassVar = "sessions"

    max_idle: float = field(default=1800.0, converter=_seconds, validator=_check_duration)
    """Seconds without access after which a session expires; 0 or less: never.

    Larger: users stay logged in longer, and memory is held longer. Smaller: the reverse.
    """
    lifetime: float = field(default=0.0, converter=_seconds, validator=_check_duration)
    """Seconds after its creation at which a session expires in any case; 0 or less: never.

    Smaller: a stolen cookie is of use for a shorter time.
    """
    expiring_lead: float = field(default=0.0, converter=_seconds, validator=_check_duration)
    """Seconds before its expiry at which a session's ``expiring`` event is told, or up to
    ``node.sweep`` more; 0: never.

    Larger: more time to ask the user. Smaller: fewer who are asked go on by themselves.
    """
    durability: Durability | None = field(
        default=None, converter=_durability, validator=_check_durability
    )
    """What must hold a change before its save returns; None: see ``NodeConfig.durability``."""
    on_timeout: OnTimeout = field(default="accept", validator=_check_answer)
    """A save whose durability is not reached in time: a degraded receipt, or an error."""
    on_end_timeout: OnTimeout = field(default="refuse", validator=_check_answer)
    """The same for ending a session, where a surviving copy could matter more."""
    session_bytes_max: int = field(default=SESSION_BYTES_MAX, validator=_check_count)
    """All names and packed values of a session; at most 786,432. Smaller: memory is bounded."""
    attribute_bytes_max: int = field(default=256 * 1024, validator=_check_count)
    """The packed value of one attribute; at most ``session_bytes_max``."""
    remember_max_idle: float = field(
        default=2_592_000.0, converter=_seconds, validator=_check_duration
    )
    """The ``max_idle`` of sessions that are remembered.

    Larger: users who want to stay logged in may stay away for longer. Smaller: the reverse.
    """
    remember_lifetime: float = field(default=0.0, converter=_seconds, validator=_check_duration)
    """The ``lifetime`` of sessions that are remembered, from their creation; 0 or less: no end.

    Smaller: even who comes back every day has to log in again now and then.
    """
    save_mode: SaveMode = field(default="on_save", validator=_check_save_mode)
    """When changes are sent: at ``save``, soon after each assignment, or when the node stops."""
    always_save: bool = field(default=False, validator=_check_flag)
    """Whether a save sends every plain attribute, also those in which nothing was found changed."""
    warn_overwrites: bool = field(default=False, validator=_check_flag)
    """Whether to log each attribute of which two nodes' concurrent values met: for development."""
    attributes_max: int = field(default=ENTRIES_WRITTEN_MAX, validator=_check_count)
    """Attributes and members of one session together, those removed within retention included;
    at most 2,048. Smaller: memory is bounded."""
    sessions_max: int = field(default=0, validator=_check_from_0)
    """How many sessions that were created at one member may live at a time; 0: no limit.

    Each namespace counts for itself. At the limit no session is created until some have expired,
    which shows at the next ``node.sweep``, or were ended.
    """
    indexes: tuple[str, ...] = field(default=(), converter=_texts, validator=_check_indexes)
    """Plain attributes by whose values sessions are found; the same on every node.

    Each takes memory for every session that has the attribute.
    """
    rotate_on_principal: bool = field(default=True, validator=_check_flag)
    """Whether a session goes on under a fresh id when it gets another principal."""
    max_sessions_per_principal: int = field(default=0, validator=_check_from_0)
    """How many sessions a principal may have in the whole ring; 0: any number.

    Smaller: a password that was passed on is of use to fewer. Every login asks the ring for it.
    """
    principal_policy: PrincipalPolicy = field(default="end_oldest", validator=_check_policy)
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
        default=(), converter=to_secrets, validator=_check_secrets, repr=False
    )
    """Shared secrets of 16 to 1,024 bytes. The first one proves, all of them are accepted.

    To change a secret without a pause: add the new one as the last on every node and client, then
    make it the first everywhere, then remove the old one.
    """
    tls_certificate: str | None = field(default=None, validator=_check_text)
    """Absolute path of this node's certificate, in PEM; ``{name}``: the node's own name.

    Together with ``tls_key`` and ``tls_ca``: every TCP connection is under TLS. With neither TLS
    nor a secret the node may listen on loopback only.
    """
    tls_key: str | None = field(default=None, validator=_check_text)
    """Absolute path of that certificate's private key, in PEM; ``{name}`` as above."""
    tls_ca: str | None = field(default=None, validator=_check_text)
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

    listen: str | None = field(default=None, validator=_check_text)
    """``host:port`` to listen at, where it differs from the member's address in the ring."""
    unix: str | None = field(default=None, validator=_check_text)
    """Absolute path of a socket for clients on this host; ``{name}``: the node's own name."""
    heartbeat: float = field(default=0.5, converter=_seconds, validator=_check_interval)
    """Seconds between heartbeats. Larger: fewer small frames. Smaller: silence shows sooner."""
    suspect: float = field(default=3.0, converter=_seconds, validator=_check_positive)
    """Seconds of silence before a connection is closed and dialled again; at least 4 heartbeats.

    Larger: a slow member is not mistaken for a dead one. Smaller: a frozen one is noticed sooner.
    """
    handshake: float = field(default=2.0, converter=_seconds, validator=_check_interval)
    """Seconds in which a new connection must have authenticated.

    Larger: for slow networks. Smaller: a member that accepts but never answers is down sooner.
    """
    clock_bound: float = field(default=60.0, converter=_seconds, validator=_check_positive)
    """Seconds that two members' clocks may be apart; one that starts stays out beyond it.

    Larger: a wrong clock is tolerated, and its writes win for so long. Smaller: the reverse.
    """
    settle: float = field(default=6.0, converter=_seconds, validator=_check_positive)
    """Seconds without progress after which a comparison with a member is given up.

    More than ``suspect`` and ``handshake`` together. Larger: fewer answers from what may be stale
    copies. Smaller: sessions are available sooner after a member was lost half-way.
    """
    join: float = field(default=10.0, converter=_seconds, validator=_check_positive)
    """Seconds a starting node waits for members that may know more than its own disk.

    At least ``handshake``. Larger: a ring restarted as a whole waits longer for its slowest
    member. Smaller: a node starts sooner when it is alone.
    """
    alone: Alone = field(default="serve", validator=_check_alone)
    """What a node does after ``join`` if no other member is there: "serve" what it has on its disk,
    marked as maybe stale, or "wait" until another member is there.

    "wait" answers nothing that is older than what a member acknowledged, but nothing at all while
    the others are gone; also after a standstill of a node that is alone.
    """
    ack_timeout: float = field(default=1.0, converter=_seconds, validator=_check_positive)
    """Seconds a save waits for a live member before it is degraded or refused.

    Larger: fewer degraded receipts. Smaller: a hanging member holds writers up for less.
    """
    request_timeout: float = field(default=8.0, converter=_seconds, validator=_check_positive)
    """Seconds for a whole request, wherever it is forwarded; more than ``ack_timeout``.

    Above ``suspect`` and ``handshake`` together, a request outlasts a member that hangs. Larger:
    fewer requests fail while members are lost. Smaller: they fail sooner.
    """
    lagging: float = field(default=3.0, converter=_seconds, validator=_check_positive)
    """Seconds that a change may wait for a member before another one stands in for it.

    Larger: a slow member keeps its copies. Smaller: it holds up writers for less.
    """
    drain: float = field(default=30.0, converter=_seconds, validator=_check_positive)
    """Seconds that a node which is told to stop takes at most to hand over what it has.

    It usually needs a fraction of a second. Larger: less is cut off where members are slow or
    restarting. Smaller: the node stops sooner whatever they do.
    """
    sweep: float = field(default=60.0, converter=_seconds, validator=_check_interval)
    """Seconds between two searches for expired sessions. Larger: they linger in memory."""
    retention: float = field(default=604_800.0, converter=_seconds, validator=_check_positive)
    """Seconds for which the end of a session, and the removal of an attribute, are remembered.

    The same on all members. Larger: members may lose contact for longer and still tell each other
    all that happened. Smaller: less memory for what is over.
    """
    tombstone_bytes_max: int = field(default=64 << 20, validator=_check_count)
    """What the tombstones of ended sessions may take; at it no session is created.

    Larger: more sessions can be created and ended within ``retention``. Smaller: less memory.
    """
    journal_bytes_max: int = field(default=16 << 20, validator=_check_count)
    """What the stories of sessions may take, which `Node.why` tells; the oldest are dropped.

    Larger: they go further back. Smaller: less memory; 1 keeps none.
    """
    reconnect_max: float = field(default=2.0, converter=_seconds, validator=_check_interval)
    """The longest pause, in seconds, between two attempts to reach a member.

    Larger: less traffic to dead hosts. Smaller: a member that comes back is linked sooner.
    """
    connections_max: int = field(default=1024, validator=_check_count)
    """Inbound connections in all, of members and clients. Larger: more memory and descriptors.

    At least two for each member, and one for a client.
    """
    unauthenticated_max: int = field(default=128, validator=_check_count)
    """How many of them may not have authenticated yet; at most ``connections_max``.

    Larger: strangers can hold more memory. Smaller: they can keep members waiting more easily.
    """
    requests_per_connection_max: int = field(default=1024, validator=_check_count)
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
