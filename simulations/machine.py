"""A simulated ring for Hypothesis's stateful tests: rules of an application among faults.

Rules:
- Whatever a rule has the application do is a coroutine, which ``do`` plays in the simulated ring
  until it has returned. So rules are plain methods.
- The faults take nothing that was acknowledged undegraded, nor hide it: a node is lost or stands
  still, and links are cut, once all others say that the ring can bear it; cuts come alone.
- The ring is always the same one: what Hypothesis draws are the steps.
"""

import sys
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack, suppress
from itertools import combinations
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from node.session import Session
from ring import SessionId
from simulations.plan import Fault, Kind, Level, simplest
from simulations.run import late_s_after, settle
from simulations.simulate import PromiseBroken
from simulations.stage import Refusal, Stage, stage_of
from simulations.tasks import demand_coroutines
from simulations.user_client import Client
from simulations.violation import Violation

DO_LIMIT_S: Final = 60.0
"""What one rule may have its clients do takes at most so long, in simulated seconds."""

_DO_STEP_S: Final = 0.01
_WATCH_S: Final = 0.1
_SETTLED_WITHIN_S: Final = 10.0
_UNTIL_MENDED_S: Final = 1e9

T = TypeVar("T")


@st.composite
def _drawn(draw: st.DrawFn, choose: Callable[["RingMachine"], Sequence[T]]) -> T:
    """Draw one of what there is to choose from just then."""
    return draw(st.sampled_from(choose(draw(st.runner()))))


_RUNNING: Final = _drawn(lambda machine: machine.running)
_AWAY: Final = _drawn(lambda machine: machine.away)
_PAIRS: Final = _drawn(lambda machine: list(combinations(machine.names, 2)))
_SOON_S: Final = st.sampled_from((0.0, 0.005, 0.02, 0.1, 0.5))
"""When a fault strikes: now, or while the next rule does something."""


class RingMachine(RuleBasedStateMachine):
    """A ring whose nodes crash, stop and stand still between the rules of a subclass.

    Subclasses set what is said here, add rules and invariants, and may have ``check_settled``.
    """

    nodes: ClassVar[int] = 3
    """How many members the ring has, from 1 to 7."""
    copies: ClassVar[int] = 2
    """How many of them keep each session, from 1 to 4."""
    clients: ClassVar[int] = 2
    """How many clients there are, from 1."""
    level: ClassVar[str] = "core"
    """How much is real: ``core`` for the replicas alone, ``node`` for whole nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.refused: list[Refusal] = []
        """What the ring has refused, which ended what ``do`` was given; the latest last."""
        self._held_up_s = 0.0
        self._outside = sys.exc_info()[1]
        plan = simplest(self.nodes, self.copies, self.clients)
        level = Level(self.level)
        for left in tuple(_ON_STAGE):
            left._abandon()
        with ExitStack() as begun:
            self._staged = begun.enter_context(stage_of(plan, level, _broken))
            self._world = self._stage.world
            self.names: Sequence[str] = self._world.ring.names
            """The nodes, in ring order."""
            self._watch()
            settle(self._world, self._stage.judge)
            self._stage.demand_nothing_broken()
            self._exit = begun.pop_all()
        if level is Level.NODE:
            _ON_STAGE.append(self)

    # --- What rules and invariants use ---

    def client(self, number: int = 0) -> Client:
        """Return a client: it has ``sessions``, and ``sleep``; from 0.

        Raises:
            ValueError: there is none of this number.
        """
        clients = self._stage.clients
        if not 0 <= number < len(clients):
            most = len(clients) - 1
            raise ValueError(f"number is {number}; give 0 to {most}, or set clients in the class")
        return clients[number]

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T | None:
        """Have a client do something, until it is done.

        Args:
            coroutine: awaits only what a client offers.

        Returns:
            What the coroutine has returned; None if an error that faults may cause ended it, as
            it would have ended a request. ``refused`` has the error.

        Raises:
            PromiseBroken: the ring has broken a promise.
            TimeoutError: it was not done after ``DO_LIMIT_S`` simulated seconds.
            TypeError: it is no coroutine.
            BaseException: what the coroutine has raised, unless it is an error that faults may
                cause (``Refusal``).
        """
        return self.do_together(coroutine)[0]

    def do_together(self, *coroutines: Coroutine[Any, Any, T]) -> list[T | None]:
        """Have several clients do something at the same time; see ``do``."""
        demand_coroutines(coroutines, "give what an async function returns when it is called")
        parts = self._stage.play(coroutines, DO_LIMIT_S, _DO_STEP_S)
        if not all(part.is_over for part in parts):
            raise TimeoutError(f"it was not done after {DO_LIMIT_S:g} simulated seconds")
        self.refused += [part.refused for part in parts if part.refused is not None]
        return [part.value for part in parts]

    @property
    def now(self) -> float:
        """Simulated seconds since the beginning."""
        return self._world.now

    @property
    def running(self) -> Sequence[str]:
        """The nodes that run, answer, and are not about to stop."""
        return [
            name
            for name, process in sorted(self._world.processes.items())
            if not (process.frozen or process.replica.draining)
        ]

    @property
    def away(self) -> Sequence[str]:
        """The nodes that do not run, or stand still."""
        processes = self._world.processes
        return [name for name in self.names if name not in processes or processes[name].frozen]

    def session(self, session_id: str) -> Session | None:
        """Return a session as members have it, to look at; None: there is none.

        Once the ring has settled, all its holders have it so.
        """
        record = self._stage.records().get(session_id)
        if record is None:
            return None
        return self.client().opened(SessionId(session_id.encode()), record)

    def settle(self) -> None:
        """Have all faults end, let the ring settle, and call ``check_settled``.

        It is done in the end, and wherever a rule or an invariant does it. Some 25 simulated
        seconds pass.

        Raises:
            PromiseBroken: the ring has broken a promise.
        """
        self._stage.converge()
        self.check_settled()
        self._stage.go_on()

    def check_settled(self) -> None:
        """Assert what has to be there once all faults are over and everything has settled."""

    # --- Faults ---

    def _is_cut(self) -> bool:
        return self._stage.striking.circumstances.is_blocked() and not self._stands_still()

    def _stands_still(self) -> bool:
        return any(process.frozen for process in self._world.processes.values())

    def _is_leaving(self) -> bool:
        return any(process.replica.draining for process in self._world.processes.values())

    def _all_are_ready(self) -> bool:
        return all(process.replica.ready for process in self._world.processes.values())

    def _may_lose_one(self) -> bool:
        """Whether the ring can bear a loss now, or as soon as it has settled."""
        is_whole = not (self._is_cut() or self._stands_still() or self._is_leaving())
        return is_whole and self.copies > 1 and len(self.running) > 1

    def _may_be_cut(self) -> bool:
        """Whether each home goes on by itself; so what is cut may be cut again.

        Who came back to a ring that it cannot reach would go on from its disk.
        """
        return not self.away and (self._is_cut() or self._may_lose_one())

    @precondition(_may_lose_one)
    @rule(node=_RUNNING, after_s=_SOON_S)
    def crash(self, node: str, after_s: float) -> None:
        """A node is killed. Its disk is kept."""
        self._strike(Kind.CRASH, node, after_s=after_s)

    @precondition(_may_lose_one)
    @rule(node=_RUNNING)
    def stop(self, node: str) -> None:
        """A node hands everything over and stops."""
        self._strike(Kind.STOP, node)

    @precondition(_may_lose_one)
    @rule(node=_RUNNING, after_s=_SOON_S)
    def freeze(self, node: str, after_s: float) -> None:
        """A node stands still."""
        self._strike(Kind.FREEZE, node, after_s=after_s)

    @precondition(lambda self: bool(self.away))
    @rule(node=_AWAY)
    def restart(self, node: str) -> None:
        """A node comes back from its disk, or goes on if it stood still."""
        self._demand_nodes(node)
        self._stage.striking.bring_back(node)

    @precondition(_may_be_cut)
    @rule(pair=_PAIRS, silently=st.booleans(), after_s=_SOON_S)
    def cut(self, pair: tuple[str, str], silently: bool, after_s: float) -> None:
        """Two nodes cannot reach each other; silently: they are not told, either."""
        self._strike(Kind.CUT, *pair, after_s=after_s, amount=float(silently))

    @rule(node=_drawn(lambda machine: machine.names))
    def fill_disk(self, node: str) -> None:
        """A disk takes nothing."""
        self._demand_nodes(node)
        fault = Fault(Kind.DISK_FAILS, self.now, (node,), _UNTIL_MENDED_S)
        self._stage.striking.strike(fault)

    @rule(seconds=st.sampled_from((0.1, 1.0, 5.0)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        if not seconds >= 0:
            raise ValueError(f"seconds is {seconds}; give 0 or more")
        self._world.scheduler.run_until(self.now + seconds)
        self._stage.demand_nothing_broken()

    @rule()
    def heal(self) -> None:
        """All faults end. What follows from them goes on."""
        self._stage.mend()

    def _strike(self, kind: Kind, *nodes: str, after_s: float = 0.0, amount: float = 0.0) -> None:
        """Have a fault strike, once the ring can bear it."""
        self._demand_nodes(*nodes)
        may = self._may_be_cut if kind is Kind.CUT else self._may_lose_one
        fault = Fault(kind, self.now, nodes, _UNTIL_MENDED_S, amount=amount)

        def is_near() -> bool:
            return may() and nodes[0] in self.running

        def is_borne() -> bool:
            is_calm = self._is_cut() or not self._stage.judge.budget.is_disturbed
            return is_near() and is_calm and self._all_are_ready()

        def strike() -> None:
            # Another one may have struck since it was drawn.
            if is_borne():
                self._stage.striking.strike(fault)

        self._world.scheduler.run_while(
            lambda: is_near() and not is_borne(), _SETTLED_WITHIN_S, _WATCH_S
        )
        if after_s:
            self._world.after(after_s, strike)
        else:
            strike()

    def _demand_nodes(self, *nodes: str) -> None:
        for node in nodes:
            if node not in self.names:
                raise ValueError(f"node is {node!r}; give one of {', '.join(self.names)}")

    def _watch(self) -> None:
        """Allow for what is held up on its way: it makes a last use of a session younger."""
        if self._stands_still() or self._is_cut():
            self._held_up_s += _WATCH_S
            self._stage.judge.late_s = late_s_after(self._held_up_s)
        self._world.after(_WATCH_S, self._watch)

    # --- The end ---

    def teardown(self) -> None:
        """Let everything settle, unless a rule has failed, and end the ring."""
        self._demand_begun()
        if self in _ON_STAGE:
            _ON_STAGE.remove(self)
        failure = sys.exc_info()
        if failure[1] is not self._outside:
            self._exit.__exit__(*failure)
            return
        with self._exit:
            self.settle()

    @property
    def _stage(self) -> Stage:
        self._demand_begun()
        return self._staged

    def _demand_begun(self) -> None:
        if "_staged" not in vars(self):
            name = type(self).__name__
            raise RuntimeError(f"there is no ring: {name}.__init__ has to call super().__init__()")

    def _abandon(self) -> None:
        """End the ring of a machine that nobody has torn down: its ``__init__`` has failed."""
        _ON_STAGE.remove(self)
        with suppress(PromiseBroken):
            self._exit.__exit__(GeneratorExit, GeneratorExit(), None)


_ON_STAGE: Final[list[RingMachine]] = []
"""The machine whose whole nodes run, if one does: there is one at a time in a process."""


def _broken(violation: Violation) -> PromiseBroken:
    return PromiseBroken(violation.promise, violation.story)
