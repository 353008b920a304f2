"""Choices that are read from bytes, so that a fuzzer which changes bytes changes choices.

Rules:
- What is over is followed by zeros for ever: each input means something, and ends.
- The first of several options is what zeros mean, so that short inputs are plain ones.
"""

from collections.abc import Sequence
from typing import Final, TypeVar

_T = TypeVar("_T")

U64_MAX: Final = (1 << 64) - 1
U64_EDGES: Final = (0, 1, 2, (1 << 63) - 1, 1 << 63, U64_MAX - 1, U64_MAX)


class Drawn:
    """Reads choices from ``data``, in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def is_over(self) -> bool:
        """Whether only zeros are left."""
        return self._at >= len(self._data)

    def take(self, size: int) -> bytes:
        """Return the next ``size`` bytes."""
        found = self._data[self._at : self._at + size]
        self._at += size
        return found.ljust(size, b"\x00")

    def rest(self) -> bytes:
        """Return all that is left."""
        found = self._data[self._at :]
        self._at = len(self._data)
        return found

    def number(self, top: int) -> int:
        """Return 0 to ``top``, which is below 65,536."""
        size = 1 if top < 256 else 2
        return int.from_bytes(self.take(size), "big") % (top + 1)

    def maybe(self) -> bool:
        """Return False or True."""
        return bool(self.number(1))

    def one_of(self, options: Sequence[_T]) -> _T:
        """Return one of ``options``."""
        return options[self.number(len(options) - 1)]

    def some(self, size_max: int) -> bytes:
        """Return up to ``size_max`` bytes, but no more than there are."""
        size = min(self.number(size_max), len(self._data) - self._at)
        return self.take(max(0, size))

    def u64(self) -> int:
        """Return 0 to 2**64 - 1, often an edge of that."""
        kind = self.number(len(U64_EDGES) + 2)
        if kind < len(U64_EDGES):
            return U64_EDGES[kind]
        return self.number(255) if kind == len(U64_EDGES) else int.from_bytes(self.take(8), "big")
