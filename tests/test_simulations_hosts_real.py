"""Hosts as the kernel makes them: cuts cut, nothing stays behind, and a ring keeps its promises.

Rules:
- Who waits for something that must not come waits for a moment only; what must come has long.
- Sockets stay in the namespace in which they were made, so that one thread is at all hosts.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import Final, NoReturn

import pytest
import trio

from node.transport import SocketTransport
from simulations.cuts import PORT, Cuts, both_ways
from simulations.host_network import SIDES, HostNetwork, NoNetworkError, missing_here
from simulations.namespaces import HUB, NAMES, Owner, remove_leftovers, started_at, this_process
from simulations.ring_place import Place, open_place
from simulations.slow_ways import open_slow_ways

ROOT: Final = Path(__file__).resolve().parent.parent
MOMENT_S: Final = 0.25
LONG_S: Final = 20.0
RUN_LIMIT_S: Final = 120.0
DELAY_S: Final = 0.3


@pytest.fixture(scope="module", autouse=True)
def hosts_are_possible() -> None:
    if (reason := refusal()) is not None:
        go_without(reason)


def refusal() -> str | None:
    """Return why hosts cannot be made, entered and cut here; None: they can."""
    if (missing := missing_here()) is not None:
        return missing

    async def nothing(ends: Ends) -> None:
        pass

    try:
        at_hosts(nothing)
    except NoNetworkError as error:
        return str(error)
    return None


def go_without(reason: str) -> NoReturn:
    """Skip, but fail where the tests decide over a change."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"hosts cannot be made: {reason}")
    pytest.skip(f"hosts cannot be made: {reason}")


def names_of(prefix: str) -> list[str]:
    """Return the namespaces that there are of a run."""
    return sorted(name for name in os.listdir(NAMES) if name.startswith(prefix))


# --- The network ----------------------------------------------------------------------------


class Ends:
    """Connections between hosts, and what becomes of them."""

    def __init__(self, network: HostNetwork, place: Place, closing: ExitStack) -> None:
        self.network = network
        self.place = place
        self._closing = closing
        self._listeners: dict[str, trio.SocketListener] = {}

    async def listen(self) -> None:
        for host in self.network.hosts.members:
            self.network.enter(host)
            address = self.network.hosts.addresses[host]
            (self._listeners[host],) = await trio.open_tcp_listeners(PORT, host=address)
            self._closing.callback(self._listeners[host].socket.close)

    async def dial(self, one: str, other: str) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Connect; return both ends."""
        self.network.enter(HUB if one in SIDES else one)
        addresses = self.network.hosts.addresses
        near = await trio.open_tcp_stream(
            addresses[other], PORT, local_address=addresses[one] if one in SIDES else None
        )
        self._closing.callback(near.socket.close)
        with trio.fail_after(LONG_S):
            far = await self._listeners[other].accept()
        self._closing.callback(far.socket.close)
        return near, far

    async def is_silent(self, one: str, other: str) -> bool:
        """Return whether nobody answers; else it raises why not, or connects."""
        with trio.move_on_after(MOMENT_S):
            await self.dial(one, other)
            return False
        return True


def at_hosts(
    test: Callable[[Ends], Awaitable[None]], members: tuple[str, ...] = ("a", "b")
) -> None:
    """Run ``test`` on a network of its own, in a thread that may be at its hosts."""
    prefix = f"{this_process().prefix}{next(_numbers)}_"
    network = HostNetwork(members, prefix)

    async def play(place: Place) -> None:
        with ExitStack() as closing, trio.fail_after(2 * LONG_S):
            ends = Ends(network, place, closing)
            await ends.listen()
            await test(ends)

    def run() -> None:
        with open_place(None, prefix) as place:
            network.make()
            trio.run(play, place)

    with ThreadPoolExecutor(1) as thread:
        thread.submit(run).result()
    assert names_of(prefix) == []


_numbers = count(1)


async def passes(source: trio.SocketStream, sink: trio.SocketStream) -> bool:
    """Return whether what one end sends reaches the other one; else it raises, at last."""
    await source.send_all(b"x")
    with trio.fail_after(LONG_S):
        return await sink.receive_some(1) == b"x"


async def is_lost(source: trio.SocketStream, sink: trio.SocketStream) -> bool:
    """Return whether what one end sends does not reach the other one for a while."""
    await source.send_all(b"x")
    with trio.move_on_after(MOMENT_S):
        await sink.receive_some(1)
        return False
    return True


async def is_reset(end: trio.SocketStream) -> None:
    """Return once this end of a connection knows that it is broken."""
    with trio.fail_after(LONG_S):
        try:
            await end.send_all(b"x")
            while await end.receive_some(1):
                pass
        except trio.BrokenResourceError:
            return
    raise AssertionError("the connection has ended in peace")


def test_one_direction_dies_in_silence_and_lives_again() -> None:
    async def test(ends: Ends) -> None:
        near, far = await ends.dial("a", "b")
        assert await passes(near, far)
        await ends.network.cut(Cuts(silent=frozenset({("a", "b")})))
        assert await is_lost(near, far)
        assert await passes(far, near)
        assert await ends.is_silent("a", "b")
        await ends.network.cut(Cuts())
        with trio.fail_after(LONG_S):
            assert await far.receive_some(1) == b"x"

    at_hosts(test)


def test_a_refused_way_resets_what_there_is_and_what_is_dialled() -> None:
    async def test(ends: Ends) -> None:
        near, far = await ends.dial("a", "b")
        await ends.network.cut(Cuts(refused=both_ways("a", "b")))
        with pytest.raises(ConnectionRefusedError):
            await SocketTransport().dial(ends.network.address("b"))
        await is_reset(near)
        await is_reset(far)
        await ends.network.cut(Cuts())
        assert await passes(*await ends.dial("a", "b"))

    at_hosts(test)


def test_a_new_era_resets_what_there_is_and_nothing_else() -> None:
    async def test(ends: Ends) -> None:
        near, far = await ends.dial("a", "b")
        await ends.network.cut(Cuts(era=2))
        later = await ends.dial("a", "b")
        await is_reset(near)
        await is_reset(far)
        assert await passes(*later)

    at_hosts(test)


def test_clients_of_one_side_are_cut_off_and_those_of_the_other_are_not() -> None:
    async def test(ends: Ends) -> None:
        near, far = SIDES
        await ends.network.cut(Cuts(silent=frozenset({(far, "a")})))
        assert await passes(*await ends.dial(near, "a"))
        assert await passes(*await ends.dial(far, "b"))
        assert await ends.is_silent(far, "a")

    at_hosts(test)


def test_a_pulled_cable_cuts_a_host_off_from_everybody_until_it_is_in_again() -> None:
    async def test(ends: Ends) -> None:
        near, far = await ends.dial(SIDES[0], "a")
        await ends.network.plug(["a"])
        assert await is_lost(near, far)
        assert await passes(*await ends.dial(SIDES[0], "b"))
        await ends.network.plug([])
        with trio.fail_after(LONG_S):
            assert await far.receive_some(1) == b"x"

    at_hosts(test)


def test_a_slow_way_is_slow_in_both_directions_and_only_between_members() -> None:
    async def test(ends: Ends) -> None:
        async with open_slow_ways(ends.network, ends.place, DELAY_S):
            await ends.network.cut(Cuts(slow=frozenset({"a", "b"})))
            for one, other, is_slow in (("a", "b", True), (SIDES[0], "b", False)):
                near, far = await ends.dial(one, other)
                for source, sink in ((near, far), (far, near)):
                    began = trio.current_time()
                    assert await passes(source, sink)
                    assert (trio.current_time() - began >= DELAY_S) is is_slow

    at_hosts(test)


# --- Where hosts cannot be made -------------------------------------------------------------


@pytest.mark.parametrize("tool", ["ip", "nft"])
def test_where_the_system_refuses_them_it_is_said_why(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / tool).write_text("#!/bin/sh\necho Operation not permitted >&2\nexit 1\n")
    (tmp_path / tool).chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path), prepend=os.pathsep)
        reason = refusal()
    assert reason is not None
    assert "(Operation not permitted); it takes a machine, or a container that" in reason


@pytest.mark.parametrize(
    ("environ", "outcome"), [("true", pytest.fail.Exception), ("", pytest.skip.Exception)]
)
def test_who_decides_over_a_change_does_not_go_without(
    environ: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", environ)
    with pytest.raises(outcome, match="hosts cannot be made: no root"):
        go_without("no root")


# --- What stays behind ----------------------------------------------------------------------


@contextmanager
def namespace(name: str) -> Iterator[None]:
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)


def test_a_run_removes_what_one_before_it_has_left_and_nothing_else() -> None:
    """That of an owner that is gone, with the processes in it."""
    left, taken = f"{Owner(2**31 - 1, 2).prefix}a", f"{Owner(1, started_at(1) or 0).prefix}a"
    with namespace(left), namespace(taken):
        alone = subprocess.Popen(["ip", "netns", "exec", left, "sleep", "600"])
        wait_until(lambda: os.readlink(f"/proc/{alone.pid}/exe") == os.path.realpath(sleep()))
        assert left in remove_leftovers()
        assert alone.wait(LONG_S) == -signal.SIGKILL
        assert not (NAMES / left).exists()
        assert (NAMES / taken).exists()


def sleep() -> str:
    path = shutil.which("sleep")
    assert path is not None
    return path


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


KILLED = """
import os
import sys
from simulations.host_network import HostNetwork
from simulations.namespaces import NAMES, this_process
from simulations.ring_place import open_place

prefix = this_process().prefix
with open_place(None, prefix) as place:
    HostNetwork(("a",), prefix).make()
    print(sum(name.startswith(prefix) for name in os.listdir(NAMES)), flush=True)
    if sys.argv[1:]:
        os.killpg(place.process_group, 9)
    os.kill(os.getpid(), 9)
"""


def test_whoever_is_killed_leaves_no_namespace_behind() -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], cwd=ROOT, stdout=subprocess.PIPE) as it:
        assert it.communicate()[0] == b"2\n"
    assert it.returncode == -signal.SIGKILL
    wait_until(lambda: names_of(f"sessionring-{it.pid}-") == [])


def test_what_is_left_where_the_cleaner_was_killed_too_is_removed_by_the_next_run() -> None:
    command = [sys.executable, "-c", KILLED, "and its cleaner"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as it:
        assert it.communicate()[0] == b"2\n"
    prefix = f"sessionring-{it.pid}-"

    def left() -> list[Path]:
        return [*NAMES.glob(f"{prefix}*"), *Path(tempfile.gettempdir()).glob(f"{prefix}*")]

    assert len(left()) == 3, "two namespaces and a directory"
    remove_leftovers()
    assert left() == []


# --- A ring ---------------------------------------------------------------------------------


def test_a_ring_keeps_its_promises_while_all_its_connections_are_reset() -> None:
    load = ("--seconds", "1", "--sessions", "20", "--clients", "8", "--seed", "1", "--json")
    process = subprocess.Popen(
        [sys.executable, "-m", "simulations", "hosts", "--nodes", "2", "--parts", "reset", *load],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    out, err = process.communicate(timeout=RUN_LIMIT_S)
    assert (process.returncode, err) == (0, "")
    result = json.loads(out)
    steady, reset = result["phases"]
    assert result["acknowledged"] > 40
    assert result["lost"] + result["stale"] + result["resurrected"] == 0
    assert steady["unknown"] == 0
    assert reset["unknown"] > 0, "a change was under way when its connection was reset"
    assert names_of(f"sessionring-{process.pid}-") == []
