"""Every scenario by its name."""

from collections.abc import Callable
from inspect import getdoc
from typing import Final

from attrs import frozen

from simulations.scenarios import (
    counting,
    cutting,
    ending,
    few,
    knowing,
    leaving,
    repeating,
    returning,
    rotating,
    timing,
)


@frozen
class Scenario:
    """A story with a name."""

    name: str
    play: Callable[[], None]
    """Raises BrokenPromise."""

    @property
    def story(self) -> str:
        """What happens, in one line."""
        return (getdoc(self.play) or "").partition("\n")[0]


_PLAYS: Final[tuple[Callable[[], None], ...]] = (
    returning.stale_takeover,
    returning.whole_ring_restart,
    returning.restored_old_disk_after_a_logout,
    returning.rolling_kill,
    returning.return_while_the_successor_is_down,
    returning.return_alone_with_an_old_disk,
    returning.wait_alone_with_an_old_disk,
    returning.refill_before_the_next_loss,
    returning.away_longer_than_ends_are_remembered,
    knowing.partial_record_that_lands_on_nothing,
    knowing.fragment_asked_for_before_its_repair,
    knowing.member_that_appears_while_a_home_settles,
    knowing.redirect_to_a_claimant_not_yet_compared_with,
    knowing.failback_to_an_owner_that_was_never_restarted,
    knowing.writes_on_the_backup_and_the_owner_returns,
    knowing.frozen_node_thawed_within_the_suspect_time,
    cutting.two_acting_owners_with_a_common_backup,
    cutting.expiry_under_partition,
    cutting.logout_during_a_partition_longer_than_max_idle,
    cutting.divergent_histories,
    cutting.asymmetric_partition,
    cutting.two_requests_at_two_nodes,
    ending.logout_while_a_request_is_about_to_save,
    ending.delta_for_an_ended_session,
    ending.touch_lost_with_its_owner,
    rotating.rotation_against_logout,
    rotating.end_of_the_old_id_after_its_rotation,
    rotating.rotation_and_a_save_of_the_old_id,
    rotating.crash_in_the_middle_of_a_rotation,
    counting.counter_restart,
    counting.two_forwarded_increments_at_once,
    leaving.drain_with_a_crash_of_the_receiver,
    leaving.release_that_crosses_a_new_claim,
    leaving.owner_that_left_the_ring_for_good,
    timing.clock_a_day_ahead_then_corrected,
    timing.slow_but_live_successor,
    few.ring_of_one,
    few.ring_of_two,
    repeating.frame_twice_and_late,
    repeating.second_process_of_a_name,
)

SCENARIOS: Final = {
    name: Scenario(name, play) for play in _PLAYS for name in [play.__name__.replace("_", "-")]
}
