"""Opens pages in Chromium, without a window, to see what becomes of them there."""

import os
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Final

import pytest
from attrs import frozen

NAMES: Final = ("chromium", "chromium-browser", "google-chrome")
OPTIONS: Final = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--window-size=1200,900",
    "--enable-logging=stderr",
    "--virtual-time-budget=5000",
)
"""The last one lets timers of pages ring at once: five seconds of them, and no more."""


@frozen
class Seen:
    """What has become of a page."""

    dom: str
    console: tuple[str, ...]
    """What it has said there, errors above all."""

    def attribute(self, element_id: str, name: str) -> str:
        """Return an attribute of the element with this id."""
        tag = re.search(rf'<[^>]*\bid="{element_id}"[^>]*>', self.dom)
        assert tag is not None, f"there is no element {element_id}"
        value = re.search(rf'\b{name}="([^"]*)"', tag[0])
        assert value is not None, f"{tag[0]} has no {name}"
        return unescape(value[1])

    def text(self, element_id: str) -> str:
        """Return the text with which the element with this id begins."""
        found = re.search(rf'\bid="{element_id}"[^>]*>([^<]*)', self.dom)
        assert found is not None, f"there is no element {element_id}"
        return unescape(found[1])


def opened(page: Path, profile: Path, address: str = "") -> Seen:
    """Open a page; skip the test if there is nothing to open it with.

    Args:
        page: a file.
        profile: a directory that nothing else uses.
        address: what follows the name of the file, ``#`` included.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        reason = "there is no Chromium on PATH (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = subprocess.run(
        [program, *OPTIONS, f"--user-data-dir={profile}", "--dump-dom", page.as_uri() + address],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "</html>" in done.stdout, done.stderr
    console = re.findall(r"CONSOLE.*", done.stderr)
    return Seen(done.stdout, tuple(console))
