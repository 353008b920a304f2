"""Hand-made histories of sessions that were rotated: what is expected under which id."""

from math import inf

from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge

OLD, NEW, OTHER = "a.old", "a.new", "a.other"


class Told:
    """A judge that knows of one session, created by client 0 with version 1."""

    def __init__(self, retention_s: float = inf) -> None:
        self.judge = Judge(retention_s=retention_s)
        self.now = 0.0
        """When all is asked from here on; the answers come 1 s later."""
        self.change(0, Kind.CREATE, OLD, 1)

    def begin(
        self, client: int, kind: Kind, session: str, version: int = 0, new: str = ""
    ) -> Operation:
        operation = Operation(client, kind, session, "a", self.now, version, new_session=new)
        self.judge.on_invoked(operation)
        return operation

    def finish(
        self,
        operation: Operation,
        outcome: Outcome = Outcome.OK,
        *,
        read: dict[int, int] | None = None,
        reason: str = "",
        degraded: bool = False,
    ) -> None:
        operation.returned, operation.outcome, operation.reason = self.now + 1, outcome, reason
        operation.found, operation.read = read is not None, read
        operation.degraded = degraded
        if operation.kind is not Kind.FIND and outcome is Outcome.OK:
            operation.holders = ("a", "b")
        self.judge.on_returned(operation)

    def change(self, client: int, kind: Kind, session: str, version: int = 0) -> None:
        self.finish(self.begin(client, kind, session, version))

    def rotate(
        self, client: int, session: str, new: str, version: int, outcome: Outcome = Outcome.OK
    ) -> None:
        self.finish(self.begin(client, Kind.ROTATE, session, version, new), outcome)

    def read(self, session: str, versions: dict[int, int] | None) -> None:
        self.finish(self.begin(9, Kind.FIND, session), read=versions)

    @property
    def found(self) -> list[str]:
        return [each.promise for each in self.judge.violations]


def test_a_rotated_session_is_found_under_its_new_id_with_all_it_had() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.read(NEW, {0: 1, 1: 2})
    told.read(OLD, None)
    told.change(0, Kind.SAVE, NEW, 3)
    told.read(NEW, {0: 3, 1: 2})
    assert told.found == []


def test_a_session_that_is_not_found_under_its_new_id_is_lost() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.read(NEW, None)
    assert told.found == ["durable"]


def test_what_was_written_under_the_old_id_is_missed_under_the_new_one() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.read(NEW, {1: 2})
    assert told.found == ["no-lost-attribute"]


def test_the_old_id_must_not_be_found_again() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.read(OLD, {0: 1, 1: 2})
    told.change(0, Kind.SAVE, OLD, 3)
    assert told.found == ["ended-is-final"] * 2


def test_a_save_that_is_told_of_the_rotation_is_no_loss() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.finish(told.begin(0, Kind.SAVE, OLD, 3), Outcome.FAILED, reason="gone")
    assert told.found == []


def test_after_an_unknown_outcome_either_id_may_be_found_and_neither_has_to_be() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2, Outcome.UNKNOWN)
    told.read(OLD, {0: 1})
    told.read(OLD, None)
    told.read(NEW, None)
    told.read(NEW, {0: 1, 1: 2})
    assert told.found == []


def test_a_rotation_that_is_repeated_is_one_rotation() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2, Outcome.UNKNOWN)
    told.rotate(1, OLD, NEW, 2)
    told.read(NEW, {0: 1, 1: 2})
    assert told.found == []
    told.read(NEW, None)
    assert told.found == ["durable"]


def test_the_end_of_the_old_id_is_the_end_of_the_new_one() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.change(0, Kind.END, OLD)
    told.read(NEW, None)
    assert told.found == []
    told.read(NEW, {0: 1, 1: 2})
    assert told.found == ["ended-is-final"]


def test_of_two_rotations_at_once_either_may_win_and_one_has_everything() -> None:
    told = Told()
    one = told.begin(1, Kind.ROTATE, OLD, 2, NEW)
    other = told.begin(2, Kind.ROTATE, OLD, 3, OTHER)
    told.finish(one)
    told.finish(other)
    told.read(NEW, None)
    told.read(OTHER, {0: 1, 1: 2, 2: 3})
    assert told.found == []
    told.read(OTHER, {0: 1, 2: 3})
    assert told.found == ["no-lost-attribute"]


def test_another_rotation_after_one_that_was_acknowledged_revives_what_ended() -> None:
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.rotate(2, OLD, OTHER, 3)
    assert told.found == ["ended-is-final"]


def test_an_end_of_the_old_id_follows_a_rotation_only_as_long_as_that_is_remembered() -> None:
    for retention_s, expected in ((2.0, ["ended-is-final"]), (0.5, [])):
        told = Told(retention_s)
        told.rotate(1, OLD, NEW, 2)
        told.change(0, Kind.END, OLD)
        told.read(NEW, {0: 1, 1: 2})
        assert told.found == expected


def test_a_rotation_that_is_repeated_is_forgotten_when_the_first_one_is() -> None:
    """Its tombstone stays as it is. Without it an end is expected to follow what nobody knows."""
    for ended_at, expected in ((20.0, ["ended-is-final"]), (30.0, [])):
        told = Told(retention_s=24.0)
        told.rotate(1, OLD, NEW, 2, Outcome.UNKNOWN)
        told.now = 10.0
        told.rotate(1, OLD, NEW, 2)
        told.now = ended_at
        told.change(0, Kind.END, OLD)
        told.read(NEW, {0: 1, 1: 2})
        assert told.found == expected


def test_a_rotation_that_was_repeated_gets_no_younger() -> None:
    told = Told(retention_s=24.0)
    told.rotate(1, OLD, NEW, 2, Outcome.UNKNOWN)
    told.now = 10.0
    told.rotate(1, OLD, NEW, 2)
    told.judge.may_be_untold = True
    told.now = 20.0
    told.read(OLD, {0: 1})
    assert told.found == ["ended-is-final"]
    told.now = 30.0
    told.read(OLD, {0: 1})
    assert told.found == ["ended-is-final"]


def test_nothing_is_asked_for_under_the_new_id_if_the_rotation_is_lost() -> None:
    """Who took it may be gone. Without it what is left of the new id has to have all of the old."""
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    for claim in told.judge.sessions[NEW].born:
        claim.lost = True
    told.read(NEW, {1: 2})
    told.read(NEW, None)
    assert told.found == []


def test_of_two_rotations_each_knows_its_own_side_until_all_have_met() -> None:
    told = Told()
    one = told.begin(1, Kind.ROTATE, OLD, 2, NEW)
    told.rotate(2, OLD, OTHER, 3)
    told.finish(one)
    told.judge.have_all_met = False
    told.read(OTHER, {2: 3})
    assert told.found == []
    told.judge.have_all_met = True
    told.read(OTHER, {0: 1, 1: 2, 2: 3})
    assert told.found == []
    told.read(OTHER, {1: 2, 2: 3})
    assert told.found == ["no-lost-attribute"]


def test_what_was_written_under_the_new_id_is_not_asked_for_under_the_old_one() -> None:
    """If the rotation was lost with who took it, two sessions are there."""
    told = Told()
    told.rotate(1, OLD, NEW, 2)
    told.change(0, Kind.SAVE, NEW, 3)
    for claim in told.judge.sessions[OLD].ended:
        claim.lost = True
    told.read(OLD, {0: 1})
    assert told.found == []
    told.read(OLD, {})
    assert told.found == ["no-lost-attribute"]


def test_an_end_of_the_old_id_reaches_the_new_one_once_all_have_met() -> None:
    told = Told()
    one = told.begin(1, Kind.ROTATE, OLD, 2, NEW)
    told.change(0, Kind.END, OLD)
    told.finish(one)
    told.judge.violations.clear()
    told.judge.have_all_met = False
    told.read(NEW, {0: 1, 1: 2})
    assert told.found == []
    told.judge.have_all_met = True
    told.read(NEW, {0: 1, 1: 2})
    assert told.found == ["ended-is-final"]
