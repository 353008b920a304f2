"""A store killed at every call of a save in turn keeps every session that it said it has.

On a simulated disk the power goes too, and with it what was not synced. On this machine strace
kills a real process at its n-th call of each system call that changes a disk.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import NoReturn

import pytest
from stores import IDS as ALL_IDS
from stores import loaded, open_store, open_store_at

from ring.effects import Notice
from ring.identity import SessionId
from simulations.whole.files import Killed, SimulatedDisk

IDS = ALL_IDS[:3]


def saves() -> Iterator[list[tuple[SessionId, bytes | None]]]:
    """Yield batches that create, replace, write over replaced files, and delete."""
    for version in range(4):
        text = b"%d " % version
        yield [(session_id, text * (20 + version)) for session_id in IDS[:2]]
        yield [(IDS[2], None if version % 2 else text)]


# --- with the loss of what was not synced -------------------------------------------------------


def save_until_killed(disk: SimulatedDisk) -> tuple[dict[SessionId, bytes | None], ...]:
    """Return what the store said it has, and what it was given and may have."""
    said: dict[SessionId, bytes | None] = {}
    given: dict[SessionId, bytes | None] = {}
    try:
        store, _ = open_store(disk)
        for batch in saves():
            given = {**said, **dict(batch)}
            assert store.write(batch, 1) == {}
            said = given
        store.close()
    except Killed:
        pass
    return said, given


def calls_of_all_saves() -> int:
    disk = SimulatedDisk()
    save_until_killed(disk)
    return len(disk.calls)


@pytest.mark.parametrize("killed_at", range(1, calls_of_all_saves() + 2))
def test_whatever_call_is_the_last_before_a_loss_of_power(killed_at: int) -> None:
    for seed in range(40):
        disk = SimulatedDisk(killed_at=killed_at)
        said, given = save_until_killed(disk)
        disk.lose_power(Random(seed))
        store, notices = open_store(disk)
        found = loaded(store)
        for session_id in IDS:
            assert found.get(session_id) in (said.get(session_id), given.get(session_id))
        assert {notice.event for notice in notices} <= {"store_leftovers_removed"}


# --- for real -----------------------------------------------------------------------------------

NO_FILE = 1_000_000

# How to make each system call that changes a disk, or its descriptors, so that it fails.
FAILING: dict[str, Callable[[], object]] = {
    "openat": lambda: os.open("no-file", os.O_RDONLY, dir_fd=NO_FILE),
    "write": lambda: os.write(NO_FILE, b""),
    "ftruncate": lambda: os.ftruncate(NO_FILE, 0),
    "fadvise64": lambda: os.posix_fadvise(NO_FILE, 0, 0, os.POSIX_FADV_NORMAL),
    "fsync": lambda: os.fsync(NO_FILE),
    "close": lambda: os.close(NO_FILE),
    "linkat": lambda: os.link("no-file", "no-name", src_dir_fd=NO_FILE, dst_dir_fd=NO_FILE),
    "renameat": lambda: os.rename("no-file", "no-name", src_dir_fd=NO_FILE, dst_dir_fd=NO_FILE),
    "unlinkat": lambda: os.unlink("no-file", dir_fd=NO_FILE),
}

KILLED_AT = 100
"""strace kills each process at this call of each kind, which is more than the saves make."""


def run_victims(directory: Path) -> None:
    """Fork a process to be killed at each call of each kind in turn, until one outlives its saves.

    It runs in a process of its own. strace counts anew in each fork, so one strace does for all.
    """
    # Where only a parent may trace, this lets a sibling: the option is PR_SET_PTRACER, ANY.
    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1))
    print("ready", flush=True)
    sys.stdin.readline()
    for call in FAILING:
        for number in range(1, KILLED_AT):
            victim = os.fork()
            if victim == 0:
                save_and_be_killed(directory, call, number)
            code = os.waitstatus_to_exitcode(os.waitpid(victim, 0)[1])
            if code == 0:
                break
            if code != -signal.SIGKILL:
                sys.exit(f"the process to be killed at {call} number {number} ended with {code}")
        else:
            sys.exit(f"the saves make more than {KILLED_AT} calls of {call}")


def save_and_be_killed(directory: Path, call: str, number: int) -> NoReturn:
    """Save, saying after each batch that it is durable, until call ``number`` of that kind."""
    code = 1
    try:
        for _ in range(KILLED_AT - number):
            with contextlib.suppress(OSError):
                FAILING[call]()
        name = f"{call}-{number}"
        store = open_store_at(directory / name)
        for batch_number, batch in enumerate(saves()):
            if not store.write(batch, 1):
                os.write(1, f"{name} {batch_number}\n".encode())
        store.close()
        code = 0
    finally:
        os._exit(code)


def require_strace() -> str:
    """Return strace's path; where the tests decide over a change, it must be there."""
    strace = shutil.which("strace")
    if strace is None:
        cannot_kill("there is no strace on PATH (apt-get install strace)")
    return strace


def cannot_kill(why: str) -> NoReturn:
    reason = f"killing a process at a system call takes strace and ptrace: {why}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def kill_at_every_call(strace: str, directory: Path) -> dict[str, list[int]]:
    """Return, for each process that ran, the batches that it said are durable."""
    program = (
        f"import {__name__} as test, pathlib, sys; test.run_victims(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    injections = [f"--inject={call}:signal=SIGKILL:when={KILLED_AT}" for call in FAILING]
    with subprocess.Popen(
        [sys.executable, "-c", program, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as parent:
        assert parent.stdin is not None
        assert parent.stdout is not None
        assert parent.stdout.readline() == "ready\n"
        tracing = [strace, "-f", "-o", os.devnull, f"--trace={','.join(FAILING)}", *injections]
        with subprocess.Popen(
            [*tracing, "-p", str(parent.pid)], stderr=subprocess.PIPE, text=True
        ) as tracer:
            assert tracer.stderr is not None
            answer = tracer.stderr.readline()
            if "attached" not in answer:
                parent.kill()
                cannot_kill(answer.strip())
            printed, _ = parent.communicate("go\n")
    assert parent.returncode == 0
    said: dict[str, list[int]] = {path.name: [] for path in directory.iterdir()}
    for line in printed.splitlines():
        name, batch_number = line.split()
        said[name].append(int(batch_number))
    return said


def test_whatever_system_call_a_process_is_killed_at(tmp_path: Path) -> None:
    batches = list(saves())
    runs = kill_at_every_call(require_strace(), tmp_path)
    for name, durable in runs.items():
        assert durable == list(range(len(durable)))
        said: dict[SessionId, bytes | None] = {}
        for batch_number in durable:
            said.update(batches[batch_number])
        given = dict(said)
        for batch in batches[len(durable) : len(durable) + 1]:
            given.update(batch)
        notices: list[Notice] = []
        store = open_store_at(tmp_path / name, notices)
        found = loaded(store)
        store.close()
        for session_id in IDS:
            possible = (said.get(session_id), given.get(session_id))
            assert found.get(session_id) in possible, name
        assert {notice.event for notice in notices} <= {"store_leftovers_removed"}, name
    # Teeth: each kind of call has killed, and each batch was once the last to be said durable.
    kinds = Counter(name.rpartition("-")[0] for name in runs)
    assert set(kinds) == set(FAILING)
    assert all(number > 1 for number in kinds.values())
    assert {len(durable) for durable in runs.values()} == set(range(len(batches) + 1))
