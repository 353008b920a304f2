"""The script ``./dev``: what a fresh clone, a broken one, and a bare machine make of it.

Rule: nothing here reaches the network. A stand-in for uv notes how it is called and syncs one
module, ``simulations``, which tells how it was started. PATH holds that and the few standard
tools that the script may need, so that the script is also known to need no others.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = ("sh", "cat", "cksum", "dirname", "mv", "readlink", "rm")

STAND_IN: Final = """
import json, os, pathlib, sys, time
if sys.argv[1] == "--version":
    print(os.environ.get("STAND_IN_VERSION", "uv 0.9.0"))
    sys.exit()
print("uv says something")
with open(os.environ["STAND_IN_CALLS"], "a") as calls:
    calls.write(sys.argv[1] + "\\n")
if sys.argv[1] == "venv":
    import venv
    venv.create(sys.argv[-1], symlinks=True)
if sys.argv[1] == "sync":
    time.sleep(float(os.environ.get("STAND_IN_SECONDS", "0")))
    if os.environ.get("STAND_IN_FAILS"):
        sys.exit("uv: no network")
    (packages,) = pathlib.Path(".venv/lib").glob("python*/site-packages")
    if "fuzz" in sys.argv:
        (packages / "atheris.py").write_text("")
    (packages / "simulations.py").write_text('''
import json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:], "folder": os.getcwd(), "process": os.getpid(),
    "prefix": sys.prefix, "python_path": os.environ.get("PYTHONPATH"),
}))
sys.exit(7)
''')
"""


@frozen
class Clone:
    """A copy of the script with a project to set up, and the machine that it is on."""

    root: Path
    machine: Path
    """The one folder on PATH."""
    calls_file: Path

    def tool(self, name: str, script: str) -> None:
        """Put a shell script on PATH."""
        path = self.machine / name
        path.unlink(missing_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)

    def python_without(self, broken: str) -> None:
        """Put a python3 on PATH that fails when its second argument matches ``broken``."""
        # The script asks an interpreter for its true name, which must stay this one's.
        self.tool(
            "python3",
            f'case "$2" in *_base_executable*) echo "{self.machine}/python3"; exit ;;\n'
            f'{broken}) exit 1 ;; esac\nexec "{sys.executable}" "$@"',
        )

    def environment(self, **more: str) -> dict[str, str]:
        return {"PATH": str(self.machine), "STAND_IN_CALLS": str(self.calls_file), **more}

    def dev(self, *arguments: str | Path, cwd: Path | None = None, **more: str) -> "Done":
        """Run the script to its end."""
        done = subprocess.run(
            [self.root / "dev", *arguments],
            cwd=cwd or self.root,
            env=self.environment(**more),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    @property
    def calls(self) -> list[str]:
        """What uv was asked to do so far."""
        return self.calls_file.read_text("utf-8").split() if self.calls_file.exists() else []


@frozen
class Done:
    """How a run of the script ended."""

    status: int
    output: str
    chatter: str

    @property
    def report(self) -> dict[str, Any]:
        """What the stand-in for the simulations said; it ends with status 7."""
        assert self.status == 7, self.chatter
        return dict(json.loads(self.output))


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    root = tmp_path / "a clone"
    machine = tmp_path / "machine"
    root.mkdir()
    machine.mkdir()
    shutil.copy(ROOT / "dev", root)
    for name in ("pyproject.toml", "uv.lock"):
        (root / name).write_text(f"# {name}\n", encoding="utf-8")
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found, tool
        (machine / tool).symlink_to(found)
    clone = Clone(root, machine, tmp_path / "calls")
    (tmp_path / "stand_in.py").write_text(STAND_IN, encoding="utf-8")
    clone.tool("python3", f'exec "{sys.executable}" "$@"')
    clone.tool("uv", f'exec "{sys.executable}" "{tmp_path / "stand_in.py"}" "$@"')
    return clone


def test_every_shell_here_can_read_it() -> None:
    for shell in filter(shutil.which, ("sh", "dash", "bash", "busybox")):
        command = [shell, "sh"] if shell == "busybox" else [shell]
        subprocess.run([*command, "-n", ROOT / "dev"], check=True)


def test_the_first_run_sets_up_and_the_second_only_runs(clone: Clone) -> None:
    first = clone.dev("ring", "--nodes", "3", "a b")
    assert first.report["arguments"] == ["ring", "--nodes", "3", "a b"]
    assert first.report["prefix"] == str(clone.root / ".venv")
    assert clone.calls == ["venv", "sync"]
    assert "setting up" in first.chatter

    started = time.monotonic()
    second = clone.dev("ring")
    assert time.monotonic() - started < 2
    assert second.report["arguments"] == ["ring"]
    assert clone.calls == ["venv", "sync"]
    assert second.chatter == ""


def test_set_up_leaves_standard_output_to_the_command(clone: Clone) -> None:
    done = clone.dev("setup")
    assert (done.status, done.output) == (0, "")
    assert "uv says something" in done.chatter


def test_the_command_takes_the_place_of_the_script(clone: Clone) -> None:
    """So that a signal sent to the script reaches it, and its status is the script's."""
    clone.dev("setup")
    with subprocess.Popen(
        [clone.root / "dev", "ring"], env=clone.environment(), stdout=subprocess.PIPE
    ) as running:
        output, _ = running.communicate(timeout=60)
        assert json.loads(output)["process"] == running.pid
        assert running.returncode == 7


def test_the_ring_runs_where_it_was_called_and_imports_nothing_from_there(
    clone: Clone, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    (elsewhere / "simulations.py").write_text("raise SystemExit('the wrong one')\n")
    done = clone.dev("ring", cwd=elsewhere, PYTHONPATH=str(elsewhere))
    assert done.report["folder"] == str(elsewhere)
    assert done.report["python_path"] is None
    assert not (elsewhere / ".venv").exists()


def test_what_only_the_fuzzer_needs_comes_when_it_is_first_called(clone: Clone) -> None:
    echo = "import json, sys; print(json.dumps({'arguments': sys.argv[1:]})); sys.exit(7)"
    (clone.root / "fuzz.py").write_text(echo)
    for _ in range(2):
        done = clone.dev("fuzz", "codec", "--minutes", "1")
        assert done.report == {"arguments": ["codec", "--minutes", "1"]}
    assert clone.calls == ["venv", "sync", "sync"]


def test_it_finds_its_clone_through_symbolic_links(clone: Clone, tmp_path: Path) -> None:
    (clone.root / "inner").symlink_to("dev")
    (tmp_path / "outer").symlink_to(clone.root / "inner")
    done = subprocess.run([tmp_path / "outer", "setup"], env=clone.environment(), check=False)
    assert done.returncode == 0
    assert (clone.root / ".venv").is_dir()


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock", "dev"])
def test_a_changed_project_is_synced_again(clone: Clone, name: str) -> None:
    clone.dev("setup")
    with (clone.root / name).open("a") as file:
        file.write("# changed\n")
    assert clone.dev("setup").status == 0
    assert clone.calls == ["venv", "sync", "sync"]


def test_a_moved_clone_gets_a_new_environment(clone: Clone) -> None:
    """Since scripts in .venv name their interpreter by its path."""
    clone.dev("setup")
    moved = Clone(clone.root.with_name("moved"), clone.machine, clone.calls_file)
    clone.root.rename(moved.root)
    assert moved.dev("ring").report["prefix"] == str(moved.root / ".venv")
    assert clone.calls == ["venv", "sync", "venv", "sync"]


def test_another_python_gets_a_new_environment(clone: Clone) -> None:
    clone.dev("setup")
    stamp = clone.root / ".venv" / "sessionring-stamp"
    version = ".".join(map(str, sys.version_info[:3]))
    assert version in stamp.read_text("utf-8")
    stamp.write_text(stamp.read_text("utf-8").replace(version, "3.11.0"), encoding="utf-8")
    assert clone.dev("setup").status == 0
    assert clone.calls == ["venv", "sync", "venv", "sync"]


def test_a_python_that_went_away_is_replaced(clone: Clone) -> None:
    clone.dev("setup")
    for python in (clone.root / ".venv" / "bin").glob("python*"):
        python.unlink()
        python.symlink_to("/nowhere/python3")
    assert clone.dev("ring").report["arguments"] == ["ring"]


def test_a_half_made_environment_is_made_anew(clone: Clone) -> None:
    broken = clone.dev("setup", STAND_IN_FAILS="yes")
    assert broken.status == 1
    assert "could not sync" in broken.chatter
    (clone.root / ".venv" / "debris").touch()
    assert clone.dev("ring").report["arguments"] == ["ring"]
    assert clone.calls == ["venv", "sync", "venv", "sync"]
    assert not (clone.root / ".venv" / "debris").exists()


def test_an_interrupted_sync_of_a_whole_environment_is_not_taken_for_whole(clone: Clone) -> None:
    clone.dev("setup")
    (clone.root / "uv.lock").write_text("# changed\n")
    assert clone.dev("setup", STAND_IN_FAILS="yes").status == 1
    (clone.root / "uv.lock").write_text("# uv.lock\n")
    assert clone.dev("setup").status == 0
    assert clone.calls == ["venv", "sync", "sync", "venv", "sync"]


def test_two_at_once_set_up_once(clone: Clone) -> None:
    both = [
        subprocess.Popen(
            [clone.root / "dev", "ring"],
            env=clone.environment(STAND_IN_SECONDS="0.5"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    ended = [(*running.communicate(timeout=60), running.returncode) for running in both]
    assert [status for _, _, status in ended] == [7, 7], ended
    assert clone.calls == ["venv", "sync"]
    assert sum("waiting for another set-up" in chatter for _, chatter, _ in ended) == 1


def test_the_lock_of_a_killed_set_up_holds_nobody_up(clone: Clone) -> None:
    with subprocess.Popen(
        [clone.root / "dev", "setup"],
        env=clone.environment(STAND_IN_SECONDS="600"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as running:
        while "sync" not in clone.calls:
            time.sleep(0.01)
        os.killpg(running.pid, 9)
    done = clone.dev("ring")
    assert done.report["arguments"] == ["ring"]
    assert "waiting" not in done.chatter


def test_without_python_it_says_what_to_install(clone: Clone) -> None:
    clone.tool("apt-get", "exit 0")
    (clone.machine / "python3").unlink()
    done = clone.dev("test")
    assert (done.status, done.output) == (1, "")
    assert "there is no python3" in done.chatter
    assert done.chatter.endswith("apt-get install python3 python3-venv\n")


def test_with_an_old_python_it_says_what_to_install(clone: Clone) -> None:
    clone.tool("apt-get", "exit 0")
    clone.tool("python3", 'case "$*" in *version_info*) exit 1 ;; *) echo 3.9.2 ;; esac')
    done = clone.dev("test")
    assert (done.status, done.output) == (1, "")
    assert "python3 is 3.9.2, and sessionring needs 3.11 or newer" in done.chatter
    assert done.chatter.endswith("apt-get install python3.11 python3.11-venv\n")


def test_a_newer_python_beside_an_old_one_is_used(clone: Clone) -> None:
    (clone.machine / "python3").rename(clone.machine / "python3.12")
    clone.tool("python3", 'case "$*" in *version_info*) exit 1 ;; *) echo 3.9.2 ;; esac')
    assert clone.dev("ring").report["arguments"] == ["ring"]


@pytest.mark.parametrize("broken", ["*ensurepip*", "venv"])
def test_without_venv_it_says_what_to_install_and_leaves_nothing(clone: Clone, broken: str) -> None:
    """``ensurepip`` may be missing, or be there without the wheels that it installs."""
    clone.tool("apt-get", "exit 0")
    (clone.machine / "uv").unlink()
    clone.python_without(broken)
    done = clone.dev("test")
    assert (done.status, done.output) == (1, "")
    version = ".".join(map(str, sys.version_info[:2]))
    assert done.chatter.endswith(f"apt-get install python{version}-venv\n")
    assert not (clone.root / ".venv").exists()


def test_without_apt_get_the_advice_names_no_command(clone: Clone) -> None:
    (clone.machine / "python3").unlink()
    done = clone.dev("test")
    assert done.status == 1
    assert done.chatter.endswith("install Python 3.11 or newer\n")


@pytest.mark.parametrize("version", ["uv 0.4.30", "", "pyenv: uv: command not found"])
def test_a_uv_that_is_too_old_or_does_not_answer_counts_as_missing(
    clone: Clone, version: str
) -> None:
    clone.python_without("*ensurepip*")
    done = clone.dev("test", STAND_IN_VERSION=version)
    assert done.status == 1
    assert clone.calls == []


def test_help_sets_nothing_up(clone: Clone) -> None:
    for arguments in ((), ("help",), ("--help",)):
        done = clone.dev(*arguments)
        assert done.status == 0
        assert done.output.startswith("usage: ./dev COMMAND")
    assert not (clone.root / ".venv").exists()


def test_an_unknown_command_is_refused_before_any_set_up(clone: Clone) -> None:
    done = clone.dev("rnig")
    assert (done.status, done.output) == (2, "")
    assert done.chatter.startswith("dev: no command 'rnig'\nusage:")
    assert not (clone.root / ".venv").exists()
