"""A ring on hosts of its own: real nodes in network namespaces, under load, whose ways are cut.

Rules:
- Whatever ends the run, no process and no namespace stays behind, and no directory but the one to
  keep.
- The histories are judged as in simulation: what is out of reach during a cut is excused, nothing
  afterwards.
"""

from functools import partial

import trio

from node.transport import SocketTransport
from simulations.budget import Budget
from simulations.host_network import SIDES, HostNetwork
from simulations.host_nodes import open_host_nodes
from simulations.hosts_command import NAME
from simulations.hosts_script import HostsScript, Site
from simulations.judge import Judge
from simulations.local_ring import (
    Options,
    Scene,
    Watcher,
    allow_open_files,
    history_file,
    perform,
    unless_told,
)
from simulations.namespaces import remove_leftovers, this_process
from simulations.real_clients import Clients
from simulations.real_nodes import COPIES, NAMES
from simulations.ring_place import Place, open_place
from simulations.ring_tally import Tally


def run(options: Options, watcher: Watcher) -> Tally | int:
    """Play the whole script; return what was counted, or the number of the signal that ended it.

    The calling thread stays in the network of the hosts, of which nothing is left.

    Raises:
        ConfigError: the directory to keep cannot be used. Definite: nothing was started.
        NoNetworkError: this machine does not let the hosts be made, or, later, their ways be cut.
        NodeFailedError: a node ended by itself, or the ring did not become as one again.
        BrokenPipeError: nobody reads any more what the watcher says.
    """
    allow_open_files(options)
    remove_leftovers()
    prefix = this_process().prefix
    network = HostNetwork(NAMES[: options.nodes], prefix)
    with open_place(options.keep, prefix) as place:
        network.make()
        network.enter()
        return unless_told(lambda: _play(options, place, network, watcher))


async def _play(options: Options, place: Place, network: HostNetwork, watcher: Watcher) -> Tally:
    tally, judge = Tally(), Judge(Budget(min(COPIES, options.nodes)))
    sides = [network.hosts.addresses[side] for side in SIDES]
    async with open_host_nodes(place, network) as nodes:
        with history_file(place) as file:
            clients = Clients(
                options.load,
                tally,
                file,
                judge=judge,
                transport_of=lambda number: SocketTransport(from_host=sides[number % len(sides)]),
            )
            scene = Scene(options, nodes, clients, tally, trio.current_time(), title=NAME)
            script = HostsScript(
                Site(nodes, network, judge),
                scene,
                options.parts,
                options.seconds,
                options.seed,
                partial(watcher.on_phase, scene),
            )
            await perform(scene, script, watcher)
    return tally
