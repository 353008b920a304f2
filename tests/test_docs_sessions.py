"""What docs/sessions.md shows is run, and prints what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```.*?```text\n(.*?)```", PAGE, flags=re.DOTALL)


def test_there_are_as_many_as_are_run() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") == 3


@pytest.mark.parametrize(
    ("script", "expected"), EXAMPLES, ids=["structured", "versions", "history"]
)
def test_the_example_prints_what_the_page_says(script: str, expected: str, tmp_path: Path) -> None:
    """A newcomer pastes it into a file."""
    (tmp_path / "app.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout == expected
