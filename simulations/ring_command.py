"""``python -m simulations ring``: a real ring on this machine, killed and restarted under load.

Rules:
- Exit status: 0, every acknowledged change was kept; 1, something was lost, stale or resurrected,
  or the run could not go on; 2, wrong arguments; 128 and the signal's number after a signal.
- Heavy imports wait until the command runs, so that ``--help`` answers at once.
- With ``--json`` standard output gets one object, and nothing else.
"""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from simulations.arguments import (
    BROKEN_STATUS,
    SIGNAL_STATUS,
    USAGE_STATUS,
    number,
    whole_number,
)

if TYPE_CHECKING:
    from simulations.local_ring import Options, Watcher
    from simulations.ring_tally import Tally

NAME: Final = "local ring"
SEED_BITS: Final = 32
PARTS: Final = ("kill", "freeze", "rolling", "full-disk", "resize", "restart")


def _some_of(known: Sequence[str]) -> Callable[[str], frozenset[str]]:
    """Return what reads the names of parts; the script knows them by the same names."""

    def parts_in(text: str) -> frozenset[str]:
        parts = frozenset(text.split(","))
        for part in sorted(parts - set(known)):
            raise argparse.ArgumentTypeError(
                f"{part!r} cannot be used; give one or more of {', '.join(known)}, with commas "
                "between"
            )
        return parts

    return parts_in


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    ring = commands.add_parser(
        "ring",
        help="run a ring of real processes on this machine, and kill them under load",
        description=(
            "Runs a ring of real node processes on loopback under load: kills one and then its "
            "successor, brings them back, stops and thaws one, restarts all one after the other, "
            "fills a disk, adds a member and removes another, kills all and starts them from "
            "disk. Then checks that every acknowledged change is there. Nothing stays behind."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_options(ring, PARTS)
    ring.set_defaults(run=run_ring)


def add_options(parser: argparse.ArgumentParser, parts: Sequence[str]) -> None:
    """Add what every script of real nodes can be told, with these parts to choose from."""
    add = parser.add_argument
    add("--nodes", type=whole_number(1, 9), default=3, metavar="1..9", help="how many members")
    add(
        "--sessions",
        type=whole_number(1, 100_000),
        default=400,
        metavar="N",
        help="how many sessions the clients create in all, 1 to 100,000",
    )
    add(
        "--clients",
        type=whole_number(1, 100),
        default=16,
        metavar="N",
        help="clients at once, 1 to 100",
    )
    add(
        "--seconds",
        type=number("seconds", 1, 3600),
        default="30",
        metavar="N",
        help="how long the load lasts beside what the faults take, 1 to 3,600",
    )
    add(
        "--seed",
        type=whole_number(0, 2**63 - 1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="what the clients do and who is killed; by default another one each time",
    )
    add(
        "--parts",
        type=_some_of(parts),
        default=argparse.SUPPRESS,
        metavar="PART,...",
        help=f"what is done to the ring: some of {', '.join(parts)}; by default all",
    )
    add(
        "--keep",
        type=Path,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="keep configuration, logs, histories and stores there; by default nothing is kept",
    )
    add(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the result as one JSON object, and only that",
    )


def run_ring(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from simulations.local_ring import run

    return run_and_tell(parsed, NAME, PARTS, run)


def run_and_tell(
    parsed: argparse.Namespace,
    name: str,
    parts: Sequence[str],
    run: "Callable[[Options, Watcher], Tally | int]",
) -> int:
    """Run a script of real nodes, and say what came of it; return the exit status.

    Args:
        parsed: what ``add_options`` has added.
        name: what is run, for messages.
        parts: all that can be played.
        run: plays; it raises ``NodeFailedError``, and ``ConfigError`` where it cannot begin or this
            machine does not let it go on.
    """
    from random import SystemRandom

    from ring.errors import ConfigError
    from simulations.local_ring import Options
    from simulations.real_nodes import NodeFailedError
    from simulations.ring_lines import verdict_lines

    options = Options(
        nodes=parsed.nodes,
        sessions=parsed.sessions,
        clients=parsed.clients,
        seconds=parsed.seconds,
        seed=getattr(parsed, "seed", SystemRandom().getrandbits(SEED_BITS)),
        keep=getattr(parsed, "keep", None),
        json=getattr(parsed, "json", False),
        parts=frozenset(getattr(parsed, "parts", parts)),
    )
    try:
        outcome = run(options, _watcher(options))
    except ConfigError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE_STATUS
    except NodeFailedError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return BROKEN_STATUS
    if isinstance(outcome, int):
        stopped_by = signal.Signals(outcome).name
        print(f"{name}: stopped by {stopped_by}, and cleaned up", file=sys.stderr)
        return SIGNAL_STATUS + outcome
    if options.json:
        print(json.dumps(outcome.as_json(options.nodes, options.seed)), flush=True)
    if not (options.json and outcome.ok):
        file = sys.stderr if options.json else sys.stdout
        for line in verdict_lines(outcome, options.seed):
            print(line, file=file, flush=True)
    return 0 if outcome.ok else BROKEN_STATUS


def _watcher(options: "Options") -> "Watcher":
    """Return what shows the run: a picture in a terminal, else lines; with --json no lines."""
    from simulations.local_ring import Watcher
    from simulations.ring_lines import Lines

    out = sys.stderr if options.json else sys.stdout
    if out.isatty() and (picture := _picture(out)) is not None:
        return picture
    return Watcher() if options.json else Lines(partial(print, flush=True))


def _picture(out: TextIO) -> "Watcher | None":
    """Return what draws on a terminal, or None where it is too small or rich is missing."""
    try:
        from simulations import ring_view
    except ImportError:
        return None
    return ring_view.picture(out)
