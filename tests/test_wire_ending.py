"""How a connection ends: once, for good, with who was at fault, and with nothing left behind."""

import pytest
from wire_ends import (
    accept,
    connected,
    dial,
    exchange,
    feed,
    member,
    refused_by,
    take_all,
    take_batch,
)

from ring.clock import Stamp
from ring.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from ring.identity import SessionId
from ring.messages import Acks, Changes, Durability, Save, Status
from wire import Connection, HandshakeError, Refusal, State
from wire.framing import frame
from wire.limits import FRAME_BYTES_MAX

ID = SessionId(b"a." + b"x" * 22)
STATUS = Status(Stamp(5), True, False, 3, ("a", "b"), False)


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


def test_what_came_before_an_error_is_delivered_first() -> None:
    """So it makes no difference how the network cut the bytes."""
    sender, receiver = connected()
    receiver.receive_data(sender.send(STATUS) + sender.send(STATUS) + frame(b"\x91\x00"))
    assert receiver.next_events() == [STATUS, STATUS]
    with pytest.raises(RemoteProtocolError, match=r"^the peer sent unreadable bytes: unknown tag"):
        receiver.next_events()
    check_over(receiver, RemoteProtocolError)


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
        Save(1, ID, True, ((b"k", bytes(FRAME_BYTES_MAX - 100)),), Durability.LOCAL, False, True)
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
