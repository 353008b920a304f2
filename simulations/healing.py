"""The end of all that is wrong in a simulated ring: all ways are free, all disks work, all run."""

from simulations.budget import Budget
from simulations.face import AnyWorld
from simulations.reshaping import Reshaping


def mend(world: AnyWorld, budget: Budget, reshaping: Reshaping) -> None:
    """End every fault that there is, and start every node that is away.

    Args:
        world: where.
        budget: is told of those who were on their way out, and lose their memory instead.
        reshaping: knows who has left the ring for good.
    """
    world.cut.clear()
    for road in world.roads.values():
        road.slowness = 1.0
        while road.stalls:
            road.free()
    for disk in world.disks.values():
        disk.failing, disk.slowness = 0, 1.0
    for name in sorted(world.ring.leaving - reshaping.left):
        if name in world.processes:
            world.thaw(name, world.processes[name])
        else:
            world.start(name)
        reshaping.let_go(name)
    for name in world.ring.names:
        process = world.processes.get(name)
        if process is not None and process.replica.draining:
            # It was on its way out, and would stay there for ever.
            budget.on_lost(name, disk_kept=True)
            world.crash(name)
        if name in world.processes:
            world.thaw(name, world.processes[name])
        else:
            world.start(name)
    # Whoever knew it may have lost its memory and its disk: then people set it once more.
    processes = list(world.processes.values())
    if all(each.replica.ring.version < world.ring.version for each in processes):
        world.adopt(processes[0], world.ring)
