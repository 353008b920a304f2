"""A network of hosts on this machine: a namespace for each, all at one bridge, and what cuts them.

Rules:
- Nothing of it is in the machine's own network: bridge and clients have a namespace as well. So no
  address can collide, and no firewall of the machine's has a say.
- Who has made it enters the hub; from then on its connections start there.
- Whatever ends the run, the janitor removes the namespaces, and with them all else
  (``simulations.ring_janitor``).
"""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from typing import Final

import trio

from ring.errors import ConfigError
from simulations.cuts import PORT, Cuts, Hosts
from simulations.namespaces import HUB, NAMES

SIDES: Final = ("near", "far")
"""Where clients are: at one of two addresses of the hub, so that a cut may part them, too."""

TOOLS: Final = {"ip": "iproute2", "nft": "nftables"}
"""What is run, and the package of Debian that has it."""

_NET: Final = "10.99.0"
_CLONE_NEWNET: Final = 0x40000000


class NoNetworkError(ConfigError):
    """This machine does not let the network be made, or cut. The message has what it said."""


def missing_here() -> str | None:
    """Return what keeps hosts from being made here, with the remedy; None: nothing known."""
    if sys.platform != "linux":
        return "network namespaces are Linux's; run it there"
    if os.geteuid() != 0:
        return "network namespaces take root; run it as root, with sudo for example"
    tools = [tool for tool in TOOLS if shutil.which(tool) is None]
    if tools:
        packages = " ".join(TOOLS[tool] for tool in tools)
        return f"there is no {' and no '.join(tools)} on PATH; apt-get install {packages}"
    return None


def hosts_of(members: Sequence[str]) -> Hosts:
    """Return the addresses of members, from .1 on, and of the clients."""
    addresses = {name: f"{_NET}.{number}" for number, name in enumerate(members, 1)}
    addresses |= {side: f"{_NET}.{number}" for number, side in enumerate(SIDES, 101)}
    return Hosts(addresses, tuple(members))


def commands(hosts: Hosts, prefix: str) -> Iterator[list[str]]:
    """Yield what makes the network, in order; namespaces begin with ``prefix``."""
    hub = f"{prefix}{HUB}"
    in_hub = ["ip", "-n", hub]
    yield ["ip", "netns", "add", hub]
    yield [*in_hub, "link", "set", "lo", "up"]
    yield [*in_hub, "link", "add", "ring", "type", "bridge"]
    for side in SIDES:
        yield [*in_hub, "address", "add", f"{hosts.addresses[side]}/24", "dev", "ring"]
    yield [*in_hub, "link", "set", "ring", "up"]
    for member in hosts.members:
        host = f"{prefix}{member}"
        at_host = ["ip", "-n", host]
        yield ["ip", "netns", "add", host]
        pair = ["type", "veth", "peer", "name", "eth0", "netns", host]
        yield [*in_hub, "link", "add", _port(member), *pair]
        yield [*in_hub, "link", "set", _port(member), "master", "ring"]
        yield [*in_hub, "link", "set", _port(member), "up"]
        yield [*at_host, "address", "add", f"{hosts.addresses[member]}/24", "dev", "eth0"]
        yield [*at_host, "link", "set", "lo", "up"]
        yield [*at_host, "link", "set", "eth0", "up"]


def within(prefix: str, host: str) -> list[str]:
    """Return what a command is begun with to have it run at a host."""
    return ["ip", "netns", "exec", f"{prefix}{host}"]


def _port(member: str) -> str:
    """Return the name of the bridge's port for a member."""
    return f"port-{member}"


class HostNetwork:
    """The network of one run, once it is made.

    Args:
        members: their names.
        prefix: how the names of its namespaces begin.
    """

    def __init__(self, members: Sequence[str], prefix: str) -> None:
        self.hosts = hosts_of(members)
        self.prefix = prefix
        self.cuts = Cuts()
        """What stands between the hosts now."""
        self.unplugged: frozenset[str] = frozenset()
        """The members whose cable is out."""

    def make(self) -> None:
        """Make it, with nothing that cuts.

        Raises:
            NoNetworkError: the system, or the container that this is, does not let it. The message
                has the remedy.
        """
        for command in commands(self.hosts, self.prefix):
            _run(command)
        for member in self.hosts.members:
            # All kinds of rules at once: what this kernel lacks is found out before the run.
            everything = Cuts(slow=frozenset(self.hosts.members))
            for cuts in (everything, self.cuts):
                rules = self.hosts.rules(member, cuts)
                _run([*within(self.prefix, member), "nft", "-f", "-"], rules)

    def enter(self, host: str = HUB) -> None:
        """Have this thread's sockets, from now on, and all that it starts, be at a host.

        Raises:
            NoNetworkError: the system does not let it. Definite: the thread is where it was.
        """
        namespace = os.open(NAMES / f"{self.prefix}{host}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace, _CLONE_NEWNET) != 0:
                number = ctypes.get_errno()
                raise NoNetworkError(
                    f"a namespace cannot be entered here ({os.strerror(number)}); {_ELSEWHERE}"
                )
        finally:
            os.close(namespace)

    def address(self, member: str) -> str:
        """Return where a member listens."""
        return f"{self.hosts.addresses[member]}:{PORT}"

    async def cut(self, cuts: Cuts) -> None:
        """Let this, and nothing else, stand between the hosts.

        Raises:
            NoNetworkError: in groups; a rule was not taken. Others may have been.
        """
        before, self.cuts = self.cuts, cuts
        async with trio.open_nursery() as nursery:
            for member in self.hosts.members:
                rules = self.hosts.rules(member, cuts)
                if rules != self.hosts.rules(member, before):
                    command = [*within(self.prefix, member), "nft", "-f", "-"]
                    nursery.start_soon(_change, command, rules)

    async def plug(self, unplugged: Collection[str]) -> None:
        """Have the cables of these members, and of no others, be out.

        Raises:
            NoNetworkError: one was not pulled or put in. Others may have been.
        """
        before, self.unplugged = self.unplugged, frozenset(unplugged)
        for member in sorted(before ^ self.unplugged):
            way = "down" if member in self.unplugged else "up"
            port = ["link", "set", _port(member), way]
            await _change(["ip", "-n", f"{self.prefix}{HUB}", *port])


_ELSEWHERE: Final = (
    "it takes a machine, or a container that may do what root does (docker run --privileged)"
)


def _run(command: list[str], said: str = "") -> None:
    done = subprocess.run(
        command, input=said.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise NoNetworkError(f"{_failure(command, done)}; {_ELSEWHERE}")


async def _change(command: list[str], said: str = "") -> None:
    """Change what is there already, so that no other machine is the remedy."""
    done = await trio.run_process(command, stdin=said.encode(), capture_stderr=True, check=False)
    if done.returncode:
        raise NoNetworkError(_failure(command, done))


def _failure(command: list[str], done: "subprocess.CompletedProcess[bytes]") -> str:
    why = done.stderr.decode(errors="replace").strip().splitlines()
    reason = why[0] if why else f"status {done.returncode}"
    return f"`{' '.join(command)}` failed ({reason})"
