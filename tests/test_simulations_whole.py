"""Level 2: whole nodes keep their promises in virtual time, and every run can be repeated."""

import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from random import Random
from unittest.mock import patch

import pytest
import trio
from attrs import evolve
from traces import trace_of
from trio._core import _run

from node import Node
from node.contacts import ContactsFile
from node.ring_file import RingFile
from node.stores.base import Stored
from node.stores.disk import Disk
from node.stores.file import FileStore
from node.stores.session_file import encode, file_name
from ring import Member, Record, Ring, SessionId
from ring.errors import StoreLockedError
from ring.identity import new_session_id
from ring.liveness import Liveness
from simulations.__main__ import main
from simulations.drawing import draw_plan
from simulations.plan import (
    Fault,
    Kind,
    Level,
    Mode,
    Plan,
    Trigger,
    plan_to_json,
    read_plan,
)
from simulations.run import Report, run
from simulations.whole.disk import NodeDisk, fenced
from simulations.whole.world import NodeWorld

ROOT = Path(__file__).parents[1]


def short(seed: int, duration_s: float = 15.0) -> Plan:
    return evolve(draw_plan(seed), duration_s=duration_s)


def played(plan: Plan) -> Report:
    return run(plan, level=Level.NODE)


@pytest.mark.parametrize("seed", [2, 4, 5, 8])
def test_whole_nodes_keep_every_promise(seed: int) -> None:
    report = played(draw_plan(seed))
    assert [str(violation) for violation in report.violations] == []
    assert report.counts.get("save-ok", 0) > 30
    assert sum(report.faults.values()) > 5


def test_a_healthy_core_of_whole_nodes_goes_on_when_faults_elsewhere_stay() -> None:
    report = played(draw_plan(1, Mode.LIVENESS))
    assert [str(violation) for violation in report.violations] == []


TRACE = """
from attrs import evolve
from simulations.drawing import draw_plan
from simulations.plan import Level
from simulations.run import run

for seed in (2, 4, 5):
    print(run(evolve(draw_plan(seed), duration_s=4.0), level=Level.NODE).trace_hash)
"""


def test_the_same_plan_has_the_same_bytes_in_every_process() -> None:
    trace = trace_of(TRACE)
    assert len(set(trace)) == 3


# --- Its judge has teeth ---


def test_a_node_that_stops_by_itself_is_a_broken_promise() -> None:
    with patch("node.dialling.Dialling._dial_once", side_effect=ZeroDivisionError("a bug")):
        report = played(short(2, 5.0))
    stories = [each.story for each in report.violations if each.promise == "isolation"]
    assert len(stories) >= 3
    assert all("stopped by itself" in story and "a bug" in story for story in stories)


async def waits_whatever_comes(self: object) -> None:
    with trio.CancelScope(shield=True):
        await trio.sleep_forever()


async def goes_round_and_round(self: object) -> None:
    with trio.CancelScope(shield=True):
        while True:
            await trio.lowlevel.checkpoint()


@pytest.mark.parametrize("endless", [waits_whatever_comes, goes_round_and_round])
def test_a_task_that_does_not_end_is_told_with_its_seed(
    endless: Callable[[object], Awaitable[None]],
) -> None:
    """It left a run behind, in which the next seed could not begin."""
    with patch("node.node.Node.stop_links", endless):
        report = played(short(2, 5.0))
    assert {each.promise for each in report.violations} == {"bounded"}
    assert played(short(2, 1.0)).violations == ()


def test_files_that_a_node_leaves_open_are_a_broken_promise() -> None:
    """They were counted when the power had failed already, which closes everything."""
    with patch("simulations.whole.files.SimulatedDisk.close", lambda self, descriptor: None):
        report = played(short(2, 5.0))
    assert any("files open" in each.story for each in report.violations)


# --- Disks ---

PAIR = Ring("pair", (Member("a", "a:1"), Member("b", "b:1")), version=1)


def rings(disk: NodeDisk) -> RingFile:
    return RingFile(fenced(disk, lambda: True), Path("/world"))


def contacts(disk: NodeDisk) -> ContactsFile:
    return ContactsFile(fenced(disk, lambda: True), Path("/world"))


def stored(disk: NodeDisk, number: int) -> tuple[SessionId, Record]:
    """Write a record through a store, as a node does."""
    session_id, record = new_session_id("a", Random(number)), Record()
    store = FileStore(fenced(disk, lambda: True), lambda notice: None)
    store.open()
    assert not store.write([(session_id, record.portable(0.0))], 1)
    store.close()
    return session_id, record


def test_what_a_store_has_answered_is_there_whenever_the_power_fails() -> None:
    for seed in range(20):
        disk = NodeDisk(Random(seed), (0.0, 0.0))
        session_id, _ = stored(disk, seed)
        disk.crash()
        assert disk.record(session_id) is not None


def test_a_process_that_dies_while_it_writes_leaves_a_whole_file_or_none() -> None:
    came = set[bool]()
    for seed in range(40):
        disk = NodeDisk(Random(seed), (0.0, 0.0))
        store = FileStore(fenced(disk, lambda: True), lambda notice: None)
        store.open()
        session_id = new_session_id("a", Random(seed))
        disk.under_way.append(partial(store.write, [(session_id, Record().portable(0.0))], 1))
        disk.crash()
        content = disk.files.files().get(file_name(session_id))
        expected = encode(Stored(session_id, Record().portable(0.0), 1))
        assert content in (None, expected)
        came.add(content is not None)
    assert came == {False, True}


def test_a_dead_process_reaches_its_disk_no_more() -> None:
    disk, alive = NodeDisk(Random(1), (0.0, 0.0)), [True]
    reached: Disk = fenced(disk, lambda: alive[0])
    reached.attach()
    alive.clear()
    alive.append(False)
    with pytest.raises(OSError, match="dead"):
        reached.create("x")
    reached.detach()
    assert disk.files.files() == {}


def test_a_node_that_has_not_written_everything_has_not_left_yet() -> None:
    """A disk that was doing nothing just then had it all, so a node was ended too early."""
    world = NodeWorld(draw_plan(2))
    world.begin()
    disk = world.disks["a"]
    world.start("a")
    world.scheduler.run_until(5.0)
    assert disk.has_all
    node = world.processes["a"].node
    assert node is not None
    with patch.object(node._persisting, "_dirty", {SessionId(b"x"): None}):
        assert (disk.is_idle, disk.has_all) == (True, False)
    assert world.end() == []


def test_a_full_disk_takes_nothing_and_can_be_read() -> None:
    disk = NodeDisk(Random(1), (0.0, 0.0))
    session_id, _ = stored(disk, 1)
    disk.failing = 1
    reached = fenced(disk, lambda: True)
    reached.attach()
    with pytest.raises(OSError, match=r"ENOSPC|EIO|EDQUOT"):
        reached.create("x")
    assert reached.names() == [file_name(session_id)]


def test_a_disk_that_rots_has_nothing_that_can_be_taken_for_something_else() -> None:
    came = set[int]()
    for seed in range(20):
        disk = NodeDisk(Random(seed), (0.0, 0.0))
        session_id, _ = stored(disk, 1)
        disk.lose()
        came.add(len(disk.files.files()))
        assert disk.record(session_id) is None
        store = FileStore(fenced(disk, lambda: True), lambda notice: None)
        store.open()
        assert list(store.load()) == []
        store.close()
    assert came == {0, 1}


def test_a_disk_belongs_to_the_process_that_has_locked_it() -> None:
    disk = NodeDisk(Random(1), (0.0, 0.0))
    first, second = fenced(disk, lambda: True), fenced(disk, lambda: True)
    first.attach()
    with pytest.raises(StoreLockedError):
        second.attach()


def test_who_stands_still_does_nothing_and_says_so_afterwards() -> None:
    """Its timers went on, so that it took over from all the others, who did not answer."""
    world = NodeWorld(evolve(draw_plan(2), faults=()))
    seen = list[str]()
    world.on_notice = seen.append
    world.begin()
    for name in world.ring.names:
        world.start(name)
    world.scheduler.run_until(10.0)
    seen.clear()
    frozen = world.processes["a"]
    world.freeze("a")
    world.scheduler.run_until(20.0)
    assert all(each is Liveness.UP for each in frozen.replica.liveness.values())
    assert "member_down" in seen
    world.thaw("a", frozen)
    world.scheduler.run_until(40.0)
    assert world.all_settled()
    assert world.end() == []


def test_every_node_has_a_clock_of_its_own_that_drifts() -> None:
    """They were apart and went alike, so that no timer of one was early for another."""
    plan = draw_plan(2)
    drifts = {"a": 0.01, "b": -0.01, "c": 0.0}
    clocks = {name: evolve(plan.clocks[name], drift=drifts[name]) for name in plan.names}
    world = NodeWorld(evolve(plan, faults=(), clocks=clocks))
    world.begin()
    for name in world.ring.names:
        world.start(name)
    world.scheduler.run_until(20.0)
    seen = dict[str, tuple[float, int]]()

    def look(name: str, node: Node) -> None:
        seen[name] = (node._timekeeper.now(), node.wall_ms())

    for name, life in world.processes.items():
        life.let(partial(look, name))
    world.scheduler.run_until(20.0)
    for name, (now, wall_ms) in seen.items():
        assert now == pytest.approx(20.0 * (1 + drifts[name]))
        assert wall_ms - world.wall_ms(name) == pytest.approx(20_000 * drifts[name], abs=2)
    assert world.all_settled()
    assert world.end() == []
    assert len(seen) == 3


def test_disks_are_lost_and_changed_for_older_ones_and_for_others() -> None:
    disk, other = NodeDisk(Random(1), (0.0, 0.0)), NodeDisk(Random(2), (0.0, 0.0))
    first, _ = stored(disk, 1)
    contacts(disk).write({"b": 5})
    rings(disk).write(PAIR)
    rings(other).write(evolve(PAIR, version=2))
    assert not disk.restore_oldest()
    disk.keep_copy(2)
    second, _ = stored(disk, 2)
    other.take_from(disk)
    assert other.record(second) is not None
    assert contacts(other).read() == {"b": 5}
    assert rings(other).read() == evolve(PAIR, version=2)
    rings(disk).write(evolve(PAIR, version=3))
    assert disk.restore_oldest()
    assert disk.record(first) is not None
    assert disk.record(second) is None
    assert rings(disk).read() == evolve(PAIR, version=3)
    disk.lose()
    assert disk.record(first) is None
    assert contacts(disk).read() == {}
    assert rings(disk).read() is None


def test_the_ring_and_the_contacts_fare_like_every_other_file() -> None:
    """They were kept in memory: a full disk or a bit that had turned round was not seen there."""
    for seed in range(20):
        disk = NodeDisk(Random(seed), (0.0, 0.0))
        assert rings(disk).write(PAIR)
        contacts(disk).write({"b": 5})
        disk.crash()
        assert (rings(disk).read(), contacts(disk).read()) == (PAIR, {"b": 5})
        disk.failing = 1
        assert not rings(disk).write(evolve(PAIR, version=2))
        contacts(disk).write({"b": 6})
        disk.failing = 0
        assert (rings(disk).read(), contacts(disk).read()) == (PAIR, {"b": 5})
        disk.under_way.append(partial(rings(disk).write, evolve(PAIR, version=2)))
        disk.under_way.append(partial(contacts(disk).write, {"b": 6}))
        disk.crash()
        assert rings(disk).read() in (PAIR, evolve(PAIR, version=2))
        assert contacts(disk).read() in ({"b": 5}, {"b": 6})
        disk.lose()
        assert (rings(disk).read(), contacts(disk).read()) == (None, {})


# --- Interrupts ---

INTERRUPTED = """
import signal
import sys

from simulations.__main__ import main
from simulations.whole.world import NodeWorld

signal.signal(signal.SIGINT, signal.default_int_handler)
crash = NodeWorld.crash


def crash_and_interrupt(self, name):
    signal.raise_signal(signal.SIGINT)
    crash(self, name)


NodeWorld.crash = crash_and_interrupt
sys.exit(main(["replay", "--seed", "2", "--level", "node"]))
"""


def test_an_interrupt_ends_a_run_of_whole_nodes_as_one() -> None:
    """It was deaf until the end, and said then that a promise was broken."""
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_a_run_leaves_trio_and_signals_as_they_were() -> None:
    """The tests that came after it had another order of tasks than they thought."""
    before = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    handler = signal.getsignal(signal.SIGINT)
    played(short(2, 1.0))
    assert (_run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()) == before
    assert signal.getsignal(signal.SIGINT) is handler


# --- Faults of level 2 ---


@pytest.mark.parametrize("kind", [Kind.RESET, Kind.HALF_OPEN, Kind.STALL, Kind.CUT, Kind.FREEZE])
def test_every_fault_of_the_network_strikes_whole_nodes(kind: Kind) -> None:
    plan = short(2, 8.0)
    fault = Fault(kind, 2.0, ("a", "b"), 1.0, Trigger.RECEIPT, 0.01, gated=False)
    report = played(evolve(plan, faults=(fault,)))
    assert report.faults == {kind: 1}
    assert [str(violation) for violation in report.violations] == []


# --- Commands ---


def test_whole_nodes_are_run_and_replayed_from_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["run", "--seeds", "3:4", "--level", "node"]) == 0
    assert capsys.readouterr().out.startswith("1 seeds, 0 failed")
    assert main(["replay", "--seed", "3", "--level", "node"]) == 0
    assert capsys.readouterr().out.startswith("kept every promise")


def test_a_failure_says_at_which_level_it_is_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with patch("node.dialling.Dialling._dial_once", side_effect=ZeroDivisionError("a bug")):
        arguments = ["--seeds", "2:3", "--level", "node", "--plans", str(tmp_path)]
        assert main(["run", *arguments]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"  python -m simulations replay {tmp_path}/safety-node-2.json --level node" in lines


@pytest.mark.parametrize("command", [["run", "--seeds", "3:4"], ["replay", "--seed", "3"]])
def test_compiled_code_says_that_it_plays_no_whole_nodes(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with patch("simulations.scene.__file__", "scene.cpython-311.so"):
        assert main([*command, "--level", "node"]) == 2
    assert "leave out 'compiled'" in capsys.readouterr().err


def test_a_plan_is_made_smaller_at_the_level_at_which_it_fails(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Replicas alone have no frames, and kept every promise."""
    path = tmp_path / "plan.json"
    plan = short(2, 2.0)
    few = evolve(plan.workload, clients=2, wander=0.0, max_idles_s=(0.0,))
    path.write_text(plan_to_json(evolve(plan, faults=plan.faults[:1], workload=few)))
    with patch("simulations.whole.files.SimulatedDisk.close", lambda self, descriptor: None):
        assert main(["shrink", str(path)]) == 2
        assert "breaks no promise" in capsys.readouterr().err
        assert main(["shrink", str(path), "--level", "node"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("shrunk to 0")
    assert lines[-1].endswith("plan.small.json --level node")
    smaller = read_plan(tmp_path / "plan.small.json")
    assert smaller.workload.clients == 1
