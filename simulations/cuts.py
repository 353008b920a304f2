"""What stands between hosts, as rules of nftables: text of a state, and nothing else.

Rules:
- What arrives is judged where it arrives, so that one direction may be dead while the other lives.
- Silent, nothing is said of what is dropped; refused, whoever has sent it gets a TCP reset, and
  resets are let through.
- Connections have an age: each bears the number of the *era* in which it began, and those of an
  earlier one are reset. So an era resets what there is, and nothing that comes after it.
- Connections of an older era cannot be slow: what goes by the slow way is chosen as it begins.
"""

from collections.abc import Collection, Mapping
from itertools import product
from typing import Final

from attrs import frozen

TABLE: Final = "sessionring"
PORT: Final = 6802
"""Where every member listens."""
SLOW_PORT: Final = 6803
"""Where a slow way begins, which leads to ``PORT``."""

Way = tuple[str, str]
"""From whom to whom."""


@frozen
class Cuts:
    """All that stands between hosts at one moment; nothing, by default."""

    silent: frozenset[Way] = frozenset()
    """What is sent by these ways is lost."""
    refused: frozenset[Way] = frozenset()
    """What is sent by these ways is answered with a reset."""
    slow: frozenset[str] = frozenset()
    """Whom the others reach by a slow way only."""
    era: int = 1
    """Connections that began before this era are reset; 1 and more."""


def both_ways(some: Collection[str], others: Collection[str]) -> frozenset[Way]:
    """Return the ways from each of some to each of the others, and back."""
    return frozenset((*product(some, others), *product(others, some)))


@frozen
class Hosts:
    """Who has which address."""

    addresses: Mapping[str, str]
    """Of everybody: members, and where clients are."""
    members: tuple[str, ...]

    def rules(self, host: str, cuts: Cuts) -> str:
        """Return what ``nft -f -`` is told at ``host``, in the place of all it was told before."""
        new = "tcp flags & (fin | syn | rst | ack) == syn"
        lines = [
            f"add table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            "  chain arriving {",
            "    type filter hook input priority 0; policy accept;",
            *(f"    ip saddr {self.addresses[it]} drop" for it in _sources(host, cuts.silent)),
            "    tcp flags & rst == rst accept",
            *(
                f"    ip saddr {self.addresses[it]} meta l4proto tcp reject with tcp reset"
                for it in _sources(host, cuts.refused)
            ),
            f"    {new} ct mark set {cuts.era}",
            f"    meta l4proto tcp ct mark != {cuts.era} reject with tcp reset",
            "  }",
            "  chain leaving {",
            "    type filter hook output priority 0; policy accept;",
            f"    {new} ct mark set {cuts.era}",
            "  }",
        ]
        others = ", ".join(self.addresses[it] for it in self.members if it != host)
        if host in cuts.slow and others:
            lines += [
                "  chain detour {",
                "    type nat hook prerouting priority -100; policy accept;",
                f"    ip saddr {{ {others} }} tcp dport {PORT} redirect to :{SLOW_PORT}",
                "  }",
            ]
        return "\n".join([*lines, "}", ""])


def _sources(host: str, ways: Collection[Way]) -> list[str]:
    return sorted(source for source, target in ways if target == host)
