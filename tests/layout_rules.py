"""The rooms and their doors: what each package may import, and what it may export.

Rule: every rule is a function from source text to complaints.
"""

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

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

NAMED_FOR: Final = {
    "simulations.strategies": "testing",
    "simulations.machine": "testing",
    "simulations.ring_view": "cli",
}
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
    tables = tomllib.loads(project)
    table = tables["project"]
    by_extra = {"": table["dependencies"], **table["optional-dependencies"]}
    groups = tables.get("dependency-groups", {})
    for extra, lines in (by_extra | {f"group {name}": groups[name] for name in groups}).items():
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
            for group, lines in package["metadata"].get("requires-dev", {}).items():
                for line in lines:
                    extras = frozenset(line.get("extras", ()))
                    specifier = line.get("specifier", "")
                    locked.add((line["name"], extras, specifier, f"group {group}"))
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
