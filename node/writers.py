"""Under which tokens this process adds to counters, and how far it has come under each.

Rules:
- A token is used only with the last total it was used for in memory: so what was sent twice, or
  comes late, never counts twice, and no addition takes another one back. A restart begins anew.
- While a copy of a session adds under a token, no other one has it. A copy that was dropped
  before its save was answered takes its token with it.
"""

from collections.abc import Iterable
from random import Random
from typing import Final

from attrs import frozen

from ring.structured import TOKEN_BYTES

REMEMBERED_MAX: Final = 65_536
"""Tokens, some 250 bytes each. Of one that is forgotten another one takes the place, and its
shard stays in the session."""


@frozen
class Written:
    """How far a writer has come under one token."""

    token: bytes
    changes: int = 0
    total: int = 0


class Writers:
    """The tokens of one process that nobody uses just now.

    Args:
        random: makes tokens; outside simulations the operating system's.
        remembered_max: how many are kept.
    """

    __slots__ = ("_idle", "_random", "_remembered_max")

    def __init__(self, random: Random, remembered_max: int = REMEMBERED_MAX) -> None:
        self._random = random
        self._remembered_max = remembered_max
        self._idle: dict[bytes, Written] = {}

    def take(self, tokens: Iterable[bytes]) -> Written:
        """Return one of these tokens that this process may use, or else a fresh one."""
        for token in tokens:
            written = self._idle.pop(token, None)
            if written is not None:
                return written
        return self.fresh()

    def fresh(self) -> Written:
        """Return a token that nobody has used."""
        return Written(self._random.getrandbits(8 * TOKEN_BYTES).to_bytes(TOKEN_BYTES, "big"))

    def give_back(self, written: Written) -> None:
        """Remember a token, under which all that was sent was answered."""
        self._idle[written.token] = written
        if len(self._idle) > self._remembered_max:
            del self._idle[next(iter(self._idle))]
