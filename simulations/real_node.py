"""One member of a real ring: its process, life after life, and what it says in its log.

Rules:
- A node is what a user would start: ``python -m node serve`` with the ring's configuration.
- Another process writes down what it says, so that its log goes on when its disk is full.
"""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Sequence
from enum import StrEnum
from io import BufferedReader
from typing import IO, Final

import trio
from attrs import define, field

from simulations.ring_place import Place

_LOG_TAIL_LINES: Final = 8


class State(StrEnum):
    """What a node is, as its process and its log tell."""

    DOWN = "down"
    STOPPED = "stopped"
    CUT_OFF = "cut off"
    RECOVERING = "recovering"
    READY = "ready"


@define(eq=False)
class RealNode:
    """One member, through all its lives."""

    name: str
    place: Place
    within: Sequence[str] = ()
    """What its process is started by: nothing, or a command that takes it somewhere else."""
    state: State = State.DOWN
    process: trio.Process | None = None
    started_at: float = 0.0
    ready_after_s: float | None = None
    """Seconds from the start of its last life until it said that it was ready."""
    settled: bool = False
    """It has said, since the last fault, that another member may be lost."""
    said: set[str] = field(factory=set)
    """The events in its log that somebody waits for."""
    _scribe: trio.Process | None = None
    """Writes what the process says into its log."""
    _log: BufferedReader | None = None
    _unfinished: bytes = b""

    async def start(self) -> None:
        """Start a process."""
        path = self.place.logs / f"{self.name}.log"
        with open(path, "ab") as log:  # noqa: ASYNC230 - opening a file here waits for nothing
            self._log = self._log or open(path, "rb")  # noqa: ASYNC230, SIM115 - closed in aclose
            self.state, self.ready_after_s = State.RECOVERING, None
            self.started_at = trio.current_time()
            reading, writing = os.pipe()
            try:
                self._scribe = await self._open(["cat"], reading, log)
                self.process = await self._open(
                    [
                        *self.within,
                        *(sys.executable, "-m", "node", "serve"),
                        *("--config", os.fspath(self.place.config), "--name", self.name),
                    ],
                    subprocess.DEVNULL,
                    writing,
                )
            finally:
                os.close(reading)
                os.close(writing)

    async def _open(self, command: list[str], stdin: int, stdout: int | IO[bytes]) -> trio.Process:
        return await trio.lowlevel.open_process(
            command,
            stdin=stdin,
            stdout=stdout,
            stderr=subprocess.STDOUT,
            env={k: v for k, v in os.environ.items() if not k.startswith("SESSIONRING_")},
            process_group=self.place.process_group,
        )

    def tell(self, number: signal.Signals) -> None:
        """Send the process a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def limit_files(self, size: int) -> None:
        """Let no file that the process writes grow beyond ``size`` bytes."""
        assert self.process is not None
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def unlimit_files(self) -> None:
        """Let files grow as far as they may."""
        assert self.process is not None
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (hard, hard))

    async def forget(self, process: trio.Process) -> None:
        """Wait until a process of this member is gone, with its ports and its locks."""
        with trio.CancelScope(shield=True):
            await process.wait()
            if self._scribe is not None:
                await self._scribe.wait()
        # What it still said must not be taken for the words of its next life.
        if self._log is not None:
            self._log.read()
        self._unfinished = b""

    def close(self) -> None:
        """Give up the log."""
        if self._log is not None:
            self._log.close()

    def new_lines(self) -> tuple[list[str], int | None]:
        """Return what it has said since, and its exit status once it has ended by itself."""
        if self.process is None or self._log is None:
            return [], None
        status = self.process.returncode
        if status is not None and self._scribe is not None and self._scribe.poll() is None:
            return [], None  # Its last words are still being written down.
        *lines, self._unfinished = (self._unfinished + self._log.read()).split(b"\n")
        return [line.decode(errors="replace") for line in lines], status

    def log_tail(self) -> str:
        """Return the end of its log, in words for an error."""
        text = (self.place.logs / f"{self.name}.log").read_text(errors="replace")
        lines = text.splitlines()[-_LOG_TAIL_LINES:]
        return "; its log ends:\n  " + "\n  ".join(lines) if lines else ""
