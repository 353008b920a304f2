"""A connection: every message through a pair of ends, who may send what, and bytes of any kind."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MESSAGES, messages
from wire_ends import (
    accept,
    client,
    connected,
    dial,
    feed,
    member,
    refused_by,
    take_all,
    take_batch,
)

from ring.clock import Stamp
from ring.errors import LocalProtocolError, RemoteProtocolError
from ring.identity import SessionId
from ring.inquiry import Inspect, Why
from ring.messages import (
    Durability,
    End,
    Find,
    Found,
    Message,
    Rotate,
    Save,
    Status,
)
from ring.questions import Query
from wire import (
    ENTITLEMENTS,
    NEED_DATA,
    Authenticated,
    Connection,
    Event,
    Speaker,
    State,
)
from wire.codec import encode
from wire.framing import frame
from wire.limits import FRAME_BYTES_MAX

ID = SessionId(b"a." + b"x" * 22)
OTHER_ID = SessionId(b"a." + b"y" * 22)
STATUS = Status(Stamp(5), True, False, 3, ("a", "b"), False)
PORTABLE_BYTES = FRAME_BYTES_MAX - 100


def ends_of(speaker: Speaker) -> tuple[Connection, Connection]:
    """Return the speaker's end of a connection, and the other one."""
    with_client = speaker in (Speaker.CLIENT, Speaker.SERVER)
    dialler, acceptor = connected(client() if with_client else member("a"), member("b"))
    if speaker in (Speaker.CLIENT, Speaker.MEMBER_DIALLING):
        return dialler, acceptor
    return acceptor, dialler


def sendable(speaker: Speaker, message: Message) -> Message:
    """Return ``message`` as ``speaker`` may send it: a client forwards nothing."""
    if speaker is Speaker.CLIENT and isinstance(message, Find | Save | End | Rotate):
        return evolve(message, forwarded=False, insist=False)
    if speaker is Speaker.CLIENT and isinstance(message, Query | Why | Inspect):
        return evolve(message, forwarded=False)
    return message


Take = Callable[[Connection], list[Event]]
ways_of_taking: st.SearchStrategy[Take] = st.sampled_from([take_all, take_batch])

conversations = st.sampled_from(Speaker).flatmap(
    lambda speaker: st.tuples(
        st.just(speaker),
        st.lists(
            st.one_of(
                *(
                    MESSAGES[kind]
                    for kind in sorted(ENTITLEMENTS[speaker], key=lambda k: k.__name__)
                )
            ).map(lambda message: sendable(speaker, message)),
            max_size=5,
        ),
    )
)


# --- Every message, through both ends ---


@given(ways_of_taking, conversations)
def test_messages_arrive_whole(take: Take, conversation: tuple[Speaker, list[Message]]) -> None:
    speaker, said = conversation
    sender, receiver = ends_of(speaker)
    receiver.receive_data(b"".join(map(sender.send, said)))
    assert take(receiver) == said


@settings(max_examples=30)
@given(ways_of_taking, conversations)
def test_messages_arrive_byte_by_byte(
    take: Take, conversation: tuple[Speaker, list[Message]]
) -> None:
    speaker, said = conversation
    # One bucket sum for each of 1,024 buckets says nothing new after the first few bytes.
    said = [message for message in said if len(encode(message)) < 500]
    sender, receiver = ends_of(speaker)
    arrived: list[Event] = []
    for byte in b"".join(map(sender.send, said)):
        receiver.receive_data(bytes([byte]))
        arrived += take(receiver)
    assert arrived == said


@given(ways_of_taking, conversations, st.binary(min_size=1, max_size=3))
def test_messages_arrive_with_the_beginning_of_the_next_frame_behind_them(
    take: Take, conversation: tuple[Speaker, list[Message]], more: bytes
) -> None:
    speaker, said = conversation
    sender, receiver = ends_of(speaker)
    receiver.receive_data(b"".join(map(sender.send, said)) + more)
    assert take(receiver) == said
    assert receiver.authenticated


@pytest.mark.parametrize("take", [take_all, take_batch])
def test_a_welcome_and_the_first_messages_may_arrive_together(take: Take) -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    feed(acceptor, dialler.data_to_send())
    feed(dialler, acceptor.data_to_send())
    feed(acceptor, dialler.data_to_send())
    large = Found(1, bytes(PORTABLE_BYTES))
    dialler.receive_data(acceptor.data_to_send() + acceptor.send(STATUS) + acceptor.send(large))
    assert take(dialler) == [Authenticated("b", ord("b"), 1002, 1), STATUS, large]
    assert dialler.peer == "b"


def test_more_is_needed_is_a_value() -> None:
    dialler, _ = connected()
    assert dialler.next_event() is NEED_DATA
    assert dialler.next_events() == []


# --- Who may send what ---


@pytest.mark.parametrize("speaker", Speaker)
@settings(max_examples=50)
@given(message=messages)
def test_each_side_sends_what_it_may_and_nothing_else(speaker: Speaker, message: Message) -> None:
    message = sendable(speaker, message)
    sender, receiver = ends_of(speaker)
    if type(message) in ENTITLEMENTS[speaker]:
        receiver.receive_data(sender.send(message))
        assert receiver.next_events() == [message]
        return
    with pytest.raises(LocalProtocolError, match="is not ours to send here"):
        sender.send(message)
    assert sender.state is State.ERROR
    assert "is not the peer's to send" in refused_by(receiver, frame(encode(message)))


def test_a_client_may_find_and_change_sessions_ask_about_them_and_care_for_the_ring_only() -> None:
    assert {kind.__name__ for kind in ENTITLEMENTS[Speaker.CLIENT]} == {
        *("Find", "Save", "End", "Rotate"),
        *("ShowRing", "SetRing", "Query"),
        *("Why", "Inspect"),
    }


@pytest.mark.parametrize(
    "message",
    [
        Find(1, ID, True, True),
        Save(1, ID, True, (), Durability.LOCAL, False, True),
        End(1, ID, Durability.LOCAL, False, True),
        Rotate(1, ID, OTHER_ID, (), Durability.LOCAL, False, True),
        Query(1, b"mail", b"\x01", b"", True),
        Why(1, ID, forwarded=True),
        Inspect(1, "a", forwarded=True),
    ],
)
def test_a_client_forwards_nothing(message: Message) -> None:
    """Else a client could have a member answer for a session without asking its owner."""
    sender, receiver = ends_of(Speaker.CLIENT)
    with pytest.raises(LocalProtocolError, match="a client forwards nothing"):
        sender.send(message)
    assert "a client forwards nothing" in refused_by(receiver, frame(encode(message)))


def test_every_message_has_somebody_who_may_send_it() -> None:
    assert frozenset().union(*ENTITLEMENTS.values()) == set(MESSAGES)


# --- Bytes of any kind ---


@given(st.sampled_from(Speaker), st.binary(max_size=200), st.booleans())
def test_random_bytes_after_authentication_are_refused_or_awaited(
    speaker: Speaker, data: bytes, framed: bool
) -> None:
    _, receiver = ends_of(speaker)
    try:
        feed(receiver, frame(data) if framed and data else data)
    except RemoteProtocolError:
        assert receiver.state is State.ERROR
    else:
        assert receiver.authenticated


@given(conversations, st.data())
def test_damage_after_authentication_is_refused_or_awaited(
    conversation: tuple[Speaker, list[Message]], data: st.DataObject
) -> None:
    """Or it is another message, which only a MAC over every byte, as TLS has, would tell."""
    speaker, said = conversation
    sender, receiver = ends_of(speaker)
    damaged = bytearray(b"".join(map(sender.send, said)))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=2))
    try:
        feed(receiver, bytes(damaged))
    except RemoteProtocolError:
        assert receiver.state is State.ERROR
    else:
        assert receiver.authenticated


def test_a_frame_over_the_limit_of_strangers_is_refused_before_authentication() -> None:
    assert "4096 are allowed" in refused_by(accept(member("b")), (4097).to_bytes(4, "big"))
    assert "4096 are allowed" in refused_by(dial(member("a")), (4097).to_bytes(4, "big"))


def test_a_frame_over_the_limit_is_refused_after_authentication() -> None:
    for end in connected():
        said = refused_by(end, (FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
        assert f"{FRAME_BYTES_MAX} are allowed" in said
        assert end.data_to_send() == b""
