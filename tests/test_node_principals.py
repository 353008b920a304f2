"""Whose sessions there are: set, found, ended, and kept few; over a shelf, and over a ring."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgpack
import pytest
import trio
import trio.testing
from shelf import Shelf, at_once, found, repository, saved

from node.matches import EndedSessions
from node.sections import SessionsConfig
from node.session import Session
from node.sessions import SessionRepository
from ring.clock import Stamp
from ring.entry import PRINCIPAL, EndReason
from ring.errors import (
    ConfigError,
    OutcomeUnknownError,
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionUnavailableError,
    TooManySessionsError,
)
from ring.identity import SessionId
from ring.messages import End, Failure, Rotate, Save
from ring.record import Record


def login(shelf: Shelf, name: str = "ada", **config: Any) -> Session:
    """Return a session that was there before its user came."""
    session = repository(shelf, **config).create()
    at_once(session.save())
    session.principal = name
    at_once(session.save())
    return session


def alive(shelf: Shelf) -> set[str]:
    return {each.decode() for each, record in shelf.records.items() if not record.ended}


def kinds(shelf: Shelf) -> list[type[Any]]:
    return [type(each) for each in shelf.asked]


# --- Setting it ---


def test_a_session_that_the_ring_has_goes_on_under_a_fresh_id_when_it_changes_hands() -> None:
    shelf = Shelf()
    session = saved(shelf, cart=1)
    old_id, copy = session.id, found(shelf, session)
    session.principal = "ada"
    session["cart"] = 2
    at_once(session.save())
    assert kinds(shelf) == [Rotate]
    assert session.id != old_id
    assert session.principal == "ada"
    assert dict(found(shelf, session)) == {"cart": 2}
    assert found(shelf, session).principal == "ada"
    copy["cart"] = 3
    with pytest.raises(SessionEnded):
        at_once(copy.save())
    assert at_once(repository(shelf).find(old_id)) is None


def test_whoever_sets_the_same_principal_again_keeps_the_id() -> None:
    shelf = Shelf()
    session = login(shelf)
    old_id = session.id
    shelf.asked.clear()
    session.principal = "ada"
    at_once(session.save())
    session["cart"] = 1
    at_once(session.save())
    assert session.id == old_id
    assert kinds(shelf) == [Save]


@pytest.mark.parametrize("name", ["bob", None])
def test_another_principal_or_none_is_a_change_of_hands(name: str | None) -> None:
    shelf = Shelf()
    session = login(shelf)
    old_id = session.id
    session.principal = name
    assert session.principal == name
    at_once(session.save())
    assert session.id != old_id
    assert found(shelf, session).principal == name
    assert session.principal == name


def test_one_that_was_removed_may_be_set_again() -> None:
    shelf = Shelf()
    session = login(shelf)
    session.principal = None
    session.principal = "ada"
    old_id = session.id
    at_once(session.save())
    assert session.id == old_id
    assert found(shelf, session).principal == "ada"


def test_a_new_session_keeps_its_id() -> None:
    shelf = Shelf()
    session = repository(shelf).create()
    session.principal, first_id = "ada", session.id
    at_once(session.save())
    assert session.id == first_id
    assert kinds(shelf) == [Save]
    assert found(shelf, session).principal == "ada"


def test_the_rotation_can_be_left_to_the_application() -> None:
    shelf = Shelf()
    session = repository(shelf, rotate_on_principal=False).create()
    at_once(session.save())
    session.principal, old_id = "ada", session.id
    at_once(session.save())
    assert session.id == old_id
    assert kinds(shelf) == [Save, Save]


def test_a_change_of_hands_is_never_saved_under_the_old_id() -> None:
    """Whoever knew it would have what the user may do."""
    shelf = Shelf()
    session = saved(shelf)
    session.principal = "ada"
    for failure, error in (
        (Failure.FULL, RingFullError),
        (Failure.UNAVAILABLE, SessionUnavailableError),
        (Failure.OUTCOME_UNKNOWN, OutcomeUnknownError),
    ):
        shelf.replies.append(failure)
        with pytest.raises(error):
            at_once(session.save())
    at_once(session.save())
    assert set(kinds(shelf)) == {Rotate}
    assert found(shelf, session).principal == "ada"


@pytest.mark.parametrize(
    ("name", "error"),
    [("", ValueError), ("a" * 256, ValueError), ("\ud800", ValueError), (5, TypeError)],
)
def test_what_is_no_name_is_refused(name: Any, error: type[Exception]) -> None:
    session = repository(Shelf()).create()
    with pytest.raises(error, match="principal"):
        session.principal = name
    assert session.principal is None


# --- Finding ---


def test_sessions_are_found_by_their_principal_and_summed_up() -> None:
    shelf = Shelf()
    session = login(shelf, max_idle=60.0, lifetime=3600.0)
    login(shelf, "bob")
    matches = at_once(repository(shelf).find_by_principal("ada"))
    assert matches.unreachable == ()
    (summary,) = matches.sessions.values()
    assert (summary.id, summary.principal) == (session.id, "ada")
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert summary.created_at - epoch == timedelta(milliseconds=shelf.wall)


def test_principals_are_counted() -> None:
    shelf = Shelf()
    for name in ("bob", "ada", "bob"):
        login(shelf, name)
    counts = at_once(repository(shelf).principals())
    assert list(counts.counts.items()) == [("ada", 1), ("bob", 2)]


def test_what_may_be_lacking_is_named() -> None:
    shelf = Shelf()
    shelf.missing.append((("c",), ("b",)))
    assert at_once(repository(shelf).find_by_principal("ada")).unreachable == ("b", "c")


@pytest.mark.parametrize("value", [["a"], {"a": 1}, {1}])
def test_what_has_no_hash_is_not_sought(value: object) -> None:
    with pytest.raises(TypeError, match="only by values that have a hash"):
        at_once(repository(Shelf()).find_by("mail", value))


def test_what_is_too_long_is_not_sought() -> None:
    with pytest.raises(ValueError, match="at most 260"):
        at_once(repository(Shelf()).find_by("mail", "a" * 300))


# --- Ending all ---


def test_all_are_ended_but_one() -> None:
    shelf = Shelf()
    sessions = [login(shelf) for _ in range(3)]
    other = login(shelf, "bob")
    result = at_once(repository(shelf).end_all("ada", except_id=sessions[0].id))
    assert result == EndedSessions(ended=2)
    assert result.is_complete
    assert alive(shelf) == {sessions[0].id, other.id}


def test_what_comes_meanwhile_is_ended_too() -> None:
    shelf = Shelf()
    login(shelf)
    late, real = [3], shelf.perform

    async def perform(request: Any) -> Any:
        if isinstance(request, End) and late[0]:
            late[0] -= 1
            login(shelf)
        return await real(request)

    shelf.perform = perform  # type: ignore[method-assign]
    result = at_once(repository(shelf).end_all("ada"))
    assert result == EndedSessions(ended=4)
    assert alive(shelf) == set()


@pytest.mark.parametrize(
    "failure", [Failure.UNAVAILABLE, Failure.OUTCOME_UNKNOWN, Failure.NOT_REPLICATED]
)
def test_what_could_not_be_ended_for_certain_is_ended_again(failure: Failure) -> None:
    """An end that no backup has is in force, and not found any more; it may be lost even so."""
    shelf = Shelf()
    session = login(shelf)
    shelf.asked.clear()
    real: Any = shelf.query
    fails = [2]

    async def query(asked: Any) -> Any:
        answer = await real(asked)
        if fails[0]:
            fails[0] -= 1
            shelf.replies.append(failure)
        return answer

    shelf.query = query  # type: ignore[method-assign, assignment]
    assert at_once(repository(shelf).end_all("ada")) == EndedSessions(ended=1)
    ends = [each.session_id for each in shelf.asked if isinstance(each, End)]
    assert ends == 3 * [session.id.encode()]


def test_a_home_for_which_nobody_answers_is_asked_for_again() -> None:
    shelf = Shelf()
    shelf.missing.extend([(("b",), ()), (("b",), ()), ((), ("b",))])
    result = at_once(repository(shelf).end_all("ada"))
    assert result == EndedSessions(ended=0, unreachable=("b",))
    assert len(shelf.questions) == 3


def test_after_its_time_it_says_what_was_not_done() -> None:
    shelf = Shelf()
    login(shelf)
    real: Any = shelf.query

    async def query(asked: Any) -> Any:
        answer = await real(asked)
        shelf.replies.append(Failure.UNAVAILABLE)
        shelf.missing.append((("b",), ()))
        return answer

    shelf.query = query  # type: ignore[method-assign,assignment]
    began = shelf.wall
    result = at_once(repository(shelf).end_all("ada", timeout_s=5))
    assert result == EndedSessions(ended=0, unsure=1, unreachable=("b",))
    assert not result.is_complete
    assert 5000 < shelf.wall - began < 7000


def test_if_nobody_can_be_asked_at_all_that_is_said() -> None:
    shelf = Shelf()
    shelf.replies.extend([Failure.UNAVAILABLE] * 100)
    with pytest.raises(SessionUnavailableError):
        at_once(repository(shelf).end_all("ada", timeout_s=1))


# --- So many and no more ---


def test_with_a_limit_the_oldest_is_ended_for_the_new_one() -> None:
    shelf = Shelf()
    sessions = [login(shelf, max_sessions_per_principal=2) for _ in range(4)]
    assert alive(shelf) == {each.id for each in sessions[2:]}


def test_with_a_limit_that_refuses_the_new_one_is_not_saved() -> None:
    shelf = Shelf()
    limit: dict[str, Any] = {"max_sessions_per_principal": 2, "principal_policy": "refuse"}
    sessions = [login(shelf, **limit) for _ in range(2)]
    third = repository(shelf, **limit).create()
    at_once(third.save())
    third.principal = "ada"
    with pytest.raises(TooManySessionsError, match="2 sessions"):
        at_once(third.save())
    assert alive(shelf) == {*(each.id for each in sessions), third.id}
    assert found(shelf, third).principal is None
    at_once(sessions[0].end())
    at_once(third.save())
    assert found(shelf, third).principal == "ada"


def test_what_is_saved_for_other_reasons_asks_nobody_how_many_there_are() -> None:
    shelf = Shelf()
    session = login(shelf, max_sessions_per_principal=2)
    shelf.questions.clear()
    session["cart"] = 1
    at_once(session.save())
    at_once(session.rotate_id())
    assert shelf.questions == []


@pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
async def test_of_several_at_once_as_many_stay_as_may(policy: str) -> None:
    """All see room; all write; then all look, and agree on which of them are too many."""
    shelf = Shelf()
    limit: dict[str, Any] = {"max_sessions_per_principal": 2, "principal_policy": policy}
    outcomes: dict[int, object] = {}

    async def come(number: int) -> None:
        session = repository(shelf, **limit).create()
        session.principal = "ada"
        try:
            await session.save()
        except TooManySessionsError as error:
            outcomes[number] = error
        else:
            outcomes[number] = session.id

    all_written = trio.Event()
    shelf.held_back.extend([all_written] * 5)
    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(come, number)
        await trio.testing.wait_all_tasks_blocked()
        all_written.set()
    stays = alive(shelf)
    assert len(stays) == 2
    let_in = {each for each in outcomes.values() if isinstance(each, str)}
    # Who was let in may have been ended by a newer one since.
    assert stays <= let_in if policy == "end_oldest" else stays == let_in


def test_one_that_is_too_many_after_its_save_has_ended() -> None:
    shelf = Shelf()
    limit: dict[str, Any] = {"max_sessions_per_principal": 1, "principal_policy": "refuse"}
    session = repository(shelf, **limit).create()
    session.principal = "ada"
    real: Any = shelf.query
    earlier = SessionId(b"b.%022d" % 1)

    async def query(asked: Any) -> Any:
        if len(shelf.questions) == 1:
            # Somebody else was first, and is only seen now.
            record = shelf.records[earlier] = Record(whole=True)
            record.put(PRINCIPAL, bytes(8) + msgpack.packb("ada"))
        return await real(asked)

    shelf.query = query  # type: ignore[method-assign, assignment]
    with pytest.raises(TooManySessionsError, match="this one was ended"):
        at_once(session.save())
    assert alive(shelf) == {earlier.decode()}
    with pytest.raises(SessionEnded):
        at_once(session.save())


def test_a_save_that_is_less_durable_than_asked_for_keeps_to_the_limit_too() -> None:
    shelf = Shelf()
    old = login(shelf, max_sessions_per_principal=1)
    session = repository(shelf, max_sessions_per_principal=1).create()
    session.principal = "ada"
    shelf.replies.append(Failure.NOT_REPLICATED)
    with pytest.raises(ReplicationTimeoutError):
        at_once(session.save())
    assert alive(shelf) == {session.id}
    assert old.id not in alive(shelf)


def test_a_save_that_is_repeated_does_not_count_itself() -> None:
    shelf = Shelf()
    limit: dict[str, Any] = {"max_sessions_per_principal": 1, "principal_policy": "refuse"}
    session = repository(shelf, **limit).create()
    at_once(session.save())
    session.principal = "ada"
    real = shelf.perform
    fails = [True]

    async def perform(request: Any) -> Any:
        if isinstance(request, Rotate) and fails[0]:
            fails[0] = False
            shelf.replies.append(Failure.OUTCOME_UNKNOWN)
        return await real(request)

    shelf.perform = perform  # type: ignore[method-assign]
    with pytest.raises(OutcomeUnknownError):
        at_once(session.save())
    at_once(session.save())
    assert alive(shelf) == {session.id}


@pytest.mark.parametrize(
    ("setting", "value", "remedy"),
    [
        ("indexes", "mail", "use a list of names"),
        ("indexes", ["mail", ""], r"indexes\[1\] is ''"),
        ("indexes", ["mail", "mail"], "name each attribute once"),
        ("max_sessions_per_principal", -1, "0 for no limit"),
        ("max_sessions_per_principal", True, "0 for no limit"),
        ("principal_policy", "end", '"end_oldest" or "refuse"'),
        ("rotate_on_principal", 1, "true or false"),
    ],
)
def test_a_wrong_setting_is_refused(setting: str, value: Any, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        repository(Shelf(), **{setting: value})


def test_a_tombstone_is_nobodys() -> None:
    shelf = Shelf()
    session = login(shelf)
    shelf.records[SessionId(session.id.encode())].end(EndReason.DELETED, "a", Stamp(1 << 62))
    assert at_once(repository(shelf).find_by_principal("ada")).sessions == {}


# --- Several applications ---


def in_namespace(shelf: Shelf, namespace: str, **config: Any) -> SessionRepository:
    return SessionRepository(shelf, SessionsConfig(**config), namespace=namespace)


def login_to(sessions: SessionRepository, name: str = "ada") -> Session:
    session = sessions.create()
    session.principal = name
    at_once(session.save())
    return session


def test_one_name_in_two_namespaces_is_two_principals() -> None:
    shelf = Shelf()
    shop, forum = (in_namespace(shelf, name) for name in ("shop", "forum"))
    bought, said, plain = login_to(shop), login_to(forum), login_to(repository(shelf))
    other = login_to(forum)
    assert set(at_once(shop.find_by_principal("ada")).sessions) == {bought.id}
    assert at_once(forum.principals()).counts == {"ada": 2}
    # A session of another namespace is nobody's session here, and excepts nothing.
    assert at_once(shop.end_all("ada", except_id=said.id)) == EndedSessions(ended=1)
    assert alive(shelf) == {said.id, other.id, plain.id}


@pytest.mark.parametrize("policy", ["end_oldest", "refuse"])
def test_the_sessions_of_another_namespace_count_for_no_limit(policy: str) -> None:
    shelf = Shelf()
    limit: dict[str, Any] = {"max_sessions_per_principal": 1, "principal_policy": policy}
    shop, forum = (in_namespace(shelf, name, **limit) for name in ("shop", "forum"))
    bought, said = login_to(shop), login_to(forum)
    assert alive(shelf) == {bought.id, said.id}
    if policy == "refuse":
        with pytest.raises(TooManySessionsError):
            login_to(shop)
        assert alive(shelf) == {bought.id, said.id}
    else:
        latest = login_to(shop)
        assert alive(shelf) == {latest.id, said.id}
