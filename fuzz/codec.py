"""Target: the payloads of messages. A peer's bytes are a message that can be sent on, or refused.

Input: the payload.
"""

from ring.errors import RemoteProtocolError
from wire import codec


def fuzz(data: bytes) -> None:
    """Check one input."""
    try:
        message = codec.decode(data)
    except RemoteProtocolError as error:
        assert "\n" not in str(error), "what is logged is one line"
        return
    payload = codec.encode(message)
    assert codec.decode(payload) == message
    assert codec.encode(codec.decode(payload)) == payload
    assert len(payload) <= len(data), "there is no shorter spelling than ours"
