"""Simulated rings for the tests of applications: a plan of faults, a workload, and a verdict.

A workload is ``async def workload(client)``. It runs once for each client of the plan, all at the
same time, and awaits only what its client offers. What it asserts, and what the ring promises, has
to hold in every plan.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from attrs import define, field, frozen

from node.session import Session
from ring import Record, SessionId
from ring.errors import SessionRingError
from simulations.budget import Budget
from simulations.convergence import check_convergence
from simulations.plan import Level, Plan, Trigger, plan_to_json
from simulations.rest import check_rest
from simulations.run import QUIET_S, REST_LIMIT_S, STEP_S, judge_of, listen, settle
from simulations.scheduler import StuckError
from simulations.striking import Striking
from simulations.tasks import Task
from simulations.user_client import Client
from simulations.violation import Violation
from simulations.world import World

if TYPE_CHECKING:
    from simulations.face import AnyWorld

Workload: TypeAlias = Callable[[Client], Coroutine[Any, Any, object]]

PLANS: Final = Path("plans")
"""Where plans that broke a promise are written, each under the name of its workload."""

_NAME_MAX: Final = 150


class PromiseBroken(AssertionError):
    """A ring has broken one of its promises.

    Attributes:
        promise: its name, as in docs/reliability.md.
        story: what happened, in a sentence.
        path: the file of the plan.
        replay: Python that breaks it again, where the workload is at hand.
    """

    def __init__(self, promise: str, story: str, path: Path, replay: str) -> None:
        super().__init__(f"{promise}: {story}\n  this breaks it again:\n  {replay}")
        self.promise, self.story, self.path, self.replay = promise, story, path, replay


@frozen
class Simulated:
    """What came of a simulated ring, once faults had stopped and all had settled."""

    plan: Plan
    faults: Mapping[str, int]
    """How often each kind has struck."""
    refused: tuple[str, ...]
    """Errors of the ring that ended a workload, since it did not catch them."""
    unfinished: int
    """Clients whose workloads were not done when the time of the plan was over."""
    simulated_s: float
    _records: Mapping[str, Record] = field(repr=False)
    _open: Callable[[SessionId, Record], Session] = field(repr=False)

    def session(self, session_id: str) -> Session | None:
        """Return the session as every holder has it now, to look at; None: there is none."""
        record = self._records.get(session_id)
        if record is None or record.ended or record.expired:
            return None
        return self._open(SessionId(session_id.encode()), record)


@define
class _Crowd:
    """Clients that go their own ways, whatever strikes."""

    def look_closely(self, home: str = "") -> None:
        """See ``striking.Crowd``."""

    def scatter(self, for_s: float) -> None:
        """See ``striking.Crowd``."""


def simulate(plan: Plan, workload: Workload, *, level: str = Level.CORE) -> Simulated:
    """Play ``plan`` with a workload; return what is left when everything has settled.

    Args:
        plan: the ring, its network and disks, and what goes wrong (``simulations.strategies``).
        workload: what each client does. Errors of the ring that it does not catch end it, as they
            would end a request; anything else that it raises is raised from here.
        level: ``core`` for the replicas alone, ``node`` for whole nodes, byte by byte.

    Raises:
        PromiseBroken: the ring has broken a promise.
    """
    broken = partial(_broken, plan, workload, Level(level))
    if Level(level) is Level.CORE:
        return _play(plan, workload, World(plan), broken)
    from simulations.whole.world import NodeWorld

    world = NodeWorld(plan)
    world.begin()
    try:
        return _play(plan, workload, world, broken)
    except StuckError as error:
        raise broken(Violation("bounded", str(error))) from error
    finally:
        left = world.end()
        if left:
            raise broken(left[0])


def _play(
    plan: Plan,
    workload: Workload,
    world: "AnyWorld",
    broken: Callable[[Violation], PromiseBroken],
) -> Simulated:
    budget = Budget(min(plan.copies, plan.members))
    judge = judge_of(plan, budget)
    striking = Striking(world, plan, budget, _Crowd())
    listen(plan, world, judge, striking)
    versions = count(1)
    errors, refused = list[BaseException](), list[str]()
    left = set(range(plan.workload.clients))

    def done(number: int, error: BaseException | None) -> None:
        left.discard(number)
        if isinstance(error, SessionRingError):
            refused.append(f"client {number}: {type(error).__name__}: {error}")
        elif error is not None:
            errors.append(error)

    for name in world.ring.names:
        world.start(name)
    striking.watch_settling()
    tasks = list[Task]()
    clients = [
        Client(number, world, judge, versions, plan.stream(f"client/{number}"))
        for number in sorted(left)
    ]
    for number, client in enumerate(clients):
        client.on_receipt = partial(world.on_trigger, Trigger.RECEIPT)
        tasks.append(Task(workload(client), partial(done, number)))
        world.after(0.0, tasks[-1].start)
    world.scheduler.run_while(
        lambda: bool(left) and not errors, plan.duration_s - world.now, STEP_S
    )
    for task in tasks:
        task.stop()
    if errors and judge.violations:
        # What the ring has done wrong comes first: the workload may have failed because of it.
        raise broken(judge.violations[0]) from errors[0]
    if errors:
        raise errors[0]
    striking.heal()
    world.scheduler.run_until(world.now + QUIET_S)
    settle(world, judge)
    judge.have_all_met = True
    for session_id in sorted(judge.sessions):
        # What was acknowledged has to be there, whether the workload has looked again or not.
        Task(clients[0].sessions.find(session_id, touch=False), _look_away).start()
    world.scheduler.run_until(world.now + QUIET_S)
    world.scheduler.run_while(lambda: any(check_rest(world)), REST_LIMIT_S, STEP_S)
    judge.violations += check_convergence(world, world.ring.names, judge.is_required)
    judge.violations += check_rest(world)
    if judge.violations:
        raise broken(judge.violations[0])
    records = {
        session_id.decode(): record
        for process in world.processes.values()
        for session_id in process.replica.session_ids()
        if (record := process.replica.record(SessionId(session_id))) is not None
    }
    return Simulated(
        plan,
        dict(striking.faults),
        tuple(refused),
        len(left),
        world.now,
        records,
        clients[0].opened,
    )


def _look_away(error: BaseException | None) -> None:
    """The judge has seen what was answered."""


def _broken(plan: Plan, workload: Workload, level: Level, violation: Violation) -> PromiseBroken:
    name = getattr(workload, "__qualname__", type(workload).__qualname__)
    spelled = re.sub(r"\W+", "-", f"{workload.__module__}-{name}")[-_NAME_MAX:]
    path = PLANS / f"{spelled}.json"
    PLANS.mkdir(parents=True, exist_ok=True)
    path.write_text(plan_to_json(plan), encoding="utf-8")
    replay = f'simulate(read_plan("{path}"), {name.rpartition(".")[2]}, level="{level}")'
    return PromiseBroken(violation.promise, violation.story, path, replay)


__all__ = ["Client", "PromiseBroken", "Simulated", "Workload", "simulate"]
