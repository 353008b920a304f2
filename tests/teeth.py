"""What is broken in the real code, the plan that finds each of it, and the search for new plans.

    PYTHONPATH=.:tests python tests/teeth.py --seeds 0:200 [NAME...]

A plan of the judge's teeth holds for the code of its day: what changes the order of messages may
let a history pass the bug by. Then look for another one; a bug that no seed finds any more says
that the world has grown mild.
"""

import argparse
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from ablations import ABLATIONS
from planted import PLANTED
from planted_events import PLANTED_EVENTS

from simulations.drawing import draw_plan
from simulations.plan import Mode, Plan, plan_to_json, read_plan
from simulations.run import failing_promises, run

TEETH: Final = Path(__file__).parent / "plans" / "teeth"
BROKEN: Final = {**ABLATIONS, **PLANTED, **PLANTED_EVENTS}


def plan_of(name: str) -> Path:
    """Return where the plan is kept that finds what is broken under a name."""
    return TEETH / f"{name.replace(' ', '-')}.json"


def bites(plan: Plan, name: str) -> Sequence[str]:
    """Return the promises that a plan finds broken by what goes under a name."""
    with BROKEN[name]():
        return failing_promises(run(plan))


def look_for(name: str, seeds: range) -> tuple[int, Sequence[str]] | None:
    """Return the first seed that finds something broken, and what breaks; keep its plan.

    A plan that is kept already, and still finds it, stays.
    """
    kept = [read_plan(plan_of(name))] if plan_of(name).exists() else []
    for plan in chain(kept, (draw_plan(seed, Mode.SAFETY) for seed in seeds)):
        if promises := bites(plan, name):
            plan_of(name).write_text(plan_to_json(plan))
            return plan.seed, promises
    return None


def main() -> None:
    """Look for a plan for each name that was given, or for all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(BROKEN))
    parser.add_argument("--seeds", default="0:200", metavar="A:B")
    arguments = parser.parse_args()
    first, last = map(int, arguments.seeds.split(":"))
    for name in arguments.names:
        found = look_for(name, range(first, last))
        print(f"{name}: {'not found' if found is None else f'seed {found[0]}, {found[1]}'}")


if __name__ == "__main__":
    main()
