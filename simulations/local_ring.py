"""The local ring: real nodes under load, one killed and brought back, then all of them at once.

Rules:
- Kills happen under load, and without warning.
- A fault window is open from the kill until the ring is expected to be as good as before: until
  every probe has succeeded, if enough members live to hold every copy; else until the killed
  node is ready again.
- In the end every session is read once more by a client that knows nothing yet.
"""

import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from pathlib import Path
from random import Random
from typing import IO, Final

import trio
from attrs import define, frozen

from ring.messages import Durability
from simulations.real_clients import Clients, Load
from simulations.real_nodes import COPIES, NodeFailedError, RealNodes, open_nodes
from simulations.ring_place import Place, open_place
from simulations.ring_probes import Probes
from simulations.ring_tally import Phase, Tally

STEADY: Final = "steady load"
TAKEOVER: Final = "kill and takeover"
RECOVERY: Final = "restart and recovery"
RESTART: Final = "whole ring from disk"

SHARES: Final = {STEADY: 0.4, TAKEOVER: 0.2, RECOVERY: 0.2, RESTART: 0.2}
"""How the time of the load is divided."""

FILES_BESIDE_CONNECTIONS: Final = 256

STOP_PATIENCE_S: Final = 5.0
"""What nodes whose files are kept get to stop by themselves."""


@frozen
class Options:
    """What the user asked for."""

    nodes: int
    sessions: int
    clients: int
    seconds: float
    seed: int
    keep: Path | None
    json: bool

    @property
    def durability(self) -> Durability:
        """What every change is asked to be held by."""
        return Durability.DISK if self.nodes == 1 else Durability.BACKUP_AND_DISK


@define(eq=False)
class Scene:
    """Everything there is to see while a run goes on."""

    options: Options
    nodes: RealNodes
    clients: Clients
    tally: Tally
    began: float
    """By trio's clock."""


class Watcher:
    """Shows a run to whoever started it; this one shows nothing."""

    async def follow(
        self, scene: Scene, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Show how things are, from before the first start until cancelled in the end."""
        task_status.started()

    def on_started(self, scene: Scene, seconds: float) -> None:
        """All nodes are ready, ``seconds`` after the first was started."""

    def on_phase(self, scene: Scene, phase: Phase) -> None:
        """A phase is over, or was skipped."""

    def on_checked(self, scene: Scene, sessions: int) -> None:
        """Every session was read once more."""


def run(options: Options, watcher: Watcher) -> Tally | int:
    """Play the whole script; return what was counted, or the number of the signal that ended it.

    Whatever happens, no process stays behind, and no directory but the one to keep.

    Raises:
        ConfigError: the directory to keep cannot be used. Definite: nothing was started.
        NodeFailedError: a node ended by itself or did not become ready.
        BrokenPipeError: nobody reads any more what the watcher says.
    """
    _allow_open_files(FILES_BESIDE_CONNECTIONS + options.clients * options.nodes)
    with open_place(options.keep) as place:
        try:
            return trio.run(_play_unless_told, options, place, watcher)
        except BaseExceptionGroup as group:
            expected = group.subgroup((NodeFailedError, BrokenPipeError))
            if expected is None:
                raise
            raise _first(expected) from None


def _allow_open_files(count: int) -> None:
    """Raise the process's limit to ``count``, as far as it may: each connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _play_unless_told(options: Options, place: Place, watcher: Watcher) -> Tally | int:
    """Play, unless a signal says to stop."""
    outcome: Tally | int = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_when_told() -> None:
                nonlocal outcome
                async for number in signals:
                    outcome = number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_when_told)
            outcome = await _play(options, place, watcher)
            nursery.cancel_scope.cancel()
    return outcome


async def _play(options: Options, place: Place, watcher: Watcher) -> Tally:
    load = Load(
        options.seed, options.clients, options.sessions, options.seconds, options.durability
    )
    tally = Tally()
    async with open_nodes(place, options.nodes) as nodes:
        with _history_file(place) as history_file:
            clients = Clients(load, tally, history_file)
            scene = Scene(options, nodes, clients, tally, trio.current_time())
            async with trio.open_nursery() as nursery:
                await nursery.start(watcher.follow, scene)
                watcher.on_started(scene, await nodes.start_ring())
                nursery.start_soon(nodes.watch)
                async with clients.connected(nodes.addresses, nodes.secret):
                    await _Script(scene, watcher).play()
                    watcher.on_checked(scene, await clients.check())
                nursery.cancel_scope.cancel()
        if place.kept:
            await nodes.stop(STOP_PATIENCE_S)
    return tally


def _history_file(place: Place) -> AbstractContextManager[IO[str] | None]:
    return open(place.logs / "history.jsonl", "w") if place.kept else nullcontext()


class _Script:
    """The phases, one after the other, while the clients go on and on."""

    def __init__(self, scene: Scene, watcher: Watcher) -> None:
        self._scene = scene
        self._watcher = watcher
        self._nodes = scene.nodes
        self._tally = scene.tally
        self._random = Random(f"{scene.options.seed}/kills".encode())
        self._progress = 0.0
        self._alone = scene.options.nodes == 1
        played = 1 - SHARES[TAKEOVER] if self._alone else 1.0
        self._unit_s = scene.options.seconds / played

    async def play(self) -> None:
        victim = self._random.choice(self._nodes.names)
        async with trio.open_nursery() as loading:
            loading.start_soon(self._scene.clients.run)
            async with self._phase(STEADY):
                await self._scene.clients.wait_created()
            if self._alone:
                phase = self._tally.begin(TAKEOVER)
                phase.skipped = "needs 2 members or more: nobody else holds the sessions"
                self._watcher.on_phase(self._scene, phase)
            else:
                async with self._phase(TAKEOVER) as phase:
                    await self._take_over(phase, victim)
            async with self._phase(RECOVERY) as phase:
                await self._recover(phase, victim)
            async with self._phase(RESTART) as phase:
                await self._restart(phase)
            self._scene.clients.stop()

    @asynccontextmanager
    async def _phase(self, name: str) -> AsyncIterator[Phase]:
        """Play a phase: what the block does, and then load for its share of the time."""
        phase = self._tally.begin(name)
        began = trio.current_time()
        self._progress += SHARES[name] * self._unit_s / self._scene.options.seconds
        self._scene.clients.progress_max = min(1.0, self._progress)
        yield phase
        await trio.sleep(SHARES[name] * self._unit_s)
        phase.seconds = trio.current_time() - began
        self._watcher.on_phase(self._scene, phase)

    async def _take_over(self, phase: Phase, victim: str) -> None:
        async with self._killed(phase, victim):
            await self._nodes.wait_acting(victim)
        if self._scene.options.nodes > COPIES:
            self._tally.close_window(self._scene.clients.now())
        phase.remark = f"{victim} killed, {self._nodes.acting[victim]} answers for it"

    async def _recover(self, phase: Phase, victim: str) -> None:
        self._tally.open_window()
        if self._alone:
            async with self._killed(phase, victim):
                phase.recovery_s = await self._nodes.start(victim)
            phase.remark = f"{victim} killed, and ready again from its own disk"
        else:
            phase.recovery_s = await self._nodes.start(victim)
            phase.remark = f"{victim} ready again"
        self._tally.close_window(self._scene.clients.now())

    async def _restart(self, phase: Phase) -> None:
        async with self._killed(phase, *self._nodes.names):
            phase.recovery_s = await self._nodes.start(*self._nodes.names)
        self._tally.close_window(self._scene.clients.now())
        phase.remark = "all killed, and ready again from disk"

    @asynccontextmanager
    async def _killed(self, phase: Phase, *names: str) -> AsyncIterator[None]:
        """Kill members, and stay until clients have again what these were the homes of."""
        probes = Probes(self._scene.clients, frozenset(names), self._random)
        self._tally.open_window()
        killed_at = self._nodes.kill(*names)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(probes.run, killed_at)
            yield
        phase.readable_ms, phase.unavailable_ms = probes.readable_ms, probes.unavailable_ms
