"""Questions about many sessions at once, and their answers: by the value of an attribute.

A client asks one node, which asks every member; each of them answers for the homes it acts for.

Rules:
- An answer is a page: it says by ``cursor`` how the question goes on, with nothing if this was all.
- What cannot be known is named, and never left out in silence.
"""

from typing import Final

from attrs import frozen

from ring.identity import DEFAULT_NAMESPACE

CURSOR_BYTES_MAX: Final = 64 * 1024
"""How far each member of the largest ring was read."""
MATCHES_MAX: Final = 2048
"""Rows of one page: of eight members at a time, each one chunk of an index."""


@frozen
class Query:
    """The sessions with a value of an attribute; or all values that there are, and how often."""

    number: int
    index: bytes
    """The key of the attribute."""
    value: bytes
    """Packed; empty bytes for all values."""
    cursor: bytes
    """As the last page gave it; empty bytes for the first page."""
    forwarded: bool
    """It is about what the receiver itself acts for; else it asks all the others."""
    namespace: str = DEFAULT_NAMESPACE
    """Whose sessions it is about: those of one application."""


@frozen
class Matches:
    """One page of the answer."""

    number: int
    flat: list[bytes]
    """Repeats an id and a fragment of its record, in portable form, that tells of its life."""
    counts: list[bytes | int]
    """Repeats a packed value and how many more sessions have it; a value may come again."""
    cursor: bytes
    """Empty bytes: this was the last page."""
    homes: tuple[str, ...]
    """The homes of which this says all. From a member: in this page; else, on the last page, in
    all."""
    missing: tuple[str, ...]
    """Homes of which not all is known yet, and members that were not heard: ask again soon. On the
    last page only."""
    unreachable: tuple[str, ...]
    """Members that are down: they may have sessions of their own. On the last page only."""
    reason: str
    """Why the question cannot be answered at all, as a sentence; empty if it was."""
