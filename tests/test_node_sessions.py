"""Sessions by id, and a session as a dict."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from shelf import Shelf, at_once, repository

from node.receipts import Receipt
from node.session import Session
from node.sessions import SessionRepository, Sessions
from ring.errors import (
    OutcomeUnknownError,
    ReplicationTimeoutError,
    SessionEnded,
    SessionRingError,
    SessionUnavailableError,
)
from ring.identity import parse_session_id
from ring.messages import Absent, Durability, End, Failure, Find, Found

UNKNOWN = "a.0123456789012345678901"


def saved_id(shelf: Shelf) -> str:
    session = repository(shelf).create()
    at_once(session.save())
    shelf.asked.clear()
    return session.id


def test_a_repository_keeps_the_protocol() -> None:
    sessions: Sessions = SessionRepository(Shelf())
    assert at_once(sessions.find(UNKNOWN)) is None


@pytest.mark.parametrize("failed_over", [False, True])
def test_a_session_says_whether_another_node_than_its_home_serves_it(failed_over: bool) -> None:
    shelf = Shelf()
    session_id = parse_session_id(saved_id(shelf))
    assert session_id is not None
    record = shelf.records[session_id].portable(0.0)
    shelf.replies.append(Found(0, record, failed_over=failed_over))
    session = at_once(repository(shelf).find(session_id.decode()))
    assert session is not None
    assert session.failed_over == failed_over
    assert not repository(shelf).create().failed_over


@pytest.mark.parametrize("maybe_stale", [False, True])
def test_a_session_says_whether_somebody_may_know_more_of_it(maybe_stale: bool) -> None:
    shelf = Shelf()
    session_id = parse_session_id(saved_id(shelf))
    assert session_id is not None
    record = shelf.records[session_id].portable(0.0)
    shelf.replies.append(Found(0, record, maybe_stale))
    session = at_once(repository(shelf).find(session_id.decode()))
    assert session is not None
    assert session.maybe_stale == maybe_stale
    assert not repository(shelf).create().maybe_stale


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a." + "x" * 21,
        "a." + "x" * 23,
        "A." + "x" * 22,
        "a." + "ü" * 22,
        "../../etc/x",
        "x" * 10**6,
    ],
    ids=range(8),
)
def test_what_is_no_id_is_nobodys_session_and_nobody_is_asked(text: str) -> None:
    shelf = Shelf()
    sessions = repository(shelf)
    assert at_once(sessions.find(text)) is None
    assert at_once(sessions.touch(text)) is False
    with pytest.raises(SessionEnded):
        at_once(sessions.end(text))
    assert shelf.asked == []


def test_find_asks_for_the_session_and_counts_as_an_access_unless_told_otherwise() -> None:
    shelf = Shelf()
    session_id = saved_id(shelf)
    sessions = repository(shelf)
    found = at_once(sessions.find(session_id))
    assert found is not None
    assert found.id == session_id
    assert not found.is_new
    at_once(sessions.find(session_id, touch=False))
    assert [request.touch for request in shelf.asked if isinstance(request, Find)] == [True, False]


def test_a_find_that_this_process_can_answer_asks_nobody() -> None:
    """And is no checkpoint: it ran without an event loop."""
    shelf = Shelf()
    session_id = saved_id(shelf)
    shelf.reads_locally = True
    assert at_once(repository(shelf).find(session_id)) is not None
    assert at_once(repository(shelf).touch(session_id)) is True
    assert at_once(repository(shelf).find(UNKNOWN)) is None
    assert shelf.asked == []


@pytest.mark.parametrize("reply", [Absent(0), Failure.GONE], ids=["absent", "gone"])
def test_a_session_that_is_gone_is_not_found(reply: Absent | Failure) -> None:
    shelf = Shelf()
    shelf.replies.extend([reply, reply])
    assert at_once(repository(shelf).find(UNKNOWN)) is None
    assert at_once(repository(shelf).touch(UNKNOWN)) is False


@pytest.mark.parametrize("failure", [each for each in Failure if each is not Failure.GONE], ids=str)
def test_find_raises_nothing_but_that_the_session_is_unavailable(failure: Failure) -> None:
    shelf = Shelf()
    shelf.replies.append(failure)
    with pytest.raises(SessionUnavailableError) as error:
        at_once(repository(shelf).find(UNKNOWN))
    assert type(error.value) is SessionUnavailableError


def test_touch_counts_an_access_and_tells_whether_there_is_such_a_session() -> None:
    shelf = Shelf()
    session_id = saved_id(shelf)
    assert at_once(repository(shelf).touch(session_id)) is True
    assert [type(request) for request in shelf.asked] == [Find]
    assert at_once(repository(shelf).touch(UNKNOWN)) is False


def test_a_session_is_ended_by_its_id_without_being_read() -> None:
    shelf = Shelf()
    session_id = saved_id(shelf)
    receipt = at_once(repository(shelf).end(session_id, durability="local"))
    assert receipt == Receipt(("a", "b"), (), degraded=False)
    (end,) = shelf.asked
    assert isinstance(end, End)
    assert (end.durability, end.refuse) == (Durability.LOCAL, True)
    assert at_once(repository(shelf).find(session_id)) is None


@pytest.mark.parametrize(
    ("failure", "error"),
    [
        (Failure.GONE, SessionEnded),
        (Failure.UNAVAILABLE, SessionUnavailableError),
        (Failure.OUTCOME_UNKNOWN, OutcomeUnknownError),
        (Failure.NOT_REPLICATED, ReplicationTimeoutError),
    ],
    ids=str,
)
def test_an_end_by_id_that_failed_says_how(failure: Failure, error: type[Exception]) -> None:
    shelf = Shelf()
    shelf.replies.append(failure)
    with pytest.raises(error, match="planned"):
        at_once(repository(shelf).end(UNKNOWN))


def test_every_session_has_an_id_of_its_own() -> None:
    sessions = repository(Shelf())
    assert len({sessions.create().id for _ in range(10)}) == 10


names = st.text("abc", min_size=1, max_size=2)
values = st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2) | st.sets(st.booleans())


class SessionIsADict(RuleBasedStateMachine):
    """A session behaves as a dict; and what was saved is what another copy finds.

    The model is two dicts: what this object holds, and what the ring holds. Since this object
    is the only writer, the ring's equals its own after each save that succeeded.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.session: Session = repository(self.shelf).create()
        self.model: dict[str, Any] = {}

    @rule(name=names, value=values)
    def assign(self, name: str, value: Any) -> None:
        self.session[name] = value
        self.model[name] = value

    @rule(name=names)
    def remove(self, name: str) -> None:
        assert self.session.pop(name, "none") == self.model.pop(name, "none")

    @rule(name=names)
    def remove_undecoded(self, name: str) -> None:
        if name in self.model:
            del self.session[name]
            del self.model[name]

    @rule(name=names, item=st.integers(0, 2))
    def change_in_place(self, name: str, item: int) -> None:
        if isinstance(self.model.get(name), list):
            value = self.session[name]
            value.append(item)
            self.model[name] = value

    @rule(name=names, item=st.integers(0, 2))
    def change_back_in_place(self, name: str, item: int) -> None:
        if self.model.get(name) and isinstance(self.model[name], list):
            value = self.session[name]
            value.pop()
            self.model[name] = value

    @rule(other=st.dictionaries(names, values, max_size=3))
    def update(self, other: dict[str, Any]) -> None:
        self.session.update(other)
        self.model.update(other)

    @rule(name=names, value=values)
    def set_default(self, name: str, value: Any) -> None:
        assert self.session.setdefault(name, value) == self.model.setdefault(name, value)

    @rule()
    def clear(self) -> None:
        self.session.clear()
        self.model.clear()

    @rule()
    def save(self) -> None:
        at_once(self.session.save())
        copy = at_once(repository(self.shelf).find(self.session.id))
        assert copy is not None
        assert dict(copy) == self.model

    @rule(
        failure=st.sampled_from(
            [Failure.UNAVAILABLE, Failure.OUTCOME_UNKNOWN, Failure.NOT_REPLICATED]
        )
    )
    def save_and_fail(self, failure: Failure) -> None:
        self.shelf.replies.append(failure)
        try:
            at_once(self.session.save())
        except SessionRingError:
            return
        self.shelf.replies.clear()

    @rule()
    def go_on_with_another_copy(self) -> None:
        at_once(self.session.save())
        copy = at_once(repository(self.shelf).find(self.session.id))
        assert copy is not None
        self.session = copy
        self.model = dict(copy)

    @invariant()
    def it_equals_the_dict(self) -> None:
        assert set(self.session) == set(self.model)
        assert len(self.session) == len(self.model)
        assert all((name in self.session) == (name in self.model) for name in "abc")

    @rule()  # no invariant, since that would decode everything after each step
    def read_everything(self) -> None:
        assert dict(self.session.items()) == self.model


TestSessionIsADict = SessionIsADict.TestCase


@pytest.mark.parametrize("cookie", [None, "", 5, b"a.AAAAAAAAAAAAAAAAAAAAAA"])
async def test_what_is_no_text_is_nobodys_session(cookie: Any) -> None:
    """A missing cookie is the commonest input."""
    sessions = SessionRepository(Shelf())
    assert await sessions.find(cookie) is None
    assert not await sessions.touch(cookie)
    with pytest.raises(SessionEnded):
        await sessions.end(cookie)
