"""What a run comes to: counts by phase, each harm once, fault windows, and the words for it."""

import json

import pytest

from simulations.history import Kind, Operation, Outcome
from simulations.ring_lines import phase_lines, verdict_lines
from simulations.ring_script import ACTS, RECOVERY, RESTART, TAKEOVER
from simulations.ring_tally import Phase, Tally
from simulations.script import STEADY
from simulations.violation import Harm, Violation


def change(
    invoked: float, outcome: Outcome = Outcome.OK, *, degraded: bool = False, kind: Kind = Kind.SAVE
) -> Operation:
    operation = Operation(0, kind, "a.1", "a", invoked)
    operation.outcome, operation.degraded = outcome, degraded
    return operation


def lost(session: str = "a.1", writer: int | None = None, harm: Harm = Harm.LOST) -> Violation:
    return Violation("durable", "a story", harm, session, writer)


@pytest.fixture
def tally() -> Tally:
    tally = Tally()
    tally.begin(STEADY)
    return tally


def totals(tally: Tally) -> tuple[int, ...]:
    total = tally.total
    return total.attempted, total.acknowledged, total.degraded, total.unknown


def test_changes_count_by_their_outcome_and_reads_apart(tally: Tally) -> None:
    tally.add_operation(change(0.0))
    tally.add_operation(change(0.0, degraded=True))
    tally.add_operation(change(0.0, Outcome.UNKNOWN, kind=Kind.END))
    tally.add_operation(change(0.0, Outcome.FAILED, kind=Kind.CREATE))
    tally.add_operation(change(0.0, kind=Kind.FIND))
    assert totals(tally) == (4, 2, 1, 1)
    assert tally.reads == 1


def test_a_request_is_refused_unless_it_was_answered_that_the_session_is_gone(tally: Tally) -> None:
    gone = change(0.0, Outcome.FAILED)
    gone.reason = "gone"
    tally.add_operation(gone)
    tally.add_operation(change(0.0, Outcome.FAILED))
    tally.add_operation(change(0.0, Outcome.FAILED, kind=Kind.FIND))
    assert tally.total.refused == 2


def test_phases_add_up_to_the_run(tally: Tally) -> None:
    tally.add_session()
    tally.add_operation(change(0.0))
    tally.begin(TAKEOVER)
    tally.add_session()
    tally.add_operation(change(0.0, Outcome.UNKNOWN))
    tally.add_violations([lost()])
    result = tally.as_json(3, 1)
    for name in ("sessions", "attempted", "acknowledged", "unknown", "lost"):
        assert result[name] == sum(phase[name] for phase in result["phases"])
    assert [phase["lost"] for phase in result["phases"]] == [0, 1]
    assert json.loads(json.dumps(result)) == result


def test_a_harm_counts_once_however_many_see_it(tally: Tally) -> None:
    tally.add_violations([lost(), lost(), lost(writer=1), lost("a.2")])
    tally.add_violations([lost(), lost(harm=Harm.STALE), lost(harm=Harm.RESURRECTED)])
    assert (tally.total.lost, tally.total.stale, tally.total.resurrected) == (3, 1, 1)
    assert len(tally.violations) == 5


@pytest.mark.parametrize("harm", list(Harm))
def test_any_harm_breaks_the_run(tally: Tally, harm: Harm) -> None:
    assert tally.as_json(3, 1)["ok"] is True
    tally.add_violations([lost(harm=harm)])
    assert tally.as_json(3, 1)["ok"] is False


def test_only_changes_that_saw_no_fault_window_count_as_outside(tally: Tally) -> None:
    tally.add_operation(change(0.0))
    tally.open_window()
    tally.add_operation(change(1.0, degraded=True))
    tally.close_window(2.0)
    tally.add_operation(change(1.5, degraded=True))  # asked while it was open
    tally.add_operation(change(2.5, degraded=True))
    tally.add_operation(change(2.6))
    tally.add_operation(change(2.7))
    assert (tally.outside_acknowledged, tally.outside_degraded) == (4, 1)
    assert tally.undegraded_outside_percent == 75.0


def test_without_changes_outside_there_is_no_share(tally: Tally) -> None:
    tally.open_window()
    tally.add_operation(change(0.0))
    assert tally.undegraded_outside_percent is None
    assert tally.as_json(3, 1)["undegraded_outside_faults_percent"] is None


def played() -> Tally:
    tally = Tally()
    for act in ACTS:
        if act.name not in (STEADY, TAKEOVER, RECOVERY, RESTART):
            continue
        phase = tally.begin(act.name)
        phase.away, phase.recovery = act.away, act.recovery
        phase.seconds = 1.0
        tally.add_operation(change(0.0))
    tally.phases[1].readable_ms = [10.0, 20.0, 60.0]
    tally.phases[1].unavailable_ms = [20.0, 30.0, 1100.0]
    tally.phases[1].remark = "a killed, b answers for it"
    tally.phases[2].recovery_s = 1.234
    return tally


def test_the_times_of_a_phase_are_those_of_its_probes() -> None:
    takeover, recovery = (phase.as_json() for phase in played().phases[1:3])
    assert (takeover["unavailable_ms_median"], takeover["unavailable_ms_max"]) == (30.0, 1100.0)
    assert takeover["recovery_s"] is None
    assert (recovery["unavailable_ms_median"], recovery["unavailable_ms_max"]) == (None, None)
    assert recovery["recovery_s"] == 1.234


def test_a_kept_promise_is_said_in_words_with_what_was_measured() -> None:
    lines = list(verdict_lines(played(), 7))
    assert "kept every acknowledged change: lost 0, stale 0, resurrected 0" in lines
    text = "\n".join(lines)
    assert "  takeover, as clients saw it             median 30 ms, at most 1,100 ms" in lines
    assert "  recovery of what was killed             1.23 s" in lines
    assert "out of reach" not in text
    assert all(len(line) < 80 for line in lines)


def test_reads_that_a_cut_excuses_are_told() -> None:
    tally = played()
    tally.excused = 12
    assert "  reads that missed what was out of reach 12" in list(verdict_lines(tally, 7))


def test_a_broken_promise_is_told_with_its_stories_and_how_to_look_at_it() -> None:
    tally = played()
    tally.add_violations(lost(f"a.{number}") for number in range(12))
    text = "\n".join(verdict_lines(tally, 7))
    assert "BROKEN: lost 12, stale 0, resurrected 0" in text
    assert text.count("durable: a story") == 10
    assert "and 2 more" in text
    assert "--seed 7 --keep DIR" in text


def test_a_phase_is_told_within_eighty_columns() -> None:
    phase = played().phases[1]
    phase.counts.attempted = phase.counts.acknowledged = 1_234_567
    assert list(phase_lines(phase)) == [
        "kill and takeover     1.0 1,234,567    1,234,567        0       0       0      0",
        "  a killed, b answers for it",
        "  away to clients: to read 20 ms (max 60), and to write 30 ms (max 1,100)",
    ]
    skipped = Phase(TAKEOVER, skipped="needs 2 members")
    assert list(phase_lines(skipped)) == ["kill and takeover    skipped: needs 2 members"]
