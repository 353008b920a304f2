"""A configuration: the same from file, environment and code, and refused with key and remedy."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from node.config import NodeConfig, NodeSection, SecurityConfig, SessionsConfig, StoreConfig
from ring.errors import ConfigError
from ring.messages import Durability
from ring.placement import Member, Ring
from ring.settings import Limits, Settings

SECRET = "0123456789abcdef"
RING = """
[ring]
name = "shop"
version = 3
copies = 2
[[ring.members]]
name = "a"
address = "127.0.0.1:6802"
[[ring.members]]
name = "b"
address = "127.0.0.1:6803"
"""
PAIR = (Member("a", "127.0.0.1:6802"), Member("b", "127.0.0.1:6803"))
FAR = (Member("a", "10.0.0.1:6802"), Member("b", "10.0.0.2:6802"))

Load = Callable[..., NodeConfig]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Loads a text as the configuration of node a, in an empty environment."""

    def load_text(text: str, name: str | None = "a", **options: Any) -> NodeConfig:
        path = tmp_path / "ring.toml"
        path.write_text(text, encoding="utf-8")
        return NodeConfig.load(path, name, **{"environ": {}, **options})

    return load_text


def ring(*members: Member) -> Ring:
    return Ring("shop", members or PAIR)


def tables(**sections: Any) -> dict[str, Any]:
    """The tables of a good configuration with these sections in place of its own."""
    members = [{"name": member.name, "address": member.address} for member in PAIR]
    return {"ring": {"name": "shop", "members": members}, **sections}


# --- File, environment, code ----------------------------------------------------------------------


def test_a_file_and_code_give_equal_configurations(load: Load) -> None:
    from_file = load(
        RING
        + """
[store]
url = "file:/var/lib/x/{name}"
[sessions]
max_idle = "10m"
lifetime = "7d"
durability = "backup+disk"
on_timeout = "refuse"
on_end_timeout = "accept"
session_bytes_max = 1000
attribute_bytes_max = 100
[security]
secrets = ["0123456789abcdef", "fedcba9876543210"]
[node]
listen = "127.0.0.1:7000"
unix = "/run/x/{name}"
heartbeat = "100ms"
suspect = 1
handshake = 0.5
settle = "2s"
join = "1m"
alone = "wait"
ack_timeout = "200ms"
lagging = "5s"
drain = "1m"
request_timeout = "1s"
sweep = "1h"
reconnect_max = "1s"
connections_max = 50
unauthenticated_max = 5
requests_per_connection_max = 7
"""
    )
    in_code = NodeConfig(
        name="a",
        ring=Ring("shop", PAIR, version=3, copies=2),
        store=StoreConfig("file:/var/lib/x/{name}"),
        sessions=SessionsConfig(
            max_idle=600,
            lifetime="7d",
            durability=Durability.BACKUP_AND_DISK,
            on_timeout="refuse",
            on_end_timeout="accept",
            session_bytes_max=1000,
            attribute_bytes_max=100,
        ),
        security=SecurityConfig([b"0123456789abcdef", "fedcba9876543210"]),
        node=NodeSection(
            listen="127.0.0.1:7000",
            unix="/run/x/{name}",
            heartbeat=0.1,
            suspect=1,
            handshake=0.5,
            settle=2,
            join=60,
            alone="wait",
            ack_timeout=0.2,
            lagging=5,
            drain=60,
            request_timeout=1,
            sweep=3600,
            reconnect_max=1,
            connections_max=50,
            unauthenticated_max=5,
            requests_per_connection_max=7,
        ),
    )
    assert from_file == in_code
    assert from_file.settings == Settings(
        heartbeat_interval_s=0.1,
        suspect_after_s=1.0,
        frozen_after_s=0.25,
        ack_timeout_s=0.2,
        lagging_after_s=5.0,
        settle_timeout_s=2.0,
        join_timeout_s=60.0,
        waits_alone=True,
        request_timeout_s=1.0,
        sweep_interval_s=3600.0,
        requests_per_link_max=7,
        limits=Limits(session_bytes_max=1000, attribute_bytes_max=100),
    )
    assert from_file.store_directory == Path("/var/lib/x/a")
    assert from_file.listen_addresses == ("127.0.0.1:7000", "unix:/run/x/a")


def test_the_smallest_file_is_all_defaults(load: Load) -> None:
    assert load(RING) == NodeConfig("a", Ring("shop", PAIR, version=3))


def test_the_defaults_are_those_of_the_replica(load: Load) -> None:
    assert load(RING).settings == Settings()


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        NodeConfig.single(None).name = "b"  # type: ignore[misc]


def test_code_beats_environment_beats_file(load: Load) -> None:
    text = RING + '[security]\nsecret = "of the file, 16 bytes"'
    environ = {"SESSIONRING_NAME": "b", "SESSIONRING_SECRET": "of the environment"}
    assert load(text).security.secrets == (b"of the file, 16 bytes",)
    from_environment = load(text, None, environ=environ)
    assert from_environment.name == "b"
    assert from_environment.security.secrets == (b"of the environment",)
    code = {"security": {"secrets": ["of the code, 16 bytes"]}}
    from_code = load(text, "a", environ=environ, overrides=code)
    assert from_code.name == "a"
    assert from_code.security.secrets == (b"of the code, 16 bytes",)


def test_the_environment_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ring.toml"
    path.write_text(RING)
    environ = {"SESSIONRING_CONFIG": str(path), "SESSIONRING_NAME": "b"}
    assert NodeConfig.load(environ=environ).name == "b"


def test_the_environment_of_the_process_is_read_unless_another_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ring.toml").write_text(RING)
    monkeypatch.setenv("SESSIONRING_NAME", "b")
    assert NodeConfig.load(tmp_path / "ring.toml").name == "b"
    assert NodeConfig.from_tables(tables()).name == "b"


def test_overrides_are_laid_over_key_by_key_and_none_undoes(load: Load) -> None:
    text = RING + '[store]\nurl = "file:/x"\n[sessions]\nmax_idle = 60\nlifetime = 60\n'
    overrides = {
        "store": None,
        "sessions": {"max_idle": None, "attribute_bytes_max": 5},
        "node": {"sweep": "5s"},
    }
    config = load(text, overrides=overrides)
    assert config.store is None
    assert config.sessions == SessionsConfig(lifetime=60, attribute_bytes_max=5)
    assert config.node == NodeSection(sweep=5)


def test_overrides_can_undo_the_secrets_of_the_file(load: Load) -> None:
    text = RING + f'[security]\nsecrets = ["{SECRET}"]'
    assert load(text, overrides={"security": {"secret": None}}).security.secrets == ()


def test_tables_in_code_are_like_a_file_but_beat_the_environment() -> None:
    environ = {"SESSIONRING_NAME": "b", "SESSIONRING_SECRET": SECRET}
    sections = tables(sessions={"max_idle": "1h"})
    config = NodeConfig.from_tables(sections, environ=environ)
    assert (config.name, config.sessions.max_idle) == ("b", 3600.0)
    assert config.security.secrets == (SECRET.encode(),)
    sections["security"] = {"secret": "of the code, 16 bytes"}
    config = NodeConfig.from_tables(sections, "a", environ=environ)
    assert (config.name, config.security.secrets) == ("a", (b"of the code, 16 bytes",))


def test_the_only_member_needs_no_name(load: Load) -> None:
    assert load('[ring]\nname = "one"\n[[ring.members]]\nname = "solo"', None).name == "solo"


# --- What follows from it -------------------------------------------------------------------------


def test_a_single_node_keeps_its_sessions_in_its_directory_and_listens_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = NodeConfig.single("a {strange} directory")
    assert config.store_directory == tmp_path / "a {strange} directory"
    assert config.durability is Durability.DISK
    assert config.listen_addresses == ()
    assert config.ring.names == ("a",)


def test_a_single_node_takes_the_other_sections() -> None:
    sessions, node = SessionsConfig(max_idle=5), NodeSection(unix="/run/{name}.socket")
    security = SecurityConfig(SECRET)
    config = NodeConfig.single(None, "solo", sessions=sessions, node=node, security=security)
    assert config.store_directory is None
    assert config.durability is Durability.LOCAL
    assert config.listen_addresses == ("unix:/run/solo.socket",)
    assert (config.sessions, config.security) == (sessions, security)


def test_durability_is_by_default_what_the_node_can_give() -> None:
    store = StoreConfig("file:/x")
    assert NodeConfig("a", ring()).durability is Durability.BACKUP
    assert NodeConfig("a", ring(), store).durability is Durability.BACKUP
    wanted = SessionsConfig(durability=Durability.BACKUP_AND_DISK)
    assert NodeConfig("a", ring(), store, wanted).durability is Durability.BACKUP_AND_DISK


@pytest.mark.parametrize(
    ("url", "directory"),
    [
        ("file:/var/lib/{name}", "/var/lib/a"),
        ("file:///var/lib/{name}/sessions", "/var/lib/a/sessions"),
        ("file:/my files/100%/{{x}}", "/my files/100%/{x}"),
    ],
)
def test_the_directory_of_the_store_is_worked_out(url: str, directory: str) -> None:
    assert NodeConfig("a", ring(), StoreConfig(url)).store_directory == Path(directory)


@pytest.mark.parametrize("value", [2, 2.0, "2", "2s", "2000ms", "2.0s", "0.002s"])
def test_a_duration_is_seconds_or_a_text_with_a_unit(value: Any) -> None:
    assert SessionsConfig(max_idle=value).max_idle == (0.002 if value == "0.002s" else 2.0)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("12h", 43_200), ("7d", 604_800), ("-1s", -1), ("1.5h", 5400)],
)
def test_a_unit_is_what_it_says(text: Any, seconds: float) -> None:
    assert SessionsConfig(lifetime=text).lifetime == seconds


# --- Secrets --------------------------------------------------------------------------------------


def test_a_mark_of_utf_8_at_the_beginning_of_a_file_is_passed_over(tmp_path: Path) -> None:
    """Some editors write it. In a secret it would be seen only by the others' refusals."""
    secrets, path = tmp_path / "secret", tmp_path / "ring.toml"
    secrets.write_text(SECRET, encoding="utf-8-sig")
    path.write_text(RING + f'[security]\nsecret_file = "{secrets}"', encoding="utf-8-sig")
    config = NodeConfig.load(path, "a", environ={})
    assert config.security.secrets == (SECRET.encode(),)


def test_a_secret_may_stand_in_a_file_of_its_own(load: Load, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.write_bytes(b"the new secret, 16\r\n\n  the old secret, 16 \n")
    config = load(RING + f'[security]\nsecret_file = "{secrets}"')
    assert config.security.secrets == (b"the new secret, 16", b"the old secret, 16")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:65535", "[::1]:5", "localhost:5"])
def test_a_node_may_listen_on_loopback_without_a_secret(address: str) -> None:
    assert NodeConfig("a", ring(Member("a", address))).listen_addresses == (address,)


@pytest.mark.parametrize(
    "address", ["10.0.0.1:1", "0.0.0.0:1", "[::]:1", "example.org:1", "localhost.example.org:1"]
)
def test_a_node_does_not_listen_beyond_loopback_without_a_secret(address: str) -> None:
    far = ring(Member("a", address))
    with pytest.raises(ConfigError, match=r"ring\.members\[0\]\.address is .* no secret; set"):
        NodeConfig("a", far)
    with pytest.raises(ConfigError, match=r"node\.listen is .* beyond loopback"):
        NodeConfig("a", ring(), node=NodeSection(listen=address))
    assert NodeConfig("a", far, security=SecurityConfig(SECRET)).listen_addresses == (address,)


def test_a_node_behind_a_proxy_listens_on_loopback_without_a_secret() -> None:
    config = NodeConfig("a", ring(*FAR), node=NodeSection(listen="127.0.0.1:6802"))
    assert config.listen_addresses == ("127.0.0.1:6802",)


def test_secrets_show_in_no_repr() -> None:
    config = NodeConfig("a", ring(), security=SecurityConfig(SECRET))
    assert SECRET not in repr(config)
    assert SECRET not in repr(config.security)


def test_a_secret_of_any_bytes_can_come_from_the_environment(load: Load) -> None:
    secret = b"\xff\xfe" * 10
    config = load(RING, environ={"SESSIONRING_SECRET": os.fsdecode(secret)})
    assert config.security.secrets == (secret,)
