"""A judge without teeth proves nothing: what is broken in the real code has to be found.

For a mechanism that is taken out (``ablations``), and for a bug that is put in (``planted``), there
is a plan in which clients notice; the same plan is clean with the code as it is. What seeds do not
find is found by a scenario, and listed here.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import pytest
import test_ring_announcing as announcing
import test_ring_expiry as expiry
import test_ring_frozen as frozen
import test_ring_greeting as greeting
import test_ring_insist as insist
import test_ring_querying as querying
import test_ring_receipts as receipts
import test_ring_record as record
import test_ring_releasing as releasing
import test_ring_replication as replication
import test_ring_rotation as rotation
import test_ring_routing as routing
import test_ring_serving as serving
import test_ring_structured_cut as structured
import test_ring_takeover as takeover
from teeth import BROKEN, TEETH, bites, plan_of

from simulations.plan import plan_from_json, read_plan
from simulations.run import failing_promises, run

PAGE = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")

UNFOUND: dict[str, Callable[[], None]] = {
    "announce what is loaded": (
        announcing.test_nothing_is_announced_because_it_is_read_from_a_disk
    ),
    "hear of no delivery": (
        announcing.test_what_was_delivered_is_announced_no_more_when_the_member_is_lost
    ),
    "take all that comes for news": (
        announcing.test_a_member_that_is_refilled_takes_nothing_old_for_news
    ),
    "tell no new holder what waits": announcing.test_a_member_that_is_refilled_is_told_what_waits,
    "act on after a standstill": (
        frozen.test_a_node_that_stood_still_answers_nothing_before_it_has_heard_the_others
    ),
    "ask nobody while unsettled": (
        routing.test_while_a_home_is_not_compared_each_id_is_asked_for_first
    ),
    "compare nothing when one is down": (
        takeover.test_who_comes_first_hears_the_others_once_more_when_the_one_who_acts_is_lost
    ),
    "count dials that began before": (
        greeting.test_a_dial_that_began_before_a_member_called_does_not_make_it_down
    ),
    "end what expires": expiry.test_the_acting_owner_marks_it_and_everybody_hides_it,
    "go on after a standstill": (
        frozen.test_what_it_had_received_before_it_stood_still_no_longer_counts
    ),
    "insist on nothing": insist.test_who_cannot_go_where_it_is_redirected_insists_and_is_served,
    "move only what is older": (
        rotation.test_changes_of_the_other_side_move_on_whatever_their_stamp
    ),
    "move nothing late": rotation.test_changes_of_the_other_side_move_on_whatever_their_stamp,
    "name no home that is missing": (querying.test_a_home_for_which_nobody_answers_yet_is_named),
    "pass no merge on": replication.test_news_goes_on_to_the_holders_but_not_to_where_it_came_from,
    "read every fragment as whole": record.test_a_part_is_not_whole_by_the_digest_of_another,
    "redirect to anybody": (
        routing.test_nobody_is_redirected_to_whom_the_redirecting_one_has_not_heard
    ),
    "release at once": releasing.test_while_a_holder_is_still_compared_with_nobody_is_freed,
    "resend nothing": receipts.test_a_backup_whose_link_was_renewed_is_asked_again,
    "stamp a new floor by the clock": partial(
        structured.test_what_two_sides_add_to_a_map_that_neither_had_is_in_it, "a"
    ),
    "store no end of the unknown": (
        serving.test_an_end_of_an_unknown_session_is_kept_for_who_is_away
    ),
}
"""What 200 seeds do not find, and a test that does."""


@cache
def is_clean(text: str) -> bool:
    """Return whether a plan finds nothing in the code as it is; some plans find several bugs."""
    return not failing_promises(run(plan_from_json(text)))


@pytest.mark.parametrize("name", sorted(BROKEN.keys() - UNFOUND.keys()))
def test_what_is_broken_is_found_by_its_plan(name: str) -> None:
    assert bites(read_plan(plan_of(name)), name)
    assert is_clean(plan_of(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", UNFOUND)
def test_what_no_plan_finds_is_found_by_a_test(name: str) -> None:
    with BROKEN[name](), pytest.raises(AssertionError):
        UNFOUND[name]()


def test_the_page_has_everything_that_is_broken_and_the_seed_that_finds_it() -> None:
    section = PAGE.partition("## Teeth")[2].partition("### Bugs put into whole nodes")[0]
    rows = dict(re.findall(r"(?m)^\| ([a-z ]+) \| (\d+) \| [a-z, -]+ \|$", section))
    found = BROKEN.keys() - UNFOUND.keys()
    assert rows == {name: str(read_plan(plan_of(name)).seed) for name in found}
    named = re.findall(r"(?m)^\| ([a-z ]+) \| `(test_\w+)` \|$", PAGE)
    tests = {name: getattr(test, "func", test).__name__ for name, test in UNFOUND.items()}
    assert dict(named) == tests


def test_every_plan_belongs_to_something_that_is_broken() -> None:
    found = {plan_of(name) for name in BROKEN.keys() - UNFOUND.keys()}
    assert set(TEETH.glob("*.json")) == found
    assert UNFOUND.keys() <= BROKEN.keys()
