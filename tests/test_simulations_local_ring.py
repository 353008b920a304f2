"""The local ring as a user runs it: honest runs, a lie that is found, and nothing left behind.

Every run has a temporary directory and a mark in its environment of its own, by which its files
and processes are known, whoever made them.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from node import NodeConfig
from simulations.__main__ import main

ROOT: Final = Path(__file__).resolve().parent.parent
RUN_LIMIT_S: Final = 120.0
GONE_LIMIT_S: Final = 30.0
MARK: Final = "LOCAL_RING_OF_TEST"

COUNTS: Final = (
    *("sessions", "attempted", "acknowledged", "degraded"),
    *("lost", "stale", "resurrected", "refused", "unknown"),
)
PHASES: Final = [
    *("steady load", "kill and takeover", "its successor too"),
    *("restart and recovery", "full disk", "one more, one fewer", "whole ring from disk"),
]
PARTS: Final = ("--parts", "kill,full-disk,resize,restart")

LIE: Final = '''
"""Nodes that count changes as merged, and so acknowledge them as held, without merging them."""
import ring.replication

def on_changes(self, inbound, peer, changes, now):
    inbound.merged += len(changes.flat) // 3
    self._links.wake(inbound)

ring.replication.Replication.on_changes = on_changes
'''


class Run:
    """A run of the script in a place of its own, and what it leaves there."""

    def __init__(self, place: Path, *arguments: str, path: str | None = None) -> None:
        self.place = place
        self.temporary = place / "temporary"
        self.temporary.mkdir(parents=True)
        environ = {**os.environ, "TMPDIR": str(self.temporary), MARK: str(place)}
        if path is not None:
            environ["PYTHONPATH"] = path
        self.process = subprocess.Popen(
            [sys.executable, "-m", "simulations", "ring", *arguments],
            cwd=ROOT,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        # A run that hangs must end the test, not hold it up for ever.
        self._limit = threading.Timer(RUN_LIMIT_S, self.process.kill)
        self._limit.start()

    def finish(self) -> tuple[int, str, str]:
        """Return the exit status, standard output and standard error."""
        out, err = self.process.communicate()
        self._limit.cancel()
        return self.process.returncode, out, err

    def read_until(self, text: str) -> None:
        """Read lines until one has ``text`` in it."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(f"the script ended before it said {text!r}: {self.finish()}")

    def close(self) -> None:
        self._limit.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def processes(self) -> list[int]:
        """Return the processes that belong to this run."""
        mark = f"{MARK}={self.place}".encode()
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                # Those of others, and those that end meanwhile, cannot be read.
                with contextlib.suppress(OSError):
                    if mark in (entry / "environ").read_bytes().split(b"\0"):
                        found.append(int(entry.name))
        return found

    def wait_gone(self) -> tuple[list[int], list[Path]]:
        """Return what is left of processes and files, when nothing is or too long has passed."""
        deadline = time.monotonic() + GONE_LIMIT_S
        while True:
            left = self.processes(), list(self.temporary.iterdir())
            if left == ([], []) or time.monotonic() > deadline:
                return left
            time.sleep(0.02)


@contextlib.contextmanager
def running(place: Path, *arguments: str, path: str | None = None) -> Iterator[Run]:
    run = Run(place, *arguments, path=path)
    try:
        yield run
    finally:
        run.close()


def check_sums(result: dict[str, Any]) -> None:
    """The counts of the phases add up to those of the run, and none exceeds what contains it."""
    for name in COUNTS:
        assert result[name] == sum(phase[name] for phase in result["phases"]), name
    for counts in (result, *result["phases"]):
        assert counts["acknowledged"] + counts["unknown"] <= counts["attempted"]
        assert counts["degraded"] <= counts["acknowledged"]
    broken = result["lost"] + result["stale"] + result["resurrected"]
    assert result["ok"] is (broken == 0)


def check_times(phase: dict[str, Any], *, killed: bool, started: bool) -> None:
    """Where nobody was killed nobody was missed, and where nobody started nobody recovered."""
    for name in ("unavailable_ms_median", "unavailable_ms_max"):
        assert (phase[name] is not None) is killed, (name, phase)
    if killed:
        assert 0 < phase["unavailable_ms_median"] <= phase["unavailable_ms_max"]
    assert (phase["recovery_s"] is not None) is started, phase


def test_honest_rings_keep_everything_side_by_side_and_say_so_in_json(tmp_path: Path) -> None:
    """Three nodes, and one whose files are kept, at the same time on one machine."""
    kept = tmp_path / "kept"
    load = ("--seconds", "2", "--sessions", "60", "--clients", "6", "--seed", "1", "--json")
    small = (*load, *PARTS)
    with (
        running(tmp_path / "three", *small) as three,
        running(tmp_path / "one", "--nodes", "1", "--keep", str(kept), *small) as one,
    ):
        results = {}
        for run, nodes in ((three, 3), (one, 1)):
            status, out, err = run.finish()
            assert (status, err) == (0, "")
            assert out.count("\n") == 1
            results[nodes] = result = json.loads(out)
            check_sums(result)
            assert result["nodes"] == nodes
            assert 0 < result["sessions"] <= 60
            assert result["acknowledged"] > 60
            assert [phase["name"] for phase in result["phases"]] == PHASES
            assert run.wait_gone() == ([], [])

    steady, takeover, successor, recovery, disk, resize, restart = results[3]["phases"]
    assert [phase["skipped"] for phase in results[3]["phases"]] == [None] * 7
    check_times(steady, killed=False, started=False)
    check_times(takeover, killed=True, started=False)
    check_times(successor, killed=True, started=False)
    check_times(disk, killed=False, started=True)
    check_times(resize, killed=False, started=True)
    assert resize["unknown"] + resize["refused"] == 0
    check_times(recovery, killed=False, started=True)
    check_times(restart, killed=True, started=True)

    steady, takeover, successor, recovery, disk, resize, restart = results[1]["phases"]
    assert takeover["skipped"] == "needs 2 members or more"
    assert successor["skipped"] == "needs 3 members or more"
    assert resize["skipped"] == "needs 2 members or more"
    assert takeover["attempted"] == successor["attempted"] == 0
    check_times(steady, killed=False, started=False)
    check_times(takeover, killed=False, started=False)
    check_times(recovery, killed=True, started=True)
    check_times(restart, killed=True, started=True)
    check_kept(kept, results[1])


def check_kept(directory: Path, result: dict[str, Any]) -> None:
    """What is kept can be read: the configuration by a node, the rest by people."""
    config = NodeConfig.load(directory / "ring.toml", environ={})
    assert config.store_directory == directory / "nodes" / "a"
    assert any(config.store_directory.iterdir())
    assert "is ready" in (directory / "logs" / "a.log").read_text()
    assert (directory / "logs" / "events.log").read_text().count("killed a") == 2
    history = (directory / "logs" / "history.jsonl").read_text()
    rows = [json.loads(line) for line in history.splitlines()]
    changes = [row for row in rows if row["kind"] != "find"]
    assert len(changes) == result["attempted"]
    assert sum(row["outcome"] == "ok" for row in changes) == result["acknowledged"]


def test_nodes_that_acknowledge_before_they_merge_are_found_out(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(LIE)
    load = ("--seconds", "2", "--sessions", "60", "--clients", "6", "--seed", "1", "--json")
    arguments = (*load, "--parts", "kill")
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    with running(tmp_path / "run", *arguments, path=path) as run:
        status, out, err = run.finish()
        result = json.loads(out)
        check_sums(result)
        assert result["lost"] + result["stale"] > 0
        assert result["ok"] is False
        assert status == 1
        assert "BROKEN" in err
        assert run.wait_gone() == ([], [])


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)],
)
def test_a_signal_under_load_leaves_no_process_and_no_directory(
    tmp_path: Path, number: signal.Signals, status: int
) -> None:
    """Even one that the script cannot see: somebody else cleans up then."""
    with running(tmp_path, "--seconds", "60", "--nodes", "2") as run:
        run.read_until("all ready")
        assert len(run.processes()) == 6  # script, cleaner, two nodes and who writes for them
        assert len(list(run.temporary.iterdir())) == 1
        run.process.send_signal(number)
        assert run.finish()[0] == status
        assert run.wait_gone() == ([], [])


def test_a_node_that_ends_by_itself_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    failing = """
import os, sys
if "serve" in sys.orig_argv:
    print("no node today", file=sys.stderr, flush=True)
    os._exit(3)
"""
    (tmp_path / "sitecustomize.py").write_text(failing)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    with running(tmp_path / "run", "--nodes", "2", "--json", path=path) as run:
        status, out, err = run.finish()
        assert (status, out) == (1, "")
        assert "ended with status 3; its log ends:\n  no node today\n" in err
        assert "Traceback" not in err
        assert run.wait_gone() == ([], [])


def test_a_port_that_another_process_took_is_replaced(tmp_path: Path) -> None:
    """The first node that starts finds its port taken, as another run might take it."""
    taking = f"""
import os, sys
if "serve" in sys.orig_argv and not os.path.exists({str(tmp_path / "taken")!r}):
    open({str(tmp_path / "taken")!r}, "w").close()
    print("sessionring: cannot listen at 127.0.0.1:1", file=sys.stderr, flush=True)
    os._exit(2)
"""
    (tmp_path / "sitecustomize.py").write_text(taking)
    path = f"{tmp_path}{os.pathsep}{ROOT}"
    arguments = ("--nodes", "1", "--seconds", "60")
    with running(tmp_path / "run", *arguments, path=path) as run:
        run.read_until("all ready")
        assert (tmp_path / "taken").exists()
        run.process.send_signal(signal.SIGINT)
        status, _, err = run.finish()
        assert (status, err) == (130, "local ring: stopped by SIGINT, and cleaned up\n")
        assert run.wait_gone() == ([], [])


def test_a_reader_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    """As `| head -1` does."""
    with running(tmp_path, "--seconds", "1", "--nodes", "1") as run:
        run.read_until("local ring: 1 node (a)")
        assert run.process.stdout is not None
        run.process.stdout.close()
        assert run.process.wait(RUN_LIMIT_S) == 128 + signal.SIGPIPE
        assert run.process.stderr is not None
        assert run.process.stderr.read() == ""
        assert run.wait_gone() == ([], [])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nodes", "0"), "argument --nodes: '0' cannot be used; give a whole number from 1 to 9"),
        (("--nodes", "10"), "argument --nodes: '10' cannot be used"),
        (("--nodes", "three"), "argument --nodes: 'three' cannot be used"),
        (("--sessions", "0"), "give a whole number from 1 to 100,000"),
        (("--clients", "101"), "give a whole number from 1 to 100"),
        (("--seconds", "0.5"), "argument --seconds: '0.5' cannot be used; give seconds from 1 to"),
        (("--seconds", "nan"), "argument --seconds: 'nan' cannot be used"),
        (("--parts", "kill,pigs"), "argument --parts: 'pigs' cannot be used; give one or more of"),
        (("--seed", "-1"), "argument --seed: '-1' cannot be used"),
        (("--color",), "unrecognized arguments: --color"),
    ],
)
def test_a_wrong_argument_is_refused_by_name_value_and_range(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["ring", *arguments])
    assert refused.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err


def test_a_directory_of_somebody_else_is_refused_and_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("important")
    assert main(["ring", "--keep", str(tmp_path), "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        f"local ring: --keep is {str(tmp_path)!r}, which is not empty and was not made by an "
        "earlier run; name a new or an empty directory\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_a_directory_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("important")
    assert main(["ring", "--keep", str(tmp_path / "file")]) == 2
    assert "cannot be used (File exists)" in capsys.readouterr().err
