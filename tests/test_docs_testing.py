"""What docs/testing.md shows is run, by users who have nothing but what is shipped."""

import os
import re
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement

from simulations.plan import simplest

ROOT: Final = Path(__file__).resolve().parent.parent
PAGE: Final = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
FEW: Final = """
from hypothesis import Phase, settings
settings.register_profile("few", max_examples=5, phases=set(Phase) - {Phase.explain})
settings.load_profile("few")
"""
ALWAYS_ALIKE: Final = (
    "set(Phase) - {Phase.explain}",
    "[Phase.generate], derandomize=True, report_multiple_bugs=False",
)
CART, VISITS, STORE = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command without the paths of this clone."""
    environment = {key: each for key, each in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment,
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python that has the wheel, and what it depends on, and not this clone."""
    place = tmp_path_factory.mktemp("shipped")
    wheels, home = place / "wheels", place / "venv"
    hatchling = (sys.executable, "-m", "hatchling", "build", "--target", "wheel")
    built = run(*hatchling, "--directory", wheels, cwd=ROOT)
    assert built.returncode == 0, built.stderr
    venv.create(home, symlinks=True)
    paths = {"base": str(home), "platbase": str(home)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (wheel,) = wheels.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(packages)
    (metadata,) = packages.glob("*.dist-info")
    for name in sorted(needed(PathDistribution(metadata), "testing")):
        link(distribution(name), packages)
    return home / "bin" / "python"


def needed(whose: Distribution, *extras: str) -> set[str]:
    """Return the names of all distributions that one needs here, with these extras of it."""
    found, waiting = set[str](), [(whose, extra) for extra in ("", *extras)]
    seen = set[tuple[str, str]]()
    while waiting:
        each, extra = waiting.pop()
        for requirement in map(Requirement, each.requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                found.add(requirement.name)
                news = {(requirement.name, of_it) for of_it in ("", *requirement.extras)} - seen
                waiting += [(distribution(name), of_it) for name, of_it in sorted(news)]
                seen |= news
    return found


def link(what: Distribution, packages: Path) -> None:
    """Have ``packages`` lead to what a distribution has brought, and to nothing beside it."""
    assert what.files is not None
    for name in {file.parts[0] for file in what.files} - {"..", "__pycache__"}:
        (packages / name).symlink_to(str(what.locate_file(name)))


def passed_to_pytest(
    python: Path, text: str, place: Path, *options: str
) -> subprocess.CompletedProcess[str]:
    """Have pytest run an example that somebody has pasted into a file."""
    (place / "test_example.py").write_text(text, encoding="utf-8")
    return run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *options, cwd=place)


def test_nothing_is_there_but_what_is_shipped(python: Path, tmp_path: Path) -> None:
    """Neither what only development needs, nor what another extra brings, nor this clone."""
    for name in ("mypy", "trustme", "rich", "tests", "benchmarks"):
        done = run(python, "-c", f"import {name}", cwd=tmp_path)
        assert f"No module named '{name}'" in done.stderr


def test_every_module_that_is_shipped_finds_all_it_needs(python: Path, tmp_path: Path) -> None:
    """But what draws a ring in a terminal: that takes Rich, which the extra ``cli`` brings."""
    script = """
import importlib, pkgutil
no_cli = set()
for package in ("ring", "wire", "node", "simulations"):
    module = importlib.import_module(package)
    assert "site-packages" in module.__file__, module.__file__
    for each in pkgutil.walk_packages(module.__path__, package + "."):
        if not each.name.endswith("__main__"):
            try:
                importlib.import_module(each.name)
            except ModuleNotFoundError as error:
                assert error.name == "rich", error
                no_cli.add(each.name)
assert no_cli == {"simulations.ring_view"}, no_cli
"""
    done = run(python, "-W", "error", "-c", script, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_cart_fails_as_the_page_says(python: Path, tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text(FEW, encoding="utf-8")
    done = passed_to_pytest(python, CART, tmp_path)
    assert done.returncode == 1, done.stdout
    assert f"plan={simplest()!r}" in done.stdout


def test_the_cart_passes_when_it_is_mended(python: Path, tmp_path: Path) -> None:
    plain = 'session["cart"] = [*session.get("cart", []), client.number]'
    (merges,) = re.findall(r"With\n`(session\.set.*?)` in the place of the line", PAGE)
    mended = CART.replace(plain, merges)
    assert merges in mended
    (tmp_path / "conftest.py").write_text(FEW, encoding="utf-8")
    done = passed_to_pytest(python, mended, tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_visitor_loses_the_session_as_the_page_says(python: Path, tmp_path: Path) -> None:
    """The steps are not made fewer here, which takes longer than to find some."""
    found = VISITS.replace(*ALWAYS_ALIKE)
    done = passed_to_pytest(python, found, tmp_path)
    assert done.returncode == 1, done.stdout
    assert "the visitor has another session now" in done.stdout
    assert "state.freeze(" in done.stdout


def test_the_steps_on_the_page_lose_the_session(python: Path, tmp_path: Path) -> None:
    (steps,) = re.findall(r"```text\n(.*?)```", PAGE, flags=re.DOTALL)
    done = run(python, "-c", VISITS + steps, cwd=tmp_path)
    assert done.stderr.endswith("AssertionError: the visitor has another session now\n")


def test_the_visitor_keeps_the_session_when_that_is_mended(python: Path, tmp_path: Path) -> None:
    wrong = VISITS[VISITS.index("    try:") : VISITS.index("    if session is None")]
    mended = VISITS.replace(wrong, "    session = await sessions.find(cookie)\n")
    few = mended.replace("max_examples=100", "max_examples=10").replace(*ALWAYS_ALIKE)
    done = passed_to_pytest(python, few, tmp_path)
    assert done.returncode == 0, done.stdout


def test_the_store_passes(python: Path, tmp_path: Path) -> None:
    done = passed_to_pytest(python, STORE, tmp_path, "-k", "replaced or kill")
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout


def test_everything_is_where_the_page_says(python: Path, tmp_path: Path) -> None:
    imports = re.findall(r"^\| `(from [\w.]+ import [\w, ]+)`", PAGE, flags=re.MULTILINE)
    assert len(imports) == 5
    by_hand = re.findall(r"`(evolve\(.*?\))`", PAGE)
    lines = [*imports, "from attrs import evolve", *by_hand]
    done = run(python, "-c", "\n".join(lines), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
