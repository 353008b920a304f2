"""A report in plain lines, a figure each."""

from collections.abc import Iterator

from benchmarks.report import Report, Series


def lines(report: Report) -> Iterator[str]:
    """Yield the report, for people."""
    yield ", ".join(f"{name} {value}" for name, value in report.machine.items())
    for each in report.loopback:
        yield (
            f"loopback in C, {each.placement}: round trip {each.round_trip_us:.1f} µs, "
            f"{each.mb_per_s:.0f} MB/s"
        )
    if not report.loopback:
        yield "loopback in C: not measured"
    title = ""
    for series in report.in_order():
        goal = series.goal
        if (now := _title(series)) != title:
            title = now
            kind = "at least" if goal.is_at_least else "at most"
            yield ""
            yield f"{title} ({kind} {goal.said(goal.bar)}, goal {goal.said(goal.goal)})"
        figures = f"{figure(series):30} {verdict(series):6} {sides(series)}"
        yield f"  {series.variant or '-':34} {figures}"
    for point in report.sweeps:
        values = ", ".join(f"{name} {value:.4g}" for name, value in point.values.items())
        yield f"{point.sweep} {point.x:g}: {values}"
    yield from report.left_out


def _title(series: Series) -> str:
    goal = series.goal
    against = f" against {goal.peer}" if goal.peer else ""
    part = f" [{goal.part}]" if goal.part else ""
    return f"{goal.row}. {goal.title}{against}{part}"


def figure(series: Series) -> str:
    """Return the figure with its least and greatest round."""
    said, figures = series.goal.said, series.figures
    if len(figures) == 1:
        return said(series.figure)
    return f"{said(series.figure)} ({said(min(figures))} to {said(max(figures))})"


def verdict(series: Series) -> str:
    """Return whether the figure reaches the goal, holds the bar, or misses it."""
    goal = series.goal
    reaches = series.figure >= goal.goal if goal.is_at_least else series.figure <= goal.goal
    return "goal" if reaches else "holds" if goal.holds(series.figure) else "MISSED"


def sides(series: Series) -> str:
    """Return both sides as they were measured."""
    unit = series.goal.unit
    if series.theirs is None:
        return f"{series.ours:.4g} {unit}"
    return f"{series.ours:.4g} against {series.theirs:.4g} {unit}"
