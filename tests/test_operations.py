"""docs/operations.md names every event that a node can log, and no other."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
SPEAKING = {"notice", "alarm", "Notice", "log_event", "log"}


def spoken(source: str) -> set[str]:
    """Return the event names that ``source`` passes to whatever logs them."""
    events = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            for argument in node.args[:3] if name in SPEAKING else ():
                text = argument.value if isinstance(argument, ast.Constant) else None
                if isinstance(text, str) and re.fullmatch(r"[a-z]+(_[a-z]+)*", text):
                    events.add(text)
    return events


def events_in_code() -> set[str]:
    sources = [path for room in ("ring", "node") for path in (ROOT / room).rglob("*.py")]
    return set().union(*(spoken(path.read_text(encoding="utf-8")) for path in sources))


def events_in_page() -> set[str]:
    return set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, flags=re.MULTILINE))


def test_every_event_that_is_found_in_the_code_is_on_the_page() -> None:
    assert {"ready", "member_down", "store_failing"} <= events_in_code()
    assert events_in_code() - events_in_page() == set()


def test_every_event_on_the_page_is_a_word_of_the_code() -> None:
    """So that nobody waits for an event that no longer exists."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for room in ("ring", "node")
        for path in (ROOT / room).rglob("*.py")
    )
    assert [event for event in sorted(events_in_page()) if f'"{event}"' not in code] == []
