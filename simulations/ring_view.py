"""A run of the local ring as a picture in a terminal: who is there, who acts for whom, and counts.

Needs rich (extra ``cli``), and is imported only where there is a terminal.

Rules:
- The picture has a fixed size and changes in place; when it goes, the plain lines of the whole run
  stay.
- It only looks: it decides nothing and holds nothing up.
"""

import math
from collections import deque
from statistics import median
from typing import Final, TextIO

import trio
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from simulations.local_ring import Scene, Watcher
from simulations.real_node import State
from simulations.ring_lines import Lines, counted
from simulations.ring_tally import Phase

WIDTH: Final = 78
PHASES_SHOWN: Final = 4
ROWS: Final = 21
"""The picture's height: it fits into 24 lines, with one to spare for the prompt."""

FRAME_S: Final = 0.125
RATE_OVER_S: Final = 1.0

RING_WIDTH: Final = 50
RING_ROWS: Final = 13
_RADIUS: Final = (9.0, 5.0)
"""Columns and rows from the middle; a cell is twice as high as it is wide."""

_STYLES: Final = {
    State.READY: "green",
    State.RECOVERING: "yellow",
    State.STOPPED: "red",
    State.CUT_OFF: "red",
    State.DOWN: "red",
}
_MARKS: Final = {
    State.READY: "●",
    State.RECOVERING: "◐",
    State.STOPPED: "■",
    State.CUT_OFF: "○",
    State.DOWN: "✗",
}
_PLAIN_MARKS: Final = {
    State.READY: "O",
    State.RECOVERING: "o",
    State.STOPPED: "#",
    State.CUT_OFF: "-",
    State.DOWN: "x",
}


def picture(out: TextIO) -> "Picture | None":
    """Return what draws on the terminal ``out``; None if that cannot move its cursor, or is small.

    A picture that does not fit would scroll, and leave its pieces behind.
    """
    console = Console(file=out)
    if console.is_dumb_terminal or console.width <= WIDTH or console.height <= ROWS:
        return None
    return Picture(console)


class Picture(Watcher):
    """Draws the run on a terminal.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._said: list[str] = []
        self._lines = Lines(self._said.append)
        self._samples: deque[tuple[float, int]] = deque()
        self._unicode = console.encoding.lower().startswith("utf")

    async def follow(
        self, scene: Scene, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Draw the scene again and again."""
        await self._lines.follow(scene)
        try:
            # No thread of rich's draws: the scene is only ever looked at between two changes.
            with Live(console=self._console, auto_refresh=False, transient=True) as live:
                task_status.started()
                while True:
                    live.update(self.draw(scene, trio.current_time()), refresh=True)
                    await trio.sleep(FRAME_S)
        finally:
            for line in self._said:
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def on_started(self, scene: Scene, seconds: float) -> None:
        """Keep the line for later."""
        self._lines.on_started(scene, seconds)

    def on_phase(self, scene: Scene, phase: Phase) -> None:
        """Keep the lines for later."""
        self._lines.on_phase(scene, phase)

    def on_checked(self, scene: Scene, sessions: int) -> None:
        """Keep the line for later."""
        self._lines.on_checked(scene, sessions)

    # --- Drawing ------------------------------------------------------------------------------

    def draw(self, scene: Scene, now: float) -> RenderableType:
        """Return the picture as of ``now``, by trio's clock."""
        middle = Table.grid(padding=(0, 1))
        middle.add_column(width=RING_WIDTH, no_wrap=True)
        middle.add_column(width=WIDTH - RING_WIDTH - 1, no_wrap=True)
        middle.add_row(self._ring(scene), self._counts(scene, now))
        return Group(self._title(scene, now), Text(), middle, Text(), self._phases(scene))

    def _title(self, scene: Scene, now: float) -> Text:
        options = scene.options
        title = Text(scene.title, style="bold")
        title.append(f"  {now - scene.began:5.1f} s  ")
        title.append(
            f"{counted(options.nodes, 'node')}, {counted(options.clients, 'client')}, "
            f"{counted(options.sessions, 'session')}, seed {options.seed}",
            style="dim",
        )
        title.truncate(WIDTH)
        return title

    def _ring(self, scene: Scene) -> Text:
        """Return the members on an ellipse, clockwise from the top, and who acts for whom."""
        canvas = _Canvas(RING_WIDTH, RING_ROWS)
        names = scene.nodes.names
        for step in range(240):
            canvas.put(_place(step / 240), "·" if self._unicode else ".", "bright_black")
        for position, home in enumerate(names):
            actor = scene.nodes.acting.get(home, home)
            # Until it has handed over, one that was removed acts from outside of the ring.
            steps = (names.index(actor) - position) % len(names) if actor in names else 0
            for step in range(60 * steps):
                turn = (position + step / 60) / len(names)
                canvas.put(_place(turn), "•" if self._unicode else "*", "yellow")
        marks = _MARKS if self._unicode else _PLAIN_MARKS
        for position, (name, node) in enumerate(scene.nodes.nodes.items()):
            place = _place(position / len(names))
            canvas.put(place, marks[node.state], f"bold {_STYLES[node.state]}")
            label = f"{name} {_doing(name, node.state, scene.nodes.acting)}"
            canvas.write(place, label, _STYLES[node.state])
        return canvas.text()

    def _counts(self, scene: Scene, now: float) -> Table:
        total = scene.tally.total
        table = Table.grid(padding=(0, 1))
        table.add_column(width=16)
        table.add_column(justify="right", width=9)
        table.add_row()
        table.add_row("acknowledged", f"{total.acknowledged:,}", style="bold")
        table.add_row("  a second", f"{self._rate(total.acknowledged, now):,.0f}")
        table.add_row("  degraded", f"{total.degraded:,}")
        table.add_row("outcome unknown", f"{total.unknown:,}")
        table.add_row("reads", f"{scene.tally.reads:,}")
        table.add_row("sessions alive", f"{len(scene.clients.alive):,}")
        table.add_row()
        for what, count in (
            ("lost", total.lost),
            ("stale", total.stale),
            ("resurrected", total.resurrected),
        ):
            table.add_row(what, f"{count:,}", style="bold red" if count else "green")
        return table

    def _rate(self, count: int, now: float) -> float:
        """Return how many a second there were lately."""
        self._samples.append((now, count))
        while now - self._samples[0][0] > RATE_OVER_S:
            self._samples.popleft()
        since, then = self._samples[0]
        return (count - then) / (now - since) if now > since else 0.0

    def _phases(self, scene: Scene) -> Table:
        """Return a line for each phase: over, being played, skipped, or to come."""
        phases = {phase.name: phase for phase in scene.tally.phases}
        table = Table.grid(padding=(0, 1))
        for width, justify in _PHASE_COLUMNS:
            table.add_column(width=width, justify=justify, no_wrap=True, overflow="crop")
        table.add_row("", "", "changes", "away: median", "max", "ready after", style="dim")
        # The current phase, and those around it: all of them would not fit.
        current = max(0, len(phases) - 1)
        first = max(0, min(current - PHASES_SHOWN + 2, len(scene.phases) - PHASES_SHOWN))
        for name in scene.phases[first : first + PHASES_SHOWN]:
            phase = phases.get(name)
            if phase is None:
                table.add_row("", name, style="dim")
            elif phase.skipped:
                table.add_row("-", name, "skipped", style="dim")
            else:
                over = phase.seconds > 0
                style = "red" if phase.counts.harmed else "green" if over else "bold"
                table.add_row("+" if over else ">", name, *_phase_figures(phase), style=style)
        return table


_PHASE_COLUMNS: Final[tuple[tuple[int, JustifyMethod], ...]] = (
    *((1, "left"), (22, "left"), (9, "right")),
    *((14, "right"), (10, "right"), (12, "right")),
)


def _phase_figures(phase: Phase) -> tuple[str, str, str, str]:
    times = phase.unavailable_ms
    return (
        f"{phase.counts.acknowledged:,}",
        f"{median(times):,.0f} ms" if times else "",
        f"{max(times):,.0f} ms" if times else "",
        "" if phase.recovery_s is None else f"{phase.recovery_s:.2f} s",
    )


class _Canvas:
    """Characters and their styles, placed one by one."""

    def __init__(self, width: int, rows: int) -> None:
        self._cells = [[(" ", "")] * width for _ in range(rows)]

    def put(self, place: tuple[float, float], character: str, style: str) -> None:
        column, row = round(place[0]), round(place[1])
        self._cells[row][column] = (character, style)

    def write(self, place: tuple[float, float], label: str, style: str) -> None:
        """Write beside ``place``, away from the middle."""
        width = len(self._cells[0])
        column = round(place[0])
        # The blank keeps the line of the ring from touching the words.
        to_the_right = column > (width - 1) // 2 - 1
        text = f" {label}" if to_the_right else f"{label} "
        first = column + 1 if to_the_right else column - len(text)
        for offset, character in enumerate(text):
            if 0 <= first + offset < width:
                self.put((first + offset, place[1]), character, style)

    def text(self) -> Text:
        text = Text()
        for number, row in enumerate(self._cells):
            if number:
                text.append("\n")
            for character, style in row:
                text.append(character, style=style)
        return text


def _place(turn: float) -> tuple[float, float]:
    """Return column and row of a point on the ellipse, ``turn`` (0 to 1) clockwise from the top."""
    angle = 2 * math.pi * turn
    column = (RING_WIDTH - 1) / 2 + _RADIUS[0] * math.sin(angle)
    row = (RING_ROWS - 1) / 2 - _RADIUS[1] * math.cos(angle)
    return column, row


def _doing(name: str, state: State, acting: dict[str, str]) -> str:
    if state is not State.READY:
        return str(state)
    homes = [home for home, actor in acting.items() if actor == name and home != name]
    return f"acts for {' '.join(sorted(homes))}" if homes else "ready"
