"""The picture of a run: what is recorded is what was, and the page shows it and nothing else."""

import json
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import evolve
from chromium import opened
from hypothesis import given, settings
from strategies import MESSAGES, messages
from teeth import BROKEN

from ring import Record
from ring.messages import Message
from simulations.__main__ import main
from simulations.drawing import draw_plan
from simulations.face import AnyWorld
from simulations.history import Kind, Operation, Outcome
from simulations.judge import Judge
from simulations.picture.page import page_of
from simulations.picture.promises import PROMISES
from simulations.picture.recorder import Recorder
from simulations.picture.recording import Arrow, Broken, Kept, Recording, Shown, Span
from simulations.picture.words import GROUPS, what_is_said
from simulations.plan import Fault, Level, Plan, plan_to_json, read_plan
from simulations.plan import Kind as FaultKind
from simulations.run import Report, run
from simulations.violation import Harm, Violation

ROOT: Final = Path(__file__).resolve().parent.parent
OLD_DISK: Final = ROOT / "tests" / "plans" / "picture" / "an-old-disk-is-served.json"
"""A node is stopped, and comes back; in docs/reliability.md it serves from its disk at once."""


class Watching(Recorder):
    """A recorder that keeps what it looks at and what is left, and counts what arrives."""

    world: AnyWorld
    there: Mapping[tuple[str, str], Record | None]
    claims: Set[tuple[str, str]]
    delivered = 0

    def on_begun(self, world: AnyWorld, judge: Judge) -> None:
        super().on_begun(world, judge)
        self.world = world

    def on_delivered(self, now: float, sender: str, receiver: str, message: Message) -> None:
        super().on_delivered(now, sender, receiver, message)
        self.delivered += 1

    def on_ended(self, now: float) -> None:
        super().on_ended(now)
        processes = self.world.processes.items()
        self.there = {
            (name, session_id.decode()): process.replica.record(session_id)
            for name, process in processes
            for session_id in process.replica.session_ids()
        }
        self.claims = {
            (home, name) for name, process in processes for home in process.replica.claims
        }


def short(seed: int, duration_s: float) -> Plan:
    return evolve(draw_plan(seed), duration_s=duration_s)


def recorded(plan: Plan, level: Level = Level.CORE) -> tuple[Watching, Recording, Report]:
    recorder = Watching(plan, level)
    report = run(plan, [recorder], level)
    return recorder, recorder.recording(report.violations), report


# --- What is recorded ---


@pytest.mark.parametrize(
    ("plan", "level"), [(short(2, 20.0), Level.CORE), (short(4, 4.0), Level.NODE)]
)
def test_a_run_that_is_watched_goes_as_it_goes_unwatched(plan: Plan, level: Level) -> None:
    recorder, made, report = recorded(plan, level)
    assert report.trace_hash == run(plan, level=level).trace_hash
    arrived = [each for each in made.arrows if each.arrived is not None]
    assert len(arrived) == recorder.delivered > 100
    assert all(each.sent <= each.arrived for each in arrived if each.arrived is not None)
    assert len(made.operations) == report.operations > 20
    assert max(mark.at for mark in made.marks) < made.ends_at == report.simulated_s
    assert max(span.until for span in made.acting) == made.ends_at


@pytest.mark.parametrize(
    ("plan", "level", "faults", "troubles"),
    [
        (short(2, 20.0), Level.CORE, {"crash", "split"}, {"cut"}),
        (short(12, 8.5), Level.NODE, {"crash again"}, set()),
    ],
)
def test_what_is_recorded_last_is_what_is_there_at_the_end(
    plan: Plan, level: Level, faults: Set[str], troubles: Set[str]
) -> None:
    """Of the records, through crashes, disks that were read, and copies that were released.

    The node of seed 12 that comes back is asked something before it has read its disk.
    """
    recorder, made, _ = recorded(plan, level)
    latest = {(each.node, each.shown.session): each.shown.note for each in made.kept}
    assert {key for key, note in latest.items() if note} == set(recorder.there)
    for key, record in recorder.there.items():
        assert record is not None
        assert latest[key].endswith(f"{record.digest:016x}")
    acting = {span.where for span in made.acting if span.until == made.ends_at}
    assert acting == recorder.claims != set()
    assert {span.what for span in made.states} >= {"down", "recovering", "ready"}
    assert {span.what for span in made.troubles} >= troubles
    assert made.healed_at == pytest.approx(plan.duration_s, abs=0.1)
    assert {fault.kind for fault in made.faults} >= faults


def test_ways_of_a_node_that_stands_still_are_shown_as_they_are() -> None:
    plan = short(2, 8.0)
    struck = [
        (FaultKind.FREEZE, 2.0, ("a",)),
        (FaultKind.STALL, 3.0, ("b", "a")),
        (FaultKind.STALL, 3.0, ("b", "c")),
    ]
    faults = [Fault(kind, at, nodes, 2.0, gated=False) for kind, at, nodes in struck]
    _, made, _ = recorded(evolve(plan, faults=tuple(faults)))
    assert [span.since for span in made.states if span.what == "frozen"] == [2.0]
    stalled = {span.where: span.since for span in made.troubles if span.what == "stalled"}
    assert stalled == pytest.approx({("b", "a"): 3.0, ("b", "c"): 3.0}, abs=0.1)


def test_a_state_lasts_until_the_next_one_begins() -> None:
    """Where nothing else happens between a crash and the start after it, too."""
    _, made, _ = recorded(short(2, 20.0))
    for name in made.plan.names:
        spans = [span for span in made.states if span.where == (name,)]
        assert (spans[0].since, spans[-1].until) == (0.0, made.ends_at)
        assert [span.since for span in spans[1:]] == [span.until for span in spans[:-1]]
        down = [(span.since, span.until) for span in spans if span.what == "down"]
        lives = [mark for mark in made.marks if mark.node == name and mark.at > 0]
        crashes = [mark.at for mark in lives if mark.what == "crash"]
        assert down == list(
            zip(crashes, [it.at for it in lives if it.what == "start"], strict=True)
        )
        assert down


def test_a_broken_promise_is_told_where_it_was_broken() -> None:
    with BROKEN["serve from the disk at once"]():
        _, made, report = recorded(read_plan(OLD_DISK))
    broken = made.broken[0]
    assert broken.violation == report.violations[0]
    assert broken.operation is not None
    operation = made.operations[broken.operation]
    assert (operation.session, operation.returned) == (broken.violation.session, broken.at)
    assert f"asked at {operation.node} at {operation.invoked:.3f} s" in broken.violation.story
    # What was acknowledged, and lost, is in the part that is shown first.
    said = re.search(r"was acknowledged by b and c at ([\d.]+) s", broken.violation.story)
    assert said is not None
    assert broken.since < float(said[1]) < broken.at < broken.until


def test_the_change_that_was_lost_is_shown_if_it_is_not_too_long_ago() -> None:
    """The last one of the writer that a violation names; else the last few of anybody."""
    recorder = Recorder(draw_plan(2), Level.CORE)
    for number, (client, at) in enumerate([(3, 2.0), (3, 11.0), (4, 14.0), (3, 15.0), (4, 16.0)]):
        save = Operation(client, Kind.SAVE, "a.x", "a", at, number, returned=at + 0.1)
        save.outcome = Outcome.OK
        recorder.on_operation(save)
    recorder.on_operation(Operation(5, Kind.FIND, "a.x", "a", 25.0, returned=25.1))
    violations = [Violation("durable", "", session="a.x", writer=writer) for writer in (3, 4, None)]
    recorder.on_ended(25.1)
    made = recorder.recording((*violations, Violation("convergence", "")))
    assert [(each.since, each.operation) for each in made.broken] == [
        (14.0, 5),
        (15.0, 5),
        (13.0, 5),
        (pytest.approx(5.1), None),
    ]


def test_every_kind_of_message_has_a_colour() -> None:
    assert {kind for kinds in GROUPS.values() for kind in kinds} == {
        kind.__name__ for kind in MESSAGES
    }


@settings(max_examples=25)
@given(messages)
def test_whatever_a_message_says_can_be_shown(message: Message) -> None:
    said, shown = what_is_said(message)
    assert len(said) < 1000
    assert all(isinstance(each, Shown) for each in shown)


def test_the_promises_are_those_of_the_documentation() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| \*\*([a-z-]+)\*\* \| (.+?) \|", page, re.MULTILINE))
    assert rows == {name: text for name, text in PROMISES.items() if name != "bounded"}


# --- The page ---

HOSTILE: Final = (
    "a.</script><script>document.title='hurt'</script><img src=x onerror=hurt()>&\u2028"
)


def small() -> Recording:
    """Return a run of two nodes: one session of anybody's making, and 30 messages about another."""
    plan = draw_plan(next(seed for seed in range(99) if draw_plan(seed).members == 2))
    shown = Shown(HOSTILE, "whole, digest 0", (("<b>key</b>", HOSTILE, "1.5"),))
    operations = [
        Operation(0, Kind.SAVE, HOSTILE, "a", 1.0, 7, returned=1.2, outcome=Outcome.OK),
        Operation(1, Kind.FIND, HOSTILE, "b", 5.0, returned=5.1, outcome=Outcome.OK),
        Operation(1, Kind.FIND, "b.other", "b", 6.0, returned=6.1, outcome=Outcome.OK),
    ]
    operations[0].holders = ("a", "b")
    arrows = [Arrow("Changes", "a", "b", 1.05, 1.15, "1 change", (shown,))]
    arrows += [
        Arrow("Acks", "b", "a", 0.3 * each, 0.3 * each + 0.05, "all", (Shown("b.other"),))
        for each in range(30)
    ]
    arrows.append(Arrow("Status", "a", "b", 2.0, None, "ready", ()))
    story = f"client 1 did not find {HOSTILE}"
    violation = Violation("durable", story, Harm.LOST, HOSTILE)
    return Recording(
        plan,
        "core",
        10.0,
        9.0,
        arrows,
        [Kept(1.0, "a", shown), Kept(1.15, "b", shown)],
        [Span(0.0, 10.0, (name,), "ready") for name in "ab"],
        [Span(3.0, 4.0, ("a", "b"), "cut")],
        [Span(0.0, 10.0, (name, name), "acts") for name in "ab"],
        operations=operations,
        broken=[Broken(violation, 5.1, 1, 0.5, 5.6)],
    )


def data_of(page: str) -> dict[str, Any]:
    """Return what a page was given."""
    found = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page, re.DOTALL)
    (text,) = found
    return dict(json.loads(text))


def test_nothing_in_a_session_means_anything_to_html() -> None:
    page = page_of(small())
    assert page.count("<script") == page.count("</script>") == 2
    assert "<img" not in page
    data = data_of(page)
    assert data["sessions"][0] == HOSTILE
    assert data["broken"][0]["story"].endswith(HOSTILE)
    assert data["texts"].count(HOSTILE) == 1


def test_a_page_asks_for_nothing_else() -> None:
    page = page_of(small())
    assert not re.search(r"(src|href)=|url\(|@import|https?:", page.replace("src=x", ""))
    assert "default-src 'none'" in page


def test_a_page_opens_where_a_promise_was_broken(tmp_path: Path) -> None:
    """Without an error, and with nothing run that somebody has put into a session."""
    page = tmp_path / "run.html"
    page.write_text(page_of(small()), encoding="utf-8")
    seen = opened(page, tmp_path / "profile")
    assert seen.console == ()
    assert "<title>seed " in seen.dom
    assert seen.text("verdict").startswith("1 broken promise: 2 nodes")
    assert 'id="failed"' not in seen.dom
    assert "client 1 did not find a.&lt;/script&gt;" in seen.dom
    # Of its session: one message, both operations in view, and both changes at nodes.
    drawn = [seen.attribute("drawn", f"data-{what}") for what in ("messages", "operations")]
    assert drawn == ["1", "2"]
    assert seen.attribute("drawn", "data-records") == "2"
    assert seen.text("drawn").startswith("0.50 s to 5.60 s: 1 of 32 messages")


PROBE: Final = """
addEventListener("load", () => setTimeout(() => {
  const found = {};
  const ink = (name) => {
    const copy = document.createElement("canvas");
    [copy.width, copy.height] = [picture.width, picture.height];
    const pen = copy.getContext("2d", { willReadFrequently: true });
    pen.drawImage(picture, 0, 0);
    const pixels = pen.getImageData(0, 0, copy.width, copy.height).data;
    const [red, green, blue] = colours[name].match(/\\d+/g).map(Number);
    let count = 0;
    for (let each = 0; each < pixels.length; each += 4) {
      count += pixels[each] === red && pixels[each + 1] === green && pixels[each + 2] === blue;
    }
    return count;
  };
  const look = (name) => {
    const { messages, operations, bands } = document.getElementById("drawn").dataset;
    found[name] = [Number(messages), Number(operations), Number(bands), ink("acks")];
  };
  const key = (name) => {
    picture.dispatchEvent(new KeyboardEvent("keydown", { key: name, bubbles: true }));
    draw();
  };
  const point = (left, top) => {
    const box = picture.getBoundingClientRect();
    const place = { clientX: box.left + left, clientY: box.top + top, bubbles: true };
    picture.dispatchEvent(new PointerEvent("pointermove", place));
    return document.getElementById("tip").innerText;
  };
  // Frames are drawn for nobody here: what the page has put off until the next one is done now.
  const draw = () => {
    if (!isDue) throw new Error("nothing is to be drawn");
    renderNow();
  };
  const go = (address, then) => {
    addEventListener("hashchange", () => { draw(); then(); }, { once: true });
    location.hash = address;
  };
  look("asked");
  go("session=&kinds=changes,acks,status&from=0&to=10", () => {
    look("all");
    found.message = point(x(1.1), (nodeY(0) + nodeY(1)) / 2);
    found.operation = point(x(1.1), clientY(0));
    key("+");
    look("nearer");
    key("ArrowLeft");
    found.left = view.since;
    key("0");
    look("whole");
    document.querySelector("#kinds button").click();
    draw();
    look("without changes");
    go("session=b.other&kinds=acks&from=0&to=10&theme=dark", () => {
      look("other");
      found.page = getComputedStyle(document.body).backgroundColor;
      document.querySelector("#broken button").click();
      draw();
      found.jumped = [view.since, view.until];
      found.node = point(x(1.3), nodeY(1));
      document.getElementById("drawn").dataset.found = JSON.stringify(found);
    });
  });
}, 200));
"""


def test_a_page_draws_filters_and_tells(tmp_path: Path) -> None:
    """Driven from within, which the page's policy would not allow: the copy has none."""
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_of(small()))
    probing = tmp_path / "probing.html"
    probing.write_text(page.replace("</body>", f"<script>{PROBE}</script></body>"), "utf-8")
    address = "#session=&kinds=changes,status&from=0&to=10"
    seen = opened(probing, tmp_path / "profile", address)
    assert seen.console == ()
    found = json.loads(seen.attribute("drawn", "data-found"))
    assert found["asked"] == [2, 3, 2, 0]
    messages, operations, bands, ink = found["all"]
    assert (messages, operations, bands) == (32, 3, 2)
    assert ink > 500
    assert found["nearer"][0] < 25
    assert found["left"] < 2.0
    assert found["whole"][0] == 32
    assert found["without changes"][0] == 31
    assert found["other"][:2] == [30, 1]
    assert found["page"] == "rgb(18, 21, 26)"
    assert found["jumped"] == pytest.approx([0.5, 5.6])
    assert "Changes a → b" in found["message"]
    assert "<b>key</b>" in found["message"]
    assert "client 0: save 7" in found["operation"]
    assert "held by a, b" in found["operation"]
    assert "b at 1.300 s: ready" in found["node"]
    assert "<b>key</b>" in found["node"]


def test_a_replay_draws_a_page_at_both_levels(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(plan_to_json(short(2, 3.0)), encoding="utf-8")
    for level in ("core", "node"):
        file = tmp_path / f"{level}.html"
        assert main(["replay", str(plan), "--level", level, "--html", str(file)]) == 0
        data = data_of(file.read_text(encoding="utf-8"))
        assert data["level"] == level
        assert data["nodes"] == ["a", "b", "c"]
        assert len(data["messages"]["sent"]) > 50
        assert data["kept"]
