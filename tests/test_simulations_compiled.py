"""The compiled copy: the same sources, made once, and never used unless it does the same."""

import fcntl
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ring import Clock, Member, Replica, Ring
from ring.errors import ConfigError
from ring.settings import Settings
from simulations import compiled
from simulations.__main__ import main
from simulations.compiled import LOCK, PACKAGES, WORLD, compiled_copy, spell_out_copy

ROOT = Path(__file__).resolve().parent.parent


class Machine:
    """Stands in for this Python: notes what it is asked to run, and answers as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[tuple[str, Path]] = []
        self.compiles = True
        self.traces = dict[Path, str]()
        monkeypatch.setattr(compiled, "_python", self.run)

    def run(
        self, arguments: Sequence[str], tree: Path, *, captured: bool = False
    ) -> subprocess.CompletedProcess[str]:
        what = "compile" if "mypyc" in arguments else "replay" if "replay" in arguments else "other"
        self.runs.append((what, tree))
        status = 1 if what == "compile" and not self.compiles else 3 if what == "other" else 0
        trace = self.traces.get(tree, "a1b2")
        return subprocess.CompletedProcess(list(arguments), status, trace, "no compiler")

    def count(self, what: str) -> int:
        return sum(each == what for each, _ in self.runs)


def test_every_module_that_is_compiled_is_there() -> None:
    assert all((ROOT / "simulations" / f"{name}.py").exists() for name in WORLD)


def test_a_replica_sets_each_of_its_attributes_once_while_it_is_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Compiled, what is set twice is never freed: every life of a node stayed in memory."""
    names = list[str]()

    def note(self: object, name: str, value: object) -> None:
        names.append(name)
        object.__setattr__(self, name, value)

    monkeypatch.setattr(Replica, "__setattr__", note)
    Replica(Ring("r", (Member("a", "a:1"),)), "a", Settings(), Clock(0, 0.0), Random(0), True)
    assert names
    assert len(names) == len(set(names))


def test_a_copy_has_all_sources_and_is_made_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Machine(monkeypatch)
    tree = compiled_copy(tmp_path)
    assert compiled_copy(tmp_path) == tree
    assert machine.count("compile") == 1
    assert machine.count("replay") == 2
    for package in PACKAGES:
        copied = {path.name for path in (tree / package).glob("*.py")}
        assert copied == {path.name for path in (ROOT / package).glob("*.py")}


def test_what_is_to_be_compiled_keeps_its_types(tmp_path: Path) -> None:
    """The compiler begins by checking them: with one that does not fit, it makes nothing."""
    modules = [str(path.relative_to(tmp_path)) for path in spell_out_copy(tmp_path)]
    strict = ["--strict", "--ignore-missing-imports", "--cache-dir", str(tmp_path / "cache")]
    checking = [sys.executable, "-m", "mypy", *strict, *modules]
    done = subprocess.run(checking, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_who_wants_a_copy_that_is_being_made_waits_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two runs that were started at once removed each other's copies, and both ended."""
    machine, others = Machine(monkeypatch), list[threading.Thread]()

    def run(*arguments: Any, **more: Any) -> subprocess.CompletedProcess[str]:
        if not others:
            others.append(threading.Thread(target=compiled_copy, args=[tmp_path]))
            others[0].start()
        with open(tmp_path / LOCK) as lock, pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return machine.run(*arguments, **more)

    monkeypatch.setattr(compiled, "_python", run)
    compiled_copy(tmp_path)
    others[0].join()
    assert machine.count("compile") == 1


def test_a_copy_in_which_a_seed_goes_another_way_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    machine = Machine(monkeypatch)
    machine.traces[ROOT] = "c3d4"
    for _ in range(2):
        with pytest.raises(ConfigError, match="seed 2 has another trace when it is compiled"):
            compiled_copy(tmp_path)
    assert machine.count("compile") == 2


def test_the_command_gives_the_status_of_the_other_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(monkeypatch)
    asked = ["compiled", "--directory", str(tmp_path), "run", "--seeds", "0:2"]
    assert main(asked) == 3
    machine.compiles = False
    next(tmp_path.glob("*/is-complete")).unlink()
    assert main(asked) == 2
    assert "takes mypy, setuptools and a C compiler:\na1b2no compiler" in capsys.readouterr().err
