"""What faults may have taken: a claim holds as long as fewer nodes are away than it names."""

from ring import SessionId
from simulations.budget import Budget, Claim
from simulations.judge import Judge
from simulations.known import Change, Known


def claimed(budget: Budget, *named: str, on_disk: tuple[str, ...] = ()) -> Claim:
    return budget.claim(named, on_disk)


def test_a_claim_of_two_outlives_the_loss_of_one() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_lost("a", disk_kept=False)
    assert budget.must_hold(claim, "b", "a")
    assert budget.must_hold(claim, "c", "a")
    budget.on_lost("b", disk_kept=False)
    assert not budget.must_hold(claim, "c", "a")
    budget.on_settled("abcde")
    assert not budget.must_hold(claim, "c", "a")  # What was lost once is lost.


def test_the_loss_of_others_takes_nothing() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_lost("c", disk_kept=False)
    budget.on_lost("d", disk_kept=False)
    assert budget.must_hold(claim, "e", "a")


def test_losses_before_the_claim_do_not_count() -> None:
    budget = Budget(2)
    budget.on_lost("a", disk_kept=False)
    claim = claimed(budget, "a", "b")
    budget.on_lost("b", disk_kept=False)
    assert budget.must_hold(claim, "a", "a")


def test_a_disk_that_was_named_and_kept_brings_it_back() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b", on_disk=("a",))
    budget.on_lost("a", disk_kept=True)
    budget.on_lost("b", disk_kept=False)
    assert not budget.must_hold(claim, "c", "a")  # Not while a is on its way back.
    budget.on_settled("abcde")
    assert budget.must_hold(claim, "c", "a")


def test_a_disk_whose_node_stays_away_is_not_asked_for() -> None:
    budget = Budget(1)
    claim = claimed(budget, "a", on_disk=("a",))
    budget.on_lost("a", disk_kept=True)
    budget.on_settled("bc")
    assert not budget.must_hold(claim, "b", "a")
    budget.on_settled("bc")
    assert not budget.must_hold(claim, "b", "a")
    budget.on_settled("abc")
    assert budget.must_hold(claim, "b", "a")


def test_a_disk_that_is_lost_brings_nothing_back() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b", on_disk=("a",))
    budget.on_lost("a", disk_kept=False)
    budget.on_lost("b", disk_kept=True)
    budget.on_settled("abcde")
    assert not budget.must_hold(claim, "c", "a")


def test_in_later_windows_any_nodes_may_be_the_holders() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_lost("a", disk_kept=False)
    budget.on_settled("abcde")
    budget.on_lost("c", disk_kept=False)
    assert budget.must_hold(claim, "d", "b")
    budget.on_lost("d", disk_kept=False)
    assert not budget.must_hold(claim, "e", "a")


def test_no_more_copies_are_asked_for_than_nodes_lived() -> None:
    """The last one alive is settled by itself: it has one copy of everything, and no other."""
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_lost("a", disk_kept=False)
    budget.on_settled("b")
    assert budget.must_hold(claim, "b", "a")
    budget.on_lost("b", disk_kept=False)
    assert not budget.must_hold(claim, "a", "a")


def test_more_copies_than_are_kept_are_never_asked_for() -> None:
    """A receipt may name a stand-in that lets go of its copy later."""
    budget = Budget(2)
    claim = claimed(budget, "a", "b", "c")
    budget.on_lost("a", disk_kept=False)
    budget.on_lost("b", disk_kept=False)
    assert not budget.must_hold(claim, "d", "a")


def test_who_cannot_be_reached_is_back_with_the_next_window() -> None:
    budget = Budget(2)
    claim = claimed(budget, "b", "c")
    budget.on_apart(("b", "c"))
    assert not budget.must_hold(claim, "a", "a")
    budget.on_settled("abcde")
    assert budget.must_hold(claim, "a", "a")


def test_the_home_itself_has_what_it_was_named_for() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_apart(("a", "b"))
    assert budget.must_hold(claim, "a", "a")
    assert not budget.must_hold(claim, "c", "a")


def test_a_home_that_was_not_there_when_the_others_settled_need_not_know() -> None:
    budget = Budget(2)
    claim = claimed(budget, "a", "b")
    budget.on_lost("a", disk_kept=True)
    budget.on_settled("bc")
    budget.on_apart("abc")
    assert not budget.must_hold(claim, "a", "a")
    budget.on_settled("abc")
    assert budget.must_hold(claim, "a", "a")


def test_a_release_means_that_others_have_it() -> None:
    budget = Budget(2)
    claim = claimed(budget, "b", "c")
    claim.anywhere = True
    budget.on_lost("c", disk_kept=True)
    assert budget.must_hold(claim, "a", "a")
    budget.on_lost("a", disk_kept=True)
    assert not budget.must_hold(claim, "b", "c")


def test_a_home_that_was_never_named_need_not_know_who_has_it_now() -> None:
    """It was cut off when the others acknowledged, and one of them has handed over since."""
    budget = Budget(2)
    budget.on_apart("abc")
    claim = claimed(budget, "a", "b")
    budget.on_left("a")
    assert not budget.must_hold(claim, "c", "c")


def test_of_two_that_cannot_reach_each_other_none_has_to_show_what_the_other_stamps() -> None:
    """They may both act, with a common backup between them."""
    budget = Budget(2)
    budget.on_apart("bc")
    claim = claimed(budget, "c", "a")
    assert not budget.must_hold(claim, "b", "b")
    assert budget.must_hold(claim, "a", "b")
    assert not budget.must_hold(claim, "d", "b")  # It asks b.
    assert budget.must_hold(claim, "d", "d")
    assert budget.must_hold(claim, "d", "c")


def test_a_claim_that_nobody_asks_for_is_forgotten() -> None:
    budget = Budget(1)
    claim = claimed(budget, "a")
    budget.forget(claim)
    budget.on_lost("a", disk_kept=False)
    assert not claim.lost


def test_who_leaves_after_its_heir_was_lost_has_left_nothing() -> None:
    """It had handed everything over to a, which died before it was gone itself."""
    budget = Budget(1)
    claim = claimed(budget, "c")
    budget.on_lost("a", disk_kept=False)
    assert budget.must_hold(claim, "b", "c")
    budget.on_left("c")
    assert claim.lost
    budget.on_settled("bc")
    assert not budget.must_hold(claim, "b", "c")


def test_one_loss_before_somebody_leaves_is_covered_by_two_copies() -> None:
    budget = Budget(2)
    claim = claimed(budget, "c", "b")
    budget.on_lost("a", disk_kept=False)
    budget.on_left("c")
    assert not claim.lost
    assert budget.must_hold(claim, "b", "c")


def test_a_home_that_nobody_reaches_says_nothing_of_what_is_required() -> None:
    """Whole copies were with it and with another one that nobody reaches."""
    judge, session_id = Judge(Budget(2)), SessionId(b"d.x")
    known = judge.sessions["d.x"] = Known()
    claim = claimed(judge.budget, "d", "a")
    known.family.changes[1] = [Change(1, claim, known, 0.0, 0.0)]
    assert judge.is_required(session_id)
    judge.budget.on_apart("ad")
    assert not judge.is_required(session_id)
