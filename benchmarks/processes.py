"""Processes of this benchmark's own, which are asked for one thing at a time.

Rules:
- A question and its answer are a line of JSON each. Nobody reads or writes while something is
  measured, so that the asking costs nothing then.
- A process that does not answer in time, or ends, is an error that shows what it said last.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.pinning import threads

ROOT: Final = Path(__file__).resolve().parent.parent
ANSWER_TIMEOUT_S: Final = 600.0


class WorkerError(Exception):
    """A process of the benchmark has ended, or does not answer."""


class Worker:
    """A process that answers questions; see ``benchmarks.answering``.

    Args:
        module: what it runs.
        arguments: for its command line.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._words = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SESSIONRING_")}
        environment["PYTHONPATH"] = os.fspath(ROOT)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            cwd=ROOT,
            env=environment,
        )
        self._unread = b""

    @property
    def id(self) -> int:
        """The process's number."""
        return self._process.pid

    def ask(self, task: str, **arguments: object) -> Any:
        """Have it do something; return its answer."""
        self.tell(task, **arguments)
        return self.answer()

    def tell(self, task: str, **arguments: object) -> None:
        """Have it do something, whose ``answer`` is read later."""
        assert self._process.stdin is not None
        line = json.dumps({"task": task, "arguments": arguments})
        try:
            self._process.stdin.write(line.encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._error("has ended") from error

    def answer(self) -> Any:
        """Return what it answers.

        Raises:
            WorkerError: it has ended, or does not answer. It is of no use any more.
        """
        assert self._process.stdout is not None
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        while b"\n" not in self._unread:
            ready, _, _ = select.select([self._process.stdout], [], [], deadline - time.monotonic())
            if not ready:
                raise self._error(f"did not answer within {ANSWER_TIMEOUT_S:g} s")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise self._error("has ended")
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def kill(self) -> None:
        """End it without a word, as a crash does."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        """End it, and give up what it took."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):  # What it was told last was never read.
                pipe.close()
        self._words.close()

    def _error(self, what: str) -> WorkerError:
        self._words.seek(0)
        words = self._words.read().decode(errors="replace").strip()
        command = " ".join(map(str, self._process.args[1:3]))  # type: ignore[index]
        return WorkerError(f"{command} {what}; it said: {words[-2000:] or 'nothing'}")


def cpu_s(process: int) -> float:
    """Return what a process has computed so far, all its threads together, in seconds."""
    total_ns = 0
    for thread in threads(process):
        on_core_ns, _, _ = Path(f"/proc/{process}/task/{thread}/schedstat").read_text().split()
        total_ns += int(on_core_ns)
    return total_ns / 1e9


def memory_bytes(process: int) -> int:
    """Return what a process has in memory now."""
    return _status_bytes(process, "VmRSS")


def memory_peak_bytes(process: int) -> int:
    """Return the most that it had, since its start or since ``forget_peak``."""
    return _status_bytes(process, "VmHWM")


def forget_peak(process: int) -> None:
    """Let the peak begin with what it has now."""
    Path(f"/proc/{process}/clear_refs").write_text("5")


def _status_bytes(process: int, name: str) -> int:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return int(value.split()[0]) * 1024
    raise AssertionError(f"/proc/{process}/status has no {name}")
