"""Every benchmark runs for a moment, and its report can be written, read and drawn.

Rule: how long anything took is asserted nowhere.
"""

import math
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import __main__ as command
from benchmarks import markdown, table
from benchmarks.goals import GOALS, Judged
from benchmarks.payload import LARGE, SMALL, attributes, packed
from benchmarks.redis_servers import why_missing
from benchmarks.report import Loopback, Report, Sample
from benchmarks.run import Scale

ROOT = Path(__file__).resolve().parent.parent

TINY = Scale(rounds=1, seconds=0.01, recovered=40, held=16, changes=20, sessions=20, sizes=(2, 3))


def skip_without_redis() -> None:
    reason = why_missing()
    if reason is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def keys(report: Report) -> set[str]:
    return {series.key for series in report.series}


def are_finite(report: Report) -> bool:
    numbers = [number for series in report.series for number in series.figures]
    return bool(numbers) and all(map(math.isfinite, numbers))


def made_up() -> Report:
    """Return a report with one sample of everything."""
    report = Report({"processor": "a < b & c"}, {}, [Loopback("split", 40.0, 900.0)])
    for key, goal in GOALS.items():
        report.add(key, "one core", Sample(2.0, None if goal.judged is Judged.PLAIN else 3.0))
        report.add(key, "one core", Sample(1.0, None if goal.judged is Judged.PLAIN else 4.0))
    report.left_out.append("not measured: nothing")
    return report


def test_each_row_gives_figures() -> None:
    skip_without_redis()
    report = command.run(list(command.MEASURED), TINY, lambda _: None)
    assert are_finite(report)
    left_out = {"11"} if not report.loopback else set()
    assert keys(report) == set(GOALS) - left_out
    assert "redis" in report.machine
    assert Report.from_json(report.to_json()) == report


def test_without_redis_what_needs_it_is_left_out_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "why_missing", lambda: "there is none")
    said: list[str] = []
    report = command.run(["reads", "writes", "rates", "memory"], TINY, said.append)
    assert report.series == []
    assert said[0] == "there is none; only what needs no Redis is measured"
    assert len(report.left_out) == 4


def test_a_report_is_read_as_it_was_written_and_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = made_up()
    written, picture = tmp_path / "report.json", tmp_path / "report.svg"
    written.write_text(report.to_json(), encoding="utf-8")
    assert Report.load(written) == report
    assert command.main(["draw", str(written), str(picture)]) == 0
    root = ET.fromstring(picture.read_text(encoding="utf-8"))
    circles = root.findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == sum(goal.bar > 0 for goal in GOALS.values())


def test_a_document_gets_the_figures_between_its_marks(tmp_path: Path) -> None:
    written, document = tmp_path / "report.json", tmp_path / "page.md"
    written.write_text(made_up().to_json(), encoding="utf-8")
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    document.write_text(page, encoding="utf-8")
    for _ in range(2):
        assert command.main(["tabulate", str(written), str(document)]) == 0
    text = document.read_text(encoding="utf-8")
    assert text.count("| 17 | owner killed") == 1
    assert text.partition(markdown.BEGIN)[0] == page.partition(markdown.BEGIN)[0]
    assert text.partition(markdown.END)[2] == page.partition(markdown.END)[2]


def test_a_document_without_marks_is_left_as_it_is(tmp_path: Path) -> None:
    document = tmp_path / "page.md"
    document.write_text("nothing", encoding="utf-8")
    with pytest.raises(ValueError, match="no place for figures"):
        markdown.put_into(document, made_up())
    assert document.read_text(encoding="utf-8") == "nothing"


def test_the_page_names_everything_that_can_be_measured() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert [name for name in command.MEASURED if f"| `{name}` |" not in page] == []


def test_a_figure_is_what_the_sides_of_one_round_make() -> None:
    report = made_up()
    (faster,) = [each for each in report.series if each.key == "1"]
    assert (faster.figures, faster.figure) == ([1.5, 4.0], 2.75)
    assert table.verdict(faster) == "MISSED"
    (cost,) = [each for each in report.series if each.key == "13 hash"]
    assert table.verdict(cost) == "goal"
    assert table.figure(cost) == "0.46 (0.25 to 0.67)"


def test_every_figure_has_a_line_in_the_table() -> None:
    lines = "\n".join(table.lines(made_up()))
    assert all(goal.title in lines for goal in GOALS.values())
    assert "not measured: nothing" in lines


@pytest.mark.parametrize("session_bytes", [SMALL, LARGE])
def test_a_session_is_as_large_as_is_said(session_bytes: int) -> None:
    assert len(packed(attributes(session_bytes))) == session_bytes


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["reeds"])
    assert "there is no reeds; choose from reads, writes" in capsys.readouterr().err
