"""A report as tables of Markdown, for a document that has a place for them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from benchmarks.report import Report
from benchmarks.table import figure, sides, verdict

BEGIN: Final = "<!-- figures: begin -->"
END: Final = "<!-- figures: end -->"


def put_into(document: Path, report: Report) -> None:
    """Replace what stands between the two marks of a document.

    Raises:
        ValueError: it has no such marks, in this order. It is left as it was.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document} has no place for figures: {BEGIN} and {END}")
    content = "\n".join(lines(report))
    document.write_text(f"{before}{BEGIN}\n{content}\n{END}{after}", encoding="utf-8")


def lines(report: Report) -> Iterator[str]:
    """Yield the report: where it was measured, then its figures, then its sweeps."""
    yield ", ".join(f"{name} {value}" for name, value in report.machine.items()) + "."
    for each in report.loopback:
        yield (
            f"The loopback without Python, {each.placement}: {each.round_trip_us:.1f} µs for a "
            f"round trip, {each.mb_per_s:.0f} MB/s."
        )
    yield ""
    yield "| | what | against | measured | bar | goal | | both sides |"
    yield "|---|---|---|---|---|---|---|---|"
    for series in report.in_order():
        goal = series.goal
        what = ", ".join(filter(None, (goal.title, series.variant)))
        bars = f"{goal.said(goal.bar)} | {goal.said(goal.goal)}"
        yield (
            f"| {goal.row} | {what} | {goal.peer} | {figure(series)} | {bars} | "
            f"{verdict(series)} | {sides(series)} |"
        )
    if report.left_out:
        yield ""
        yield from (f"- {line}" for line in report.left_out)
