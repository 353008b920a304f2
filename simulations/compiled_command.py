"""``python -m simulations compiled run ...``: the same command, with compiled code.

Rule: the exit status is that of the command; 2, if the code cannot be compiled here.
"""

import argparse
import sys
from pathlib import Path

from simulations.arguments import USAGE_STATUS


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    compiled = commands.add_parser(
        "compiled",
        help="carry out another command faster, for thousands of seeds",
        description=(
            "Compiles the core and the simulated world, once for each state of the sources, which "
            "takes some minutes, mypy, setuptools and a C compiler. Then carries out another "
            "command with them; every seed has the same trace."
        ),
    )
    compiled.add_argument(
        "--directory",
        type=Path,
        default=Path("build/compiled"),
        metavar="DIR",
        help="for compiled copies (default: build/compiled)",
    )
    compiled.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="COMMAND ...", help="such as: run --jobs 2"
    )
    compiled.set_defaults(run=run_compiled)


def run_compiled(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from ring.errors import ConfigError
    from simulations.compiled import compiled_copy, run_in

    try:
        tree = compiled_copy(parsed.directory)
    except ConfigError as error:
        print(f"compiled: {error}", file=sys.stderr)
        return USAGE_STATUS
    return run_in(tree, parsed.arguments).returncode
