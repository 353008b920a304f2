"""Knowing that nothing follows: all was settled, and nothing has changed since.

Rules:
- Only a settled node may rest: before that, time alone may change what follows.
- Whoever changes what conclusions are drawn from counts it: the view, the homes of which there is
  something, the comparisons. So a heartbeat without news costs next to nothing.
"""

from ring.comparing import Comparing
from ring.core import Core


class Rest:
    """Whether what was concluded last still holds."""

    def __init__(self, core: Core, comparing: Comparing) -> None:
        self._core = core
        self._comparing = comparing
        self._since: tuple[int, ...] | None = None
        """What was counted when it began; None: there is something to conclude."""

    def note(self, rests: bool) -> None:
        """Begin to rest, or go on drawing conclusions."""
        self._since = self._counted() if rests else None

    def lasts(self) -> bool:
        """Return whether nothing has changed since it began."""
        return self._since == self._counted()

    def _counted(self) -> tuple[int, ...]:
        core = self._core
        return core.view.changes, core.table.occupations, self._comparing.changes
