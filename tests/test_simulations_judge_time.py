"""Hand-made histories in which time counts: use, expiry, what is forgotten, and what is lost."""

from math import inf

from simulations.budget import Budget
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge

SESSION = "b.0123456789abcdef0123"
IDLE_S, RETENTION_S = 4.0, 24.0


def told(
    judge: Judge,
    kind: Kind,
    at: str,
    invoked: float,
    holders: tuple[str, ...] = (),
    *,
    client: int = 0,
    read: dict[int, int] | None = None,
) -> Operation:
    """Have a judge hear of an operation that was answered within 0.1 s."""
    operation = Operation(client, kind, SESSION, at, invoked, version=round(invoked))
    judge.on_invoked(operation)
    operation.returned, operation.outcome = invoked + 0.1, Outcome.OK
    operation.holders, operation.found, operation.read = holders, read is not None, read
    judge.on_returned(operation)
    return operation


def created(max_idle_s: float = IDLE_S) -> Judge:
    """Return a judge that knows of a session, created by client 0 at 1 s and kept by b and c."""
    judge = Judge(Budget(2), late_s=1.0, clock_error=0.01, retention_s=RETENTION_S)
    judge.on_created(SESSION, max_idle_s)
    told(judge, Kind.CREATE, "b", 1.0, ("b", "c"))
    return judge


def found_after_its_end(judge: Judge, invoked: float) -> bool:
    """Have a session be found, and return whether the judge minds that it had ended."""
    before = len(judge.violations)
    told(judge, Kind.FIND, "b", invoked, read={0: 1})
    return "ended-is-final" in [each.promise for each in judge.violations[before:]]


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


def test_what_was_there_before_nobody_used_it_for_max_idle_is_not_asked_for() -> None:
    """It may have expired then. Without it a part that an old disk brings back is to be whole."""
    for used_at, expected in ((4.0, ["no-lost-attribute"]), (5.5, [])):
        judge = created()
        told(judge, Kind.SAVE, "b", used_at, ("b", "c"), client=1)
        told(judge, Kind.FIND, "b", 7.0, client=1, read={1: round(used_at)})
        assert [each.promise for each in judge.violations] == expected


def test_an_end_may_be_forgotten_before_somebody_was_told_of_it() -> None:
    """Until it is that old it counts: a comparison that was given up excuses no earlier find."""
    judge = created(inf)
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    judge.may_be_untold = True
    assert found_after_its_end(judge, 5.0)
    assert found_after_its_end(judge, 27.0)
    assert not found_after_its_end(judge, 29.0)


def test_an_end_after_a_comparison_was_given_up_may_be_forgotten_all_the_same() -> None:
    """Whoever was not told of the session's other changes need not be told of its end, either."""
    judge = created(inf)
    judge.may_be_untold = True
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    assert found_after_its_end(judge, 27.0)
    assert not found_after_its_end(judge, 29.0)


def test_an_old_end_counts_if_everybody_was_told_of_it() -> None:
    judge = created(inf)
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    assert found_after_its_end(judge, 29.0)


def test_an_end_that_is_asked_for_again_gets_no_younger() -> None:
    """Its tombstone stays as it is. Without it a member that yields is blamed for older ends."""
    judge = created(inf)
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    told(judge, Kind.END, "b", 20.0, ("b", "c"))
    judge.on_forgotten(3.0)
    assert found_after_its_end(judge, 29.0)
    judge.on_forgotten(5.0)
    assert not found_after_its_end(judge, 29.5)


def test_what_has_ended_and_was_forgotten_may_come_back_as_it_was_on_an_old_disk() -> None:
    """What was written after an end that was asked for in vain is demanded all the same."""
    judge = created(inf)
    told(judge, Kind.SAVE, "b", 3.0, ("b", "c"))
    told(judge, Kind.END, "b", 4.0, ("b", "c"))
    judge.on_forgotten(5.0)
    told(judge, Kind.FIND, "b", 29.0, read={0: 1})
    assert judge.violations == []
    told(judge, Kind.SAVE, "b", 30.0, ("b", "c"))
    judge.on_forgotten(6.0)
    told(judge, Kind.FIND, "b", 31.0, read={0: 3})
    assert [each.promise for each in judge.violations] == ["read-your-writes"]


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
