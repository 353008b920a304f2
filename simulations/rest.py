"""Bounded: once nothing happens any more, nothing is left that waits or that somebody forgot."""

from collections.abc import Iterator

from simulations.face import AnyWorld
from simulations.violation import Violation


def check_rest(world: AnyWorld) -> Iterator[Violation]:
    """Yield what is still under way at nodes, of which nobody has asked anything for a while."""
    for name, process in world.processes.items():
        left = {what: number for what, number in process.replica.unfinished().items() if number}
        if process.replica.doubted:
            homes = ", ".join(sorted(process.replica.doubted))
            story = f"{name} is at rest among all others and still doubts what it has of {homes}"
            yield Violation("convergence", story)
        if left:
            some = ", ".join(f"{number} {what}" for what, number in left.items())
            yield Violation("bounded", f"{name} is at rest and still has {some}")
