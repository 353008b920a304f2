"""``python -m simulations logout``: a principal is logged out everywhere while a node is killed.

Rule: exit status 0, no session was left or came back; 1, one was, or the run could not go on;
2, wrong arguments; 128 and the signal's number after a signal.
"""

import argparse
import signal
import sys
from functools import partial

from simulations.arguments import BROKEN_STATUS, SIGNAL_STATUS, whole_number


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    logout = commands.add_parser(
        "logout",
        help="log a principal with very many sessions out of a real ring that loses a node",
        description=(
            "Runs a ring of three real node processes on loopback. Creates sessions that all "
            "belong to one principal, ends all of them with one call, kills a node in the middle "
            "and starts it again, and checks that no session is left or has come back."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    logout.add_argument(
        "--sessions",
        type=whole_number(1, 1_000_000),
        default=10_000,
        metavar="N",
        help="how many, 1 to 1,000,000",
    )
    logout.set_defaults(run=run_logout)


def run_logout(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from simulations.logout import log_out
    from simulations.real_nodes import NodeFailedError

    try:
        outcome = log_out(parsed.sessions, partial(print, flush=True))
    except NodeFailedError as error:
        print(f"logout: {error}", file=sys.stderr)
        return BROKEN_STATUS
    if isinstance(outcome, int):
        print(f"logout: stopped by {signal.Signals(outcome).name}, and cleaned up", file=sys.stderr)
        return SIGNAL_STATUS + outcome
    return 0 if outcome.ok else BROKEN_STATUS
