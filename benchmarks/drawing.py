"""Draws a report as one SVG, for the README.

Rules:
- A line for each figure. Its place tells how far it is from its bar, to the right is better; the
  scale is logarithmic, since ratios are.
- The dot is the median of the rounds, the line through it goes from the least to the greatest, the
  diamond is the goal.
- Colours stand on a background of their own: the picture is read on light pages and on dark ones.
"""

import math
from collections.abc import Iterator
from html import escape
from typing import Final

from benchmarks.goals import Goal
from benchmarks.report import Report, Series
from benchmarks.table import figure, verdict

_WIDTH: Final = 960
_LINE: Final = 22
_TOP: Final = 64
_LEFT: Final = 430
_RIGHT: Final = 720
_FACTOR_MAX: Final = 16.0
"""Of the bar: what is farther away is drawn here."""

_INK: Final = "#0f172a"
_FAINT: Final = "#64748b"
_COLOURS: Final = {"goal": "#15803d", "holds": "#2563eb", "MISSED": "#dc2626"}


def svg(report: Report) -> str:
    """Return the picture."""
    series = [each for each in report.in_order() if each.goal.bar > 0]
    height = _TOP + _LINE * len(series) + 40
    size = f'viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{_label(series)}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(_at(1), _TOP - 24, "bar", _INK, "middle"),
        *_axis(height),
    ]
    for number, each in enumerate(series):
        parts += _line(each, _TOP + _LINE * number)
    parts += [_text(16, height - 14, _machine(report), _FAINT), "</svg>"]
    return "\n".join(parts) + "\n"


def _label(series: list[Series]) -> str:
    held = sum(each.goal.holds(each.figure) for each in series)
    return f"{held} of {len(series)} figures hold their bar."


def _machine(report: Report) -> str:
    told = report.machine
    versions = [f"{name} {told[name]}" for name in ("Python", "redis", "redis-py") if name in told]
    return ", ".join([told[name] for name in ("processor", "system") if name in told] + versions)


def _axis(height: int) -> Iterator[str]:
    for factor in (1 / 4, 1, 4, _FACTOR_MAX):
        at = _at(factor)
        colour = _INK if factor == 1 else "#e2e8f0"
        yield (
            f'<path d="M{at:.1f} {_TOP - 16} V{height - 36}" stroke="{colour}" stroke-width="1"/>'
        )
        if factor != 1:
            yield _text(at, _TOP - 24, f"{factor:g}x", _FAINT, "middle")


def _line(series: Series, y: int) -> Iterator[str]:
    goal, colour = series.goal, _COLOURS[verdict(series)]
    low, *_, high = sorted(_at(_better(goal, each)) for each in series.figures * 2)
    middle, aim = _at(_better(goal, series.figure)), _at(_better(goal, goal.goal))
    title = f"{goal.row}  {goal.title}"
    detail = ", ".join(filter(None, (goal.part, series.variant)))
    yield _text(16, y + 4, title, _INK)
    yield _text(_LEFT - 8, y + 4, detail, _FAINT, "end", size=10)
    yield f'<path d="M{low:.1f} {y} H{high:.1f}" stroke="{colour}" stroke-width="3"/>'
    yield f'<circle cx="{middle:.1f}" cy="{y}" r="4.5" fill="{colour}"/>'
    yield (
        f'<path d="M{aim:.1f} {y - 5} l5 5 l-5 5 l-5 -5 z" fill="none" stroke="{_FAINT}" '
        'stroke-width="1.2"/>'
    )
    yield _text(_RIGHT + 16, y + 4, figure(series), colour)


def _better(goal: Goal, figure: float) -> float:
    """Return how many times better than its bar a figure is."""
    if goal.is_at_least:
        return figure / goal.bar
    return goal.bar / figure if figure > 0 else _FACTOR_MAX


def _at(factor: float) -> float:
    """Return where a factor of the bar is drawn."""
    bounded = min(max(factor, 1 / 4), _FACTOR_MAX)
    part = math.log(bounded * 4) / math.log(_FACTOR_MAX * 4)
    return _LEFT + part * (_RIGHT - _LEFT)


def _text(
    x: float, y: float, words: str, colour: str, anchor: str = "start", size: int = 12
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y}" fill="{colour}" font-size="{size}" '
        f'text-anchor="{anchor}">{escape(words)}</text>'
    )
