"""Hand-made histories in which time counts: use, expiry, and what went while an answer came."""

from typing import cast

from ring import Record, SessionId
from simulations.budget import Budget
from simulations.ground import Ground
from simulations.history import Kind, Operation, Outcome
from simulations.honesty import Honesty
from simulations.judge import Judge

SESSION = "b.0123456789abcdef0123"
IDS = [SessionId(SESSION.encode())]
IDLE_S, RETENTION_S = 4.0, 24.0


def told(
    judge: Judge, kind: Kind, at: str, invoked: float, holders: tuple[str, ...] = ()
) -> Operation:
    """Have a judge hear of an operation of client 0 that was answered within 0.1 s."""
    operation = Operation(0, kind, SESSION, at, invoked, version=round(invoked))
    judge.on_invoked(operation)
    operation.returned, operation.outcome = invoked + 0.1, Outcome.OK
    operation.holders = holders
    judge.on_returned(operation)
    return operation


def created() -> Judge:
    """Return a judge that knows of a session, created at 1 s and kept by b and c."""
    judge = Judge(Budget(2), late_s=1.0, clock_error=0.01, retention_s=RETENTION_S)
    judge.on_created(SESSION, IDLE_S)
    told(judge, Kind.CREATE, "b", 1.0, ("b", "c"))
    return judge


def test_a_session_that_is_in_use_is_there() -> None:
    judge = created()
    told(judge, Kind.SAVE, "c", 4.0, ("c", "b"))
    told(judge, Kind.FIND, "b", 7.0)
    assert [each.promise for each in judge.violations] == ["expiry"]


def test_a_session_may_expire_where_nobody_can_know_of_its_use() -> None:
    judge = created()
    judge.budget.on_apart("abc")
    told(judge, Kind.SAVE, "c", 4.0, ("c", "a"))
    told(judge, Kind.FIND, "b", 4.5)
    assert [each.promise for each in judge.violations] == ["expiry"]
    told(judge, Kind.FIND, "b", 7.0)
    assert len(judge.violations) == 1


class Nothing:
    """The memories of nodes that have been there for ever, and have nothing."""

    def is_older(self, name: str, since: float) -> bool:
        return True

    def look(self, name: str, session_id: SessionId) -> Record | None:
        return None

    stored = look


def lies(judge: Judge, operation: Operation) -> int:
    before = len(judge.violations)
    Honesty(cast("Ground", Nothing()), judge).check(operation, IDS)
    return len(judge.violations) - before


def test_a_receipt_that_names_who_has_nothing_is_a_lie() -> None:
    judge = created()
    assert lies(judge, told(judge, Kind.SAVE, "b", 4.0, ("b", "c"))) == 2
    assert lies(judge, told(judge, Kind.END, "b", 5.0, ("b", "c"))) == 2


def test_who_was_freed_while_the_answer_came_need_not_have_it() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, "b", 4.0, ("b", "c"))
    judge.on_released(IDS, 3.0)
    assert lies(judge, saved) == 2
    judge.on_released(IDS, 4.05)
    assert lies(judge, saved) == 0


def test_who_has_yielded_while_the_answer_came_need_not_have_it() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, "b", 4.0, ("b", "c"))
    judge.on_set_aside(IDS, 4.05)
    assert lies(judge, saved) == 0
    told(judge, Kind.FIND, "b", 4.5)
    assert judge.violations == []


def test_an_end_that_is_asked_for_again_may_have_been_forgotten() -> None:
    judge = created()
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    assert lies(judge, told(judge, Kind.END, "b", 20.0, ("b", "c"))) == 2
    assert lies(judge, told(judge, Kind.END, "b", 29.0, ("b", "c"))) == 0


def test_an_end_may_be_missed_by_who_was_not_told_in_time() -> None:
    judge = created()
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    found = Operation(0, Kind.FIND, SESSION, "b", 5.0, 5)
    judge.on_untold()
    judge.on_invoked(found)
    found.returned, found.outcome, found.found = 5.1, Outcome.OK, True
    found.read = {0: 1}
    judge.on_returned(found)
    assert judge.violations == []


def test_a_holder_may_be_lost_while_the_receipt_is_on_its_way() -> None:
    judge = created()
    saved = Operation(0, Kind.SAVE, SESSION, "b", 4.0, 4)
    judge.on_invoked(saved)
    judge.budget.on_lost("c", disk_kept=False)
    saved.returned, saved.outcome, saved.holders = 4.1, Outcome.OK, ("b", "c")
    judge.on_returned(saved)
    judge.budget.on_lost("b", disk_kept=False)
    told(judge, Kind.FIND, "c", 5.0)
    assert judge.violations == []
