"""The command line: ``python -m simulations ring`` runs a real ring on this machine.

Rules:
- Exit status: 0, every acknowledged change was kept; 1, something was lost, stale or resurrected,
  or the run could not go on; 2, wrong arguments; 128 and the signal's number after a signal, so
  130 after Ctrl-C.
- Heavy imports wait until a command needs them, so that ``--help`` answers at once.
- With ``--json`` standard output gets one object, and nothing else.
"""

import argparse
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from simulations.local_ring import Options, Watcher

BROKEN_STATUS: Final = 1
USAGE_STATUS: Final = 2
SIGNAL_STATUS: Final = 128

SEED_BITS: Final = 32
PARTS: Final = ("kill", "freeze", "rolling", "full-disk", "restart")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that ``arguments`` (by default the process's) name; return its status."""
    options = _parser().parse_args(arguments)
    try:
        return _ring(options)
    except KeyboardInterrupt:
        return SIGNAL_STATUS + signal.SIGINT
    except BrokenPipeError:
        # Whoever read our lines has gone; nothing more can be said there, not even at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGNAL_STATUS + signal.SIGPIPE


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} cannot be used; give a whole number from {low:,} to {high:,}"
            )
        return number

    return parse


def _seconds(low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} cannot be used; give seconds from {low:g} to {high:g}"
            )
        return number

    return parse


def _parts(text: str) -> frozenset[str]:
    """Return the parts by name; the script knows them by the same names."""
    parts = frozenset(text.split(","))
    for part in sorted(parts - set(PARTS)):
        raise argparse.ArgumentTypeError(
            f"{part!r} cannot be used; give one or more of {', '.join(PARTS)}, with commas between"
        )
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m simulations", description="Shows that the ring keeps what it promises."
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    ring = commands.add_parser(
        "ring",
        help="run a ring of real processes on this machine, and kill them under load",
        description=(
            "Runs a ring of real node processes on loopback under load: kills one and then its "
            "successor, brings them back, stops and thaws one, restarts all one after the other, "
            "fills a disk, kills all and starts them from disk. Then checks that every "
            "acknowledged change is there. Nothing stays behind."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = ring.add_argument
    add("--nodes", type=_whole(1, 9), default=3, metavar="1..9", help="how many members")
    add(
        "--sessions",
        type=_whole(1, 100_000),
        default=400,
        metavar="N",
        help="how many sessions the clients create in all, 1 to 100,000",
    )
    add("--clients", type=_whole(1, 100), default=16, metavar="N", help="clients at once, 1 to 100")
    add(
        "--seconds",
        type=_seconds(1, 3600),
        default="30",
        metavar="N",
        help="how long the load lasts in all, 1 to 3,600",
    )
    add(
        "--seed",
        type=_whole(0, 2**63 - 1),
        default=argparse.SUPPRESS,
        metavar="N",
        help="what the clients do and who is killed; by default another one each time",
    )
    add(
        "--parts",
        type=_parts,
        default=argparse.SUPPRESS,
        metavar="PART,...",
        help="what is done to the ring: some of kill, freeze, rolling, full-disk, restart; "
        "by default all",
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
    return parser


def _ring(parsed: argparse.Namespace) -> int:
    from random import SystemRandom

    from ring.errors import ConfigError
    from simulations.local_ring import Options, run
    from simulations.real_nodes import NodeFailedError
    from simulations.ring_lines import verdict_lines
    from simulations.ring_script import Part

    options = Options(
        nodes=parsed.nodes,
        sessions=parsed.sessions,
        clients=parsed.clients,
        seconds=parsed.seconds,
        seed=getattr(parsed, "seed", SystemRandom().getrandbits(SEED_BITS)),
        keep=getattr(parsed, "keep", None),
        json=getattr(parsed, "json", False),
        parts=frozenset(Part(part) for part in getattr(parsed, "parts", PARTS)),
    )
    try:
        outcome = run(options, _watcher(options))
    except ConfigError as error:
        print(f"local ring: {error}", file=sys.stderr)
        return USAGE_STATUS
    except NodeFailedError as error:
        print(f"local ring: {error}", file=sys.stderr)
        return BROKEN_STATUS
    if isinstance(outcome, int):
        name = signal.Signals(outcome).name
        print(f"local ring: stopped by {name}, and cleaned up", file=sys.stderr)
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


if __name__ == "__main__":
    sys.exit(main())
