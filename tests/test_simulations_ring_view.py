"""The picture of a local ring: it fits, it does not grow, and it shows who acts for whom."""

import io
from pathlib import Path

import pytest
import trio
from rich.console import Console

from ring.messages import Durability
from simulations.local_ring import Options, Scene
from simulations.real_clients import Clients, Load
from simulations.real_node import State
from simulations.real_nodes import RealNodes
from simulations.ring_place import Place
from simulations.ring_script import ACTS
from simulations.ring_tally import Tally
from simulations.ring_view import ROWS, WIDTH, Picture, picture


def scene(count: int, played: int = len(ACTS)) -> Scene:
    """Return a ring in the middle of a takeover: a is down, and the last member acts for it."""
    options = Options(count, 100_000, 100, 3600.0, 2**63 - 1, None, False)
    nodes = RealNodes(Place(Path("/nowhere"), 0, kept=False), count)
    for node in nodes.nodes.values():
        node.state = State.READY
    nodes.nodes["a"].state = State.DOWN
    nodes.acting = {name: name for name in nodes.names}
    nodes.acting["a"] = nodes.names[-1]
    tally = Tally()
    for act in ACTS[:played]:
        phase = tally.begin(act.name)
        phase.seconds, phase.recovery_s = 1234.5, 1234.5
        phase.unavailable_ms = [123_456.0, 654_321.0]
        phase.counts.acknowledged = 123_456_789
    tally.total.acknowledged = tally.total.attempted = 1_234_567
    load = Load(1, 100, 100_000, 3600.0, Durability.BACKUP)
    names = [act.name for act in ACTS]
    return Scene(options, nodes, Clients(load, tally), tally, trio.current_time(), names)


def drawn(count: int, encoding: str = "utf-8", played: int = len(ACTS)) -> list[str]:
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    console = Console(file=out, width=200, height=50)
    console.print(Picture(console).draw(scene(count, played), trio.current_time() + 12_345.6))
    out.seek(0)
    return [line.rstrip() for line in out.read().splitlines()]


@pytest.mark.parametrize("count", range(1, 10))
async def test_any_ring_with_any_figures_fits_and_keeps_its_size(count: int) -> None:
    lines = drawn(count)
    assert len(lines) == ROWS
    assert max(map(len, lines)) <= WIDTH


@pytest.mark.parametrize("played", range(1, len(ACTS) + 1))
async def test_the_phase_that_is_played_is_among_those_that_are_shown(played: int) -> None:
    lines = drawn(3, played=played)
    assert len(lines) == ROWS
    assert any(ACTS[played - 1].name in line for line in lines)


@pytest.mark.parametrize("count", range(2, 10))
async def test_every_member_is_shown_with_what_it_does(count: int) -> None:
    text = "\n".join(drawn(count))
    names = "abcdefghi"[:count]
    assert "✗ a down" in text
    actor = names[-1]
    assert f"{actor} acts for a" in text
    for name in names[1:-1]:
        assert f"{name} ready" in text


async def test_a_terminal_without_unicode_gets_plain_characters() -> None:
    assert "x a down" in "\n".join(drawn(3, "ascii"))


@pytest.mark.parametrize(("columns", "lines"), [(79, 24), (80, 21), (78, 50)])
def test_a_small_terminal_gets_no_picture(
    monkeypatch: pytest.MonkeyPatch, columns: int, lines: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", str(lines))
    monkeypatch.setenv("TERM", "xterm")
    fits = columns > WIDTH and lines > ROWS
    assert (picture(io.StringIO()) is not None) is fits
