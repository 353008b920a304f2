"""Level 2 has teeth: bugs put into the node and into the wire are found by small plans."""

import re
from functools import cache
from pathlib import Path

import pytest
from planted_node import PLANTED_NODE, short

from simulations.plan import Level
from simulations.run import failing_promises, run

PAGE = (Path(__file__).parent.parent / "docs" / "reliability.md").read_text(encoding="utf-8")

FOUND_BY = {
    "acknowledge before the disk has it": (0, "honest"),
    "go on after a broken send": (10, "isolation"),
    "leave the tasks of a link": (2, "bounded"),
    "load nothing": (0, "durable"),
    "lock no directory": (2, "isolation"),
    "read past a frame": (2, "isolation"),
    "serve before recovery": (7, "durable"),
    "swallow a full disk": (78, "honest"),
    "take a late frame for one of today": (2, "bounded"),
}
"""The seed of a small ring that finds it, and one of the promises that it breaks there."""


def broken(seed: int) -> list[str]:
    return list(failing_promises(run(short(seed), level=Level.NODE)))


@cache
def is_clean(seed: int) -> bool:
    return not broken(seed)


@pytest.mark.parametrize("name", sorted(PLANTED_NODE))
def test_what_is_broken_in_a_node_is_found_by_its_seed(name: str) -> None:
    with PLANTED_NODE[name]():
        seed, promise = FOUND_BY[name]
        assert promise in broken(seed)
    assert is_clean(seed)


def test_the_page_has_every_bug_and_its_seed() -> None:
    section = PAGE.partition("### Bugs put into whole nodes")[2].partition("\n#")[0]
    rows = re.findall(r"(?m)^\| ([a-z ]+) \| (\d+) \| ([a-z-]+) \|$", section)
    assert rows == [(name, str(seed), promise) for name, (seed, promise) in FOUND_BY.items()]
