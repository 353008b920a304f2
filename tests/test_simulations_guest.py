"""trio in virtual time: one clock with the scheduler, one order for one seed, no threads."""

import inspect
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial

import attrs
import pytest
import trio
from trio._core import _run

from simulations.scheduler import StuckError
from simulations.whole.guest import GuestScheduler, _Deadlines, threads_replaced

FAST: ContextVar[float] = ContextVar("how fast the clock of a task goes")


def play(main: Callable[[GuestScheduler], Awaitable[None]], until: float, seed: int = 1) -> None:
    """Run ``main`` in trio until so many seconds have passed, and to its end."""
    scheduler = GuestScheduler(seed)
    scheduler.host(lambda: main(scheduler))
    scheduler.run_until(until)
    scheduler.end()


def test_the_private_names_of_trio_are_what_they_were() -> None:
    """A release that has others would run tasks in an order that no seed decides."""
    assert _run._ALLOW_DETERMINISTIC_SCHEDULING in (False, True)
    assert "_ALLOW_DETERMINISTIC_SCHEDULING" in inspect.getsource(_run.unrolled_run)
    assert "_r.random" in inspect.getsource(_run.unrolled_run)
    _run._r.seed(7)
    once = [_run._r.random() for _ in range(3)]
    _run._r.seed(7)
    assert [_run._r.random() for _ in range(3)] == once
    assert {"runner", "unrolled_run_gen"} <= {each.name for each in attrs.fields(_run.GuestState)}
    assert {"tasks", "runq", "io_manager", "main_task", "main_task_outcome"} <= {
        each.name for each in attrs.fields(_run.Runner)
    }
    assert {"_scope", "_parent"} <= {each.name for each in attrs.fields(_run.CancelStatus)}
    assert "runner.io_manager.process_events(events)" in inspect.getsource(_run.unrolled_run)
    assert {"_cancel_status", "_parent_nursery"} <= {each.name for each in attrs.fields(_run.Task)}
    assert {"deadlines", "instruments", "is_guest"} <= {
        each.name for each in attrs.fields(_run.Runner)
    }
    ours = {name for name in vars(_Deadlines) if not name.startswith("_")}
    assert ours == {name for name in vars(_run.Deadlines) if not name.startswith("_")}
    assert "_registered_deadline" in {each.name for each in attrs.fields(trio.CancelScope)}
    assert "task.context.run(" in inspect.getsource(_run.unrolled_run)


def test_deadlines_of_tasks_and_actions_of_the_scheduler_come_in_the_order_of_time() -> None:
    seen = list[tuple[float, str]]()

    async def main(scheduler: GuestScheduler) -> None:
        news = trio.Event()
        scheduler.after(1.5, lambda: seen.append((scheduler.now, "action")))
        scheduler.after(2.5, news.set)
        await trio.sleep(1)
        seen.append((trio.current_time(), "slept"))
        await news.wait()
        seen.append((trio.current_time(), "told"))
        with trio.move_on_after(0.25):
            await trio.sleep_forever()
        seen.append((trio.current_time(), "moved on"))

    play(main, 10)
    assert seen == [(1, "slept"), (1.5, "action"), (2.5, "told"), (2.75, "moved on")]


@pytest.mark.parametrize("rate", [1.0, 0.995, 1.003, 1.05])
def test_a_task_lives_by_the_clock_of_its_process(rate: float) -> None:
    """Nobody is woken before their own clock shows it, by however little: they would ask again."""
    woken = list[tuple[float, float, float]]()
    told = list[float]()

    async def sleep(scheduler: GuestScheduler) -> None:
        FAST.set(rate)
        for pause_s in (0.1, 0.7, 3.3, 0.013):
            due = trio.current_time() + pause_s
            with trio.move_on_at(due):
                await trio.sleep_forever()
            woken.append((due, trio.current_time(), scheduler.now))

    async def main(scheduler: GuestScheduler) -> None:
        scheduler.after(2.0, lambda: told.append(trio.current_time()))
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(sleep, scheduler)
                await trio.sleep(0.017)
            slept_s = trio.current_time()
        assert slept_s == pytest.approx(50 * 0.017)

    scheduler = GuestScheduler(1, rate=lambda: FAST.get(1.0))
    scheduler.host(lambda: main(scheduler))
    scheduler.run_until(20)
    scheduler.end()
    assert len(woken) == 200
    assert all(due <= now == pytest.approx(due) for due, now, _ in woken)
    assert all(now == pytest.approx(true * rate) for _, now, true in woken)
    assert told == [2.0]


def test_deadlines_that_are_changed_or_withdrawn_do_not_come() -> None:
    seen = list[tuple[str, float]]()

    async def main(scheduler: GuestScheduler) -> None:
        with trio.CancelScope(deadline=1.0) as scope:
            scope.deadline = 3.0
            scope.deadline = 1.0
            scope.deadline = 2.0
            await trio.sleep_forever()
        seen.append(("moved on", trio.current_time()))
        with trio.move_on_after(1.0):
            await trio.sleep(0.5)
        await trio.sleep(5.0)
        seen.append(("slept", trio.current_time()))

    play(main, 10)
    assert seen == [("moved on", 2.0), ("slept", 7.5)]


def test_the_seed_decides_in_which_order_tasks_run() -> None:
    def order(seed: int) -> str:
        ran = list[str]()

        async def task(name: str) -> None:
            for _ in range(3):
                await trio.lowlevel.checkpoint()
                ran.append(name)

        async def main(scheduler: GuestScheduler) -> None:
            async with trio.open_nursery() as nursery:
                for name in "abcdef":
                    nursery.start_soon(task, name)

        play(main, 1, seed)
        return "".join(ran)

    orders = [order(seed) for seed in range(8)]
    assert orders == [order(seed) for seed in range(8)]
    assert len(set(orders)) > 4


def test_a_task_that_never_waits_is_found_out_and_given_up() -> None:
    ended = list[str]()

    async def main(scheduler: GuestScheduler) -> None:
        try:
            with trio.CancelScope(shield=True):
                while True:
                    await trio.lowlevel.checkpoint()
        finally:
            ended.append("main")

    scheduler = GuestScheduler(1)
    with pytest.raises(StuckError, match="never wait"):
        scheduler.host(lambda: main(scheduler))
    scheduler.cancel_all()
    with pytest.raises(trio.Cancelled):
        scheduler.end()
    assert ended == ["main"]
    play(returns_at_once, 1.0)


def test_a_task_that_waits_for_ever_is_found_out_and_given_up() -> None:
    async def main(scheduler: GuestScheduler) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.sleep_forever)
        finally:
            await trio.lowlevel.checkpoint()

    scheduler = GuestScheduler(1)
    scheduler.host(lambda: main(scheduler))
    scheduler.run_until(100)
    with pytest.raises(StuckError, match="everything is over"):
        scheduler.end()
    scheduler.cancel_all()
    with pytest.raises(trio.Cancelled):
        scheduler.end()
    play(returns_at_once, 1.0)


def test_what_is_asked_for_between_two_times_is_done_at_once() -> None:
    """It waited for the next thing that was due, whatever that was."""
    send, receive = trio.open_memory_channel[str](1)
    seen = list[tuple[float, str]]()

    async def main(scheduler: GuestScheduler) -> None:
        seen.extend([(scheduler.now, each) async for each in receive])

    scheduler = GuestScheduler(1)
    scheduler.host(lambda: main(scheduler))
    scheduler.run_until(2.0)
    send.send_nowait("asked")
    send.close()
    scheduler.run_until(3.0)
    scheduler.end()
    assert seen == [(2.0, "asked")]


async def returns_at_once(scheduler: GuestScheduler) -> None:
    await trio.lowlevel.checkpoint()


def test_what_trio_would_give_to_a_thread_is_called_here_and_takes_virtual_time() -> None:
    called = list[tuple[float, str, bool]]()

    def work(name: str) -> str:
        called.append((trio.current_time(), name, threading.current_thread().name == "MainThread"))
        return name.upper()

    async def call(do: Callable[[], object]) -> object:
        await trio.sleep(0.5)
        return do()

    async def main(scheduler: GuestScheduler) -> None:
        one = trio.CapacityLimiter(1)
        async with trio.open_nursery() as nursery:
            for name in "ab":
                nursery.start_soon(partial(trio.to_thread.run_sync, work, name, limiter=one))
        assert await trio.to_thread.run_sync(work, "c") == "C"

    with threads_replaced(call):
        play(main, 10)
    assert [(at, here) for at, _, here in called] == [(0.5, True), (1.0, True), (1.5, True)]
