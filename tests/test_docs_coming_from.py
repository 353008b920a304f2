"""docs/coming-from.md: whatever it says is here is here."""

import re
from pathlib import Path
from typing import Final

import attrs
import pytest

import node
from node import DurableSessions, Node, NodeConfig, Session, Sessions, SessionsConfig

PAGE: Final = (Path(__file__).parent.parent / "docs" / "coming-from.md").read_text("utf-8")
OWNERS: Final = {
    "session": Session,
    "sessions": Sessions,
    "node": Node,
    "durable": DurableSessions,
    "NodeConfig": NodeConfig,
}
NAMES: Final = sorted(set(re.findall(r"`(\w+)\.(\w+)", PAGE)))
FOR_ITS_PACKAGE: Final = {"is_there", "save_unasked"}
"""What other modules call on a session, and no application."""

SETTINGS: Final = frozenset(field.name for field in attrs.fields(SessionsConfig))


@pytest.mark.parametrize(
    ("owner", "name"), [each for each in NAMES if each[0] in OWNERS], ids=".".join
)
def test_what_is_named_is_there(owner: str, name: str) -> None:
    assert hasattr(OWNERS[owner], name) or (owner == "sessions" and name in SETTINGS)


def test_the_page_names_much_of_what_there_is() -> None:
    assert len([each for each in NAMES if each[0] in OWNERS]) > 30


def test_everything_of_a_session_and_of_sessions_has_its_place_on_a_page() -> None:
    """Here, or where it is told at length."""
    docs = Path(__file__).parent.parent / "docs"
    told = PAGE + "".join(
        (docs / page).read_text("utf-8") for page in ("interface.md", "sessions.md", "stores.md")
    )
    public = [each for owner in (Session, Sessions) for each in vars(owner) if each[0] != "_"]
    public = [each for each in public if each not in FOR_ITS_PACKAGE] + node.__all__
    assert [each for each in public if re.search(rf"\b{each}\b", told) is None] == []
