"""A member that lives and refuses this node, or is refused by it, is not taken for a dead one.

A mistyped secret or a changed ``[ring]`` section on one node must neither split the ring nor log
the users of the others out.
"""

from math import inf
from random import Random

import pytest

from ring.clock import Clock, Stamp
from ring.effects import Effect, Notice, Respond
from ring.identity import LinkId, SessionId
from ring.messages import Absent, Failed, Find, Status
from ring.placement import Member, Ring
from ring.replica import Replica
from ring.settings import Settings

RING = Ring("shop", (Member("a", "a:1"), Member("b", "b:1")))
ID = SessionId(b"b.AAAAAAAAAAAAAAAAAAAAAA")
SETTINGS = Settings(frozen_after_s=inf)


def starting() -> Replica:
    replica = Replica(RING, "a", SETTINGS, Clock(1_700_000_000_000, 0.0), Random(1), False)
    replica.start(0.0)
    return replica


def pass_time(replica: Replica, since: float, seconds: float) -> list[Effect]:
    """Tick whenever it is due; return all effects."""
    now, effects = since, list[Effect]()
    while (now := replica.next_due(now)) < since + seconds:
        effects += replica.on_tick(now)
    return effects


def events(effects: list[Effect]) -> list[str]:
    return [each.event for each in effects if isinstance(each, Notice)]


def test_a_starting_node_that_is_refused_serves_nothing_and_says_so_once() -> None:
    replica = starting()
    replica.on_refused("b", 0.1)
    effects = pass_time(replica, 0.1, SETTINGS.join_timeout_s * 3)
    assert not replica.ready
    assert replica.claims == frozenset()
    assert events(effects).count("kept_out") == 1


def test_it_goes_on_alone_once_nobody_is_there_any_more() -> None:
    replica = starting()
    replica.on_refused("b", 0.1)
    pass_time(replica, 0.1, SETTINGS.join_timeout_s * 2)
    effects = replica.on_unreachable("b", 21.0)
    effects += pass_time(replica, 21.0, 2.0)
    assert replica.ready
    assert "ready_alone" in events(effects)


@pytest.mark.parametrize(("refused", "denied"), [(True, False), (False, True)])
def test_a_node_that_serves_denies_no_session_of_a_member_that_refuses_it(
    refused: bool, denied: bool
) -> None:
    """Its users would lose their cookies to a mistyped line."""
    replica, link = starting(), LinkId(1)
    replica.on_unreachable("b", 0.1)
    pass_time(replica, 0.1, SETTINGS.join_timeout_s * 2)
    assert replica.ready
    now = 60.0
    replica.on_linked("b", link, now)
    replica.on_message(link, Status(Stamp(1_700_000_060_000 << 16), True, True, 1, (), True), now)
    replica.on_closed(link, now)
    (replica.on_refused if refused else replica.on_unreachable)("b", now)
    effects = replica.submit(Find(7, ID, False, False), now + 30)
    effects += pass_time(replica, now + 30, SETTINGS.request_timeout_s + 1)
    (reply,) = [each.reply for each in effects if isinstance(each, Respond)]
    assert isinstance(reply, Absent if denied else Failed)
