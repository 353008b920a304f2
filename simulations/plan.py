"""A plan: everything about one run that is decided before it begins, as one JSON value.

Rules:
- All randomness is here: the faults with their times, and the seed of the streams from which each
  subsystem draws its delays. Each has a stream of its own, so that removing one fault does not
  shift what happens elsewhere.
- A plan that was written down means the same in every later version, or is refused by name.
"""

import json
from collections.abc import Iterator
from enum import StrEnum
from math import inf
from pathlib import Path
from random import Random
from typing import Any, Final

import cattrs
from attrs import asdict, field, fields, frozen

from ring.errors import ConfigError
from ring.settings import Settings
from simulations.brief import Brief

FORMAT: Final = 1
NAMES: Final = "abcdefg"
DURATION_S: Final = 10.0
"""What workloads may take, if nothing is said; that of drawn plans is longer."""


class Mode(StrEnum):
    """What is demanded of a run."""

    SAFETY = "safety"
    """Faults until the end of the load; then they stop, and the ring converges."""
    LIVENESS = "liveness"
    """Faults outside a healthy core become permanent; the core goes on, and converges."""


class Level(StrEnum):
    """How much of a node is real."""

    CORE = "core"
    """The replica: what decides."""
    NODE = "node"
    """The whole node, on a network and a disk byte by byte."""

    @classmethod
    def _missing_(cls, value: object) -> "Level":
        raise ValueError(f"level is {value!r}; give {' or '.join(cls)}")


class Kind(StrEnum):
    """What can go wrong."""

    CRASH = "crash"
    """The memory of nodes is lost; they come back with the disk that ``disk`` says."""
    CRASH_AGAIN = "crash again"
    """The same, and once more while they recover."""
    STOP = "stop"
    """A planned stop: the node hands everything over first; later it is started again."""
    FREEZE = "freeze"
    """A process does nothing for a while, and then goes on."""
    RESET = "reset"
    """The connections between two nodes break; what is under way is lost."""
    HALF_OPEN = "half open"
    """They break, and only the second node notices; frames of the first still arrive there."""
    STALL = "stall"
    """Nothing arrives from the first node at the second for a while; then all of it does."""
    SLOW = "slow"
    """Everything between two nodes takes much longer for a while."""
    CUT = "cut"
    """Two nodes cannot reach each other for a while."""
    SPLIT = "split"
    """Some nodes cannot reach the others for a while."""
    SWIZZLE = "swizzle"
    """A node is cut off from the others one by one, and healed in another order."""
    DISK_FAILS = "disk fails"
    """A disk takes nothing for a while."""
    DISK_SLOW = "disk slow"
    """A disk takes much longer for a while."""
    CLOCK_JUMPS = "clock jumps"
    """A wall clock is set to another time; whoever starts later reads it."""
    RESIZE = "resize"
    """The first of the nodes is removed from the ring, and hands over; later it is added again, at
    ``amount`` of the ring's length."""
    REORDER = "reorder"
    """The members change places, to that order of the nodes."""


class Trigger(StrEnum):
    """What a hot fault waits for; it strikes where that happens."""

    RECEIPT = "receipt"
    ACTING = "acting"
    HANDED_BACK = "handed back"
    READY = "ready"
    SETTLED = "settled"
    ROTATED = "rotated"
    MEMBER_DOWN = "member down"
    SNAPSHOT = "snapshot"
    LINKED = "linked"
    ADOPTED = "ring adopted"


TRIGGERS: Final = {
    "acting": Trigger.ACTING,
    "handed_back": Trigger.HANDED_BACK,
    "ready": Trigger.READY,
    "settled": Trigger.SETTLED,
    "member_down": Trigger.MEMBER_DOWN,
    "rotated": Trigger.ROTATED,
    "ring_adopted": Trigger.ADOPTED,
}
"""What a node tells people when that happens there."""


class Disk(StrEnum):
    """What a node finds on its disk when it comes back."""

    KEPT = "kept"
    LOST = "lost"
    OLD = "old"
    """As it was some time ago."""
    WRONG = "wrong"
    """That of another node."""


@frozen(repr=False)
class Fault(Brief):
    """One thing that goes wrong."""

    kind: Kind
    at: float
    """Seconds from the beginning; with a trigger or a gate, the earliest."""
    nodes: tuple[str, ...]
    for_s: float
    """How long it lasts: nodes stay away, ways stay cut."""
    trigger: Trigger | None = None
    """Strike ``delay_s`` after this has happened at a node; that node takes the first place."""
    delay_s: float = 0.0
    gated: bool = False
    """Wait until every live node says that another one may be lost."""
    disk: Disk = Disk.KEPT
    amount: float = 0.0
    """Seconds that a clock jumps, or the factor by which something is slower."""


@frozen(repr=False)
class Clocks(Brief):
    """How one node's clocks go."""

    offset_s: float = 0.0
    """Of its wall clock, from true time."""
    drift: float = 0.0
    """Seconds that its monotonic clock gains in a second."""


@frozen(repr=False)
class Way(Brief):
    """How long a message takes from one node to another, at least and at most, in seconds."""

    least_s: float
    most_s: float


EVEN: Final = Way(0.001, 0.004)
"""Of a network in which nothing is special."""


@frozen(repr=False)
class Workload(Brief):
    """What the clients do."""

    clients: int
    think_s: tuple[float, float]
    """The pause between two operations of a client, at least and at most."""
    sessions_max: int
    """How many sessions they share at one time."""
    durabilities: tuple[str, ...]
    refuse: float
    """The share of saves that would rather fail than be degraded."""
    max_idles_s: tuple[float, ...]
    """From which a new session's is drawn; 0: it never expires."""
    wander: float
    """The share of requests that go to any node, and not where the id says."""
    rotations: int = 0
    """Of about 100 requests for a session, how many give it a new id."""
    scatters: bool = False
    """While the ring is cut, clients ask any node, for few sessions: both sides are busy."""
    patient: float = 0.0
    """The share of requests with which a client begins to watch a session of its own expire."""
    principals: int = 0
    """To how many principals the sessions belong, that are asked for, and logged out everywhere."""


@frozen(repr=False)
class Plan(Brief):
    """One run."""

    seed: int
    mode: Mode
    members: int
    copies: int
    settings: Settings
    clocks: dict[str, Clocks]
    ways: dict[str, Way]
    """By "sender receiver"."""
    workload: Workload
    faults: tuple[Fault, ...]
    duration_s: float = 60.0
    disk_s: tuple[float, float] = (0.001, 0.02)
    window: int = 4
    """Messages under way in one direction of a connection: small, like a socket's buffer."""
    core: tuple[str, ...] = ()
    """In liveness mode: the nodes that stay healthy."""
    permanent_from_s: float = 0.0
    """In liveness mode: from when on the faults outside the core stay."""
    listening_s: tuple[float, float] | None = None
    """For how long an application is busy with what is announced, at least and at most; None: it
    listens to nothing."""
    format: int = field(default=FORMAT)

    @property
    def names(self) -> str:
        """The members in ring order."""
        return NAMES[: self.members]

    def special(self) -> Iterator[tuple[str, object]]:
        """Yield how many there are, what differs from the simplest such plan, and the faults."""
        clients = self.workload.clients
        yield from (("members", self.members), ("copies", self.copies), ("clients", clients))
        simple = _simplest(self.members, self.copies, clients, DURATION_S)
        for each in fields(Plan):
            value = getattr(self, each.name)
            if each.name != "faults" and value != getattr(simple, each.name):
                yield each.name, _worth_telling(value)
        yield "faults", self.faults

    def stream(self, key: str) -> Random:
        """Return the source of randomness of one subsystem."""
        return Random(f"{self.seed}/{key}".encode())


def _worth_telling(value: object) -> object:
    """Return what there is to say of a part of a plan that is not as usual."""
    if isinstance(value, Settings):
        usual = Settings()
        return {
            key: each
            for key, each in asdict(value, recurse=False).items()
            if each != getattr(usual, key)
        }
    if isinstance(value, dict) and len(set(value.values())) == 1:
        return next(iter(value.values()))
    return value


def simplest(
    nodes: int = 3, copies: int = 2, clients: int = 2, duration_s: float = DURATION_S
) -> Plan:
    """Return the plan in which nothing goes wrong, on an even network with clocks that agree.

    Args:
        nodes: how many members the ring has, from 1 to 7.
        copies: how many of them keep each session, from 1 to 4.
        clients: how many there are, from 1.
        duration_s: how long workloads may take, in simulated seconds.

    Raises:
        ValueError: such a ring cannot be.
    """
    for what, number, least, most in (
        ("nodes", nodes, 1, len(NAMES)),
        ("copies", copies, 1, 4),
        ("clients", clients, 1, inf),
    ):
        if not least <= number <= most:
            raise ValueError(f"{what} is {number}; give {least} to {most}")
    return _simplest(nodes, copies, clients, duration_s)


def _simplest(nodes: int, copies: int, clients: int, duration_s: float) -> Plan:
    names = NAMES[:nodes]
    return Plan(
        seed=0,
        mode=Mode.SAFETY,
        members=nodes,
        copies=copies,
        settings=Settings(),
        clocks={name: Clocks() for name in names},
        ways={f"{one} {other}": EVEN for one in names for other in names if one != other},
        workload=Workload(
            clients=clients,
            think_s=(0.1, 0.2),
            sessions_max=4,
            durabilities=("backup",),
            refuse=0.0,
            max_idles_s=(0.0,),
            wander=0.0,
        ),
        faults=(),
        duration_s=duration_s,
    )


_CONVERTER: Final = cattrs.Converter(forbid_extra_keys=True)


def plan_to_json(plan: Plan) -> str:
    """Return ``plan`` as text, one fault on a line."""
    tree: dict[str, Any] = _CONVERTER.unstructure(plan)
    defaults = _CONVERTER.unstructure(Settings())
    knobs = {key: each for key, each in tree["settings"].items() if each != defaults[key]}
    tree["settings"] = knobs
    faults = tree.pop("faults")
    head = json.dumps(tree, indent=1)[:-2]
    lines = ",\n  ".join(json.dumps(fault) for fault in faults)
    return f'{head},\n "faults": [\n  {lines}\n ]\n}}\n'


def plan_from_json(text: str) -> Plan:
    """Return the plan that ``text`` says.

    Raises:
        ConfigError: it is none, or of another format. Definite.
    """
    try:
        tree = json.loads(text)
        if tree.get("format") != FORMAT:
            raise ConfigError(
                f"a plan of format {tree.get('format')!r} cannot be replayed; this is {FORMAT}"
            )
        return _CONVERTER.structure(tree, Plan)
    except (ValueError, AttributeError, cattrs.BaseValidationError) as error:
        raise ConfigError(f"this is no plan: {cattrs.transform_error(error)}") from error


def read_plan(path: Path) -> Plan:
    """Return the plan in a file.

    Raises:
        ConfigError: it cannot be read, or is no plan. Definite.
    """
    try:
        return plan_from_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
