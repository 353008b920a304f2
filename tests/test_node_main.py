"""``sessionring serve`` as a process: ready, stopped, and refused in one line."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
import trio
from local_ring import free_ports

from node import SessionUnavailableError, open_client

PATIENCE_S = 30


class Served:
    """A process of the command, whose lines on standard error are read as they come."""

    def __init__(self, arguments: list[str], environ: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "node", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environ},
            cwd=Path(__file__).parent.parent,
        )
        self.lines: list[str] = []
        self._queue: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_line(self, words: str) -> str:
        """Return the next line with ``words``."""
        while (line := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
            if words in line:
                return line
        raise AssertionError(f"ended without {words!r}: {self.lines}")

    def wait_ended(self) -> int:
        """Return the exit status, with all lines in ``lines``."""
        status = self.process.wait(PATIENCE_S)
        while (line := self._queue.get(timeout=PATIENCE_S)) is not None:
            self.lines.append(line)
        return status


@pytest.fixture
def served() -> Iterator["Launcher"]:
    launcher = Launcher()
    yield launcher
    for each in launcher.processes:
        each.process.kill()
        each.process.wait()
        each._reader.join()
        for pipe in (each.process.stdout, each.process.stderr):
            assert pipe is not None
            pipe.close()


class Launcher:
    """Starts processes, which end with the test."""

    def __init__(self) -> None:
        self.processes: list[Served] = []

    def __call__(self, *arguments: str, **environ: str) -> Served:
        process = Served(list(arguments), environ)
        self.processes.append(process)
        return process


def write_config(directory: Path, names: str = "a") -> tuple[Path, list[str]]:
    """Write a ring's file with a store for each node; return it and the addresses."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(len(names))]
    members = "".join(
        f'[[ring.members]]\nname = "{name}"\naddress = "{address}"\n'
        for name, address in zip(names, addresses, strict=True)
    )
    path = directory / "ring.toml"
    path.write_text(
        f'[ring]\nname = "shop"\n{members}[store]\nurl = "file:{directory}/store-{{name}}"\n'
    )
    return path, addresses


async def save(address: str, **attributes: object) -> str:
    async with open_client(address) as client:
        session = client.sessions.create()
        session.update(attributes)
        receipt = await session.save(durability="disk")
        assert receipt.on_disk
        return session.id


async def read(address: str, session_id: str) -> dict[str, object]:
    async with open_client(address) as client:
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    session = await client.sessions.find(session_id)
                except SessionUnavailableError:
                    continue
                assert session is not None
                return dict(session)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_cleanly_and_what_was_saved_is_there_again(
    number: signal.Signals, tmp_path: Path, served: Launcher
) -> None:
    path, (address,) = write_config(tmp_path)
    node = served("serve", "--config", str(path))
    assert node.wait_line("is ready") == f"sessionring: a is ready, listening at {address}"
    session_id = trio.run(lambda: save(address, x=1))
    node.process.send_signal(number)
    assert node.wait_ended() == 0
    assert "node_stopped node=a" in node.lines[-1]
    assert not any("Traceback" in line for line in node.lines)
    again = served("serve", "--config", str(path), "--log-level", "error")
    again.wait_line("is ready")
    assert trio.run(read, address, session_id) == {"x": 1}
    again.process.send_signal(number)
    assert again.wait_ended() == 0
    assert len(again.lines) == 1, "the ready line is all that is said at level error"


def test_a_node_alone_whose_disk_takes_nothing_says_so_and_fails(
    tmp_path: Path, served: Launcher
) -> None:
    """Else whoever stops it believes that everything is there after the restart."""
    path, (address,) = write_config(tmp_path)
    path.write_text(path.read_text() + '[node]\ndrain = "500ms"\n')
    node = served("serve", "--config", str(path))
    node.wait_line("is ready")
    shutil.rmtree(tmp_path / "store-a")

    async def create() -> None:
        async with open_client(address) as client:
            session = client.sessions.create()
            assert not (await session.save(durability="local")).on_disk

    trio.run(create)
    node.process.send_signal(signal.SIGTERM)
    assert node.wait_ended() == 1
    said = "sessionring: a has stopped, and its disk has not taken everything: sessions=1"
    assert node.lines[-1] == said


def test_what_a_killed_process_acknowledged_is_read_at_its_successor_and_after_its_restart(
    tmp_path: Path, served: Launcher
) -> None:
    path, (a, b, _) = write_config(tmp_path, "abc")
    nodes = {
        name: served("serve", SESSIONRING_CONFIG=str(path), SESSIONRING_NAME=name) for name in "abc"
    }
    for node in nodes.values():
        node.wait_line("is ready")

    async def create() -> str:
        async with open_client(a) as client:
            while (session := client.sessions.create()).id[0] != "a":
                pass
            session["x"] = 1
            assert not (await session.save(durability="backup+disk")).degraded
            return session.id

    session_id = trio.run(create)
    nodes["a"].process.kill()
    nodes["a"].wait_ended()
    assert trio.run(read, b, session_id) == {"x": 1}
    again = served("serve", SESSIONRING_CONFIG=str(path), SESSIONRING_NAME="a")
    again.wait_line("is ready")
    assert trio.run(read, a, session_id) == {"x": 1}


def one_line_of(node: Served) -> str:
    """Return the only line of a node that refused to start."""
    assert node.wait_ended() == 2
    (line,) = [line for line in node.lines if line.startswith("sessionring: ")]
    assert not any("Traceback" in line for line in node.lines)
    return line


def test_it_serves_on_when_nobody_reads_its_log_any_more(tmp_path: Path) -> None:
    """A pipe to a collector of logs may break; sessions must not be lost for it."""
    path, (address,) = write_config(tmp_path)
    reader, writer = os.pipe()
    node = subprocess.Popen(
        [sys.executable, "-m", "node", "serve", "--config", str(path)],
        stderr=writer,
        cwd=Path(__file__).parent.parent,
    )
    os.close(writer)
    os.close(reader)
    try:
        session_id = trio.run(lambda: save(address, x=1))
        assert trio.run(read, address, session_id) == {"x": 1}
        node.terminate()
        assert node.wait(PATIENCE_S) == 0
    finally:
        node.kill()
        node.wait()


def test_a_locked_store_is_refused_by_its_directory(tmp_path: Path, served: Launcher) -> None:
    path, _ = write_config(tmp_path)
    served("serve", "--config", str(path)).wait_line("is ready")
    line = one_line_of(served("serve", "--config", str(path)))
    assert str(tmp_path / "store-a") in line


def test_an_address_in_use_is_refused_by_name_with_the_remedy(
    tmp_path: Path, served: Launcher
) -> None:
    path, (address,) = write_config(tmp_path)
    served("serve", "--config", str(path)).wait_line("is ready")
    path.write_text(path.read_text().replace("store-{name}", "another-{name}"))
    line = one_line_of(served("serve", "--config", str(path)))
    assert address in line
    assert "stop the process" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "/nowhere/ring.toml"], "/nowhere/ring.toml"),
        ([], "SESSIONRING_CONFIG"),
        (["--config", "{path}", "--name", "z"], "'z'"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_one_line(
    arguments: list[str], words: str, tmp_path: Path, served: Launcher
) -> None:
    path, _ = write_config(tmp_path, "abc")
    given = [argument.format(path=path) for argument in arguments]
    assert words in one_line_of(served("serve", *given))


def test_a_wrong_value_is_named_with_its_key(tmp_path: Path, served: Launcher) -> None:
    path, _ = write_config(tmp_path)
    path.write_text(path.read_text() + "[node]\nheartbeat = -1\n")
    assert "node.heartbeat" in one_line_of(served("serve", "--config", str(path)))


def test_a_node_that_nobody_could_reach_is_not_served(tmp_path: Path, served: Launcher) -> None:
    """A ring of one may have no address where it is embedded; a process of its own needs one."""
    path = tmp_path / "ring.toml"
    path.write_text('[ring]\nname = "shop"\n[[ring.members]]\nname = "a"\n')
    line = one_line_of(served("serve", "--config", str(path)))
    assert "ring.members[0].address of 'a' is missing" in line
    assert "node.listen" in line
    assert "node.unix" in line


def test_a_wrong_option_is_status_two(served: Launcher) -> None:
    assert served("serve", "--no-such-option").wait_ended() == 2
    assert served().wait_ended() == 2


def test_the_version_is_told_on_standard_output(served: Launcher) -> None:
    node = served("--version")
    assert node.wait_ended() == 0
    assert node.process.stdout is not None
    assert node.process.stdout.read().startswith("sessionring 0.")
