"""Virtual time for trio: its event loop is a guest of the scheduler, and both share one clock.

Rules:
- What happens next is the earlier of the scheduler's next action and trio's next deadline. Between
  any two, trio runs until no task can go on; so no task sees time pass while it computes.
- Every process has a clock of its own, which may gain or lose: its tasks read the time from it, and
  set deadlines by it.
- Trio schedules its tasks at random; here the seed of the plan decides, and nothing else does.
- Threads have no place in virtual time: what trio would give to one is called at once, after the
  delay that the simulation says.
- The private names of trio that this needs are in this module alone, and a test finds out if a
  release of trio has others.
"""

import signal
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from heapq import heappop, heappush
from math import inf, nextafter
from types import FrameType
from typing import Any, Final, TypeVar

import trio
import trio.testing
from trio._core import _run

from simulations.scheduler import Scheduler, StuckError
from simulations.witness import Witness

T = TypeVar("T")

TICKS_MAX: Final = 20_000
"""So many rounds of trio at one moment are a loop that never waits."""


class _SharedClock(trio.abc.Clock):
    """The scheduler's time, as the clock of whoever reads it shows it."""

    def __init__(self, scheduler: Scheduler, rate: Callable[[], float]) -> None:
        self._scheduler = scheduler
        self._rate = rate

    def start_clock(self) -> None:
        """See ``trio.abc.Clock``."""

    def current_time(self) -> float:
        """See ``trio.abc.Clock``."""
        return self._scheduler.now * self._rate()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """See ``trio.abc.Clock``. Time passes elsewhere."""
        return 0.0


class _Deadlines:
    """What trio keeps deadlines in: in the scheduler's time, whoever's clock they were read from.

    Deadlines of the same moment come in the order in which they were set.
    """

    def __init__(self, rate: Callable[[], float]) -> None:
        self._rate = rate
        self._heap: list[tuple[float, int, float, trio.CancelScope]] = []
        self._sequence = 0

    def add(self, deadline: float, scope: trio.CancelScope) -> None:
        """Have ``scope`` expire once the clock of the task that runs shows ``deadline``."""
        rate = self._rate()
        moment = deadline / rate
        while moment * rate < deadline:  # Who is woken must not find that it is too early.
            moment = nextafter(moment, inf)
        self._sequence += 1
        heappush(self._heap, (moment, self._sequence, deadline, scope))

    def remove(self, deadline: float, scope: trio.CancelScope) -> None:
        """Note that ``scope`` has another deadline; it is left where it is until it is due."""

    def next_deadline(self) -> float:
        """Return when the next scope expires, in the scheduler's time."""
        heap = self._heap
        while heap:
            moment, _, deadline, scope = heap[0]
            if deadline == scope._registered_deadline:
                return moment
            heappop(heap)
        return inf

    def expire(self, now: float) -> bool:
        """Cancel what is due; return whether anything was. No task runs, so ``now`` is true."""
        is_any = False
        while self.next_deadline() <= now:
            scope = heappop(self._heap)[3]
            scope._cancel(_run.CancelReason(source="deadline"))
            is_any = True
        return is_any


class _RunQueue(deque[Any]):
    """Tasks that can go on, for trio, while some stand still; those are kept back."""

    def __init__(self, tasks: Iterable[Any], stands_still: Callable[[Any], bool]) -> None:
        super().__init__()
        self.kept_back = list[Any]()
        self._stands_still = stands_still
        for task in tasks:
            self.append(task)

    def append(self, task: Any) -> None:
        if self._stands_still(task):
            self.kept_back.append(task)
        else:
            super().append(task)


class GuestScheduler(Scheduler):
    """Virtual time that is shared with trio.

    Args:
        seed: decides in which order trio runs tasks that could all run.
        witnesses: as in ``Scheduler``.
        rate: how much the clock goes on in a second of the process whose context is the current
            one; 1 if there is none, as between two tasks.
    """

    def __init__(
        self,
        seed: int,
        witnesses: Sequence[Witness] = (),
        rate: Callable[[], float] = lambda: 1.0,
    ) -> None:
        super().__init__(witnesses)
        self._seed = seed
        self._rate = rate
        self._next_deadline = inf
        """Of trio, when no task could go on any more."""
        self._runner: Any = None
        self._run: Any = None
        self._interrupt = _Interrupt()
        self._undo = ExitStack()

    def host(self, main: Callable[[], Awaitable[None]]) -> None:
        """Begin to run ``main`` in trio; it runs as the time of this scheduler passes.

        Raises:
            RuntimeError: trio runs here already.
        """
        if trio.lowlevel.in_trio_run():
            raise RuntimeError("whole nodes bring their own trio: play them outside of trio.run()")
        self._undo.enter_context(_seeded(self._seed))
        self._undo.enter_context(self._interrupt.caught())
        begun = list[Any]()
        trio.lowlevel.start_guest_run(
            main,
            run_sync_soon_threadsafe=begun.append,
            done_callback=lambda outcome: None,
            clock=_SharedClock(self, self._rate),
            host_uses_signal_set_wakeup_fd=True,
            restrict_keyboard_interrupt_to_checkpoints=True,
        )
        # What trio would have its host call looks for input first, of which there is none here.
        (tick,) = begun
        self._runner, self._run = tick.__self__.runner, tick.__self__.unrolled_run_gen
        # Nobody looks on, and no host has to be woken: asking for it took 5 % of the time.
        self._runner.instruments, self._runner.is_guest = {}, False
        assert self._runner.deadlines.next_deadline() == inf, "nothing waits yet"
        self._runner.deadlines = _Deadlines(self._rate)
        self.let_tasks_run()

    def keep_back(self, stands_still: Callable[[trio.lowlevel.Task], bool] | None) -> None:
        """Say which tasks do not go on from now on, whatever they waited for; others do again.

        Args:
            stands_still: whether a task is one of a process that stands still; None: no task is.
        """
        queue = self._runner.runq
        tasks = [*queue, *queue.kept_back] if isinstance(queue, _RunQueue) else queue
        self._runner.runq = deque(tasks) if not stands_still else _RunQueue(tasks, stands_still)

    @property
    def has_ended(self) -> bool:
        """Whether ``main`` has returned or raised."""
        return self._run is None

    def wind_up(self) -> None:
        """Have an interrupt wait until all has ended, from now on."""
        self._interrupt.may_be_raised = False

    def end(self) -> None:
        """Run trio to its end, once ``main`` has nothing to wait for any more.

        Raises:
            KeyboardInterrupt: somebody has asked for it meanwhile.
            StuckError: it still waits.
            BaseException: what ``main`` has raised.
        """
        for _ in range(TICKS_MAX):
            if self.has_ended:
                self._undo.close()
                self._interrupt.may_be_raised = True
                self._interrupt.check()
                self._runner.main_task_outcome.unwrap()
                return
            # The last thing that trio does is to wake itself up, through a socket.
            self._tick(self._runner.io_manager.get_events(0))
        raise StuckError("tasks wait although everything is over")

    def cancel_all(self) -> None:
        """Cancel every task, shielded or not; ``end`` runs them to their ends.

        It raises ``trio.Cancelled`` then, if ``main`` was waiting.
        """
        runner = self._runner
        for task in runner.tasks:
            status = task._cancel_status
            while status is not None:
                status._scope.shield = False
                status = status._parent
        runner.main_task.parent_nursery.cancel_scope.cancel()

    def let_tasks_run(self) -> None:
        """Have every task go on that can, until none can."""
        runner = self._runner
        for _ in range(TICKS_MAX):
            if self._run is None:
                return
            self._next_deadline = runner.deadlines.next_deadline()
            if not runner.runq and self._next_deadline > self.now:
                return
            self._tick()
        raise StuckError(f"tasks never wait at {self.now:.6f} s")

    def run_until(self, time: float) -> None:
        """Let everything happen that is due by ``time``, in the heap and in trio.

        Raises:
            KeyboardInterrupt: somebody has asked for it.
        """
        heap = self._heap
        self.let_tasks_run()  # What was asked for since the last time is due now.
        while not self.has_ended:
            self._interrupt.check()
            due = heap[0][0] if heap else inf
            deadline = self._next_deadline
            if (min(due, deadline)) > time:
                break
            if due <= deadline:
                self.now = max(self.now, due)
                self.pop()()
            else:
                self.now = max(self.now, deadline)
            self.let_tasks_run()
        super().run_until(time)

    def _tick(self, came: Sequence[object] = ()) -> None:
        """Have trio do what it does between two looks for input."""
        try:
            self._run.send(came)
        except StopIteration:
            self._run = None


class _Interrupt:
    """SIGINT, while tasks run: raised inside one of them, it would be a bug of its node."""

    def __init__(self) -> None:
        self.may_be_raised = True
        self._is_wanted = False

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Note it in the block, instead of raising it wherever Python is."""
        before = signal.getsignal(signal.SIGINT)
        is_default = before is signal.default_int_handler
        if not is_default or threading.current_thread() is not threading.main_thread():
            yield
            return
        signal.signal(signal.SIGINT, self._note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._is_wanted = True

    def check(self) -> None:
        """Raise it, if it has been noted since it was raised last."""
        if self._is_wanted and self.may_be_raised:
            self._is_wanted = False
            raise KeyboardInterrupt


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Have ``seed`` decide in the block in which order trio runs tasks."""
    before, state = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()
    _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]
    _run._r.seed(seed)
    try:
        yield
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = before  # type: ignore[misc]
        _run._r.setstate(state)


@contextmanager
def threads_replaced(
    call: Callable[[Callable[[], object]], Awaitable[object]],
) -> Iterator[None]:
    """Have trio give nothing to threads in the block: ``call`` is given what they would do."""

    async def run_sync(
        sync_fn: Callable[..., T],
        *args: object,
        thread_name: str | None = None,
        abandon_on_cancel: bool = False,
        cancellable: bool = False,
        limiter: trio.CapacityLimiter | None = None,
    ) -> object:
        if limiter is None:
            return await call(lambda: sync_fn(*args))
        async with limiter:
            return await call(lambda: sync_fn(*args))

    before = trio.to_thread.run_sync
    trio.to_thread.run_sync = run_sync  # type: ignore[assignment]
    try:
        yield
    finally:
        trio.to_thread.run_sync = before
