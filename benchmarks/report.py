"""What came of a run: samples by what they are of, where they were taken, and as JSON.

Rule: samples are kept as they were taken. Medians and judgements are made of them when they are
shown, so that an old report can be judged anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

import cattrs
from attrs import define, field, frozen

from benchmarks.goals import GOALS, Goal


@frozen
class Sample:
    """Both sides in one round."""

    ours: float
    theirs: float | None = None
    ours_cpu_s: float | None = None
    """What all processes of this side computed meanwhile; None: not measured."""
    theirs_cpu_s: float | None = None


@define
class Series:
    """The samples of one thing, one for each round."""

    key: str
    """Of the goal."""
    variant: str
    """Which of several ways to measure it."""
    samples: list[Sample] = field(factory=list)

    @property
    def goal(self) -> Goal:
        """What has to come of it."""
        return GOALS[self.key]

    @property
    def figures(self) -> list[float]:
        """What is judged, of each round."""
        return [self.goal.figure(each.ours, each.theirs) for each in self.samples]

    @property
    def figure(self) -> float:
        """The median of the rounds."""
        return median(self.figures)

    @property
    def ours(self) -> float:
        """The median of this side alone."""
        return median(each.ours for each in self.samples)

    @property
    def theirs(self) -> float | None:
        """The median of the other side alone."""
        values = [each.theirs for each in self.samples if each.theirs is not None]
        return median(values) if values else None


@frozen
class Loopback:
    """What this machine's loopback is like without Python."""

    placement: str
    round_trip_us: float
    mb_per_s: float


@define
class Point:
    """One point of a sweep: how something changes with the scale."""

    sweep: str
    x: float
    values: dict[str, float]


@define
class Report:
    """One run."""

    machine: dict[str, str]
    """Its cores and its system, and the version of everything that took part."""
    options: dict[str, Any]
    """How much was measured."""
    loopback: list[Loopback] = field(factory=list)
    series: list[Series] = field(factory=list)
    sweeps: list[Point] = field(factory=list)
    left_out: list[str] = field(factory=list)
    """What was not measured, and why."""

    def add(self, key: str, variant: str, sample: Sample) -> None:
        """Keep a sample."""
        for series in self.series:
            if (series.key, series.variant) == (key, variant):
                break
        else:
            series = Series(key, variant)
            self.series.append(series)
        series.samples.append(sample)

    def in_order(self) -> Iterator[Series]:
        """Yield all series in the order of the table."""
        keys = list(GOALS)
        yield from sorted(self.series, key=lambda each: keys.index(each.key))

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(cattrs.unstructure(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Report":
        """Return what ``to_json`` has written."""
        return cattrs.structure(json.loads(text), cls)

    @classmethod
    def load(cls, path: Path) -> "Report":
        """Return the report in a file."""
        return cls.from_json(path.read_text(encoding="utf-8"))
