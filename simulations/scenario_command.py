"""``python -m simulations scenario``: the named scenarios, one or all.

Rule: a scenario that breaks says what somebody saw; the exit status is 1.
"""

import argparse
import difflib
import sys

from simulations.arguments import BROKEN_STATUS, USAGE_STATUS


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    parser = commands.add_parser(
        "scenario", help="play a named scenario, message by message, or all of them"
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="as --list has it (default: all)")
    parser.add_argument("--list", action="store_true", help="print the names and their stories")
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from simulations.scenarios import SCENARIOS, BrokenPromise

    if parsed.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name}\n    {scenario.story}")
        return 0
    if parsed.name is not None and parsed.name not in SCENARIOS:
        near = difflib.get_close_matches(parsed.name, SCENARIOS, n=1)
        remedy = f"did you mean {near[0]}?" if near else "--list names them all"
        print(f"scenario: there is no {parsed.name!r}; {remedy}", file=sys.stderr)
        return USAGE_STATUS
    status = 0
    for name in [parsed.name] if parsed.name else SCENARIOS:
        try:
            SCENARIOS[name].play()
        except BrokenPromise as broken:
            print(f"{name}: BROKEN\n  {SCENARIOS[name].story}\n  But {broken}.", flush=True)
            status = BROKEN_STATUS
        else:
            print(f"{name}: kept", flush=True)
    return status
