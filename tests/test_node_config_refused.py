"""Every configuration that is refused, and what the error says: key, value and remedy."""

from pathlib import Path
from typing import Any

import pytest

from node.config import NodeConfig
from ring.errors import ConfigError
from ring.placement import Member, Ring

SECRET = "0123456789abcdef"
RING = """
[ring]
name = "shop"
[[ring.members]]
name = "a"
address = "127.0.0.1:6802"
[[ring.members]]
name = "b"
address = "127.0.0.1:6803"
"""


def load(directory: Path, text: str, name: str | None = "a", **environ: str) -> NodeConfig:
    """Load ``text`` as a configuration file, in an environment that has nothing else."""
    path = directory / "ring.toml"
    path.write_text(text, encoding="utf-8")
    return NodeConfig.load(path, name, environ=environ)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[sessions]\nmaxidle = 5", "sessions.maxidle is not a setting; did you mean 'max_idle'?"),
        ("[session]\nmax_idle = 5", "session is not a setting; did you mean 'sessions'?"),
        (
            "[zzz]",
            "zzz is not a setting; known are ring, store, sessions, namespaces, security, node",
        ),
        ("[node]\nqqq = 5", "node.qqq is not a setting; known are listen, unix, heartbeat"),
        ("[sessions]\nmax_idle = '30 minutes'", "sessions.max_idle is '30 minutes'; use seconds,"),
        ("[sessions]\nmax_idle = true", "sessions.max_idle is True; use seconds, or a text such"),
        ("[sessions]\nmax_idle = nan", "sessions.max_idle is nan; use seconds"),
        ("[sessions]\nmax_idle = inf", "sessions.max_idle is inf; use seconds"),
        (f"[sessions]\nmax_idle = 1{'0' * 400}", "use seconds"),
        ("[sessions]\nmax_idle = '999999999999d'", "max_idle is '999999999999d'; use seconds"),
        ("[sessions]\nmax_idle = 1979-05-27", "sessions.max_idle is datetime.date(1979"),
        ("[sessions]\nlifetime = [5]", "sessions.lifetime is [5]; use seconds"),
        ("[sessions]\ndurability = 'most'", "sessions.durability is 'most'; use one of \"local\""),
        ("[sessions]\ndurability = 1", "sessions.durability is 1; use one of"),
        ("[sessions]\ndurability = 'disk'", 'sessions.durability is "disk", and there is no store'),
        ("[sessions]\non_timeout = 'retry'", "sessions.on_timeout is 'retry'; use \"accept\" or"),
        ("[sessions]\non_end_timeout = 0", 'sessions.on_end_timeout is 0; use "accept" or'),
        ("[sessions]\nsession_bytes_max = '1'", "sessions.session_bytes_max is '1'; use a whole"),
        ("[sessions]\nsession_bytes_max = 1.0", "sessions.session_bytes_max is 1.0; use a whole"),
        ("[sessions]\nsession_bytes_max = 786433", "bytes_max is 786433; use at most 786432"),
        ("[sessions]\nattribute_bytes_max = true", "attribute_bytes_max is True; use a whole"),
        ("[sessions]\nattribute_bytes_max = 0", "attribute_bytes_max is 0; use a whole number"),
        (
            "[sessions]\nsession_bytes_max = 5\nattribute_bytes_max = 6",
            "sessions.attribute_bytes_max is 6, more than sessions.session_bytes_max, which is 5",
        ),
        ("[node]\nheartbeat = 0", "node.heartbeat is 0.0; use more than 0 seconds"),
        ("[node]\nheartbeat = 1e-9", "node.heartbeat is 1e-09 s; use at least 0.01 seconds"),
        ("[node]\nreconnect_max = '1ms'", "node.reconnect_max is 0.001 s; use at least 0.01"),
        ("[node]\nsweep = '-1s'", "node.sweep is -1.0; use more than 0 seconds"),
        ("[node]\nsuspect = 1", "node.suspect is 1 s; use at least 4 times node.heartbeat, 2 s"),
        ("[node]\nsettle = '5s'", "node.settle is 5 s; use more than node.suspect and"),
        ('[node]\nalone = "no"', 'node.alone is \'no\'; use "serve" or "wait"'),
        ("[node]\njoin = 1", "node.join is 1 s; use at least node.handshake, 2 s"),
        ("[node]\nack_timeout = 8", "node.request_timeout is 8 s; use more than node.ack_timeout"),
        ("[node]\nunauthenticated_max = 2000", "node.unauthenticated_max is 2000; use at most"),
        (
            "[node]\nconnections_max = 4\nunauthenticated_max = 1",
            "node.connections_max is 4; use at least 5, two for each member",
        ),
        ("[node]\nrequests_per_connection_max = 0", "node.requests_per_connection_max is 0; use a"),
        ("[node]\nlisten = ''", "node.listen is ''; use a text that is not empty"),
        ("[node]\nlisten = 6802", "node.listen is 6802; use a text"),
        ("[node]\nlisten = ':6802'", "node.listen is ':6802'; use \"host:port\""),
        ("[node]\nlisten = 'unix:/x'", "node.listen is 'unix:/x'; use \"host:port\""),
        ("[node]\nunix = 'run/x'", "node.unix has the path 'run/x'; use an absolute one"),
        ("[node]\nunix = '/{host}'", "node.unix has '{host}' in '/{host}'; only {name} stands"),
        (f"[node]\nunix = '/{'x' * 107}'", "which is no path of a socket; use a shorter one"),
        ("[store]", "store.url is missing; write it, or no section"),
        ("[store]\nurl = 5", "store.url is 5; use a text"),
        ("[store]\nurl = 'file:sessions'", "store.url has the path 'sessions'; use an absolute"),
        ("[store]\nurl = 'file:~/x'", "store.url has the path '~/x'; use an absolute"),
        ("[store]\nurl = 'file://host/x'", "store.url has the path 'host/x'; use an absolute"),
        ("[store]\nurl = 'file:/{nam}'", "store.url has '{nam}' in '/{nam}'; only {name} stands"),
        ("[store]\nurl = 'file:/{name!r}'", "store.url has '{name!r}' in"),
        ("[store]\nurl = 'file:/x}'", "store.url has '}' in '/x}'; only {name}"),
        ("[store]\nurl = 'redis://x'", "store.url is of the kind 'redis', which is not known; use"),
        ("[store]\nurl = '/var/lib'", 'store.url has no kind; use "file:" and an absolute path'),
        ("[security]\nsecret = 'short'", "security.secret has 5 bytes; use 16 to 1024, for"),
        ("[security]\nsecret = 5", "security.secret is of type int; use a text"),
        ("[security]\nsecrets = []", "security.secrets is not a list with a secret in it"),
        (f"[security]\nsecrets = ['{SECRET}', 'x']", "security.secrets[1] has 1 bytes; use 16"),
        (f"[security]\nsecret = '{SECRET}'\nsecrets = []", "security has secret and secrets;"),
        ("[security]\nsecret_file = 'x'", "security.secret_file is no absolute path; give"),
        ("[security]\nsecret_file = '/no/such'", "cannot be read: No such file or directory; put"),
        ("[security]\nsecret_file = '/dev/null'", "security.secret_file is '/dev/null', which is"),
    ],
    ids=range(60),
)
def test_what_is_wrong_is_refused_with_key_value_and_remedy(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, RING + text)
    assert message in str(error.value)
    assert str(error.value).startswith(f"{tmp_path}/ring.toml: ")


A: dict[str, Any] = {"name": "a", "address": "127.0.0.1:1"}


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (None, "ring is missing; write [ring] with name and [[ring.members]]"),
        ("shop", "ring is of type str; write a table [ring]"),
        ({"members": [A]}, "ring.name is missing; give the ring a name"),
        ({"name": 5, "members": [A]}, "ring.name is 5; give the ring a name"),
        ({"name": "", "members": [A]}, "ring.name is ''; use 1 to 64 printable ASCII characters"),
        ({"name": "x" * 65, "members": [A]}, "use 1 to 64 printable ASCII characters"),
        ({"name": "café", "members": [A]}, "use 1 to 64 printable ASCII characters"),
        ({"name": "a\nb", "members": [A]}, "use 1 to 64 printable ASCII characters"),
        ({"name": "x"}, "ring.members is missing; write [[ring.members]] for each member"),
        ({"name": "x", "members": A}, "ring.members is of type dict; write [[ring"),
        ({"name": "x", "members": []}, "ring.members has 0 members; use 1 to 64"),
        ({"name": "x", "members": ["a"]}, "ring.members[0] is of type str; write"),
        ({"name": "x", "members": [A, {}]}, "ring.members[1].name is missing; give each member"),
        ({"name": "x", "members": [A, A]}, "ring.members names 'a' twice; give each its own"),
        ({"name": "x", "members": [{"name": "A_"}]}, "ring.members[0].name is 'A_', which"),
        (
            {"name": "x", "members": [A, {**A, "name": "b"}]},
            "ring.members[1].address is '127.0.0.1:1', as is that of 'a'; give each member its own",
        ),
        ({"name": "x", "members": [A, {"name": "b"}]}, "ring.members[1].address is ''; use \"host"),
        ({"name": "x", "members": [{**A, "address": 5}]}, "ring.members[0].address is 5; use"),
        ({"name": "x", "members": [{**A, "address": "a"}]}, "ring.members[0].address is 'a'; use"),
        ({"name": "x", "members": [{**A, "address": "a:0"}]}, "members[0].address is 'a:0'; use"),
        (
            {"name": "x", "members": [{"name": "a", "adress": "x"}]},
            "ring.members[0].adress is not a setting; did you mean 'address'?",
        ),
        ({"name": "x", "members": [A], "version": True}, "ring.version is True; use a whole"),
        ({"name": "x", "members": [A], "version": 0}, "ring.version is 0; use 1 or more"),
        ({"name": "x", "members": [A], "copies": "2"}, "ring.copies is '2'; use a whole number"),
        ({"name": "x", "members": [A], "copies": 9}, "ring.copies is 9; use 1 to 8"),
        ({"name": "x", "members": [{**A, "backup": 1}]}, "members[0].backup is 1; use true or"),
        ({"name": "x", "members": [A], "departed": A}, "write [[ring.departed]] for each that"),
        ({"name": "x", "members": 5}, "ring.members is of type int; write [[ring.members]] for"),
        ({"name": "x", "members": [A], "departed": 5}, "ring.departed is of type int; write [["),
        ({"name": "x", "members": [{**A, "address": f"a:{'1' * 5000}"}]}, 'use "host:port"'),
        ({"name": "x", "members": [{**A, "address": "a\nb:1"}]}, "members[0].address is 'a\\nb:1'"),
        ({"name": "x", "members": [{**A, "address": "a b:1"}]}, "members[0].address is 'a b:1'"),
        ({"name": "x", "members": [A], "departed": [{"name": "b"}]}, "heir is missing; name the"),
        (
            {"name": "x", "members": [A], "departed": [{**A, "name": "b", "heir": "a"}]},
            "ring.departed[0].address is '127.0.0.1:1', as is that of 'a'; leave it out once",
        ),
    ],
    ids=range(34),
)
def test_what_is_wrong_with_the_ring_is_refused(section: object, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        NodeConfig.from_tables({"ring": section}, "a", environ={})
    assert message in str(error.value)


def test_a_name_that_is_not_in_the_ring_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name is 'c', and the members of the ring are a, b; use"):
        load(tmp_path, RING, "c")
    with pytest.raises(ConfigError, match="did you mean 'tokyo'"):
        NodeConfig("tokio", Ring("shop", (Member("tokyo", ""),)))


def test_a_node_of_a_ring_needs_a_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no name; give it one of a, b, or set SESSIONRING"):
        load(tmp_path, RING, None)


def test_a_variable_that_is_set_counts_even_if_it_is_empty(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="SESSIONRING_SECRET has 0 bytes; use 16 to 1024"):
        load(tmp_path, RING, SESSIONRING_SECRET="")
    with pytest.raises(ConfigError, match="the node's name is ''"):
        load(tmp_path, RING, None, SESSIONRING_NAME="")


def test_without_a_file_the_remedy_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="give a path, or set SESSIONRING_CONFIG"):
        NodeConfig.load(environ={})


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml' cannot be read: No such file"):
        NodeConfig.load(tmp_path / "missing.toml", environ={})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        NodeConfig.load(tmp_path, environ={})


def test_a_file_that_is_not_toml_is_refused_with_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"ring\.toml' is not TOML: .*line 3.*; correct that"):
        load(tmp_path, '[ring]\nname = "x"\nversion = \n')
    with pytest.raises(ConfigError, match="is not TOML: Exceeds the limit"):
        load(tmp_path, f"[ring]\nversion = {'1' * 5000}\n")


def test_a_file_that_is_not_utf_8_is_refused_with_the_place(tmp_path: Path) -> None:
    (tmp_path / "ring.toml").write_bytes(b'[ring]\nname = "\xff"\n')
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 15; save it as UTF-8"):
        NodeConfig.load(tmp_path / "ring.toml", environ={})


SHOWN = "a secret that shows"


@pytest.mark.parametrize(
    "text",
    [
        f'[security]\nsecrt = "{SHOWN}"',
        f'[node]\nsecret = "{SHOWN}"',
        f'[security]\nsecret = ["{SHOWN}"]',
        f'[security]\nsecrets = "{SHOWN}"',
        f'[security]\nsecrets = ["{SHOWN}", 5]',
        f'[security]\nsecrets = ["{SHOWN}", "short"]',
        f'[security]\nsecret = "{SHOWN * 100}"',
        f'[security]\nsecret = "{SHOWN}"\nsecret_file = "/x"',
        f'[security]\nsecret = "{SHOWN}',
        f"[security]\nsecret = {SHOWN}",
        f'[security]\n"{SHOWN}" = 1\n"{SHOWN}" = 2',
        f'[store]\nurl = "redis://:{SHOWN}@10.0.0.1/0"',
        f'[store]\nurl = "{SHOWN}"',
        f'[security]\nsecret_file = "{SHOWN}"',
        f'[security]\nsecret_file = ["{SHOWN}"]',
        f'[security]\ntls_certificate = "/a"\ntls_ca = "/b"\ntls_key = "{SHOWN}"',
    ],
    ids=range(16),
)
def test_secrets_show_in_no_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, RING + text)
    assert "shows" not in str(error.value)


def test_a_secret_in_place_of_the_section_does_not_show() -> None:
    with pytest.raises(ConfigError, match=r"security is of type str; write a table \[security\]"):
        NodeConfig.from_tables({"ring": {"name": "x", "members": [A]}, "security": SECRET})


def test_a_secret_of_zeros_is_refused_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"security\.secret is all zeros; use"):
        load(tmp_path, RING + '[security]\nsecret = "' + "\\u0000" * 16 + '"')


def test_a_secret_that_no_file_could_have_is_refused_as_well() -> None:
    with pytest.raises(ConfigError, match=r"security\.secret has characters that are none; use"):
        NodeConfig.from_tables(
            {"ring": {"name": "x", "members": [A]}, "security": {"secret": "\ud800" * 16}}
        )
