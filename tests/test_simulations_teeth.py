"""A judge without teeth proves nothing: what is broken in the real code has to be found.

For each bug and each mechanism that is taken out (``ablations``) there is a plan, from among the
first 200 seeds, in which clients notice; the same plan is clean with the code as it is.
"""

from pathlib import Path

import pytest
from ablations import ABLATIONS

from simulations.plan import read_plan
from simulations.run import failing_promises, run

TEETH = Path(__file__).parent / "plans" / "teeth"

UNFOUND: dict[str, str] = {}
"""What no plan has found yet, and which test finds it instead."""


def plan_of(name: str) -> Path:
    return TEETH / f"{name.replace(' ', '-')}.json"


@pytest.mark.parametrize("name", sorted(ABLATIONS.keys() - UNFOUND.keys()))
def test_what_is_broken_is_found_by_its_plan(name: str) -> None:
    plan = read_plan(plan_of(name))
    with ABLATIONS[name]():
        assert failing_promises(run(plan))
    assert failing_promises(run(plan)) == []


def test_every_plan_belongs_to_something_that_is_broken() -> None:
    found = {plan_of(name) for name in ABLATIONS.keys() - UNFOUND.keys()}
    assert set(TEETH.glob("*.json")) == found
