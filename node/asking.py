"""One question to one node, over a connection of its own: for tools, not for applications."""

from random import SystemRandom
from typing import Final

import trio

from node.link import shake_hands
from node.timekeeping import real_wall_ms
from node.transport import Transport, os_reason
from ring.administration import RingShown, SetRing, ShowRing
from ring.errors import RemoteProtocolError, SessionUnavailableError
from ring.messages import Failed, Leaving, Members
from wire import Connection, Identity

RECEIVE_BYTES: Final = 64 * 1024


async def ask_node(
    address: str,
    question: ShowRing | SetRing,
    *,
    identity: Identity,
    transport: Transport,
    timeout_s: float,
) -> RingShown | Failed:
    """Return what the node at ``address`` answers.

    Raises:
        SessionUnavailableError: there is no answer; the text says why. Indefinite.
    """
    connection = Connection(identity, dialler=True, clock_ms=real_wall_ms(), random=SystemRandom())
    try:
        with trio.fail_after(timeout_s):
            stream = await transport.dial(address)
            try:
                await shake_hands(stream, connection)
                await stream.send_all(connection.send(question))
                while True:
                    for event in connection.next_events():
                        match event:
                            case RingShown() | Failed():
                                return event
                            case Members() | Leaving():
                                continue
                            case _:
                                raise RemoteProtocolError("it answers something else")
                    data = await stream.receive_some(RECEIVE_BYTES)
                    if not data:
                        raise RemoteProtocolError("it has ended the connection")
                    connection.receive_data(data)
            finally:
                with trio.CancelScope(shield=True):
                    await stream.aclose()
    except trio.TooSlowError:
        raise SessionUnavailableError(f"no answer within {timeout_s:g} s") from None
    except OSError as error:
        raise SessionUnavailableError(os_reason(error)) from error
    except RemoteProtocolError as error:
        raise SessionUnavailableError(str(error)) from error
