"""The simulated ring: clean code keeps its promises, a plan has one trace, a failure is told."""

import json
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest
from ablations import ABLATIONS
from attrs import evolve
from traces import trace_of

from ring.errors import ConfigError
from ring.settling import Settling
from simulations.__main__ import main
from simulations.budget import Budget
from simulations.drawing import draw_plan
from simulations.plan import Kind, Level, Mode, Plan, plan_from_json, plan_to_json, read_plan
from simulations.run import judge_of, run, settle
from simulations.witness import Teller
from simulations.world import World

ROOT = Path(__file__).parents[1]


def short(seed: int, duration_s: float = 25.0) -> Plan:
    """Return the plan of a seed, ended early: tests are run more often than seeds are searched."""
    return evolve(draw_plan(seed), duration_s=duration_s)


# --- Clean code ---


@pytest.mark.parametrize("seed", range(12))
def test_the_code_as_it_is_keeps_every_promise(seed: int) -> None:
    report = run(draw_plan(seed))
    assert [str(violation) for violation in report.violations] == []
    assert report.operations >= 300
    assert report.counts.get("save-ok", 0) > 30


@pytest.mark.parametrize("seed", range(6))
def test_a_healthy_core_goes_on_when_faults_elsewhere_stay(seed: int) -> None:
    report = run(draw_plan(seed, Mode.LIVENESS))
    assert [str(violation) for violation in report.violations] == []


def test_a_ring_of_which_nobody_lives_has_not_settled() -> None:
    """Who judges would ask for nothing that had been acknowledged before all of them died."""
    plan = draw_plan(2)
    world, judge = World(plan), judge_of(plan, Budget(plan.copies))
    settle(world, judge)
    assert list(map(str, judge.violations)) == [
        "convergence: the ring has not settled: nobody lives"
    ]


# --- Plans ---


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("seed", range(20))
def test_a_plan_that_was_written_down_is_the_same_plan(seed: int, mode: Mode) -> None:
    plan = draw_plan(seed, mode)
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "this is no plan"),
        ("[]", "this is no plan"),
        ('{"format": 9}', "a plan of format 9 cannot be replayed; this is 1"),
        ('{"format": 1, "seed": 1}', "required field missing"),
        (plan_to_json(draw_plan(1)).replace('"seed"', '"sead"', 1), "sead"),
    ],
)
def test_what_is_no_plan_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        plan_from_json(text)


def test_removing_a_fault_shifts_nothing_that_was_before_it() -> None:
    """Else a plan could not be made smaller: every part draws from a stream of its own."""
    plan = next(p for p in map(draw_plan, range(100)) if p.members == 3)
    late = max(plan.faults, key=lambda fault: fault.at)
    smaller = evolve(plan, faults=tuple(fault for fault in plan.faults if fault is not late))
    until = evolve(plan, duration_s=late.at), evolve(smaller, duration_s=late.at)
    traces = [[], []]  # type: list[list[str]]
    for each, trace in zip(until, traces, strict=True):
        run(each, [Teller(trace.append)])
    before = [[line for line in trace if float(line.split()[0]) < late.at] for trace in traces]
    assert before[0] == before[1]
    assert len(before[0]) > 100


# --- One trace ---

TRACE = """
from attrs import evolve
from simulations.drawing import draw_plan
from simulations.run import run

for seed in range(50):
    print(run(evolve(draw_plan(seed), duration_s=6.0)).trace_hash)
"""


def test_the_same_plan_has_the_same_trace_in_every_process() -> None:
    """Whatever the order of sets and dicts of hashes there. Only a hash of everything tells."""
    trace = trace_of(TRACE)
    assert len(set(trace)) == 50
    assert trace[2] == run(short(2, 6.0)).trace_hash


@pytest.mark.parametrize("seed", [2, 7, 11, 12])
def test_a_settled_node_that_rests_misses_no_conclusion(seed: int) -> None:
    """Whoever forgets to count a change of what conclusions rest on changes the trace."""
    resting = run(short(seed)).trace_hash
    with patch.object(Settling, "is_at_rest", lambda self: False):
        assert run(short(seed)).trace_hash == resting


# --- The command line ---


def test_many_seeds_are_counted_with_every_fault_and_every_moment(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    plans = ["--plans", str(tmp_path)]
    assert main(["run", "--seeds", "0:2", "--json", *plans]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["seeds"] == 2
    assert result["violations"] == 0
    assert result["simulated_s"] >= 120
    assert result["operations"] >= 600
    assert set(result["faults"]) <= {*Kind, "missed"}
    assert "crash during settle" in result["moments"]
    assert main(["run", "--seeds", "0:1", *plans]) == 0
    assert "1 seeds, 0 failed" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_a_failure_is_told_kept_replayed_and_made_smaller(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with ABLATIONS["acknowledge before merging"]():
        assert main(["run", "--seeds", "2:4", "--plans", str(tmp_path)]) == 1
        out = capsys.readouterr().out
        assert "honest: client" in out
        path = next(tmp_path.iterdir())
        assert f"python -m simulations replay {path}" in out
        assert main(["replay", str(path)]) == 1
        assert "honest: client" in capsys.readouterr().out
        assert main(["shrink", str(path)]) == 0
        out = capsys.readouterr().out
        assert "shrunk to 0" in out
    assert main(["replay", str(path.with_suffix(".small.json"))]) == 0
    assert "kept every promise" in capsys.readouterr().out


def test_a_plan_that_is_made_smaller_is_kept_as_far_as_that_has_come(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(plan: Plan, on_step: Callable[[Plan], None], level: Level) -> Plan:
        on_step(evolve(plan, faults=plan.faults[:1]))
        raise KeyboardInterrupt

    with ABLATIONS["acknowledge before merging"]():
        assert main(["run", "--seeds", "2:3", "--plans", str(tmp_path)]) == 1
        path = next(tmp_path.iterdir())
        with patch("simulations.shrink.shrink", interrupted):
            assert main(["shrink", str(path)]) == 0
    assert "shrunk to 1" in capsys.readouterr().out
    assert len(read_plan(path.with_suffix(".small.json")).faults) == 1


def test_what_ends_a_run_of_many_seeds_says_in_which_it_was(tmp_path: Path) -> None:
    """One of thousands could only be found by running them all again."""
    bug = patch("simulations.run.check_rest", side_effect=ZeroDivisionError("a bug"))
    with bug, pytest.raises(ZeroDivisionError) as raised:
        main(["run", "--seeds", "3:5", "--plans", str(tmp_path)])
    assert raised.value.__notes__ == ["in seed 3, mode safety, level core"]


def test_a_replay_tells_every_event_or_their_hash(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--seed", "3", "--trace-hash"]) == 0
    assert capsys.readouterr().out.strip() == run(draw_plan(3)).trace_hash
    assert main(["replay", "--seed", "3", "--trace", "--show-plan"]) == 0
    out = capsys.readouterr().out
    assert '"members"' in out
    assert "  submit " in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--seeds", "5"], "'5' cannot be used; give A:B, such as 0:500"),
        (["run", "--seeds", "5:5"], "'5:5' has no seed in it; give A:B with A below B"),
        (["run", "--seeds", "5:3"], "'5:3' has no seed in it"),
        (["run", "--minutes", "0"], "'0' cannot be used; give minutes from 0.01 to 100,000"),
        (["run", "--jobs", "0"], "give a whole number from 1 to 64"),
        (["replay"], "one of the arguments PLAN.json --seed is required"),
    ],
)
def test_wrong_arguments_are_refused_by_name(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_no_plan_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "plan.json").write_text("{}")
    for command in ("replay", "shrink"):
        assert main([command, str(tmp_path / "plan.json")]) == 2
        assert "cannot be replayed" in capsys.readouterr().err
    assert main(["replay", str(tmp_path / "none.json")]) == 2
    assert "No such file" in capsys.readouterr().err


# --- Plans that have found something ---

PLANS = sorted((ROOT / "tests" / "plans").glob("*.json"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.stem)
def test_a_plan_that_has_once_broken_a_promise_keeps_them_all(path: Path) -> None:
    report = run(read_plan(path))
    assert [str(violation) for violation in report.violations] == []
