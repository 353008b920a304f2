"""Target: the handshake, at both ends. Without the secret nothing is let in, whatever it says.

Input: which end, how the bytes are given, then: bytes of a stranger; or what is done to the bytes
of a good handshake on their way.
"""

from random import Random
from typing import Final

from fuzz.drawn import Drawn
from ring.errors import RemoteProtocolError
from ring.placement import Member, Ring
from wire import NEED_DATA, Connection, Identity, State
from wire.hello import HandshakeError, Hello, unpack_refusal
from wire.limits import HANDSHAKE_FRAME_BYTES_MAX

RING: Final = Ring("shop", (Member("a", "h:1"), Member("b", "h:2"), Member("c", "h:3")))
SECRET: Final = b"thirty-two bytes for an example!"
TURNS_MAX: Final = 20


def fuzz(data: bytes) -> None:
    """Check one input."""
    drawn = Drawn(data)
    match drawn.number(3):
        case 0:
            _shout(_acceptor(), drawn)
        case 1:
            _shout(_dialler(), drawn)
        case 2:
            _tamper(drawn)
        case _:
            _read_form(drawn.rest())


def _dialler() -> Connection:
    local = Identity.for_member(RING, "a", 1, (SECRET,))
    return Connection(local, dialler=True, peer="b", clock_ms=1001, random=Random(1))


def _acceptor() -> Connection:
    local = Identity.for_member(RING, "b", 2, (SECRET,))
    return Connection(local, dialler=False, clock_ms=1002, random=Random(2))


def _shout(end: Connection, drawn: Drawn) -> None:
    """Say something to one end without knowing the secret."""
    end.data_to_send()
    size, said = 1 + drawn.number(255), drawn.rest()
    for at in range(0, len(said), size):
        if not _take(end, said[at : at + size]):
            break
    assert not end.authenticated, "a stranger was let in"


def _take(end: Connection, piece: bytes) -> bool:
    """Give one end a piece; return whether it still listens."""
    try:
        end.receive_data(piece)
        while end.next_event() is not NEED_DATA:
            pass
    except RemoteProtocolError as error:
        assert end.state is State.ERROR
        assert "\n" not in str(error), "what is logged is one line"
        said = end.data_to_send()
        assert len(said) <= HANDSHAKE_FRAME_BYTES_MAX
        assert not end.data_to_send()
        return False
    assert len(end.data_to_send()) <= 2 * HANDSHAKE_FRAME_BYTES_MAX
    return True


def _tamper(drawn: Drawn) -> None:
    """Change bytes of a good handshake on their way; then nobody believes that all is well."""
    ends = _dialler(), _acceptor()
    touched = changed = False
    for turn in range(TURNS_MAX):
        sender, receiver = ends[turn % 2], ends[1 - turn % 2]
        sent = sender.data_to_send()
        arriving = bytearray(sent)
        while arriving and drawn.number(3):
            at = drawn.number(min(len(arriving) - 1, 65_535))
            match drawn.number(3):
                case 0:
                    arriving[at] ^= 1 << drawn.number(7)
                case 1:
                    arriving[at : at + 1] = drawn.some(40)
                case 2:
                    del arriving[at : at + 1 + drawn.number(255)]
                case _:
                    arriving[at:at] = arriving[: drawn.number(255)]
        touched |= arriving != sent
        changed |= not arriving.startswith(sent)  # What is behind it is for later.
        if arriving:
            try:
                receiver.receive_data(arriving)
                while receiver.next_event() is not NEED_DATA:
                    pass
            except RemoteProtocolError:
                break
    if changed:
        assert not all(end.authenticated for end in ends), "a changed handshake was believed"
    elif not touched:
        assert all(end.authenticated for end in ends), "a good handshake was refused"


def _read_form(payload: bytes) -> None:
    """Read a hello or a refusal: there is one spelling of each."""
    try:
        hello = Hello.unpack(payload)
    except HandshakeError:
        pass
    else:
        assert hello.pack()[5:] == payload[5:], "a hello has two spellings"
    try:
        _, detail = unpack_refusal(payload)
    except HandshakeError:
        return
    assert detail.isascii()
    assert detail.isprintable()
