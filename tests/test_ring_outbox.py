"""What waits to be announced is told once, with all that anybody knows of the session."""

from samples import NOW, session

from ring.announcements import Announcement, EventKind
from ring.clock import Stamp
from ring.entry import make_entry
from ring.outbox import Outbox
from ring.record import Record

ID = session("a", 7)


def deleted(**values: bytes) -> Announcement:
    record = Record()
    for number, (name, value) in enumerate(sorted(values.items()), 1):
        record.put(name.encode(), make_entry(Stamp(number * 1000 + value[0]), value))
    state = record.portable(NOW) if values else b""
    return Announcement(ID, EventKind.DELETED, Stamp(9), state)


def state_in(outbox: Outbox) -> Record:
    (waiting,) = outbox
    return Record.from_portable(waiting.announcement.state, NOW)


def test_what_two_members_knew_of_a_session_is_told_together() -> None:
    """Each had something newer than the other one; neither's is the whole."""
    outbox = Outbox()
    assert outbox.add(deleted(cart=b"\x01", user=b"\x02"), NOW)
    assert not outbox.add(deleted(cart=b"\x02", user=b"\x01"), NOW)
    record = state_in(outbox)
    assert (record.value(b"cart"), record.value(b"user")) == (b"\x02", b"\x02")


def test_a_state_takes_the_place_of_none_and_none_takes_nobodys() -> None:
    outbox = Outbox()
    assert outbox.add(deleted(), NOW)
    assert outbox.add(deleted(cart=b"\x01"), NOW)
    assert not outbox.add(deleted(), NOW)
    assert state_in(outbox).value(b"cart") == b"\x01"


def test_what_is_given_or_delivered_stays_as_it_is() -> None:
    outbox = Outbox()
    outbox.add(deleted(cart=b"\x01"), NOW)
    (waiting,) = outbox
    waiting.is_given = True
    assert not outbox.add(deleted(cart=b"\x02"), NOW)
    assert state_in(outbox).value(b"cart") == b"\x01"
    assert outbox.deliver(waiting.announcement.key, 9, NOW)
    assert not outbox.add(deleted(cart=b"\x02"), NOW)
    assert list(outbox) == []
