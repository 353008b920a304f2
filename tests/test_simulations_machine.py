"""Rings as state machines: rules of an application among faults."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from ablations import ABLATIONS
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from node import Sessions, SessionUnavailableError
from node.errors import ValueNotStorableError
from simulations.machine import RingMachine
from simulations.plan import Level
from simulations.simulate import PromiseBroken

EVERY_LEVEL = pytest.mark.parametrize("level", list(Level))
QUICKLY = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
)


async def create(sessions: Sessions, **attributes: object) -> str:
    session = sessions.create()
    session.update(attributes)
    await session.save()
    return session.id


async def read(sessions: Sessions, session_id: str) -> dict[str, object]:
    session = await sessions.find(session_id)
    return dict(session or {})


async def put(sessions: Sessions, session_id: str, **attributes: object) -> bool:
    session = await sessions.find(session_id)
    assert session is not None
    session.update(attributes)
    return not (await session.save()).degraded


class Idle(RingMachine):
    """Has no rules of its own."""


@contextmanager
def running(kind: type[RingMachine] = Idle, level: Level = Level.CORE) -> Iterator[RingMachine]:
    """Run a machine by hand, as Hypothesis does."""
    machine = type(kind.__name__, (kind,), {"level": level})()
    try:
        yield machine
    finally:
        machine.teardown()


# --- What it finds ---


class Items(RingMachine):
    """An application that keeps each item in an attribute of its own, and its model."""

    def __init__(self) -> None:
        super().__init__()
        self.session_id: str | None = None
        self.items = set[str]()
        self.looks = 0

    @rule(client=st.integers(0, 1), item=st.sampled_from("xyz"))
    def put(self, client: int, item: str) -> None:
        sessions = self.client(client).sessions
        if self.session_id is None:
            self.session_id = self.do(create(sessions))
        elif self.do(put(sessions, self.session_id, **{item: 1})):
            self.items.add(item)

    @invariant()
    def all_items_are_there(self) -> None:
        if self.session_id is not None:
            found = self.do(read(self.client().sessions, self.session_id))
            assert found is None or self.items <= found.keys()

    def check_settled(self) -> None:
        self.looks += 1
        if self.session_id is not None:
            assert self.items <= dict(self.session(self.session_id) or {}).keys()


def test_an_application_that_relies_on_what_is_promised_passes() -> None:
    run_state_machine_as_test(Items, settings=QUICKLY)


def test_a_ring_that_breaks_a_promise_is_found() -> None:
    with (
        ABLATIONS["acknowledge before merging"](),
        pytest.raises(PromiseBroken) as broken,
    ):
        run_state_machine_as_test(Items, settings=QUICKLY)
    assert str(broken.value) == f"{broken.value.promise}: {broken.value.story}"


def test_failures_shrink_to_the_steps_that_it_takes() -> None:
    class Relying(Idle):
        @invariant()
        def a_runs(self) -> None:
            assert "a" in self.running, "a is not there"

    few = settings(QUICKLY, phases=[Phase.generate, Phase.shrink], stateful_step_count=8)
    with pytest.raises(AssertionError, match="a is not there") as failed:
        run_state_machine_as_test(Relying, settings=few)
    steps = [line for line in failed.value.__notes__ if line.startswith("state.")]
    fault, end = (line for line in steps if "a_runs" not in line)
    assert "node='a'" in fault
    assert end == "state.teardown()"


# --- What rules do ---


@EVERY_LEVEL
def test_a_client_does_what_it_is_told_and_the_ring_settles(level: Level) -> None:
    with running(Items, level) as machine:
        session_id = machine.do(create(machine.client().sessions, name="Ada"))
        assert session_id is not None
        machine.crash("a", 0.0)
        assert machine.away == ["a"]
        assert machine.do(read(machine.client(1).sessions, session_id)) == {"name": "Ada"}
        machine.settle()
        assert machine.away == []
        assert dict(machine.session(session_id) or {}) == {"name": "Ada"}
        machine.freeze("b", 0.0)
        assert machine.running == ["a", "c"]
    assert isinstance(machine, Items)
    assert machine.looks == 2


def test_several_clients_do_something_at_the_same_time() -> None:
    async def number(sleeps: float) -> int:
        await machine.client().sleep(sleeps)
        return round(machine.now - began)

    with running() as machine:
        began = machine.now
        assert machine.do_together(number(2.0), number(1.0)) == [2, 1]


def test_an_error_of_the_ring_ends_what_a_client_does() -> None:
    async def refused() -> int:
        raise SessionUnavailableError("not today")

    with running() as machine:
        assert machine.do(refused()) is None
        assert [str(error) for error in machine.refused] == ["not today"]


def test_what_no_fault_causes_fails_the_rule() -> None:
    with running() as machine:
        with pytest.raises(ValueNotStorableError, match="cart"):
            machine.do(create(machine.client().sessions, cart=object()))
        assert machine.refused == []


def test_what_else_is_raised_is_raised_and_what_never_ends_is_ended() -> None:
    async def wrong() -> None:
        raise ZeroDivisionError

    async def endless() -> None:
        while True:
            await machine.client().sleep(1.0)

    with running() as machine:
        with pytest.raises(ZeroDivisionError):
            machine.do(wrong())
        with pytest.raises(TimeoutError, match="60 simulated seconds"):
            machine.do(endless())


def test_one_client_does_not_change_two_things_at_a_time() -> None:
    """Nobody could say which of them came first, so no read of theirs could be judged."""
    with running() as machine:
        sessions = machine.client().sessions
        with pytest.raises(RuntimeError, match="for several clients"):
            machine.do_together(create(sessions), create(sessions))


def test_what_a_rule_raises_is_not_hidden_by_the_end() -> None:
    class Wrong(Idle):
        @rule()
        def fail(self) -> None:
            raise ZeroDivisionError

        def check_settled(self) -> None:
            pytest.fail("not to be asked")

    with pytest.raises(ZeroDivisionError):
        run_state_machine_as_test(Wrong, settings=QUICKLY)


# --- Faults ---


def test_each_fault_lasts_until_it_is_ended() -> None:
    with running() as machine:
        world = machine._world
        machine.cut(("a", "b"), silently=False, after_s=0.0)
        machine.fill_disk("c")
        machine.wait(5.0)
        assert world.cut["b", "a"] == world.disks["c"].failing == 1
        machine.heal()
        assert (world.cut, world.disks["c"].failing) == ({}, 0)
        machine.stop("a")
        machine.wait(5.0)
        assert machine.away == ["a"]
        machine.restart("a")
        assert machine.away == []
        machine.freeze("b", 0.0)
        machine.wait(5.0)
        machine.restart("b")
        assert machine.running == ["a", "b", "c"]


def test_a_fault_may_strike_while_the_next_rule_does_something() -> None:
    with running() as machine:
        machine.crash("a", 0.1)
        assert machine.running == ["a", "b", "c"]
        machine.do(machine.client().sleep(0.2))
        assert machine.running == ["b", "c"]


def test_a_node_is_lost_only_when_the_ring_can_bear_it_and_never_the_last_one() -> None:
    with running() as machine:
        machine.crash("a", 0.0)
        machine.crash("b", 0.05)
        assert machine._world.all_settled()
        machine.wait(1.0)
        assert machine.running == ["c"]
        machine.crash("c", 0.0)
        machine.stop("c")
        machine.freeze("c", 0.0)
        assert machine.running == ["c"]


def test_nothing_else_strikes_while_a_node_stands_still_or_links_are_cut() -> None:
    with running() as machine:
        machine.freeze("a", 0.0)
        machine.crash("b", 0.0)
        machine.cut(("b", "c"), silently=True, after_s=0.0)
        assert machine._stage.striking.faults == {"freeze": 1}
        machine.heal()
        machine.cut(("b", "c"), silently=True, after_s=0.0)
        machine.cut(("a", "b"), silently=False, after_s=0.0)
        machine.freeze("c", 0.0)
        assert machine._stage.striking.faults == {"freeze": 1, "cut": 2}


def test_who_comes_back_has_heard_the_others_before_it_is_cut_off() -> None:
    """It would go on from its disk, which need not have what was acknowledged."""
    with running() as machine:
        machine.crash("a", 0.0)
        machine.cut(("a", "b"), silently=False, after_s=0.0)
        assert machine._stage.striking.faults == {"crash": 1}
        machine.wait(5.0)
        machine.restart("a")
        machine.cut(("a", "b"), silently=False, after_s=0.0)
        assert machine._stage.striking.faults == {"crash": 1, "cut": 1}
        assert machine._world.processes["a"].replica.ready


def test_the_same_steps_are_the_same_run() -> None:
    def trace() -> str:
        with running(Items) as machine:
            assert isinstance(machine, Items)
            for step in range(6):
                machine.put(step % 2, "xyz"[step % 3])
                machine.crash("abc"[step % 3], 0.02)
                machine.wait(1.0)
                machine.heal()
        return machine._world.scheduler.trace_hash()

    assert trace() == trace()


def test_a_ring_that_cannot_be_is_refused_by_name() -> None:
    class Large(RingMachine):
        nodes: ClassVar[int] = 8

    with pytest.raises(ValueError, match="nodes is 8"):
        Large()
    assert issubclass(Large, RuleBasedStateMachine)


# --- Mistakes ---


def test_a_machine_that_fails_as_it_begins_harms_no_later_one() -> None:
    class Failing(Idle):
        level: ClassVar[str] = Level.NODE

        def __init__(self) -> None:
            super().__init__()
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            Failing()
    with running(level=Level.NODE) as machine:
        assert machine.do(create(machine.client().sessions)) is not None


def test_a_machine_without_a_ring_is_told_why() -> None:
    class Forgetful(Idle):
        def __init__(self) -> None:
            """Does not call that of ``RingMachine``."""

        @rule()
        def go(self) -> None:
            self.client()

    told = r"Forgetful\.__init__ has to call super\(\)\.__init__\(\)"
    with pytest.raises(RuntimeError, match=told):
        run_state_machine_as_test(Forgetful, settings=QUICKLY)
    with pytest.raises(RuntimeError, match=told):
        Forgetful().go()


def test_what_cannot_be_done_is_refused_by_name() -> None:
    with running() as machine:
        anything: Any = machine
        for strange in (None, lambda: 1, create):
            with pytest.raises(TypeError, match="is no coroutine: give what an async function"):
                anything.do(strange)
        with pytest.raises(TypeError, match="None is no coroutine"):
            anything.do_together(machine.client().sleep(1.0), None)
        for number in (-1, 2):
            with pytest.raises(ValueError, match=f"number is {number}; give 0 to 1"):
                machine.client(number)
        strikes: Sequence[Callable[[], object]] = (
            lambda: machine.crash("zz", 0.0),
            lambda: machine.stop("zz"),
            lambda: machine.freeze("zz", 0.1),
            lambda: machine.restart("zz"),
            lambda: machine.fill_disk("zz"),
            lambda: machine.cut(("a", "zz"), silently=False, after_s=0.0),
        )
        for strike in strikes:
            with pytest.raises(ValueError, match="node is 'zz'; give one of a, b, c"):
                strike()
        with pytest.raises(ValueError, match="seconds is -1; give 0 or more"):
            machine.wait(-1)


def test_a_level_that_there_is_not_is_refused_by_name() -> None:
    class Misspelled(Idle):
        level: ClassVar[str] = "nodes"

    with pytest.raises(ValueError, match="level is 'nodes'; give core or node"):
        Misspelled()
