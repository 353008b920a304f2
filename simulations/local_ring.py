"""The local ring: real nodes under load, to which a script does what happens to nodes.

Rules:
- Whatever ends the run, no process stays behind, and no directory but the one to keep.
- In the end every session is read once more by a client that knows nothing yet.
"""

import resource
import signal
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, Final, TypeVar

import trio
from attrs import define, field, frozen

from ring.messages import Durability
from simulations.host_network import NoNetworkError
from simulations.real_clients import Clients, Load
from simulations.real_nodes import NodeFailedError, RealNodes, open_nodes
from simulations.ring_command import NAME
from simulations.ring_place import Place, open_place
from simulations.ring_script import Part, RingScript
from simulations.ring_tally import Phase, Tally
from simulations.script import Script

FILES_BESIDE_CONNECTIONS: Final = 256

Outcome = TypeVar("Outcome")

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
    parts: frozenset[str] = frozenset(Part)
    """What is played, beside the steady load."""

    @property
    def durability(self) -> Durability:
        """What every change is asked to be held by."""
        return Durability.DISK if self.nodes == 1 else Durability.BACKUP_AND_DISK

    @property
    def load(self) -> Load:
        """What its clients do."""
        return Load(self.seed, self.clients, self.sessions, self.seconds, self.durability)


@define(eq=False)
class Scene:
    """Everything there is to see while a run goes on."""

    options: Options
    nodes: RealNodes
    clients: Clients
    tally: Tally
    began: float
    """By trio's clock."""
    phases: list[str] = field(factory=list)
    """All that will be played or skipped, in order."""
    title: str = NAME


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
    allow_open_files(options)
    with open_place(options.keep) as place:
        return unless_told(lambda: _play(options, place, watcher))


def unless_told(play: Callable[[], Awaitable[Outcome]]) -> Outcome | int:
    """Run ``play``; return what it returns, or the number of the signal that has ended it."""
    try:
        return trio.run(_play_unless_told, play)
    except BaseExceptionGroup as group:
        expected = group.subgroup((NodeFailedError, NoNetworkError, BrokenPipeError))
        if expected is None:
            raise
        raise _first(expected) from None


def allow_open_files(options: Options) -> None:
    """Raise the process's limit as far as it may: each connection is a file."""
    count = FILES_BESIDE_CONNECTIONS + options.clients * options.nodes
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    first = group.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first


async def _play_unless_told(play: Callable[[], Awaitable[Outcome]]) -> Outcome | int:
    """Play, unless a signal says to stop."""
    outcome: Outcome | int = 0
    with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
        async with trio.open_nursery() as nursery:

            async def stop_when_told() -> None:
                nonlocal outcome
                async for number in signals:
                    outcome = number
                    nursery.cancel_scope.cancel()

            nursery.start_soon(stop_when_told)
            outcome = await play()
            nursery.cancel_scope.cancel()
    return outcome


async def _play(options: Options, place: Place, watcher: Watcher) -> Tally:
    tally = Tally()
    async with open_nodes(place, options.nodes) as nodes:
        with history_file(place) as file:
            clients = Clients(options.load, tally, file)
            scene = Scene(options, nodes, clients, tally, trio.current_time())
            on_phase = partial(watcher.on_phase, scene)
            script = RingScript(scene, options.parts, options.seconds, options.seed, on_phase)
            await perform(scene, script, watcher)
    return tally


async def perform(scene: Scene, script: Script, watcher: Watcher) -> None:
    """Start the ring, play the script under load, and read everything once more."""
    nodes, clients = scene.nodes, scene.clients
    scene.phases = script.names
    async with trio.open_nursery() as nursery:
        await nursery.start(watcher.follow, scene)
        watcher.on_started(scene, await nodes.start_ring())
        nursery.start_soon(nodes.watch)
        async with clients.connected(nodes.addresses, nodes.secret):
            await script.play()
            watcher.on_checked(scene, await clients.check())
        nursery.cancel_scope.cancel()
    if nodes.place.kept:
        await nodes.stop(STOP_PATIENCE_S)


def history_file(place: Place) -> AbstractContextManager[IO[str] | None]:
    """Return where each operation is written down, if files are kept."""
    return open(place.logs / "history.jsonl", "w") if place.kept else nullcontext()
