"""Saving only what nobody has changed meanwhile: the acting owner compares as it writes."""

from hypothesis import assume, given
from replica_parts import Asked
from replicas import Rig
from samples import NOW, session
from strategies_ring import live_records

from ring.entry import EXPIRED, MAX_IDLE, NIL, make_entry
from ring.messages import Durability, Failed, Failure, Found, Save, Saved
from ring.record import Record
from ring.state import NOT_ASKED_FOR, is_as_expected, state_of

ID = session("a", 7)


def a_ring() -> Rig:
    rig = Rig("abc", 2)
    rig.create("a", ID, cart=b"\x01", color=b"\x02")
    return rig


def state_at(rig: Rig, name: str) -> int:
    """Return the state of the session as a find at ``name`` shows it."""
    reply = rig.find(name, ID).reply
    assert isinstance(reply, Found), reply
    return state_of(Record.from_portable(reply.portable, NOW))


def save_if(rig: Rig, name: str, expected: int, value: bytes) -> Asked:
    """Save another cart at ``name`` if the session is in this state."""
    rows = ((b"cart", value),)
    return rig.ask(
        name,
        lambda n: Save(n, ID, False, rows, Durability.BACKUP, False, False, expected=expected),
    )


def failure(asked: Asked) -> Failure | None:
    return asked.reply.failure if isinstance(asked.reply, Failed) else None


def cart(rig: Rig) -> bytes | None:
    record = rig.replicas["a"].record(ID)
    assert record is not None
    return record.value(b"cart")


def test_what_nobody_has_changed_is_saved_wherever_it_is_asked_for() -> None:
    rig = a_ring()
    for number, name in enumerate("abcabc"):
        asked = save_if(rig, name, state_at(rig, "bca"[number % 3]), bytes([16 + number]))
        assert isinstance(asked.reply, Saved), asked.reply
        assert cart(rig) == bytes([16 + number])


def test_what_somebody_has_changed_is_refused_and_nothing_is_written() -> None:
    rig = a_ring()
    for name in "abc":
        expected = state_at(rig, name)
        rig.save("b", ID, {b"color": name.encode()})
        rig.sent.clear()
        before = rig.replicas["a"].record(ID)
        assert failure(save_if(rig, name, expected, b"\x09")) is Failure.CONFLICT
        assert rig.replicas["a"].record(ID) == before
        assert cart(rig) == b"\x01"


def test_the_same_value_written_again_is_a_change() -> None:
    """Who has written it may have acted on what he has read."""
    rig = a_ring()
    expected = state_at(rig, "a")
    rig.pass_time(1)
    rig.save("b", ID, {b"cart": b"\x01"})
    assert failure(save_if(rig, "a", expected, b"\x09")) is Failure.CONFLICT


def test_a_change_of_how_long_it_lives_is_a_change() -> None:
    rig = a_ring()
    expected = state_at(rig, "a")
    rig.save("a", ID, {MAX_IDLE: b"\x1e"})
    assert failure(save_if(rig, "a", expected, b"\x09")) is Failure.CONFLICT


def test_an_access_is_no_change() -> None:
    rig = a_ring()
    expected = state_at(rig, "a")
    before = rig.replicas["a"].record(ID)
    rig.pass_time(100)
    rig.find("a", ID, touch=True)
    after = rig.replicas["a"].record(ID)
    assert before is not None
    assert after is not None
    assert after.accessed > before.accessed
    assert isinstance(save_if(rig, "a", expected, b"\x09").reply, Saved)


def test_a_takeover_is_no_change() -> None:
    rig = a_ring()
    expected = state_at(rig, "a")
    rig.kill("a")
    rig.pass_time(1)
    assert isinstance(save_if(rig, "c", expected, b"\x09").reply, Saved)
    assert failure(save_if(rig, "c", expected, b"\x0a")) is Failure.CONFLICT


def test_of_two_who_expect_the_same_only_one_saves() -> None:
    rig = a_ring()
    expected = state_at(rig, "a")
    asked = [save_if(rig, name, expected, name.encode()) for name in "cb"]
    assert [failure(each) for each in asked] == [None, Failure.CONFLICT]
    assert cart(rig) == b"c"


def test_what_is_gone_is_gone_and_not_in_conflict() -> None:
    rig = a_ring()
    expected = state_at(rig, "a")
    rig.end("b", ID)
    assert failure(save_if(rig, "a", expected, b"\x09")) is Failure.GONE


@given(live_records)
def test_the_state_is_the_digest_without_accesses_expiry_and_wholeness(record: Record) -> None:
    """The dumb definition: take them out, and look at the digest."""
    assume(record.entries.keys() - {EXPIRED})
    bare = Record()
    for key, entry in record.entries.items():
        if key != EXPIRED:
            bare.put(key, entry)
    assert state_of(record) == bare.digest
    record.make_whole()
    record.put(EXPIRED, make_entry(record.stamp(), NIL))
    assert state_of(record) == bare.digest
    assert is_as_expected(record, bare.digest)
    assert is_as_expected(record, NOT_ASKED_FOR)
    assert not is_as_expected(record, bare.digest ^ 1)


def test_no_state_is_mistaken_for_one_that_nobody_asks_for() -> None:
    """It would be written whatever anybody has changed."""
    assert state_of(Record()) != NOT_ASKED_FOR
