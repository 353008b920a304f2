"""A configuration as tables of keys and values: from a TOML file, the environment, and code.

Rules:
- Layers are laid over one another key by key: code beats environment beats file.
- An unknown key is refused, with the nearest known one. Its value is not shown: it may be a
  secret at the wrong place. Values are checked by the sections (``node.sections``).
"""

import codecs
import difflib
import os
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from node.sections import (
    NodeSection,
    SecurityConfig,
    SessionsConfig,
    StoreConfig,
)
from node.setting_checks import check_secret, to_secrets
from ring.errors import ConfigError
from ring.placement import Departed, Member, Ring

Tables = Mapping[str, Any]
"""Sections by name; each a mapping of keys to values. None stands for "as if not written"."""

CONFIG_VARIABLE: Final = "SESSIONRING_CONFIG"
NAME_VARIABLE: Final = "SESSIONRING_NAME"
SECRET_VARIABLE: Final = "SESSIONRING_SECRET"  # noqa: S105 - the variable's name

_SECTIONS: Final = ("ring", "store", "sessions", "namespaces", "security", "node")
_SECRET_KEYS: Final = frozenset({"secret", "secrets", "secret_file"})
_TLS_KEYS: Final = ("tls_certificate", "tls_key", "tls_ca")

_S = TypeVar("_S", SessionsConfig, StoreConfig, NodeSection)


@attrs.frozen
class Sections:
    """A whole configuration but for the node's own name."""

    ring: Ring
    store: StoreConfig | None
    sessions: SessionsConfig
    namespaces: dict[str, SessionsConfig]
    security: SecurityConfig
    node: NodeSection


def read_file(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the tables of the TOML file at ``path``.

    Raises:
        ConfigError: it cannot be read, or is not TOML; then the line is named.
    """
    try:
        # Editors of one system begin a file with a mark that TOML does not know.
        return read_toml(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ConfigError(
            f"configuration file {os.fspath(path)!r} cannot be read: {reason}; "
            f"give its path, or set {CONFIG_VARIABLE}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"configuration file {os.fspath(path)!r} is not UTF-8 at byte {error.start}; "
            "save it as UTF-8"
        ) from error
    except ValueError as error:  # tomllib's own, or an int of thousands of digits
        raise ConfigError(
            f"configuration file {os.fspath(path)!r} is not TOML: {error}; correct that line"
        ) from error


def read_toml(text: str) -> dict[str, Any]:
    """Return the tables that ``text`` writes.

    Raises:
        ValueError: it is not TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("its lists are nested too deep") from error


def environment_layer(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return what the environment says, as tables.

    Raises:
        ConfigError: the secret there cannot be used.
    """
    secret = environ.get(SECRET_VARIABLE)
    if secret is None:
        return {}
    as_bytes = os.fsencode(secret)
    check_secret(SECRET_VARIABLE, as_bytes)
    return {"security": {"secret": as_bytes}}


def lay_over(lower: Tables, upper: Tables) -> dict[str, Any]:
    """Return ``lower`` with every key of ``upper`` in its place."""
    merged = dict(lower)
    for section, above in upper.items():
        below = merged.get(section)
        if isinstance(below, Mapping) and isinstance(above, Mapping):
            if section == "security" and not _SECRET_KEYS.isdisjoint(above):
                # They are three ways to say one thing.
                below = {key: value for key, value in below.items() if key not in _SECRET_KEYS}
            above = lay_over(below, above) if section == "namespaces" else {**below, **above}
        merged[section] = above
    return merged


def read_sections(tables: Tables) -> Sections:
    """Return the sections that ``tables`` write.

    Raises:
        ConfigError: a key is unknown or missing, or a value cannot be used. It is named.
    """
    tables = _known_table("", tables, _SECTIONS)
    store = tables.get("store")
    return Sections(
        ring=read_ring(tables.get("ring")),
        store=None if store is None else _read_section(StoreConfig, store),
        sessions=_read_section(SessionsConfig, tables.get("sessions", {})),
        namespaces=_read_namespaces(tables.get("namespaces", {}), tables.get("sessions", {})),
        security=_read_security(tables.get("security", {})),
        node=_read_section(NodeSection, tables.get("node", {})),
    )


def _known_table(key: str, table: object, known: Collection[str]) -> dict[str, Any]:
    """Return ``table``, found at ``key``, without keys that are None; all others are ``known``."""
    if not isinstance(table, Mapping):
        raise ConfigError(f"{key} is of type {type(table).__name__}; write a table [{key}]")
    for unknown in table:
        if unknown not in known:
            near = difflib.get_close_matches(str(unknown), known, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"{_dotted(key, unknown)} is not a setting; {remedy}")
    return {name: value for name, value in table.items() if value is not None}


def _dotted(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _required(key: str, table: dict[str, Any], name: str, kind: type, remedy: str) -> Any:
    if name not in table:
        raise ConfigError(f"{_dotted(key, name)} is missing; {remedy}")
    return _typed(key, table, name, kind, remedy)


def _typed(key: str, table: dict[str, Any], name: str, kind: type, remedy: str) -> Any:
    if type(table[name]) is not kind:
        raise ConfigError(f"{_dotted(key, name)} is {table[name]!r}; {remedy}")
    return table[name]


def _read_section(section: type[_S], table: object) -> _S:
    known = [field.name for field in attrs.fields(section)]
    values = _known_table(section.SECTION, table, known)
    for field in attrs.fields(section):
        if field.default is attrs.NOTHING and field.name not in values:
            raise ConfigError(f"{section.SECTION}.{field.name} is missing; write it, or no section")
    return section(**values)


def _read_namespaces(tables: object, sessions: Mapping[str, Any]) -> dict[str, SessionsConfig]:
    """Return the sessions of each namespace: what its table does not say, ``sessions`` does."""
    if not isinstance(tables, Mapping):
        raise ConfigError(
            f"namespaces is of type {type(tables).__name__}; write a table [namespaces.NAME]"
        )
    known = [field.name for field in attrs.fields(SessionsConfig)]
    read = {}
    for name, table in tables.items():
        if table is None:
            continue
        key = f"namespaces.{name}"
        values = _known_table(key, table, known)
        try:
            read[name] = _read_section(SessionsConfig, {**sessions, **values})
        except ConfigError as error:
            # What [sessions] says was read before: whatever is wrong stands here, or meets it here.
            raise ConfigError(str(error).replace("sessions.", f"{key}.")) from error
    return read


def read_ring(table: object) -> Ring:
    """Return the ring that the section ``[ring]`` describes.

    Raises:
        ConfigError: it describes none; the key is named.
    """
    if table is None:
        raise ConfigError("ring is missing; write [ring] with name and [[ring.members]]")
    values = _known_table("ring", table, ("name", "version", "copies", "members", "departed"))
    name = _required("ring", values, "name", str, "give the ring a name")
    numbers = {
        key: _typed("ring", values, key, int, "use a whole number")
        for key in ("version", "copies")
        if key in values
    }
    if "members" not in values:
        raise ConfigError("ring.members is missing; write [[ring.members]] for each member")
    members = _listed("ring.members", values["members"], "each member")
    read = tuple(_read_member(f"ring.members[{at}]", member) for at, member in enumerate(members))
    gone = _listed("ring.departed", values.get("departed", []), "each that has left")
    departed = tuple(_read_departed(f"ring.departed[{at}]", each) for at, each in enumerate(gone))
    return Ring(name, read, departed=departed, **numbers)


def _listed(key: str, tables: object, each: str) -> Sequence[object]:
    if not isinstance(tables, list | tuple):
        raise ConfigError(f"{key} is of type {type(tables).__name__}; write [[{key}]] for {each}")
    return tables


def _read_member(key: str, table: object) -> Member:
    values = _known_table(key, table, ("name", "address", "backup"))
    name = _required(key, values, "name", str, "give each member a name")
    backup = "backup" in values and _typed(key, values, "backup", bool, "use true or false")
    return Member(name, _address(key, values), backup)


def _read_departed(key: str, table: object) -> Departed:
    values = _known_table(key, table, ("name", "heir", "address"))
    name = _required(key, values, "name", str, "say who has left")
    heir = _required(key, values, "heir", str, "name the member that has its sessions now")
    return Departed(name, heir, _address(key, values))


def _address(key: str, values: dict[str, Any]) -> str:
    if "address" not in values:
        return ""
    address: str = _typed(key, values, "address", str, 'use "host:port"')
    return address


def _read_security(table: object) -> SecurityConfig:
    values = _known_table("security", table, (*sorted(_SECRET_KEYS), *_TLS_KEYS))
    tls = {key: values.pop(key) for key in _TLS_KEYS if key in values}
    if len(values) > 1:
        raise ConfigError(
            f"security has {' and '.join(sorted(values))}; write only one of them: "
            "a secret, a list of secrets, or the path of a file with one secret in each line"
        )
    return SecurityConfig(_read_secrets(values), **tls)


def _read_secrets(values: Mapping[str, Any]) -> Sequence[bytes | str]:
    if "secret_file" in values:
        return _read_secret_file(values["secret_file"])
    if "secrets" in values:
        secrets = values["secrets"]
        if not isinstance(secrets, list | tuple) or not secrets:
            raise ConfigError("security.secrets is not a list with a secret in it; write one")
        return secrets
    if "secret" in values:
        secret = values["secret"]
        for as_bytes in to_secrets([secret]):
            check_secret("security.secret", as_bytes)
        return [secret]
    return []


def _read_secret_file(path: object) -> list[bytes]:
    if not isinstance(path, str | os.PathLike) or not os.path.isabs(path):
        # Not its value: somebody may have written the secret itself.
        raise ConfigError(
            "security.secret_file is no absolute path; give that of a file with the secret in it"
        )
    try:
        lines = Path(path).read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise ConfigError(
            f"security.secret_file is {path!r}, which cannot be read: {error.strerror}; "
            "put one secret in each line of that file, the one that proves first"
        ) from error
    secrets = [line.strip() for line in lines if line.strip()]
    if not secrets:
        raise ConfigError(f"security.secret_file is {path!r}, which is empty; put a secret in it")
    return secrets
