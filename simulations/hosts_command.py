"""``python -m simulations hosts``: a real ring on hosts of its own, whose ways are cut under load.

Rule: exit status as that of ``ring``; 2 also where this machine does not let hosts be made,
or their ways be cut.
"""

import argparse
import sys
from typing import Final

from simulations.arguments import USAGE_STATUS
from simulations.ring_command import add_options, run_and_tell

NAME: Final = "ring on hosts"
PARTS: Final = ("one-way", "pair", "split", "clients", "cable", "switch", "reset", "slow")


def add_parser(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to those of the command line."""
    hosts = commands.add_parser(
        "hosts",
        help="run a ring on hosts of its own (network namespaces), and cut their ways under load",
        description=(
            "Runs a ring of real node processes under load, each in a network namespace of its "
            "own: loses what one sends to another, cuts a pair and the ring in two, cuts clients "
            "off, pulls a cable, turns the switch off, resets all connections, slows the network "
            "down. Then checks that every acknowledged change is there. Nothing stays behind. "
            "Takes Linux, root, and ip and nft on PATH (apt-get install iproute2 nftables)."
        ),
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add_options(hosts, PARTS)
    hosts.set_defaults(run=run_hosts)


def run_hosts(parsed: argparse.Namespace) -> int:
    """Run the command; return its exit status."""
    from simulations.host_network import missing_here
    from simulations.hosts import run

    if (missing := missing_here()) is not None:
        print(f"{NAME}: {missing}", file=sys.stderr)
        return USAGE_STATUS
    return run_and_tell(parsed, NAME, PARTS, run)
