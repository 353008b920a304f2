"""``python -m benchmarks [NAME...]``: measures against Redis, prints the table, writes JSON.

``python -m benchmarks draw FILE.json FILE.svg`` draws what was written, ``tabulate FILE.json
FILE.md`` puts it into a document.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import asdict, evolve

from benchmarks import (
    crossing,
    failing,
    growing,
    lagging,
    reading,
    recovering,
    remembering,
    writing,
)
from benchmarks.drawing import svg
from benchmarks.machine import loopback, machine
from benchmarks.markdown import put_into
from benchmarks.redis_servers import why_missing
from benchmarks.report import Report
from benchmarks.run import Run, Scale
from benchmarks.table import lines

MEASURED: Final[dict[str, tuple[str, Callable[[Run], None]]]] = {
    "reads": ("1 to 3: reads at the owner", reading.measure),
    "writes": ("4 and 5: single writes", writing.measure_latency),
    "rates": ("6, 7 and 9: writes in a second", writing.measure_rate),
    "recovery": ("10 to 12, and 16 in part: recovery of a member", recovering.measure),
    "memory": ("13 and 14: memory of a session", remembering.measure),
    "wire": ("15: bytes on the wire", crossing.measure),
    "lag": ("16: lag of the event loop", lagging.measure),
    "failover": ("17: an owner is killed", failing.measure),
    "rings": ("18: rings of 3 to 8", growing.measure),
}
"""By name what can be measured, and which rows of the table that is."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given and given[0] in _SHOWN:
        return _show(*given)
    options = _parse(given)
    scale = Scale()
    for name in ("rounds", "seconds", "recovered", "held"):
        if (value := getattr(options, name)) is not None:
            scale = evolve(scale, **{name: value})
    report = run(options.names or list(MEASURED), scale, _say)
    print("\n".join(lines(report)))
    if options.json is not None:
        options.json.write_text(report.to_json(), encoding="utf-8")
    return 0


def run(names: Sequence[str], scale: Scale, say: Callable[[str], None]) -> Report:
    """Measure these rows; return what came of it."""
    report = Report(machine(), {**asdict(scale), "sizes": list(scale.sizes), "names": list(names)})
    lacks_peer = why_missing()
    if lacks_peer is not None:
        say(f"{lacks_peer}; only what needs no Redis is measured")
    report.loopback = loopback(scale.seconds)
    with ExitStack() as stack:
        one = Run(scale, report, say, lacks_peer, stack)
        for name in names:
            about, measure = MEASURED[name]
            say(f"{name} ({about})")
            measure(one)
    return report


def _say(line: str) -> None:
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _draw(report: Report, picture: Path) -> None:
    picture.write_text(svg(report), encoding="utf-8")


def _tabulate(report: Report, document: Path) -> None:
    put_into(document, report)


_SHOWN: Final = {"draw": _draw, "tabulate": _tabulate}
"""By name what can be done with a report that was written."""


def _show(name: str, *arguments: str) -> int:
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks {name}")
    parser.add_argument("report", type=Path, metavar="FILE.json")
    parser.add_argument("target", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    _SHOWN[name](Report.load(options.report), options.target)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    names = "\n".join(f"  {name:10} {about}" for name, (about, _) in MEASURED.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure against Redis, which is started here on free ports.\n\n"
        f"names, all by default:\n{names}",
        epilog="draw FILE.json FILE.svg draws a report; tabulate FILE.json FILE.md puts it into a "
        "document",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="see above")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 5; at most 3 of some")
    parser.add_argument("--seconds", type=float, metavar="S", help="of each sample; default: 0.5")
    parser.add_argument(
        "--sessions",
        dest="recovered",
        type=int,
        metavar="N",
        help="that a member recovers; default: 100000",
    )
    parser.add_argument(
        "--held", type=int, metavar="N", help="whose memory is measured; default: 50000"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the report")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in MEASURED]:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(MEASURED)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
