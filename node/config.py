"""The configuration of one node: the ring that all share, its own name, and its sections.

Rules:
- One frozen value, checked when it is built, however it is built: in code, from tables, or from
  a TOML file. Code beats environment beats file.
- Whatever is wrong is refused here, before anything is started, with the key, the value and the
  remedy. Secrets are never shown.
"""

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from attrs import field, frozen

from node.address import TcpAddress, UnixAddress, parse_address
from node.namespaces import check_namespaces
from node.sections import NodeSection, SecurityConfig, SessionsConfig, StoreConfig
from node.tables import (
    CONFIG_VARIABLE,
    NAME_VARIABLE,
    SECRET_VARIABLE,
    Tables,
    environment_layer,
    lay_over,
    read_file,
    read_sections,
)
from node.tls import TlsFiles
from ring.errors import ConfigError
from ring.messages import Durability
from ring.placement import Member, Ring
from ring.settings import Settings
from wire.limits import ADDRESS_CHARS_MAX, RING_NAME_CHARS_MAX

__all__ = ["NodeConfig", "NodeSection", "SecurityConfig", "SessionsConfig", "StoreConfig"]

_FILLABLE: Final = ("{name}", "{{", "}}")
_BRACES: Final = re.compile(r"\{\{|\}\}|\{[^{}]*\}|[{}]")


@frozen
class NodeConfig:
    """Everything a node is told when it is opened.

    Raises:
        ConfigError: something cannot be used, or does not go together.
    """

    name: str
    """This node's own name in the ring."""
    ring: Ring
    """The same on every node: they compare it when they connect."""
    store: StoreConfig | None = None
    """Where sessions are kept on disk; None: in memory only."""
    sessions: SessionsConfig = field(factory=SessionsConfig)
    security: SecurityConfig = field(factory=SecurityConfig)
    node: NodeSection = field(factory=NodeSection)
    namespaces: Mapping[str, SessionsConfig] = field(factory=dict)
    """What holds for the sessions of a namespace; for one that is not here: ``sessions``."""

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        *,
        overrides: Tables | None = None,
        environ: Mapping[str, str] = os.environ,
    ) -> "NodeConfig":
        """Return the configuration in the TOML file at ``path`` for the node ``name``.

        Args:
            path: the file; None: the one that SESSIONRING_CONFIG names.
            name: the node's own name; None: SESSIONRING_NAME, or the only member.
            overrides: tables as in the file, such as ``{"sessions": {"max_idle": "10m"}}``, that
                beat the file and the environment; None as a value undoes what they say.
            environ: the environment; SESSIONRING_SECRET in it beats the file.

        Raises:
            ConfigError: there is no such file, or something in it cannot be used.
        """
        path = environ.get(CONFIG_VARIABLE) if path is None else path
        if path is None:
            raise ConfigError(f"there is no configuration; give a path, or set {CONFIG_VARIABLE}")
        tables = lay_over(read_file(path), environment_layer(environ))
        try:
            return cls._build(lay_over(tables, overrides or {}), name, environ)
        except ConfigError as error:
            raise ConfigError(f"{os.fspath(path)}: {error}") from error

    @classmethod
    def from_tables(
        cls,
        tables: Tables,
        name: str | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
    ) -> "NodeConfig":
        """Return the configuration that ``tables`` would be as a TOML file.

        Args:
            tables: sections by name; they beat the environment.
            name: the node's own name; None: SESSIONRING_NAME, or the only member.
            environ: the environment; its secret is used if ``tables`` have none.

        Raises:
            ConfigError: something in them cannot be used.
        """
        return cls._build(lay_over(environment_layer(environ), tables), name, environ)

    @classmethod
    def single(
        cls,
        directory: str | os.PathLike[str] | None,
        name: str = "a",
        *,
        sessions: SessionsConfig | None = None,
        security: SecurityConfig | None = None,
        node: NodeSection | None = None,
    ) -> "NodeConfig":
        """Return the configuration of a node alone, which listens nowhere unless ``node`` says so.

        Args:
            directory: where it keeps its sessions; None: in memory only.
            name: the node's name, with which the ids of its sessions begin.
            sessions: as in the constructor.
            security: as in the constructor.
            node: as in the constructor.

        Raises:
            ConfigError: something cannot be used.
        """
        store = None
        if directory is not None:
            path = os.path.abspath(os.fspath(directory))
            store = StoreConfig("file:" + path.replace("{", "{{").replace("}", "}}"))
        return cls(
            name=name,
            ring=Ring("single", (Member(name, ""),)),
            store=store,
            sessions=sessions or SessionsConfig(),
            security=security or SecurityConfig(),
            node=node or NodeSection(),
        )

    @classmethod
    def _build(cls, tables: Tables, name: str | None, environ: Mapping[str, str]) -> "NodeConfig":
        sections = read_sections(tables)
        name = environ.get(NAME_VARIABLE) if name is None else name
        if name is None:
            if len(sections.ring.names) > 1:
                raise ConfigError(
                    f"the node has no name; give it one of {', '.join(sections.ring.names)}, or "
                    f"set {NAME_VARIABLE}"
                )
            name = sections.ring.names[0]
        return cls(
            name=name,
            ring=sections.ring,
            store=sections.store,
            sessions=sections.sessions,
            security=sections.security,
            node=sections.node,
            namespaces=sections.namespaces,
        )

    def __attrs_post_init__(self) -> None:
        self._check_ring()
        if self.name not in self.ring.addresses:
            near = difflib.get_close_matches(str(self.name), self.ring.names, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "use one of them"
            raise ConfigError(
                f"the node's name is {self.name!r}, and the members of the ring are "
                f"{', '.join(self.ring.names)}; {remedy}"
            )
        enough = 2 * len(self.ring.addresses) + 1
        if self.node.connections_max < enough:
            raise ConfigError(
                f"node.connections_max is {self.node.connections_max}; use at least {enough}, "
                "two for each member, which may dial again before its old connection is missed, "
                "and one for a client"
            )
        self._check_durability("sessions", self.sessions.durability)
        check_namespaces(self.namespaces)
        for name, sessions in self.namespaces.items():
            self._check_durability(f"namespaces.{name}", sessions.durability)
        for address in self.listen_addresses:
            self._check_reach(address)
        _ = self.store_directory, self.tls  # worked out once here, so that it is refused here

    def _check_ring(self) -> None:
        name = self.ring.name
        is_printable = name.isascii() and name.isprintable()
        if not (1 <= len(name) <= RING_NAME_CHARS_MAX and is_printable):
            raise ConfigError(
                f"ring.name is {name!r}; use 1 to {RING_NAME_CHARS_MAX} printable ASCII characters"
            )
        at: dict[str, str] = {}
        for number, member in enumerate(self.ring.members):
            key = f"ring.members[{number}].address"
            if member.address or len(self.ring.members) > 1:
                _check_tcp(key, member.address)
            if member.address in at:
                raise ConfigError(
                    f"{key} is {member.address!r}, as is that of {at[member.address]!r}; "
                    "give each member its own"
                )
            at[member.address] = member.name
        for number, departed in enumerate(self.ring.departed):
            if departed.address:
                key = f"ring.departed[{number}].address"
                _check_tcp(key, departed.address)
                if departed.address in at:
                    raise ConfigError(
                        f"{key} is {departed.address!r}, as is that of {at[departed.address]!r}; "
                        "leave it out once the node there has stopped"
                    )
                at[departed.address] = departed.name

    def _check_durability(self, section: str, durability: Durability | None) -> None:
        if durability is not None and durability.wants_disk and self.store is None:
            raise ConfigError(
                f'{section}.durability is "{durability}", and there is no store; '
                'add [store] with url, or use "local" or "backup"'
            )

    def _check_reach(self, address: str) -> None:
        parsed = parse_address(address)
        if isinstance(parsed, UnixAddress) or _is_loopback(parsed.host):
            return
        if self.security.secrets or self.security.tls_ca is not None:
            return
        key = "node.listen" if self.node.listen else self._own_key
        raise ConfigError(
            f"{key} is {address!r}, which is beyond loopback, and there is no secret; set "
            f"security.secret or {SECRET_VARIABLE}, or use TLS, or listen on 127.0.0.1"
        )

    @property
    def _own_key(self) -> str:
        """Where in the ring this node's address is written."""
        homes, members = self.ring.homes, len(self.ring.members)
        own = homes.index(self.name)
        kind, number = ("members", own) if own < members else ("departed", own - members)
        return f"ring.{kind}[{number}].address"

    # --- What follows from it -----------------------------------------------------------------

    @property
    def durability(self) -> Durability:
        """What must hold a change by default; a namespace may have its own.

        What ``sessions.durability`` says; else ``backup`` in a ring, ``disk`` for one node with
        a store, ``local`` for one without.
        """
        if self.sessions.durability is not None:
            return self.sessions.durability
        if len(self.ring.members) > 1:
            return Durability.BACKUP
        return Durability.LOCAL if self.store is None else Durability.DISK

    @property
    def settings(self) -> Settings:
        """The numbers of the replica."""
        return Settings(
            heartbeat_interval_s=self.node.heartbeat,
            suspect_after_s=self.node.suspect,
            frozen_after_s=self.node.handshake / 2,
            clock_bound_s=self.node.clock_bound,
            ack_timeout_s=self.node.ack_timeout,
            lagging_after_s=self.node.lagging,
            settle_timeout_s=self.node.settle,
            join_timeout_s=self.node.join,
            waits_alone=self.node.alone == "wait",
            request_timeout_s=self.node.request_timeout,
            sweep_interval_s=self.node.sweep,
            expiring_lead_s=max(0.0, self.sessions.expiring_lead),
            retention_s=self.node.retention,
            tombstone_bytes_max=self.node.tombstone_bytes_max,
            journal_bytes_max=self.node.journal_bytes_max,
            requests_per_link_max=self.node.requests_per_connection_max,
            limits=self.sessions.limits,
            namespaces={name: each.limits for name, each in self.namespaces.items()},
            warn_overwrites=self.sessions.warn_overwrites,
            indexes=self.sessions.indexes,
            namespace_indexes={name: each.indexes for name, each in self.namespaces.items()},
        )

    @property
    def store_directory(self) -> Path | None:
        """The absolute path of the store, with the name filled in; None: memory only."""
        if self.store is None:
            return None
        scheme, colon, path = self.store.url.partition(":")
        if not colon or scheme != "file":
            # Not the whole value: the URL of a database may have a password in it.
            kind = f"is of the kind {scheme!r}, which is not known" if colon else "has no kind"
            raise ConfigError(
                f'store.url {kind}; use "file:" and an absolute path, such as '
                '"file:/var/lib/sessionring/{name}"'
            )
        path = path.removeprefix("//")  # file:///var/lib is the same place as file:/var/lib
        return Path(_fill_path("store.url", path, self.name))

    @property
    def tls(self) -> TlsFiles | None:
        """Where the node's certificates are, with the name filled in; None: no TLS."""
        section = self.security
        certificate, key, ca = section.tls_certificate, section.tls_key, section.tls_ca
        if certificate is None or key is None or ca is None:
            return None
        if not os.path.isabs(key):  # Not its value: somebody may have written the key itself.
            raise ConfigError("security.tls_key is no absolute path; give that of a PEM file")
        return TlsFiles(
            _fill_path("security.tls_certificate", certificate, self.name),
            _fill_path("security.tls_key", key, self.name),
            _fill_path("security.tls_ca", ca, self.name),
        )

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """Where the node listens: at ``host:port``, at ``unix:/path``, at both, or nowhere."""
        own = self.ring.addresses[self.name]
        addresses = []
        if self.node.listen is not None:
            _check_tcp("node.listen", self.node.listen)
            addresses.append(self.node.listen)
        elif own:
            addresses.append(own)
        if self.node.unix is not None:
            addresses.append(_unix_address(_fill_path("node.unix", self.node.unix, self.name)))
        return tuple(addresses)


def _check_tcp(key: str, address: str) -> None:
    try:
        parsed = parse_address(address)
    except ConfigError:
        parsed = None
    if not isinstance(parsed, TcpAddress) or parsed.port == 0 or len(address) > ADDRESS_CHARS_MAX:
        raise ConfigError(f'{key} is {address!r}; use "host:port" or "[ipv6]:port", port from 1')


def _unix_address(path: str) -> str:
    address = f"unix:{path}"
    try:
        parse_address(address)
    except ConfigError as error:
        raise ConfigError(
            f"node.unix is {path!r}, which is no path of a socket; use a shorter one"
        ) from error
    return address


def _fill_path(key: str, template: str, name: str) -> str:
    """Return the path that ``template`` gives for the node ``name``.

    Raises:
        ConfigError: the path is not absolute, or has another thing than {name} in braces.
    """
    wrong = [part for part in _BRACES.findall(template) if part not in _FILLABLE]
    if wrong:
        raise ConfigError(
            f"{key} has {wrong[0]!r} in {template!r}; only {{name}} stands for something, "
            "and a brace itself is written twice"
        )
    path = template.format(name=name)
    if not os.path.isabs(path) or "\0" in path:
        raise ConfigError(f"{key} has the path {path!r}; use an absolute one")
    return path


def _is_loopback(host: str) -> bool:
    """Tell addresses that no other host can reach; a name but localhost may mean any address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
