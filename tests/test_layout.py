"""The rooms and their doors: what each package may import, export and ship.

Every rule is run over the project, which must give no complaints, and over bad source text, which
must give some: a rule that never complains keeps nothing.
"""

import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from layout_rules import (
    IMPURE_MODULES,
    MAY_IMPORT,
    PURE,
    ROOT,
    Dependencies,
    against_the_direction,
    impurities,
    module_name,
    more_than_exports,
    project_files,
    stale_or_strange_lock,
    undeclared_imports,
)

# --- the project keeps them -----------------------------------------------------------------

PROJECT: Final = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
DECLARED: Final = Dependencies.read(PROJECT)


def complaints_about(
    rule: Callable[[str, str], list[str]], *, only: Callable[[Path], bool] = lambda _: True
) -> list[str]:
    """Run ``rule`` over the project's files, those that ``only`` picks."""
    return [
        complaint
        for path in project_files()
        if only(path)
        for complaint in rule(module_name(path), (ROOT / path).read_text(encoding="utf-8"))
    ]


def test_every_package_is_read() -> None:
    assert {path.parts[0] for path in project_files()} == set(MAY_IMPORT)


def test_the_rooms_keep_their_direction() -> None:
    assert complaints_about(against_the_direction) == []


def test_everything_imported_is_declared_and_what_is_optional_is_imported_late() -> None:
    assert complaints_about(lambda module, text: undeclared_imports(module, text, DECLARED)) == []


def test_ring_and_wire_are_pure() -> None:
    assert complaints_about(impurities, only=lambda path: path.parts[0] in PURE) == []


def test_every_init_re_exports_and_does_nothing_else() -> None:
    assert complaints_about(more_than_exports, only=lambda path: path.stem == "__init__") == []


def test_every_folder_of_modules_is_a_package() -> None:
    """A folder without ``__init__.py`` would import here, and be missing from the rules above."""
    folders = {path.parent for path in project_files()}
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_the_core_needs_four_distributions() -> None:
    assert DECLARED.core == {"trio", "cattrs", "msgpack", "attrs", "attr"}


def test_the_lock_is_fresh_and_names_only_the_public_index() -> None:
    assert stale_or_strange_lock(PROJECT, (ROOT / "uv.lock").read_text(encoding="utf-8")) == []


def test_the_packages_import_without_any_extra() -> None:
    """So that an application which installs only the core gets a node that starts."""
    script = (
        "import sys\n"
        f"sys.modules.update(dict.fromkeys({sorted(DECLARED.extras)!r}))\n"
        f"import {', '.join(MAY_IMPORT)}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_the_wheel_holds_the_four_packages_typed_and_nothing_else(tmp_path: Path) -> None:
    """No tests, benchmarks, examples or docs; and every module that is in the clone."""
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", tmp_path],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    outside = [name for name in names if ".dist-info/" not in name]
    assert {name.partition("/")[0] for name in outside} == set(MAY_IMPORT)
    assert {path.as_posix() for path in project_files()} <= set(names)
    assert {f"{package}/py.typed" for package in MAY_IMPORT} <= set(names)
    parts = {path.name for path in (ROOT / "simulations" / "picture").iterdir() if path.is_file()}
    assert {f"simulations/picture/{part}" for part in parts} <= set(names)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)


# --- and the rules have teeth ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ring.clock", "import wire"),
        ("ring.clock", "from node.stores import memory"),
        ("ring.clock", "from . import errors"),
        ("ring.clock", "from ..wire import codec"),
        ("ring.clock", "def late():\n    import simulations.world\n"),
        ("wire.codec", "import node.config"),
        ("wire.codec", "if TYPE_CHECKING:\n    from simulations import world\n"),
        ("node.link", "import attrs, simulations"),
        ("node.stores.file", "from simulations.world import Disk"),
    ],
)
def test_an_import_against_the_direction_is_found(module: str, source: str) -> None:
    assert len(against_the_direction(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("ring.clock", "from ring.errors import LocalProtocolError"),
        ("ring.clock", "import ringing, wired"),
        ("wire.codec", "import ring, wire"),
        ("node.link", "import ring, wire, node"),
        ("simulations.world", "import ring, wire, node, simulations"),
    ],
)
def test_an_import_with_the_direction_is_let_be(module: str, source: str) -> None:
    assert against_the_direction(module, source) == []


EXAMPLE: Final = Dependencies.read(
    """
    [project]
    dependencies = ["attrs>=23", "trio"]
    [project.optional-dependencies]
    cli = ["rich>=13"]
    web = ["flask"]
    testing = ["pytest-trio", "hypothesis"]
    dev = ["sessionring[cli,testing]", "mypy"]
    """
)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("node.link", "import requests"),
        ("node.link", "def late():\n    import requests\n"),
        ("node.link", "import mypy.api"),
        ("node.link", "import rich"),
        ("node.link", "try:\n    from rich.live import Live\nexcept ImportError:\n    pass\n"),
        ("node.link", "class Screen:\n    import rich\n"),
        ("node.link", "if not TYPE_CHECKING:\n    import rich\n"),
        ("node.link", "if TYPE_CHECKING:\n    pass\nelse:\n    import rich\n"),
        ("node.link", "import node.web.flask"),
        ("node.link", "from node.web import flask"),
        ("node.web.flask", "import rich"),
        ("simulations.world", "import pytest_trio"),
        ("simulations.world", "from simulations.strategies import records"),
        ("simulations.world", "from strategies import records"),
    ],
)
def test_an_undeclared_or_early_import_is_found(module: str, source: str) -> None:
    assert len(undeclared_imports(module, source, EXAMPLE)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("node.link", "import attr, attrs, trio.testing, collections.abc"),
        ("node.link", "def late():\n    import rich\n"),
        ("node.link", "if typing.TYPE_CHECKING:\n    import rich\n"),
        ("node.link", "async def late():\n    from node.web import flask\n"),
        ("node.ops.cli", "import rich"),
        ("node.web.flask", "from flask import Flask"),
        ("simulations.strategies", "import hypothesis.strategies"),
    ],
)
def test_a_declared_and_timely_import_is_let_be(module: str, source: str) -> None:
    assert undeclared_imports(module, source, EXAMPLE) == []


@pytest.mark.parametrize(
    "source",
    [
        *(f"import {module}" for module in sorted(IMPURE_MODULES)),
        "from time import monotonic",
        "import os.path",
        "from random import Random, randbytes",
        "def late():\n    from datetime import datetime\n",
        "generator = Random(1)",
        "def load():\n    return open('x')\n",
        "print('here')",
        "async def wait_a_while(): ...",
    ],
)
def test_an_impurity_is_found(source: str) -> None:
    assert len(impurities("ring.clock", source)) == 1


def test_types_and_pure_modules_are_let_be() -> None:
    source = """
import hashlib, hmac, io, struct
from random import Random
def draw(random: Random) -> int:
    return random.getrandbits(64)
"""
    assert impurities("ring.identity", source) == []


@pytest.mark.parametrize(
    "source",
    [
        "from ring.clock import Stamp",
        '__all__ = ["Stamp"]',
        'from ring.clock import Reading, Stamp\n__all__ = ["Stamp"]',
        'from ring.clock import Stamp\n__all__ = ["Stamp", "Reading"]',
        'from ring.clock import Stamp\n__all__ = ["Stamp", "Stamp"]',
        'from ring.clock import Stamp as _Stamp\n__all__ = ["_Stamp"]\nx = 1',
        'from wire.codec import Codec\n__all__ = ["Codec"]',
        "import ring.clock",
        '"""Docs."""\n"""More."""',
        "def __getattr__(name): ...",
        "if True:\n    from ring.clock import Stamp\n",
        "__version__ = '1'",
    ],
)
def test_an_init_that_does_more_is_found(source: str) -> None:
    assert len(more_than_exports("ring", source)) == 1


@pytest.mark.parametrize(
    "source",
    [
        "",
        '"""Docs."""',
        '"""Docs."""\nfrom ring.clock import A, B as C\n__all__ = ["A", "C"]',
        'from ring.clock import A\n__all__: Final = ("A",)',
    ],
)
def test_an_init_that_only_re_exports_is_let_be(source: str) -> None:
    assert more_than_exports("ring", source) == []


PROJECT_EXAMPLE: Final = """
[project]
dependencies = ["trio>=0.25"]
[project.optional-dependencies]
cli = ["rich"]
[dependency-groups]
fuzz = ["atheris"]
"""
LOCK_EXAMPLE: Final = """
[[package]]
name = "sessionring"
source = { editable = "." }
[package.metadata]
requires-dist = [
    { name = "trio", specifier = ">=0.25" },
    { name = "rich", marker = "extra == 'cli'" },
]
[package.metadata.requires-dev]
fuzz = [{ name = "atheris" }]
[[package]]
name = "trio"
source = { registry = "https://pypi.org/simple" }
sdist = { url = "https://files.pythonhosted.org/packages/trio.tar.gz" }
wheels = [{ url = "https://files.pythonhosted.org/packages/trio.whl" }]
"""


def test_a_fresh_lock_is_let_be() -> None:
    assert stale_or_strange_lock(PROJECT_EXAMPLE, LOCK_EXAMPLE) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("https://pypi.org/simple", "https://mirror.example/simple"),
        ('registry = "https://pypi.org/simple"', 'path = "/srv/wheels/trio.whl"'),
        ("https://files.pythonhosted.org/packages/trio.whl", "https://mirror.example/trio.whl"),
        ("https://files.pythonhosted.org/packages/trio.tar.gz", "file:///srv/trio.tar.gz"),
        ('editable = "."', 'editable = "/home/someone/sessionring"'),
        ('    { name = "rich", marker = "extra == \'cli\'" },\n', ""),
        ("requires-dist = [", 'requires-dist = [\n    { name = "requests" },'),
        ('fuzz = [{ name = "atheris" }]', ""),
        ('fuzz = [{ name = "atheris" }]', 'fuzz = [{ name = "atheris" }, { name = "requests" }]'),
    ],
)
def test_a_stale_or_strange_lock_is_found(old: str, new: str) -> None:
    assert LOCK_EXAMPLE.count(old) == 1
    assert len(stale_or_strange_lock(PROJECT_EXAMPLE, LOCK_EXAMPLE.replace(old, new))) == 1


def test_a_lock_for_other_versions_is_found() -> None:
    lock = LOCK_EXAMPLE.replace(">=0.25", ">=0.24")
    assert len(stale_or_strange_lock(PROJECT_EXAMPLE, lock)) == 2
