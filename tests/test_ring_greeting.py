"""What a handshake shows: a second process of one name, and a clock that is far off.

Scenarios: a second process with the same name; a clock a day ahead, then corrected.
"""

from math import inf
from random import Random

import pytest
from samples import ring_of

from ring.clock import Clock, Stamp
from ring.effects import Close, Effect, Notice
from ring.identity import Incarnation, LinkId
from ring.liveness import Liveness
from ring.messages import Greeting, Status
from ring.replica import Replica
from ring.settings import Settings

WALL_MS = 1_700_000_000_000
SETTINGS = Settings(frozen_after_s=inf)


def node(name: str = "a", names: str = "ab") -> Replica:
    replica = Replica(ring_of(names), name, SETTINGS, Clock(WALL_MS, 0.0), Random(1), False)
    replica.start(0.0)
    return replica


def serving() -> Replica:
    """Return a node that is ready, since nobody else was there."""
    replica = node()
    replica.on_unreachable("b", 0.1)
    for step in range(1, 60):
        replica.on_tick(0.25 * step)
    assert replica.ready
    return replica


def greeting(incarnation: int = 1, *, now: float = 0.0, ahead_s: float = 0.0) -> Greeting:
    return Greeting(Incarnation(incarnation), WALL_MS + int((now + ahead_s) * 1000))


def status(now: float, *, ready: bool = True) -> Status:
    clock = Stamp((WALL_MS + int(now * 1000)) << 16)
    return Status(clock, ready, False, 1, (), False, False, 0)


def seen(replica: Replica) -> str:
    """Return how it sees b."""
    return replica.liveness["b"].value


def closed(effects: list[Effect], link: int) -> list[bool]:
    """Return, for each time that a link was closed, whether it was for its name."""
    return [e.name_in_use for e in effects if isinstance(e, Close) and e.link == link]


def alarms(effects: list[Effect]) -> list[dict[str, object]]:
    return [dict(e.fields) for e in effects if isinstance(e, Notice) and e.event == "clock_off"]


# --- Name in use ---


def linked(now: float = 20.0) -> Replica:
    """Return a serving node to which process 1 of b has connections both ways."""
    replica = serving()
    replica.on_accepted(LinkId(1), "b", now, greeting(1, now=now))
    replica.on_linked("b", LinkId(2), now, greeting(1, now=now))
    for link in (1, 2):
        replica.on_message(LinkId(link), status(now), now)
    assert replica.liveness["b"] is Liveness.UP
    return replica


def test_a_second_live_process_of_a_name_is_refused_and_the_first_one_kept() -> None:
    """Else each would displace the other's connections for ever."""
    replica = linked()
    assert closed(replica.on_accepted(LinkId(3), "b", 21.0, greeting(2, now=21.0)), 3) == [True]
    assert closed(replica.on_closed(LinkId(3), 21.1), 1) == []
    assert replica.liveness["b"] is Liveness.UP


def test_nor_is_it_talked_to_where_this_node_has_dialled_it() -> None:
    replica = linked()
    effects = replica.on_linked("b", LinkId(3), 21.0, greeting(2, now=21.0))
    assert closed(effects, 3) == [True]
    assert closed(effects, 2) == []
    assert replica.liveness["b"] is Liveness.UP


def test_a_new_connection_of_the_same_process_takes_the_place_of_the_old_one() -> None:
    replica = linked()
    effects = replica.on_accepted(LinkId(3), "b", 21.0, greeting(1, now=21.0))
    assert (closed(effects, 3), closed(effects, 1)) == ([], [False])


def test_a_restarted_process_is_let_in_once_the_connections_of_the_old_one_have_ended() -> None:
    replica = linked()
    replica.on_closed(LinkId(1), 21.0)
    replica.on_closed(LinkId(2), 21.0)
    assert closed(replica.on_accepted(LinkId(3), "b", 21.0, greeting(2, now=21.0)), 3) == []


def test_one_whose_host_died_in_silence_is_in_the_way_no_longer_than_suspicion_takes() -> None:
    replica = linked()
    late = 20.0 + SETTINGS.suspect_after_s
    assert closed(replica.on_accepted(LinkId(3), "b", late, greeting(2, now=late)), 3) == []


# --- Clocks ---


@pytest.mark.parametrize("ahead_s", [86_400.0, -86_400.0, 61.0, -61.0])
def test_a_node_that_starts_stays_away_from_whom_its_clock_does_not_agree_with(
    ahead_s: float,
) -> None:
    """One of the two is wrong. Let in, the one ahead would win every conflict for so long."""
    replica = node()
    effects = replica.on_linked("b", LinkId(1), 0.5, greeting(now=0.5, ahead_s=ahead_s))
    assert closed(effects, 1) == [False]
    assert alarms(effects) == [{"peer": "b", "ahead_s": ahead_s, "stays_out": True}]
    assert closed(replica.on_accepted(LinkId(2), "b", 0.6, greeting(ahead_s=ahead_s)), 2) == [False]
    told = []
    for step in range(1, 80):
        told += replica.on_tick(0.6 + 0.25 * step)
    assert not replica.ready
    assert [e.event for e in told if isinstance(e, Notice)] == ["kept_out"]


def test_one_that_serves_stays_linked_and_tells_people_once() -> None:
    replica = serving()
    effects = replica.on_linked("b", LinkId(1), 20.0, greeting(now=20.0, ahead_s=3600))
    assert closed(effects, 1) == []
    assert alarms(effects) == [{"peer": "b", "ahead_s": 3600.0, "stays_out": False}]
    again = replica.on_accepted(LinkId(2), "b", 20.1, greeting(now=20.1, ahead_s=3600))
    assert (closed(again, 2), alarms(again)) == ([], [])


def test_within_the_bound_nobody_hears_of_it() -> None:
    replica = node()
    effects = replica.on_linked("b", LinkId(1), 0.5, greeting(now=0.5, ahead_s=59))
    assert (closed(effects, 1), alarms(effects)) == ([], [])


def test_a_clock_that_was_corrected_lets_its_node_in() -> None:
    replica = node()
    replica.on_linked("b", LinkId(1), 0.5, greeting(now=0.5, ahead_s=86_400))
    effects = replica.on_linked("b", LinkId(2), 1.0, greeting(2, now=1.0))
    assert (closed(effects, 2), alarms(effects)) == ([], [])
    replica.on_message(LinkId(2), status(1.0), 1.0)
    assert replica.liveness["b"] is Liveness.UP


# --- A dial that began before the call ---


def test_a_dial_that_began_before_a_member_called_does_not_make_it_down() -> None:
    """It was frozen, and thaws: what it knows must be asked for from the moment that it calls."""
    replica = serving()
    replica.on_accepted(LinkId(1), "b", 20.0, greeting(1, now=20.0))
    replica.on_message(LinkId(1), status(20.0), 20.0)
    assert seen(replica) == "undetermined"
    replica.on_unreachable("b", 20.5, 19.0)
    assert seen(replica) == "undetermined"
    replica.on_unreachable("b", 22.5, 20.5)
    assert seen(replica) == "down"


def test_nor_does_a_dial_that_began_before_this_node_stood_still() -> None:
    """Else it would take itself for the last one alive, and serve what it remembers."""
    clock = Clock(WALL_MS, 0.0)
    replica = Replica(ring_of("ab"), "a", Settings(), clock, Random(1), False)
    replica.start(0.0)
    replica.on_unreachable("b", 12.0, 11.9)
    assert seen(replica) == "undetermined"  # It stood still until just now.
    replica.on_unreachable("b", 12.1, 12.05)
    assert seen(replica) == "down"
