"""``python -m simulations run``, ``replay`` and ``shrink``: simulated rings, many or one.

Rules:
- A failure names the promise, tells its story, leaves the plan in a file, and says how to replay
  it; the exit status is 1, whatever else goes wrong.
- Where something is to be written is made sure of before anything is played.
- With ``--json`` standard output gets one object, and nothing else; progress goes to standard
  error, and only to a terminal.
"""

import argparse
import gc
import json
import multiprocessing
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from simulations.arguments import BROKEN_STATUS, USAGE_STATUS, number, path_of, whole_number

if TYPE_CHECKING:
    from simulations.plan import Level, Mode, Plan
    from simulations.run import Report

STORIES_MAX: Final = 3
_MODES: Final = ("safety", "liveness")
_LEVELS: Final = ("core", "node")
_PLAN: Final = path_of("file")


def add_parsers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the commands to those of the command line."""
    run = commands.add_parser(
        "run", help="play many seeds of a simulated ring under faults, and judge every answer"
    )
    which = run.add_mutually_exclusive_group()
    which.add_argument(
        "--seeds", type=_seeds, metavar="A:B", help="from A up to but without B (default: 0:100)"
    )
    which.add_argument(
        "--minutes",
        type=number("minutes", 0.01, 100_000),
        metavar="N",
        help="one seed after the other, so long",
    )
    run.add_argument("--mode", choices=_MODES, default="safety", help="(default: safety)")
    run.add_argument("--level", choices=_LEVELS, default="core", help="(default: core)")
    run.add_argument(
        "--jobs", type=whole_number(1, 64), default=1, metavar="N", help="processes (default: 1)"
    )
    run.add_argument(
        "--plans",
        type=path_of("directory"),
        default=Path("plans"),
        metavar="DIR",
        help="for plans that fail (default: plans)",
    )
    run.add_argument("--json", action="store_true", help="print one JSON object, and only that")
    run.set_defaults(run=_run)

    replay = commands.add_parser("replay", help="play one plan again")
    what = replay.add_mutually_exclusive_group(required=True)
    what.add_argument("plan", nargs="?", type=_PLAN, metavar="PLAN.json", help="a plan in a file")
    what.add_argument("--seed", type=whole_number(0, 2**63 - 1), metavar="N", help="or a seed")
    replay.add_argument("--mode", choices=_MODES, default="safety", help="of the seed")
    replay.add_argument("--level", choices=_LEVELS, default="core", help="(default: core)")
    replay.add_argument("--trace", action="store_true", help="print every event")
    replay.add_argument("--trace-hash", action="store_true", help="print the hash of all events")
    replay.add_argument("--show-plan", action="store_true", help="print the plan")
    replay.add_argument(
        "--html", type=path_of("file"), metavar="FILE", help="draw it: one page, for any browser"
    )
    replay.set_defaults(run=_replay)

    shrink = commands.add_parser("shrink", help="make a failing plan smaller")
    shrink.add_argument("plan", type=_PLAN, metavar="PLAN.json")
    shrink.add_argument("--level", choices=_LEVELS, default="core", help="(default: core)")
    shrink.set_defaults(run=_shrink)


def _seeds(text: str) -> range:
    first, _, last = text.partition(":")
    if not (first.isascii() and first.isdecimal() and last.isascii() and last.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used; give A:B, such as 0:500")
    seeds = range(int(first), int(last))
    if not seeds:
        raise argparse.ArgumentTypeError(f"{text!r} has no seed in it; give A:B with A below B")
    return seeds


# --- run ---


def _run(parsed: argparse.Namespace) -> int:
    from ring.errors import ConfigError
    from simulations.targets import directory_for_files

    if _is_out_of_reach(parsed.level):
        return USAGE_STATUS
    with ExitStack() as targets:
        try:
            targets.enter_context(directory_for_files("--plans", parsed.plans))
        except ConfigError as error:
            print(f"run: {error}", file=sys.stderr)
            return USAGE_STATUS
        return _run_all(parsed)


def _run_all(parsed: argparse.Namespace) -> int:
    from simulations.plan import Level, Mode

    began = time.monotonic()
    mode, level = Mode(parsed.mode), Level(parsed.level)
    ends_at = began + 60 * parsed.minutes if parsed.minutes else None
    seeds: Iterable[int] = parsed.seeds or (count() if ends_at else range(100))
    total = len(parsed.seeds) if parsed.seeds else None if ends_at else 100
    sums = _Sums()
    for report in _reports(seeds, mode, level, parsed.jobs):
        sums.add(report)
        if report.violations:
            replayed = _write_plan(report.plan, parsed.plans, level)
            if not parsed.json:
                for line in (*_failure_lines(report), _replay_line(replayed, level)):
                    print(line, flush=True)
        if sys.stderr.isatty():
            speed = sums.simulated_s / max(0.001, time.monotonic() - began)
            of = f" of {total}" if total else ""
            print(
                f"\r{sums.seeds}{of} seeds, {sums.failed} failed, {speed:,.0f} s per s",
                end="",
                file=sys.stderr,
            )
        if ends_at is not None and time.monotonic() >= ends_at:
            break
    if sys.stderr.isatty():
        print(file=sys.stderr)
    wall_s = time.monotonic() - began
    if parsed.json:
        print(json.dumps(sums.as_json(wall_s)))
    else:
        for line in sums.lines(wall_s):
            print(line)
    return BROKEN_STATUS if sums.failed else 0


def _reports(seeds: Iterable[int], mode: "Mode", level: "Level", jobs: int) -> Iterator["Report"]:
    if jobs == 1:
        yield from map(partial(_report, mode, level), seeds)
        return
    with multiprocessing.get_context("spawn").Pool(jobs) as pool:
        yield from pool.imap(partial(_report, mode, level), seeds, chunksize=4)


def _report(mode: "Mode", level: "Level", seed: int) -> "Report":
    from simulations.drawing import draw_plan
    from simulations.run import run

    # What a run leaves is one heap of cycles: looking for garbage before it ends finds little.
    gc.freeze()
    gc.disable()
    try:
        return run(draw_plan(seed, mode), level=level)
    except Exception as bug:
        bug.add_note(f"in seed {seed}, mode {mode}, level {level}")
        raise
    finally:
        gc.enable()
        gc.collect()


class _Sums:
    """What many runs come to."""

    def __init__(self) -> None:
        self.seeds = self.failed = self.violations = self.excused = 0
        self.events = self.operations = 0
        self.simulated_s = 0.0
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.moments: Counter[str] = Counter()

    def add(self, report: "Report") -> None:
        """Add one run."""
        self.seeds += 1
        self.failed += bool(report.violations)
        self.violations += len(report.violations)
        self.excused += report.excused
        self.events += report.events
        self.operations += report.operations
        self.simulated_s += report.simulated_s
        self.counts.update(report.counts)
        self.faults.update(report.faults)
        self.moments.update(report.moments)

    def _all_moments(self) -> dict[str, int]:
        from simulations.moments import Moment

        return {str(moment): self.moments[moment] for moment in Moment}

    def as_json(self, wall_s: float) -> dict[str, Any]:
        """Return everything as it is printed."""
        return {
            "seeds": self.seeds,
            "failed": self.failed,
            "violations": self.violations,
            "excused": self.excused,
            "simulated_s": round(self.simulated_s, 3),
            "events": self.events,
            "operations": self.operations,
            "wall_s": round(wall_s, 3),
            "faults": dict(sorted((str(kind), number) for kind, number in self.faults.items())),
            "moments": self._all_moments(),
        }

    def lines(self, wall_s: float) -> Iterator[str]:
        """Yield everything in words."""
        yield (
            f"{self.seeds:,} seeds, {self.failed:,} failed: {self.simulated_s:,.0f} simulated s in "
            f"{wall_s:,.1f} s, {self.simulated_s / wall_s:,.0f} a second"
        )
        yield f"  {self.operations:,} operations, {self.events:,} events"
        yield f"  {self.excused:,} reads missed what the faults may have taken"
        counters = {"faults": self.faults, "moments": self._all_moments()}
        width = max(len(str(name)) for counter in counters.values() for name in counter)
        for what, counter in counters.items():
            yield f"  {what}:"
            for name, times in sorted((str(name), times) for name, times in counter.items()):
                yield f"    {name:<{width}}{times:>10,}"


def _is_out_of_reach(level: str, *, draws: bool = False) -> bool:
    """Return whether this level cannot be played here, or nothing be drawn, and say so."""
    from simulations import scene

    if scene.__file__.endswith(".py") or (level == "core" and not draws):
        return False
    what = "a run is not drawn" if draws else "whole nodes are not simulated"
    print(f"{what} by compiled code; leave out 'compiled'", file=sys.stderr)
    return True


def _write_plan(plan: "Plan", directory: Path, level: str) -> str:
    """Write a plan that fails into a file; return what says to ``replay`` which plan it is."""
    from simulations.plan import plan_to_json

    at = f"-{level}" if level != "core" else ""
    path = directory / f"{plan.mode}{at}-{plan.seed}.json"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(plan_to_json(plan), encoding="utf-8")
    except OSError as error:
        print(f"run: the plan is not in {path} ({error.strerror})", file=sys.stderr)
        mode = f" --mode {plan.mode}" if plan.mode != "safety" else ""
        return f"--seed {plan.seed}{mode}"
    return str(path)


def _failure_lines(report: "Report") -> Iterator[str]:
    yield f"seed {report.plan.seed}: BROKEN"
    for violation in report.violations[:STORIES_MAX]:
        yield f"  {violation}"
    if (left_out := len(report.violations) - STORIES_MAX) > 0:
        yield f"  and {left_out} more"


def _replay_line(replayed: str, level: str) -> str:
    at = f" --level {level}" if level != "core" else ""
    return f"  python -m simulations replay {replayed}{at}"


# --- replay, shrink ---


def _replay(parsed: argparse.Namespace) -> int:
    from ring.errors import ConfigError
    from simulations.drawing import draw_plan
    from simulations.plan import Mode, plan_to_json, read_plan
    from simulations.targets import file_for_text

    with ExitStack() as targets:
        try:
            plan = (
                read_plan(parsed.plan) if parsed.plan else draw_plan(parsed.seed, Mode(parsed.mode))
            )
            if _is_out_of_reach(parsed.level, draws=bool(parsed.html)):
                return USAGE_STATUS
            draw = None
            if parsed.html:
                named = f"--html is {str(parsed.html)!r}"
                instead = "name a file that can be made"
                draw = targets.enter_context(file_for_text(parsed.html, named, instead))
        except ConfigError as error:
            print(f"replay: {error}", file=sys.stderr)
            return USAGE_STATUS
        if parsed.show_plan:
            print(plan_to_json(plan), end="")
        return _replay_plan(parsed, plan, draw)


def _replay_plan(
    parsed: argparse.Namespace, plan: "Plan", draw: Callable[[str], None] | None
) -> int:
    from ring.errors import ConfigError
    from simulations.picture.page import page_of
    from simulations.picture.recorder import Recorder
    from simulations.plan import Level
    from simulations.run import run
    from simulations.witness import Teller, Witness

    level = Level(parsed.level)
    recorder = Recorder(plan, level)
    witnesses: list[Witness] = [Teller(print)] if parsed.trace else []
    if draw is not None:
        witnesses.append(recorder)
    report = run(plan, witnesses, level)
    if parsed.trace_hash:
        print(report.trace_hash)
    for violation in report.violations:
        print(violation)
    if not report.violations and not parsed.trace_hash:
        print(
            f"kept every promise: {report.operations:,} operations, {report.events:,} events, "
            f"{sum(report.faults.values()):,} faults in {report.simulated_s:,.0f} simulated s"
        )
    status = BROKEN_STATUS if report.violations else 0
    if draw is not None:
        try:
            draw(page_of(recorder.recording(report.violations)))
        except ConfigError as error:
            print(f"replay: {error}", file=sys.stderr)
            return status or USAGE_STATUS
    return status


def _shrink(parsed: argparse.Namespace) -> int:
    from ring.errors import ConfigError
    from simulations.plan import read_plan
    from simulations.targets import file_for_text

    with ExitStack() as targets:
        try:
            plan = read_plan(parsed.plan)
            if _is_out_of_reach(parsed.level):
                return USAGE_STATUS
            path = parsed.plan.with_suffix(".small.json")
            named = f"PLAN.json is {str(parsed.plan)!r}; what is left of it goes to {str(path)!r}"
            instead = "copy the plan to where files can be made"
            write = targets.enter_context(file_for_text(path, named, instead))
        except ConfigError as error:
            print(f"shrink: {error}", file=sys.stderr)
            return USAGE_STATUS
        return _shrink_plan(plan, parsed.level, path, write)


def _shrink_plan(plan: "Plan", at: str, path: Path, write: Callable[[str], None]) -> int:
    from ring.errors import ConfigError
    from simulations.plan import Level, plan_to_json
    from simulations.run import run
    from simulations.shrink import shrink

    level = Level(at)
    if not run(plan, level=level).violations:
        print("shrink: this plan breaks no promise; there is nothing to keep", file=sys.stderr)
        return USAGE_STATUS

    smaller = plan

    def tell(each: "Plan") -> None:
        nonlocal smaller
        smaller = each
        if sys.stderr.isatty():
            print(f"\r{len(smaller.faults)} faults left ", end="", file=sys.stderr)

    with suppress(KeyboardInterrupt):  # What was reached is of use.
        shrink(plan, tell, level)
    unwritten = None
    try:
        write(plan_to_json(smaller))
    except ConfigError as error:
        unwritten = error
    report = run(smaller, level=level)
    print(f"{len(plan.faults)} faults shrunk to {len(smaller.faults)}")
    for line in _failure_lines(report):
        print(line)
    if unwritten is not None:
        print(f"shrink: {unwritten}", file=sys.stderr)
        return USAGE_STATUS
    print(_replay_line(str(path), level))
    return 0
