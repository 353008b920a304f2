"""Receipts against what the nodes that they name have: who lies, and who need not have it."""

from typing import cast

from attrs import frozen

from ring import Record, SessionId
from ring.clock import Stamp
from ring.entry import EndReason, make_entry
from simulations.ground import Ground
from simulations.history import Kind, Operation, Outcome
from simulations.honesty import Honesty
from simulations.judge import Judge
from simulations.versions import changes_of

OLD, NEW = "b.0123456789abcdef012345", "b.abcdef0123456789abcdef"
IDS = [SessionId(OLD.encode()), SessionId(NEW.encode())]
RETENTION_S = 24.0


def told(judge: Judge, kind: Kind, invoked: float, outcome: Outcome = Outcome.OK) -> Operation:
    """Have a judge hear of an operation that b and c are said to hold within 0.1 s."""
    operation = Operation(0, kind, OLD, "b", invoked, version=round(invoked), new_session=NEW)
    judge.on_invoked(operation)
    operation.returned, operation.outcome = invoked + 0.1, outcome
    operation.holders = ("b", "c")
    judge.on_returned(operation)
    return operation


def created() -> Judge:
    """Return a judge that knows of a session, created at 1 s and kept by b and c."""
    judge = Judge(retention_s=RETENTION_S)
    told(judge, Kind.CREATE, 1.0)
    return judge


@frozen
class Memories:
    """Nodes that have been there for ever, and have all the same."""

    records: dict[SessionId, Record]

    def is_older(self, name: str, since: float) -> bool:
        return True

    def look(self, name: str, session_id: SessionId) -> Record | None:
        return self.records.get(session_id)

    stored = look


def lies(judge: Judge, operation: Operation, **records: Record) -> int:
    """Return how many nodes a receipt names wrongly, if all have these, and nothing else."""
    before = len(judge.violations)
    memories = Memories({IDS[name == "new"]: each for name, each in records.items()})
    Honesty(cast("Ground", memories), judge).check(operation, IDS)
    return len(judge.violations) - before


def written(version: int) -> Record:
    """Return a record in which this version of client 0 is in force."""
    record = Record()
    for key, packed in changes_of(0, version):
        assert packed is not None
        record.put(key, make_entry(Stamp(version), packed))
    return record


def ended(reason: EndReason, new_id: SessionId | None = None) -> Record:
    """Return what remains of a session that has ended."""
    record = Record()
    record.end(reason, "b", Stamp(9), new_id=new_id)
    return record


def test_a_receipt_that_names_who_has_nothing_is_a_lie() -> None:
    judge = created()
    assert lies(judge, told(judge, Kind.SAVE, 4.0)) == 2
    assert lies(judge, told(judge, Kind.END, 5.0)) == 2


def test_who_was_freed_while_the_answer_came_need_not_have_it() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, 4.0)
    judge.on_released(IDS, 3.0)
    assert lies(judge, saved) == 2
    judge.on_released(IDS, 4.05)
    assert lies(judge, saved) == 0


def test_who_was_freed_of_what_it_has_become_need_not_have_it() -> None:
    """The session went on under a new id while the answer came, and it was freed of that one."""
    judge = created()
    saved = told(judge, Kind.SAVE, 4.0)
    rotated = told(judge, Kind.ROTATE, 4.02)
    judge.on_released(IDS[1:], 4.05)
    assert lies(judge, saved, old=ended(EndReason.ROTATED, IDS[1])) == 0
    assert lies(judge, rotated, old=ended(EndReason.ROTATED, IDS[1])) == 0


def test_who_has_yielded_while_the_answer_came_need_not_have_it() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, 4.0)
    judge.on_set_aside(IDS, 4.05)
    assert lies(judge, saved) == 0
    told(judge, Kind.FIND, 4.5)
    assert judge.violations == []


def test_an_end_that_is_asked_for_again_may_have_been_forgotten() -> None:
    judge = created()
    told(judge, Kind.END, 4.0)
    assert lies(judge, told(judge, Kind.END, 20.0)) == 2
    assert lies(judge, told(judge, Kind.END, 29.0)) == 0


def test_a_rotation_that_is_repeated_may_have_been_forgotten() -> None:
    """Its tombstone is as old as the first attempt. Without it honest nodes are called liars."""
    judge = created()
    told(judge, Kind.ROTATE, 4.0, Outcome.UNKNOWN)
    assert lies(judge, told(judge, Kind.ROTATE, 20.0), new=written(20)) == 2
    assert lies(judge, told(judge, Kind.ROTATE, 29.0), new=written(29)) == 0


def test_what_was_saved_before_a_rotation_is_had_under_the_new_id() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, 4.0)
    old = ended(EndReason.ROTATED, IDS[1])
    assert lies(judge, saved, old=old, new=written(4)) == 0
    assert lies(judge, saved, old=old, new=written(1)) == 2
    assert lies(judge, saved, old=old) == 2


def test_what_was_saved_before_an_end_need_not_be_had_any_more() -> None:
    judge = created()
    saved = told(judge, Kind.SAVE, 4.0)
    assert lies(judge, saved, old=ended(EndReason.DELETED)) == 0
    old = ended(EndReason.ROTATED, IDS[1])
    assert lies(judge, saved, old=old, new=ended(EndReason.DELETED)) == 0


def test_who_has_the_new_id_of_a_rotation_has_to_have_the_end_of_the_old_one() -> None:
    judge = created()
    rotated = told(judge, Kind.ROTATE, 4.0)
    assert lies(judge, rotated, new=written(4)) == 2
    assert lies(judge, rotated, old=written(1), new=written(4)) == 2
    assert lies(judge, rotated, old=ended(EndReason.ROTATED, IDS[1]), new=written(4)) == 0
