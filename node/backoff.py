"""How long to wait before trying again: at once, then longer and longer, never in step.

Source: exponential back-off with jitter, as in AWS's "Exponential Backoff And Jitter"; half of
each wait is fixed, so that a retry is never immediate twice.
"""

from random import Random


class BackOff:
    """The waits of one thing that is tried again and again.

    Args:
        random: gives the jitter, so that many who lost one peer do not return at one moment.
        first_s: seconds of the second wait (the first is 0), above 0.
        max_s: seconds, at least ``first_s``. Larger: a peer that is away costs less; smaller: its
            return is noticed sooner.
    """

    def __init__(self, random: Random, *, first_s: float, max_s: float) -> None:
        self._random = random
        self._first_s = first_s
        self._max_s = max_s
        self._tries = 0

    def next_s(self) -> float:
        """Return the seconds to wait before the next try, and count it."""
        tries, self._tries = self._tries, self._tries + 1
        if tries == 0:
            return 0.0
        # The exponent is capped only to keep the number small; max_s is reached long before.
        longest: float = min(self._max_s, self._first_s * 2 ** min(tries - 1, 32))
        return longest * (0.5 + 0.5 * self._random.random())

    def reset(self) -> None:
        """Forget the tries: what was tried has worked."""
        self._tries = 0
