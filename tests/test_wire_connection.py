"""A connection: every message through a pair of ends, who may send what, and how it ends."""

from collections.abc import Callable

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import MESSAGES, messages
from wire_ends import accept, client, connected, dial, exchange, feed, member, refused_by

from ring.clock import Stamp
from ring.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from ring.identity import SessionId
from ring.messages import (
    Acks,
    Changes,
    Durability,
    End,
    Find,
    Found,
    Message,
    Rotate,
    Save,
    Status,
)
from wire import (
    ENTITLEMENTS,
    NEED_DATA,
    Authenticated,
    Connection,
    Event,
    HandshakeError,
    Refusal,
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
    return message


def take_all(connection: Connection) -> list[Event]:
    """Take events one by one."""
    taken: list[Event] = []
    while (event := connection.next_event()) is not NEED_DATA:
        taken.append(event)
    return taken


def take_batch(connection: Connection) -> list[Event]:
    """Take events by the list."""
    taken: list[Event] = []
    while events := connection.next_events():
        taken += events
    return taken


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


def test_a_client_may_find_and_change_sessions_and_care_for_the_ring_only() -> None:
    assert {kind.__name__ for kind in ENTITLEMENTS[Speaker.CLIENT]} == {
        *("Find", "Save", "End", "Rotate"),
        *("ShowRing", "SetRing"),
    }


@pytest.mark.parametrize(
    "message",
    [
        Find(1, ID, True, True),
        Save(1, ID, True, (), Durability.LOCAL, False, True),
        End(1, ID, Durability.LOCAL, False, True),
        Rotate(1, ID, OTHER_ID, (), Durability.LOCAL, False, True),
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


def test_what_came_before_an_error_is_delivered_first() -> None:
    """So it makes no difference how the network cut the bytes."""
    sender, receiver = connected()
    receiver.receive_data(sender.send(STATUS) + sender.send(STATUS) + frame(b"\x91\x00"))
    assert receiver.next_events() == [STATUS, STATUS]
    with pytest.raises(RemoteProtocolError, match=r"^the peer sent unreadable bytes: unknown tag"):
        receiver.next_events()
    check_over(receiver, RemoteProtocolError)


def test_a_frame_over_the_limit_of_strangers_is_refused_before_authentication() -> None:
    assert "4096 are allowed" in refused_by(accept(member("b")), (4097).to_bytes(4, "big"))
    assert "4096 are allowed" in refused_by(dial(member("a")), (4097).to_bytes(4, "big"))


def test_a_frame_over_the_limit_is_refused_after_authentication() -> None:
    for end in connected():
        said = refused_by(end, (FRAME_BYTES_MAX + 1).to_bytes(4, "big"))
        assert f"{FRAME_BYTES_MAX} are allowed" in said
        assert end.data_to_send() == b""


# --- How it ends ---


def check_over(end: Connection, kind: type[ProtocolError]) -> None:
    """Check that every call but those for what is left to send says that it is over."""
    assert end.state is State.ERROR
    assert not end.authenticated
    for call in (
        lambda: end.receive_data(b"x"),
        lambda: end.receive_data(b""),
        end.receive_eof,
        end.next_event,
        end.next_events,
        lambda: end.send(STATUS),
    ):
        with pytest.raises(kind, match=r"^the connection is over: "):
            call()
    end.data_to_send()
    end.refuse(Refusal.BUSY)
    assert end.data_to_send() == b""


def test_after_an_error_of_the_peer_the_connection_is_over_for_good() -> None:
    for end in (*connected(), dial(member("a")), accept(member("b"))):
        refused_by(end, frame(b"\x91\x00"))
        check_over(end, RemoteProtocolError)


def test_after_an_error_while_receiving_the_connection_is_over_for_good() -> None:
    for end in (*connected(), dial(member("a")), accept(member("b"))):
        with pytest.raises(RemoteProtocolError):
            end.receive_data(b"\xff\xff\xff\xff")
        check_over(end, RemoteProtocolError)


def test_after_a_mistake_of_this_side_the_connection_is_over_for_good() -> None:
    """A message left out of a numbered stream would shift the numbers of all that follow."""
    for message in (Acks(1), Changes([ID]), Status(Stamp(0), True, True, 0, ("A",), True)):
        end, _ = connected()
        with pytest.raises(LocalProtocolError):
            end.send(message)
        check_over(end, LocalProtocolError)


def test_nothing_is_sent_before_authentication() -> None:
    for end in (dial(member("a")), accept(member("b"))):
        with pytest.raises(LocalProtocolError, match="nothing is sent before authentication"):
            end.send(STATUS)
        check_over(end, LocalProtocolError)


def test_events_that_are_not_taken_are_this_sides_mistake() -> None:
    sender, receiver = connected()
    large = sender.send(
        Save(1, ID, True, ((b"k", bytes(PORTABLE_BYTES)),), Durability.LOCAL, False, True)
    )
    receiver.receive_data(large * 2)
    with pytest.raises(LocalProtocolError, match="take every complete frame"):
        receiver.receive_data(b"x")
    check_over(receiver, LocalProtocolError)


def test_an_error_while_receiving_is_answered_by_a_refusal_during_the_handshake() -> None:
    acceptor = accept(member("b"))
    with pytest.raises(RemoteProtocolError, match="looks like TLS"):
        acceptor.receive_data(b"\x16\x03\x01\x02\x00")
    assert acceptor.data_to_send() == frame(b"SRNG\x04\x01\x00")


@pytest.mark.parametrize("step", range(3))
def test_a_peer_that_closes_inside_the_handshake_is_reported(step: int) -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    for _ in range(step):
        feed(acceptor, dialler.data_to_send())
        feed(dialler, acceptor.data_to_send())
    end, awaited = [(acceptor, "hello"), (dialler, "welcome"), (acceptor, "")][step]
    if awaited:
        with pytest.raises(RemoteProtocolError, match=f"closed where a {awaited} was due"):
            end.receive_eof()
        check_over(end, RemoteProtocolError)
    else:
        end.receive_eof()


def test_a_peer_that_closes_inside_a_frame_is_reported() -> None:
    sender, receiver = connected()
    receiver.receive_data(sender.send(STATUS)[:-1])
    assert take_all(receiver) == []
    with pytest.raises(RemoteProtocolError, match="closed inside a frame"):
        receiver.receive_eof()
    check_over(receiver, RemoteProtocolError)


def test_a_peer_that_closes_between_frames_has_done_no_wrong() -> None:
    sender, receiver = connected()
    feed(receiver, sender.send(STATUS))
    receiver.receive_eof()
    assert receiver.authenticated


@pytest.mark.parametrize("refusal", [Refusal.NAME_IN_USE, Refusal.BUSY])
def test_a_connection_can_be_refused_before_any_hello(refusal: Refusal) -> None:
    dialler, acceptor = dial(member("a")), accept(member("b"))
    acceptor.refuse(refusal)
    outcome = exchange(dialler, acceptor)
    error = outcome.errors["dialler"]
    assert isinstance(error, HandshakeError)
    assert error.refusal is refusal
    check_over(dialler, RemoteProtocolError)
    check_over(acceptor, RemoteProtocolError)


def test_a_connection_can_be_refused_after_authentication() -> None:
    """As when it turns out only then that another live process has the name."""
    dialler, acceptor = connected()
    last = acceptor.send(STATUS)
    acceptor.refuse(Refusal.NAME_IN_USE)
    dialler.receive_data(last + acceptor.data_to_send())
    assert dialler.next_events() == [STATUS]
    with pytest.raises(HandshakeError, match="'b' refused us: another live process is named 'a'"):
        dialler.next_events()
    check_over(dialler, RemoteProtocolError)
    check_over(acceptor, RemoteProtocolError)


@pytest.mark.parametrize("payload", [b"SRNG", b"SRNG\x01", b"SRNG\x03", b"SRNG\x02" + bytes(32)])
def test_a_handshake_frame_after_authentication_is_refused(payload: bytes) -> None:
    for end in connected():
        assert "after authentication" in refused_by(end, frame(payload))
        assert end.data_to_send() == b""


def test_what_is_left_to_send_is_given_once() -> None:
    dialler = dial(member("a"))
    assert dialler.data_to_send()
    assert dialler.data_to_send() == b""


def test_an_ended_connection_keeps_neither_bytes_nor_the_error() -> None:
    """The traceback would in turn keep the connection, and all that it has received, alive."""
    sender, receiver = connected()
    receiver.receive_data(sender.send(STATUS) + frame(b"\x91\x00") + bytes(1000))
    with pytest.raises(RemoteProtocolError):
        take_batch(receiver)
    assert not any(isinstance(value, Exception) for value in vars(receiver).values())
    assert receiver._reader.unread_bytes == 0
