"""Where the commands of the simulator write: found out before anything is played, or survived."""

import errno
import json
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest

from simulations.__main__ import main
from simulations.drawing import draw_plan
from simulations.plan import Mode, Plan, plan_to_json
from simulations.run import Report
from simulations.violation import Violation

PLAYED: Final = patch("simulations.run.run", side_effect=AssertionError("something was played"))
"""Where this is in force, nothing may be played."""
NO_SPACE: Final = OSError(errno.ENOSPC, "No space left on device")
LOST: Final = Violation("durable", "something is not there")

LONG: Final = "x" * 300


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan that keeps every promise."""
    path = tmp_path / "plan.json"
    path.write_text(plan_to_json(draw_plan(2)), encoding="utf-8")
    return path


# --- What cannot be written ---


DIRECTORY: Final = "run: --plans is {!r}, which cannot be used ({}); {}"
FILE: Final = "replay: --html is {!r}, which cannot be written ({}); {}"


@pytest.mark.parametrize(
    ("directory", "reason"),
    [
        ("/dev/null/x", "Not a directory"),
        ("/dev/null", "File exists"),
        (LONG, "File name too long"),
    ],
)
def test_a_directory_that_takes_no_plans_is_refused_before_anything_is_played(
    directory: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with PLAYED:
        assert main(["run", "--seeds", "2:3", "--plans", directory]) == 2
    remedy = "name a directory in which files can be made\n"
    assert capsys.readouterr() == ("", DIRECTORY.format(directory, reason, remedy))


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        ("/dev", "Is a directory"),
        ("/dev/null/x.html", "Not a directory"),
        (LONG, "File name too long"),
    ],
)
def test_a_file_that_takes_no_page_is_refused_before_anything_is_played(
    file: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with PLAYED:
        assert main(["replay", "--seed", "2", "--html", file]) == 2
    remedy = "name a file that can be made\n"
    assert capsys.readouterr() == ("", FILE.format(file, reason, remedy))


def test_a_plan_beside_which_nothing_can_be_written_is_not_made_smaller(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small = plan.with_suffix(".small.json")
    small.mkdir()
    with PLAYED:
        assert main(["shrink", str(plan)]) == 2
    assert capsys.readouterr().err == (
        f"shrink: PLAN.json is '{plan}'; what is left of it goes to '{small}', which cannot be "
        "written (Is a directory); copy the plan to where files can be made\n"
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--plans", ""], "argument --plans: '' cannot be used; name a directory"),
        (
            ["replay", "--seed", "2", "--html", ""],
            "argument --html: '' cannot be used; name a file",
        ),
        (["replay", ""], "argument PLAN.json: '' cannot be used; name a file"),
        (["shrink", ""], "argument PLAN.json: '' cannot be used; name a file"),
    ],
)
def test_a_name_that_is_empty_is_not_where_somebody_happens_to_be(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err


# --- What was lost while something was played ---


def report_of(plan: Plan, *violations: Violation) -> Report:
    """Return what came of a run, without running it."""
    return Report(plan, violations, {}, {}, {}, 0, 0, 0, 1.0, "")


@pytest.mark.parametrize(
    ("arguments", "name", "again"),
    [
        ([], "safety-2.json", "--seed 2"),
        (["--mode", "liveness"], "liveness-2.json", "--seed 2 --mode liveness"),
        (["--level", "node"], "safety-node-2.json", "--seed 2 --level node"),
        (["--json"], "safety-2.json", ""),
    ],
)
def test_a_failure_is_told_where_its_plan_cannot_be_kept(
    arguments: list[str],
    name: str,
    again: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It has a seed as well."""
    mode = Mode.LIVENESS if "liveness" in arguments else Mode.SAFETY
    report = report_of(draw_plan(2, mode), LOST)
    played = patch("simulations.run.run", return_value=report)
    with played, patch.object(Path, "write_text", side_effect=NO_SPACE):
        assert main(["run", "--seeds", "2:3", "--plans", str(tmp_path), *arguments]) == 1
    told = capsys.readouterr()
    said = f"run: the plan is not in {tmp_path / name} (No space left on device)\n"
    assert told.err.endswith(said)
    if "--json" in arguments:
        assert json.loads(told.out)["failed"] == 1
    else:
        assert f"  {LOST}\n  python -m simulations replay {again}\n" in told.out


def test_a_plan_that_fails_at_both_levels_is_kept_for_both(tmp_path: Path) -> None:
    """They are the same, but each may be made smaller, and is replayed, at its level."""
    with patch("simulations.run.run", return_value=report_of(draw_plan(2), LOST)):
        for level in ("core", "node"):
            arguments = ["--seeds", "2:3", "--plans", str(tmp_path), "--level", level]
            assert main(["run", *arguments]) == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "safety-2.json",
        "safety-node-2.json",
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, which Linux has")
def test_a_broken_promise_counts_for_more_than_a_page_that_is_not_there(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that is full is found out at the end alone."""
    said = "replay: --html is '/dev/full', which cannot be written (No space left on device)"
    with patch("simulations.run.run", return_value=report_of(draw_plan(2))):
        assert main(["replay", str(plan), "--html", "/dev/full"]) == 2
    assert said in capsys.readouterr().err
    with patch("simulations.run.run", return_value=report_of(draw_plan(2), LOST)):
        assert main(["replay", str(plan), "--html", "/dev/full"]) == 1
    told = capsys.readouterr()
    assert told.out == f"{LOST}\n"
    assert said in told.err


def test_a_plan_that_was_made_smaller_in_vain_says_so(
    plan: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan.with_suffix(".small.json").symlink_to("/dev/full")
    smaller = report_of(draw_plan(2), LOST)
    with (
        patch("simulations.run.run", return_value=smaller),
        patch("simulations.shrink.shrink", return_value=smaller.plan),
    ):
        assert main(["shrink", str(plan)]) == 2
    told = capsys.readouterr()
    assert told.out.endswith(f"seed 2: BROKEN\n  {LOST}\n")
    assert "cannot be written (No space left on device); copy the plan" in told.err


# --- What is left ---


def test_only_what_was_written_is_left(tmp_path: Path, plan: Path) -> None:
    """Neither a directory without plans nor a page without a run; what was there, stays."""
    there = sorted(tmp_path.iterdir())
    bug = patch("simulations.run.run", side_effect=ZeroDivisionError("a bug"))
    old = tmp_path / "old.html"
    old.write_text("an old page", encoding="utf-8")
    for file in ("new.html", "old.html"):
        with bug, pytest.raises(ZeroDivisionError):
            main(["replay", str(plan), "--html", str(tmp_path / file)])
    assert old.read_text(encoding="utf-8") == "an old page"
    old.unlink()
    with bug, pytest.raises(ZeroDivisionError):
        main(["run", "--seeds", "2:3", "--plans", str(tmp_path / "some" / "plans")])
    with patch("simulations.run.run", return_value=report_of(draw_plan(2))):
        assert main(["shrink", str(plan)]) == 2
    assert sorted(tmp_path.iterdir()) == there


def test_compiled_code_says_that_it_draws_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it plays is the same, and messages of compiled classes cannot be told apart there."""
    file = tmp_path / "run.html"
    with patch("simulations.scene.__file__", "scene.cpython-311.so"):
        assert main(["replay", "--seed", "3", "--html", str(file)]) == 2
    assert "a run is not drawn by compiled code; leave out 'compiled'" in capsys.readouterr().err
    assert not file.exists()
