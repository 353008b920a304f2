"""Members and clients that are let in and then say anything: no node dies of it.

Whatever is said here has the form that the wire checks, and is about sessions, homes, rings and
answers that there are, or nearly are. What becomes of the sessions is another matter: whoever has
the secret may end them all. Source: the project's promise 8, isolation.
"""

from random import Random

import pytest
from attrs import evolve
from replicas import Rig
from samples import WALL_MS, ring_of, session

from ring.administration import RingRecord, SetRing, ShowRing
from ring.announcements import Announced, Announcements, EventKind
from ring.clock import Stamp
from ring.entry import CREATED, EXPIRED, LIFETIME, MAX_IDLE, NIL, PRINCIPAL, EndReason, make_entry
from ring.identity import LinkId, SessionId
from ring.inquiry import Inspect, Inspected, Story, Why
from ring.journal import Happening, Note
from ring.messages import (
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    Durability,
    End,
    Find,
    Found,
    Listing,
    Message,
    Offer,
    Offered,
    Records,
    Redirect,
    Release,
    Rotate,
    Save,
    Saved,
    Status,
)
from ring.placement import Departed, Ring
from ring.record import Record
from ring.settings import Settings
from ring.structured import SHARD, TOKEN_BYTES, Kind, ensuring, marker, member_key, shard_key
from ring.table import BUCKET_DIGESTS_BYTES, BUCKETS

HOMES = "abcdz"
"""Three members, one that may be added, and one that never was."""
MOSTLY = "aaaabbbcccdz"
KEYS = [b"cart", b"map", CREATED, EXPIRED, LIFETIME, MAX_IDLE, PRINCIPAL]
EDITED = [
    *(b"cart", b"map", LIFETIME, MAX_IDLE, PRINCIPAL),
    member_key(b"map", b"k"),
    shard_key(b"map", Stamp(5), bytes(TOKEN_BYTES)),
    bytes([SHARD]) + b"no key",
]
VALUES = [b"\x01", b"\x00", None, bytes(9), marker(Kind.MAP), *map(ensuring, Kind)]


class Madness:
    """Says anything, and has the world do anything."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(seed)
        settings = Settings(
            retention_s=random.choice([60.0, 1e6]),
            sweep_interval_s=5.0,
            tombstone_bytes_max=random.choice([800, 1 << 20]),
        )
        self.rig = Rig("abc", copies=random.choice([1, 2, 3]), settings=settings)
        self.rig.backs_off = True
        self._clients: dict[str, LinkId] = {}
        self._numbers = iter(range(1_000_000, 2_000_000))

    def go_on(self) -> None:
        """Have one thing happen."""
        random, rig = self.random, self.rig
        name = random.choice(sorted(rig.replicas))
        match random.choice(("member", "member", "member", "client", "world", "time", "create")):
            case "member":
                connections = rig._connections_of(name)
                if connections:
                    connection = random.choice(connections)
                    rig.deliver(connection, connection.far(name), self.message())
            case "client":
                self.say_as_client(name)
            case "world":
                self.change_world(name)
            case "time":
                seconds = random.choice([0.25, 1.0, 7.0, 90.0])
                rig.pass_time(seconds, step_s=max(0.25, seconds / 30))
            case "create":
                rig.create(name, self.session_id(), cart=b"\x01")
        rig.run()

    def say_as_client(self, name: str) -> None:
        rig = self.rig
        replica = rig.replicas[name]
        link = self._clients.get(name)
        if link is None:
            link = self._clients[name] = LinkId(next(self._numbers))
            rig.perform(name, replica.on_accepted(link, None, rig.now))
        rig.perform(name, replica.on_message(link, self.message(), rig.now))
        while replica.take(link, rig.now) is not None:
            pass

    def change_world(self, name: str) -> None:
        """End or start a process, or cut or heal."""
        random, rig = self.random, self.rig
        away = [each for each in "abcd" if each not in rig.replicas]
        if random.random() < 0.3:
            rig.cut(*random.sample(sorted(rig.disks), 2))
        elif random.random() < 0.3:
            rig.refused.clear()
        elif away and random.random() < 0.6:
            ring, kept = self.ring(), rig.disks[away[0]].ring if away[0] in rig.disks else None
            known = max((ring, kept or ring), key=lambda each: each.version)
            if away[0] in known.addresses:
                rig.begin(away[0], ring=ring)
        elif len(rig.replicas) > 1:
            rig.kill(name)
            self._clients.pop(name, None)

    # --- What is said ---

    def session_id(self) -> SessionId:
        return session(self.random.choice(MOSTLY), self.random.randrange(4) << 120)

    def stamp(self) -> Stamp:
        ahead_ms = self.random.choice([0, 0, -1_000, -100_000, 50_000])
        now_ms = WALL_MS + int(self.rig.now * 1000) + ahead_ms
        return Stamp(now_ms << 16 | self.random.randrange(4))

    def ring(self) -> Ring:
        random = self.random
        names = random.sample("abcd", random.randint(1, 4))
        left = [name for name in HOMES if name not in names and random.random() < 0.6]
        departed = [Departed(each, names[0], random.choice(["", f"{each}:1"])) for each in left]
        ring = ring_of("".join(names), copies=random.choice([1, 2, 3]))
        return evolve(ring, version=random.randint(1, 5), departed=tuple(departed))

    def record(self) -> Record:
        random, record = self.random, Record()
        kind = random.random()
        if kind < 0.2:
            new_id = session(random.choice(HOMES), random.randrange(4) << 120)
            record.end(EndReason.ROTATED, "b", self.stamp(), new_id=new_id)
        elif kind < 0.3:
            record.end(EndReason.DELETED, "b", self.stamp())
        else:
            for key in random.sample(KEYS, random.randrange(5)):
                record.put(key, make_entry(self.stamp(), random.choice([b"\x01", b"\x00", NIL])))
            if random.random() < 0.5:
                record.touch(self.stamp(), self.rig.now - random.choice([0.0, 100.0, 1e5]))
            if record.digest and random.random() < 0.5:
                record.make_whole()
        return record

    def portable(self) -> bytes:
        return self.record().portable(self.rig.now)

    def changes(self) -> list[bytes | int]:
        flat = list[bytes | int]()
        for _ in range(self.random.randrange(4)):
            record = self.record()
            digest = self.random.choice([0, 1, record.digest])
            flat += (self.session_id(), digest, record.portable(self.rig.now))
        return flat

    def listed(self) -> list[bytes | int]:
        flat = list[bytes | int]()
        for _ in range(self.random.randrange(4)):
            flat += (self.session_id(), self.random.choice([0, 1, (1 << 64) - 1]))
        return flat

    def edits(self) -> tuple[tuple[bytes, bytes | None], ...]:
        keys = self.random.sample(EDITED, self.random.randrange(5))
        return tuple((key, self.random.choice(VALUES)) for key in keys)

    def maybe(self) -> bool:
        return self.random.random() < 0.4

    def names(self) -> tuple[str, ...]:
        return tuple(self.random.sample(HOMES, self.random.randrange(4)))

    def message(self) -> Message:
        return self.random.choice((self.of_streams, self.of_comparisons, self.of_requests))()

    def of_streams(self) -> Message:
        random = self.random
        match random.randrange(9):
            case 0 | 1:
                return Changes(self.changes())
            case 2:
                different = ((1, random.choice([b"", self.portable()])),)
                return Acks(random.randrange(1, 4), different if self.maybe() else ())
            case 3:
                return Release(self.listed())
            case 4:
                version = random.choice([0, 1, self.stamp(), 1 << 63])
                heard, missing = random.randrange(9), self.names()
                says = (self.maybe(), self.maybe(), version, self.names(), self.maybe())
                listens_to = random.choice([0, 30])
                return Status(self.stamp(), *says, self.maybe(), heard, missing, listens_to)
            case 7:
                return Announced([self.session_id(), random.randrange(1, 5), self.stamp()])
            case 8:
                home, kind = random.choice(HOMES), random.randrange(1, 5)
                new_id = self.session_id() if kind == EventKind.ROTATED else b""
                portable = random.choice([b"", self.portable()])
                row: list[bytes | int] = [self.session_id(), kind, self.stamp(), portable, new_id]
                return Announcements(home, self.stamp(), self.maybe(), row)
            case 5:
                return RingRecord(self.ring())
            case _:
                return SetRing(1, self.ring()) if self.maybe() else ShowRing(1)

    def of_comparisons(self) -> Message:
        random, home = self.random, self.random.choice(HOMES)
        number = random.randrange(40)
        match random.randrange(8):
            case 0:
                buckets = random.choice([b"", bytes(BUCKET_DIGESTS_BYTES)])
                return Compare(home, number, buckets, self.maybe())
            case 1:
                return Records(home, number, self.changes())
            case 2:
                named = random.sample(range(BUCKETS), random.randrange(3))
                return Listing(home, number, tuple(named), self.listed())
            case 3:
                return Compared(home, number)
            case 4:
                return Ask(number, self.session_id())
            case 5:
                return Answer(number, random.choice([b"", self.portable()]))
            case 6:
                return Offer(home, self.listed())
            case _:
                return Offered(home, random.randrange(3))

    def of_requests(self) -> Message:
        random, session_id = self.random, self.session_id()
        number, asked = next(self._numbers), random.randrange(40)
        durability = random.choice(list(Durability))
        ways = self.maybe(), self.maybe(), self.maybe()
        match random.randrange(10):
            case 8:
                if self.maybe():
                    return Why(number, session_id, self.maybe())
                home, room = random.choice(HOMES), random.randrange(9)
                return Inspect(number, home, random.randrange(65), b"", room, b"", *ways)
            case 9:
                if self.maybe():
                    note = Note("z", Happening.MOVED, self.stamp(), self.stamp(), 1, b"z")
                    return Story(random.randrange(3), (note,), self.names())
                return Inspected(asked, random.choice(HOMES), self.maybe(), 1, 1, (), 64, b"")
            case 0:
                return Find(number, session_id, *ways)
            case 1:
                return Save(number, session_id, self.maybe(), self.edits(), durability, *ways)
            case 2:
                return End(number, session_id, durability, *ways)
            case 3 | 4:
                return Rotate(
                    number, session_id, self.session_id(), self.edits(), durability, *ways
                )
            case 5:
                return Redirect(asked, random.choice(HOMES))
            case 6:
                return Found(asked, self.portable())
            case _:
                return Absent(asked) if self.maybe() else Saved(asked, (), (), False)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_is_said_no_node_dies_of_it(seed: int) -> None:
    madness = Madness(seed)
    for _ in range(madness.random.randint(20, 80)):
        madness.go_on()
    madness.rig.pass_time(3)
