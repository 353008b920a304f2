"""A simulated ring that tests play on: with clients, faults that strike, and a judge.

Rule: what the ring has done wrong comes first. What a client raises may be nothing but its
consequence.
"""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import count
from typing import Any, TypeAlias

from attrs import define, frozen

from ring import Record, SessionId
from ring.errors import (
    ReplicationTimeoutError,
    RingFullError,
    SessionEnded,
    SessionUnavailableError,
)
from simulations.budget import Budget
from simulations.convergence import check_convergence
from simulations.face import AnyWorld
from simulations.healing import mend
from simulations.plan import Level, Plan, Trigger
from simulations.rest import check_rest
from simulations.run import QUIET_S, REST_LIMIT_S, STEP_S, judge_of, listen, settle
from simulations.scheduler import StuckError
from simulations.striking import Striking
from simulations.tasks import Task
from simulations.user_client import Client
from simulations.violation import Violation
from simulations.world import World

Refusal: TypeAlias = (
    SessionUnavailableError | ReplicationTimeoutError | RingFullError | SessionEnded
)
"""What a ring may answer to an application that does everything right.

A session may have ended: somebody else ended it, or a fault took what was acknowledged degraded.
No other error of the ring comes from a fault: a value that cannot be stored, or a session that is
too large, is the application's doing, and has to fail its test.
"""


@frozen
class Played:
    """What came of one client's part."""

    is_over: bool
    """Whether it was done in time."""
    value: Any
    """What it has returned."""
    refused: Refusal | None
    """What the ring has refused it with, which ended it, since it did not catch that."""


@define
class _Crowd:
    """Clients that go their own ways, whatever strikes."""

    def look_closely(self, home: str = "") -> None:
        """See ``striking.Crowd``."""

    def scatter(self, for_s: float) -> None:
        """See ``striking.Crowd``."""


class Stage:
    """A ring that runs, its clients, and what strikes it.

    Args:
        plan: what it is, and what goes wrong.
        world: where.
        broken: makes the error that tells of a broken promise.
    """

    def __init__(
        self, plan: Plan, world: AnyWorld, broken: Callable[[Violation], Exception]
    ) -> None:
        self.world = world
        self._broken = broken
        budget = Budget(min(plan.copies, plan.members))
        self.judge = judge_of(plan, budget)
        self.striking = Striking(world, plan, budget, _Crowd())
        listen(plan, world, self.judge, self.striking)
        for name in world.ring.names:
            world.start(name)
        self.striking.watch_settling()
        versions = count(1)
        self.clients = tuple(
            Client(number, world, self.judge, versions, plan.stream(f"client/{number}"))
            for number in range(plan.workload.clients)
        )
        for client in self.clients:
            client.on_receipt = partial(world.on_trigger, Trigger.RECEIPT)

    def play(
        self,
        coroutines: Sequence[Coroutine[Any, Any, object]],
        for_s: float,
        step_s: float = STEP_S,
    ) -> Sequence[Played]:
        """Have clients play their parts side by side, until all are done or time is over.

        Args:
            coroutines: what they do; each awaits only what its client offers.
            for_s: how long they may take, in simulated seconds.
            step_s: how much later than they are done this may return, in simulated seconds.

        Raises:
            PromiseBroken: the ring has broken a promise.
            BaseException: what a part has raised, unless it is a ``Refusal``.
        """
        over = dict[int, BaseException | None]()
        errors = list[BaseException]()

        def done(number: int, error: BaseException | None) -> None:
            over[number] = error
            if error is not None and not isinstance(error, Refusal):
                errors.append(error)

        tasks = [
            Task(coroutine, partial(done, number)) for number, coroutine in enumerate(coroutines)
        ]
        for task in tasks:
            self.world.after(0.0, task.start)
        self.world.scheduler.run_while(lambda: len(over) < len(tasks) and not errors, for_s, step_s)
        for task in tasks:
            task.stop()
        self.demand_nothing_broken(because_of=errors[0] if errors else None)
        if errors:
            raise errors[0]
        return [
            Played(number in over, task.value, _refusal(over.get(number)))
            for number, task in enumerate(tasks)
        ]

    def demand_nothing_broken(self, because_of: BaseException | None = None) -> None:
        """Raise what tells of the first promise that was broken, if one was."""
        if self.judge.violations:
            raise self._broken(self.judge.violations[0]) from because_of

    def converge(self) -> None:
        """End all faults, let everything settle, and demand what has to hold then.

        Raises:
            PromiseBroken: it does not hold.
        """
        world, judge = self.world, self.judge
        self.striking.heal()
        world.scheduler.run_until(world.now + QUIET_S)
        settle(world, judge)
        judge.have_all_met = True
        for session_id in sorted(judge.sessions):
            # What was acknowledged has to be there, whether anybody has looked again or not.
            Task(self.clients[0].sessions.find(session_id, touch=False), _look_away).start()
        world.scheduler.run_until(world.now + QUIET_S)
        world.scheduler.run_while(lambda: any(check_rest(world)), REST_LIMIT_S, STEP_S)
        judge.violations += check_convergence(world, world.ring.names, judge.is_required)
        judge.violations += check_rest(world)
        self.demand_nothing_broken()

    def mend(self) -> None:
        """End the faults that there are; others may strike."""
        mend(self.world, self.judge.budget, self.striking.reshaping)

    def go_on(self) -> None:
        """Let faults strike again, after ``converge``."""
        self.striking.stopped = self.world.healed = False
        self.judge.have_all_met = False

    def records(self) -> dict[str, Record]:
        """Return what members have of each session that there is."""
        return {
            session_id.decode(): record
            for process in self.world.processes.values()
            for session_id in process.replica.session_ids()
            if (record := process.replica.record(SessionId(session_id))) is not None
            if not record.ended and not record.expired
        }


@contextmanager
def stage_of(plan: Plan, level: Level, broken: Callable[[Violation], Exception]) -> Iterator[Stage]:
    """Set a stage, and clear it away in the end.

    Args:
        plan: what is played.
        level: how much is real.
        broken: makes the error that tells of a broken promise.

    Raises:
        PromiseBroken: nodes have not ended as they should, or nothing would ever happen again.
    """
    if level is Level.CORE:
        yield Stage(plan, World(plan), broken)
        return
    from simulations.whole.world import NodeWorld

    world = NodeWorld(plan)
    world.begin()
    try:
        yield Stage(plan, world, broken)
    except StuckError as error:
        world.end(at_rest=False)
        raise broken(Violation("bounded", str(error))) from error
    except Exception as error:
        if left := world.end(at_rest=False):
            raise broken(left[0]) from error
        raise
    except BaseException:
        world.end(at_rest=False)
        raise
    if left := world.end():
        raise broken(left[0])


def _refusal(error: BaseException | None) -> Refusal | None:
    return error if isinstance(error, Refusal) else None


def _look_away(error: BaseException | None) -> None:
    """The judge has seen what was answered."""


__all__ = ["Played", "Refusal", "Stage", "stage_of"]
