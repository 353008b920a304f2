"""When a session expires, as far as its copy knows; and sessions that are remembered."""

from datetime import UTC, datetime, timedelta

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicas import Rig
from samples import session as session_id
from shelf import Shelf, at_once, found, last_save, repository, saved

from node import NodeConfig, open_node
from ring.clock import stamp_ms
from ring.entry import CREATED, LIFETIME, MAX_IDLE, REMEMBERED, entry_stamp
from ring.errors import ConfigError, SessionEnded
from ring.messages import Failure, Find
from ring.record import Record

DAY_S = 86_400.0


def moment(ms: float) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


# --- When it expires ------------------------------------------------------------------------------


@given(
    st.floats(-1, 1e6) | st.just(0.0),
    st.floats(-1, 1e6) | st.just(0.0),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
)
def test_it_expires_at_the_earlier_of_what_its_clocks_say(
    max_idle: float, lifetime: float, found_after_ms: int, looked_after_ms: int
) -> None:
    """The dumb definition: each clock by itself, from its own beginning."""
    shelf = Shelf()
    created_ms = shelf.wall
    session = repository(shelf, max_idle=max_idle, lifetime=lifetime).create()
    at_once(session.save())
    shelf.wall += found_after_ms
    copy = at_once(repository(shelf).find(session.id))
    assert copy is not None
    ends = [shelf.wall + copy.max_idle * 1000] if max_idle > 0 else []
    ends += [created_ms + copy.lifetime * 1000] if lifetime > 0 else []
    assert copy.expires_at == (moment(min(ends)) if ends else None)
    shelf.wall += looked_after_ms
    assert copy.is_expired == (bool(ends) and min(ends) <= shelf.wall)


def test_without_an_end_of_its_clocks_it_never_expires() -> None:
    shelf = Shelf()
    session = repository(shelf, max_idle=0).create()
    assert session.expires_at is None
    session.max_idle = 1e12  # Python's calendar has no such moment.
    assert session.expires_at is None
    assert not session.is_expired


def test_who_only_looks_sees_when_the_last_user_was_there() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.records[session._id].touch(shelf._stamp(), -100.0)
    copy = at_once(repository(shelf).find(session.id, touch=False))
    assert copy is not None
    assert copy.expires_at == moment(shelf.wall - 100_000 + 1_800_000)
    used = at_once(repository(shelf).find(session.id))
    assert used is not None
    assert used.expires_at == moment(shelf.wall + 1_800_000)
    assert used.last_accessed == copy.last_accessed == moment(shelf.wall - 100_000)


def test_a_save_counts_as_an_access_once_it_has_succeeded() -> None:
    shelf = Shelf()
    session = saved(shelf)
    first = session.expires_at
    shelf.wall += 5000
    session["x"] = 1
    shelf.replies.append(Failure.UNAVAILABLE)
    with pytest.raises(Exception, match="planned"):
        at_once(session.save())
    assert session.expires_at == first
    at_once(session.save())
    assert first is not None
    assert session.expires_at == first + timedelta(seconds=5)


def test_a_touch_counts_as_an_access_and_says_whether_it_is_there() -> None:
    shelf = Shelf()
    session = saved(shelf)
    first = session.expires_at
    shelf.wall += 5000
    assert at_once(session.touch())
    (asked,) = shelf.asked
    assert isinstance(asked, Find)
    assert asked.touch
    assert first is not None
    assert session.expires_at == first + timedelta(seconds=5)
    at_once(found(shelf, session).end())
    assert not at_once(session.touch())
    assert session.expires_at == first + timedelta(seconds=5)


def test_what_the_ring_never_heard_of_is_not_there_to_be_touched() -> None:
    shelf = Shelf()
    assert not at_once(repository(shelf).create().touch())
    assert shelf.asked == []


def test_after_a_rotation_that_nobody_confirmed_the_new_id_is_touched() -> None:
    shelf = Shelf()
    session = saved(shelf)
    shelf.replies.append(Failure.OUTCOME_UNKNOWN)
    with pytest.raises(Exception, match="planned"):
        at_once(session.rotate_id())
    assert at_once(session.touch())


async def test_a_node_serves_a_session_until_it_expires_by_its_own_account(
    autojump_clock: object,
) -> None:
    """Who trusts ``is_expired`` logs nobody out before the ring does."""
    import trio

    async with open_node(NodeConfig.single(None)) as node:
        session = node.sessions.create(max_idle=100)
        await session.save()
        await trio.sleep(55)
        copy = await node.sessions.find(session.id)
        assert copy is not None
        await trio.sleep(99)
        assert [copy.is_expired] == [False]
        assert await node.sessions.find(session.id, touch=False) is not None
        await trio.sleep(12)
        assert [copy.is_expired] == [True]
        assert await node.sessions.find(session.id) is None


# --- Remembered -----------------------------------------------------------------------------------


def test_a_remembered_session_has_the_clocks_that_are_configured_for_that() -> None:
    shelf = Shelf()
    sessions = repository(shelf, remember_max_idle="30d", remember_lifetime="365d")
    session = sessions.create(remember=True)
    assert session.remembered
    assert (session.max_idle, session.lifetime) == (30 * DAY_S, 365 * DAY_S)
    at_once(session.save())
    copy = found(shelf, session)
    assert (copy.remembered, copy.max_idle) == (True, 30 * DAY_S)
    assert not repository(shelf).create().remembered


def test_a_call_may_still_give_a_remembered_session_clocks_of_its_own() -> None:
    session = repository(Shelf()).create(remember=True, max_idle=7 * DAY_S, lifetime=90 * DAY_S)
    assert (session.remembered, session.max_idle) == (True, 7 * DAY_S)
    assert session.lifetime == 90 * DAY_S


def test_a_session_that_is_there_is_remembered_from_its_save_on() -> None:
    shelf = Shelf()
    session = found(shelf, saved(shelf))
    session.remember()
    assert session.remembered
    assert not found(shelf, session).remembered
    at_once(session.save())
    assert {key for key, _ in last_save(shelf).changes} == {MAX_IDLE, REMEMBERED}
    assert found(shelf, session).remembered


def test_who_is_remembered_already_costs_no_save() -> None:
    shelf = Shelf()
    session = repository(shelf).create(remember=True)
    at_once(session.save())
    shelf.asked.clear()
    session.remember()
    at_once(session.save())
    assert shelf.asked == []


def test_a_mark_that_a_newer_version_has_made_is_none_that_this_one_knows() -> None:
    shelf = Shelf()
    session = saved(shelf)
    session.change_reserved(REMEMBERED, msgpack.packb("until friday"))
    at_once(session.save())
    assert not found(shelf, session).remembered


def test_the_lifetime_counts_from_the_creation_whatever_is_renewed() -> None:
    """Else a stolen cookie that is used now and then lives for ever."""
    rig = Rig("abc", 2)
    one, other = session_id("a", 7), session_id("a", 8)
    ten_days = {LIFETIME: msgpack.packb(10 * DAY_S), REMEMBERED: msgpack.packb(True)}
    rig.create("a", one, cart=b"\x01")
    first = rig.replicas["a"].record(one)
    assert first is not None
    created = first.entries[CREATED]
    rig.pass_time(600, step_s=60)
    rig.save("a", one, {**ten_days, MAX_IDLE: msgpack.packb(0.0)})
    rig.rotate("a", one, other)
    rig.save("a", other, dict(ten_days))
    record = rig.replicas["a"].record(other)
    assert record is not None
    assert record.entries[CREATED] == created
    due = record.due(rig.replicas["a"].epoch) - rig.replicas["a"].epoch
    assert due == pytest.approx(stamp_ms(entry_stamp(created)) / 1000 + 10 * DAY_S, abs=0.01)


def test_a_session_tells_its_end_from_its_creation_after_a_rotation() -> None:
    shelf = Shelf()
    sessions = repository(shelf, remember_lifetime=3600, remember_max_idle=0)
    session = sessions.create(remember=True)
    at_once(session.save())
    end = session.expires_at
    assert end == moment(shelf.wall + 3_600_000)
    shelf.wall += 600_000
    session.remember()
    at_once(session.rotate_id())
    shelf.wall += 600_000
    copy = at_once(sessions.find(session.id))
    assert copy is not None
    copy.remember()
    at_once(copy.save())
    assert session.expires_at == copy.expires_at == found(shelf, copy).expires_at == end
    shelf.wall += 2_400_000
    assert copy.is_expired


@pytest.mark.parametrize("name", ["remember_max_idle", "remember_lifetime"])
def test_a_duration_that_is_none_is_refused(name: str) -> None:
    ring = {"name": "shop", "members": [{"name": "a", "address": "127.0.0.1:6802"}]}
    with pytest.raises(ConfigError, match=f"sessions.{name} is 'a month'; use seconds"):
        NodeConfig.from_tables({"ring": ring, "sessions": {name: "a month"}}, environ={})


def test_an_ended_copy_is_not_touched() -> None:
    shelf = Shelf()
    session = saved(shelf)
    at_once(session.end())
    shelf.asked.clear()
    assert not at_once(session.touch())
    with pytest.raises(SessionEnded):
        at_once(session.save())
    assert shelf.asked == []


def test_a_record_says_what_the_session_says() -> None:
    """Both read the same entries: what the ring judges by is what is told."""
    shelf = Shelf()
    session = repository(shelf, max_idle=60, lifetime=600).create()
    at_once(session.save())
    record: Record = shelf.records[session._id]
    assert (record.max_idle_s, record.lifetime_s) == (session.max_idle, session.lifetime)
