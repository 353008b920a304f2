"""One peer's stream, against a model that remembers everything in plain lists."""

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from samples import IDS, NOW
from strategies_ring import ids

from ring.clock import Stamp
from ring.entry import make_entry
from ring.errors import RemoteProtocolError
from ring.identity import SessionId
from ring.messages import Acks, Changes
from ring.packed import EMPTY_FRAGMENT
from ring.pending import Acknowledged, Stream
from ring.record import Record
from ring.settings import Settings
from ring.table import Table

SETTINGS = Settings(changes_per_frame_max=3, unacknowledged_max=5, frame_fill_bytes=200)
KEYS = (b"cart", b"color", b"visits")
some_keys = st.none() | st.sets(st.sampled_from(KEYS))


def a_table() -> Table:
    """Return a table with records of very different sizes, and one id left out."""
    table = Table(("a", "b"), 0.0)
    for number, session_id in enumerate(IDS[:-1]):
        record = Record()
        for key in KEYS:
            record.put(key, make_entry(Stamp(5), bytes([number]) * (1 + 30 * number)))
        record.make_whole()
        table.put(session_id, record)
    return table


class StreamMachine(RuleBasedStateMachine):
    """Marks, fills and acknowledges in any order, as a link and a busy node would."""

    def __init__(self) -> None:
        super().__init__()
        self.table = a_table()
        self.stream = Stream(SETTINGS)
        self.marked: list[tuple[SessionId, set[bytes] | None]] = []
        """What the peer has not been sent, oldest mark first."""
        self.sent: list[tuple[SessionId, int]] = []
        """Every change ever sent, with its version; its number is its position from 1."""
        self.acknowledged = 0
        self.version = 0

    @rule(session_id=ids, keys=some_keys)
    def mark(self, session_id: SessionId, keys: set[bytes] | None) -> None:
        self.version += 1
        self.stream.mark(session_id, keys)
        for position, (marked, before) in enumerate(self.marked):
            if marked == session_id:
                union = None if before is None or keys is None else before | keys
                self.marked[position] = (session_id, union)
                return
        self.marked.append((session_id, keys))

    @rule(session_id=st.sampled_from(IDS[:-1]))
    def forget(self, session_id: SessionId) -> None:
        """Drop a record that may be pending: expiry does that."""
        self.table.drop(session_id)

    @rule()
    def fill(self) -> None:
        changes = self.stream.fill(self.table, self.version, NOW)
        flat, size = list[bytes | int](), 0
        under_way = len(self.sent) - self.acknowledged
        for session_id, keys in list(self.marked):
            portable = self.table.portable(session_id, NOW, keys)
            size += len(session_id) + len(portable)
            full = under_way == SETTINGS.unacknowledged_max
            many = len(flat) == 3 * SETTINGS.changes_per_frame_max
            if full or many or (flat and size > SETTINGS.frame_fill_bytes):
                break
            flat += [session_id, self.table.digest(session_id), portable or EMPTY_FRAGMENT]
            self.sent.append((session_id, self.version))
            self.marked.remove((session_id, keys))
            under_way += 1
        assert changes == (Changes(flat) if flat else None)

    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.acknowledged, len(self.sent)), label="upto")
        numbers = range(self.acknowledged + 1, upto + 1)
        different = {
            number: data.draw(st.sampled_from([b"", b"theirs"]), label=str(number))
            for number in numbers
            if data.draw(st.booleans(), label=f"{number} differs")
        }
        expected = [
            Acknowledged(*self.sent[number - 1], different.get(number)) for number in numbers
        ]
        assert self.stream.acknowledge(Acks(upto, tuple(different.items()))) == expected
        self.acknowledged = upto

    @rule(data=st.data())
    def acknowledge_what_was_never_sent(self, data: st.DataObject) -> None:
        """A mistake changes nothing: what was under way still is."""
        wrong = data.draw(
            st.integers(len(self.sent) + 1, 2**64 - 1)
            | st.integers(0, max(0, self.acknowledged - 1))
        )
        if wrong == self.acknowledged:
            return
        with pytest.raises(RemoteProtocolError, match="never sent"):
            self.stream.acknowledge(Acks(wrong))

    @rule(data=st.data())
    def answer_outside_of_what_is_acknowledged(self, data: st.DataObject) -> None:
        upto = data.draw(st.integers(self.acknowledged, len(self.sent)))
        outside = data.draw(st.sampled_from([0, self.acknowledged, upto + 1]))
        with pytest.raises(RemoteProtocolError, match="outside"):
            self.stream.acknowledge(Acks(upto, ((outside, b""),)))

    @invariant()
    def the_length_is_what_the_peer_has_not_acknowledged(self) -> None:
        assert len(self.stream) == len(self.marked) + len(self.sent) - self.acknowledged


TestStreamIsItsModel = StreamMachine.TestCase
TestStreamIsItsModel.settings = hypothesis_settings(max_examples=50, stateful_step_count=25)


def test_changes_to_one_session_coalesce_into_one() -> None:
    """A slow peer costs memory by the session and not by the change."""
    table, stream = a_table(), Stream(Settings())
    for _ in range(1000):
        stream.mark(IDS[0], {b"cart"})
        stream.mark(IDS[0], {b"color"})
    assert len(stream) == 1
    changes = stream.fill(table, 7, NOW)
    portable = table.portable(IDS[0], NOW, {b"cart", b"color"})
    assert changes == Changes([IDS[0], table.digest(IDS[0]), portable])


def test_a_value_is_as_fresh_as_the_frame() -> None:
    """Values are read when a frame is written, not when the change is made."""
    table, stream = a_table(), Stream(Settings())
    stream.mark(IDS[0], {b"cart"})
    record = table.get(IDS[0])
    assert record is not None
    record.put(b"cart", make_entry(Stamp(6), b"newer"))
    table.put(IDS[0], record)
    changes = stream.fill(table, 7, NOW)
    assert changes is not None
    assert changes.flat[2] == record.portable(NOW, {b"cart"})


def test_a_session_changed_after_its_frame_goes_once_more() -> None:
    table, stream = a_table(), Stream(Settings())
    stream.mark(IDS[0], {b"cart"})
    assert stream.fill(table, 1, NOW) is not None
    stream.mark(IDS[0], {b"color"})
    assert stream.fill(table, 2, NOW) is not None
    assert stream.acknowledge(Acks(2)) == [
        Acknowledged(IDS[0], 1, None),
        Acknowledged(IDS[0], 2, None),
    ]
    assert len(stream) == 0
    assert stream.fill(table, 3, NOW) is None


def test_a_record_larger_than_a_frame_goes_alone() -> None:
    """A single record may take a frame to the limit of the wire."""
    table, stream = a_table(), Stream(SETTINGS)
    for session_id in (IDS[5], IDS[4]):
        assert len(table.portable(session_id, NOW)) > SETTINGS.frame_fill_bytes
        stream.mark(session_id, None)
    for session_id in (IDS[5], IDS[4]):
        changes = stream.fill(table, 1, NOW)
        assert changes is not None
        assert changes.flat[::3] == [session_id]


def test_a_full_window_sends_nothing_until_the_peer_acknowledges() -> None:
    table, stream = a_table(), Stream(Settings(unacknowledged_max=1))
    stream.mark(IDS[0], None)
    stream.mark(IDS[1], None)
    assert stream.fill(table, 1, NOW) is not None
    assert stream.fill(table, 1, NOW) is None
    stream.acknowledge(Acks(1))
    changes = stream.fill(table, 1, NOW)
    assert changes is not None
    assert changes.flat[0] == IDS[1]


def test_no_keys_at_all_ask_whether_the_peer_holds() -> None:
    """Its answer tells what to send."""
    table, stream = a_table(), Stream(Settings())
    stream.mark(IDS[0], ())
    assert stream.fill(table, 1, NOW) == Changes([IDS[0], table.digest(IDS[0]), EMPTY_FRAGMENT])
    assert Record.from_portable(EMPTY_FRAGMENT, NOW) == Record()


def test_the_age_of_a_stream_is_that_of_the_oldest_frame_that_waits() -> None:
    """By which a member that does not keep up is known; what was not sent yet has no age."""
    table, stream = a_table(), Stream(Settings(changes_per_frame_max=2))
    for session_id in IDS[:4]:
        stream.mark(session_id, None)
    assert stream.oldest_sent_at() is None
    assert stream.fill(table, 1, NOW) is not None
    assert stream.fill(table, 1, NOW + 1) is not None
    stream.acknowledge(Acks(1))
    assert stream.oldest_sent_at() == NOW
    stream.acknowledge(Acks(2))
    assert stream.oldest_sent_at() == NOW + 1
    stream.acknowledge(Acks(4))
    assert stream.oldest_sent_at() is None
