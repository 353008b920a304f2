"""Simulated rings for the tests of applications: a plan of faults, a workload, and a verdict.

A workload is ``async def workload(client)``. It runs once for each client of the plan, all at the
same time, and awaits only what its client offers. What it asserts, and what the ring promises, has
to hold in every plan.
"""

import re
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from node.session import Session
from ring import Record, SessionId
from simulations.plan import Level, Plan, plan_to_json
from simulations.stage import stage_of
from simulations.tasks import demand_coroutines
from simulations.user_client import Client
from simulations.violation import Violation

Workload: TypeAlias = Callable[[Client], Coroutine[Any, Any, object]]

PLANS: Final = Path("plans")
"""Where plans that broke a promise are written, under the names of workload and level."""

_NAME_MAX: Final = 150


class PromiseBroken(AssertionError):
    """A ring has broken one of its promises.

    Attributes:
        promise: its name, as in docs/reliability.md.
        story: what happened, in a sentence.
        path: the file of the plan; None if there is none, but steps of a state machine.
        replay: Python that breaks it again, where the workload is at hand.
    """

    def __init__(
        self, promise: str, story: str, path: Path | None = None, replay: str = ""
    ) -> None:
        again = f"\n  this breaks it again:\n  {replay}" if replay else ""
        super().__init__(f"{promise}: {story}{again}")
        self.promise, self.story, self.path, self.replay = promise, story, path, replay


@frozen
class Simulated:
    """What came of a simulated ring, once faults had stopped and all had settled."""

    plan: Plan
    faults: Mapping[str, int]
    """How often each kind has struck."""
    refused: tuple[str, ...]
    """What ended a workload that did not catch it: errors that faults may cause."""
    unfinished: int
    """Clients whose workloads were not done when the time of the plan was over."""
    simulated_s: float
    _records: Mapping[str, Record] = field(repr=False)
    _open: Callable[[SessionId, Record], Session] = field(repr=False)

    def session(self, session_id: str) -> Session | None:
        """Return the session as every holder has it now, to look at; None: there is none."""
        record = self._records.get(session_id)
        return None if record is None else self._open(SessionId(session_id.encode()), record)


def simulate(plan: Plan, workload: Workload, *, level: str = Level.CORE) -> Simulated:
    """Play ``plan`` with a workload; return what is left when everything has settled.

    Args:
        plan: the ring, its network and disks, and what goes wrong (``simulations.strategies``).
        workload: what each client does. Errors that faults may cause (``stage.Refusal``) and that
            it does not catch end it, as they would end a request; anything else that it raises is
            raised from here.
        level: ``core`` for the replicas alone, ``node`` for whole nodes, byte by byte.

    Raises:
        PromiseBroken: the ring has broken a promise.
        TypeError: ``workload`` is no async function.
        ValueError: there is no such level.
    """
    broken = partial(_broken, plan, workload, Level(level))
    with stage_of(plan, Level(level), broken) as stage:
        coroutines = [workload(client) for client in stage.clients]
        demand_coroutines(coroutines, f"workload is {workload!r}; give an async function")
        parts = stage.play(coroutines, plan.duration_s)
        stage.converge()
        return Simulated(
            plan,
            dict(stage.striking.faults),
            tuple(
                f"client {number}: {type(part.refused).__name__}: {part.refused}"
                for number, part in enumerate(parts)
                if part.refused is not None
            ),
            sum(not part.is_over for part in parts),
            stage.world.now,
            stage.records(),
            stage.clients[0].opened,
        )


def _broken(plan: Plan, workload: Workload, level: Level, violation: Violation) -> PromiseBroken:
    name = getattr(workload, "__qualname__", type(workload).__qualname__)
    spelled = re.sub(r"\W+", "-", f"{workload.__module__}-{name}")[-_NAME_MAX:]
    at = f"-{level}" if level is not Level.CORE else ""
    path = PLANS / f"{spelled}{at}.json"
    PLANS.mkdir(parents=True, exist_ok=True)
    path.write_text(plan_to_json(plan), encoding="utf-8")
    replay = f'simulate(read_plan("{path}"), {name.rpartition(".")[2]}, level="{level}")'
    return PromiseBroken(violation.promise, violation.story, path, replay)


__all__ = ["Client", "PromiseBroken", "Simulated", "Workload", "simulate"]
