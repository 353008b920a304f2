"""The command line: ``python -m simulations`` shows that the ring keeps what it promises.

Rules:
- Exit status: 0, every promise was kept; 1, one was broken, or the run could not go on; 2, wrong
  arguments; 128 and the signal's number after a signal, so 130 after Ctrl-C.
- Heavy imports wait until a command needs them, so that ``--help`` answers at once.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from simulations import (
    compiled_command,
    hosts_command,
    logout_command,
    ring_command,
    run_command,
    scenario_command,
    soak_command,
)
from simulations.arguments import SIGNAL_STATUS


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default the process's) name; return its status."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations", description="Shows that the ring keeps what it promises."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    ring_command.add_parser(commands)
    hosts_command.add_parser(commands)
    run_command.add_parsers(commands)
    scenario_command.add_parser(commands)
    soak_command.add_parser(commands)
    logout_command.add_parser(commands)
    compiled_command.add_parser(commands)
    parsed = parser.parse_args(arguments)
    try:
        status: int = parsed.run(parsed)
    except KeyboardInterrupt:
        return SIGNAL_STATUS + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our lines has gone; nothing more can be said there, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGNAL_STATUS + signal.SIGPIPE
    return status


if __name__ == "__main__":
    sys.exit(main())
