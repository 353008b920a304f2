"""Requests that cannot be placed: kept for the application here, soon given back to a client.

A client that hears nothing for longer than it waits for a node takes it for stopped, and asks the
one that really is again before it comes back to this one.
"""

from math import inf
from random import Random

import pytest
from samples import ring_of

from ring.clock import Clock
from ring.effects import Respond
from ring.identity import LinkId, SessionId
from ring.messages import Durability, Failed, Failure, Find, Message, Request, Save
from ring.replica import Replica
from ring.settings import Settings

ID = SessionId(b"b.AAAAAAAAAAAAAAAAAAAAAA")
CLIENT = LinkId(7)


def starting() -> Replica:
    """Return a node that waits for the other members, with a client."""
    settings = Settings(frozen_after_s=inf)
    replica = Replica(
        ring_of("abc"), "a", settings, Clock(1_700_000_000_000, 0.0), Random(1), False
    )
    replica.start(0.0)
    replica.on_accepted(CLIENT, None, 0.0)
    replica.take(CLIENT, 0.0)
    return replica


def answered(replica: Replica, request: Request) -> tuple[float, Message] | None:
    """Return when a client is answered, in seconds after it has asked, and how."""
    replica.on_message(CLIENT, request, 0.1)
    for step in range(1, 100):
        replica.on_tick(0.1 + 0.05 * step)
        if (message := replica.take(CLIENT, 0.1 + 0.05 * step)) is not None:
            return 0.05 * step, message
    return None


@pytest.mark.parametrize(
    "request_",
    [
        Find(1, ID, False, False),
        Save(1, ID, False, ((b"cart", b"\x01"),), Durability.LOCAL, False, False),
    ],
)
def test_a_client_is_told_within_the_time_that_it_waits_for_a_node(request_: Request) -> None:
    told = answered(starting(), request_)
    assert told is not None
    after_s, answer = told
    assert 0.9 < after_s < 1.2
    assert isinstance(answer, Failed)
    assert (answer.number, answer.failure) == (1, Failure.UNAVAILABLE)


def test_the_application_in_this_process_waits_as_long_as_the_request_may_take() -> None:
    replica = starting()
    replica.submit(Find(1, ID, False, False), 0.1)
    effects = [effect for step in range(1, 150) for effect in replica.on_tick(0.1 + 0.05 * step)]
    assert not any(isinstance(effect, Respond) for effect in effects)
