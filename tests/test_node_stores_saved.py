"""Sessions saved and restored one by one: what was saved, or nothing; never what has expired."""

import errno
import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from node import (
    ConfigError,
    NodeConfig,
    SessionEnded,
    SessionTooLargeError,
    StoreError,
    StoreLockedError,
    ValueNotStorableError,
    open_node,
)
from node.stores import FileStore, MemoryStore, OsDisk, SavedSession, SavedSessions
from node.stores.saved import ATTRIBUTES_MAX
from ring.identity import SessionId

NOW_MS = 1_700_000_000_000
NOW = datetime.fromtimestamp(NOW_MS / 1000, UTC)
IDS = tuple(f"a.{'x' * 21}{number}" for number in range(3))


class Wall:
    """A wall clock that tests set."""

    def __init__(self) -> None:
        self.ms = NOW_MS

    def __call__(self) -> int:
        return self.ms

    def pass_time(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


class Broken(MemoryStore):
    """A store that may refuse what it is given."""

    is_full = False

    def write(
        self, changes: Sequence[tuple[SessionId, bytes | None]], written_ms: int
    ) -> Mapping[SessionId, OSError]:
        if self.is_full:
            return {key: OSError(errno.ENOSPC, "No space left on device") for key, _ in changes}
        return super().write(changes, written_ms)


def opened(store: MemoryStore | None = None, wall: Wall | None = None) -> SavedSessions:
    sessions = SavedSessions(store or MemoryStore(), wall_ms=wall or Wall())
    sessions.open()
    return sessions


def a_session(session_id: str = IDS[0], /, **attributes: Any) -> SavedSession:
    return SavedSession(session_id, attributes, NOW, NOW)


class Lives(RuleBasedStateMachine):
    """Against a dict of what was saved, in which what has expired counts as absent.

    Steps are 10 s, and max idle is 100 s: an access is written down at the first step after one.
    """

    ids = st.sampled_from(IDS)

    def __init__(self) -> None:
        super().__init__()
        self.store, self.wall = MemoryStore(), Wall()
        self.sessions = opened(self.store, self.wall)
        self.model: dict[str, SavedSession] = {}

    @property
    def now(self) -> datetime:
        return datetime.fromtimestamp(self.wall.ms / 1000, UTC)

    def lives(self, session_id: str) -> bool:
        saved = self.model.get(session_id)
        return saved is not None and self.idle_s(saved) < 110 and self.age_s(saved) < 300

    def idle_s(self, saved: SavedSession) -> float:
        assert saved.last_seen is not None
        return (self.now - saved.last_seen).total_seconds()

    def age_s(self, saved: SavedSession) -> float:
        assert saved.created_at is not None
        return (self.now - saved.created_at).total_seconds()

    @rule(session_id=ids, value=st.integers(0, 9), age=st.sampled_from([0, 20, 120]))
    def save(self, session_id: str, value: int, age: int) -> None:
        seen = self.now - timedelta(seconds=age)
        saved = SavedSession(session_id, {"value": value}, self.now, seen, 100.0, 300.0)
        self.sessions.save(saved)
        self.model[session_id] = saved

    @rule(session_id=ids)
    def touch(self, session_id: str) -> None:
        assert self.sessions.touch(session_id) == self.lives(session_id)
        if self.lives(session_id) and self.idle_s(self.model[session_id]) >= 10:
            self.model[session_id] = evolve(self.model[session_id], last_seen=self.now)

    @rule(session_id=ids)
    def remove(self, session_id: str) -> None:
        self.sessions.remove(session_id)
        self.model.pop(session_id, None)

    @rule(ttl_s=st.sampled_from([None, 20.0, 1000.0]))
    def remove_expired(self, ttl_s: float | None) -> None:
        gone = {
            key: saved
            for key, saved in self.model.items()
            if not self.lives(key) or (ttl_s is not None and self.idle_s(saved) >= ttl_s)
        }
        removed = self.sessions.remove_expired(ttl_s)
        assert {each.id: each for each in removed} == gone
        assert len(removed) == len(gone)
        for key in gone:
            del self.model[key]
        assert len(list(self.store.load())) == len(self.model)

    @rule(steps=st.integers(1, 13))
    def pass_time(self, steps: int) -> None:
        self.wall.pass_time(10 * steps)

    @rule()
    def restart(self) -> None:
        self.sessions.close()
        self.sessions = opened(self.store, self.wall)

    @invariant()
    def restores_what_lives(self) -> None:
        for session_id in IDS:
            expected = self.model[session_id] if self.lives(session_id) else None
            assert self.sessions.restore(session_id) == expected


TestLives = Lives.TestCase


def test_what_is_restored_has_values_of_the_types_that_were_saved() -> None:
    sessions = opened()
    values = {"list": [1, "two"], "set": {1, 2}, "tuple": (1,), "when": NOW, "none": None}
    sessions.save(a_session(**values))
    restored = sessions.restore(IDS[0])
    assert restored is not None
    assert restored.attributes == values
    assert (restored.max_idle, restored.lifetime) == (1800, 0)


def test_without_moments_it_was_created_and_seen_when_it_is_saved() -> None:
    sessions = opened()
    tomorrow = NOW + timedelta(days=1)
    for moment in (None, tomorrow):
        sessions.save(SavedSession(IDS[0], created_at=moment, last_seen=moment))
        restored = sessions.restore(IDS[0])
        assert restored is not None
        assert restored.created_at == restored.last_seen == NOW


def test_new_ids_are_ids_and_differ() -> None:
    sessions = SavedSessions(MemoryStore(), home="web-1")
    ids = {sessions.new_id() for _ in range(10)}
    assert len(ids) == 10
    sessions.open()
    for each in ids:
        assert each.startswith("web-1.")
        sessions.save(a_session(each))
    with pytest.raises(ConfigError, match="home is 'No'"):
        SavedSessions(MemoryStore(), home="No")


@pytest.mark.parametrize("text", [None, "", "a", "../../etc/passwd", "a." + "ü" * 22])
def test_what_is_no_id_is_nobodys(text: str | None) -> None:
    sessions = opened()
    assert sessions.restore(text) is None
    assert not sessions.touch(text)
    sessions.remove(text)
    if text is not None:
        with pytest.raises(ValueError, match="use one from new_id"):
            sessions.save(a_session(text))


@pytest.mark.parametrize(
    ("session", "error", "message"),
    [
        (a_session(x=object()), ValueNotStorableError, "attribute 'x' cannot be stored"),
        (a_session(**{"": 1}), ValueError, "cannot be used"),
        (a_session(x="x" * 900_000), SessionTooLargeError, "attribute 'x'"),
        (a_session(x="x" * 500_000, y="x" * 500_000), SessionTooLargeError, "takes 1000"),
        (a_session(**{str(n): n for n in range(ATTRIBUTES_MAX + 1)}), SessionTooLargeError, "2049"),
        (SavedSession(IDS[0], created_at=datetime(2020, 1, 1)), ValueError, "no time zone"),  # noqa: DTZ001
        (SavedSession(IDS[0], last_seen=datetime(1960, 1, 1, tzinfo=UTC)), ValueError, "1970"),
        (SavedSession(IDS[0], max_idle=float("nan")), ValueError, "max_idle is nan"),
    ],
    ids=range(8),
)
def test_what_cannot_be_kept_is_refused_and_what_was_there_stays(
    session: SavedSession, error: type[Exception], message: str
) -> None:
    sessions = opened()
    before = a_session(x=1)
    sessions.save(before)
    with pytest.raises(error, match=message):
        sessions.save(session)
    assert sessions.restore(IDS[0]) == before


def test_what_the_store_does_not_take_is_said_and_what_was_there_stays() -> None:
    store, wall = Broken(), Wall()
    sessions = opened(store, wall)
    before = a_session(x=1)
    sessions.save(before)
    store.is_full = True
    with pytest.raises(StoreError, match=r"did not take 1 sessions .*look after its disk"):
        sessions.save(a_session(x=2))
    assert sessions.restore(IDS[0]) == before
    wall.pass_time(600)
    with pytest.raises(StoreError):
        sessions.touch(IDS[0])
    with pytest.raises(StoreError):
        sessions.remove(IDS[0])
    assert sessions.restore(IDS[0]) is None
    store.is_full = False
    sessions.save(a_session(x=2))
    sessions.close()
    assert opened(store, wall).restore(IDS[0]) is not None


def test_nothing_grows_with_the_ids_that_come_by() -> None:
    sessions = opened()
    sizes = []
    for _ in range(2):
        for number in range(100):
            session_id = f"a.{number:022d}"
            sessions.restore(session_id)
            sessions.touch(session_id)
            sessions.save(a_session(session_id))
            sessions.remove(session_id)
        sizes.append(
            [len(each) for each in vars(sessions).values() if isinstance(each, dict | set | list)]
        )
    assert sizes[0] == sizes[1] == [0]


def test_any_thread_may_call_it() -> None:
    sessions = opened()

    def work(number: int) -> None:
        for value in range(50):
            sessions.save(a_session(IDS[number], value=value))
            assert sessions.touch(IDS[number])
            sessions.remove_expired()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for session_id in IDS:
        restored = sessions.restore(session_id)
        assert restored is not None
        assert restored.attributes == {"value": 49}


def test_in_a_file_store_it_is_locked_and_outlives_the_process(tmp_path: Path) -> None:
    def store() -> FileStore:
        return FileStore(OsDisk(tmp_path, "a", print), print)

    with SavedSessions(store()) as sessions:
        sessions.save(SavedSession(IDS[0], {"x": 1}))
        with pytest.raises(StoreLockedError), SavedSessions(store()):
            pass
    with SavedSessions(store()) as sessions:
        restored = sessions.restore(IDS[0])
        assert restored is not None
        assert restored.attributes == {"x": 1}


def test_what_cannot_be_read_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    store = MemoryStore()
    store.write([(SessionId(IDS[0].encode()), b"?"), (SessionId(b"x"), b"\x03\x90")], NOW_MS)
    sessions = opened(store)
    assert sessions.restore(IDS[0]) is None
    assert sessions.remove_expired(0) == []
    assert len(list(store.load())) == 2
    assert [each.getMessage().split()[0] for each in caplog.records[-2:]] == 2 * [
        "record_unreadable"
    ]
    assert IDS[0] not in caplog.text


async def test_it_reads_what_a_node_has_left_and_a_node_reads_what_it_has_saved() -> None:
    """Maps and sets as plain values; what the node has ended stays ended."""
    store, wall = MemoryStore(), Wall()
    async with open_node(NodeConfig.single(None), store=store) as node:
        session, ended = node.sessions.create(), node.sessions.create()
        session.map("cart")["apples"] = 3
        session.set("rooms").add("lobby")
        session["x"] = 1
        await session.save()
        await ended.save()
        await ended.end()
    wall.ms = max(wall.ms, node.wall_ms())
    with SavedSessions(store, wall_ms=wall) as sessions:
        restored = sessions.restore(session.id)
        assert restored is not None
        assert restored.attributes == {"cart": {"apples": 3}, "rooms": frozenset({"lobby"}), "x": 1}
        restored.attributes["cart"]["pears"] = 1
        sessions.save(restored)
        assert sessions.restore(ended.id) is None
        assert sessions.remove_expired(0.0) != []
        sessions.save(evolve(restored, last_seen=None))
        with pytest.raises(SessionEnded):
            sessions.save(evolve(restored, id=ended.id))
    async with open_node(NodeConfig.single(None), store=store) as node:
        await node.wait_ready()
        found = await node.sessions.find(session.id)
        assert found is not None
        assert found["cart"] == {"apples": 3, "pears": 1}
        assert await node.sessions.find(ended.id) is None
