"""A store that a wrong clock has written: refused, repaired, and used again."""

from pathlib import Path

import pytest
import trio
from memory_store import MemoryStore

from node import NodeConfig, StoreError, StoreLockedError, open_node
from node.__main__ import main
from node.repairing import repair, repair_store
from node.stores.base import Stored
from node.timekeeping import real_wall_ms
from ring.clock import earliest
from ring.entry import entry_stamp, make_entry
from ring.identity import SessionId
from ring.packed import aged
from ring.record import Record

DAY_MS = 86_400_000
NOW_MS = 1_700_000_000_000


def session(number: int) -> SessionId:
    return SessionId(f"a.{number:022d}".encode())


def record(**stamps_ms: int) -> Record:
    """Return a whole record whose entries are stamped so many milliseconds from now."""
    made = Record()
    for key, ms in stamps_ms.items():
        made.put(key.encode(), make_entry(earliest(NOW_MS + ms), b"\x01"))
    made.make_whole()
    return made


class Shelf(MemoryStore):
    """A store of which all that was written can be read again."""

    def load(self):  # type: ignore[no-untyped-def]
        for stored in self.loaded:
            portable = self.records.get(stored.session_id, stored.portable)
            if portable is not None:
                yield Stored(stored.session_id, portable, stored.written_ms)

    def entries(self, number: int) -> dict[bytes, int]:
        """Return, by key, by how many milliseconds an entry is ahead."""
        portable = self.records[session(number)]
        assert portable is not None
        found = Record.from_portable(portable, 0.0).entries
        return {key: (entry_stamp(entry) >> 16) - NOW_MS for key, entry in found.items()}


def test_what_lies_in_the_future_is_stamped_now_in_its_order_and_the_rest_is_left() -> None:
    store = Shelf(
        Stored(session(1), record(a=-5, b=DAY_MS, c=2 * DAY_MS).portable(0.0), NOW_MS),
        Stored(session(2), record(a=-5).portable(0.0), NOW_MS),
        Stored(session(3), b"\xff no record", NOW_MS),
    )
    said = repair_store(store, NOW_MS)
    assert said == "1 sessions were stamped up to 172800 s ahead, and are stamped anew"
    assert store.records.keys() == {session(1)}
    entries = store.entries(1)
    assert entries[b"a"] == -5
    assert 0 <= entries[b"b"] <= entries[b"c"] <= 1
    assert repair_store(store, NOW_MS + 1000) == "nothing in the store is stamped in the future"


def test_a_session_does_not_grow_younger_by_it() -> None:
    old = record(a=DAY_MS)
    old.touch(earliest(NOW_MS + DAY_MS), -10.0)
    store = Shelf(Stored(session(1), old.portable(0.0), NOW_MS - 5000))
    repair_store(store, NOW_MS)
    portable = store.records[session(1)]
    assert portable is not None
    assert Record.from_portable(portable, 0.0).accessed_at == pytest.approx(-15.0)
    assert aged(portable, 0.0) == portable


def test_a_store_that_takes_nothing_is_said() -> None:
    store = Shelf(Stored(session(1), record(a=DAY_MS).portable(0.0), NOW_MS))
    store.is_full = True
    with pytest.raises(StoreError, match="make room"):
        repair_store(store, NOW_MS)


async def test_a_store_of_a_day_ahead_is_refused_then_repaired_and_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The clock was a day ahead, then corrected: the sessions are there, and can be written."""
    config = NodeConfig.single(tmp_path / "store")
    with trio.fail_after(30):
        async with open_node(config, wall_ms=lambda: real_wall_ms() + DAY_MS) as node:
            session = node.sessions.create()
            session["cart"] = "old"
            await session.save()
            with pytest.raises(StoreLockedError):
                await trio.to_thread.run_sync(repair, config)
        with pytest.raises(StoreError, match="sessionring repair"):
            async with open_node(config):
                raise AssertionError("it has started")
        path = tmp_path / "ring.toml"
        path.write_text(
            '[ring]\nname = "single"\n[[ring.members]]\nname = "a"\n'
            f'[store]\nurl = "file:{tmp_path}/store"\n'
        )
        command = ["repair", "--config", str(path), "--name", "a"]
        assert await trio.to_thread.run_sync(main, command) == 0
        assert "1 sessions were stamped up to 86" in capsys.readouterr().out
        async with open_node(config) as node:
            found = await node.sessions.find(session.id)
            assert found is not None
            assert found["cart"] == "old"
            found["cart"] = "new"
            await found.save()


def test_a_node_without_a_store_has_nothing_to_repair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ring.toml"
    path.write_text('[ring]\nname = "single"\n[[ring.members]]\nname = "a"\n')
    assert main(["repair", "--config", str(path)]) == 2
    assert "node a has no store" in capsys.readouterr().err
