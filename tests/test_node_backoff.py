"""Back-off: at once, then longer, never in step."""

from random import Random

from node.backoff import BackOff


def test_the_first_wait_is_none_and_the_others_grow_to_their_limit() -> None:
    back_off = BackOff(Random(1), first_s=0.1, max_s=2.0)
    waits = [back_off.next_s() for _ in range(12)]
    assert waits[0] == 0
    for tries, wait in enumerate(waits[1:]):
        longest = min(2.0, 0.1 * 2**tries)
        assert longest / 2 <= wait <= longest


def test_after_a_success_it_begins_anew() -> None:
    back_off = BackOff(Random(1), first_s=0.1, max_s=2.0)
    for _ in range(5):
        back_off.next_s()
    back_off.reset()
    assert back_off.next_s() == 0


def test_two_who_lost_the_same_peer_do_not_return_together() -> None:
    one, other = (BackOff(Random(seed), first_s=0.1, max_s=2.0) for seed in (1, 2))
    assert [one.next_s() for _ in range(5)][1:] != [other.next_s() for _ in range(5)][1:]


def test_it_never_overflows() -> None:
    back_off = BackOff(Random(1), first_s=0.1, max_s=2.0)
    assert max(back_off.next_s() for _ in range(5000)) <= 2.0
