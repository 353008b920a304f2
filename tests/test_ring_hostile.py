"""What a peer can get wrong ends its own connection, and changes nothing and nobody else.

Ids, numbers and the shape of messages were checked by the wire before; here is what only the
replica can judge. Source: the project's promise 8, isolation.
"""

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from replica_parts import Connection
from replicas import Rig
from samples import IDS, NOW, ring_of, session
from strategies_ring import ids, records

from ring.administration import RingRecord, SetRing, ShowRing
from ring.clock import Stamp
from ring.effects import Close
from ring.entry import make_entry
from ring.identity import LinkId
from ring.messages import (
    UNANSWERED_MAX,
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    Durability,
    End,
    Failed,
    Failure,
    Find,
    Found,
    Listing,
    Members,
    Message,
    Records,
    Reply,
    Save,
    Saved,
    Status,
)
from ring.placement import Member, Ring
from ring.record import Record
from ring.settings import Settings

ID = IDS[0]
STRANGER = session("z", 1)
NEW = session("a", 99)
YEAR_MS = 365 * 86_400_000


def fragment(stamp: int = 1, value: bytes = b"\x09") -> bytes:
    record = Record()
    record.put(b"cart", make_entry(Stamp(stamp), value))
    return record.portable(NOW, {b"cart"})


IN_A_YEAR = 1_700_000_000_000 + YEAR_MS << 16
GOOD: list[bytes | int] = [NEW, 0, fragment()]
STATUS = Status(Stamp(1), True, True, 99, ("a", "b", "c"), False)

OF_A_DIALLER: dict[str, Message] = {
    "a change that is no record": Changes([ID, 0, b"garbage"]),
    "a change without a byte": Changes([ID, 0, b""]),
    "a bad change behind a good one": Changes([*GOOD, ID, 0, b"\xff"]),
    "a change of another ring's session": Changes([STRANGER, 0, fragment()]),
    "a change that is stamped in a year": Changes([ID, 0, fragment(IN_A_YEAR)]),
    "a change behind it too": Changes([*GOOD, ID, 0, fragment(IN_A_YEAR)]),
    "a clock that is a year ahead": Status(Stamp(IN_A_YEAR), True, True, 99, ("a",), False),
    "a comparison of a home that is none": Compare("z", 1, b""),
    "a question about another ring's session": Ask(1, STRANGER),
    "acknowledgements": Acks(0),
    "records": Records("a", 1, []),
    "a listing": Listing("a", 1, (), []),
    "the end of a comparison": Compared("a", 1),
    "an answer": Answer(1, b""),
    "a reply": Absent(1),
    "the members of a ring": Members("rig", ("a",), ("a:1",)),
    "another ring": RingRecord(Ring("other", (Member("a", "a:1"),), version=2)),
    "another ring of the same version": RingRecord(ring_of("cba")),
    "a ring to be set": SetRing(1, ring_of("cba")),
    "a question for the ring": ShowRing(1),
}
OF_AN_ACCEPTOR: dict[str, Message] = {
    "an acknowledgement of what was never sent": Acks(2**40),
    "an acknowledgement outside of itself": Acks(0, ((1, b""),)),
    "a record that is none": Records("a", 1, [ID, 0, b"garbage"]),
    "a bad record behind a good one": Records("a", 1, [*GOOD, ID, 0, b"\xff"]),
    "a record of another ring's session": Records("a", 1, [STRANGER, 0, fragment()]),
    "a clock that is a year ahead": Status(Stamp(IN_A_YEAR), True, True, 99, ("a",), False),
    "an answer to no question": Answer(2**40, fragment()),
    "changes": Changes(GOOD),
    "a comparison": Compare("a", 1, b""),
    "a question": Ask(1, ID),
    "a find": Find(1, ID, False, True),
    "a save": Save(1, ID, True, (), Durability.LOCAL, False, True),
    "an end": End(1, ID, Durability.LOCAL, False, True),
    "another ring": RingRecord(Ring("other", (Member("a", "a:1"),), version=2)),
    "another ring of the same version": RingRecord(ring_of("cba")),
    "a ring to be set": SetRing(1, ring_of("cba")),
}
ONLY_OF_MEMBERS: dict[str, Message] = {
    "changes": Changes(GOOD),
    "a status": STATUS,
    "a comparison": Compare("a", 1, b""),
    "a question": Ask(1, ID),
    "acknowledgements": Acks(0),
    "a ring": RingRecord(ring_of("abc")),
}


def a_ring(settings: Settings | None = None) -> Rig:
    rig = Rig("abc", settings=settings or Settings(), stores=False)
    rig.create("a", ID, cart=b"\x01")
    rig.effects.clear()
    return rig


def state(rig: Rig) -> list[object]:
    """Return everything that a peer's mistake must leave alone."""
    return [
        (
            (name, replica.counts(), replica.claims, replica.ready, replica.liveness),
            [replica.record(session_id) for session_id in replica.session_ids()],
        )
        for name, replica in rig.replicas.items()
    ]


def assert_only_it_is_over(rig: Rig, connection: Connection, sender: str, message: Message) -> None:
    before, victim = state(rig), connection.far(sender)
    rig.deliver(connection, sender, message)
    closed = [(name, each) for name, each in rig.effects if isinstance(each, Close)]
    assert [(name, each.link) for name, each in closed] == [(victim, connection.link_at(victim))]
    assert ID.decode() not in closed[0][1].reason
    rig.run()
    rig.pass_time(1)
    assert state(rig) == before
    assert isinstance(rig.find("c", ID).reply, Found)
    assert isinstance(rig.save("b", ID, {b"cart": b"\x02"}).reply, Saved)


@pytest.mark.parametrize("message", OF_A_DIALLER.values(), ids=OF_A_DIALLER)
def test_a_dialler_that_breaks_the_rules_loses_its_link(message: Message) -> None:
    rig = a_ring()
    assert_only_it_is_over(rig, rig.link("b", "a"), "b", message)


@pytest.mark.parametrize("message", OF_AN_ACCEPTOR.values(), ids=OF_AN_ACCEPTOR)
def test_an_acceptor_that_breaks_the_rules_loses_its_link(message: Message) -> None:
    rig = a_ring()
    assert_only_it_is_over(rig, rig.link("a", "b"), "b", message)


@pytest.mark.parametrize("message", ONLY_OF_MEMBERS.values(), ids=ONLY_OF_MEMBERS)
def test_a_client_that_speaks_as_a_member_loses_its_link(message: Message) -> None:
    """It may ask for sessions, and nothing else."""
    rig = a_ring()
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    before = state(rig)
    effects = replica.on_message(link, message, rig.now)
    assert [each.link for each in effects if isinstance(each, Close)] == [link]
    assert state(rig) == before
    assert replica.on_message(link, Find(1, ID, False, False), rig.now) == []


@given(ids, st.integers(0, 2**64 - 1), records, st.binary(max_size=20))
def test_no_change_and_no_bytes_stop_a_node(
    session_id: bytes, digest: int, record: Record, tail: bytes
) -> None:
    """Any record may be merged, any other bytes end the link; nothing else happens."""
    rig = a_ring()
    flat: list[bytes | int] = [session_id, digest, record.portable(NOW) + tail]
    rig.deliver(rig.link("b", "a"), "b", Changes(flat))
    rig.run()
    closed = [name for name, each in rig.effects if isinstance(each, Close)]
    assert ("a" in closed) == bool(tail)  # b may close: it never sent what a acknowledges.
    rig.create("a", NEW, cart=b"\x01")
    assert isinstance(rig.find("c", NEW).reply, Found)


@pytest.mark.parametrize("ahead_ms", [86_390_000, 86_410_000])
def test_a_clock_may_be_a_day_ahead_and_no_more(ahead_ms: int) -> None:
    """Every clock follows the greatest: an absurd one would drag all along."""
    rig = a_ring()
    clock = Stamp(rig.replicas["a"]._core.clock.physical_ms(rig.now) + ahead_ms << 16)
    rig.deliver(rig.link("b", "a"), "b", Status(clock, True, True, 99, ("b",), False))
    closed = any(isinstance(each, Close) for _, each in rig.effects)
    assert closed == (ahead_ms > 86_400_000)
    assert (rig.replicas["a"]._core.clock.last >= clock) == (not closed)


# --- Listings ---


def listing_refused(*listings: tuple[tuple[int, ...], list[bytes | int]]) -> bool:
    """Return whether these listings of home a end the link of the member that sends them."""
    rig = a_ring()
    rig.hold_back("b", "a", Compared)
    rig.reset("a", "b")
    current = rig.replicas["a"]._comparing._comparisons["a", "b"]
    assert not current.heard
    rig.effects.clear()
    for buckets, flat in listings:
        rig.deliver(rig.link("a", "b"), "b", Listing("a", current.round, buckets, flat))
    return any(isinstance(each, Close) for _, each in rig.effects)


def test_a_listing_of_what_was_compared_is_taken() -> None:
    assert not listing_refused(((0, 1), [IDS[0], 7, IDS[1], 8, IDS[2], 9]))


def test_a_listing_without_buckets_is_continued_by_the_next() -> None:
    """A bucket may hold more sessions than a frame."""
    assert not listing_refused(((), [IDS[0], 7]), ((), [IDS[2], 9]), ((0, 1), [IDS[1], 8]))


@pytest.mark.parametrize(
    "listings",
    [
        [((0,), [session("b", 0), 7])],
        [((0,), [STRANGER, 7])],
        [((1,), [IDS[0], 7])],
        [((), [session("b", 0), 7])],
        [((), [IDS[0], 7]), ((1,), [IDS[2], 9])],
    ],
)
def test_a_listing_of_foreign_sessions_ends_the_link(
    listings: list[tuple[tuple[int, ...], list[bytes | int]]],
) -> None:
    assert listing_refused(*listings)


def test_a_listing_that_never_ends_ends_the_link(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be remembered until it does."""
    monkeypatch.setattr("ring.comparing.LISTED_MAX", 3)
    pieces: list[tuple[tuple[int, ...], list[bytes | int]]] = [((), [each, 7]) for each in IDS[:5]]
    assert not listing_refused(*pieces[:3])
    assert listing_refused(*pieces)


def test_a_listing_of_a_comparison_that_is_over_is_passed_over() -> None:
    rig = a_ring()
    listing = Listing("a", 2**30, (1,), [session("b", 0), 7])
    rig.deliver(rig.link("a", "b"), "b", listing)
    rig.deliver(rig.link("a", "b"), "b", Compared("a", 2**30))
    rig.deliver(rig.link("a", "b"), "b", Compared("z", 1))
    assert not [each for _, each in rig.effects if isinstance(each, Close)]


def test_what_is_meant_for_clients_is_passed_over_by_a_member() -> None:
    rig = a_ring()
    rig.deliver(rig.link("a", "b"), "b", Members("rig", ("a",), ("a:1",)))
    assert rig.effects == []


def test_an_echo_is_not_echoed() -> None:
    """Two members would talk for ever."""
    rig = a_ring()
    rig.deliver(rig.link("b", "a"), "b", Status(Stamp(1), True, True, 2**63, ("b",), True))
    assert not [each for each in rig.effects if each[0] == "a"]


# --- Answers that belong to another ---


@pytest.mark.parametrize("number", range(1, 4))
def test_an_answer_of_another_member_ends_its_link_and_the_real_one_counts(number: int) -> None:
    rig = a_ring()
    rig.hold_back("b", "a", Answer)
    asked = rig.find("a", NEW)
    assert asked.waits
    record = Record()
    record.put(b"cart", make_entry(Stamp(5), b"\x01"))
    record.make_whole()
    before = rig.link("a", "c")
    rig.deliver(before, "c", Answer(number, record.portable(NOW)))
    rig.run()
    assert rig.link("a", "c") is not before
    rig.let_go()
    assert isinstance(asked.reply, Absent)


def test_a_reply_of_another_member_ends_its_link_and_the_real_one_counts() -> None:
    """An answer never belongs to another request or another session."""
    rig = a_ring()
    rig.hold_back("a", "c", Found)
    asked = rig.find("c", ID)
    (forwarded,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    before = rig.link("c", "b")
    rig.deliver(before, "b", Absent(forwarded.number))
    rig.run()
    assert rig.link("c", "b") is not before
    assert asked.waits
    rig.let_go()
    assert isinstance(asked.reply, Found)


@pytest.mark.parametrize(
    "reply", [Saved(0, ("a",), (), False), Found(0, b"garbage"), Found(0, b"\x03\x92\xc4\x01k")]
)
def test_a_reply_that_answers_no_find_ends_its_link_and_the_find_goes_on(reply: Reply) -> None:
    """Else whoever has asked would be told it."""
    rig = a_ring()
    rig.hold_back("a", "c", Found)
    asked = rig.find("c", ID)
    (forwarded,) = (each.message for each in rig.sent if isinstance(each.message, Find))
    before = rig.link("c", "a")
    rig.deliver(before, "a", evolve(reply, number=forwarded.number))
    rig.run()
    assert not before.alive
    assert asked.waits
    rig.let_go()
    rig.pass_time(2)
    assert isinstance(asked.reply, Found)
    assert Record.from_portable(asked.reply.portable, rig.now).value(b"cart") == b"\x01"


def test_a_reply_that_answers_no_change_ends_its_link_and_the_outcome_is_unknown() -> None:
    rig = a_ring()
    rig.hold_back("a", "c", Saved)
    asked = rig.save("c", ID, {b"cart": b"\x07"})
    (forwarded,) = (each.message for each in rig.sent if isinstance(each.message, Save))
    before = rig.link("c", "a")
    rig.deliver(before, "a", Found(forwarded.number, fragment()))
    rig.run()
    assert not before.alive
    assert isinstance(asked.reply, Failed)
    assert asked.reply.failure is Failure.OUTCOME_UNKNOWN


def test_a_bad_record_in_an_answer_ends_the_link_and_the_request_goes_on() -> None:
    rig = a_ring()
    rig.hold_back("b", "a", Answer)
    rig.hold_back("c", "a", Answer)
    asked = rig.find("a", NEW)
    rig.let_go("c")
    number = max(each.message.number for each in rig.sent if isinstance(each.message, Ask)) - 1
    for guess in (number, number + 1):
        connection = rig.link("a", "b")
        rig.deliver(connection, "b", Answer(guess, b"garbage"))
        rig.run()
    rig.pass_time(1)
    assert isinstance(asked.reply, Absent)
    assert rig.replicas["a"].record(NEW) is None


# --- Too much ---


def test_a_client_that_asks_more_than_it_reads_loses_its_link() -> None:
    rig = a_ring(Settings(requests_per_link_max=3))
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    replica.take(link, rig.now)
    for number in range(3):
        replica.on_message(link, Find(number, ID, False, False), rig.now)
    assert isinstance(replica.take(link, rig.now), Found)
    assert replica.on_message(link, Find(3, ID, False, False), rig.now) == []
    effects = replica.on_message(link, Find(4, ID, False, False), rig.now)
    assert [type(each) for each in effects] == [Close]
    assert replica.take(link, rig.now) is None


def test_a_client_that_fails_to_be_served_owes_nothing() -> None:
    rig = a_ring(Settings(requests_per_link_max=1))
    replica, link = rig.replicas["a"], LinkId(900)
    replica.on_accepted(link, None, rig.now)
    replica.take(link, rig.now)
    for number in range(5):
        replica.on_message(
            link, Save(number, ID, False, ((b"", None),), Durability.LOCAL, False, False), NOW
        )
        reply = replica.take(link, rig.now)
        assert isinstance(reply, Failed)
        assert reply.failure is Failure.INVALID


def test_a_member_that_asks_more_than_it_reads_loses_its_link() -> None:
    rig = a_ring()
    connection = rig.link("b", "a")
    rig.hold_back("a", "b")
    for number in range(UNANSWERED_MAX):
        rig.deliver(connection, "b", Ask(number, ID))
    assert not [each for _, each in rig.effects if isinstance(each, Close)]
    rig.deliver(connection, "b", Ask(UNANSWERED_MAX, ID))
    assert [name for name, each in rig.effects if isinstance(each, Close)] == ["a"]


def test_a_member_is_not_asked_more_than_it_may_be_asked() -> None:
    """What is too much for one member waits where it is, or fails; the link lives."""
    rig = a_ring()
    rig.hold_back("a", "c")
    replica = rig.replicas["c"]
    for number in range(UNANSWERED_MAX + 2):
        effects = replica.submit(Find(10_000 + number, ID, False, False), rig.now)
        assert all(not isinstance(each, Close) for each in effects)
    assert len(replica._serving._parked) == 2


def test_nobody_is_asked_for_more_unknown_ids_than_may_wait() -> None:
    """Strangers can invent ids."""
    rig = a_ring()
    rig.hold_back("b", "a")
    replica = rig.replicas["a"]
    for number in range(UNANSWERED_MAX):
        replica.submit(Find(10_000 + number, session("a", 1000 + number), False, False), rig.now)
    asked = rig.find("a", NEW)
    assert isinstance(asked.reply, Failed)
    assert asked.reply.failure is Failure.UNAVAILABLE
