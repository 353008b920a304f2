"""What the README shows is run: its embedding, its configuration, and its links."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import node
from node import NodeConfig

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the fenced code blocks of ``language``."""
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_embedding_runs_as_printed_and_keeps_its_session_on_disk(tmp_path: Path) -> None:
    """A newcomer pastes it into a file."""
    (script,) = blocks("python")
    (tmp_path / "app.py").write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "app.py"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert done.stdout == "Receipt(holders=('a',), on_disk=('a',), degraded=False)\n"
    assert any(path.is_file() for path in (tmp_path / "sessions").rglob("*"))


def test_the_configuration_is_accepted(tmp_path: Path) -> None:
    (text,) = blocks("toml")
    assert tomllib.loads(text)["ring"]["name"] == "shop"
    (tmp_path / "ring.toml").write_text(text, encoding="utf-8")
    config = NodeConfig.load(tmp_path / "ring.toml", "a", environ={})
    assert config.ring.preference_list("b") == ("b", "a")


def test_every_file_that_the_readme_points_to_is_there() -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) > 4
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_interface_page_names_everything_that_node_exports() -> None:
    page = (ROOT / "docs" / "interface.md").read_text(encoding="utf-8")
    sections = {
        "NodeStatus",
        "Client",
        "Durability",
        "SecurityConfig",
        "SessionsConfig",
        "StoreConfig",
    }
    missing = [name for name in node.__all__ if name not in page and name not in sections]
    assert missing == []
