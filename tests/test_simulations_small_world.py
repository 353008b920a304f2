"""The small world: clean code keeps its promises, a seed has one trace, planted bugs are found.

A checker without teeth proves nothing. So each bug that is planted here, in the real code, has to
be found within the number of seeds that its test states.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
from attrs import evolve

from ring.effects import Effect
from ring.links import Inbound
from ring.messages import Changes
from ring.record import ENDED, WHOLE_HASH, Record
from ring.replica import Replica
from ring.replication import Replication
from simulations.small_world import Plan, Report, draw_plan, run

ROOT = Path(__file__).parents[1]


def short(seed: int, duration_s: float = 12.0) -> Plan:
    """Return the plan of a seed, ended early: tests are run more often than seeds are searched."""
    return evolve(draw_plan(seed), duration_s=duration_s)


def promises(report: Report) -> set[str]:
    return {violation.promise for violation in report.violations}


# --- Clean code ---


@pytest.mark.parametrize("seed", range(1, 13))
def test_the_code_as_it_is_keeps_every_promise(seed: int) -> None:
    report = run(short(seed))
    assert [str(violation) for violation in report.violations] == []
    assert sum(report.counts.values()) > 50
    assert report.counts.get("save-ok", 0) > 5


# --- One trace ---

TRACE = """
from attrs import evolve
from simulations.small_world import draw_plan, run

for seed in (2, 4, 5):
    print(run(evolve(draw_plan(seed), duration_s=6.0)).trace_hash)
"""


def test_the_same_seed_has_the_same_trace() -> None:
    plan = short(2, 6.0)
    first, second, other = run(plan), run(plan), run(short(4, 6.0))
    assert first == second
    assert first.trace_hash != other.trace_hash
    assert first.events > 1000


def test_the_same_seed_has_the_same_trace_in_every_process() -> None:
    """Whatever the order of sets and dicts of hashes there. Only a hash of everything tells."""
    traces = set[str]()
    for hash_seed in ("0", "1"):
        done = subprocess.run(
            [sys.executable, "-c", TRACE],
            env={"PYTHONHASHSEED": hash_seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        traces.add(done.stdout)
    (trace,) = traces
    assert len(trace.split()) == 3
    assert trace.split()[0] == run(short(2, 6.0)).trace_hash


# --- Planted bugs ---


@contextmanager
def acknowledging_without_merging() -> Iterator[None]:
    def on_changes(
        self: Replication, inbound: Inbound, peer: str, changes: Changes, now: float
    ) -> None:
        inbound.merged += len(changes.flat) // 3
        self._links.wake(inbound)

    with patch.object(Replication, "on_changes", on_changes):
        yield


@contextmanager
def a_write_reviving_the_ended() -> Iterator[None]:
    put = Record.put

    def reviving(self: Record, key: bytes, entry: bytes) -> bool:
        if self.ended and key != ENDED:
            self.entries, self.digest = {}, WHOLE_HASH
        return put(self, key, entry)

    with patch.object(Record, "put", reviving):
        yield


@contextmanager
def serving_from_the_disk_at_once() -> Iterator[None]:
    start = Replica.start

    def hasty(self: Replica, now: float) -> list[Effect]:
        effects = start(self, now)
        self._core.ready = True
        self._core.view.claims |= {self._core.name}
        self._serving.on_view_changed(now)
        return effects + self._core.collect()

    with patch.object(Replica, "start", hasty):
        yield


def first_seed_that_finds(seeds: range, named: set[str]) -> int | None:
    """Return the first seed in which one of these promises is broken."""
    return next((seed for seed in seeds if promises(run(short(seed))) & named), None)


def test_acknowledging_before_merging_is_found_within_three_seeds() -> None:
    """A receipt then names a holder that has nothing."""
    with acknowledging_without_merging():
        assert first_seed_that_finds(range(1, 4), {"honest", "durable"}) is not None


def test_a_write_that_revives_an_ended_session_is_found_within_thirty_seeds() -> None:
    with a_write_reviving_the_ended():
        assert first_seed_that_finds(range(1, 31), {"ended-is-final"}) is not None


def test_serving_from_the_disk_before_the_others_were_heard_is_found_within_ten_seeds() -> None:
    """A restarted node then answers a state that was overwritten while it was away."""
    with serving_from_the_disk_at_once():
        assert first_seed_that_finds(range(1, 11), {"durable", "read-your-writes"}) is not None
