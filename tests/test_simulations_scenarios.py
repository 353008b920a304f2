"""Named scenarios: kept by the code as it is, broken without the mechanism that they show."""

import re
from pathlib import Path

import pytest
from mechanisms import WITHOUT

from simulations.__main__ import main
from simulations.scenarios import SCENARIOS, BrokenPromise
from simulations.scenarios.stage import demand

PAGE = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_code_as_it_is_keeps_every_promise_of_a_scenario(name: str) -> None:
    SCENARIOS[name].play()


@pytest.mark.parametrize("name", WITHOUT)
def test_a_scenario_is_broken_without_its_mechanism(name: str) -> None:
    _, ablation = WITHOUT[name]
    with ablation(), pytest.raises(BrokenPromise):
        SCENARIOS[name].play()


def test_every_scenario_names_its_mechanism() -> None:
    assert WITHOUT.keys() == SCENARIOS.keys()
    assert all(mechanism for mechanism, _ in WITHOUT.values())


def test_the_page_has_every_scenario_and_no_other() -> None:
    rows = re.findall(r"(?m)^\| .* \| `([a-z]+(?:-[a-z]+)+)` \|", PAGE)
    assert set(rows) == SCENARIOS.keys()


def test_every_test_that_the_page_names_is_there() -> None:
    for module, function in re.findall(r"`(test_\w+)\.py::(test_\w+)`", PAGE):
        source = (Path(__file__).parent / f"{module}.py").read_text(encoding="utf-8")
        assert re.search(rf"(?m)^(async )?def {function}\(", source), (module, function)


# --- The command ----------------------------------------------------------------------------------


def test_the_list_tells_every_story_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[::2] == list(SCENARIOS)
    assert all(story.startswith("    ") and story.endswith(".") for story in lines[1::2])


def test_one_scenario_is_played_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "stale-takeover"]) == 0
    assert capsys.readouterr().out == "stale-takeover: kept\n"


def test_a_broken_one_says_what_somebody_saw(capsys: pytest.CaptureFixture[str]) -> None:
    with WITHOUT["stale-takeover"][1]():
        assert main(["scenario", "stale-takeover"]) == 1
    said = capsys.readouterr().out
    assert said.startswith("stale-takeover: BROKEN\n")
    assert "b answered a session and could not know" in said


def test_an_unknown_name_is_refused_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scenario", "stale-takover"]) == 2
    assert "did you mean stale-takeover?" in capsys.readouterr().err


def test_a_demand_that_is_met_says_nothing() -> None:
    demand(True, "nothing happened")
