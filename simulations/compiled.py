"""A compiled copy of the core and of the simulated world: the same traces in less time.

For runs of thousands of seeds. The sources are copied, and mypyc makes C of them; it takes some
minutes, once for each state of the sources.

Rules:
- A copy is named after its sources, and used only after a seed has had the same trace there.
- One process makes a copy; others that want it meanwhile wait for it.
- One thing is changed in it: what attrs makes of most classes is spelled out (``spelled_out``).
- No class may set an attribute that its base's ``__init__`` sets as well: mypyc takes the second
  for the first one, and never frees what it replaces.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ring.errors import ConfigError
from simulations.spelled_out import spell_out

PACKAGES: Final = ("ring", "wire", "node", "simulations")
"""What is copied."""

WORLD: Final = (
    *("asking", "budget", "census", "circumstances", "convergence", "disks", "ears", "hearing"),
    *("history", "honesty", "judge", "known"),
    *("process", "scene", "scheduler", "striking", "versions", "ways", "workload", "world"),
)
"""What is compiled of the simulations; of the core it is nearly everything."""

NOT_COMPILED: Final = ("__init__", "placement")
"""mypyc takes a cached property for a property: the ring would find everything anew every time."""

LEFT_TO_ATTRS: Final = ("history", "settings")
"""Compiled as they are, since others use more of attrs on their classes; little is lost by it."""

LOCK: Final = ".lock"
"""Whoever makes a copy has locked this file beside it."""

_SEED: Final = 2
_ROOT: Final = Path(__file__).resolve().parent.parent


def compiled_copy(directory: Path) -> Path:
    """Return where the compiled copy of these sources is, after making it if need be.

    Args:
        directory: where copies are kept.

    Raises:
        ConfigError: it cannot be made here, or does not do the same.
    """
    target = directory.resolve() / _name()
    marker = target / "is-complete"
    with _alone_in(directory):
        if not marker.exists():
            shutil.rmtree(target, ignore_errors=True)
            _compile(target)
            _check(target)
            marker.touch()
    return target


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Let others who want a copy wait: the first makes it for all, and nobody removes it."""
    directory.mkdir(parents=True, exist_ok=True)
    with open(directory / LOCK, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run_in(tree: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Run ``python -m simulations`` with the packages that lie in ``tree``."""
    return _python(["-P", "-m", "simulations", *arguments], tree)


def _name() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for path in _sources():
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (_ROOT / package).rglob("*.py"))


def _copy(target: Path) -> None:
    for path in _sources():
        copy = target / path.relative_to(_ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def spell_out_copy(target: Path) -> list[Path]:
    """Copy all sources, those that are compiled spelled out.

    Returns:
        the modules to compile.
    """
    _copy(target)
    modules = [*sorted((target / "ring").glob("*.py"))]
    modules += [target / "simulations" / f"{name}.py" for name in WORLD]
    modules = [path for path in modules if path.stem not in NOT_COMPILED]
    for path in modules:
        if path.stem not in LEFT_TO_ATTRS:
            path.write_text(spell_out(path.read_text(encoding="utf-8")), encoding="utf-8")
    return modules


def _compile(target: Path) -> None:
    modules = spell_out_copy(target)
    names = [str(path.relative_to(target)) for path in modules]
    done = _python(["-m", "mypyc", "--ignore-missing-imports", *names], target, captured=True)
    if done.returncode:
        raise ConfigError(
            "the sources could not be compiled, which takes mypy, setuptools and a C compiler:\n"
            + "\n".join((done.stdout + done.stderr).splitlines()[-5:])
        )


def _check(target: Path) -> None:
    """Refuse a copy in which a seed does not go as it goes here."""
    trace = ["-P", "-m", "simulations", "replay", "--seed", str(_SEED), "--trace-hash"]
    traces = [_python(trace, tree, captured=True).stdout for tree in (_ROOT, target)]
    if not traces[0] or traces[0] != traces[1]:
        raise ConfigError(f"seed {_SEED} has another trace when it is compiled; run it as it is")


def _python(
    arguments: Sequence[str], tree: Path, *, captured: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run this Python with the packages of ``tree``; compiled ones come before their sources."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "MYPYC_OPT_LEVEL": "2"}
    command = [sys.executable, *arguments]
    place = tree if "mypyc" in arguments else None
    return subprocess.run(
        command, check=False, text=True, cwd=place, env=environment, capture_output=captured
    )
