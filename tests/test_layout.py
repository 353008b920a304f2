"""The rooms and their doors: what each package may import, export and ship.

Every rule is a function from source text to complaints. It is run over the project, which must
give none, and over bad source text, which must give some: a rule that never complains keeps
nothing.
"""

import ast
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from attrs import frozen
from packaging.requirements import Requirement

ROOT: Final = Path(__file__).resolve().parent.parent

MAY_IMPORT: Final[dict[str, frozenset[str]]] = {
    "ring": frozenset({"ring"}),
    "wire": frozenset({"ring", "wire"}),
    "node": frozenset({"ring", "wire", "node"}),
    "simulations": frozenset({"ring", "wire", "node", "simulations"}),
}
"""The direction of the rooms: each package, and which of ours it may import."""

PURE: Final = ("ring", "wire")
"""Packages that decide and spell: input goes in, output comes out, and nothing else happens."""

IMPURE_MODULES: Final = frozenset(
    {
        # clocks and the calendar
        *("time", "datetime", "sched", "zoneinfo"),
        # randomness, unless it is a parameter
        *("random", "secrets", "uuid"),
        # the machine
        *("os", "pathlib", "shutil", "tempfile", "glob", "platform", "signal", "subprocess"),
        *("fcntl", "mmap", "resource", "ctypes", "sqlite3", "importlib"),
        # the network
        *("socket", "socketserver", "ssl", "select", "selectors", "http", "urllib"),
        # who runs when
        *("asyncio", "trio", "threading", "_thread", "multiprocessing", "concurrent", "queue"),
        *("contextvars", "weakref", "gc", "atexit"),
        # saying things to the world
        *("logging", "warnings"),
    }
)

IMPURE_CALLS: Final = frozenset({"open", "print", "input", "eval", "exec", "__import__", "Random"})
"""Builtins that reach out; and ``Random()``, since a generator is a parameter, never made here."""

IMPORT_NAMES: Final = {"attrs": ("attrs", "attr")}
"""Distributions whose import names are not their own, with dashes turned into underscores."""

NAMED_FOR: Final = {"simulations.strategies": "testing", "simulations.ring_view": "cli"}
"""Modules that belong to an extra without bearing its name or that of what they import."""


# --- reading source text --------------------------------------------------------------------


@frozen
class Import:
    """One imported module, and under which name and conditions."""

    module: str
    name: str | None
    """The name taken from the module; None when the module itself is imported."""
    line: int
    at_start: bool
    """Whether it runs when the module is imported: not in a function, nor for types only."""

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def imports_in(source: str) -> Iterator[Import]:
    """Yield every import in ``source``, wherever it stands."""

    def walk(node: ast.AST, at_start: bool) -> Iterator[Import]:
        match node:
            case ast.Import():
                for alias in node.names:
                    yield Import(alias.name, None, node.lineno, at_start)
            case ast.ImportFrom():
                module = "." * node.level + (node.module or "")
                for alias in node.names:
                    yield Import(module, alias.name, node.lineno, at_start)
            case ast.If(test=ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING")):
                for child in node.body:
                    yield from walk(child, False)
                for child in node.orelse:
                    yield from walk(child, at_start)
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                for inside in ast.iter_child_nodes(node):
                    yield from walk(inside, False)
            case _:
                for inside in ast.iter_child_nodes(node):
                    yield from walk(inside, at_start)

    yield from walk(ast.parse(source), True)


def module_name(path: Path) -> str:
    """Return the dotted name of the module at ``path``, relative to the project."""
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def project_files() -> list[Path]:
    """Return every Python file of the four packages, relative to the project."""
    return sorted(
        path.relative_to(ROOT) for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")
    )


# --- the rules ------------------------------------------------------------------------------


def against_the_direction(module: str, source: str) -> list[str]:
    """Ring imports nothing of ours, wire only ring, node only ring and wire; none is relative."""
    allowed = MAY_IMPORT[module.partition(".")[0]]
    return [
        f"{module}:{found.line}: may not import {found.module}"
        for found in imports_in(source)
        if found.module.startswith(".") or (found.top in MAY_IMPORT and found.top not in allowed)
    ]


@frozen
class Dependencies:
    """What pyproject.toml promises, as import names."""

    core: frozenset[str]
    extras: dict[str, frozenset[str]]
    """Each optional import name, and the extras that install it."""

    @classmethod
    def read(cls, text: str) -> "Dependencies":
        """Read the core dependencies and the extras that are for users from a pyproject.toml."""
        project = tomllib.loads(text)["project"]
        extras: dict[str, frozenset[str]] = {}
        for extra, lines in project["optional-dependencies"].items():
            # The tools of development are run, never imported.
            for name in import_names(lines) if extra != "dev" else ():
                extras[name] = extras.get(name, frozenset()) | {extra}
        return cls(frozenset(import_names(project["dependencies"])), extras)

    def extras_of(self, module: str) -> frozenset[str]:
        """Return the extras that ``module`` is named for, by theirs or by what they install."""
        words = set(module.split("."))
        named = {extra for extras in self.extras.values() for extra in extras if extra in words}
        for name, extras in self.extras.items():
            if name in words:
                named |= extras
        return frozenset(named | {NAMED_FOR[module]} if module in NAMED_FOR else named)


def import_names(lines: list[str]) -> Iterator[str]:
    """Yield the import names of the distributions that requirement ``lines`` ask for."""
    for line in lines:
        name = Requirement(line).name
        if name != "sessionring":
            yield from IMPORT_NAMES.get(name, (name.replace("-", "_"),))


def undeclared_imports(module: str, source: str, declared: Dependencies) -> list[str]:
    """Imports are of the standard library, ours or the core; optional ones are late or at home.

    An optional dependency may be imported inside a function, or by a module that is named for
    its extra; and such a module is itself imported only in those two ways.
    """
    complaints = []
    own_extras = declared.extras_of(module)
    for found in imports_in(source):
        where = f"{module}:{found.line}"
        if found.top in MAY_IMPORT:
            # `from node.web import flask` imports the module node.web.flask, if there is one.
            targets = (found.module, f"{found.module}.{found.name}")
            needed = frozenset[str]().union(*(declared.extras_of(target) for target in targets))
            if found.at_start and needed and not needed & own_extras:
                complaints.append(f"{where}: {found.module} needs an extra, so import it late")
        elif found.top in declared.extras:
            if found.at_start and not declared.extras[found.top] & own_extras:
                complaints.append(f"{where}: {found.top} is optional, so import it late")
        elif found.top not in sys.stdlib_module_names and found.top not in declared.core:
            complaints.append(f"{where}: {found.top} is no declared dependency")
    return complaints


def impurities(module: str, source: str) -> list[str]:
    """Ring and wire read no clock, make no randomness, do no I/O, and await nothing."""
    complaints = [
        f"{module}:{found.line}: may not import {found.module}"
        for found in imports_in(source)
        # The type of a generator that is passed in is harmless.
        if found.top in IMPURE_MODULES and (found.module, found.name) != ("random", "Random")
    ]
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
                complaints.append(f"{module}:{node.lineno}: may not call {name}()")
            case ast.AsyncFunctionDef() | ast.Await() | ast.AsyncFor() | ast.AsyncWith():
                complaints.append(f"{module}:{node.lineno}: may not be async")
            case _:
                pass
    return complaints


def more_than_exports(module: str, source: str) -> list[str]:
    """An ``__init__.py`` re-exports names in ``__all__`` and does no more.

    They are its own package's, or come from the rooms below: an application that catches an error
    of `ring` should not have to know where it is made.
    """
    complaints = []
    imported: list[str] = []
    exported: list[str] = []
    for number, statement in enumerate(ast.parse(source).body):
        where = f"{module}:{statement.lineno}"
        match statement:
            case ast.Expr(value=ast.Constant(value=str())) if number == 0:
                pass
            case ast.ImportFrom():
                imported += [alias.asname or alias.name for alias in statement.names]
                room, package = (statement.module or "").partition(".")[0], module.partition(".")[0]
                if room != package and room not in MAY_IMPORT.get(package, ()):
                    complaints.append(f"{where}: re-exports what is not of its own rooms")
            case (
                ast.Assign(targets=[ast.Name(id="__all__")], value=value)
                | ast.AnnAssign(target=ast.Name(id="__all__"), value=ast.expr() as value)
            ):
                exported += ast.literal_eval(value)
            case _:
                complaints.append(f"{where}: does more than re-export")
    for name in sorted(set(imported) ^ set(exported)):
        which = "imported but not in __all__" if name in imported else "in __all__, not imported"
        complaints.append(f"{module}: {name} is {which}")
    if len(set(exported)) != len(exported):
        complaints.append(f"{module}: __all__ names something twice")
    return complaints


def stale_or_strange_lock(project: str, lock: str) -> list[str]:
    """The lock was made from this pyproject.toml, and everything in it comes from the public PyPI.

    A lock made on a machine with a mirror would name the mirror, and fail everywhere else.
    """
    asked = set()
    table = tomllib.loads(project)["project"]
    for extra, lines in {"": table["dependencies"], **table["optional-dependencies"]}.items():
        for line in lines:
            wanted = Requirement(line)
            asked.add((wanted.name, frozenset(wanted.extras), str(wanted.specifier), extra))
    complaints = []
    locked = set()
    for package in tomllib.loads(lock)["package"]:
        name = package["name"]
        if name == "sessionring":
            for line in package["metadata"]["requires-dist"]:
                _, _, extra = line.get("marker", "").partition("extra == ")
                extras = frozenset(line.get("extras", ()))
                locked.add((line["name"], extras, line.get("specifier", ""), extra.strip("'")))
            expected: dict[str, str] = {"editable": "."}
        else:
            expected = {"registry": "https://pypi.org/simple"}
        if package["source"] != expected:
            complaints.append(f"{name} comes from {package['source']}")
        files: list[dict[str, Any]] = package.get("wheels", [])
        if "sdist" in package:
            files = [*files, package["sdist"]]
        complaints += [
            f"{name} is fetched from {file}"
            for file in files
            if not file.get("url", "").startswith("https://files.pythonhosted.org/")
        ]
    complaints += [f"asked for, not locked: {one[0]}" for one in sorted(asked - locked, key=str)]
    complaints += [f"locked, not asked for: {one[0]}" for one in sorted(locked - asked, key=str)]
    return complaints


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
    ],
)
def test_a_stale_or_strange_lock_is_found(old: str, new: str) -> None:
    assert LOCK_EXAMPLE.count(old) == 1
    assert len(stale_or_strange_lock(PROJECT_EXAMPLE, LOCK_EXAMPLE.replace(old, new))) == 1


def test_a_lock_for_other_versions_is_found() -> None:
    lock = LOCK_EXAMPLE.replace(">=0.25", ">=0.24")
    assert len(stale_or_strange_lock(PROJECT_EXAMPLE, lock)) == 2
