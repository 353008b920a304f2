"""``python -m simulations soak``: sessions come and go for minutes, and memory stays flat.

Rule: exit status 0, flat; 1, a node takes over 5 % more in the end than after minute 2, or the run
could not go on; 2, wrong arguments; 128 and the signal's number after a signal.
"""

import argparse
import signal
import sys
from functools import partial

from simulations.arguments import BROKEN_STATUS, SIGNAL_STATUS, number, whole_number

SEED_BITS = 32


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    soak = commands.add_parser(
        "soak",
        help="have sessions come and go in a real ring for minutes, and watch its memory",
        description=(
            "Runs a ring of real node processes on loopback, with a retention of 60 s. Sessions "
            "are created, used, ended or left to expire all the time. Prints the resident memory "
            "of each node every minute, and fails if one takes over 5 % more in the end than "
            "after minute 2."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = soak.add_argument
    add("--minutes", type=whole_number(3, 10_000), default=10, metavar="N", help="3 to 10,000")
    add("--nodes", type=whole_number(1, 9), default=3, metavar="1..9", help="how many members")
    add(
        "--rate",
        type=number("sessions", 0.1, 1000),
        default="20",
        metavar="N",
        help="sessions created in a second, 0.1 to 1,000",
    )
    add(
        "--seed",
        type=whole_number(0, 2**63 - 1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="what becomes of each session; by default another one each time",
    )
    soak.set_defaults(run=run_soak)


def run_soak(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from random import SystemRandom

    from simulations.real_nodes import NodeFailedError
    from simulations.soak import FLAT, Options, soak

    options = Options(
        nodes=parsed.nodes,
        minutes=parsed.minutes,
        rate=parsed.rate,
        seed=getattr(parsed, "seed", SystemRandom().getrandbits(SEED_BITS)),
    )
    try:
        outcome = soak(options, partial(print, flush=True))
    except NodeFailedError as error:
        print(f"soak: {error}", file=sys.stderr)
        return BROKEN_STATUS
    if isinstance(outcome, int):
        print(f"soak: stopped by {signal.Signals(outcome).name}, and cleaned up", file=sys.stderr)
        return SIGNAL_STATUS + outcome
    for name, growth in outcome.growth().items():
        print(f"{name}: {100 * (growth - 1):+.1f} % since minute 2")
    if not outcome.ok:
        print(f"soak: memory grew by more than {100 * (FLAT - 1):.0f} %", file=sys.stderr)
    return 0 if outcome.ok else BROKEN_STATUS
