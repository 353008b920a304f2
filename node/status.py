"""What a node tells people of itself."""

from collections.abc import Mapping

from attrs import frozen

from ring.replica import Replica


@frozen
class NodeStatus:
    """What a node is and does at one moment, for people."""

    name: str
    ready: bool
    """It has settled and been refilled: the next member may be restarted."""
    draining: bool
    """It hands over to the others, to stop when they have everything."""
    claims: tuple[str, ...]
    """The homes it acts for."""
    doubted: tuple[str, ...]
    """The homes whose sessions may be stale: a member that may know more was not heard."""
    members: Mapping[str, str]
    """The other members, as this node sees them."""
    records: Mapping[str, int]
    """How many records it holds of each home, tombstones included."""
    clients: int
    """How many clients are connected."""
    unwritten: int
    """How many sessions wait for the store."""
    store_failing: bool
    """Whether there are sessions that the store did not take."""

    @classmethod
    def of(
        cls, name: str, replica: Replica, *, clients: int, unwritten: int, store_failing: bool
    ) -> "NodeStatus":
        """Return the status of the node ``name``, with what its replica does not know."""
        return cls(
            name=name,
            ready=replica.ready,
            draining=replica.draining,
            claims=tuple(sorted(replica.claims)),
            doubted=tuple(sorted(replica.doubted)),
            members={peer: liveness.name.lower() for peer, liveness in replica.liveness.items()},
            records=replica.counts(),
            clients=clients,
            unwritten=unwritten,
            store_failing=store_failing,
        )
