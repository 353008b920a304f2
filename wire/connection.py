"""One connection as a value without I/O: bytes in, events out; messages in, bytes out.

Rules:
- ``receive_data`` only stores and ``next_event`` only parses; "more is needed" is a value.
- Nothing but the handshake is read before both sides have authenticated each other.
- Who may send what is one table. It depends on who dialled and on whether the peer is a client.
- After any error the connection is over for good. What is left to send then is at most a
  refusal, in ``data_to_send``.

Source: the shape is h11's.
"""

from enum import Enum
from random import Random
from typing import Final, TypeAlias, TypeVar

from ring.administration import RingRecord, RingShown, SetRing, ShowRing
from ring.announcements import Announced, Announcements
from ring.errors import LocalProtocolError, ProtocolError, RemoteProtocolError
from ring.identity import Incarnation
from ring.inquiry import Inspect, Inspected, Story, Why
from ring.messages import (
    Absent,
    Acks,
    Answer,
    Ask,
    Changes,
    Compare,
    Compared,
    End,
    Failed,
    Find,
    Found,
    Greeting,
    Leaving,
    Listing,
    Members,
    Message,
    Offer,
    Offered,
    Records,
    Redirect,
    Release,
    Rotate,
    Save,
    Saved,
    Status,
)
from ring.questions import Matches, Query
from wire import codec
from wire.framing import FrameReader, frame
from wire.handshake import Authenticated, Handshake, State
from wire.hello import MAGIC, HandshakeError, Identity, Kind, Refusal, Role, pack_refusal
from wire.limits import FRAME_BYTES_MAX, HANDSHAKE_FRAME_BYTES_MAX

_ErrorT = TypeVar("_ErrorT", bound=ProtocolError)


class Speaker(Enum):
    """The sender of a message, as far as it matters for what it may say."""

    MEMBER_DIALLING = "a member that dialled"
    CLIENT = "a client"
    MEMBER_ANSWERING = "a member that was dialled by a member"
    SERVER = "a member that was dialled by a client"


ENTITLEMENTS: Final[dict[Speaker, frozenset[type[Message]]]] = {
    Speaker.MEMBER_DIALLING: frozenset(
        {
            *(Status, RingRecord, Changes, Release, Announced, Announcements, Compare, Offer, Ask),
            *(Find, Save, End, Rotate, Query),
            *(Why, Inspect),
        }
    ),
    Speaker.CLIENT: frozenset({Find, Save, End, Rotate, ShowRing, SetRing, Query, Why, Inspect}),
    Speaker.MEMBER_ANSWERING: frozenset(
        {
            *(Status, RingRecord, Acks, Records, Listing, Compared, Offered, Answer),
            *(Found, Absent, Saved, Failed, Redirect),
            *(Matches, Story, Inspected),
        }
    ),
    Speaker.SERVER: frozenset(
        {
            *(Members, Leaving, Found, Absent, Saved, Failed, RingShown),
            *(Matches, Story, Inspected),
        }
    ),
}


class NeedData(Enum):
    """The type of ``NEED_DATA``."""

    NEED_DATA = "need data"


NEED_DATA: Final = NeedData.NEED_DATA
"""There is no complete event yet: receive more data."""

Event: TypeAlias = Authenticated | Message


class Connection:
    """One end of one connection.

    Args:
        local: who we are.
        dialler: whether this side opened the connection.
        peer: the member that the dialler means to reach; None for a client that does not know,
            and for an acceptor.
        clock_ms: our clock reading, in milliseconds since 1970; the peer is told.
        random: the source of the nonce; the system's randomness outside simulations.

    Raises:
        LocalProtocolError: a side that cannot be: a client that accepts, a member that dials
            whom its ring does not have.
    """

    def __init__(
        self,
        local: Identity,
        *,
        dialler: bool,
        peer: str | None = None,
        clock_ms: int,
        random: Random,
    ) -> None:
        self._local = local
        self._dialler = dialler
        self._reader = FrameReader(HANDSHAKE_FRAME_BYTES_MAX)
        self._handshake = Handshake(
            local, dialler=dialler, peer=peer, clock_ms=clock_ms, random=random
        )
        self._outgoing = bytearray(self._handshake.begin())
        self._fault: tuple[type[ProtocolError], str] | None = None
        self._deferred: RemoteProtocolError | None = None
        """Found behind good events, and to be raised once these were taken."""
        self._authenticated: Authenticated | None = None
        self._speaker = self._peer_speaker = Speaker.CLIENT
        """What this side and the peer are; meaningless before authentication."""

    @property
    def state(self) -> State:
        """What the connection waits for; ERROR once it is over."""
        return State.ERROR if self._fault is not None else self._handshake.state

    @property
    def authenticated(self) -> bool:
        """Whether both sides have authenticated each other, and no error has come since."""
        return self.state is State.OPEN

    @property
    def peer(self) -> str | None:
        """The member at the other end, once authenticated; None before, and for a client."""
        return self._authenticated.peer if self._authenticated is not None else None

    @property
    def greeting(self) -> Greeting | None:
        """What the handshake has shown of the peer, once authenticated; None before."""
        shown = self._authenticated
        if shown is None:
            return None
        return Greeting(Incarnation(shown.incarnation), shown.clock_ms, shown.ring_version)

    def note_certificate(self, proved_names: frozenset[str] | None) -> None:
        """Take note of the names that the peer's certificate proves, before its first data.

        None: there is no certificate, and it is by the secret alone that the peer proves itself.
        """
        self._handshake.proved_names = proved_names

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Store what the peer has sent; then call ``next_event`` until it needs data.

        Raises:
            RemoteProtocolError: the frame that begins is longer than may be. The connection is
                over.
            LocalProtocolError: earlier events were not taken, or the connection was over.
        """
        self._check_not_over()
        try:
            self._reader.receive_data(data)
        except ProtocolError as error:
            if isinstance(error, RemoteProtocolError):
                self._tell(error)
            self._end(error)
            raise

    def receive_eof(self) -> None:
        """Note that the peer has closed, after every event was taken.

        Raises:
            RemoteProtocolError: it closed inside the handshake or a frame. The connection is
                over.
        """
        self._check_not_over()
        if self.state is not State.OPEN:
            awaited = self.state.value
            raise self._end(RemoteProtocolError(f"the peer closed where a {awaited} was due"))
        if self._reader.unread_bytes:
            raise self._end(RemoteProtocolError("the peer closed inside a frame"))

    def next_event(self) -> Event | NeedData:
        """Return the next event, or NEED_DATA.

        Raises:
            RemoteProtocolError: the peer broke the rules. The connection is over; there may be
                a refusal to send.
            LocalProtocolError: the connection was over by a mistake of this side.
        """
        if self._deferred is not None:
            error, self._deferred = self._deferred, None
            raise error
        self._check_not_over()
        try:
            while (payload := self._reader.next_frame()) is not None:
                if self._authenticated is not None:
                    return self._read(payload)
                outgoing, authenticated = self._handshake.on_frame(payload)
                self._outgoing += outgoing
                if authenticated is not None:
                    self._open(authenticated)
                    return authenticated
        except RemoteProtocolError as error:
            self._tell(error)
            self._end(error)
            raise
        return NEED_DATA

    def next_events(self) -> list[Event]:
        """Return all complete events; none: more data is needed.

        An error behind good events is raised by the next call, so call until there are none.

        Raises:
            RemoteProtocolError, LocalProtocolError: as ``next_event``.
        """
        events: list[Event] = []
        try:
            while (event := self.next_event()) is not NEED_DATA:
                events.append(event)
        except RemoteProtocolError as error:
            if not events:
                raise
            self._deferred = error.with_traceback(None)
        return events

    def send(self, message: Message) -> bytes:
        """Return the bytes of ``message``; all of them must be sent, in the order of the calls.

        Raises:
            LocalProtocolError: the connection is not open, this side may not say that here, or
                it is over a limit. Nothing is to be sent, and the connection is over: a message
                left out of a numbered stream would shift all that follow.
            RemoteProtocolError: the connection was over by a mistake of the peer.
        """
        self._check_not_over()
        if self._authenticated is None:
            raise self._end(LocalProtocolError("nothing is sent before authentication"))
        if type(message) not in ENTITLEMENTS[self._speaker]:
            name = type(message).__name__
            raise self._end(LocalProtocolError(f"{name} is not ours to send here"))
        if self._speaker is Speaker.CLIENT and _is_forwarded(message):
            raise self._end(LocalProtocolError("a client forwards nothing"))
        try:
            return frame(codec.encode(message))
        except LocalProtocolError as error:
            self._end(error)
            raise

    def data_to_send(self) -> bytes:
        """Return what the handshake, or a refusal, has to send, and forget it.

        Call it after every other call, also after one that raised.
        """
        outgoing = bytes(self._outgoing)
        self._outgoing.clear()
        return outgoing

    def refuse(self, refusal: Refusal) -> None:
        """End the connection, with a refusal in ``data_to_send``; nothing if it is over already."""
        if self._fault is None:
            self._outgoing += frame(pack_refusal(refusal, ""))
            self._end(RemoteProtocolError(f"it was refused here: {refusal.name.lower()}"))

    def _open(self, authenticated: Authenticated) -> None:
        self._authenticated = authenticated
        self._reader.payload_bytes_max = FRAME_BYTES_MAX
        with_client = Role.CLIENT in (self._local.role, self._handshake.peer_role)
        dialler = Speaker.CLIENT if with_client else Speaker.MEMBER_DIALLING
        acceptor = Speaker.SERVER if with_client else Speaker.MEMBER_ANSWERING
        self._speaker, self._peer_speaker = (
            (dialler, acceptor) if self._dialler else (acceptor, dialler)
        )

    def _read(self, payload: bytes) -> Message:
        # No message begins with the magic, so a refusal is told apart at any time.
        if payload.startswith(MAGIC):
            if payload[len(MAGIC) :][:1] == bytes([Kind.REFUSAL]):
                raise self._handshake.refused_by_peer(payload)
            raise RemoteProtocolError("a handshake frame after authentication")
        message = codec.decode(payload)
        if type(message) not in ENTITLEMENTS[self._peer_speaker]:
            raise RemoteProtocolError(f"{type(message).__name__} is not the peer's to send")
        if self._peer_speaker is Speaker.CLIENT and _is_forwarded(message):
            raise RemoteProtocolError("a client forwards nothing")
        return message

    def _check_not_over(self) -> None:
        if self._fault is not None:
            kind, text = self._fault
            raise kind(f"the connection is over: {text}")

    def _end(self, error: _ErrorT) -> _ErrorT:
        """Let the connection be over, and return ``error`` for the caller to raise.

        Its text is kept instead of the error, whose traceback would keep this object alive.
        """
        remote = isinstance(error, RemoteProtocolError)
        self._fault = (RemoteProtocolError if remote else LocalProtocolError, str(error))
        self._reader.clear()
        return error

    def _tell(self, error: RemoteProtocolError) -> None:
        """Answer a doubt during the handshake with a refusal, but a refusal with nothing."""
        if self._authenticated is not None or (isinstance(error, HandshakeError) and error.by_peer):
            return
        if isinstance(error, HandshakeError) and error.refusal is not None:
            self._outgoing += frame(pack_refusal(error.refusal, error.detail))
        else:
            self._outgoing += frame(pack_refusal(Refusal.MALFORMED, ""))


def _is_forwarded(message: Message) -> bool:
    match message:
        case Find() | Save() | End() | Rotate():
            return message.forwarded or message.insist
        case Query() | Why() | Inspect():
            return message.forwarded
        case _:
            return False
